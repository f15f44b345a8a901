"""Resampling an image along an affine map, with SciPy's borders, under `jit` and `vmap`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_fits
from ._border import clamped, reflected, turned_inwards, wrapped
from ._cast import round_to
from ._grid import Place, source_places
from ._spline import PADDING, coefficients, first_tap, margin, tap_weights, weighted_sum
from ._transform import arithmetic_dtype

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num

FILL_MODES = ("nearest", "constant", "reflect", "wrap")
ORDERS = (0, 1, 2, 3, 4, 5)
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
        order: Spline order, 0 to 5: 0 takes the nearest pixel, 1 interpolates linearly, 3 is cubic. All but 0 compute
            in float32 (integers past 2**24 lose their last bits) and may be differentiated with respect to image and
            matrix. From 2 on the image is prefiltered first, as a float copy: a pass of its own. Values then may
            overshoot those of the image.

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
    return compiled_warp(image, matrix, cval, fill_mode=fill_mode, order=order)


@partial(jax.jit, static_argnames=("fill_mode", "order"))
def compiled_warp(image: Any, matrix: Any, cval: Any, *, fill_mode: str, order: int) -> Any:
    """`affine_warp` without its door."""
    result = warp(image, matrix, fill_mode, cval, order)
    # A cast to bool would grow a mask by every pixel that it touches.
    return result >= np.float32(0.5) if image.dtype == np.bool_ and order else round_to(image.dtype, result)


def check_sampling(fill_mode: str, order: int, cval: Any) -> None:
    if not isinstance(fill_mode, str) or fill_mode not in FILL_MODES:
        raise ValueError(f"fill_mode is {fill_mode!r}; expected one of {', '.join(map(repr, FILL_MODES))}.")
    is_integer = isinstance(order, (int, np.integer)) and not isinstance(order, bool)
    if not is_integer or order not in ORDERS:
        raise ValueError(
            f"order is {order!r}; expected a spline order: 0 (nearest pixel), 1 (linear interpolation), 2, 3 (cubic), "
            "4 or 5."
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
    """`compiled_warp` before its last cast: order 0 keeps the dtype, others return float32 (float64 for float64)."""
    check_image(image)
    height, width, _ = image.shape
    if max(height, width) > _MAX_SIDE:
        raise ValueError(f"image is {height} by {width}; expected sides of at most {_MAX_SIDE} pixels.")
    rows, cols = source_places(jnp.asarray(matrix, np.float32), height, width)
    resampled = _by_spline if order > 1 else _by_neighbours
    result = resampled(image, rows, cols, fill_mode, order)
    if fill_mode == "constant":
        inside = rows.inside & cols.inside
        result = jnp.where(inside[..., None], result, round_to(result.dtype, jnp.asarray(cval, np.float32)))
    return result


def _by_neighbours(image: Any, rows: Place, cols: Place, fill_mode: str, order: int) -> Any:
    height, width, _ = image.shape
    gather = _gather(image)
    (above, below), (left, right) = (_neighbours(*axis, fill_mode) for axis in ((rows, height), (cols, width)))
    if order == 0:
        half = np.float32(0.5)
        return gather(jnp.where(rows.fraction >= half, below, above), jnp.where(cols.fraction >= half, right, left))
    dtype = arithmetic_dtype(image.dtype)
    row_fraction, col_fraction = (place.fraction[..., None].astype(dtype) for place in (rows, cols))

    def across(row: Any) -> Any:
        # Lerps `a + (b - a) * f` are exact where neighbours are equal, which a weighted sum is not.
        start, end = gather(row, left).astype(dtype), gather(row, right).astype(dtype)
        return start + (end - start) * col_fraction

    upper, lower = across(above), across(below)
    return upper + (lower - upper) * row_fraction


def _neighbours(place: Place, size: int, fill_mode: str) -> tuple[Any, Any]:
    """The two pixels between which a coordinate lies."""
    if fill_mode == "wrap":
        lower = wrapped(place.lower, place.remainder, place.inside, size)
        return lower, jnp.minimum(lower + np.int32(1), np.int32(size - 1))
    border = reflected if fill_mode == "reflect" else clamped
    return border(place.lower, size), border(place.lower + np.int32(1), size)


def _by_spline(image: Any, rows: Place, cols: Place, fill_mode: str, order: int) -> Any:
    dtype = arithmetic_dtype(image.dtype)
    height, width, _ = image.shape
    gather = _gather(coefficients(image, order, fill_mode, dtype))
    row, row_weights = _spline_taps(rows, height, fill_mode, order, dtype)
    col, col_weights = _spline_taps(cols, width, fill_mode, order, dtype)
    steps = [np.int32(step) for step in range(order + 1)]
    lines = [weighted_sum([gather(row + down, col + right) for right in steps], col_weights) for down in steps]
    return weighted_sum(lines, row_weights)


def _spline_taps(place: Place, size: int, fill_mode: str, order: int, dtype: Any) -> tuple[Any, list[Any]]:
    """The first of the coefficients that count at a coordinate along one axis, and the weights of all of them."""
    lower, fraction = place.lower, place.fraction
    if fill_mode == "wrap":
        lower = wrapped(lower, place.remainder, place.inside, size)
    elif fill_mode == "reflect":
        lower, fraction = turned_inwards(lower, fraction, size)
    else:
        reach = PADDING if fill_mode == "nearest" else 0
        first, last = -reach, size - 1 + reach
        fraction = jnp.where((lower < first) | (lower >= last), np.float32(0), fraction)
        lower = jnp.clip(lower, first, last)
    lower, fraction = first_tap(lower + np.int32(margin(order, fill_mode)), fraction, order)
    return lower, tap_weights(fraction[..., None].astype(dtype), order)


def _gather(image: Any) -> Any:
    height, width, channels = image.shape
    pixels = image.reshape(height * width, channels)

    def gather(row: Any, col: Any) -> Any:
        # Slices of `channels` values: XLA:CPU fuses these gathers into the arithmetic, gathers of scalars not.
        return pixels.at[row * np.int32(width) + col].get(mode="promise_in_bounds")

    return gather
