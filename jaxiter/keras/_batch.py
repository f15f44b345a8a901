"""Rows of an array after the generator's methods: compiled where they are Keras' own, image by image where not."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from .._keys import Key
from ._config import NO_STATISTICS, Config, Ranges, Statistics, snapshot, with_standardize
from ._functions import numbers
from ._memory import to_numpy
from ._params import RandomTransform, Source, as_row, draw_each, draw_from_state, drawing_from
from ._transform import given_batch, given_params, random_batch, sample_one

RANDOM = ("get_random_transform", "apply_transform")


class Place(NamedTuple):
    """Where in the stream a batch is: what its images draw follows from this alone."""

    key: Key
    epoch: int
    rows: np.ndarray  # each image's row in the whole array


def transformed(
    generator: Any, images: np.ndarray, dtype: Any, place: Place | np.random.RandomState, length: int
) -> Any:
    """A batch of images of `dtype`, a NumPy or JAX array; what lies beyond as many as there are rows is to be cut off.

    Args:
        generator: Its methods are honoured if they are overridden; each image then goes through them on the host.
        images: The rows as they are stored.
        place: Decides what the images draw; or the stream that they draw from, one after the other.
        length: The number of images to compile for; a shorter batch is filled up.
    """
    dtype = np.dtype(dtype)
    if len(images) == 0:
        return np.zeros(images.shape, dtype)
    overrides = getattr(generator, "_overrides", lambda *names: True)
    if overrides(*RANDOM):
        return _one_by_one(generator, images.astype(dtype), place)
    by_hand = bool(generator.preprocessing_function) or overrides("standardize")
    if isinstance(place, np.random.RandomState):
        if by_hand:
            return _foreseen(generator, images, dtype, place, length)
        transforms = draw_each(place, generator, images.shape[1:], len(images))
        return apply_each(generator, images, transforms, dtype, length, standardize=True)
    settings = _settings(generator, images.shape[1:], dtype, standardize=not by_hand)
    if settings.change_nothing:
        batch: Any = images.astype(dtype)
    else:
        config, ranges, statistics = settings
        with numbers(config.arithmetic):
            inputs, index = filled_up(config, images, length), filled_up_index(place.rows, length)
            batch = random_batch(config, ranges, statistics, place.key, np.uint32(place.epoch), index, inputs)
    return _standardized_one_by_one(generator, to_numpy(batch, len(images))) if by_hand else batch


class _Settings(NamedTuple):
    config: Config
    ranges: Ranges
    statistics: Statistics

    @property
    def change_nothing(self) -> bool:
        return not self.config.changes and all(value is None for value in self.statistics)


def _settings(generator: Any, image_shape: tuple[int, ...], dtype: Any, *, standardize: bool) -> _Settings:
    config, ranges = snapshot(generator, image_shape, dtype)
    statistics = NO_STATISTICS
    if standardize:
        config, statistics = with_standardize(config, generator, image_shape)
    return _Settings(config, ranges, statistics)


def _one_by_one(generator: Any, images: np.ndarray, place: Place | np.random.RandomState) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with drawing_from(_source(place, position)):
            params = generator.get_random_transform(image.shape)
            image = generator.apply_transform(image, params)
            batch[position] = generator.standardize(image)
    return batch


def _foreseen(generator: Any, images: np.ndarray, dtype: Any, state: np.random.RandomState, length: int) -> np.ndarray:
    """A batch of the program, then standardized by hand, which may draw too between one image and the next.

    So the program's parameters are a guess, drawn from a copy of the stream; where it fails the host makes the picture.
    """
    transforms = draw_each(deepcopy(state), generator, images.shape[1:], len(images))
    batch = to_numpy(apply_each(generator, images, transforms, dtype, length, standardize=False), len(images))
    with drawing_from(state):
        for position, guess in enumerate(transforms.tolist()):
            params = draw_from_state(state, generator, images.shape[1:])
            if guess == as_row(params):
                image = batch[position].copy()
            else:
                image = generator.apply_transform(images[position].astype(dtype), params)
            batch[position] = generator.standardize(image)
    return batch


def _source(place: Place | np.random.RandomState, position: int) -> Source:
    if isinstance(place, Place):
        return KeyedSource(place.key, place.epoch, place.rows[position])
    return place


def _standardized_one_by_one(generator: Any, images: np.ndarray) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        batch[position] = generator.standardize(image)
    return batch


class KeyedSource:
    """Parameters of one image from the stream of the iterator: the first are those of the compiled batch."""

    def __init__(self, key: Key, epoch: int, index: Any):
        self.arguments = (key, np.uint32(epoch), np.uint32(index))
        self.call = 0

    def __call__(self, generator: Any, img_shape: Any) -> RandomTransform:
        config, ranges = snapshot(generator, tuple(img_shape), np.float32)
        params = sample_one(config, ranges, *self.arguments, np.uint32(self.call))
        self.call += 1
        drawn = {name: float(value) for name, value in params._asdict().items()}
        for name in ("theta", "shear"):
            drawn[name] = float(np.rad2deg(drawn[name]))
        for name in ("flip_horizontal", "flip_vertical"):
            drawn[name] = bool(drawn[name])
        absent: RandomTransform = {}
        if not config.channel_shift:
            absent["channel_shift_intensity"] = None
        if config.brightness_axis is None:
            absent["brightness"] = None
        return drawn | absent


def apply_each(
    generator: Any, images: np.ndarray, transforms: np.ndarray, dtype: Any, length: int, *, standardize: bool
) -> Any:
    """The images after one given transform each, as Keras' `apply_transform` makes them, and standardize if asked.

    Args:
        transforms: One of `TRANSFORMS` for each image.
        length: As for `transformed`, and as there what lies beyond the images is to be cut off.
    """
    settings = _settings(generator, images.shape[1:], dtype, standardize=standardize)
    if settings.change_nothing:
        return images.astype(dtype)
    config, ranges, statistics = settings
    rows, cols = images.shape[generator.row_axis], images.shape[generator.col_axis]
    given = given_params(config, np.pad(transforms, (0, max(0, length - len(images)))), rows, cols)
    with numbers(config.arithmetic):
        return given_batch(config, given, ranges.cval, statistics, filled_up(config, images, length))


def filled_up(config: Config, images: np.ndarray, length: int) -> np.ndarray:
    """The images for the program: short batches padded with zeros, and cast unless the cast is exact on the device."""
    images = images.astype(images.dtype.newbyteorder("="), copy=False)
    exact = np.can_cast(images.dtype, config.dtype) and images.dtype.kind in "buif" and images.dtype.itemsize <= 4
    # Integers are resampled in their own dtype, which decides how they are rounded.
    if not exact or (config.dtype.kind in "iu" and images.dtype != config.dtype):
        images = images.astype(config.dtype)
    missing = length - len(images)
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]) if missing > 0 else images


def filled_up_index(index: np.ndarray, length: int) -> np.ndarray:
    filled = np.zeros(max(length, len(index)), np.uint32)
    filled[: len(index)] = index
    return filled
