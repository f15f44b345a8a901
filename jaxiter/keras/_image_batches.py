"""What iterators over arrays and over files share: the pictures of a batch after the generator, on disk too."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from PIL import Image

from .._checks import check_not_forked, check_not_masked
from .._transfers import transfers
from ..host.internal import save_whole
from ._batch import TransformCache, to_numpy, transformed
from ._brightness import check_channels
from ._draw import RowKeys, context_of
from ._forked import numpy_if_forked
from ._images import array_to_img
from ._settings import GeneratorLike
from ._transform import wide_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from ._iterator import Iterator as _Mixed
else:
    _Mixed = object

OUTPUTS = ("numpy", "jax")


class ImageBatches(_Mixed):
    """A mixin of iterators whose batches are pictures."""

    image_data_generator: GeneratorLike
    data_format: str
    save_to_dir: str | os.PathLike[str] | None
    save_prefix: str
    save_format: str
    # For subclasses that set the attributes of Keras themselves, in an __init__ of their own.
    output: str = "numpy"

    @functools.cached_property
    def _file_numbers(self) -> np.random.RandomState:
        return np.random.RandomState()

    @functools.cached_property
    def _transform_cache(self) -> TransformCache:
        return TransformCache()

    def _draws_of(self, index: np.ndarray, rows: np.ndarray) -> RowKeys | np.random.RandomState:
        """What the pictures of a batch draw from.

        Args:
            index: Their places in the iterator.
            rows: Their places in the whole data, before a subset was cut.
        """
        context = context_of(self) or self._context_by_hand(index)
        if self._stream is not None:
            return context.state
        showings = context.showings_of(index)
        showings = self._showings.take(index) if showings is None else showings
        return RowKeys(self._key, context.epoch, rows, showings)

    def _changed(self, images: np.ndarray, dtype: DTypeLike, draws: RowKeys | np.random.RandomState) -> Any:
        """The pictures after the generator's methods, as `output` says."""
        length = max(len(images), min(self.batch_size, self.n))
        changed = transformed(self.image_data_generator, images, dtype, draws, length, self._transform_cache, self)
        if self.output != "jax":
            return to_numpy(changed, len(images))
        return on_device(changed, len(images), dtype)

    def _save(
        self, images: np.ndarray, index: np.ndarray, draws: RowKeys | np.random.RandomState, numbers: int
    ) -> None:
        """Writes a file for each picture, with a number in [0, numbers) in its name. Returns None."""
        folder = os.fspath(self.save_to_dir or "")
        stream = draws if isinstance(draws, np.random.RandomState) else self._file_numbers
        for image, position in zip(images, index, strict=True):
            number = stream.randint(numbers)
            name = f"{self.save_prefix}_{position}_{number}.{self.save_format}"
            save_whole(array_to_img(image, self.data_format, scale=True), os.path.join(folder, name))


def check_output(output: str) -> None:
    if output not in OUTPUTS:
        raise ValueError(f"output is {output!r}; expected 'numpy' or 'jax'.")


def check_saving(folder: str | os.PathLike[str], save_format: str, channels: int) -> None:
    """Raises for what would fail after the first batch was made."""
    if not os.path.isdir(os.fspath(folder)):
        error = NotADirectoryError if os.path.exists(folder) else FileNotFoundError
        raise error(f"save_to_dir is {folder!r}; expected an existing folder. Make it first: os.makedirs(save_to_dir).")
    if f".{save_format}".lower() not in Image.registered_extensions():
        raise ValueError(f"save_format is {save_format!r}; expected one that Pillow writes, such as 'png' or 'jpeg'.")
    check_channels(channels)


def positions(index_array: ArrayLike, count: int) -> np.ndarray:
    """Places among `count` images, which NumPy may count from the end too."""
    if isinstance(index_array, jax.Array):
        index_array = numpy_if_forked(index_array)
    if type(index_array) is not np.ndarray:  # as it nearly always is
        check_not_masked("index_array", index_array)
    given = np.asarray(index_array)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        mask = " Of a mask use np.flatnonzero(mask)." if given.dtype == np.bool_ else ""
        raise IndexError(
            f"index_array is {given.dtype}{list(given.shape)}; expected a one-dimensional array of integers.{mask}"
        )
    index = given.astype(np.intp)
    if index.size and not -count <= index.min() <= index.max() < count:
        raise IndexError(f"index_array holds {index.min()} to {index.max()}; expected places among {count} images.")
    return np.where(index < 0, index + count, index)


def on_device(images: Any, count: int, dtype: DTypeLike) -> jax.Array:
    """The first `count` images, as `output="jax"` returns them."""
    check_not_forked()
    with wide_arithmetic(dtype):
        return _on_device(images, count)


@transfers
def _on_device(images: Any, count: int) -> jax.Array:
    return jax.numpy.asarray(images)[:count]
