"""Many images as one picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from PIL import Image

from .._checks import check_int, check_not_masked
from .._describe import described, shown
from .._transfers import on_host

if TYPE_CHECKING:
    from jaxtyping import Num, UInt8

_GAP = 2  # white pixels between images
_COLUMNS = 8
_SIDE = 64  # pixels to which small images are magnified
_NUM_LABELS, _IGNORED = 32, 255  # values of a mask


def image_grid(
    images: Num[np.ndarray, "n height width channels"] | list[Num[np.ndarray, "n height width channels"]],
    *,
    columns: int | None = None,
    scale: int | None = None,
    range: tuple[float, float] | None = None,
) -> Image.Image:
    """One picture of many: a batch, or a list of batches, each a row, for example originals first.

    Args:
        images: Arrays of shape (n, height, width, channels): grey (1 channel, or no such axis), RGB, or RGBA, which is
            blended on white. Masks: bool is black and white, integers of one channel below 32 are coloured.
        columns: Images beside each other; the others go below. Default: 8 of one batch, all of a list.
        scale: Each pixel becomes a square of this side. Default: small images become about 64 pixels wide.
        range: The values that become black and white; others are clipped. Default: 0 to 255 for uint8; else 0 to 1 or
            0 to 255, the first in which all values lie, or from the smallest to the largest; all rows of one dtype have
            one range. With a range, integers are grey and no mask.

    Returns:
        A Pillow image, mode "RGB".

    Raises:
        ValueError, TypeError: If the arrays are no images, are masked or complex, differ in number, height or width, or
            range is no pair or is empty.

    Example:
        >>> import numpy as np
        >>> from jaxiter import image_grid
        >>> image_grid([np.zeros((3, 8, 8, 1)), np.ones((3, 8, 8, 1))], scale=2).size
        (56, 38)
    """
    is_list = isinstance(images, (list, tuple))
    named = [(f"images[{place}]", row) for place, row in enumerate(images)] if is_list else [("images", images)]
    rows = [_with_channels(_array_of(name, row)) for name, row in named]
    shapes = sorted({row.shape[:3] for row in rows})
    if len(shapes) != 1 or 0 in shapes[0]:
        raise ValueError(f"images has (n, height, width) {shapes}; expected at least one image, and rows of one shape.")
    bounds = None if range is None else _checked_range(range)
    count, height, width = shapes[0]
    scale = max(1, round(_SIDE / max(height, width))) if scale is None else check_int("scale", scale, 1)
    if columns is None:
        columns = count if is_list else _COLUMNS
    columns = min(check_int("columns", columns, 1), count)
    drawn = [
        _in_colours(row) if bounds is None and _is_mask(row) else _in_rgb(row, *(bounds or _range_of(row, rows)))
        for row in rows
    ]
    lines = [row[start : start + columns] for start in np.arange(0, count, columns) for row in drawn]
    return Image.fromarray(_pasted(lines, columns, scale))


def _pasted(lines: list[np.ndarray], columns: int, scale: int) -> np.ndarray:
    """Lines of at most so many tiles, (n, height, width, 3), on white."""
    height, width = lines[0].shape[1] * scale + _GAP, lines[0].shape[2] * scale + _GAP
    grid = np.full((len(lines) * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for row, line in enumerate(lines):
        for column, tile in enumerate(line.repeat(scale, axis=1).repeat(scale, axis=2)):
            top, left = _GAP + row * height, _GAP + column * width
            grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid


def _checked_range(range: Iterable[float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in range)
    except (TypeError, ValueError):
        raise TypeError(f"range is {shown(range)}; expected two numbers (low, high), for example (0, 255).") from None
    if not low < high:
        raise ValueError(f"range is {shown(range)}; expected (low, high) with low < high.")
    return low, high


def _array_of(name: str, row: object) -> np.ndarray:
    """A batch as NumPy's, of real numbers."""
    for part in row if isinstance(row, (list, tuple)) else [row]:
        check_not_masked(name, part)
    try:
        array = np.asarray(on_host(row))
    except ValueError:  # of lists of several shapes
        raise ValueError(
            f"{name} is {described(row)}, and others have another shape; expected (n, height, width, channels). Bring "
            "the pictures to one shape first, np.stack(pictures)."
        ) from None
    if array.dtype == object or (array.ndim < 3 and not hasattr(row, "shape")):
        raise TypeError(f"{name} is {described(row)}; expected an array (n, height, width, channels).")
    if array.dtype.kind in "cmM" or not (jnp.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers or bool.")
    return array


def _with_channels(row: np.ndarray) -> np.ndarray:
    """A batch of rank 4."""
    channels = row.shape[3:] if row.ndim == 4 else (1,)
    looks_like_one = row.ndim == 3 and row.shape[2] in (1, 3, 4)
    if row.ndim not in (3, 4) or channels[0] not in (1, 3, 4) or looks_like_one:
        remedy = " For a single image use images[None]." if looks_like_one else ""
        raise ValueError(
            f"images has shape {row.shape}; expected (n, height, width, channels) with 1, 3 or 4 channels, or grey "
            f"images (n, height, width).{remedy}"
        )
    return row.reshape(*row.shape[:3], *channels)


def _is_mask(row: np.ndarray) -> bool:
    if row.shape[3] != 1 or not (row.dtype == np.bool_ or jnp.issubdtype(row.dtype, np.integer)):
        return False
    return bool(((row == _IGNORED) | ((row >= 0) & (row < _NUM_LABELS))).all())


def _range_of(row: np.ndarray, rows: list[np.ndarray]) -> tuple[float, float]:
    """The range of all rows of one dtype."""
    if row.dtype == np.uint8:
        return 0, 255
    values = np.concatenate([other.astype(np.float32).ravel() for other in rows if other.dtype == row.dtype])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    for bound in (1, 255):
        if low >= 0 and high <= bound:
            return 0, bound
    return low, high if high > low else low + 1


def _in_rgb(row: np.ndarray, low: float, high: float) -> UInt8[np.ndarray, "n height width 3"]:
    levels = np.clip((np.nan_to_num(row.astype(np.float32), nan=low) - low) / (high - low), 0, 1)
    color = levels[..., :3] if levels.shape[3] > 1 else levels.repeat(3, axis=3)
    if levels.shape[3] == 4:
        color = color * levels[..., 3:] + (1 - levels[..., 3:])
    return (color * 255).round().astype(np.uint8)


def _in_colours(row: np.ndarray) -> UInt8[np.ndarray, "n height width 3"]:
    """Labels in the colours of Pascal VOC: black, then the bits of the label spread over red, green and blue."""
    if row.dtype == np.bool_:
        return row.astype(np.uint8).repeat(3, axis=3) * np.uint8(255)
    labels = np.arange(256)
    shades = [sum(((labels >> (3 * bit + channel)) & 1) << (7 - bit) for bit in (0, 1)) for channel in (0, 1, 2)]
    palette = np.stack(shades, axis=1).astype(np.uint8)
    palette[_IGNORED] = 255
    return palette[row[..., 0].astype(np.intp)]
