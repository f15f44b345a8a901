"""Estimates device memory before allocating it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Sharding

from .._array_checks import check_memory
from .._describe import shown
from .._host_rows import dtype_of
from .._ragged import Extent, Ragged, Sides, is_ragged
from ._data import Source, is_resident
from ._program import augment_rows
from ._sharding import check_divides
from ._spec import BatchSpec

_LOOKED_AT = 16  # pictures of which sizes are found, where they are read one by one


class MemoryEstimate(NamedTuple):
    """What `Loader.memory` returns: bytes that a loader takes of one device.

    Pictures in files without a size are estimated from 16 of them.

    Attributes:
        upload: All arrays on the host, as `loader.to_device()` puts them on a device.
        batch: One finished batch, or this device's part of it.
        rows: The rows of one batch that are read, from the host or from other devices; 0 where the arrays lie where the
            batches go.
        streaming: What `stream` holds at most: batches made ahead, the next, and the one before it, which a loop still
            refers to.
    """

    upload: int
    batch: int
    rows: int
    streaming: int


def estimate_memory(
    spec: BatchSpec, prefetch: int, donate: bool = False, num_batches: int | None = None
) -> MemoryEstimate:
    """`Loader.memory`, for a stream of `num_batches` (None: endless)."""
    length = spec.batch_size if spec.sharding is None else spec.sharding.shard_shape((spec.batch_size,))[0]
    read = [spec.leaves[place] for place in spec.distinct if spec.reads[place]]
    batch = sum(_bytes(leaf.shape, leaf) for leaf in _batch_shapes(spec, length))
    rows = sum(_bytes_of_rows(leaf, length) for leaf in read)
    made, held = prefetch + 1, prefetch + (1 if donate else 2)
    if num_batches is not None:
        made, held = min(made, num_batches), min(held, num_batches)
    upload = sum(_bytes_of_all(leaf) for leaf in spec.arrays if not is_resident(leaf))
    return MemoryEstimate(upload, batch, rows, held * batch + made * rows)


def check_upload(spec: BatchSpec, sharding: Sharding | None) -> None:
    """Raises where a device reports less free memory than `to_device` would take, before any of it is taken."""
    if sharding is not None and not isinstance(sharding, Sharding):
        raise TypeError(
            f"sharding is {shown(sharding)}; expected a jax.Device or a Sharding, as NamedSharding(mesh, P())."
        )
    if sharding is not None:
        check_memory("sharding", sharding, "sharding.with_memory_kind('device')")
        for place in spec.distinct:
            check_divides(spec.names[place], spec.leaves[place], sharding)
    devices = [default_device()] if sharding is None else list(sharding.addressable_devices)
    free_of = {device: free for device in devices if (free := free_bytes(device)) is not None}
    if not free_of:  # and then sizes of pictures in files are not looked for
        return
    count = sum(_bytes_of_part(leaf, sharding) for leaf in spec.arrays if not is_resident(leaf))
    for device, free in free_of.items():
        if count > free:
            remedy = "lay them out over several devices with to_device(sharding), or " if sharding is None else ""
            raise ValueError(
                f"to_device() needs {_format(count)} on {device}, which has {_format(free)} free. Leave the arrays "
                f"where they are and use stream(loader, key), which holds a few batches there; {remedy}use fewer "
                "rows. loader.memory() gives the figures."
            )


def _bytes_of_part(leaf: Any, sharding: Sharding | None) -> int:
    """That one device gets."""
    if is_ragged(leaf) or sharding is None:
        return _bytes_of_all(leaf)
    return _bytes(sharding.shard_shape(tuple(leaf.shape)), leaf)


def check_streaming(spec: BatchSpec, prefetch: int, donate: bool, num_batches: int | None) -> None:
    """Raises where the device reports less free memory than the batches of a stream take."""
    device = default_device() if spec.sharding is None else first_device(spec.sharding)
    free = free_bytes(device)
    if free is None:
        return
    estimate = estimate_memory(spec, prefetch, donate, num_batches)
    if estimate.streaming > free:
        raise ValueError(
            f"a stream with prefetch={prefetch} needs {_format(estimate.streaming)} on {device}, which has "
            f"{_format(free)} free: a batch of {spec.batch_size} takes {_format(estimate.batch + estimate.rows)} "
            "there. Use a smaller batch_size or prefetch."
        )


def free_bytes(device: jax.Device) -> int | None:
    """What the device itself reports; CPU devices report nothing."""
    stats = device.memory_stats()
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0)) if stats and "bytes_limit" in stats else None


def default_device() -> jax.Device:
    config: Any = jax.config
    device = config.jax_default_device
    return device if isinstance(device, jax.Device) else jax.local_devices(backend=device)[0]


def first_device(sharding: Sharding) -> jax.Device:
    devices: Any = sharding.addressable_devices
    return min(devices, key=lambda device: device.id)


def _batch_shapes(spec: BatchSpec, length: int) -> list[jax.ShapeDtypeStruct]:
    """Shape and dtype of each leaf of `length` examples of a batch."""
    rows = [_rows_like(leaf, length) for leaf in spec.leaves]
    key, epoch = jax.eval_shape(lambda: (jax.random.key(0, impl="threefry2x32"), np.uint32(0)))
    index = jax.ShapeDtypeStruct((length,), np.int32)
    return jax.eval_shape(partial(augment_rows, spec.chains), key, epoch, index, rows)


def _rows_like(leaf: Any, length: int) -> Any:
    dtype = jax.dtypes.canonicalize_dtype(dtype_of(leaf))
    if not is_ragged(leaf):
        return jax.ShapeDtypeStruct((length, *leaf.shape[1:]), dtype)
    pairs = jax.ShapeDtypeStruct((length, 2), np.int32)
    extent = leaf.extent if isinstance(leaf, Ragged) else Extent(Sides(1, 1), has_room_behind=True)
    pixels = jax.ShapeDtypeStruct(leaf.pixels.shape if isinstance(leaf, Ragged) else (length, leaf.shape[-1]), dtype)
    return Ragged.tree_unflatten(extent, (pixels, pairs, pairs, pairs))


def _bytes_of_rows(leaf: Any, length: int) -> int:
    """Of pictures of different sizes on average."""
    if is_ragged(leaf):
        return _bytes_of_all(leaf) * length // leaf.shape[0]
    return _bytes((length, *leaf.shape[1:]), leaf)


def _bytes_of_all(leaf: Any) -> int:
    if is_ragged(leaf):
        return _bytes(leaf.pixels.shape, leaf.pixels) if isinstance(leaf, Ragged) else _bytes_by_some(leaf)
    return _bytes(leaf.shape, leaf)


def _bytes_by_some(source: Any) -> int:
    """Of pictures that are read one by one: as many as some of them take, spread over all."""
    rows = np.unique(np.linspace(0, source.shape[0] - 1, _LOOKED_AT).round().astype(np.int64))
    return sum(picture.nbytes for picture in source[rows]) * source.shape[0] // len(rows)


def _bytes(shape: Iterable[int], leaf: Source | jax.ShapeDtypeStruct) -> int:
    return math.prod(shape) * np.dtype(jax.dtypes.canonicalize_dtype(dtype_of(leaf))).itemsize


def _format(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
