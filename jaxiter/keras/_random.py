"""One image changed by parameters drawn within ranges that the caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._functions import apply_affine_transform, apply_brightness_shift, apply_channel_shift
from ._params import stream


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
    theta = stream().uniform(-rg, rg)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, theta, 0, 0, 0, 1, 1, *axes, fill_mode, cval, interpolation_order)


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
    tx = stream().uniform(-hrg, hrg) * x.shape[row_axis]
    ty = stream().uniform(-wrg, wrg) * x.shape[col_axis]
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, tx, ty, 0, 1, 1, *axes, fill_mode, cval, interpolation_order)


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
    shear = stream().uniform(-intensity, intensity)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, 0, 0, shear, 1, 1, *axes, fill_mode, cval, interpolation_order)


def random_zoom(
    x: np.ndarray,
    zoom_range: Any,
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
    _check_pair("zoom_range", zoom_range)
    low, high = zoom_range[0], zoom_range[1]
    zx, zy = (1, 1) if low == 1 and high == 1 else stream().uniform(low, high, 2)
    axes = (row_axis, col_axis, channel_axis)
    return apply_affine_transform(x, 0, 0, 0, 0, zx, zy, *axes, fill_mode, cval, interpolation_order)


def random_channel_shift(x: np.ndarray, intensity_range: float, channel_axis: int = 0) -> np.ndarray:
    """The image with one number within `intensity_range` added, see `apply_channel_shift`.

    Example:
        >>> random_channel_shift(np.ones((3, 8, 8)), 20).shape
        (3, 8, 8)
    """
    return apply_channel_shift(x, stream().uniform(-intensity_range, intensity_range), channel_axis)


def random_brightness(x: np.ndarray, brightness_range: Any, scale: bool = True) -> np.ndarray:
    """The image times a factor within `brightness_range`, (low, high), see `apply_brightness_shift`.

    Raises:
        ValueError: If brightness_range has another length than 2.

    Example:
        >>> random_brightness(np.ones((8, 8, 3)), (0.5, 1.5)).shape
        (8, 8, 3)
    """
    _check_pair("brightness_range", brightness_range)
    return apply_brightness_shift(x, stream().uniform(brightness_range[0], brightness_range[1]), scale)


def _check_pair(name: str, value: Any) -> None:
    if len(value) != 2:
        raise ValueError(f"`{name}` should be a tuple or list of two floats, (low, high); got {value!r}.")
