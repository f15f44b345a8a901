"""The pictures below a folder that has a folder for each class."""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from typing import NamedTuple

from PIL import Image

from .._warn import warn

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
_NAMED = 5  # names that stand for all in an error
# Endings that stand for pictures, which Pillow lacks, or knows with another package.
_KNOWN = {".heic", ".heif", ".avif", ".jp2", ".jfif", ".jxl", ".raw", ".dng", ".cr2", ".nef", ".arw"}
_NO_PICTURES = {"BUFR", "GRIB", "HDF5", "IPTC", "MPEG", "PDF"}  # which Pillow registers and cannot read

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
    pictures, folders, others = _walk(root)
    _warn_of_others(root, others)
    class_names = sorted(parts[0] for parts in folders if len(parts) == 1)
    loose = sum(len(parts) == 1 for parts in pictures)
    if not class_names:
        raise ValueError(
            f"{root!r} has no folders, and {loose} {'picture' if loose == 1 else 'pictures'}; expected a folder for "
            "each class. For pictures without classes, or with labels from elsewhere, use image_files(list_of_files, "
            "labels=...)."
        )
    inside = sorted(parts for parts in pictures if len(parts) > 1)
    _check_classes(root, class_names, {parts[0] for parts in inside})
    if loose:
        lie = "lies" if loose == 1 else "lie"
        warn(f"{loose} of the pictures {lie} directly in {root!r} and in the folder of no class; left out.")
    _warn_of_deep(os.fsdecode(path), class_names, inside)
    number = {name: place for place, name in enumerate(class_names)}
    return Listing(
        [os.path.join(root, *parts) for parts in inside], [number[parts[0]] for parts in inside], class_names
    )


def _check_classes(root: str, class_names: list[str], filled: set[str]) -> None:
    """Raises for classes without pictures: left out, they would change the numbers of the classes behind them."""
    empty = [name for name in class_names if name not in filled]
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(class_names)} class folders in {root!r} hold no pictures of their own: "
            f"{_listed(empty)}; expected files that end in {', '.join(SUFFIXES)}. Remove or fill these "
            "folders. A link to a folder that another class has already counts for that class alone."
        )


def _warn_of_others(root: str, others: Counter[str]) -> None:
    """Warns of pictures whose endings do not count."""
    registered = {ending for ending, kind in Image.registered_extensions().items() if kind not in _NO_PICTURES}
    found = {ending: count for ending, count in sorted(others.items()) if ending in registered | _KNOWN}
    if found:
        named, total = ", ".join(f"{count:,} {ending}" for ending, count in found.items()), sum(found.values())
        files, are = (
            ("file", "is a picture by its ending") if total == 1 else ("files", "are pictures by their endings")
        )
        warn(
            f"{total:,} {files} below {root!r} {are}, and left out: {named}. Those "
            f"that end in {', '.join(SUFFIXES)} count. Rename or convert the others; or give a list of all files to "
            "image_files(files, labels=...), which takes whatever Pillow reads."
        )


def _warn_of_deep(root: str, class_names: list[str], pictures: list[_Parts]) -> None:
    """Warns where the folders look like parts of the data, as train and val, that have the classes in them."""
    if any(len(parts) == 2 for parts in pictures):
        return
    part = "train" if "train" in class_names else class_names[0]
    below = sorted({parts[1] for parts in pictures if parts[0] == part})
    warn(
        f"the classes of {root!r} are its folders {_listed(class_names)}. None of them holds a picture itself, but "
        f"folders in them do: in {part!r} {_listed(below)}. If those are the classes, use "
        f"image_folder({os.path.join(root, part)!r})."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def _walk(root: str) -> tuple[list[_Parts], list[_Parts], Counter[str]]:
    """Pictures and folders below `root`, and how many other files have each ending.

    Links are followed last, and no folder is read twice.
    """
    pictures: list[_Parts] = []
    others: Counter[str] = Counter()
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
            else:
                others[os.path.splitext(entry.name)[1].lower()] += 1
    return pictures, folders, others


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself leads nowhere
            return False
        raise
