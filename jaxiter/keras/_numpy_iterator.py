"""Batches of an array, with whatever belongs to its images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._host_rows import read_rows
from .._transfers import transfers
from .._warn import warn
from ..host.internal import save_whole
from ._batch import TransformCache, to_numpy, transformed
from ._brightness import CHANNELS
from ._draw import RowKeys, context_of
from ._images import array_to_img
from ._iterator import Iterator
from ._pydataset import check_made_here
from ._seed import Seed
from ._settings import GeneratorLike
from ._subset import subset_rows
from ._transform import wide_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

OUTPUTS = ("numpy", "jax")


class NumpyArrayIterator(Iterator):
    """An endless iterator over augmented batches of images, with labels and weights.

    The array stays as it is (uint8, a memmap); rows are cast when a batch is made. What becomes of an image depends
    on the seed, the epoch and its row in the array, and not on the batch size, the order or the subset.

    Args:
        x: Images of rank 4, or (images, others): another array or a list of arrays that are cut into batches too.
        y: Labels, any array; None: batches hold images alone.
        image_data_generator: Its get_random_transform, apply_transform and standardize make the batches. Its
            attributes are read anew for every batch.
        batch_size, shuffle, seed: As for `Iterator`.
        sample_weight: One for each image.
        data_format: "channels_last", the default, or "channels_first".
        save_to_dir: An existing folder for pictures of every batch, named {prefix}_{index}_{number}.{format}.
        save_prefix, save_format: See save_to_dir.
        subset: "validation": the generator's validation_split, from the start of the arrays; "training": the rest.
        ignore_class_split: Do not ask for the same labels in both subsets.
        dtype: Of the batches; float32 by default.
        output: "numpy", or "jax": the images stay on the device.
        rng: None, or "keras": order, parameters, file numbers and so the batches are those of Keras for an integer
            seed, as long as nothing else drew from NumPy there. What becomes of an image then depends on the number
            of batches seen and on its place in the batch. Functions that draw from NumPy themselves are not replayed.

    Raises:
        ValueError: For arrays of different length, images of another rank, an unknown subset, output or rng, subsets
            with different labels, and with rng="keras" for a seed that is a JAX key or outside [0, 2**32), or that
            has got there by adding the number of batches seen.
        TypeError: For an unknown dtype.

    Example:
        >>> from jaxiter.keras import ImageDataGenerator
        >>> images, labels = np.zeros((5, 8, 8, 3), np.uint8), np.arange(5)
        >>> it = NumpyArrayIterator(images, labels, ImageDataGenerator(rotation_range=10), batch_size=4, seed=0)
        >>> x, y = next(it)
        >>> x.shape, x.dtype.name, y.tolist()
        ((4, 8, 8, 3), 'float32', [0, 1, 2, 3])
    """

    def __init__(
        self,
        x: Any,
        y: ArrayLike | None,
        image_data_generator: GeneratorLike,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: ArrayLike | None = None,
        seed: Seed = None,
        data_format: str | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: DTypeLike | None = None,
        *,
        output: str = "numpy",
        rng: str | None = None,
    ):
        self.data_format = "channels_last" if data_format is None else data_format
        self.dtype = "float32" if dtype is None else dtype
        hint = _hint(x)
        x, x_misc = _images_and_others(x)
        _check_length("y` (labels)", x, y, hint)
        _check_length("sample_weight`", x, sample_weight, hint)
        rows = slice(0, len(x) if x.shape else 0)
        if subset is not None:
            rows = subset_rows(subset, image_data_generator, len(x), None if ignore_class_split else y)
        np.dtype(self.dtype)  # raises what NumPy says of a name that it does not know
        self._set_source(x, rows)
        _check_images(self.data_format, self._shape)
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}; expected 'numpy' or 'jax'.")
        self.x_misc = [other[rows] for other in x_misc]
        self.y = None if y is None else np.asarray(y)[rows]
        # Keras leaves the weights of a subset uncut, so that they belong to other images.
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        self.image_data_generator = image_data_generator
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        self.output = output
        self._first_row = rows.start
        self._file_numbers = np.random.RandomState()
        self._transform_cache = TransformCache()
        super().__init__(self._shape[0], batch_size, shuffle, seed, rng=rng)

    @property
    def x(self) -> np.ndarray:
        """The images in `dtype`, converted when they are asked for; setting them replaces the array."""
        return np.asarray(self._source[self._rows], dtype=self.dtype)

    @x.setter
    def x(self, images: ArrayLike) -> None:
        array: Any = as_array(images)
        self._set_source(array, slice(0, len(array)))

    def _set_source(self, source: Any, rows: slice) -> None:
        self._source, self._rows = source, rows
        self._shape = (rows.stop - rows.start, *source.shape[1:])[: len(source.shape)]

    def _get_batches_of_transformed_samples(self, index_array: ArrayLike) -> Any:
        check_made_here(self._process, Iterator._process)
        index = _positions(index_array, self._shape[0])
        context = context_of(self)
        source: Any
        if self._stream is not None:
            source = self._stream.latest if context is None else context.state
        else:
            epoch = max(0, self._epoch) if context is None else context.epoch
            source = RowKeys(self._key, epoch, index + self._first_row)
        stored = read_rows("x", self._source, index + self._rows.start)
        length = max(len(index), min(self.batch_size, self.n))
        images = transformed(self.image_data_generator, stored, self.dtype, source, length, self._transform_cache, self)
        if self.output == "jax":
            with wide_arithmetic(self.dtype):
                images = _on_device(images, len(index))
        else:
            images = to_numpy(images, len(index))
        if self.save_to_dir:
            self._save(np.asarray(images), index, self._file_numbers if self._stream is None else source)
        part = [images, *(other[index] for other in self.x_misc)] if self.x_misc else images
        if self.y is None:
            return part
        if self.sample_weight is None:
            return part, self.y[index]
        return part, self.y[index], self.sample_weight[index]

    def _save(self, images: np.ndarray, index: np.ndarray, stream: np.random.RandomState) -> None:
        folder = os.fspath(self.save_to_dir or "")
        for image, position in zip(images, index, strict=True):
            number = stream.randint(10000)
            name = f"{self.save_prefix}_{position}_{number}.{self.save_format}"
            save_whole(array_to_img(image, self.data_format, scale=True), os.path.join(folder, name))


@transfers
def _on_device(images: Any, count: int) -> jax.Array:
    return jax.numpy.asarray(images)[:count]


def _positions(index_array: ArrayLike, count: int) -> np.ndarray:
    """Places among `count` images, which NumPy may count from the end too."""
    index = np.asarray(index_array).astype(np.intp)
    if index.size and not -count <= index.min() <= index.max() < count:
        raise IndexError(f"index_array holds {index.min()} to {index.max()}; expected places among {count} images.")
    return np.where(index < 0, index + count, index)


def as_array(images: Any) -> Any:
    """NumPy arrays, and what is read like one from a file, as they are; anything else as a NumPy array."""
    # Tensors of other libraries, with a dtype of their own, need not take an array of rows as an index.
    is_file = isinstance(getattr(images, "dtype", None), np.dtype) and not isinstance(images, (np.ndarray, jax.Array))
    is_file = is_file and all(hasattr(images, name) for name in ("shape", "__getitem__"))
    return images if is_file or type(images) in (np.ndarray, np.memmap) else np.asarray(images)


def _images_and_others(x: Any) -> tuple[Any, list[np.ndarray]]:
    if not isinstance(x, (tuple, list)):
        return as_array(x), []
    others = [np.asarray(other) for other in (x[1] if isinstance(x[1], list) else [x[1]])]
    images = as_array(x[0])
    for other in others:
        if len(other) != len(images):
            raise ValueError(
                "All of the arrays in `x` should have the same length. "
                f"Got len(x[0]) = {len(images)} and another array of length {len(other)}.{_hint(x)}"
            )
    return images, others


def _hint(x: Any) -> str:
    is_pair = not isinstance(x, list) or len(x) == 2
    return "" if is_pair else " A list is taken as (images, others); for a list of images pass np.stack(x)."


def _check_length(name: str, x: Any, values: Any, hint: str) -> None:
    if values is not None and len(x) != len(values):
        raise ValueError(
            f"`x` (images tensor) and `{name} should have the same length. "
            f"Got shapes {np.shape(x)} and {np.shape(values)}.{hint}"
        )


def _check_images(data_format: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 4:
        raise ValueError(
            f"x has shape {shape}; images for NumpyArrayIterator should have rank 4. For grey images pass x[..., None]."
        )
    axis = 3 if data_format == "channels_last" else 1
    if shape[axis] not in CHANNELS:
        warn(
            f'data_format is "{data_format}", so axis {axis} of x should hold 1, 3 or 4 channels; x has shape {shape} '
            f"({shape[axis]} channels)."
        )
