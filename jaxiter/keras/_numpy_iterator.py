"""Batches of an array, with whatever belongs to its images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .._checks import is_forked
from .._host_rows import Source, read_rows
from ._arrays import as_array, check_images, check_real, images_and_others, labels, short, weights
from ._converted import ConvertedArray
from ._forked import numpy_if_forked, takes_jax_arrays
from ._image_batches import ImageBatches, check_output, check_saving, positions
from ._iterator import Iterator
from ._own_methods import has_context
from ._pydataset import check_made_here
from ._seed import Seed
from ._settings import GeneratorLike
from ._subset import subset_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class NumpyArrayIterator(ImageBatches, Iterator):
    """An endless iterator over augmented batches of images, with labels and weights.

    The array stays as it is (uint8, a memmap); rows are cast when a batch is made. What becomes of an image depends
    on the seed, the epoch, its row in the array and how often this row was taken before in the epoch, so that every
    look is another picture; it does not depend on the batch size, the order or the subset. (Batches of one picture are
    computed in NumPy, which rounds otherwise than XLA in the last place, and where a value is a tie.)

    Args:
        x: Images of rank 4, or (images, others): another array or a list of arrays that are cut into batches too.
            The attribute x is the array itself if it has the dtype of the batches, so that an edit acts; otherwise it
            converts what is read from it and refuses edits. It may be replaced.
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
        OSError: If save_to_dir is no folder.
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

    @takes_jax_arrays
    def __init__(
        self,
        x: ArrayLike | Source | Sequence[ArrayLike | Source],
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
        images, x_misc = images_and_others(x)
        y, sample_weight = labels(y, x, images), weights(sample_weight, x, images)
        rows = slice(0, images.shape[0])  # a zarr array has no len
        if subset is not None:
            rows = subset_rows(subset, image_data_generator, images.shape[0], None if ignore_class_split else y)
        dtype_of_batches = np.dtype(self.dtype)  # raises what NumPy says of a name that it does not know
        shape = (rows.stop - rows.start, *images.shape[1:])[: len(images.shape)]
        check_images("NumpyArrayIterator", x, shape, self.data_format, images.dtype)
        self.x = _in_dtype(images, rows, dtype_of_batches)
        check_output(output)
        self.x_misc = [other[rows] for other in x_misc]
        self.y = None if y is None else y[rows]
        # Keras leaves the weights of a subset uncut, so that they belong to other images.
        self.sample_weight = None if sample_weight is None else sample_weight[rows]
        self.image_data_generator = image_data_generator
        if save_to_dir:
            check_saving(save_to_dir, save_format, shape[-1 if self.data_format == "channels_last" else 1])
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        self.output = output
        self._first_row = rows.start
        super().__init__(shape[0], batch_size, shuffle, seed, rng=rng)

    # For subclasses that set the attributes of Keras themselves, in an __init__ of their own.
    _first_row: int = 0

    @has_context
    def _get_batches_of_transformed_samples(self, index_array: ArrayLike) -> Any:
        check_made_here(self._process, Iterator._process)
        images_of_all = _readable(self.x)
        is_list = isinstance(images_of_all, (list, tuple))
        index = positions(index_array, len(images_of_all) if is_list else images_of_all.shape[0])
        draws = self._draws_of(index, index + self._first_row)
        images = self._changed(_read(images_of_all, index), self.dtype, draws)
        if self.save_to_dir:
            self._save(np.asarray(images), index, draws, numbers=10**4)
        others: Any = self.x_misc, self.y, self.sample_weight
        x_misc, y, sample_weight = numpy_if_forked(others) if is_forked() else others  # which may have been set since
        part = [images, *(other[index] for other in x_misc)] if x_misc else images
        if y is None:
            return part
        if sample_weight is None:
            return part, y[index]
        return part, y[index], sample_weight[index]


def _in_dtype(source: Any, rows: slice, dtype: np.dtype) -> Any:
    """These rows as `it.x` shows them: the array itself, or a view of it, which an edit of either changes too."""
    if not isinstance(source, np.ndarray) or source.dtype != dtype:
        return ConvertedArray(source, rows, dtype)
    return source if rows == slice(0, len(source)) else source[rows]


def _readable(x: Any) -> Any:
    """`it.x`, where a user may have put anything, if batches can be made of it."""
    if isinstance(x, (ConvertedArray, list, tuple)):
        return x
    images = as_array(x)
    if len(images.shape) != 4:
        _refuse(x)
    check_real("it.x", images.dtype)
    return images


def _read(x: Any, index: np.ndarray) -> np.ndarray:
    """The images at these places, as they are stored."""
    if isinstance(x, ConvertedArray):
        return read_rows("x", x.source, index + x.rows.start)
    if not isinstance(x, (list, tuple)):
        return read_rows("x", x, index)
    images = np.asarray(as_array([x[place] for place in index]))
    if images.ndim != 4:
        _refuse(x)
    return images


def _refuse(x: Any) -> NoReturn:
    raise ValueError(
        f"x was set to {short(x)}; batches of NumpyArrayIterator are made of images of rank 4. Set it.x to such "
        "an array, or write _get_batches_of_transformed_samples in a subclass."
    )
