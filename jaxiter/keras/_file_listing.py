"""The classes and picture files of a directory, in Keras' order."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .._describe import a_type
from .._warn import warn

_NAMED = 5  # folders or files that a warning names


Endings = str | tuple[str, ...]  # as str.endswith takes them


class Listing(NamedTuple):
    """The pictures of a directory, class by class."""

    class_names: list[str]
    filenames: list[str]  # the class' folder and the path below it
    class_numbers: np.ndarray  # int32, file by file

    def part(self, places: np.ndarray) -> Listing:
        return Listing(self.class_names, [self.filenames[place] for place in places], self.class_numbers[places])


class _Found(NamedTuple):
    """What lies below one folder."""

    paths: list[str]  # relative to it, of pictures
    others: Counter[str]  # endings of the files that are none
    hidden: list[str]  # pictures in hidden folders, or with hidden names
    tiff: list[str]


def list_directory(directory: Any, classes: Any, endings: Endings, *, follow_links: bool, skip_hidden: bool) -> Listing:
    """The pictures below `directory`, and their classes.

    Args:
        directory: A str or Path.
        classes: Names of the folders, in the order of their numbers; if empty or None, all folders in it.
        endings: Of the lower-case names of pictures.
        follow_links: Enter linked folders below those of the classes.
        skip_hidden: Leave out what begins with a dot. Classes that are given are kept.

    Warns:
        UserWarning: Of classes without pictures, hidden names, and ".tiff" files, once for each kind.

    Raises:
        OSError: If directory is no folder, or some folder cannot be listed.
        ValueError: For a class that is given twice. TypeError for names that are no str.
    """
    directory = _checked_directory(directory)
    names = _given_names(classes) if classes else _folders_in(directory, skip_hidden=skip_hidden)
    found = [
        _pictures_below(os.path.join(directory, name), endings, follow_links=follow_links, skip_hidden=skip_hidden)
        for name in names
    ]
    filenames = [os.path.join(name, path) for name, below in zip(names, found, strict=True) for path in below.paths]
    numbers = np.repeat(np.arange(len(names), dtype=np.int32), [len(below.paths) for below in found])
    _warn_of_tiff(os.path.join(name, path) for name, below in zip(names, found, strict=True) for path in below.tiff)
    _warn_of_hidden([] if classes else names, names, found)
    _warn_of_empty(directory, names, found, endings)
    return Listing(names, filenames, numbers)


def endings_of(white_list_formats: Any) -> Endings:
    return white_list_formats if isinstance(white_list_formats, str) else tuple(white_list_formats)


def in_words(endings: Endings) -> str:
    return endings if isinstance(endings, str) else ", ".join(endings)


def _checked_directory(directory: Any) -> str:
    try:
        path = os.fspath(directory)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise TypeError(f"directory is {a_type(directory)}; expected a str or Path, the folder that holds the classes.")
    with os.scandir(path):  # raises what is wrong with it
        return path


def _given_names(classes: Any) -> list[str]:
    names = list(classes)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"classes holds {name!r}, {a_type(name)}; expected names of folders, as str.")
    folders = [os.path.normpath(name) if os.path.dirname(name) else name for name in names]
    twice = [name for name, folder in zip(names, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise ValueError(f"classes holds {', '.join(map(repr, twice))}, one folder twice; expected each class once.")
    return names


def _folders_in(directory: str, *, skip_hidden: bool) -> list[str]:
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if _is_folder(entry)]
    return sorted(name for name in names if not (skip_hidden and is_hidden(name)))


def is_hidden(path: str) -> bool:
    """Whether a name in it begins with a dot."""
    return any(name.startswith(".") and name not in (".", "..") for name in path.split(os.sep))


def _pictures_below(folder: str, endings: Endings, *, follow_links: bool, skip_hidden: bool) -> _Found:
    """Folders sorted by their path as a whole, names within each; none if there is no such folder."""
    found = _Found([], Counter(), [], [])
    if not _is_there(folder):
        return found
    for below, names in sorted(_walk(folder, follow_links=follow_links, skip_hidden=skip_hidden)):
        for name in sorted(names):
            if skip_hidden and is_hidden(name):
                continue
            path, lower = os.path.join(below, name), name.lower()
            if lower.endswith(".tiff"):
                found.tiff.append(path)
            if not lower.endswith(endings):
                found.others[os.path.splitext(lower)[1] or "no ending"] += 1
                continue
            found.paths.append(path)
            if is_hidden(path):
                found.hidden.append(path)
    return found


def _walk(top: str, *, follow_links: bool, skip_hidden: bool) -> Iterator[tuple[str, list[str]]]:
    """Each folder, by its path below `top` ("" for itself), with the names of its files."""
    # With each folder the links that led to it, by the folders that hold them.
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        below, linked_from = waiting.pop()
        here, files = os.path.join(top, below) if below else top, []
        with os.scandir(here) as entries:
            for entry in entries:
                if not _is_folder(entry):
                    files.append(entry.name)
                    continue
                is_link, inner = entry.is_symlink(), os.path.join(below, entry.name)
                if (skip_hidden and is_hidden(entry.name)) or (is_link and not follow_links):
                    continue
                if is_link and any(_holds(os.path.realpath(entry.path), folder) for folder in (*linked_from, here)):
                    continue
                waiting.append((inner, (*linked_from, here) if is_link else linked_from))
        yield below, files


def _holds(outer: str, folder: str) -> bool:
    """Whether the real path `outer` is, or lies above, that of `folder`."""
    return os.path.join(os.path.realpath(folder), "").startswith(os.path.join(outer, ""))


def _is_there(folder: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(folder).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        if os.path.islink(folder):
            return False
        raise


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Of a link to nowhere, or in a circle, it is false, as of a link that may not be followed."""
    try:
        return entry.is_dir()
    except OSError:
        if entry.is_symlink():
            return False
        raise


def _warn_of_tiff(paths: Iterable[str]) -> None:
    found = list(paths)
    if found:
        warn(
            f'".tiff" files with multiple bands are read with distortion: of {_several(found)} only what Pillow '
            "makes of the first page is used."
        )


def _warn_of_hidden(found_classes: list[str], names: list[str], found: list[_Found]) -> None:
    hidden = [f"class {name!r}" for name in found_classes if is_hidden(name)]
    files = [os.path.join(name, path) for name, below in zip(names, found, strict=True) for path in below.hidden]
    if hidden or files:
        parts = [*hidden[:_NAMED], *([f"{len(files)} pictures, {_several(files)}"] if files else [])]
        warn(
            f"Hidden names count, as in Keras: {'; '.join(parts)}. Pass skip_hidden=True to leave out what begins with "
            "a dot; that changes the numbers of the classes after them."
        )


def _warn_of_empty(directory: str, names: list[str], found: list[_Found], endings: Endings) -> None:
    empty = [(name, below) for name, below in zip(names, found, strict=True) if not below.paths]
    if names and not empty:
        return
    wanted = in_words(endings)
    if not names:
        reason = f"directory {directory!r} holds no folders, which would be the classes."
    else:
        missing = [name for name, _ in empty if not _is_there(os.path.join(directory, name))]
        others: Counter[str] = sum((below.others for _, below in empty), Counter())
        met = ", ".join(f"{ending} ({count})" for ending, count in others.most_common(_NAMED))
        reason = (
            f"Of {len(names)} classes {len(empty)} have no picture: {_several([name for name, _ in empty])}, in "
            f"{directory!r}. Names that end in {wanted} are looked for; found there: {met or 'no files'}."
            + (f" No folder: {_several(missing)}." if missing else "")
        )
    if any(below.paths for below in found):
        warn(reason)
        return
    with os.scandir(directory) as entries:
        beside = sum(entry.name.lower().endswith(endings) and not _is_folder(entry) for entry in entries)
    remedy = f" {beside} pictures lie straight in it: for these pass classes=['.']." if beside else ""
    warn(f"{reason}{remedy}")


def _several(names: list[str]) -> str:
    """The first names; others are counted."""
    rest = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {rest} more" if rest > 0 else "")
