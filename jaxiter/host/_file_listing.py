"""The pictures below a folder that has a folder for each class."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import NamedTuple

from .._warn import warn

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
_NAMED = 5  # names that stand for all in an error

_Parts = tuple[str, ...]  # of a path below a folder


class Listing(NamedTuple):
    files: list[str]  # full paths
    classes: list[int]  # of each file
    class_names: list[str]


def list_folder(path: str | bytes | os.PathLike) -> Listing:
    """The pictures of each class folder, sorted by their path below `path`, compared folder by folder.

    Raises:
        OSError: If the path is no folder, or a folder in it may not be read.
        ValueError: If there are no class folders, or one without pictures.
    """
    root = os.path.abspath(os.fsdecode(path))
    if not os.path.isdir(root):
        exists = os.path.lexists(root)
        found = "is no folder" if exists else f"does not exist (the working folder is {os.getcwd()!r})"
        error = NotADirectoryError if exists else FileNotFoundError
        raise error(f"{root!r} {found}; expected a folder with a folder of pictures for each class.")
    pictures, folders = _walk(root)
    class_names = sorted(parts[0] for parts in folders if len(parts) == 1)
    loose = sum(len(parts) == 1 for parts in pictures)
    if not class_names:
        raise ValueError(
            f"{root!r} has no folders, and {loose} pictures; expected a folder for each class. For pictures without "
            "classes, or with labels from elsewhere, use image_files(list_of_files, labels=...)."
        )
    inside = sorted(parts for parts in pictures if len(parts) > 1)
    _check_classes(root, class_names, {parts[0] for parts in inside})
    if loose:
        warn(f"{loose} of the pictures lie directly in {root!r} and in the folder of no class; left out.")
    number = {name: place for place, name in enumerate(class_names)}
    return Listing(
        [os.path.join(root, *parts) for parts in inside], [number[parts[0]] for parts in inside], class_names
    )


def _check_classes(root: str, class_names: list[str], filled: set[str]) -> None:
    """Raises for classes without pictures: left out, they would change the numbers of the classes behind them."""
    empty = [name for name in class_names if name not in filled]
    if empty:
        named = ", ".join(map(repr, empty[:_NAMED])) + (", ..." if len(empty) > _NAMED else "")
        raise ValueError(
            f"{len(empty)} of {len(class_names)} class folders in {root!r} hold no pictures of their own: {named}; "
            f"expected files that end in {', '.join(SUFFIXES)}. Remove or fill these folders. A link to a folder that "
            "another class has already counts for that class alone."
        )


def _walk(root: str) -> tuple[list[_Parts], list[_Parts]]:
    """Pictures and folders below `root`; links are followed last, and no folder is read twice."""
    pictures: list[_Parts] = []
    folders: list[_Parts] = []
    seen: set[str] = set()
    waiting: deque[_Parts] = deque([()])
    links: deque[_Parts] = deque()
    while waiting or links:
        parts = waiting.popleft() if waiting else links.popleft()
        folder = os.path.join(root, *parts)
        folders.append(parts)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            below = (*parts, entry.name)
            if entry.name.startswith("."):  # .ipynb_checkpoints too
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(below)
            elif entry.name.lower().endswith(SUFFIXES):  # a link that leads nowhere too: reading it says so
                pictures.append(below)
    return pictures, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself leads nowhere
            return False
        raise
