"""Statistics of sample data for a generator, read in blocks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..augment import fit_statistics
from ._batch import RANDOM, apply_each
from ._brightness import CHANNELS
from ._numpy_iterator import as_array
from ._params import draw_each, drawing_from

_AUGMENT_BLOCK = 128
_MAX_WHITENING_BYTES = 2**34


class Samples:
    """The images as `fit` sees them, made when they are read: cast, rescaled, augmented, channels last."""

    def __init__(self, generator: Any, images: Any, rescale: Any):
        self.generator = generator
        self.images = images
        self.rescale = rescale
        self.transforms: np.ndarray | None = None
        self.divisor: Any = 1

    @property
    def shape(self) -> tuple[int, ...]:
        size = len(self.images) if self.transforms is None else len(self.transforms)
        return (size, *(self.images.shape[axis] for axis in self._axes[1:]))

    @property
    def _axes(self) -> tuple[int, int, int, int]:
        return (0, self.generator.row_axis, self.generator.col_axis, self.generator.channel_axis)

    def __getitem__(self, rows: slice) -> np.ndarray:
        images = self.rescaled(self.images[rows]) if self.transforms is None else self._augmented(rows)
        return images.transpose(self._axes) / self.divisor

    def rescaled(self, images: Any) -> np.ndarray:
        images = np.asarray(images).astype(self.generator.dtype)
        return (images * self.rescale).astype(images.dtype) if self.rescale else images

    def _augmented(self, rows: slice) -> np.ndarray:
        assert self.transforms is not None
        blocks = []
        for start in range(rows.start, min(rows.stop, len(self.transforms)), _AUGMENT_BLOCK):
            stop = min(start + _AUGMENT_BLOCK, rows.stop, len(self.transforms))
            images = self.rescaled(self.images[np.arange(start, stop) % len(self.images)])
            transforms = self.transforms[start:stop]
            dtype = self.generator.dtype
            batch = apply_each(self.generator, images, transforms, dtype, _AUGMENT_BLOCK, standardize=False)
            blocks.append(np.asarray(batch)[: len(images)])
        return np.concatenate(blocks)


def fit(generator: Any, x: Any, augment: bool, rounds: int, seed: Any) -> None:
    """Sets `mean`, `std` and `zca_whitening_matrix`, those that the generator asks for."""
    images = as_array(x)
    _check_images(generator, images.shape)
    samples = Samples(generator, images, generator.rescale)
    if augment:
        # As in Keras one stream for all images and rounds, though not NumPy's global one.
        state = np.random.RandomState(seed)
        if generator._overrides("random_transform", *RANDOM):
            samples = _augmented_one_by_one(generator, samples, rounds, state)
        else:
            samples.transforms = draw_each(state, generator, images.shape[1:], rounds * len(images))
    if generator.featurewise_center or generator.featurewise_std_normalization:
        statistics = fit_statistics(samples)
        if generator.featurewise_center:
            generator.mean = _per_channel(generator, statistics.mean)
        if generator.featurewise_std_normalization:
            generator.std = _per_channel(generator, statistics.std)
            samples.divisor = statistics.std + 1e-6
    if generator.zca_whitening:
        statistics = fit_statistics(samples, zca=True, epsilon=generator.zca_epsilon, max_bytes=_MAX_WHITENING_BYTES)
        generator.zca_whitening_matrix = _in_layout(generator, samples.shape[1:], statistics.whitening)


def _check_images(generator: Any, shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
        raise ValueError(f"x has shape {shape}; images for `.fit()` should have rank 4.")
    axis = generator.channel_axis
    if shape[axis] not in CHANNELS:
        warnings.warn(
            f'The generator\'s data_format is "{generator.data_format}", so axis {axis} of x should hold 1, 3 or 4 '
            f"channels; x has shape {shape} ({shape[axis]} channels).",
            stacklevel=4,
        )


def _augmented_one_by_one(generator: Any, samples: Samples, rounds: int, state: np.random.RandomState) -> Samples:
    size = len(samples.images)
    augmented = np.zeros((rounds * size, *samples.images.shape[1:]), generator.dtype)
    with drawing_from(state):
        for position in range(len(augmented)):
            row = position % size
            augmented[position] = generator.random_transform(samples.rescaled(samples.images[row : row + 1])[0])
    return Samples(generator, augmented, rescale=None)


def _per_channel(generator: Any, values: np.ndarray) -> np.ndarray:
    shape = [1, 1, 1]
    shape[generator.channel_axis - 1] = len(values)
    return values.reshape(shape).astype(_float_dtype(generator))


def _in_layout(generator: Any, image_shape: tuple[int, ...], whitening: Any) -> np.ndarray:
    """The matrix for flattened images in the generator's own data format."""
    size = int(np.prod(image_shape))
    if generator.channel_axis == 1:
        whitening = whitening.reshape(*image_shape, *image_shape).transpose(2, 0, 1, 5, 3, 4)
    return whitening.reshape(size, size).astype(_float_dtype(generator))


def _float_dtype(generator: Any) -> np.dtype:
    dtype = np.dtype(generator.dtype)
    return dtype if dtype.kind == "f" else np.dtype(np.float32)
