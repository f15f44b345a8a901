"""Rows of a file that is mapped into memory, which the operating system does best when it is told what comes."""

from __future__ import annotations

import mmap
from weakref import WeakKeyDictionary

import numpy as np

from ._aligned import aligned_rows

_RELEASE = 1 << 26  # bytes of a mapping that stay in this process before its pages are let go
_AROUND = 1 << 16  # bytes that Linux maps around one that is missing
_mapped: WeakKeyDictionary[mmap.mmap, int] = WeakKeyDictionary()  # bytes that came in since pages were last let go


def mapped_rows(name: str, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]`; from a mapped file without waiting for one row after the other, nor growing with the file.

    Left alone, a mapping reads 128 KB around every row, one after the other, and what was read stays in the resident
    set of the process. Told of all rows before, the system reads just these, together: 8 to 20 times as fast from a
    cold disk (docs/scale.md).

    Raises:
        OSError: If the file has become shorter than the array; reading on would kill the process by SIGBUS.
    """
    mapping, file = _mapping_of(array)
    if mapping is not None:
        check_length(name, array)
        _announce(mapping, array, rows, _begin(mapping, array))
    values = aligned_rows(np.asarray(array), rows)
    # Pages of a private mapping may hold what the user wrote and no file has.
    if mapping is not None and file is not None and file.mode in ("r", "r+", "w+"):
        _let_go(mapping, array, len(rows))
    return values


def check_length(name: str, array: np.ndarray) -> None:
    """Raises OSError for an array in a mapped file that has become too short for it; others pass.

    The memmap that it is a view of says where in the file the mapping begins; without one, that is the file's start.
    """
    mapping, file = _mapping_of(array)
    if mapping is None or array.size == 0:
        return
    try:
        found = mapping.size()
    except (OSError, ValueError):  # there is no file
        return
    offset = 0 if file is None else file.offset - file.offset % mmap.ALLOCATIONGRANULARITY
    last = sum(max(0, stride * (length - 1)) for stride, length in zip(array.strides, array.shape, strict=True))
    expected = offset + _begin(mapping, array) + last + array.itemsize
    if found < expected:
        raise OSError(
            f"{name} is in a mapped file{'' if file is None else f', {file.filename}'}, which has {found} bytes now; "
            f"expected at least {expected}. It was truncated after it was opened; write it anew and open it again."
        )


def _mapping_of(array: np.ndarray) -> tuple[mmap.mmap | None, np.memmap | None]:
    """The mapping in whose memory the array lies, if any, and the memmap that knows its file."""
    base: object = array
    file = None
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.offset is not None:
            file = base
        base = base.base
    return (base, file) if isinstance(base, mmap.mmap) else (None, None)


def _begin(mapping: mmap.mmap, array: np.ndarray) -> int:
    """Where in the mapping the array begins, in bytes."""
    whole = np.frombuffer(mapping, np.uint8)
    return array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


def _announce(mapping: mmap.mmap, array: np.ndarray, rows: np.ndarray, begin: int) -> None:
    length = array[:1].nbytes
    if not hasattr(mmap, "MADV_WILLNEED") or not array[0].flags.c_contiguous or length == 0:
        return
    begins = begin + np.unique(rows).astype(np.int64) * array.strides[0]
    pages = begins // mmap.PAGESIZE * mmap.PAGESIZE
    for page, size in zip(pages.tolist(), (begins + length - pages).tolist(), strict=True):
        mapping.madvise(mmap.MADV_WILLNEED, page, size)


def _let_go(mapping: mmap.mmap, array: np.ndarray, count: int) -> None:
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapped = _mapped.get(mapping, 0) + count * (array[:1].nbytes + _AROUND)
    if mapped > _RELEASE:
        mapping.madvise(mmap.MADV_DONTNEED)
        mapped = 0
    _mapped[mapping] = mapped
