"""One image changed by parameters that the caller gives, or by those drawn within ranges that the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._checks import check_finite
from ..augment.internal import resample_on_host
from ._brightness import blend, check_channels
from ._draw import random_state
from ._forked import takes_jax_arrays
from ._parameters import check_bound, check_parameter, check_parameters
from ._settings import checked_sampling
from ._transform import affine_matrix, cast_as_scipy


@takes_jax_arrays
def apply_affine_transform(
    x: np.ndarray,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> np.ndarray:
    """The image turned, shifted, sheared and zoomed in one resampling, with its dtype kept.

    Args:
        x: One image of rank 3. It is not changed.
        theta, shear: Degrees.
        tx, ty: Pixels. tx moves along columns and ty along rows: a tx of 1 moves the picture left by one.
        zx, zy: Zoom; below 1 the picture grows.
        row_axis, col_axis, channel_axis: Where each axis is; channels first by default.
        fill_mode, cval, order: As in `jaxiter.affine_warp`; cval may be NaN or infinite.

    Returns:
        A new array, or `x` itself if all parameters are those of the identity.

    Raises:
        ValueError: For axes that are not 0, 1 and 2, channels in the middle and another rank, and, if anything is
            resampled, for a parameter that is not finite and an unknown fill_mode or order; these two are a
            RuntimeError too, as in Keras. TypeError for a parameter that is no number.

    Example:
        >>> x = np.arange(3.0)[None, None, :]
        >>> apply_affine_transform(x, tx=1).ravel().tolist()
        [1.0, 2.0, 2.0]
    """
    _check_axes(row_axis, col_axis, channel_axis)
    if x.ndim != 3:
        raise ValueError(f"x has shape {x.shape}; input arrays must be multi-channel 2D images, of rank 3.")
    if channel_axis == 1:
        raise ValueError("channel_axis is 1; channels are allowed on the first and the last axis, 0 or 2.")
    if is_identity(theta, tx, ty, shear, zx, zy):
        return x
    fill_mode, cval, order = checked_sampling(fill_mode, cval, order)
    params = {"theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy}
    check_parameters(params)
    rows, cols = x.shape[row_axis], x.shape[col_axis]
    upper = affine_matrix(np, params, rows, cols, exchanged=col_axis > row_axis)
    matrix: Any = np.array([*upper, (0, 0, 1)], np.float32)
    check_finite("matrix", matrix)
    # The picture as it lies in memory: with col_axis before row_axis its first axis is that of the columns.
    axes = (min(row_axis, col_axis), max(row_axis, col_axis), channel_axis)
    dtype = np.dtype(x.dtype).newbyteorder("=")
    image: Any = _resampled_as(np.transpose(np.asarray(x), axes))
    with np.errstate(all="ignore"):
        warped: Any = resample_on_host(image, matrix, fill_mode=fill_mode, cval=cval, order=order)
        warped = cast_as_scipy(dtype, warped, np)
    return np.ascontiguousarray(np.transpose(warped, np.argsort(axes)))


@takes_jax_arrays
def apply_channel_shift(x: np.ndarray, intensity: float, channel_axis: int = 0) -> np.ndarray:
    """The image with one number added to all channels, kept within its own least and greatest value.

    Raises:
        TypeError: If intensity is no number. ValueError: If it is NaN or infinite.

    Example:
        >>> apply_channel_shift(np.array([[[1.0, 2.0, 3.0]]]), 1.5).ravel().tolist()
        [2.5, 3.0, 3.0]
    """
    if not -x.ndim <= channel_axis < x.ndim:
        raise ValueError(f"channel_axis is {channel_axis}; x has shape {x.shape}.")
    check_bound("intensity", intensity, 0, several=True)
    return np.asarray(np.clip(x + intensity, np.min(x), np.max(x)))


@takes_jax_arrays
def apply_brightness_shift(x: np.ndarray, brightness: float, scale: bool = True) -> np.ndarray:
    """The image times a factor as Pillow does it: in whole numbers 0 to 255, cut off above and below.

    Args:
        x: One image, channels last: 1, 3 or 4; alpha is kept.
        brightness: The factor; 1 is no change, apart from the whole numbers.
        scale: Stretch the values to 0 ... 255 first. False: only if they do not lie there, and back again.

    Returns:
        float32; float64 for a float64 image that was stretched and brought back.

    Raises:
        ValueError: For another number of channels, and a factor that is NaN or infinite. TypeError: For one that is no
            number.

    Example:
        >>> apply_brightness_shift(np.array([[[10.0], [200.7]]]), 1.5, scale=False).ravel().tolist()
        [15.0, 255.0]
    """
    x = np.asarray(x)
    if x.ndim != 3:
        raise ValueError(f"x has shape {x.shape}; expected an array of rank 3, one image.")
    check_bound("brightness", brightness, 1)
    check_parameter("brightness", float(brightness), 1)  # which float32 has to hold
    return brighten(x, brightness, scale=scale)


def brighten(
    x: np.ndarray, brightness: float, *, scale: bool, channel_axis: int = 2, resampled: bool = False
) -> np.ndarray:
    check_channels(x.shape[channel_axis])
    low, high = np.min(x), np.max(x)
    factor = np.float32(brightness)
    result = blend(np, x, factor, (low, high), scale=scale, channel_axis=channel_axis, resampled=resampled)
    return result.levels if scale or not result.stretched else result.levels / 255 * (high - low) + low


@takes_jax_arrays
def flip_axis(x: np.ndarray, axis: int) -> np.ndarray:
    """The array in reverse along `axis`.

    Example:
        >>> flip_axis(np.array([[1, 2, 3]]), -1).tolist()
        [[3, 2, 1]]
    """
    return np.flip(np.asarray(x), axis)


@takes_jax_arrays
def transform_matrix_offset_center(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """The same 3x3 map with (x / 2 - 0.5, y / 2 - 0.5) as its origin.

    Example:
        >>> transform_matrix_offset_center(np.diag([2.0, 2.0, 1.0]), 3, 5).tolist()
        [[2.0, 0.0, -1.0], [0.0, 2.0, -2.0], [0.0, 0.0, 1.0]]
    """
    offset, reset = np.eye(3), np.eye(3)
    offset[:2, 2] = float(x) / 2 - 0.5, float(y) / 2 - 0.5
    reset[:2, 2] = -offset[:2, 2]
    return offset @ matrix @ reset


@takes_jax_arrays
def random_rotation(
    x: np.ndarray,
    rg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> np.ndarray:
    """The image turned by an angle within `rg` degrees to either side.

    Example:
        >>> random_rotation(np.ones((3, 8, 8)), 20).shape
        (3, 8, 8)
    """
    check_bound("rg", rg, 0)
    theta = random_state().uniform(-rg, rg)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, theta, 0, 0, 0, 1, 1, *axes, fill_mode, cval, interpolation_order)


@takes_jax_arrays
def random_shift(
    x: np.ndarray,
    wrg: float,
    hrg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> np.ndarray:
    """The image shifted by at most the fraction `wrg` of its width and `hrg` of its height.

    As in `apply_affine_transform`, what is drawn for the height moves it sideways.

    Example:
        >>> random_shift(np.ones((3, 8, 8)), 0.1, 0.1).shape
        (3, 8, 8)
    """
    check_bound("wrg", wrg, 0)
    check_bound("hrg", hrg, 0)
    tx = random_state().uniform(-hrg, hrg) * x.shape[row_axis]
    ty = random_state().uniform(-wrg, wrg) * x.shape[col_axis]
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, tx, ty, 0, 1, 1, *axes, fill_mode, cval, interpolation_order)


@takes_jax_arrays
def random_shear(
    x: np.ndarray,
    intensity: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> np.ndarray:
    """The image sheared by an angle within `intensity` degrees to either side.

    Example:
        >>> random_shear(np.ones((3, 8, 8)), 20).shape
        (3, 8, 8)
    """
    check_bound("intensity", intensity, 0)
    shear = random_state().uniform(-intensity, intensity)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, 0, 0, shear, 1, 1, *axes, fill_mode, cval, interpolation_order)


@takes_jax_arrays
def random_zoom(
    x: np.ndarray,
    zoom_range: Sequence[float],
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> np.ndarray:
    """The image zoomed along rows and columns by two factors within `zoom_range`, (low, high).

    Raises:
        ValueError: If zoom_range has another length than 2.

    Example:
        >>> random_zoom(np.ones((3, 8, 8)), (0.9, 1.1)).shape
        (3, 8, 8)
    """
    low, high = _checked_pair("zoom_range", zoom_range, several=True)
    zx, zy = (1, 1) if low == 1 and high == 1 else random_state().uniform(low, high, 2)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, 0, 0, 0, zx, zy, *axes, fill_mode, cval, interpolation_order)


@takes_jax_arrays
def random_channel_shift(x: np.ndarray, intensity_range: float, channel_axis: int = 0) -> np.ndarray:
    """The image with one number within `intensity_range` added, see `apply_channel_shift`.

    Example:
        >>> random_channel_shift(np.ones((3, 8, 8)), 20).shape
        (3, 8, 8)
    """
    check_bound("intensity_range", intensity_range, 0, several=isinstance(intensity_range, np.ndarray))
    return apply_channel_shift(x, random_state().uniform(-intensity_range, intensity_range), channel_axis)


@takes_jax_arrays
def random_brightness(x: np.ndarray, brightness_range: Sequence[float], scale: bool = True) -> np.ndarray:
    """The image times a factor within `brightness_range`, (low, high), see `apply_brightness_shift`.

    Raises:
        ValueError: If brightness_range has another length than 2.

    Example:
        >>> random_brightness(np.ones((8, 8, 3)), (0.5, 1.5)).shape
        (8, 8, 3)
    """
    low, high = _checked_pair("brightness_range", brightness_range)
    return apply_brightness_shift(x, random_state().uniform(low, high), scale)


def is_identity(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> bool:
    return bool(theta == 0 and tx == 0 and ty == 0 and shear == 0 and zx == 1 and zy == 1)


def _check_axes(row_axis: int, col_axis: int, channel_axis: int) -> None:
    axes = {row_axis, col_axis, channel_axis}
    if len(axes) != 3:
        raise ValueError(
            f"row_axis, col_axis and channel_axis are {row_axis}, {col_axis} and {channel_axis}; they must be distinct."
        )
    if axes != {0, 1, 2}:
        raise ValueError(f"Invalid axis: {sorted(axes - {0, 1, 2})}; expected 0, 1 and 2 for an image of rank 3.")


def _resampled_as(image: np.ndarray) -> np.ndarray:
    """In this machine's byte order; integers that float32 cannot hold, and bool, as float64."""
    if image.dtype.kind in "OSUc":
        raise TypeError(f"x has dtype {image.dtype}; expected real numbers.")
    if image.dtype.kind == "b" or (image.dtype.kind in "iu" and not np.can_cast(image.dtype, np.float32)):
        return image.astype(np.float64)
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def _checked_pair(name: str, value: Sequence[float], *, several: bool = False) -> tuple[Any, Any]:
    expected = f"`{name}` should be a tuple or list of two floats, (low, high); got {value!r}."
    if not isinstance(value, Sequence) and np.ndim(value) == 0:
        raise TypeError(expected)
    if len(value) != 2:
        raise ValueError(expected)
    low, high = value[0], value[1]
    check_bound(f"{name}[0]", low, 1, several=several)
    check_bound(f"{name}[1]", high, 1, several=several)
    return low, high
