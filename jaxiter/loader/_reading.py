"""What of a batch comes from the host: which rows, and how they are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from .._checks import check_fits
from .._host_rows import read_rows as read_host_rows
from .._keys import Key
from ._data import is_resident
from ._program import rows_at, rows_of
from ._records import Column, columns_read
from ._sharding import lies_on, share_of, taken

if TYPE_CHECKING:
    from ._loader import Loader

_NAMED = 8  # rows in the note on an error


class Rows(NamedTuple):
    """The rows of one batch, before its program."""

    index: Any  # int32[batch], a NumPy array or a global one
    leaves: tuple[Any, ...]  # rows of each leaf of the data that was read, else None


def reads(leaf: Any, sharding: Any) -> bool:
    """Whether rows of this leaf are read before the program runs; else the program takes them."""
    return not is_resident(leaf) or not (sharding is None or lies_on(leaf, sharding))


def find_rows(loader: Loader, key: Key, epoch: Any, step: Any, sharding: Any) -> np.ndarray:
    """Which rows of the data a batch is of: with a sharding those that this process reads."""
    size = np.uint32(loader.size)
    if sharding is None:
        index = rows_at(key, None, epoch, step, size, loader._rule(step))
    else:
        position = step * np.uint32(loader.batch_size) + share_of(sharding, loader.batch_size).places
        index = rows_of(key, None, epoch, position, size, loader.shuffle)
    if isinstance(index, jax.core.Tracer):
        raise TypeError(
            "the loader's arrays are on the host, where a program that is being traced (jit, scan, vmap) cannot "
            "read them. Put them on the device first, loader = loader.to_device(), and pass the loader to jit as "
            "an argument."
        )
    rows = np.asarray(index)
    # Looked up here: as an argument of the program all of them would be copied every time.
    return rows if loader.rows is None else loader._host_rows[rows]


def read(loader: Loader, rows: np.ndarray, epoch: Any, step: Any, sharding: Any) -> Rows:
    """These rows of every leaf that has to be read: with a sharding those of this process, as global arrays."""
    try:
        leaves = _leaves_at(loader, rows, sharding)
    except Exception as error:
        _note(error, f"jaxiter: reading batch {step} of epoch {epoch}", rows)
        raise
    if sharding is None:
        return Rows(rows, leaves)  # of no device: a stream finds its rows on the CPU, and makes its batches elsewhere
    share = share_of(sharding, loader.batch_size)
    return Rows(share.spread(rows), tuple(None if leaf is None else share.spread(leaf) for leaf in leaves))


def _note(error: Exception, what: str, rows: np.ndarray) -> None:
    named = ", ".join(map(str, rows[:_NAMED])) + (", ..." if len(rows) > _NAMED else "")
    note = f"{what}, rows {named}"
    # A source may raise one object again and again, or one that takes no notes.
    if note not in getattr(error, "__notes__", ()):
        with suppress(Exception):
            error.add_note(note)


def _leaves_at(loader: Loader, rows: np.ndarray, sharding: Any) -> tuple[Any, ...]:
    records = columns_read(loader._data_leaves, rows)  # each record once, for all of its columns
    found: list[Any] = []
    for name, leaf, is_read in zip(loader._leaf_names, loader._data_leaves, loader._reads(sharding), strict=True):
        if isinstance(leaf, Column):
            values = next(records)
            check_fits(name, values)
            found.append(values)
        else:
            found.append(read_rows(name, leaf, rows) if is_read else None)
    return tuple(found)


def read_rows(name: str, leaf: Any, index: np.ndarray) -> Any:
    """Rows of an array on the host, in the order of `index`; of a file each is read once, in rising order."""
    if is_resident(leaf):
        return _rows_elsewhere(name, leaf, index)
    rows = read_host_rows(name, leaf, index)
    check_fits(name, rows)
    return rows


def _rows_elsewhere(name: str, leaf: Any, index: np.ndarray) -> Any:
    """Rows of an array that lies on other devices than those that the batch goes to."""
    if not leaf.is_fully_addressable:
        raise ValueError(
            f"{name} lies on devices of other processes and not on those of the sharding. Put it where the batches "
            "go, loader.to_device(...), or give every process the array."
        )
    return taken(leaf, index)
