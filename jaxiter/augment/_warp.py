"""Resampling an image along an affine map, with SciPy's borders, under `jit` and `vmap`.

Coordinates are int32 fixed-point numbers, so that a tap and its weight are two parts of one integer. A compiler
that computes a float coordinate twice may round it differently in the two places; then floor and fraction
disagree, and single pixels are wrong by the full contrast.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import check_fits
from ._cast import round_to
from ._transform import arithmetic_dtype, check_finite

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, Num

FILL_MODES = ("nearest", "constant", "reflect", "wrap")
ORDERS = (0, 1)
_MAX_SIDE = 2**16


def affine_warp(
    image: Num[Array, "height width channels"],
    matrix: Float[Array, "3 3"],
    *,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Num[Array, "height width channels"]:
    """The image resampled along `matrix`, as `scipy.ndimage.affine_transform` does it channel by channel.

    Args:
        image: (height, width, channels), any real dtype; sides up to 65,536. For a batch use `jax.vmap`.
        matrix: 3x3, maps output to source in (row, col, 1), pixel centres at integers. Build it with
            `rotation_matrix` and its siblings, `compose` and `about_centre`.
        fill_mode: What lies outside the image, in SciPy's meaning: "nearest", "constant", "reflect" or "wrap"
            (period n - 1, not n). "constant" has no blending: a pixel whose source lies outside is `cval`.
        cval: The constant of "constant".
        order: Spline order: 0 takes the nearest pixel, 1 interpolates linearly, in float32 (integers past 2**24 lose
            their last bits). Order 1 may be differentiated with respect to image and matrix.

    Returns:
        An image of the same shape and dtype. Integers are rounded half away from zero, as in SciPy; bool is taken
        as 0 and 1 and rounded too (SciPy cuts it off).

    Raises:
        ValueError: For another rank, matrix shape, fill_mode or order, a matrix or cval that is not finite, or
            64-bit integers that do not fit the 32 bits that JAX makes of them.

    Example:
        >>> import numpy as np
        >>> from jaxiter import affine_warp, shift_matrix
        >>> image = np.array([[10.0, 20.0, 30.0]])[..., None]
        >>> affine_warp(image, shift_matrix(0, 0.5))[..., 0].tolist()
        [[10.0, 15.0, 25.0]]
    """
    check_sampling(fill_mode, order, cval)
    check_image(image)
    _check_matrix(matrix)
    if isinstance(image, np.ndarray):
        check_fits("image", image)
    return _affine_warp(image, matrix, cval, fill_mode=fill_mode, order=order)


@partial(jax.jit, static_argnames=("fill_mode", "order"))
def _affine_warp(image: Any, matrix: Any, cval: Any, *, fill_mode: str, order: int) -> Any:
    result = warp(image, matrix, fill_mode, cval, order)
    # A cast to bool would grow a mask by every pixel that it touches.
    return result >= np.float32(0.5) if image.dtype == np.bool_ and order else round_to(image.dtype, result)


def check_sampling(fill_mode: str, order: int, cval: Any) -> None:
    if not isinstance(fill_mode, str) or fill_mode not in FILL_MODES:
        raise ValueError(f"fill_mode is {fill_mode!r}; expected one of {', '.join(map(repr, FILL_MODES))}.")
    is_integer = isinstance(order, (int, np.integer)) and not isinstance(order, bool)
    if not is_integer or order not in ORDERS:
        later = " Orders 2 to 5 do not exist yet: pass order=1." if is_integer and 2 <= order <= 5 else ""
        raise ValueError(
            f"order is {order!r}; the supported spline orders are 0 (nearest pixel) and 1 (linear interpolation)."
            f"{later}"
        )
    check_finite("cval", cval)


def check_image(image: Any) -> None:
    check_image_shape("image", getattr(image, "shape", None))
    if jnp.issubdtype(image.dtype, np.complexfloating):
        raise TypeError(f"image has dtype {image.dtype}; expected real numbers. Warp image.real and image.imag apart.")


def check_image_shape(name: str, shape: Any) -> None:
    if shape is None or len(shape) != 3:
        remedy = "For a grey image pass image[..., None], for a batch use jax.vmap."
        raise ValueError(f"{name} has shape {shape}; expected (height, width, channels). {remedy}")


def _check_matrix(matrix: Any) -> None:
    shape = getattr(matrix, "shape", None)
    if shape != (3, 3):
        got = f"has shape {shape}" if shape is not None else f"is a {type(matrix).__name__}"
        raise ValueError(
            f"matrix {got}; expected an array of shape (3, 3), output to source in (row, col, 1). Build it with "
            "rotation_matrix, shift_matrix ..., compose and about_centre, or np.asarray."
        )
    check_finite("matrix", matrix)


def warp(image: Any, matrix: Any, fill_mode: str, cval: Any, order: int) -> Num[Array, "height width channels"]:
    """`affine_warp` without its door: order 0 keeps the dtype, order 1 returns float32 (float64 for float64)."""
    check_image(image)
    height, width, channels = image.shape
    if max(height, width) > _MAX_SIDE:
        raise ValueError(f"image is {height} by {width}; expected sides of at most {_MAX_SIDE} pixels.")
    matrix = jnp.asarray(matrix, np.float32)
    grid = _source_grid(jax.lax.stop_gradient(matrix), height, width)
    rows = _axis_taps(grid.rows, matrix[0], grid, height, fill_mode)
    cols = _axis_taps(grid.cols, matrix[1], grid, width, fill_mode)
    pixels = image.reshape(height * width, channels)

    def gather(row: Any, col: Any) -> Any:
        # Slices of `channels` values: XLA:CPU fuses these gathers into the arithmetic, gathers of scalars not.
        return pixels.at[row * np.int32(width) + col].get(mode="promise_in_bounds")

    if order == 0:
        half = np.float32(0.5)
        row = jnp.where(rows.fraction >= half, rows.upper, rows.lower)
        col = jnp.where(cols.fraction >= half, cols.upper, cols.lower)
        result = gather(row, col)
    else:
        result = _bilinear(gather, rows, cols, arithmetic_dtype(image.dtype))
    if fill_mode == "constant":
        inside = rows.inside & cols.inside
        result = jnp.where(inside[..., None], result, round_to(result.dtype, jnp.asarray(cval, np.float32)))
    return result


def _bilinear(gather: Any, rows: _Taps, cols: _Taps, dtype: Any) -> Any:
    """Two lerps `a + (b - a) * f`: exact where neighbours are equal, which a weighted sum is not."""
    row_fraction, col_fraction = (taps.fraction[..., None].astype(dtype) for taps in (rows, cols))

    def across(row: Any) -> Any:
        left, right = gather(row, cols.lower).astype(dtype), gather(row, cols.upper).astype(dtype)
        return left + (right - left) * col_fraction

    above, below = across(rows.lower), across(rows.upper)
    return above + (below - above) * row_fraction


class _Grid(NamedTuple):
    """Source coordinates of every output pixel, fixed-point with `bits` fractional bits."""

    rows: Int[Array, "height width"]
    cols: Int[Array, "height width"]
    bits: Int[Array, ""]


class _Taps(NamedTuple):
    """The two neighbours of a coordinate along one axis, the way from one to the other, and whether it is inside."""

    lower: Int[Array, "height width"]
    upper: Int[Array, "height width"]
    fraction: Float[Array, "height width"]
    inside: Any


def _source_grid(matrix: Any, height: int, width: int) -> _Grid:
    row_bits, col_bits = (max(1, (side - 1).bit_length()) for side in (height, width))
    # As many fractional bits as the farthest coordinate leaves, from the exponents of the matrix: at 224 pixels
    # and an ordinary augmentation 19 or 20, a coordinate error of 1e-6 pixels.
    reach = np.array([row_bits, col_bits, 0], np.int32)
    # Coordinates past 2**28 pixels do not fit; cut off, they lie far outside all the same.
    limit = np.ldexp(np.float32(1), 27 - reach)
    matrix = jnp.clip(matrix[:2], -limit, limit)
    exponents = _exponent(jnp.max(jnp.abs(matrix), axis=0)) + np.int32(1) + reach
    bits = jnp.clip(np.int32(28) - jnp.max(exponents), np.int32(0), np.int32(24))

    def along(entries: Any, offset: Any) -> Any:
        from_rows = _multiples(entries[0], height, row_bits, bits) + _fixed(offset, bits)
        return from_rows[:, None] + _multiples(entries[1], width, col_bits, bits)[None, :]

    return _Grid(along(matrix[0, :2], matrix[0, 2]), along(matrix[1, :2], matrix[1, 2]), bits)


def _multiples(factor: Any, count: int, count_bits: int, bits: Any) -> Any:
    """`factor * arange(count)` in fixed point, the factor carrying `count_bits` more bits than the result.

    The product has up to 47 bits, so its upper and lower halves are made apart.
    """
    steps = jnp.arange(count, dtype=np.int32)
    fine = _fixed(factor, bits + np.int32(count_bits))
    high, low = fine >> np.int32(16), (fine & np.int32(0xFFFF)).astype(np.uint32)
    low_part = ((low * steps.astype(np.uint32)) >> np.uint32(count_bits)).astype(np.int32)
    return ((high * steps) << np.int32(16 - count_bits)) + low_part


def _fixed(x: Any, bits: Any) -> Any:
    return jnp.round(x * _power_of_two(bits)).astype(np.int32)


def _exponent(x: Any) -> Any:
    """e of a float32 in [2**e, 2**(e + 1)), exactly; -127 for 0."""
    return ((jax.lax.bitcast_convert_type(x, np.int32) >> np.int32(23)) & np.int32(0xFF)) - np.int32(127)


def _power_of_two(exponent: Any) -> Any:
    return jax.lax.bitcast_convert_type((exponent + np.int32(127)) << np.int32(23), np.float32)


@jax.custom_jvp
def _follows(fraction: Any, entries: Any) -> Any:
    """`fraction`, with the derivative of the coordinate that it is a part of: integers have none.

    `entries` is the row of the matrix that made the coordinate. Between two taps the derivative is exact.
    """
    return fraction


@_follows.defjvp
def _follows_jvp(primals: Any, tangents: Any) -> Any:
    fraction, _ = primals
    _, change = tangents
    row = jnp.arange(fraction.shape[0], dtype=np.float32)[:, None]
    col = jnp.arange(fraction.shape[1], dtype=np.float32)[None, :]
    return fraction, change[0] * row + change[1] * col + change[2]


def _axis_taps(coordinate: Any, entries: Any, grid: _Grid, size: int, fill_mode: str) -> _Taps:
    bits, last = grid.bits, np.int32(size - 1)
    lower = coordinate >> jnp.broadcast_to(bits, coordinate.shape)
    remainder = coordinate & ((np.int32(1) << bits) - np.int32(1))
    fraction = _follows(remainder.astype(np.float32) * _power_of_two(-bits), entries)
    inside = (lower >= 0) & ((lower < last) | ((lower == last) & (remainder == 0)))
    if fill_mode == "wrap":
        lower = _wrap(lower, remainder, inside, size)
        upper = jnp.minimum(lower + np.int32(1), last)
    else:
        border = _reflect if fill_mode == "reflect" else _clamp
        lower, upper = border(lower, size), border(lower + np.int32(1), size)
    return _Taps(lower, upper, fraction, inside)


def _clamp(tap: Any, size: int) -> Any:
    return jnp.minimum(jnp.maximum(tap, np.int32(0)), np.int32(size - 1))


def _reflect(tap: Any, size: int) -> Any:
    """Half-sample symmetric, d c b a | a b c d | d c b a: period 2 * size."""
    folded = _modulo(tap, 2 * size)
    return jnp.minimum(folded, np.int32(2 * size - 1) - folded)


def _wrap(tap: Any, remainder: Any, inside: Any, size: int) -> Any:
    """SciPy's wrap: period size - 1, the first and the last sample share a place."""
    if size == 1:
        return jnp.zeros_like(tap)
    period = size - 1
    folded = _modulo(tap, period)
    # Left of the image SciPy adds whole periods until it is past 0, so that exact multiples land on the last sample.
    folded = jnp.where((tap < 0) & (folded == 0) & (remainder == 0), np.int32(period), folded)
    return jnp.where(inside, tap, folded)


def _modulo(x: Any, period: int) -> Any:
    remainder = jax.lax.rem(x, jnp.full_like(x, period))
    return jnp.where(remainder < 0, remainder + np.int32(period), remainder)
