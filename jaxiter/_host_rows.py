"""Rows of arrays on the host: the one reader of Loader, statistics and Keras' iterators.

A mapped file is announced to the operating system before it is read and released afterwards; an array-like (h5py, zarr,
TensorStore) is indexed by sorted, unique rows; results lie in memory that XLA:CPU takes over without a copy.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import jax
import numpy as np
import numpy.typing as npt

from ._checks import check_not_forked

_ALIGNMENT = 64  # bytes: what XLA:CPU requires of memory that it did not allocate itself
_RELEASE = 1 << 26  # bytes of a mapping that stay in this process before its pages are released
_AROUND = 1 << 16  # bytes that Linux maps around a missing page
_mapped: WeakKeyDictionary[mmap.mmap, int] = WeakKeyDictionary()  # bytes read since pages were last released


class Source(Protocol):
    """A NumPy or JAX array, or anything with these three."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...  # NumPy's, or TensorStore's own
    def __getitem__(self, index: Any, /) -> Any: ...


class HasDtype(Protocol):
    @property
    def dtype(self) -> Any: ...


def read_rows(name: str, source: Source, rows: np.ndarray) -> np.ndarray:
    """`source[rows]` in this machine's byte order, a copy, in the order of `rows`.

    Args:
        name: Of the source, for error messages.
        source: A NumPy array, a memmap, or an array-like with `shape`, `dtype` and indexing by a sorted integer array.
        rows: Integers in [0, len(source)).

    Raises:
        OSError: If a mapped file has become shorter than the array; reading on would end the process by SIGBUS.
        ValueError: If an array-like returns another shape or dtype than it promises.
    """
    if type(source) is np.ndarray and source.base is None:  # it owns its memory, which is no mapped file
        found = aligned_rows(source, rows)
        return found if found.dtype.isnative else native(found)
    if isinstance(source, np.memmap) or type(source) is np.ndarray:
        return native(_rows_of_array(name, source, rows))
    _check_readable(source)
    unique, inverse = np.unique(rows, return_inverse=True)
    found = np.asarray(without_mask(name, source[unique + first_row(source)]))
    if found.shape != (len(unique), *source.shape[1:]):
        raise ValueError(
            f"{name} returned shape {found.shape} for {len(unique)} rows; expected {(len(unique), *source.shape[1:])}. "
            "An array-like must take a sorted integer array as index."
        )
    found = native(found)
    if found.dtype != dtype_of(source):
        raise ValueError(f"{name} returned {found.dtype} for some rows; expected {dtype_of(source)}, its own dtype.")
    return aligned_rows(found, inverse)


def read_blocks(name: str, source: Source, num_rows: int) -> Iterator[np.ndarray]:
    """All rows of `source` in consecutive blocks of `num_rows`, possibly views; errors as for `read_rows`."""
    _check_readable(source)
    for start in range(0, source.shape[0], num_rows):
        if isinstance(source, np.ndarray):
            check_length(name, source)
        block = np.asarray(without_mask(name, source[rows_between(source, start, start + num_rows)]))
        yield block
        if isinstance(source, np.ndarray):
            _release(source, len(block))


def _check_readable(source: Source) -> None:
    """Raises for an array of JAX in a forked process: its rows are cut out by a program."""
    if isinstance(source, jax.Array):
        check_not_forked()


def first_row(source: Source) -> int:
    """The index of the first row: a view of a TensorStore keeps the indices of what it is a view of."""
    least = getattr(getattr(source, "domain", None), "inclusive_min", None)
    return int(least[0]) if least else 0


def rows_between(source: Source, start: int, stop: int) -> slice:
    """The index of rows `start` to `stop`, counted from 0, as far as there are rows."""
    first = first_row(source)
    return slice(first + start, first + min(stop, source.shape[0]))


def without_mask(name: str, rows: npt.ArrayLike) -> npt.ArrayLike:
    """`rows` where nothing is masked; netCDF4 returns masked arrays of every variable."""
    if np.ma.is_masked(rows):
        raise ValueError(
            f"{name} returned {np.ma.count_masked(rows)} masked values, which are missing in its file; expected plain "
            "numbers. Leave these examples out by rows=..., or fill the values in first."
        )
    return rows


def dtype_of(source: HasDtype) -> np.dtype:
    """The dtype of the rows of an array-like, in this machine's byte order; TensorStore has dtypes of its own."""
    return np.dtype(getattr(source.dtype, "numpy_dtype", source.dtype)).newbyteorder("=")


def native(rows: np.ndarray) -> np.ndarray:
    """`rows` in this machine's byte order, the only one that JAX knows."""
    return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """As `np.empty`, in memory that XLA:CPU takes over without a copy."""
    dtype = np.dtype(dtype)
    num_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT  # `memory.ctypes` takes three times as long
    return memory[start : start + num_bytes].view(dtype).reshape(shape)


def aligned_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]` in aligned memory; the rows are known to exist."""
    if not (array.flags.c_contiguous and array.flags.aligned):
        return array[rows]  # np.take would copy the whole array first
    if array.dtype.kind not in "biuf":
        return array.take(rows, axis=0)
    # mode="raise" would copy the result once more.
    return array.take(rows, axis=0, out=aligned_empty((len(rows), *array.shape[1:]), array.dtype), mode="clip")


def _rows_of_array(name: str, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]`; of a mapped file without waiting for one row after the other, and in bounded memory.

    By default the system reads 128 KB around every row, one after the other, and keeps the pages in the resident set of
    the process. With all rows announced it reads only these, concurrently: 8 to 20 times as fast from a cold disk
    (docs/scale.md).
    """
    mapping, _ = _mapping_of(array)
    if mapping is None:
        return aligned_rows(np.asarray(array), rows)
    check_length(name, array)
    _announce(mapping, array, rows, _offset_in(mapping, array))
    values = aligned_rows(np.asarray(array), rows)
    _release(array, len(rows))
    return values


def check_length(name: str, array: np.ndarray) -> None:
    """Raises OSError if the array lies in a mapped file that has become too short for it.

    The memmap that the array is a view of knows where in the file the mapping begins; without one it is the start.
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
    expected = offset + _offset_in(mapping, array) + last + array.itemsize
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


def _offset_in(mapping: mmap.mmap, array: np.ndarray) -> int:
    """Bytes between the start of the mapping and that of the array."""
    whole = np.frombuffer(mapping, np.uint8)
    return array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


@contextmanager
def announced(name: str, array: Source, starts: np.ndarray, counts: np.ndarray) -> Iterator[None]:
    """Around reading rows `starts` to `starts + counts` of what may be a mapped file, as `read_rows` reads single ones.

    Raises:
        OSError: If the file has become shorter than the array.
    """
    mapping, _ = _mapping_of(array) if isinstance(array, np.ndarray) else (None, None)
    if mapping is None or not isinstance(array, np.ndarray):
        yield
        return
    check_length(name, array)
    if hasattr(mmap, "MADV_WILLNEED") and array.flags.c_contiguous:
        begins = _offset_in(mapping, array) + starts * array.strides[0]
        pages = begins // mmap.PAGESIZE * mmap.PAGESIZE
        ends = begins + counts * array.strides[0]
        for page, size in zip(pages.tolist(), (ends - pages).tolist(), strict=True):
            mapping.madvise(mmap.MADV_WILLNEED, page, size)
    yield
    _release(array, int(counts.sum()), num_runs=len(counts))


def _announce(mapping: mmap.mmap, array: np.ndarray, rows: np.ndarray, offset: int) -> None:
    length = array[:1].nbytes
    if not hasattr(mmap, "MADV_WILLNEED") or not array[0].flags.c_contiguous or length == 0:
        return
    begins = offset + np.unique(rows).astype(np.int64) * array.strides[0]
    pages = begins // mmap.PAGESIZE * mmap.PAGESIZE
    for page, size in zip(pages.tolist(), (begins + length - pages).tolist(), strict=True):
        mapping.madvise(mmap.MADV_WILLNEED, page, size)


def _release(array: np.ndarray, num_rows: int, *, num_runs: int | None = None) -> None:
    """Counts rows that were read from a mapped file; returns its pages to the system when they add up."""
    mapping, file = _mapping_of(array)
    # Pages of a private mapping (mode "c") may hold what the user wrote and no file has.
    if mapping is None or file is None or file.mode not in ("r", "r+", "w+") or not hasattr(mmap, "MADV_DONTNEED"):
        return
    runs = num_rows if num_runs is None else num_runs  # of rows that follow each other
    mapped = _mapped.get(mapping, 0) + num_rows * array[:1].nbytes + runs * _AROUND
    if mapped > _RELEASE:
        mapping.madvise(mmap.MADV_DONTNEED)
        mapped = 0
    _mapped[mapping] = mapped
