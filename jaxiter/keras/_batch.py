"""Rows of an array after the generator's methods: compiled where they are Keras' own, image by image where not."""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from ._config import (
    NO_STATISTICS,
    Config,
    Ranges,
    Statistics,
    brightness_axis,
    snapshot,
    with_standardize,
    with_transforms,
)
from ._draws import Draws, Place
from ._functions import numbers
from ._memory import to_numpy
from ._params import TRANSFORMS, Source, as_row, draw_each, draw_from_state, drawing_from
from ._transform import given_batch, given_params, random_batch

Sources = Callable[[int], Source]  # what the image at a place of the batch draws from

# What apply_transform and standardize read: first what `with_transforms` takes.
_READ = (
    *("fill_mode", "cval", "interpolation_order", "row_axis", "col_axis", "channel_axis", "rescale"),
    *("samplewise_center", "samplewise_std_normalization", "featurewise_center", "featurewise_std_normalization"),
    *("zca_whitening", "mean", "std", "zca_whitening_matrix"),
)


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
    if overrides("apply_transform"):
        return _one_by_one(generator, images.astype(dtype), _sources(place, length))
    by_hand = bool(generator.preprocessing_function) or overrides("standardize")
    if overrides("get_random_transform"):
        if by_hand:
            return _one_by_one(generator, images.astype(dtype), _sources(place, length))
        return _with_own_parameters(generator, images, dtype, _sources(place, length), length)
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
        with numbers(settings.widest):
            inputs, index = filled_up(config, images, length), place.filled_up_rows(length)
            batch = random_batch(config, ranges, statistics, place.key, np.uint32(place.epoch), index, inputs)
    if not by_hand:
        return batch
    return _standardized_one_by_one(generator, to_numpy(batch, len(images)), _sources(place, length, first_call=1))


def _sources(place: Place | np.random.RandomState, length: int, first_call: int = 0) -> Sources:
    if isinstance(place, Place):
        return Draws(place, length, first_call).source
    state = place
    return lambda position: state


class _Settings(NamedTuple):
    config: Config
    ranges: Ranges
    statistics: Statistics

    @property
    def change_nothing(self) -> bool:
        return not self.config.changes and all(value is None for value in self.statistics)

    @property
    def widest(self) -> np.dtype:
        """What the program must be able to compute in."""
        whitening = self.statistics.whitening
        return self.config.arithmetic if whitening is None else whitening.dtype


def _settings(generator: Any, image_shape: tuple[int, ...], dtype: Any, *, standardize: bool) -> _Settings:
    config, ranges = snapshot(generator, image_shape, dtype)
    statistics = NO_STATISTICS
    if standardize:
        config, statistics = with_standardize(config, generator, image_shape)
    return _Settings(config, ranges, statistics)


def _one_by_one(generator: Any, images: np.ndarray, sources: Sources) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with drawing_from(sources(position)):
            params = generator.get_random_transform(image.shape)
            image = generator.apply_transform(image, params)
            batch[position] = generator.standardize(image)
    return batch


def _with_own_parameters(generator: Any, images: np.ndarray, dtype: Any, sources: Sources, length: int) -> Any:
    """Parameters from the generator's method, image by image; the pictures from the program.

    Images go through it together as long as the method leaves alone what the program is made from.
    """
    groups: list[_Group] = []
    for position in range(len(images)):
        with drawing_from(sources(position)):
            params = generator.get_random_transform(images.shape[1:])
        read = tuple(getattr(generator, name) for name in _READ)
        brightened = params.get("brightness") is not None
        if not groups or not groups[-1].takes(read, brightened):
            settings = _settings(generator, images.shape[1:], dtype, standardize=True)
            axis = brightness_axis(generator, images.shape[1:]) if brightened else None
            settings = settings._replace(config=settings.config._replace(brightness_axis=axis))
            groups.append(_Group(settings, read, []))
        groups[-1].rows.append(as_row(params))
    batches, start = [], 0
    for group in groups:
        stop = start + len(group.rows)
        batches.append(_given(*group.told(), images[start:stop], dtype, length if len(groups) == 1 else stop - start))
        start = stop
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


class _Group(NamedTuple):
    """Images with parameters of their own that one program can change together."""

    settings: _Settings
    read: tuple[Any, ...]
    rows: list[tuple[Any, ...]]

    def takes(self, read: tuple[Any, ...], brightened: bool) -> bool:
        same = brightened == (self.settings.config.brightness_axis is not None)
        return same and all(map(operator.is_, read, self.read))

    def told(self) -> tuple[_Settings, np.ndarray]:
        """The settings for the parameters as they are, and these as an array."""
        transforms = np.array(self.rows, TRANSFORMS)
        config, ranges, statistics = self.settings
        config, ranges = with_transforms(config, ranges, (self.read[0], self.read[1], self.read[2]), transforms)
        return _Settings(config, ranges, statistics), transforms


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


def _standardized_one_by_one(generator: Any, images: np.ndarray, sources: Sources) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with drawing_from(sources(position)):
            batch[position] = generator.standardize(image)
    return batch


def apply_each(
    generator: Any, images: np.ndarray, transforms: np.ndarray, dtype: Any, length: int, *, standardize: bool
) -> Any:
    """The images after one given transform each, as Keras' `apply_transform` makes them, and standardize if asked.

    Args:
        transforms: One of `TRANSFORMS` for each image, drawn from the generator's ranges.
        length: As for `transformed`, and as there what lies beyond the images is to be cut off.
    """
    settings = _settings(generator, images.shape[1:], dtype, standardize=standardize)
    return _given(settings, transforms, images, dtype, length)


def _given(settings: _Settings, transforms: np.ndarray, images: np.ndarray, dtype: Any, length: int) -> Any:
    if settings.change_nothing:
        return images.astype(dtype)
    config, ranges, statistics = settings
    config = config._replace(plan=None)  # made for what is drawn from the ranges; these may lie anywhere
    rows, cols = images.shape[1 + config.row_axis], images.shape[2 + config.row_axis]
    given = given_params(config, np.pad(transforms, (0, max(0, length - len(images)))), rows, cols)
    with numbers(settings.widest):
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
