"""Batches of the pictures in a directory that has a folder for each class."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._warn import warn
from ._file_batch import BatchFromFilesMixin
from ._file_listing import endings_of, list_directory
from ._file_targets import check_label_dtype
from ._forked import takes_jax_arrays
from ._iterator import Iterator
from ._seed import Seed
from ._settings import GeneratorLike
from ._subset import part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike


class DirectoryIterator(BatchFromFilesMixin, Iterator):
    """An endless iterator over augmented batches of pictures in files, with a folder for each class.

    Every folder in `directory` is a class, numbered in the order of the names by code point: "10" comes before "2", and
    capitals before small letters. Its pictures are all files below it, at any depth, whose names end in one of
    `white_list_formats`. They are read again in every epoch, in threads.

    Args:
        directory: A str or Path.
        image_data_generator: Its methods make the batches, as for `NumpyArrayIterator`. None: pictures as they are.
        target_size: (height, width) of the pictures in a batch.
        color_mode: "rgb", "rgba" or "grayscale", see `load_img`.
        classes: Names of the folders, in the order of their numbers; None: all. ["."] takes the pictures straight in
            directory, and all below it, for one class.
        class_mode: "categorical": rows of 0 and 1; "sparse" or "binary": class numbers, floats as the images; "input":
            the images again; None: batches hold images alone.
        batch_size, shuffle, seed: As for `Iterator`.
        data_format, dtype: Of the batches; channels_last and float32 by default.
        save_to_dir, save_prefix, save_format: As for `NumpyArrayIterator`.
        follow_links: Enter linked folders below those of the classes, but in no circle.
        subset: "validation": the generator's validation_split, from the start of each class; "training": the rest.
        interpolation: How pictures are resized, see `load_img`. The default, "nearest", is coarse where they shrink.
        keep_aspect_ratio: Cut out the middle instead of distorting.
        rng, output: As for `NumpyArrayIterator`.
        exif: Turn photographs upright, see `load_img`.
        skip_hidden: Leave out what begins with a dot.

    Raises:
        OSError: If directory is no folder or cannot be listed, and for a batch with a file that cannot be read, which
            it names; the next batch is the one after.
        ValueError: For an unknown color_mode, subset, class_mode or output, a class that is given twice, and a dtype
            that cannot hold the class numbers. TypeError for a directory that is no path.

    Warns:
        UserWarning: Of classes without pictures, and of hidden names.

    Example:
        >>> from PIL import Image
        >>> from jaxiter.keras import ImageDataGenerator
        >>> folder = getfixture("tmp_path")
        >>> for name in ("cat", "dog"):
        ...     (folder / name).mkdir()
        ...     Image.new("RGB", (6, 4)).save(folder / name / "1.png")
        >>> it = DirectoryIterator(folder, ImageDataGenerator(), target_size=(8, 8), class_mode="sparse", shuffle=False)
        Found 2 images belonging to 2 classes.
        >>> it.filenames, it.class_indices
        (['cat/1.png', 'dog/1.png'], {'cat': 0, 'dog': 1})
        >>> x, y = next(it)
        >>> x.shape, y.tolist()
        ((2, 8, 8, 3), [0.0, 1.0])
    """

    allowed_class_modes: ClassVar[set[str | None]] = {"categorical", "binary", "sparse", "input", None}

    @takes_jax_arrays
    def __init__(
        self,
        directory: str | os.PathLike[str],
        image_data_generator: GeneratorLike,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: Seed = None,
        data_format: str | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: DTypeLike | None = None,
        *,
        rng: str | None = None,
        output: str = "numpy",
        exif: bool = False,
        skip_hidden: bool = False,
    ):
        data_format = "channels_last" if data_format is None else data_format
        super().set_processing_attrs(
            image_data_generator,
            target_size,
            color_mode,
            data_format,
            save_to_dir,
            save_prefix,
            save_format,
            subset,
            interpolation,
            keep_aspect_ratio,
        )
        self._set_up(class_mode, "float32" if dtype is None else dtype, output, exif)
        self.directory = directory
        self._list(classes, follow_links=follow_links, skip_hidden=skip_hidden)
        check_label_dtype(class_mode, self.num_classes, self.dtype)
        super().__init__(self.samples, batch_size, shuffle, seed, rng=rng)

    def _list(self, classes: Any, *, follow_links: bool, skip_hidden: bool) -> None:
        """Finds the files of the subset."""
        endings = endings_of(self.white_list_formats)
        listing = list_directory(self.directory, classes, endings, follow_links=follow_links, skip_hidden=skip_hidden)
        self.num_classes = len(listing.class_names)
        self.class_indices = {name: number for number, name in enumerate(listing.class_names)}
        sizes = np.bincount(listing.class_numbers, minlength=self.num_classes).tolist()
        starts = np.cumsum([0, *sizes])[:-1].tolist()
        parts = [np.zeros(0, np.intp)]
        for start, size in zip(starts, sizes, strict=True):
            parts.append(start + np.arange(size)[part_of(self.split, size)])
        self._num_listed, self._places = len(listing.filenames), np.concatenate(parts)
        kept = listing.part(self._places)
        self.classes = kept.class_numbers
        self.filenames = kept.filenames
        self.samples = len(self.filenames)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        if self.split and self._num_listed and not self.samples:
            warn(
                f"subset={self.subset!r} holds none of {self._num_listed} pictures, as it is the part from "
                f"{self.split[0]:g} to {self.split[1]:g} of each class. Set validation_split of the generator."
            )
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]

    @property
    def filepaths(self) -> list[str]:
        return self._filepaths

    @property
    def labels(self) -> np.ndarray:
        return self.classes

    @property
    def sample_weight(self) -> np.ndarray | None:
        return None
