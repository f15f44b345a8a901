"""Batches of the pictures whose files a table names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._warn import warn
from ._file_batch import BatchFromFilesMixin
from ._file_listing import endings_of, in_words, is_hidden
from ._file_targets import LABEL_MODES, check_label_dtype
from ._forked import takes_jax_arrays
from ._iterator import Iterator
from ._seed import Seed
from ._settings import GeneratorLike
from ._subset import part_of
from ._table import Frame, are_files, check_table, column_of, labels_of, targets_of, values_of, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike


class DataFrameIterator(BatchFromFilesMixin, Iterator):
    """An endless iterator over augmented batches of pictures in files, which a table names row by row.

    The table is a frame of pandas or Polars, or a dict of columns; it is not changed. Rows keep their order. Rows whose
    file is missing are left out, with a warning, and the numbers of classes follow from those that are left.

    Args:
        dataframe: The table.
        directory: What the names in `x_col` are below; an absolute name stands for itself. None: the working directory.
        image_data_generator: Its methods make the batches, as for `NumpyArrayIterator`. None: pictures as they are.
        x_col: The column of file names, as they are on the disk.
        y_col: That of the labels; for "multi_output" a list of columns, for "raw" one or a list.
        weight_col: That of the weights, numbers.
        target_size, color_mode, interpolation, keep_aspect_ratio, exif: As for `DirectoryIterator`.
        classes: Names of classes in the order of their numbers; rows of others are left out. None: all that are there,
            sorted.
        class_mode: "categorical": rows of 0 and 1, where a label may be a list of several; "sparse" or "binary": class
            numbers, floats as the images; "raw": the values of `y_col`; "multi_output": a list of arrays, one for each
            column; "input": the images again; None: batches hold images alone.
        batch_size, shuffle, seed: As for `Iterator`.
        data_format, dtype, save_to_dir, save_prefix, save_format, rng, output: As for `NumpyArrayIterator`.
        subset: "validation": the generator's validation_split, from the first rows; "training": the rest. So shuffle a
            table that is sorted by class.
        validate_filenames: Look for the files. False: a file that is missing fails when its batch is made.
        skip_hidden: Leave out rows where the file, or a folder in its name, begins with a dot.

    Raises:
        KeyError: For a column that is not there. TypeError for names, labels or weights of another type.
        ValueError: For an unknown color_mode, subset, class_mode or output, "binary" without two classes, and a dtype
            that cannot hold the class numbers.
        OSError: For a batch with a file that cannot be read, which it names; the next batch is the one after.

    Example:
        >>> from PIL import Image
        >>> from jaxiter.keras import ImageDataGenerator
        >>> folder = getfixture("tmp_path")
        >>> for name in ("1.png", "2.png"):
        ...     Image.new("RGB", (6, 4)).save(folder / name)
        >>> table = {"filename": ["1.png", "2.png"], "class": ["dog", "cat"]}
        >>> it = DataFrameIterator(table, folder, ImageDataGenerator(), target_size=(8, 8), shuffle=False)
        Found 2 validated image filenames belonging to 2 classes.
        >>> x, y = next(it)
        >>> x.shape, y.tolist()
        ((2, 8, 8, 3), [[0.0, 1.0], [1.0, 0.0]])
    """

    allowed_class_modes: ClassVar[set[str | None]] = {
        *("binary", "categorical", "input", "multi_output", "raw", "sparse"),
        None,
    }
    _targets: Any
    _sample_weight: np.ndarray | None

    @takes_jax_arrays
    def __init__(
        self,
        dataframe: Frame,
        directory: str | os.PathLike[str] | None = None,
        image_data_generator: GeneratorLike = None,
        x_col: str = "filename",
        y_col: str | list[str] = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: Seed = None,
        data_format: str = "channels_last",
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: DTypeLike = "float32",
        validate_filenames: bool = True,
        *,
        rng: str | None = None,
        output: str = "numpy",
        exif: bool = False,
        skip_hidden: bool = False,
    ):
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
        self._set_up(class_mode, dtype, output, exif)
        self.directory = directory or ""
        names = check_table(dataframe, x_col, y_col, classes, class_mode)
        if classes and class_mode not in LABEL_MODES:
            warn(f'`classes` will be ignored given the class_mode="{class_mode}"')
        weights = weights_of(dataframe, weight_col, len(names)) if weight_col else None
        rows = self._rows_with_files(names, x_col, validates=validate_filenames, skip_hidden=skip_hidden)
        self._take(dataframe, y_col, classes, names, rows)
        self._sample_weight = None if weights is None else weights[self._places]
        self._print("validated" if validate_filenames else "non-validated")
        super().__init__(self.samples, batch_size, shuffle, seed, rng=rng)

    def _rows_with_files(self, names: list[str], x_col: Any, *, validates: bool, skip_hidden: bool) -> np.ndarray:
        rows = np.array([row for row, name in enumerate(names) if not (skip_hidden and is_hidden(name))], np.intp)
        if not validates:
            return rows
        paths = [os.path.join(self.directory, names[row]) for row in rows]
        endings = endings_of(self.white_list_formats)
        are_valid = np.array(are_files(paths, endings), bool)
        count = int(np.sum(~are_valid))
        if count:
            first = int(np.argmin(are_valid))
            has_ending = paths[first].lower().endswith(endings)
            reason = "there is no such file" if has_ending else f"it ends in none of {in_words(endings)}"
            warn(
                f'Found {count} invalid image filename(s) in x_col="{x_col}". These filename(s) will be ignored. The '
                f"first is {paths[first]!r}, row {rows[first]}: {reason}."
            )
        return rows[are_valid]

    def _take(self, frame: Frame, y_col: Any, classes: Any, names: list[str], rows: np.ndarray) -> None:
        """Keeps what the rows of the subset hold."""
        labels: list[Any] = []
        if self.class_mode in LABEL_MODES:
            class_names, rows, labels = labels_of(frame, y_col, rows, classes)
            self.class_indices = {name: number for number, name in enumerate(class_names)}
            self.num_classes = len(class_names)
            check_label_dtype(self.class_mode, self.num_classes, self.dtype)
        part = part_of(self.split, len(rows))
        self._num_listed, self._places = len(names), rows[part]
        if self.class_mode in LABEL_MODES:
            _warn_of_classes(labels, part)
            self.classes = [self._number_of(label) for label in labels[part]]
        self.filenames = [names[row] for row in self._places]
        self.samples = len(self.filenames)
        if self.class_mode == "multi_output":
            columns = [values_of(column_of(frame, name, len(names))) for name in y_col]
            self._targets = [np.array([column[row] for row in self._places]) for column in columns]
        if self.class_mode == "raw":
            self._targets = targets_of(frame, y_col, self._places, len(names))
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]

    def _number_of(self, label: Any) -> Any:
        if isinstance(label, (list, tuple)):
            return [self.class_indices[name] for name in label]
        return self.class_indices[label]

    def _print(self, validated: str) -> None:
        belonging = f" belonging to {self.num_classes} classes" if self.class_mode in LABEL_MODES else ""
        print(f"Found {self.samples} {validated} image filenames{belonging}.")

    @property
    def filepaths(self) -> list[str]:
        return self._filepaths

    @property
    def labels(self) -> Any:  # numbers, lists of them, an array or a list of arrays, by class_mode
        return self._targets if self.class_mode in ("multi_output", "raw") else self.classes

    @property
    def sample_weight(self) -> np.ndarray | None:
        return self._sample_weight


def _warn_of_classes(labels: list[Any], part: slice) -> None:
    """A class that only one of the subsets holds is learnt without a test, or tested without having been learnt."""
    inside, outside = (
        {name for label in rows for name in (label if isinstance(label, (list, tuple)) else [label])}
        for rows in (labels[part], [*labels[: part.start], *labels[part.stop :]])
    )
    if inside and outside and inside != outside:
        missing = sorted(map(repr, inside ^ outside))
        warn(
            f"The subsets of the table do not share their classes: {', '.join(missing[:5])} "
            f"{'and more ' if len(missing) > 5 else ''}stand in one of them alone. Validation is the first part of the "
            "rows; shuffle a table that is sorted by class: frame.sample(frac=1, random_state=0)."
        )
