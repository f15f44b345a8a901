"""What a generator's attributes say at the moment of a call: ranges to draw from, sampling, statistics."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from .._checks import check_not_masked, is_forked
from .._describe import shown
from .._warn import warn
from ..augment.internal import check_sampling
from ._brightness import CHANNELS, check_channels
from ._forked import numpy_if_forked
from ._parameters import all_finite

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RANGES = (
    *("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range"),
    *("channel_shift_range", "brightness_range"),
)
AXES = ("row_axis", "col_axis", "channel_axis")
DRAWN_FROM = (*RANGES, "horizontal_flip", "vertical_flip", *AXES)
FEATUREWISE = {
    "mean": "featurewise_center",
    "std": "featurewise_std_normalization",
    "zca_whitening_matrix": "zca_whitening",
}
# What apply_transform and standardize read.
APPLIED = (
    *("fill_mode", "cval", "interpolation_order", *AXES, "rescale"),
    *("samplewise_center", "samplewise_std_normalization", *FEATUREWISE, *FEATUREWISE.values()),
)

GeneratorLike = Any  # an ImageDataGenerator, or another object with its methods and attributes

UNIFORM, WHOLE_STEPS, CHOICE = "uniform", "whole steps", "choice"
_COMPARED_BYTES = 2**16  # larger arrays count as changed: to compare them takes as long as to convert them


class Shift(NamedTuple):
    """A shift range. `values` is the bound, the number of whole steps, or all values to choose from."""

    values: Any
    unit: int | None  # pixels that a value of 1 means; None: one


class Ranges(NamedTuple):
    """What get_random_transform draws from; None where an option is off and draws nothing."""

    theta: Any  # degrees
    tx: Shift
    ty: Shift
    shear: Any  # degrees
    zoom: Any  # (low, high)
    flips: Any  # horizontal, vertical
    channel_shift: Any
    brightness: Any  # (low, high)

    def as_float32(self) -> Ranges:
        """The same as arrays for a compiled program, in which every option draws; flips become probabilities."""
        return Ranges(
            theta=np.float32(self.theta or 0),
            tx=_in_pixels(self.tx),
            ty=_in_pixels(self.ty),
            shear=np.float32(self.shear or 0),
            zoom=np.array((1, 1) if self.zoom is None else self.zoom, np.float32),
            flips=np.array([0.5 if flip else 0.0 for flip in self.flips], np.float32),
            channel_shift=np.float32(self.channel_shift or 0),
            brightness=np.array((1, 1) if self.brightness is None else self.brightness, np.float32),
        )


ShiftKinds = tuple[str, str]


def settings_of(generator: GeneratorLike) -> GeneratorLike:
    """The generator; in a forked process its attributes, of which JAX arrays are NumPy arrays there."""
    if not is_forked():
        return generator
    names = (name for name in dict.fromkeys((*DRAWN_FROM, *APPLIED)) if hasattr(generator, name))
    return SimpleNamespace(**{name: numpy_if_forked(getattr(generator, name)) for name in names})


def ranges_of(generator: GeneratorLike, image_shape: tuple[int, ...]) -> tuple[ShiftKinds, Ranges]:
    """How tx and ty are drawn, and all ranges, for images of one shape.

    Raises:
        TypeError, ValueError: For a range that is not made of finite numbers. TypeError for what is no shape.
    """
    generator = settings_of(generator)
    row_axis, col_axis = generator.row_axis - 1, generator.col_axis - 1
    try:
        rows, cols = image_shape[row_axis], image_shape[col_axis]
    except (TypeError, LookupError):
        raise TypeError(
            f"img_shape is {shown(image_shape)}; expected the shape of one image, for example (32, 32, 3)."
        ) from None
    for name in RANGES:
        _check_finite(name, getattr(generator, name))
    for name in ("rotation_range", "shear_range", "channel_shift_range"):
        _check_number(name, getattr(generator, name))
    # Keras' own exchange: what is drawn for the height moves the picture sideways.
    tx_kind, tx = _shift(generator.height_shift_range, rows)
    ty_kind, ty = _shift(generator.width_shift_range, cols)
    low, high = generator.zoom_range[0], generator.zoom_range[1]
    brightness = generator.brightness_range
    return (tx_kind, ty_kind), Ranges(
        theta=generator.rotation_range or None,
        tx=tx,
        ty=ty,
        shear=generator.shear_range or None,
        zoom=None if low == 1 and high == 1 else (low, high),
        flips=(generator.horizontal_flip, generator.vertical_flip),
        channel_shift=None if generator.channel_shift_range == 0 else generator.channel_shift_range,
        brightness=None if brightness is None else (brightness[0], brightness[1]),
    )


class Sampling(NamedTuple):
    """Everything about a resampling except its map. cval may be NaN or infinite."""

    fill_mode: str
    cval: float
    order: int


class SamplingError(RuntimeError, ValueError):
    """An unknown fill_mode or order: a RuntimeError of SciPy in Keras, a ValueError in the rest of this package."""


def checked_sampling(fill_mode: Any, cval: Any, order: Any) -> Sampling:
    """The three as the core takes them: any real number is a cval, any integer an order, bool too.

    Raises:
        SamplingError: For an unknown fill_mode or order. TypeError: If cval is no number.

    Example:
        >>> checked_sampling("wrap", np.float32(0.5), True)
        Sampling(fill_mode='wrap', cval=0.5, order=1)
    """
    with suppress(TypeError):
        order = int(operator.index(order))
    try:
        check_sampling(fill_mode, order, 0.0, order_name="interpolation_order")
    except ValueError as error:
        raise SamplingError(*error.args) from None
    if isinstance(cval, (str, bytes)) or cval is None or np.ndim(cval):
        raise TypeError(f"cval is {cval!r}; expected a number.")
    return Sampling(fill_mode, float(cval), order)


def fitted_statistic(generator: GeneratorLike, name: str) -> Any:
    """`generator.mean`, `.std` or `.zca_whitening_matrix`; None if its flag is off, or, with a warning, unfitted."""
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


def fitted_statistics(generator: GeneratorLike, shape: tuple[int, ...]) -> dict[str, np.ndarray | None]:
    """All of them by their names, for one image or a batch of this shape.

    Raises:
        TypeError: If one is no array of real numbers. ValueError: If it does not fit the images.
    """
    fitted = {name: fitted_statistic(generator, name) for name in FEATUREWISE}
    for name, value in fitted.items():
        if value is not None:
            fitted[name] = _real_array(name, value)
    for name in ("mean", "std"):
        if fitted[name] is not None and not np.all(np.isfinite(fitted[name])):
            raise ValueError(
                f"{name} is {shown(np.asarray(fitted[name]).tolist())}; expected finite numbers. Fit the generator on "
                f"images without NaN, or set generator.{name}."
            )
        if fitted[name] is not None and not _broadcasts(fitted[name].shape, shape):
            _refuse_statistic(generator, name, fitted[name].shape, shape)
    whitening, size = fitted["zca_whitening_matrix"], math.prod(shape[-3:])
    if whitening is not None and whitening.shape != (size, size):
        raise ValueError(
            f"zca_whitening_matrix has shape {whitening.shape}; images of shape {shape[-3:]} have {size} numbers. "
            "Fit the generator on images of the size that it is to whiten."
        )
    return fitted


def _real_array(name: str, value: Any) -> np.ndarray:
    check_not_masked(name, value)
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different length
        array = np.array(None)
    if array.dtype.kind not in "biufV" or array.dtype.type is np.void:  # V: bfloat16
        raise TypeError(f"{name} is {shown(value)}; expected an array of real numbers, such as fit finds.")
    return array


def _broadcasts(shape: tuple[int, ...], images: tuple[int, ...]) -> bool:
    lengths = zip(shape[::-1], images[::-1], strict=False)
    return len(shape) <= len(images) and all(own in (1, length) for own, length in lengths)


def _refuse_statistic(generator: GeneratorLike, name: str, found: tuple[int, ...], images: tuple[int, ...]) -> NoReturn:
    wanted = [1, 1, 1]
    axis = generator.channel_axis - 1
    wanted[axis] = images[-3:][axis] if len(images) > axis else 1
    remedy = "Fit the generator on images like these."
    if math.prod(found) == math.prod(wanted):
        remedy = f"Write generator.{name} = np.reshape(generator.{name}, {tuple(wanted)})."
    raise ValueError(
        f"{name} has shape {found}; images of shape {images[-3:]}, channels_{'first' if axis == 0 else 'last'}, take "
        f"one of shape {tuple(wanted)}, a number for each channel, or one that broadcasts to them. {remedy}"
    )


def is_fitted(generator: GeneratorLike) -> bool:
    """Whether every statistic that a flag asks for is there."""
    return all(getattr(generator, name) is not None for name, flag in FEATUREWISE.items() if getattr(generator, flag))


def checked_statistics(generator: GeneratorLike, image_shape: tuple[int, ...]) -> dict[str, np.ndarray | None]:
    """The fitted statistics by their names, None where a step is left out.

    Raises:
        ValueError: If one does not fit an image.
    """
    fitted = fitted_statistics(generator, image_shape)
    if isinstance(generator.rescale, (str, complex)) or np.ndim(generator.rescale) > 0:
        raise TypeError(f"rescale is {generator.rescale!r}; expected one number for all channels, or None.")
    _check_finite("rescale", generator.rescale)
    return fitted


def brightness_axis(generator: GeneratorLike, image_shape: tuple[int, ...]) -> int:
    """The axis that brightness takes for the channels: the generator's own, or else the last, as in Keras."""
    own = generator.channel_axis - 1
    axis = own if image_shape[own] in CHANNELS else 2
    check_channels(image_shape[axis])
    return axis


class Seen(NamedTuple):
    """Attributes of a generator at one moment; see `Watch`."""

    values: tuple[Any, ...]
    contents: list[Any]  # copies of what can be changed in place

    def is_same(self, other: Seen) -> bool:
        return all(map(operator.is_, self.values, other.values)) and self.contents == other.contents


class Watch:
    """Finds out whether attributes of a generator have changed, faster than reading what they mean."""

    def __init__(self, *names: str):
        self._read = operator.attrgetter(*names)

    def look(self, generator: GeneratorLike, *, into: bool = True) -> Seen:
        """The attributes now.

        Args:
            into: Also notice lists and arrays that are changed in place. Large arrays are then never the same.
        """
        values, contents = self._read(generator), []
        for value in values:
            if into and isinstance(value, _MUTABLE):
                contents.append(_contents_of(value))
        return Seen(values, contents)


_MUTABLE = (list, tuple, np.ndarray)  # a tuple may hold a list


def _contents_of(value: list | tuple | np.ndarray) -> object:
    """A copy that can be compared, of what can be changed in place."""
    if isinstance(value, (list, tuple)):
        copy = list(value)
        for place, item in enumerate(copy):
            if isinstance(item, _MUTABLE):
                copy[place] = _contents_of(item)
        return copy
    return (value.dtype, value.shape, value.tobytes()) if value.nbytes <= _COMPARED_BYTES else object()


def _in_pixels(shift: Shift) -> Shift:
    return Shift(np.asarray(np.asarray(shift.values, np.float64) * (shift.unit or 1), np.float32), None)


def _shift(bounds: ArrayLike, size: int) -> tuple[str, Shift]:
    """How Keras draws a shift within `bounds`: by their type, and in pixels unless the largest is below 1."""
    # Keras asks for the truth of the range, which an array of several values has not.
    if isinstance(bounds, float):  # nearly always, and ten times faster than an array
        return UNIFORM, Shift(bounds, size if bounds < 1 else None)
    if np.size(bounds) <= 1 and not bounds:
        return UNIFORM, Shift(0, None)
    if np.ndim(bounds) > 1:
        raise ValueError(f"a shift range is {bounds!r}; expected a number, or a sequence of numbers to choose from.")
    steps = _whole_steps(bounds)
    if steps is not None:
        return WHOLE_STEPS, Shift(steps, None)
    unit = size if np.max(bounds) < 1 else None
    return (CHOICE, Shift(np.asarray(bounds), unit)) if np.ndim(bounds) == 1 else (UNIFORM, Shift(bounds, unit))


def _whole_steps(bounds: ArrayLike) -> int | None:
    """k of an integer range k >= 1, which draws from 0 ... k - 1; else None."""
    try:
        steps = operator.index(np.asarray(bounds).item())
    except (TypeError, ValueError):  # a float; a list of several values
        return None
    return steps if steps >= 1 and np.ndim(bounds) == 0 else None


def _check_finite(name: str, value: ArrayLike | None) -> None:
    try:
        is_finite = value is None or all_finite(value)
    except (TypeError, ValueError):
        expected = "numbers" if isinstance(value, (list, tuple)) else "a number"
        raise TypeError(f"{name} is {shown(value)}; expected {expected}.") from None
    if not is_finite:
        raise ValueError(f"{name} is {value!r}; expected finite numbers.")


def _check_number(name: str, value: ArrayLike | None) -> None:
    if value is not None and not isinstance(value, (int, float)) and np.ndim(value) > 0:
        raise TypeError(f"{name} is {value!r}; expected one number, r for -r to r.")
