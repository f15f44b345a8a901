"""Tables of file names, labels and weights: frames of pandas and Polars, and dicts; none of them is imported."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._describe import a_type, shown
from ._file_listing import Endings
from ._file_targets import LABEL_MODES

Frame = Any  # what gives a column for a name
_SEEN_FOR_EACH = 10  # names in a folder for each that is looked for, up to which the folder is listed


def column_of(frame: Frame, name: Any, num_rows: int | None = None) -> Any:
    """One column, of whatever type.

    Raises:
        KeyError: With the name, if there is none. ValueError if there are several, or it has not so many rows.
    """
    try:
        column = frame[name]
    except Exception as error:  # libraries have errors of their own
        raise KeyError(name) from error
    if hasattr(column, "columns"):
        raise ValueError(f"The table has several columns {name!r}; expected one of that name.")
    if num_rows is not None and len(column) != num_rows:
        raise ValueError(f"Column {name!r} has {len(column)} rows; expected {num_rows}, as there are file names.")
    return column


def values_of(column: Any) -> list[Any]:
    """The values as Python's, or as they are."""
    for method in ("tolist", "to_list"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def array_of(column: Any) -> np.ndarray:
    """The values as a NumPy array of rank 1 in the column's dtype; text, lists and mixtures as objects."""
    values = values_of(column)
    array = None
    if hasattr(column, "__array__"):
        array = np.asarray(column)
    elif not any(isinstance(value, (str, bytes, list, tuple, dict, np.ndarray)) for value in values):
        array = np.asarray(values)
    dtype = getattr(getattr(column, "dtype", None), "type", None)
    if array is not None and array.ndim == 1 and array.dtype.kind not in "SUO":
        return array
    is_nullable = isinstance(dtype, type) and issubclass(dtype, np.generic) and issubclass(dtype, (np.number, np.bool_))
    if is_nullable and not any(value is None or value != value for value in values):
        return np.asarray(values, dtype)  # pandas' Int64 and its like, without gaps
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects


def targets_of(frame: Frame, name: Any, rows: np.ndarray, num_rows: int) -> np.ndarray:
    """What "raw" returns: of a column rank 1, of a list of columns rank 2."""
    if not isinstance(name, list):
        return array_of(column_of(frame, name, num_rows))[rows]
    columns = [array_of(column_of(frame, one, num_rows)) for one in name]
    if not columns:
        return np.zeros((len(rows), 0))
    kinds = {column.dtype.kind for column in columns}
    is_mixed = "O" in kinds or (len(kinds) > 1 and not kinds <= set("iufc"))
    dtype = object if is_mixed else np.result_type(*columns)
    return np.stack([column.astype(dtype) for column in columns], axis=-1)[rows]


def weights_of(frame: Frame, name: Any, num_rows: int) -> np.ndarray:
    """Weights in the column's dtype.

    Raises:
        TypeError: For a column that holds something else than numbers; a bool is none.
    """
    column = column_of(frame, name, num_rows)
    array, own = array_of(column), getattr(getattr(column, "dtype", None), "type", None)
    if not issubclass(own if isinstance(own, type) else array.dtype.type, np.number) or array.dtype == object:
        raise TypeError(f"Column weight_col={name} must be numeric, without gaps. It has dtype {array.dtype}.")
    return array


def check_table(frame: Frame, x_col: Any, y_col: Any, classes: Any, class_mode: str | None) -> list[str]:
    """The file names of a table whose labels fit `class_mode`.

    Raises:
        TypeError, ValueError, KeyError: As Keras, and in its order.
    """
    if class_mode == "multi_output" and not isinstance(y_col, list):
        raise TypeError(f'If class_mode="multi_output", y_col must be a list. Received {type(y_col).__name__}.')
    names = [] if isinstance(x_col, list) else values_of(column_of(frame, x_col))
    if isinstance(x_col, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"All values in column x_col={x_col} must be strings{_odd(names, str)}. For paths: .astype(str)."
        )
    if class_mode in LABEL_MODES:
        _check_labels(frame, y_col, classes, class_mode, len(names))
    return names


def _check_labels(frame: Frame, y_col: Any, classes: Any, class_mode: str | None, num_rows: int) -> None:
    if isinstance(y_col, list):  # an array of several columns has none of the types
        labels: list[Any] = [column_of(frame, name) for name in y_col]
    else:
        labels = values_of(column_of(frame, y_col, num_rows))
    kinds = (str, list, tuple) if class_mode == "categorical" else str
    if not all(isinstance(label, kinds) for label in labels):
        expected = "type string, list or tuple" if class_mode == "categorical" else "strings"
        odd = "" if isinstance(y_col, list) else _odd(labels, kinds)
        raise TypeError(
            f'If class_mode="{class_mode}", y_col="{y_col}" column values must be {expected}{odd}. For '
            'numbers that name classes pass .astype(str); for targets class_mode="raw", for several columns "raw" or '
            '"multi_output".'
        )
    if class_mode == "binary" and classes and len(set(classes)) != 2:
        number = len(set(classes))
        raise ValueError(f'If class_mode="binary" there must be 2 classes. {number} class/es were given.')
    if class_mode == "binary" and not classes and len(set(labels)) != 2:
        raise ValueError(f'If class_mode="binary" there must be 2 classes. Found {len(set(labels))} classes.')


def _odd(values: Sequence[Any], kinds: Any) -> str:
    """The first value of another type, for an error."""
    for row, value in enumerate(values):
        if not isinstance(value, kinds):
            return f"; row {row} holds {shown(value)}, {a_type(value)}"
    return ""


class Labels(NamedTuple):
    """Rows of a table with a known class, and the classes."""

    class_names: list[Any]
    rows: np.ndarray
    labels: list[Any]  # of these rows: a name, or a list of names


def labels_of(frame: Frame, y_col: Any, rows: np.ndarray, classes: Any) -> Labels:
    """Of `classes`, if some are given, each once; other labels go, and with their last label rows. Else all, sorted."""
    all_labels = values_of(column_of(frame, y_col))
    labels = [all_labels[row] for row in rows]
    if not classes:
        found: set[Any] = set()
        for label in labels:
            found.update(label if isinstance(label, (list, tuple)) else (label,))
        return Labels(sorted(found), rows, labels)
    names = list(dict.fromkeys(classes))
    given = set(names)
    kept: list[Any] = []
    for label in labels:
        if isinstance(label, str):
            kept.append(label if label in given else None)
        else:
            kept.append([name for name in label if name in given] or None)
    is_kept = [label is not None for label in kept]
    return Labels(names, rows[is_kept], [label for label in kept if label is not None])


def are_files(paths: Sequence[str], endings: Endings) -> list[bool]:
    """Whether each is a file with one of the endings.

    A folder is listed once where that takes fewer steps than to ask for its files one by one. What is not found so is
    asked for, since a system may know a file by several spellings.
    """
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        if path.lower().endswith(endings):
            folder, name = os.path.split(path)
            wanted[folder].add(name)
    found = {folder: _files_in(folder, names) for folder, names in wanted.items() if len(names) > 1}
    known: dict[str, bool] = {}
    for path in paths:
        if path not in known:
            folder, name = os.path.split(path)
            is_listed = name in found.get(folder, ())
            known[path] = path.lower().endswith(endings) and (is_listed or os.path.isfile(path))
    return [known[path] for path in paths]


def _files_in(folder: str, names: set[str]) -> set[str]:
    """Those of `names` that the folder is seen to hold; it is not looked through if it is much larger."""
    found = set()
    try:
        with os.scandir(folder or ".") as entries:
            for _, entry in zip(range(_SEEN_FOR_EACH * len(names)), entries, strict=False):
                if entry.name in names and entry.is_file():
                    found.add(entry.name)
    except (OSError, ValueError):  # asked for one by one then
        pass
    return found
