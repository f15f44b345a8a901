"""Lists of files and of their labels, as users have them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._describe import described, shown
from ._decode import File

_OF_ENTRIES = " Of an encoded column of Hugging Face: [entry['bytes'] or entry['path'] for entry in column]."


def as_files(files: Any) -> list[File]:
    """Full paths, and bytes of pictures, of a list, an array or a column of a table.

    Raises:
        TypeError: For something else, paths as bytes among it. ValueError: For none.
        FileNotFoundError: If the first is not there.
    """
    if isinstance(files, (str, bytes, os.PathLike)):
        raise TypeError(
            f"files is {described(files)}, one {'picture' if isinstance(files, bytes) else 'path'}; expected a list of "
            "files. For a folder with one for each class use image_folder(path); for a flat one "
            "list(pathlib.Path(path).glob('*.jpg'))."
        )
    if not isinstance(files, Iterable) or isinstance(files, (dict, set, frozenset)) or _has_columns(files):
        raise TypeError(f"files is {described(files)}; expected a list of paths, or one column of a table.")
    paths = [_as_file(row, file) for row, file in enumerate(files)]
    if not paths:
        raise ValueError("files is empty; expected at least one path.")
    if isinstance(paths[0], bytes):
        _check_contents(paths[0])
    elif not os.path.lexists(paths[0]):
        raise FileNotFoundError(
            f"files[0] is {paths[0]!r}, which is not there. Relative paths count from the working folder, "
            f"{os.getcwd()!r}."
        )
    return paths


def as_labels(labels: Any, num_files: int) -> tuple[np.ndarray, list[str] | None]:
    """The class of each file, int32; and the names of the classes, where labels are text.

    Raises:
        TypeError: For something else than integers and text. ValueError: For another number of them, or missing ones.
    """
    # Of a list that holds text NumPy would make text of the rest: "nan" of a missing label.
    values = np.asarray(labels, object if isinstance(labels, (list, tuple)) else None)
    if values.shape[:1] != (num_files,):
        found = f"has {len(values):,} entries" if values.ndim else f"is {described(labels)}"
        raise ValueError(f"labels {found}, and there are {num_files:,} files; expected one label for each file.")
    entries = values.tolist() if values.ndim == 1 else []
    if entries and all(isinstance(entry, str) for entry in entries):
        names, numbers = np.unique(np.array(entries), return_inverse=True)
        return numbers.astype(np.int32), names.tolist()
    if not entries or not all(isinstance(entry, (int, np.integer, np.bool_)) for entry in entries):
        raise TypeError(
            f"labels {_what_is_wrong(labels, entries)}; expected an integer for each file, or text for each. Other "
            "targets stand beside the pictures in the data: Loader((photos, targets), ...)."
        )
    least, most, bounds = int(min(entries)), int(max(entries)), np.iinfo(np.int32)
    if least < bounds.min or most > bounds.max:
        raise ValueError(f"labels runs from {least} to {most}; expected integers of 32 bits.")
    return np.array(entries, np.int32), None


def check_same_index(files: object, labels: object) -> None:
    """Raises for two columns of pandas whose rows stand in another order: they are paired by position."""
    equals = getattr(getattr(files, "index", None), "equals", None)  # `index` of a list is a method, without this one
    other = getattr(labels, "index", None)
    if callable(equals) and hasattr(other, "equals") and not equals(other):
        raise ValueError(
            "files and labels have indexes that differ, and they are paired by position; expected two columns of one "
            "table: files=table['path'], labels=table['name']. If position is meant, give labels.to_numpy()."
        )


def _what_is_wrong(labels: object, entries: list[Any]) -> str:
    if not entries:
        return f"is {described(labels)}"
    others = [row for row, entry in enumerate(entries) if not isinstance(entry, (str, int, np.integer, np.bool_))]
    if not others:
        return "holds both text and integers"
    missing = (row for row in others if isinstance(entries[row], float) and np.isnan(entries[row]))
    row = next(missing, others[0])  # of a column that holds integers and NaN all are floats
    return f"holds {shown(entries[row])} at row {row}"


def _has_columns(files: object) -> bool:
    return len(getattr(files, "shape", ())) > 1


def _as_file(row: int, file: Any) -> File:
    if callable(getattr(file, "as_py", None)):  # of Arrow
        file = file.as_py()
    if isinstance(file, np.bytes_):
        raise TypeError(
            f"files[{row}] is of a NumPy array of bytes, which drops zeros at the end of each; expected a list, or an "
            "array of dtype=object."
        )
    if isinstance(file, (bytes, bytearray, memoryview)):
        return bytes(file)
    if not isinstance(file, (str, os.PathLike)):
        remedy = " Of an open file give its bytes, file.read()." if hasattr(file, "read") else ""
        remedy = _OF_ENTRIES if file is None or isinstance(file, dict) else remedy
        raise TypeError(f"files[{row}] is {described(file)}; expected a path, or the bytes of a picture.{remedy}")
    return os.path.abspath(os.fsdecode(file))


def _check_contents(first: bytes) -> None:
    """Raises for the path of a file as bytes, which would be taken for a picture; every picture holds a zero byte."""
    if first and b"\0" not in first and os.path.lexists(first):
        raise TypeError(
            f"files[0] is {described(first)}, the path of a file as bytes; bytes are what stands in a file. Expected "
            "paths as text: os.fsdecode(path)."
        )
