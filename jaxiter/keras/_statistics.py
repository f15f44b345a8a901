"""`fit`, statistics of sample data as Keras computes them, and `standardize`, which applies them on the host."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._describe import described, shown
from .._host_rows import read_rows
from ..augment.internal import moments, whitening_bytes, whitening_cost, whitening_matrix
from ._arrays import check_images, check_real, images_of, short
from ._batch import apply_each
from ._draw import BatchContext, batch_context, draw_each
from ._forked import numpy_if_forked
from ._seed import stream_of
from ._settings import GeneratorLike, fitted_statistics, settings_of
from ._transform import KerasTransform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, DTypeLike

_AUGMENT_BLOCK = 128
_AT_ONCE_BYTES = 2**25
_MAX_WHITENING_BYTES = 2**34


class Samples:
    """The images as `fit` sees them, made when they are read: cast, rescaled and augmented."""

    def __init__(self, generator: GeneratorLike, images: Any, rescale: float | None):
        self.generator = generator
        self.images = images
        self.rescale = rescale
        self.transforms: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        size = self.images.shape[0] if self.transforms is None else len(self.transforms)
        return (size, *self.images.shape[1:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        if self.transforms is not None:
            return self._augmented(rows)
        return self.rescaled(self._read(*rows.indices(self.images.shape[0])))

    def _read(self, start: int, stop: int, step: int = 1) -> np.ndarray:
        """Rows counted over all rounds."""
        return read_rows("x", self.images, np.arange(start, stop, step) % self.images.shape[0])

    def rescaled(self, images: ArrayLike) -> np.ndarray:
        images = np.asarray(images).astype(self.generator.dtype)
        if not self.rescale:
            return images
        return (images * self.rescale).astype(_float_dtype(self.generator))  # Keras cannot rescale integers

    def _augmented(self, rows: slice) -> np.ndarray:
        assert self.transforms is not None
        blocks = [self.rescaled(self.images[:0])]
        for start in range(rows.start, min(rows.stop, len(self.transforms)), _AUGMENT_BLOCK):
            stop = min(start + _AUGMENT_BLOCK, rows.stop, len(self.transforms))
            images = self.rescaled(self._read(start, stop))
            transforms = self.transforms[start:stop]
            transform = KerasTransform.of(self.generator, images.shape[1:], images.dtype, standardize=False)
            blocks.append(np.asarray(apply_each(transform, images, transforms, _AUGMENT_BLOCK))[: len(images)])
        return np.concatenate(blocks)


class ChannelsLast:
    """Samples in the layout of `jaxiter.augment`, divided by one number for each channel."""

    def __init__(self, samples: Samples, divisor: ArrayLike = 1):
        generator = samples.generator
        self.samples = samples
        self.divisor = divisor
        self.axes = (0, generator.row_axis, generator.col_axis, generator.channel_axis)
        self.shape = tuple(samples.shape[axis] for axis in self.axes)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.samples[rows].transpose(self.axes) / self.divisor


def fit(generator: GeneratorLike, x: Any, augment: bool, rounds: int, seed: int | None) -> None:
    """Sets `mean`, `std` and `zca_whitening_matrix`, those that the generator's flags ask for."""
    images = images_of(x)
    check_images(
        "`.fit()`",
        images,
        images.shape,
        "channels_last" if generator.channel_axis == 3 else "channels_first",
        images.dtype,
    )
    size = _checked_rounds(rounds) * images.shape[0] if augment else images.shape[0]
    if generator.zca_whitening:
        _check_whitening((size, *images.shape[1:]))
    # As in Keras one stream for all images and rounds, though not NumPy's global one. A bad seed is always refused.
    state = stream_of(seed)
    samples = Samples(generator, images, numpy_if_forked(generator.rescale))
    if augment:
        if generator._overridden() & {"random_transform", "get_random_transform", "apply_transform"}:
            samples = _augmented_one_by_one(generator, samples, rounds, state)
        else:
            samples.transforms = draw_each(state, generator, images.shape[1:], size)
    if not (generator.featurewise_center or generator.featurewise_std_normalization or generator.zca_whitening):
        return
    needed = int(np.prod(samples.shape)) * _working_dtype(generator).itemsize
    _fit_at_once(generator, samples) if needed <= _AT_ONCE_BYTES else _fit_in_blocks(generator, samples)


def standardized(generator: GeneratorLike, x: Any) -> Any:
    """What `ImageDataGenerator.standardize` gives back."""
    if generator.preprocessing_function:
        x = _preprocessed(generator.preprocessing_function, x)
    settings = settings_of(generator)
    mean, std, whitening = fitted_statistics(settings, np.shape(x)).values()
    center, scale, rescale = settings.samplewise_center, settings.samplewise_std_normalization, settings.rescale
    if not (rescale or center or scale) and mean is None and std is None and whitening is None:
        return x
    x = _writable_floats(x, generator.dtype)
    if rescale:
        x *= rescale
    if center:
        x -= np.mean(x, keepdims=True)
    if scale:
        x /= np.std(x, keepdims=True) + 1e-6
    if mean is not None:
        x -= mean
    if std is not None:
        x /= std + 1e-6
    if whitening is not None:
        x = (x.reshape(-1, np.prod(x.shape[-3:])) @ whitening).reshape(x.shape)
    return x


def _fit_at_once(generator: GeneratorLike, samples: Samples) -> None:
    """Mean and deviation from sums in float64; the matrix by Keras' own operations, one by one, in float32.

    Where the images leave a direction without any variance, as with a constant border, its singular value is rounding
    alone, and so is the largest part of the matrix: the same operations are all that gives the same matrix.
    """
    x = samples[0 : samples.shape[0]].astype(_working_dtype(generator))
    axes = (0, generator.row_axis, generator.col_axis)
    if generator.featurewise_center or generator.featurewise_std_normalization:
        mean, std = moments(x.transpose(*axes, generator.channel_axis))
        if generator.featurewise_center:
            generator.mean = _per_channel(generator, mean)
        if generator.featurewise_std_normalization:
            generator.std = _per_channel(generator, std)
    if generator.zca_whitening:
        if generator.featurewise_center:
            x -= np.mean(x, axis=axes, keepdims=True)
        if generator.featurewise_std_normalization:
            x /= np.std(x, axis=axes, keepdims=True) + 1e-6
        flat = x.reshape(len(x), -1)
        directions, singular, _ = np.linalg.svd(flat.T, full_matrices=False)
        scale = np.sqrt(len(x)) / (singular + numpy_if_forked(generator.zca_epsilon))
        generator.zca_whitening_matrix = np.dot(directions * scale, directions.T)


def _fit_in_blocks(generator: GeneratorLike, samples: Samples) -> None:
    images: Any = ChannelsLast(samples)
    mean: Any = 0
    if generator.featurewise_center or generator.featurewise_std_normalization:
        means, std = moments(images)
        if generator.featurewise_center:
            mean, generator.mean = means, _per_channel(generator, means)
        if generator.featurewise_std_normalization:
            generator.std = _per_channel(generator, std)
            images, mean = ChannelsLast(samples, std + 1e-6), mean / (std + 1e-6)
    if generator.zca_whitening:
        whitening = whitening_matrix(images, mean, numpy_if_forked(generator.zca_epsilon))
        generator.zca_whitening_matrix = _in_layout(generator, images.shape[1:], whitening)


def _checked_rounds(rounds: Any) -> int:
    try:
        count = operator.index(rounds)
    except TypeError:
        raise TypeError(f"rounds is {shown(rounds)}; expected an integer of at least 1.") from None
    if count < 1:
        raise ValueError(f"rounds is {count}; expected an integer of at least 1.")
    return count


def _check_whitening(shape: tuple[int, ...]) -> None:
    if whitening_bytes(shape) > _MAX_WHITENING_BYTES:
        raise ValueError(f"zca_whitening for {whitening_cost(shape)}. Fit on smaller images, or switch it off.")


def _augmented_one_by_one(
    generator: GeneratorLike, samples: Samples, rounds: int, state: np.random.RandomState
) -> Samples:
    size = samples.images.shape[0]
    dtype = samples.rescaled(samples.images[:0]).dtype
    augmented = np.zeros((rounds * size, *samples.images.shape[1:]), dtype)
    with batch_context(BatchContext(None, state=state)):
        for position in range(len(augmented)):
            row = position % size
            augmented[position] = generator.random_transform(samples.rescaled(samples.images[row : row + 1])[0])
    return Samples(generator, augmented, rescale=None)


def _per_channel(generator: GeneratorLike, values: np.ndarray) -> np.ndarray:
    shape = [1, 1, 1]
    shape[generator.channel_axis - 1] = len(values)
    return values.reshape(shape).astype(_float_dtype(generator))


def _in_layout(generator: GeneratorLike, image_shape: tuple[int, ...], whitening: np.ndarray) -> np.ndarray:
    """The matrix for flattened images in the generator's own data format."""
    size = int(np.prod(image_shape))
    if generator.channel_axis == 1:
        whitening = whitening.reshape(*image_shape, *image_shape).transpose(2, 0, 1, 5, 3, 4)
    return whitening.reshape(size, size)


def _float_dtype(generator: GeneratorLike) -> np.dtype:
    """Of the figures: that of the data, if it is one of floats."""
    dtype = np.dtype(generator.dtype)
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def _working_dtype(generator: GeneratorLike) -> np.dtype:
    return np.promote_types(_float_dtype(generator), np.float32)


def check_function(function: Any) -> None:
    """Raises for a preprocessing_function that cannot be called; what is false switches it off, as in Keras."""
    if not callable(function) and (isinstance(function, np.ndarray) or function):
        raise TypeError(
            f"preprocessing_function is {shown(function)}; expected a function of one image that returns it, or None."
        )


def _preprocessed(function: Callable[[Any], Any], image: Any) -> Any:
    check_function(function)  # an attribute may be set at any time
    found = function(image)
    if isinstance(found, np.ndarray) and found.dtype.kind in "biuf":
        return found
    try:
        is_numbers = found is not None and np.asarray(found).dtype.kind in "biufVO"
    except (ValueError, TypeError):  # lists of different length
        is_numbers = False
    if not is_numbers:
        raise ValueError(
            f"preprocessing_function returned {described(found)}; expected the image, an array of real numbers."
            + (" End it with a return, also if it changes the array in place." if found is None else "")
        )
    return found


def _writable_floats(x: Any, dtype: DTypeLike) -> np.ndarray:
    """`x` itself if it can be changed in place, else a copy; integers, on which Keras fails, as floats."""
    if not isinstance(x, np.ndarray):
        given, x = x, np.array(x)
        if x.dtype.kind == "O" and x.ndim == 0 and not hasattr(given, "__float__"):
            raise TypeError(f"x is {short(given)}; expected an image, an array of real numbers.")
    check_real("x", x.dtype)
    if x.dtype.kind != "f":
        return x.astype(dtype if np.dtype(dtype).kind == "f" else np.float32)
    return x if x.flags.writeable else x.copy()
