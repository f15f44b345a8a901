"""Batches of pictures in files, with their labels."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from hashlib import blake2s
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._warn import warn
from ._file_errors import raise_named
from ._file_targets import TARGETS, check_class_mode
from ._image_batches import ImageBatches, check_output, check_saving, on_device, positions
from ._iterator import Iterator
from ._own_methods import has_context
from ._picture_reader import PictureReader, Reading
from ._pydataset import check_made_here
from ._settings import GeneratorLike
from ._subset import SUBSETS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}


class BatchFromFilesMixin(ImageBatches):
    """What makes batches of picture files; goes before `Iterator` among the bases of a class.

    The class calls `set_processing_attrs`, has the attributes dtype and class_mode, and the properties below. All of
    them are read anew for every batch. The pictures of a batch are read in threads, and those that follow in the order
    meanwhile; a picture does not depend on that. `close()` ends the threads, as does dropping the iterator.

    Example:
        >>> class Files(BatchFromFilesMixin, Iterator):
        ...     dtype, class_mode, sample_weight = "float32", None, None
        ...
        ...     def __init__(self, filepaths, generator):
        ...         self.set_processing_attrs(
        ...             generator, (8, 8), "rgb", "channels_last", None, "", "png", None, "nearest", False
        ...         )
        ...         self.paths = filepaths
        ...         super().__init__(len(filepaths), batch_size=2, shuffle=False, seed=0)
        ...
        ...     @property
        ...     def filepaths(self):
        ...         return self.paths
        >>> next(Files([], None)).shape
        (0, 8, 8, 3)
    """

    dtype: DTypeLike
    class_mode: str | None
    classes: Any
    class_indices: dict[str, int]
    allowed_class_modes: ClassVar[set[str | None]] = set(TARGETS) | {None}
    exif: bool = False
    _places: np.ndarray | None = None  # of the files in the whole listing, before a subset was cut
    _num_listed: int = 0
    _following: np.ndarray | None = None  # rows that are likely to be asked for next
    _expected: np.ndarray | None = None
    _has_warned_of_cut: bool = False

    def set_processing_attrs(
        self,
        image_data_generator: GeneratorLike,
        target_size: tuple[int, int],
        color_mode: str,
        data_format: str,
        save_to_dir: str | os.PathLike[str] | None,
        save_prefix: str,
        save_format: str,
        subset: str | None,
        interpolation: str,
        keep_aspect_ratio: bool,
    ) -> None:
        """Keep how files become pictures, and which part of them; see `DirectoryIterator`. Returns None.

        Raises:
            ValueError: For an unknown color_mode or subset. TypeError for a target_size that is no pair.
            AttributeError: For a subset without a generator, which has the share of validation.
        """
        self.image_data_generator = image_data_generator
        try:
            self.target_size: Any = tuple(target_size)
        except TypeError:
            raise TypeError(f"target_size is {target_size!r}; expected (height, width).") from None
        self.keep_aspect_ratio = keep_aspect_ratio
        if color_mode not in _CHANNELS:
            raise ValueError(f'Invalid color mode: {color_mode}; expected "rgb", "rgba", or "grayscale".')
        self.color_mode = color_mode
        self.data_format = data_format
        channels = (_CHANNELS[color_mode],)
        is_last = data_format == "channels_last"
        self.image_shape = self.target_size + channels if is_last else channels + self.target_size
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        self.interpolation = interpolation
        self.split = _split(subset, image_data_generator)
        self.subset = subset

    def _set_up(self, class_mode: str | None, dtype: DTypeLike, output: str, exif: bool) -> None:
        """Checks and keeps what `set_processing_attrs` does not take."""
        check_class_mode(class_mode, self.allowed_class_modes)
        check_output(output)
        if self.save_to_dir:
            check_saving(self.save_to_dir, self.save_format, _CHANNELS[self.color_mode])
        np.dtype(dtype)  # raises what NumPy says of a name that it does not know
        self.class_mode, self.dtype, self.output, self.exif = class_mode, dtype, output, bool(exif)

    @property
    def filepaths(self) -> list[str]:
        """Paths of the files, one for each example."""
        raise NotImplementedError(self._lacks("filepaths", "a list of paths"))

    @property
    def labels(self) -> Any:  # whatever a subclass has that its targets are made of
        """What "raw" and "multi_output" return."""
        raise NotImplementedError(self._lacks("labels", "the targets of all examples"))

    @property
    def sample_weight(self) -> np.ndarray | None:
        """Weights, one for each example, or None."""
        raise NotImplementedError(self._lacks("sample_weight", "an array of weights, or None"))

    def close(self) -> None:
        """End the threads that read files; a batch that is asked for later starts others. Returns None."""
        reader = vars(self).pop("_reader", None)
        if reader is not None:
            reader.close()

    @functools.cached_property
    def _reader(self) -> PictureReader:
        return PictureReader()

    @functools.cached_property
    def _files_digest(self) -> str | None:
        names = vars(self).get("filenames")
        if names is None:
            return None
        return blake2s("\0".join(map(str, names)).encode(errors="surrogateescape"), digest_size=16).hexdigest()

    @has_context
    def _get_batches_of_transformed_samples(self, index_array: ArrayLike) -> Any:
        check_made_here(self._process, Iterator._process)
        paths = self.filepaths
        index = positions(index_array, len(paths))
        draws = self._draws_of(index, self._rows_of(index))
        pictures: Any = self._read(paths, index)
        if self.image_data_generator and len(pictures):
            # Keras casts to the dtype of the batch what the generator returns, and nothing before.
            pictures = self._changed(pictures, np.float32, draws)
        images = self._cast(pictures)
        if self.save_to_dir:
            self._save(np.asarray(images), index, draws, numbers=10**7)
        if self.class_mode not in TARGETS:
            return images
        targets = TARGETS[self.class_mode](self, images, index)
        weights = self.sample_weight
        return (images, targets) if weights is None else (images, targets, weights[index])

    def _rows_of(self, index: np.ndarray) -> np.ndarray:
        """Places in the whole listing. Files that were added by hand follow those."""
        if self._places is None:
            return index
        if not index.size or index.max() < len(self._places):
            return self._places[index]
        places = np.concatenate([self._places, self._num_listed + np.arange(index.max() + 1 - len(self._places))])
        return places[index]

    def _look_ahead(self, order: np.ndarray, start: int, stop: int) -> None:
        rows, following = order[start:stop], order[stop : stop + self.batch_size]
        if not len(following) and not self.shuffle:
            following = order[: self.batch_size]
        # Batches by index in an order that is not known are not guessed.
        is_in_order = self._expected is None or np.array_equal(rows, self._expected)
        self._expected = following if len(following) else None
        self._following = following if is_in_order else None

    def _read(self, paths: Sequence[Any], index: np.ndarray) -> np.ndarray:
        """The pictures of a batch, as bytes where all files hold bytes."""
        following, self._following = self._following, None
        next_rows = [] if following is None else [row for row in following if 0 <= row < len(paths)]
        next_paths = [path for path in (paths[row] for row in next_rows) if isinstance(path, (str, bytes, Path))]
        size: Any = self.target_size if self.target_size is None else tuple(self.target_size)
        reading = Reading(
            self.color_mode, size, self.interpolation, bool(self.keep_aspect_ratio), self.exif, self.data_format
        )
        tells = not self._has_warned_of_cut
        reads = self._reader.read([paths[row] for row in index], reading, following=next_paths, tells_of_cut=tells)
        pictures: list[np.ndarray] = []
        for row in index:
            try:
                values, cut = next(reads)
            except Exception as error:
                raise_named(error, paths[row], self._described(row))
            if cut is not None and not self._has_warned_of_cut:
                self._has_warned_of_cut = True
                warn(f"{cut} It is the first such file; there is no further warning.")
            pictures.append(values)
        shapes = list(dict.fromkeys(picture.shape for picture in pictures))
        if len(shapes) > 1:
            raise ValueError(f"Pictures of one batch have shapes {shapes}; expected one. Set target_size to a size.")
        return np.stack(pictures) if pictures else np.zeros((0, *self.image_shape), np.float32)

    def _described(self, row: int) -> str:
        """The row and class of a file, for an error."""
        place = int(self._rows_of(np.array([row]))[0])
        named = f"row {place}" + ("" if place == row else f" (filenames[{row}])")
        try:
            numbers = np.atleast_1d(self.classes[row])
            classes = [repr(list(self.class_indices)[number]) for number in numbers]
        except (AttributeError, LookupError, TypeError, NotImplementedError):
            return named
        return f"{named}, class {', '.join(classes)}" if classes else named

    def _cast(self, changed: Any) -> Any:
        """The pictures as one assigns them to a batch of `image_shape` and `dtype`."""
        shape, dtype = (len(changed), *self.image_shape), np.dtype(self.dtype)
        is_in_place = isinstance(changed, np.ndarray) == (self.output != "jax")
        if is_in_place and changed.shape == shape and changed.dtype == dtype:
            return changed
        batch = np.zeros(shape, dtype)
        try:
            if batch.ndim != changed.ndim:
                raise ValueError(f"they have {changed.ndim - 1} axes.")
            batch[...] = np.asarray(changed)
        except ValueError as error:
            raise ValueError(
                f"Pictures have shape {changed.shape[1:]}, and image_shape is {tuple(self.image_shape)}; expected them "
                f"to fit. Where target_size or color_mode is set anew, set image_shape too. NumPy: {error}"
            ) from None
        return on_device(batch, len(batch), dtype) if self.output == "jax" else batch

    def _lacks(self, name: str, expected: str) -> str:
        return f"`{name}` property method has not been implemented in {type(self).__name__}; expected {expected}."


def _split(subset: str | None, generator: GeneratorLike) -> tuple[Any, Any] | None:
    """The part of the files that a subset is, as shares of their number: validation comes first."""
    if subset is None:
        return None
    if subset not in SUBSETS:
        raise ValueError(f'Invalid subset name: {subset}; expected "training" or "validation".')
    if generator is None:
        raise AttributeError(
            f"subset is {subset!r}, and image_data_generator is None; expected a generator, whose validation_split "
            "says how large the subset is."
        )
    share = generator._validation_split
    return (0, share) if subset == "validation" else (share, 1)
