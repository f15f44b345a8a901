"""Flips and shifts alone: every row of the result is one stretch of a row of the image.

With neither zoom, rotation nor shear all pixels of an image are mixed by the same two weights, and neighbours come
from neighbours. On CPU whole rows are then read and mixed at a time, which makes vector instructions, where pixels
looked up one by one make none. For that the rows are mirrored and lengthened past their ends first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ..._fusion_barrier import fusion_barrier
from .._types import Values
from ._border import BORDERS, fold_index
from ._coordinates import FixedPoint, fixed, is_inside, nearest, split
from ._interpolate import blended, blending, weight_bits
from ._ragged_image import slices_at
from ._taps import Taps

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Bool, Float, Num


def shifts_rows(point: FixedPoint, fill_mode: str) -> bool:
    """Whether `shift_rows` can; in "wrap" a row has no end that neighbours could be read across."""
    return point.padding is not None and BORDERS[fill_mode].pixels.pad is not None


def shift_rows(
    image: Num[Array, "height width channels"],
    matrix: Float[Array, "3 3"],
    fill_mode: str,
    order: int,
    point: FixedPoint,
) -> tuple[Num[Array, "height width channels"], Bool[Array, "height width channels"]]:
    """Order 0 or 1 along a matrix that mirrors and shifts, by no more columns than `point.padding`.

    Returns:
        The pixels, and which of them lie inside the image.
    """
    (_, width, channels), padding, pad = image.shape, point.padding, BORDERS[fill_mode].pixels.pad
    assert padding is not None  # as `shifts_rows` said
    assert pad is not None

    def places() -> tuple[jax.Array, Taps, Taps]:
        facing = jnp.where(matrix[1, 1] < 0, image[:, ::-1], image)
        longer = jnp.pad(facing, ((0, 0), (padding, padding), (0, 0)), mode=pad)
        rows, cols = _row_taps(matrix, image, fill_mode, order, point), _col_taps(matrix, image, order, point)
        return longer.reshape(-1), rows, cols

    values, rows, cols = fusion_barrier(places)  # or every place would be computed again for every pixel

    def pick(row: Values, col: Values, down: int, right: int) -> jax.Array:
        line = width + 2 * padding
        start = (row * np.int32(line) + col) * np.int32(channels) + np.int32((down * line + right) * channels)
        return slices_at(values, start, width * channels)

    result = blended(pick, rows, cols, image.dtype, blending(image.dtype, order))
    inside = rows.inside[:, None] & cols.inside[None]
    return jnp.reshape(result, image.shape), jnp.reshape(inside, image.shape)


def _row_taps(matrix: jax.Array, image: jax.Array, fill_mode: str, order: int, point: FixedPoint) -> Taps:
    """Of every row of the result; all have the same weights."""
    height, bits = image.shape[0], point.bits
    offset = fixed(jnp, matrix[0, 2], bits)
    index = jnp.arange(height, dtype=np.int32)
    index = jnp.where(matrix[0, 0] < 0, -index, index)
    first, weights = _first(offset, bits, order, image.dtype)
    rule = BORDERS[fill_mode].pixels
    taps = tuple(fold_index(jnp, index + first + np.int32(step), height, rule) for step in range(order + 1))
    return Taps(taps, weights, is_inside((index << np.int32(bits)) + offset, height, bits))


def _col_taps(matrix: jax.Array, image: jax.Array, order: int, point: FixedPoint) -> Taps:
    """Where the first column of the result begins, counted in the lengthened and mirrored image."""
    (_, width, channels), bits, mirrored = image.shape, point.bits, matrix[1, 1] < 0
    offset = fixed(jnp, matrix[1, 2], bits)
    # In a mirrored row a column is counted from the other end.
    turned = jnp.where(mirrored, np.int32((width - 1) << bits) - offset, offset)
    if order == 0:  # halves are rounded before they are turned round, as in the image itself
        first, weights = nearest(offset, bits), None
        first = jnp.where(mirrored, np.int32(width - 1) - first, first)
    else:
        first, weights = _first(turned, bits, order, image.dtype)
    first = first + np.int32(point.padding or 0)
    # A row is read as values and not as pixels, so every channel has its `inside`.
    along = jnp.arange(width, dtype=np.int32) << np.int32(bits)
    return Taps((first,), weights, jnp.repeat(is_inside(along + turned, width, bits), channels))


def _first(offset: Values, bits: int, order: int, dtype: DTypeLike) -> tuple[Values, tuple[Values, Values] | None]:
    """The first tap of a row or column that is shifted so far, and the weights."""
    if order == 0:
        return nearest(offset, bits), None
    first, fraction = split(offset, bits, weight_bits(dtype, order))
    return first, (np.float32(1) - fraction, fraction)
