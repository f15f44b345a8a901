"""The parameters of one image, drawn as Keras draws them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

RandomTransform = dict[str, Any]
Source = Callable[[Any, Any], RandomTransform]  # (generator, image shape) -> parameters

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


def draw(generator: Any, img_shape: Any) -> RandomTransform:
    """Parameters from the present source."""
    source = _source.get()
    return draw_from_state(entropy, generator, img_shape) if source is None else source(generator, img_shape)


def draw_from_state(state: np.random.RandomState, generator: Any, img_shape: Any) -> RandomTransform:
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


def _shift(state: np.random.RandomState, bounds: Any, size: int) -> Any:
    if not shifts(bounds):
        return 0
    try:
        drawn = state.choice(bounds) * state.choice([-1, 1])
    except ValueError:
        drawn = _symmetric(state, bounds)
    return drawn * size if np.max(bounds) < 1 else drawn


def _symmetric(state: np.random.RandomState, bound: Any) -> Any:
    return state.uniform(-bound, bound)
