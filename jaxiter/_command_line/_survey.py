"""What a folder of pictures holds: classes, sizes, and files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._progress import Progress
from .._ragged import MOST_SIDE, Ragged
from ..host import ImageFiles
from ..host.internal import ImageFileError, in_threads
from ._flags import in_flags
from ._pictures import Pictures

if TYPE_CHECKING:
    from jaxtyping import Int

_SIDE = 64  # pixels, to which JPEGs are reduced as they are decoded: all of a file is read, in about half the time
_CLASSES, _FILES = 40, 20  # that are listed; of more classes the first and last of these


class Survey(NamedTuple):
    """What was found in some pictures.

    sizes: The (height, width) of each, as its file has it; (0, 0) of one that cannot be read.
    bad: The error of each that cannot be read, by its row.
    """

    sizes: Int[np.ndarray, "n 2"]
    bad: dict[int, ImageFileError]

    @property
    def good(self) -> Int[np.ndarray, " readable"]:
        """The rows that can be read."""
        return np.delete(np.arange(len(self.sizes)), list(self.bad))


def survey(pictures: Pictures) -> Survey:
    """Decodes every file once; of packed pictures the sizes are known."""
    images = pictures.images
    if isinstance(images, Ragged):
        return Survey(np.asarray(images.shapes), {})
    if not isinstance(images, ImageFiles):
        return Survey(np.tile(np.array(images.shape[1:3], np.int32), (len(images), 1)), {})
    sizes, bad = np.zeros((len(images), 2), np.int32), {}

    def read(row: int) -> tuple[int, int] | ImageFileError:
        try:
            size = images.decode(row, shorter_side=_SIDE)[1]
            if max(size) > MOST_SIDE:
                images.decode(row)  # which says why not
        except ImageFileError as error:
            return error
        return size

    found = in_threads(read, range(len(images)))
    with Progress("reading", len(images)) as bar, closing(found):
        for row, result in enumerate(bar.watch(found)):
            if isinstance(result, ImageFileError):
                bad[row] = result
            else:
                sizes[row] = result
    return Survey(sizes, bad)


def described(pictures: Pictures, found: Survey) -> Iterator[str]:
    """Lines for people."""
    yield from _classes(pictures, found)
    good = found.good
    if len(good):
        sizes = found.sizes[good]
        by_area = sizes[np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")]
        smallest, median, largest = (f"{height} x {width}" for height, width in by_area[[0, len(good) // 2, -1]])
        if (sizes == sizes[0]).all():
            yield f"sizes, height x width: all {smallest}"
        else:
            yield f"sizes, height x width: smallest {smallest}, median {median}, largest {largest}"
    if isinstance(pictures.images, ImageFiles):
        count = len(found.bad)
        yield f"{counted(count, 'file')} cannot be read:" if count else "every file can be read"
        for row, error in list(found.bad.items())[:_FILES]:
            yield f"  row {row}, {error.file!r}: {in_flags(error.reason)}"
        if count > _FILES:
            yield f"  and {counted(count - _FILES, 'other')}; jaxiter.check_files(images) lists all"
    elif pictures.left_out:
        yield f"left out when it was packed, as they could not be read: {counted(pictures.left_out, 'file')}"


def _classes(pictures: Pictures, found: Survey) -> Iterator[str]:
    size = len(found.sizes)
    if pictures.labels is None:
        yield f"{counted(size, 'picture')}, without classes"
        return
    numbers, counts = np.unique(pictures.labels, return_counts=True)
    of_bad = np.asarray(pictures.labels)[list(found.bad)]
    yield f"{counted(size, 'picture')} in {counted(len(numbers), 'class', 'classes')}:"
    names = [_name(pictures.class_names, int(number)) for number in numbers]
    shown = list(range(len(names)))
    if len(names) > _CLASSES:
        shown = [*shown[: _CLASSES // 2], *shown[-_CLASSES // 2 :]]
    width, digits = max(len(names[place]) for place in shown), max(len(f"{count:,}") for count in counts)
    before = -1
    for place in shown:
        if place > before + 1:
            others = counts[before + 1 : place]
            each = "" if len(others) == 1 else " each"
            yield f"  and {counted(len(others), 'other')} of {_range(others)}{each}"
        num_bad = int((of_bad == numbers[place]).sum())
        note = f", {num_bad:,} of which cannot be read" if num_bad else ""
        yield f"  {names[place].ljust(width)}  {counts[place]:{digits},}{note}"
        before = place


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number of things in words; of several, by default, with an s."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _name(class_names: list[str] | None, number: int) -> str:
    name = str(number) if class_names is None else class_names[number]
    return name if name.isprintable() else repr(name)


def _range(counts: Int[np.ndarray, " classes"]) -> str:
    least, most = int(counts.min()), int(counts.max())
    return counted(least, "picture") if least == most else f"{least:,} to {most:,} pictures"


def classes_of(pictures: Pictures, rows: Int[np.ndarray, " shown"]) -> str | None:
    """The class of each of some rows, in words; None without classes."""
    if pictures.labels is None:
        return None
    return ", ".join(_name(pictures.class_names, int(pictures.labels[row])) for row in rows)
