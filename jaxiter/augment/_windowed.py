"""Flips and shifts alone: every row of the result is one stretch of a row of the image.

With neither zoom, rotation nor shear all pixels of an image are mixed by the same two fractions, and neighbours come
from neighbours. On CPU whole rows are then read and mixed at a time, which makes vector instructions, where pixels
looked up one by one make none. For that the rows are mirrored and lengthened past their ends first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import fusion_barrier
from ._border import clamped, filled, reflected
from ._gather import slices_at
from ._grid import fixed
from ._reach import Plan
from ._transform import arithmetic_dtype

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Int, Num

_PADDING = {"nearest": "edge", "constant": "edge", "reflect": "symmetric"}


class _Stretches(NamedTuple):
    """Where the rows of the result begin among the bytes of the lengthened rows, and what lies in the image."""

    rows: Num[Array, " bytes"]
    lower: Int[Array, " height"]
    upper: Int[Array, " height"]
    inside: tuple[Bool[Array, " height"], Bool[Array, " row"]]


def is_windowed(plan: Plan | None, fill_mode: str) -> bool:
    """Not "wrap", where the last pixel and the first share a place: no padding gives that."""
    return plan is not None and plan.window is not None and fill_mode in _PADDING


def resample_windowed(
    image: Any, matrix: Any, fill_mode: str, cval: Any, order: int, plan: Plan
) -> Num[Array, "height width channels"]:
    """As `_warp.warp`, along a matrix that mirrors and shifts, by no more columns than `plan.window`."""
    height, width, channels = image.shape
    bits, window = plan.bits, plan.window
    assert window is not None
    row_offset, col_offset = fixed(matrix[0, 2], bits), fixed(matrix[1, 2], bits)
    upside_down, mirrored = matrix[0, 0] < 0, matrix[1, 1] < 0
    first_row, row_fraction = _split(row_offset, bits, order)
    # Columns count in the mirrored image; halves are rounded before they are turned round, as in the image itself.
    turned = np.int32((width - 1) << bits) - col_offset
    if order == 0:
        first_col, _ = _split(col_offset, bits, order)
        first_col, col_fraction = jnp.where(mirrored, np.int32(width - 1) - first_col, first_col), None
    else:
        first_col, col_fraction = _split(jnp.where(mirrored, turned, col_offset), bits, order)

    def stretches() -> _Stretches:
        facing = jnp.where(mirrored, image[:, ::-1], image)
        longer = jnp.pad(facing, ((0, 0), (window, window), (0, 0)), mode=_PADDING[fill_mode])
        index = jnp.arange(height, dtype=np.int32)
        index = jnp.where(upside_down, -index, index)
        along = jnp.arange(width, dtype=np.int32) << np.int32(bits)
        inside_rows = _is_inside((index << np.int32(bits)) + row_offset, height, bits)
        inside_cols = _is_inside(along + jnp.where(mirrored, turned, col_offset), width, bits)
        find = reflected if fill_mode == "reflect" else clamped
        start = (first_col + np.int32(window)) * np.int32(channels)
        lower, upper = (
            find(index + first_row + np.int32(down), height) * np.int32((width + 2 * window) * channels) + start
            for down in (0, 1)
        )
        return _Stretches(longer.reshape(-1), lower, upper, (inside_rows, jnp.repeat(inside_cols, channels)))

    found = fusion_barrier(stretches)  # or every place would be worked out again for every pixel

    def row(start: Any, right: int) -> Any:
        return slices_at(found.rows, start + np.int32(right * channels), width * channels)

    if col_fraction is None:
        result = row(found.lower, 0)
    else:
        dtype = arithmetic_dtype(image.dtype)

        def across(start: Any) -> Any:
            left, right = row(start, 0).astype(dtype), row(start, 1).astype(dtype)
            return left + (right - left) * col_fraction.astype(dtype)

        above, below = across(found.lower), across(found.upper)
        result = above + (below - above) * row_fraction.astype(dtype)
    rows_inside, cols_inside = found.inside
    return filled(result, rows_inside[:, None] & cols_inside, fill_mode, cval).reshape(image.shape)


def _split(offset: Any, bits: int, order: int) -> tuple[Any, Any]:
    """The first place of a row or column that is shifted so far: its index, and what is left."""
    if order == 0:
        return (offset + np.int32(1 << (bits - 1))) >> np.int32(bits), None
    part = offset & np.int32((1 << bits) - 1)
    return offset >> np.int32(bits), part.astype(np.float32) * np.float32(2.0**-bits)


def _is_inside(coordinate: Any, size: int, bits: int) -> Any:
    return (coordinate >= 0) & (coordinate <= np.int32((size - 1) << bits))
