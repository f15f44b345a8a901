"""The parameters of an image, drawn as Keras draws them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

RandomTransform = dict[str, Any]
# (generator, image shape) -> parameters; or a NumPy stream, drawn from as Keras draws from the global one.
Source = Callable[[Any, Any], RandomTransform] | np.random.RandomState

# Where get_random_transform draws from while a batch or a fit is being made; otherwise from entropy. A subclass that
# overrides it and asks the original draws from here too, so that its batches follow from the seed as well.
_source: ContextVar[Source | None] = ContextVar("source", default=None)

# Keras' functions without a seed; NumPy's global stream is left alone.
entropy = np.random.RandomState()


@contextmanager
def drawing_from(source: Source) -> Generator[None, None, None]:
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def draw(generator: Any, img_shape: Any, seed: int | None = None) -> RandomTransform:
    """Parameters from the present source, or those of a seed."""
    source = _source.get()
    if isinstance(source, np.random.RandomState):
        if seed is not None:
            source.seed(seed)  # Keras has one stream: whatever is drawn after this follows from the seed too
        return draw_from_state(source, generator, img_shape)
    if seed is not None:
        return draw_from_state(np.random.RandomState(seed), generator, img_shape)
    return draw_from_state(entropy, generator, img_shape) if source is None else source(generator, img_shape)


def stream() -> np.random.RandomState:
    """What stands for NumPy's global stream: the replayed one while a batch of it is being made, else entropy."""
    source = _source.get()
    return source if isinstance(source, np.random.RandomState) else entropy


def draw_from_state(state: np.random.RandomState | _Columns, generator: Any, img_shape: Any) -> RandomTransform:
    """Parameters from a NumPy stream, draw for draw in Keras' order."""
    rows, cols = img_shape[generator.row_axis - 1], img_shape[generator.col_axis - 1]
    theta = _symmetric(state, generator.rotation_range) if generator.rotation_range else 0
    # Keras' own exchange: what is drawn for the height moves the picture sideways.
    tx = _shift(state, generator.height_shift_range, rows)
    ty = _shift(state, generator.width_shift_range, cols)
    shear = _symmetric(state, generator.shear_range) if generator.shear_range else 0
    low, high = generator.zoom_range[0], generator.zoom_range[1]
    zx, zy = (1, 1) if low == 1 and high == 1 else state.uniform(low, high, 2)
    flip_horizontal = (state.random_sample() < 0.5) * generator.horizontal_flip
    flip_vertical = (state.random_sample() < 0.5) * generator.vertical_flip
    intensity = None
    if generator.channel_shift_range != 0:
        intensity = _symmetric(state, generator.channel_shift_range)
    brightness = None
    if generator.brightness_range is not None:
        brightness = state.uniform(generator.brightness_range[0], generator.brightness_range[1])
    return {
        "theta": theta,
        "tx": tx,
        "ty": ty,
        "shear": shear,
        "zx": zx,
        "zy": zy,
        "flip_horizontal": flip_horizontal,
        "flip_vertical": flip_vertical,
        "channel_shift_intensity": intensity,
        "brightness": brightness,
    }


# Parameters of many images: a row for each, the fields those of a RandomTransform, with 0 where that has None.
_NAMES = ("theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical")
TRANSFORMS = np.dtype([(name, np.float64) for name in (*_NAMES, "channel_shift_intensity", "brightness")])


def draw_each(state: np.random.RandomState, generator: Any, img_shape: Any, count: int) -> np.ndarray:
    """The parameters of so many images, one after the other as in Keras, as an array of `TRANSFORMS`."""
    try:
        counted = _Columns(np.zeros((1, len(TRANSFORMS.fields or ()))))  # no field takes more than one
        draw_from_state(counted, generator, img_shape)
    except _NotUniform:
        rows = [as_row(draw_from_state(state, generator, img_shape)) for _ in range(count)]
        return np.array(rows, TRANSFORMS)
    transforms = np.zeros(count, TRANSFORMS)
    columns = _Columns(state.random_sample((count, counted.used)))
    for name, value in draw_from_state(columns, generator, img_shape).items():
        transforms[name] = 0 if value is None else value
    return transforms


_IDENTITY = dict.fromkeys(TRANSFORMS.names or (), 0) | {"zx": 1, "zy": 1}


def as_row(params: RandomTransform) -> tuple[Any, ...]:
    """The parameters as one of `TRANSFORMS`; what is missing changes nothing."""
    row = {name: params.get(name, nothing) for name, nothing in _IDENTITY.items()}
    row |= {name: bool(row[name]) for name in ("flip_horizontal", "flip_vertical")}
    return tuple(0 if value is None else value for value in row.values())


class _NotUniform(Exception):
    """A draw that takes another number of NumPy's words for every image."""


class _Columns:
    """Stands for a `RandomState` in `draw_from_state`: each of its draws is one for every image, a column."""

    def __init__(self, doubles: np.ndarray):
        self.doubles = doubles
        self.used = 0

    def random_sample(self) -> np.ndarray:
        self.used += 1
        return self.doubles[:, self.used - 1]

    def uniform(self, low: Any, high: Any, size: int | None = None) -> Any:
        low, high = float(low), float(high)
        columns = [low + (high - low) * self.random_sample() for _ in range(size or 1)]
        return columns[0] if size is None else columns

    def choice(self, *arguments: Any) -> NoReturn:
        raise _NotUniform

    randint = choice


def shifts(bounds: Any) -> bool:
    """Whether a shift range is on; Keras asks for the truth of it, which an array of several values has not."""
    return True if np.size(bounds) > 1 else bool(bounds)


def whole_steps(bounds: Any) -> int | None:
    """k of an integer range k >= 1, which draws from 0 ... k - 1; else None."""
    try:
        steps = operator.index(np.asarray(bounds).item())
    except (TypeError, ValueError):  # a float; a list of several values
        return None
    return steps if steps >= 1 and np.ndim(bounds) == 0 else None


def _shift(state: np.random.RandomState | _Columns, bounds: Any, size: int) -> Any:
    if not shifts(bounds):
        return 0
    steps = whole_steps(bounds)
    if steps is not None:  # what `choice` draws for an integer and for [-1, 1], in a fifth of its time
        return state.randint(0, steps) * (2 * state.randint(0, 2) - 1)
    drawn = state.choice(bounds) * state.choice([-1, 1]) if np.ndim(bounds) == 1 else _symmetric(state, bounds)
    return drawn * size if np.max(bounds) < 1 else drawn


def _symmetric(state: np.random.RandomState | _Columns, bound: Any) -> Any:
    return state.uniform(-bound, bound)
