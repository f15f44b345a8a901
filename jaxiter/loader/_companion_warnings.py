"""What is probably wrong with leaves that move with an image, and what no error could refuse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._ragged import Ragged, is_ragged
from .._transfers import on_host
from .._warn import warn
from ..augment import Boxes, Mask
from ..augment.internal import Companion, Places

_LOOKED_AT = 1000  # examples
_BEYOND = 0.05  # shares of a side by which a box may stand out of its picture without a word


def warn_of_companion(name: str, companion: Companion, leaf: Any, images_name: str, images: Any) -> None:
    """Warns of masks that were read as pictures or belong to others, and of places that are in no pixels of theirs.

    Args:
        leaf: That follows `images`.
    """
    if isinstance(companion, Mask):
        _warn_of_mixed_labels(name, leaf)
        _warn_of_other_names(name, leaf, images_name, images)
    elif isinstance(companion, Places) and isinstance(leaf, np.ndarray):
        sizes = _sizes_of(images)
        is_of_shares = sizes is not None and sizes.min() >= 3 and _warn_of_shares(name, companion, leaf)
        if isinstance(companion, Boxes) and not is_of_shares:
            _warn_of_beyond(name, companion, leaf, images_name, sizes)


def _sizes_of(images: Any) -> np.ndarray | None:
    """(height, width) of the first examples, or one pair for all; None where they are not known."""
    if isinstance(images, Ragged):
        return np.asarray(on_host(images.shapes[:_LOOKED_AT]))
    return None if images.shape[1] is None else np.array([images.shape[-3:-1]])


def _warn_of_mixed_labels(name: str, leaf: Any) -> None:
    """Of files that are read as pictures: colours of a palette in grey, and a mean of labels where they get smaller."""
    mode = getattr(leaf, "mode", None) if is_ragged(leaf) or hasattr(leaf, "files") else None  # a memmap has one, too
    if isinstance(mode, str) and mode != "mask":
        warn(
            f"{name} follows images as a mask, and its files are read in mode {mode!r}, as pictures, whose labels are "
            'mixed where they change size. Read them with mode="mask", which keeps the numbers of the files.'
        )


def _warn_of_other_names(name: str, leaf: Any, images_name: str, images: Any) -> None:
    """Where most files are called as those that they follow, and some are not: one is missing, or one too many."""
    files = [getattr(one, "files", None) for one in (leaf, images)]
    if not all(isinstance(listed, list) and listed and isinstance(listed[0], str) for listed in files):
        return
    own, others = ([os.path.splitext(os.path.basename(file))[0] for file in listed or ()] for listed in files)
    differ = [row for row, (one, other) in enumerate(zip(own, others, strict=True)) if one != other]
    if 0 < len(differ) <= len(own) // 2:
        first = differ[0]
        warn(
            f"{name} and {images_name}, which it follows, are files of the same names but for {len(differ)} of "
            f"{len(own)}: row {first} has {os.path.basename(leaf.files[first])!r} beside "
            f"{os.path.basename(images.files[first])!r}. Is one missing?"
        )


def _warn_of_shares(name: str, companion: Places, leaf: np.ndarray) -> bool:
    """Of coordinates that are shares of the sides, as some formats have them; whether they are."""
    values = np.asarray(leaf[:_LOOKED_AT])
    if leaf.dtype.kind != "f":
        return False
    values = values[np.isfinite(values) & (values != -1)]
    if not values.size or values.min() < 0 or values.max() > 1 or not (values % 1).any():
        return False
    kind, sides = type(companion).__qualname__, "width, height" + ", width, height" * (leaf.shape[-1] == 4)
    warn(
        f"{name} holds numbers from {values.min():g} to {values.max():g}, as if they were shares of the sides; "
        f"{kind} takes pixels. Multiply them by ({sides})."
    )
    return True


def _warn_of_beyond(
    name: str, companion: Boxes, leaf: np.ndarray, images_name: str, sizes: Sequence[Sequence[int]] | np.ndarray | None
) -> None:
    """Of boxes that lie outside of their pictures, and of those whose corners are the wrong way round."""
    edges = companion.as_edges(np.asarray(leaf[:_LOOKED_AT], np.float32))  # NaN where a row lacks
    edges = edges.reshape(len(edges), -1, 4)
    turned = ((edges[..., 2:] < edges[..., :2]).any(-1)).any(-1)
    if turned.any():
        row = int(np.flatnonzero(turned)[0])
        warn(
            f"{name} holds boxes whose right edge is left of their left one, or whose bottom is above their top, in "
            f"{int(turned.sum())} of the first {len(edges)} examples, as row {row} has; they are dropped. Is "
            f"format={companion.format!r} right?"
        )
    if sizes is None:
        return
    most = np.asarray(sizes, np.float32)[:, None, ::-1] * np.float32(1 + _BEYOND) + 1
    beyond = (edges[..., 2:] > most).any(-1).any(-1) & ~turned
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        height, width = (int(side) for side in sizes[min(row, len(sizes) - 1)])
        place = int(np.flatnonzero((edges[row, :, 2:] > most[min(row, len(most) - 1)]).any(-1))[0])
        corner = ", ".join(f"{edge:g}" for edge in edges[row, place, 2:])
        warn(
            f"{name} holds boxes that reach beyond their pictures in {int(beyond.sum())} of the first {len(edges)} "
            f"examples: in row {row} to ({corner}), and the picture of {images_name} is {width} wide and {height} "
            "high. Of pictures that were made smaller multiply boxes by images.shapes / images.source_shapes."
        )
