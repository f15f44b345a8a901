"""Resampling an image along an affine map, with SciPy's borders, under `jit` and `vmap`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import check_finite, check_fits, check_int, check_not_forked, check_not_masked, is_integer
from ..._describe import described
from ..._fusion_barrier import computed_once
from ..._transfers import transfers
from .._cast import round_to
from .._transform import arithmetic_dtype, frozen_value
from .._types import Side, Values
from ._border import BORDERS, mirror_axis
from ._border import FILL_MODES as FILL_MODES
from ._coordinates import FixedPoint, MatrixBounds, bounded_coordinates, source_coordinates, whole_coordinates
from ._fill import fill_value, filled
from ._interpolate import StoredImage, blending, interpolate, weight_bits
from ._ragged_image import RaggedImage
from ._row_shift import shift_rows, shifts_rows
from ._spline import coefficients, compiled_coefficients
from ._taps import bounded_taps, taps_at, whole_taps

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float, Num

ORDERS = (0, 1, 2, 3, 4, 5)
_MAX_SIDE = 2**16
_MOST_VALUES = 2**30  # rows are lengthened to at most twice their length, and an int32 counts their values
_SHORT = 64  # values in a row that is sooner read pixel by pixel than lengthened first


@transfers
def affine_warp(
    image: Num[Values, "height width channels"],
    matrix: Float[Values, "3 3"],
    *,
    size: tuple[int, int] | None = None,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Num[Array, "height width channels"]:
    """The image resampled along `matrix`, as `scipy.ndimage.affine_transform` does it channel by channel.

    Args:
        image: (height, width, channels), any real dtype; sides up to 65,536. For a batch use `jax.vmap`.
        matrix: 3x3, maps output to source in (row, col, 1), pixel centres at integers. Build it with
            `rotation_matrix` and its siblings, `compose` and `about_centre`.
        size: (height, width) of the result; None for that of the image.
        fill_mode: What lies outside the image, in SciPy's meaning: "nearest", "constant", "reflect" (edges repeat),
            "mirror" (edges do not), "grid-wrap" (period n) or "wrap" (period n - 1). "constant" has no blending: a
            pixel whose source lies outside is `cval`.
        cval: The constant of "constant", which the dtype of the image has to hold: with order 0 as it is, else as
            rounded as any pixel.
        order: Spline order, 0 to 5: 0 takes the nearest pixel, 1 interpolates linearly, 3 is cubic. All but 0 compute
            in float32 (integers past 2**24 lose their last bits) and may be differentiated with respect to image and
            matrix. From 2 on the image is prefiltered first, as a float copy: a pass of its own. Values then may
            overshoot those of the image.

    Returns:
        (height, width, channels) or (*size, channels), of the same dtype. Integers are rounded half away from zero, as
        in SciPy; bool is taken as 0 and 1 and rounded too (SciPy cuts it off).

    Raises:
        ValueError: For another rank, matrix shape, size, fill_mode or order, a matrix or cval that is not finite, a
            cval that the dtype cannot hold, or 64-bit integers that do not fit the 32 bits that JAX makes of them.

    Example:
        >>> import numpy as np
        >>> from jaxiter import affine_warp, shift_matrix
        >>> image = np.array([[10.0, 20.0, 30.0]])[..., None]
        >>> affine_warp(image, shift_matrix(0, 0.5))[..., 0].tolist()
        [[10.0, 15.0, 25.0]]
    """
    check_not_forked()
    cval = frozen_value(cval)
    check_sampling(fill_mode, order, cval)
    check_image(image)
    check_not_masked("image", image)
    _check_matrix(matrix)
    size = None if size is None else check_image_size("size", size)
    if isinstance(image, np.ndarray):
        check_fits("image", image)
    value = 0.0 if fill_mode != "constant" else _fill_of_warp(cval, image.dtype, order)
    return compiled_warp(image, matrix, value, fill_mode=fill_mode, order=order, size=size)


def _fill_of_warp(cval: ArrayLike, dtype: DTypeLike, order: int) -> ArrayLike:
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return fill_value(cval, arithmetic_dtype(dtype), rounded_to=dtype) if order else fill_value(cval, dtype)


@partial(jax.jit, static_argnames=("fill_mode", "order", "size"))
def compiled_warp(
    image: Values,
    matrix: Values,
    cval: ArrayLike,
    *,
    fill_mode: str,
    order: int,
    size: tuple[int, int] | None = None,
) -> Num[Array, "height width channels"]:
    """Unchecked version of `affine_warp`."""
    return round_to(image.dtype, resample(image, matrix, fill_mode=fill_mode, cval=cval, order=order, size=size))


def check_sampling(fill_mode: str, order: int, cval: object, *, order_name: str = "order") -> None:
    if not isinstance(fill_mode, str) or fill_mode not in FILL_MODES:
        raise ValueError(f"fill_mode is {fill_mode!r}; expected one of {', '.join(map(repr, FILL_MODES))}.")
    if not is_integer(order) or order not in ORDERS:
        raise ValueError(
            f"{order_name} is {order!r}; expected a spline order: 0 (nearest pixel), 1 (linear interpolation), 2, 3 "
            "(cubic), 4 or 5."
        )
    check_finite("cval", cval)


def check_image(image: Values | RaggedImage) -> None:
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        raise ValueError(
            f"image is {described(image)}; expected an array (height, width, channels). Make one with "
            "np.asarray(image)."
        )
    check_image_shape("image", image.shape)
    if jnp.issubdtype(image.dtype, np.complexfloating):
        raise TypeError(f"image has dtype {image.dtype}; expected real numbers. Warp image.real and image.imag apart.")
    if not (jnp.issubdtype(image.dtype, np.number) or image.dtype == np.bool_) or image.dtype.kind in "mM":
        raise TypeError(f"image has dtype {image.dtype}; expected real numbers or bool.")


def check_image_shape(name: str, shape: Sequence[int] | None) -> None:
    if shape is None or len(shape) != 3:
        remedy = "For a grey image pass image[..., None], for a batch use jax.vmap."
        raise ValueError(f"{name} has shape {shape}; expected (height, width, channels). {remedy}")


def check_image_size(name: str, size: object) -> tuple[int, int]:
    """`size` as a pair of Python ints."""
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"{name} is {size!r}; expected (height, width).")
    height, width = (check_int(f"{name}[{axis}]", side, 1, _MAX_SIDE + 1) for axis, side in enumerate(size))
    return height, width


def as_image_size(name: str, size: object) -> tuple[int, int]:
    """As `check_image_size`; one number is a square."""
    if is_integer(size):
        size = (size, size)
    elif not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"{name} is {described(size)}; expected (height, width), or one number for a square.")
    return check_image_size(name, size)


def _size_of(image: Values | RaggedImage) -> tuple[Any, Any]:
    height, width, _ = image.shape
    return height, width


def _check_sides(name: str, size: tuple[int, ...]) -> None:
    if max(size) > _MAX_SIDE:
        raise ValueError(f"{name} is {size[0]} by {size[1]}; expected sides of at most {_MAX_SIDE} pixels.")


def _check_matrix(matrix: object) -> None:
    shape = getattr(matrix, "shape", None)
    if shape != (3, 3):
        got = f"has shape {shape}" if shape is not None else f"is a {type(matrix).__name__}"
        raise ValueError(
            f"matrix {got}; expected an array of shape (3, 3), output to source in (row, col, 1). Build it with "
            "rotation_matrix, shift_matrix ..., compose and about_centre, or np.asarray."
        )
    check_finite("matrix", matrix)


def resample(
    image: Values,
    matrix: Values,
    *,
    fill_mode: str,
    cval: ArrayLike,
    order: int,
    bounds: MatrixBounds | FixedPoint | None = None,
    size: tuple[int, int] | None = None,
    source_size: tuple[Side, Side] | None = None,
    stored: StoredImage | None = None,
) -> Num[Array, "height width channels"]:
    """`affine_warp` without checks and without its last cast: order 0 keeps the dtype, others return float32 or 64.

    Args:
        bounds: Of the matrices that may come, for a faster program; static. None for any matrix.
        size: (height, width) of the result; by default that of `image`.
        source_size: (height, width), traced, of the picture in the upper left corner of `image`; the borders are the
            picture's, and what lies beyond is not read.
        stored: Where `image` was copied from.
    """
    return jnp.asarray(_resample(jnp, image, matrix, fill_mode, cval, order, bounds, size, source_size, stored))


def resample_ragged(
    image: RaggedImage, matrix: Values, *, fill_mode: str, cval: ArrayLike, order: int, size: tuple[int, int]
) -> Num[Array, "height width channels"]:
    """`resample` of one picture among others of different sizes; its borders are those of the picture."""
    check_image(image)
    assert order <= 1  # as the loader saw to
    matrix = computed_once(jnp.asarray(matrix, np.float32))
    return jnp.asarray(general_warp(jnp, image, matrix, fill_mode, cval, order, size))


def resample_on_host(
    image: np.ndarray,
    matrix: np.ndarray,
    *,
    fill_mode: str,
    cval: ArrayLike,
    order: int,
    bounds: MatrixBounds | FixedPoint | None = None,
) -> np.ndarray:
    """`resample` in NumPy, for pictures of many sizes: JAX would compile a program for each."""
    return np.asarray(_resample(np, image, matrix, fill_mode, cval, order, bounds))


def _resample(
    xp: ModuleType,
    image: Values,
    matrix: Values,
    fill_mode: str,
    cval: ArrayLike,
    order: int,
    bounds: MatrixBounds | FixedPoint | None,
    size: tuple[int, int] | None = None,
    source_size: tuple[Side, Side] | None = None,
    stored: StoredImage | None = None,
) -> Values:
    check_image(image)
    image = xp.asarray(image)  # for JAX NumPy's own under disable_jit
    own_size = _size_of(image)
    _check_sides("image", own_size)
    size = own_size if size is None else size
    point = bounds.fixed_point(own_size, size) if isinstance(bounds, MatrixBounds) else bounds
    is_whole = bounds is not None and bounds.is_whole and source_size is None and image.size < _MOST_VALUES
    order = 0 if is_whole else order  # nothing lies between two pixels
    matrix = xp.asarray(matrix, np.float32)
    if xp is jnp:
        matrix = computed_once(jnp.asarray(matrix))  # or a GPU makes it anew for every pixel
    if source_size is None and is_bounded(image, order) and (point is not None or is_whole):
        is_short = is_whole and image.shape[1] * image.shape[2] < _SHORT
        by_rows = size == own_size and point is not None and shifts_rows(point, fill_mode) and not is_short
        if by_rows and xp is jnp and point is not None:
            return _by_rows_on_cpu(image, stored, matrix, cval, fill_mode=fill_mode, order=order, point=point)
        return _by_bounded_pixels(xp, image, stored, matrix, cval, fill_mode, order, size, point, is_whole)
    return general_warp(xp, image, matrix, fill_mode, cval, order, size, source_size, stored)


def general_warp(
    xp: ModuleType,
    image: Values | RaggedImage,
    matrix: Values,
    fill_mode: str,
    cval: ArrayLike,
    order: int,
    size: tuple[int, int],
    source_size: tuple[Side, Side] | None = None,
    stored: StoredImage | None = None,
) -> Values:
    """For every order, border and matrix, in NumPy or JAX: `xp` is the namespace of both arrays."""
    bits, sides = weight_bits(image.dtype, order), source_size or _size_of(image)
    coordinates = source_coordinates(xp, matrix, size, sides, bits)
    dtype, blend = arithmetic_dtype(image.dtype), blending(image.dtype, order)
    rows, cols = (taps_at(xp, *axis, fill_mode, order, dtype) for axis in zip(coordinates, sides, strict=True))
    values = image
    if order > 1 and not isinstance(image, RaggedImage):
        image = image.astype(dtype)
        find = partial(coefficients, np) if xp is np else compiled_coefficients
        values, stored = find(image, order=order, fill_mode=fill_mode, size=source_size), None
    result = interpolate(xp, values, rows, cols, size, blend, stored)
    return filled(xp, result, (rows.inside & cols.inside)[..., None], fill_mode, cval)


# Compiled once for each config: the choice is made of closures, which without a program around them would be compiled
# anew, and kept, at every call.
@partial(jax.jit, static_argnames=("fill_mode", "order", "point"), inline=True)
def _by_rows_on_cpu(
    image: jax.Array,
    stored: StoredImage | None,
    matrix: jax.Array,
    cval: ArrayLike,
    *,
    fill_mode: str,
    order: int,
    point: FixedPoint,
) -> jax.Array:
    """By whole rows on CPU; elsewhere a pixel looked up is nothing slow."""

    def by_rows() -> Values:
        return filled(jnp, *shift_rows(image, matrix, fill_mode, order, point), fill_mode, cval)

    def by_pixels() -> Values:
        size = _size_of(image)
        return _by_bounded_pixels(jnp, image, stored, matrix, cval, fill_mode, order, size, point, point.is_whole)

    return jax.lax.platform_dependent(cpu=by_rows, default=by_pixels)


def _by_bounded_pixels(
    xp: ModuleType,
    image: Values,
    stored: StoredImage | None,
    matrix: Values,
    cval: ArrayLike,
    fill_mode: str,
    order: int,
    size: tuple[int, int],
    point: FixedPoint | None,
    is_whole: bool,
) -> Values:
    """Orders 0 and 1 along a matrix within known bounds."""
    bits, sides = weight_bits(image.dtype, order), _size_of(image)
    if is_whole or point is None:
        coordinates = whole_coordinates(xp, matrix, size)
        rows, cols = (whole_taps(xp, *axis, fill_mode) for axis in zip(coordinates, sides, strict=True))
    else:
        plus = mirror_axis(BORDERS[fill_mode].pixels, point.bits) if order else 0
        coordinates = bounded_coordinates(xp, matrix, size, point, plus)
        axes = zip(coordinates, sides, strict=True)
        rows, cols = (bounded_taps(xp, *axis, fill_mode, order, point, bits) for axis in axes)
    result = interpolate(xp, image, rows, cols, size, blending(image.dtype, order), stored)
    if bits is not None and rows.weights is not None:
        result = result * np.float32(2.0 ** (-2 * bits))
    return filled(xp, result, (rows.inside & cols.inside)[..., None], fill_mode, cval)


def is_bounded(image: Values, order: int) -> bool:
    """Whether bounds on the matrix make a faster program for such an image."""
    return order <= 1 and image.size < _MOST_VALUES
