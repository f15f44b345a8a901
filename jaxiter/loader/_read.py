"""What of a batch comes from the host: which rows, and reading them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jax.typing import ArrayLike

from .._checks import check_fits
from .._host_rows import read_rows
from .._keys import Counter, Key
from .._ragged import Ragged, is_ragged
from .._ragged_rows import stage
from .._transfers import transfers
from ..augment.internal import Companion
from ._columns import Column, read_columns, whole_columns
from ._companions import check_same_sizes
from ._data import Source, is_resident
from ._program import places_at, places_of
from ._sharding import spans_devices, take_elsewhere, upload
from ._spec import BatchSpec

_NOTED = 8  # rows in the note on an error


class HostRows(NamedTuple):
    """The rows of one batch, before its program."""

    indices: ArrayLike  # int32[batch], a NumPy array or a global one
    showings: ArrayLike | None  # uint32[batch], likewise; None where no row is visited twice
    leaves: list[Source]  # for each array of the data its rows where they were read, else the array itself


def read_batch(spec: BatchSpec, key: Key, epoch: Counter, step: Counter) -> HostRows:
    """The rows of each array that has to be read: with a sharding those of this process, as global arrays."""
    index, showings = find_rows(spec, key, epoch, step)
    leaves: list[Source] = []
    try:
        columns = read_columns(spec.columns, index) if spec.columns else iter(())
        for place in spec.distinct:
            name, leaf, is_read = spec.names[place], spec.leaves[place], spec.reads[place]
            found: Any = next(columns) if isinstance(leaf, Column) else leaf
            if is_ragged(leaf):
                leaves.append(_read_ragged(spec, name, found, index, key, epoch, step) if is_read else leaf)
            elif isinstance(leaf, Column):
                check_fits(name, found)
                leaves.append(found)
            else:
                leaves.append(read_leaf(name, leaf, index) if is_read else leaf)
    except Exception as error:
        _add_note(error, f"jaxiter: reading batch {step} of epoch {epoch}", index)
        raise
    if spec.has_ragged_masks:
        check_masks(spec, [leaves[source] for source in spec.program.sources], index)
    if spec.share is None:
        # Of no device: a stream finds its rows on the CPU, wherever its batches go.
        return HostRows(index, showings, leaves)
    whole = spec.share.make_global_array
    leaves = [
        whole(leaf) if spec.reads[place] and not is_ragged(leaf) else leaf
        for leaf, place in zip(leaves, spec.distinct, strict=True)
    ]
    return HostRows(whole(index), None if showings is None else whole(showings), leaves)


@transfers
def find_rows(spec: BatchSpec, key: Key, epoch: Counter, step: Counter) -> tuple[np.ndarray, np.ndarray | None]:
    """Which rows of the data a batch consists of, and their showings: with a sharding those that this process reads."""
    size, index = np.uint32(spec.size), spec.program_at(step).index
    if spec.share is None:
        found = places_at(key, epoch, step, size, index)
    else:
        position = step * np.uint32(spec.batch_size) + spec.share.positions
        found = places_of(key, epoch, position, size, spec.shuffle)
    return _visited(spec, key, epoch, found)


def _visited(spec: BatchSpec, key: Key, epoch: Counter, found: jax.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows and showings of places in an epoch."""
    if isinstance(found, jax.core.Tracer):
        raise TypeError(
            "the loader's arrays are on the host, where a program that is being traced (jit, scan, vmap) cannot "
            "read them. Put them on the device first, loader = loader.to_device(), and pass the loader to jit as "
            "an argument."
        )
    places = np.asarray(found)
    if spec.visited is None:
        return places, None
    # Looked up here: as arguments of the program all of them would be copied every time.
    return spec.visited.on_host(places, key, int(epoch))


def _read_ragged(
    spec: BatchSpec, name: str, leaf: Any, rows: np.ndarray, key: Key, epoch: Counter, step: Counter
) -> Ragged:
    """Pictures of different sizes, copied one behind the other: with a sharding for each device by itself."""
    if is_resident(leaf):
        raise ValueError(
            f"{name} is Ragged on other devices than those that the batch goes to; expected its pixels there, "
            "loader.to_device(sharding), or on the host."
        )
    if spec.share is None:
        return stage(name, leaf, rows, 1)[0]
    if not isinstance(leaf, Ragged) and jax.process_count() > 1:
        raise ValueError(
            f"{name} reads pictures of different sizes, which several processes cannot lay out together before they "
            "are read; expected pictures of one size (size=...), or those of a packed file, jaxiter.pack(...)."
        )
    num_groups, others = len(spec.share.starts), None
    if len(rows) < spec.batch_size:  # the buffers of other processes have to be as large
        everything = step * np.uint32(spec.batch_size) + np.arange(spec.batch_size, dtype=np.uint32)
        found = places_of(key, epoch, everything, np.uint32(spec.size), spec.shuffle)
        others = _visited(spec, key, epoch, found)[0].reshape(-1, len(rows) // num_groups)
    return spec.share.make_global_ragged(stage(name, leaf, rows, num_groups, others))


def check_masks(spec: BatchSpec, leaves: Sequence[Any], rows: np.ndarray | None = None) -> None:
    """Raises for a mask that was read with another size than its picture.

    Args:
        leaves: One for each leaf of the data.
        rows: Those of the data that were read; None for all of them.
    """
    for place, chain in enumerate(spec.chains):
        if isinstance(chain, Companion) and chain.target is not None:
            own, other = leaves[place], leaves[chain.target]
            if isinstance(own, Ragged) and isinstance(other, Ragged):
                check_same_sizes(spec.names[place], own, spec.names[chain.target], other, rows)


def read_leaf(name: str, leaf: Source, rows: np.ndarray) -> np.ndarray | jax.Array:
    """Rows of one leaf, in the order of `rows`; of a file each is read once, in rising order."""
    if isinstance(leaf, jax.Array):
        return _read_elsewhere(name, leaf, rows)
    found = read_rows(name, leaf, rows)
    if found.dtype.itemsize > 4:  # only 64-bit numbers can fail to fit
        check_fits(name, found)
    return found


@transfers
def read_examples(name: str, leaf: Any, rows: np.ndarray) -> Any:
    """Rows of one leaf, on the device, of the dtype that JAX now makes of its own; or `Ragged` of some pictures."""
    if isinstance(leaf, Ragged) and is_resident(leaf):
        return leaf.taken(jnp.asarray(rows.astype(np.int32)))
    if is_ragged(leaf):
        return jax.tree.map(jnp.asarray, stage(name, leaf, rows, 1)[0])
    is_here = is_resident(leaf) and not spans_devices(leaf)
    array = jnp.asarray(leaf[rows] if is_here else read_leaf(name, leaf, rows))
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype))


def upload_arrays(spec: BatchSpec, sharding: Sharding | None) -> list[jax.Array]:
    """The arrays of the data on the device, or laid out by `sharding`."""
    # Of a process among several only its part of each column is read, and the columns one after the other.
    reads_all = sharding is None or sharding.is_fully_addressable
    columns: Iterator[Source] = whole_columns(spec.columns) if reads_all else iter(spec.columns)
    arrays = [next(columns) if isinstance(leaf, Column) else leaf for leaf in spec.arrays]
    names = [spec.names[place] for place in spec.distinct]
    return [upload(name, array, sharding) for name, array in zip(names, arrays, strict=True)]


@transfers
def _read_elsewhere(name: str, leaf: jax.Array, rows: np.ndarray) -> np.ndarray | jax.Array:
    """Rows of an array that lies on other devices than those that the batch goes to."""
    if not leaf.is_fully_addressable:
        raise ValueError(
            f"{name} lies on devices of other processes and not on those of the sharding. Put it where the batches "
            "go, loader.to_device(...), or give every process the array."
        )
    return take_elsewhere(leaf, rows)


def _add_note(error: Exception, what: str, rows: np.ndarray) -> None:
    named = ", ".join(map(str, rows[:_NOTED])) + (", ..." if len(rows) > _NOTED else "")
    note = f"{what}, rows {named}"
    # A source may raise one object again and again, or one that takes no notes.
    if note not in getattr(error, "__notes__", ()):
        with suppress(Exception):
            error.add_note(note)
