"""Rows of an array after the generator's methods: compiled where they are Keras' own, image by image where not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._keys import Key
from ._config import NO_STATISTICS, Config, snapshot, with_standardize
from ._functions import numbers
from ._params import RandomTransform, drawing_from
from ._transform import Params, given_batch, random_batch, sample_one

RANDOM = ("get_random_transform", "apply_transform")


class Place(NamedTuple):
    """Where in the stream a batch is: what its images draw follows from this alone."""

    key: Key
    epoch: int
    rows: np.ndarray  # each image's row in the whole array


def transformed(generator: Any, images: np.ndarray, dtype: Any, place: Place, length: int) -> Any:
    """A batch of images of `dtype`, a NumPy or JAX array; what lies beyond as many as there are rows is to be cut off.

    Args:
        generator: Its methods are honoured if they are overridden; each image then goes through them on the host.
        images: The rows as they are stored.
        length: The number of images to compile for; a shorter batch is filled up.
    """
    dtype = np.dtype(dtype)
    if len(images) == 0:
        return np.zeros(images.shape, dtype)
    overrides = getattr(generator, "_overrides", lambda *names: True)
    if overrides(*RANDOM):
        return _one_by_one(generator, images.astype(dtype), place)
    config, ranges = snapshot(generator, images.shape[1:], dtype)
    by_hand = bool(generator.preprocessing_function) or overrides("standardize")
    statistics = NO_STATISTICS
    if not by_hand:
        config, statistics = with_standardize(config, generator, images.shape[1:])
    if config.changes or any(value is not None for value in statistics):
        with numbers(config.arithmetic):
            inputs, index = filled_up(config, images, length), filled_up_index(place.rows, length)
            epoch = np.uint32(place.epoch)
            batch: Any = random_batch(config, ranges, statistics, place.key, epoch, index, inputs)
    else:
        batch = images.astype(dtype)
    return _standardized_one_by_one(generator, np.array(np.asarray(batch)[: len(images)])) if by_hand else batch


def _one_by_one(generator: Any, images: np.ndarray, place: Place) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with drawing_from(KeyedSource(place.key, place.epoch, place.rows[position])):
            params = generator.get_random_transform(image.shape)
            image = generator.apply_transform(image, params)
            batch[position] = generator.standardize(image)
    return batch


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
    generator: Any, images: np.ndarray, transforms: list[RandomTransform], dtype: Any, length: int
) -> np.ndarray:
    """The images after one given transform each, as Keras' `apply_transform` makes them, compiled for `length`."""
    config, ranges = snapshot(generator, images.shape[1:], dtype)
    missing = max(0, length - len(images))

    def column(name: str) -> Any:
        values = np.array([0 if transform[name] is None else transform[name] for transform in transforms], np.float64)
        values = np.deg2rad(values) if name in ("theta", "shear") else values
        return np.pad(values, (0, missing)).astype(np.float32)

    params = Params(*(column(name) for name in Params._fields))
    with numbers(config.arithmetic):
        batch = given_batch(config, params, ranges.cval, NO_STATISTICS, filled_up(config, images, length))
        return np.asarray(batch)[: len(images)]


def filled_up(config: Config, images: np.ndarray, length: int) -> np.ndarray:
    """The images for the program: short batches padded with zeros, and cast unless the cast is exact on the device."""
    exact = np.can_cast(images.dtype, config.dtype) and images.dtype.kind in "buif" and images.dtype.itemsize <= 4
    # Integers are resampled in their own dtype, which decides how they are rounded.
    if not exact or (config.dtype.kind in "iu" and images.dtype != config.dtype):
        images = images.astype(config.dtype)
    missing = length - len(images)
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]) if missing > 0 else images


def filled_up_index(index: np.ndarray, length: int) -> np.ndarray:
    return np.pad(index.astype(np.uint32), (0, max(0, length - len(index))))
