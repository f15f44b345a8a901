"""Pictures brought to one size without distortion: the largest middle part of the wanted proportions, resized."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, overload

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_int, is_forked
from ._forked import takes_jax_arrays
from ._images import check_data_format

_Kernel: TypeAlias = Callable[[np.ndarray], np.ndarray]


@overload
def smart_resize(
    x: np.ndarray,
    size: Sequence[int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
    *,
    backend_module: Any = None,
) -> np.ndarray: ...
@overload
def smart_resize(
    x: jax.Array | Sequence[Any],
    size: Sequence[int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
    *,
    backend_module: Any = None,
) -> jax.Array: ...  # in a forked process NumPy's
@takes_jax_arrays
def smart_resize(
    x: Any,
    size: Sequence[int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
    *,
    backend_module: Any = None,
) -> np.ndarray | jax.Array:
    """The largest centred part of the picture that has the proportions of size, resized to it.

    Nothing is averaged where a picture shrinks, as in Keras: pixels between those that are read do not count. No size
    compiles anything, unless it is called under `jit`.

    Args:
        x: One picture (height, width, channels) or a batch of them, or as data_format says. It is not changed.
        size: (height, width) of the result.
        interpolation: "bilinear", "nearest", "bicubic" (Keys, a = -0.5), "lanczos3" or "lanczos5".
        data_format: "channels_last" or "channels_first".
        backend_module: Ignored; old scripts pass it.

    Returns:
        A NumPy array for a NumPy array, and in a forked process; otherwise a `jax.Array`. "nearest" keeps the dtype;
        the others give float32 for integers and keep floats.

    Raises:
        ValueError: For a rank other than 3 and 4, a picture without pixels, a size that is not two positive numbers, an
            unknown interpolation or data_format. TypeError for values that are no numbers.

    Example:
        >>> smart_resize(np.zeros((340, 500, 3)), (200, 200)).shape
        (200, 200, 3)
    """
    if len(size) != 2:
        raise ValueError(f"size is {size!r}; expected a tuple of 2 integers, (height, width).")
    height, width = (check_int(f"size[{i}]", side, 1) for i, side in enumerate(size))
    image = x if isinstance(x, jax.core.Tracer) else np.asarray(jax.device_get(x))
    if image.ndim not in (3, 4):
        raise ValueError(f"x has shape {image.shape}; expected rank 3 or 4, one picture or a batch of pictures.")
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"interpolation is {interpolation!r}; expected one of {', '.join(_INTERPOLATIONS)}.")
    check_data_format(data_format)
    if not (jnp.issubdtype(image.dtype, np.number) or image.dtype == bool):
        raise TypeError(f"x has dtype {image.dtype}; expected numbers.")
    axis = image.ndim - (3 if data_format == "channels_last" else 2)
    if 0 in image.shape[axis : axis + 2]:
        raise ValueError(f"x has shape {image.shape}; expected pictures with at least one pixel.")
    found = _resized(_middle(image, axis, height, width), axis, (height, width), interpolation)
    if isinstance(x, np.ndarray) or is_forked() or isinstance(found, jax.Array):
        return found
    on_one_device = isinstance(x, jax.Array) and len(x.devices()) == 1
    return jax.device_put(found, *x.devices()) if on_one_device else jax.device_put(found)


def _middle(image: Any, axis: int, height: int, width: int) -> Any:
    """The part of the picture that is resized; halves of pixels and parts of them are cut off, as in Keras."""
    rows, columns = image.shape[axis : axis + 2]
    sides = int(columns * height / width), int(rows * width / height)
    window = []
    for count, side in zip((rows, columns), sides, strict=True):
        side = max(min(count, side), 1)
        window.append(slice((count - side) // 2, (count - side) // 2 + side))
    return image[(slice(None),) * axis + tuple(window)]


def _resized(image: Any, axis: int, size: tuple[int, int], interpolation: str) -> Any:
    """The image, a NumPy array or a tracer, with two axes brought to size one after the other; always a new array."""
    xp: Any = jnp if isinstance(image, jax.core.Tracer) else np
    if interpolation == "nearest":
        for i, count in enumerate(size):
            image = xp.take(image, _nearest(image.shape[axis + i], count), axis + i)
        return image
    dtype = image.dtype if jnp.issubdtype(image.dtype, np.inexact) else np.dtype(np.float32)
    mixed = np.promote_types(dtype, np.float32)
    for i, count in enumerate(size):
        if image.shape[axis + i] == count:  # a weight of 0 would spread NaN
            continue
        places, weights = _taps(image.shape[axis + i], count, *_KERNELS[interpolation])
        weights = weights.astype(mixed).reshape(len(weights), count, *(1,) * (image.ndim - axis - i - 1))
        taps = (xp.take(image, at, axis + i).astype(mixed) * part for at, part in zip(places, weights, strict=True))
        image = functools.reduce(operator.add, taps)
    return image.astype(dtype)


def _nearest(count: int, size: int) -> np.ndarray:
    return (2 * np.arange(size) + 1) * count // (2 * size)


def _taps(
    count: int, size: int, radius: int, kernel: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of an axis make each of size places, and their weights, both (taps, size)."""
    centres = (np.arange(size) + 0.5) * (count / size) - 0.5
    places = np.floor(centres).astype(int) + np.arange(1 - radius, radius + 1)[:, None]
    weights = np.where((places >= 0) & (places < count), kernel(np.abs(centres - places)), 0)
    return np.clip(places, 0, count - 1), weights / weights.sum(axis=0)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


def _keys(x: np.ndarray) -> np.ndarray:
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(radius: int, x: np.ndarray) -> np.ndarray:
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


_KERNELS: dict[str, tuple[int, _Kernel]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, _keys),
    "lanczos3": (3, functools.partial(_lanczos, 3)),
    "lanczos5": (5, functools.partial(_lanczos, 5)),
}
_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
