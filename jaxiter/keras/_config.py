"""What a generator is set to, at the moment of a call: a static part, and numbers that may change freely."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._warn import warn
from ..augment.internal import Plan
from ._brightness import CHANNELS, check_channels
from ._matrix import reach_of
from ._params import shifts, whole_steps
from ._sampling import Sampling, checked_sampling

# How a shift is drawn: anywhere within its range, in whole steps, or one of so many values.
ANYWHERE, WHOLE_STEPS = "anywhere", "whole steps"
ShiftKind = str | int


class Config(NamedTuple):
    """What a program is compiled for."""

    tx: ShiftKind
    ty: ShiftKind
    affine: bool
    flips: bool
    channel_shift: bool
    brightness_axis: int | None  # the axis of the channels in an image; None: no brightness
    samplewise_center: bool
    samplewise_std: bool
    fill_mode: str
    order: int
    channels_first: bool
    dtype: np.dtype
    plan: Plan | None = None  # how maps drawn from the ranges are resampled; None: as any map

    @property
    def arithmetic(self) -> np.dtype:
        """What is computed in: float64 where float32 cannot hold the numbers."""
        narrow = np.can_cast(self.dtype, np.float32) or self.dtype == np.float16
        return np.dtype(np.float32 if narrow else np.float64)

    @property
    def changes(self) -> bool:
        """Whether anything happens to an image beside what `Statistics` holds."""
        return self.affine or self.flips or self.reduces

    @property
    def reduces(self) -> bool:
        """Whether a step asks for something of the whole image, its extremes or its mean."""
        of_extremes = self.channel_shift or self.brightness_axis is not None
        return of_extremes or self.samplewise_center or self.samplewise_std

    @property
    def row_axis(self) -> int:
        return 1 if self.channels_first else 0


class Ranges(NamedTuple):
    """What the draws are made from: traced, so that another range compiles nothing new."""

    theta: np.float32  # degrees
    tx: Any  # pixels; for whole steps their number, for a choice all values
    ty: Any
    shear: np.float32
    zoom: np.ndarray  # low, high
    flips: np.ndarray  # probability: horizontal, vertical
    channel_shift: np.float32
    brightness: np.ndarray  # low, high
    cval: np.float32 = np.float32(0)


class Statistics(NamedTuple):
    """What standardize needs beside the image; None: that step is off."""

    rescale: np.ndarray | None
    mean: np.ndarray | None
    scale: np.ndarray | None  # std + 1e-6
    whitening: np.ndarray | None


def snapshot_ranges(generator: Any, image_shape: tuple[int, ...]) -> tuple[tuple[ShiftKind, ShiftKind], Ranges]:
    """What get_random_transform draws from for images of one shape: how it draws tx and ty, and all ranges."""
    for name in RANGES:
        _check_finite(name, getattr(generator, name))
    for name in ("rotation_range", "shear_range", "channel_shift_range"):
        _check_number(name, getattr(generator, name))
    tx_kind, tx = _shift(generator.height_shift_range, image_shape[generator.row_axis - 1])
    ty_kind, ty = _shift(generator.width_shift_range, image_shape[generator.col_axis - 1])
    brightness = generator.brightness_range
    ranges = Ranges(
        theta=np.float32(generator.rotation_range or 0),
        tx=tx,
        ty=ty,
        shear=np.float32(generator.shear_range or 0),
        zoom=np.array((generator.zoom_range[0], generator.zoom_range[1]), np.float32),
        flips=np.array([0.5 if flip else 0.0 for flip in _flips(generator)], np.float32),
        channel_shift=np.float32(generator.channel_shift_range),
        brightness=np.array(brightness if brightness is not None else (1, 1), np.float32),
    )
    return (tx_kind, ty_kind), ranges


def snapshot(generator: Any, image_shape: tuple[int, ...], dtype: Any) -> tuple[Config, Ranges]:
    """The generator's attributes for images of one shape and dtype, without standardize's."""
    (tx_kind, ty_kind), ranges = snapshot_ranges(generator, image_shape)
    zoom = (generator.zoom_range[0], generator.zoom_range[1])
    shifted = shifts(generator.height_shift_range) or shifts(generator.width_shift_range)
    affine = bool(generator.rotation_range or generator.shear_range or shifted or zoom != (1, 1))
    sampling = _UNUSED
    if affine:
        sampling = checked_sampling(generator.fill_mode, generator.cval, generator.interpolation_order)
    brightness = generator.brightness_range
    config = Config(
        tx=tx_kind,
        ty=ty_kind,
        affine=affine,
        flips=any(_flips(generator)),
        channel_shift=bool(generator.channel_shift_range != 0),
        brightness_axis=None if brightness is None else brightness_axis(generator, image_shape),
        samplewise_center=False,
        samplewise_std=False,
        fill_mode=sampling.fill_mode,
        order=sampling.order,
        channels_first=generator.channel_axis == 1,
        dtype=np.dtype(dtype),
    )
    if affine:
        sides = image_shape[config.row_axis], image_shape[config.row_axis + 1]
        config = config._replace(plan=reach_of(ranges, *sides).plan(*sides))
    return config, ranges._replace(cval=np.float32(sampling.cval))


_UNUSED = Sampling("nearest", 0.0, 0)


def _flips(generator: Any) -> tuple[bool, bool]:
    return bool(generator.horizontal_flip), bool(generator.vertical_flip)


def with_transforms(
    config: Config, ranges: Ranges, sampling: tuple[Any, Any, Any], transforms: np.ndarray
) -> tuple[Config, Ranges]:
    """Both for given transforms, an array of `TRANSFORMS`, whatever the ranges of the generator are.

    Args:
        sampling: The generator's fill_mode, cval and interpolation_order, looked at only if something moves.
    """
    moved = any(np.any(transforms[name]) for name in ("theta", "tx", "ty", "shear"))
    moved |= any(np.any(transforms[name] != 1) for name in ("zx", "zy"))
    flipped = any(np.any(transforms[name]) for name in ("flip_horizontal", "flip_vertical"))
    if moved and not config.affine:
        fill_mode, cval, order = checked_sampling(*sampling)
        config = config._replace(affine=True, fill_mode=fill_mode, order=order)
        ranges = ranges._replace(cval=np.float32(cval))
    config = config._replace(
        tx=ANYWHERE,
        ty=ANYWHERE,
        flips=config.flips or flipped,
        channel_shift=config.channel_shift or bool(np.any(transforms["channel_shift_intensity"])),
    )
    return config, ranges


def with_standardize(config: Config, generator: Any, image_shape: tuple[int, ...]) -> tuple[Config, Statistics]:
    """The configuration with the steps of standardize, and what they need; a missing statistic is warned of."""
    config = config._replace(
        samplewise_center=bool(generator.samplewise_center),
        samplewise_std=bool(generator.samplewise_std_normalization),
    )
    number = config.arithmetic
    fitted = {name: fitted_statistic(generator, name) for name in FEATUREWISE}
    for name in ("mean", "std"):
        shape = np.shape(fitted[name]) if fitted[name] is not None else ()
        if np.broadcast_shapes(shape, image_shape) != tuple(image_shape):
            raise ValueError(f"{name} has shape {shape}; expected one that broadcasts to an image's {image_shape}.")
    std, whitening = fitted["std"], fitted["zca_whitening_matrix"]
    size = math.prod(image_shape)
    if whitening is not None and np.shape(whitening) != (size, size):
        raise ValueError(
            f"zca_whitening_matrix has shape {np.shape(whitening)}; images of shape {image_shape} have {size} numbers. "
            "Fit the generator on images of the size that it is to whiten."
        )
    if isinstance(generator.rescale, str) or np.ndim(generator.rescale) > 0:
        raise TypeError(f"rescale is {generator.rescale!r}; expected one number for all channels, or None.")
    return config, Statistics(
        rescale=np.asarray(generator.rescale, number) if generator.rescale else None,
        mean=None if fitted["mean"] is None else np.asarray(fitted["mean"], number),
        scale=None if std is None else np.asarray(std + 1e-6, number),
        # In its own precision: fit's float64, as Keras multiplies. Float32 is noise where a direction hardly varies.
        whitening=None if whitening is None else np.asarray(whitening, np.result_type(number, np.asarray(whitening))),
    )


NO_STATISTICS = Statistics(None, None, None, None)

FEATUREWISE = {
    "mean": "featurewise_center",
    "std": "featurewise_std_normalization",
    "zca_whitening_matrix": "zca_whitening",
}


def fitted_statistic(generator: Any, name: str) -> Any:
    """`generator.mean`, `.std` or `.zca_whitening_matrix`; None if it is not asked for, or unfitted: that warns."""
    flag = FEATUREWISE[name]
    if not getattr(generator, flag):
        return None
    value = getattr(generator, name)
    if value is None:
        warn(
            f"The generator's `{flag}` is on, but it has not been fitted, so this step is left out. Fit it first by "
            "calling `.fit(images)`."
        )
    return value


def brightness_axis(generator: Any, image_shape: tuple[int, ...]) -> int:
    """The axis that brightness takes for the channels: the generator's own, or else the last, as in Keras."""
    own = generator.channel_axis - 1
    axis = own if image_shape[own] in CHANNELS else 2
    check_channels(image_shape[axis])
    return axis


RANGES = (
    *("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range"),
    *("channel_shift_range", "brightness_range"),
)


def _check_finite(name: str, value: Any) -> None:
    if isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; expected a number.")
    if value is not None and not _is_finite(value):
        raise ValueError(f"{name} is {value!r}; expected finite numbers.")


def _check_number(name: str, value: Any) -> None:
    if value is not None and np.ndim(value) > 0:
        raise TypeError(f"{name} is {value!r}; expected one number, r for -r to r.")


def _is_finite(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    if isinstance(value, (int, float)):  # nearly always, and ten times faster than an array
        return math.isfinite(value)
    return bool(np.all(np.isfinite(np.asarray(value, np.float64))))


def _shift(bounds: Any, size: int) -> tuple[ShiftKind, Any]:
    if not shifts(bounds):
        return ANYWHERE, np.float32(0)
    steps = whole_steps(bounds)
    if steps is not None:
        return WHOLE_STEPS, np.float32(steps)
    unit = size if np.max(bounds) < 1 else 1
    values = np.asarray(bounds, np.float64) * unit
    if values.ndim > 1:
        raise ValueError(f"a shift range is {bounds!r}; expected a number, or a sequence of numbers to choose from.")
    return (values.size if values.ndim else ANYWHERE), values.astype(np.float32)
