"""Numbers as colours, and pictures beside each other: what `image_grid` and `Loader.preview` draw with."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Num, UInt8

SIDE = 64  # pixels to which small images are magnified
_GAP, _WIDE_GAP = 2, 8  # white pixels between images
_NUM_LABELS, _IGNORED = 32, 255  # values of a mask
_LEAST_SHARE = 1 / 8  # of a range, for values to be taken for some of it


def is_mask(images: Num[np.ndarray, "n height width channels"]) -> bool:
    """Whether they are bool, or integers that could all be labels."""
    if images.shape[3] != 1 or not (images.dtype == np.bool_ or jnp.issubdtype(images.dtype, np.integer)):
        return False
    return bool(((images == _IGNORED) | ((images >= 0) & (images < _NUM_LABELS))).all())


def range_of(arrays: Sequence[np.ndarray], *, percent: float = 0) -> tuple[float, float]:
    """The values of all of them that become black and white.

    Args:
        percent: How much of the smallest and of the largest values is left out where they fit no usual range.
    """
    values = np.concatenate([array.astype(np.float32).ravel() for array in arrays])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    for bound in (1, 255):
        # Values of up to 16, say, are of no such range: between 0 and 255 all of them would be black.
        if low >= 0 and high <= bound and (high >= bound * _LEAST_SHARE or low == high):
            return 0, bound
    if percent:
        inner_low, inner_high = np.percentile(values, (percent, 100 - percent)).tolist()
        if inner_low < inner_high:
            return inner_low, inner_high
    return low, high if high > low else low + 1


def in_rgb(
    images: Num[np.ndarray, "n height width channels"], low: float, high: float
) -> UInt8[np.ndarray, "n height width 3"]:
    """Grey, RGB, or RGBA blended on white; values beyond the range are clipped."""
    levels = np.clip((np.nan_to_num(images.astype(np.float32), nan=low) - low) / (high - low), 0, 1)
    color = levels[..., :3] if levels.shape[3] > 1 else levels.repeat(3, axis=3)
    if levels.shape[3] == 4:
        color = color * levels[..., 3:] + (1 - levels[..., 3:])
    return (color * 255).round().astype(np.uint8)


def in_colours(masks: Num[np.ndarray, "n height width 1"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Labels in the colours of Pascal VOC: black, then the bits of the label spread over red, green and blue."""
    if masks.dtype == np.bool_:
        return masks.astype(np.uint8).repeat(3, axis=3) * np.uint8(255)
    labels = np.arange(256)
    shades = [sum(((labels >> (3 * bit + channel)) & 1) << (7 - bit) for bit in (0, 1)) for channel in (0, 1, 2)]
    palette = np.stack(shades, axis=1).astype(np.uint8)
    palette[_IGNORED] = 255
    return palette[masks[..., 0].astype(np.intp)]


def below_each_other(
    rows: Sequence[UInt8[np.ndarray, "n height width 3"]], columns: int, scale: int, apart: Container[int] = ()
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Rows of one width below each other on white; after so many columns all of them go on below.

    Args:
        scale: Each pixel becomes a square of this side.
        apart: Rows that have a wider gap above them.
    """
    starts = range(0, len(rows[0]), columns)
    lines = [(row[start : start + columns], place) for start in starts for place, row in enumerate(rows)]
    tops, bottom = [], 0
    for line, place in lines:
        tops.append(bottom + (_WIDE_GAP if bottom and place in apart else _GAP))
        bottom = tops[-1] + line.shape[1] * scale
    width = rows[0].shape[2] * scale + _GAP
    grid = np.full((bottom + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for (line, _), top in zip(lines, tops, strict=True):
        for column, tile in enumerate(line.repeat(scale, axis=1).repeat(scale, axis=2)):
            left = _GAP + column * width
            grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid
