"""How far random maps reach: known from their ranges, before anything is drawn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MARGIN = 1.001  # float32 matrices may lie a little beyond the bounds
_WIDEST = 0.5  # shares of the width: rows that are lengthened by more are longer than they are worth
_LEAST_BITS = 16  # with fewer the general way, which looks at every matrix, is finer


class Plan(NamedTuple):
    """What a program is specialised by; see `resample_planned`."""

    bits: int  # fractional bits of the fixed-point numbers that hold every coordinate
    axis_aligned: bool  # rows come from rows, columns from columns
    turns_once: bool  # no coordinate lies farther out than one image to either side
    window: int | None  # columns by which a map that only mirrors and shifts may shift; None for others, and far ones


class Reach(NamedTuple):
    """Bounds on all maps that a config may draw, entry by entry, about the centre of the image.

    A map takes an output place to a source place, `source - centre = linear @ (output - centre) + offset`.
    """

    linear: np.ndarray  # 2x2, absolute values
    offset: np.ndarray  # (rows, cols) in pixels, absolute values

    def then(self, other: Reach) -> Reach:
        """Of the picture change that `self` bounds, followed by that of `other`."""
        return Reach(self.linear @ other.linear, self.linear @ other.offset + self.offset)

    def plan(self, height: int, width: int) -> Plan | None:
        """None where an int32 holds too few bits behind the largest coordinate."""
        sizes = np.array([height, width])
        centre = (sizes - 1) / 2
        farthest = (centre + self.linear @ centre + self.offset) * _MARGIN + 0.01
        # An entry of the matrix carries as many bits more as the count of rows or columns has.
        entries = self.linear * 2.0 ** np.array([int(size - 1).bit_length() for size in sizes])
        largest = max(farthest.max(), entries.max() * _MARGIN, 2.0 * sizes.max()) + 1
        bits = min(24, 31 - int(np.ceil(np.log2(largest)))) if np.isfinite(largest) else 0  # float32 holds 24
        aligned = bool(self.linear[0, 1] == 0 and self.linear[1, 0] == 0)
        if bits < _LEAST_BITS:
            return None
        shifts = bool((self.linear == np.eye(2)).all())
        window = _window(self.offset[1], width) if shifts else None
        return Plan(bits, aligned, bool((farthest < 2 * (sizes - 1)).all()), window)


def _window(offset: float, width: int) -> int | None:
    """Columns enough for a shift by `offset`: powers of two, so that not every range has a program of its own."""
    needed, most = int(np.ceil(offset * _MARGIN + 0.01)) + 1, int(width * _WIDEST)
    return min(1 << (needed - 1).bit_length(), most) if needed <= most else None
