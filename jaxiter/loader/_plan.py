"""What a loader asks of a device's memory, told before it is asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from .._host_rows import dtype_of
from ._data import check_divides, is_resident, leaf_name

if TYPE_CHECKING:
    from ._loader import Loader

_LARGEST_GROWTH = 32  # of a batch's bytes by its transforms, beyond which it is looked at; bytes become floats by 4


class Plan(NamedTuple):
    """Bytes of one device; `print` it to read it.

    device: The device.
    free: What it has left, as it says itself, the host's free memory for a CPU device; None if it does not say.
    resident: The loader's arrays that are on it already.
    upload: What `loader.to_device()` would add.
    batch: One finished batch, or this device's part of it.
    rows: The rows of one batch that are read and brought over, from the host or from other devices; 0 once the arrays
        lie where the batches go.
    prefetch: Batches that are made ahead.
    """

    device: Any
    free: int | None
    resident: int
    upload: int
    batch: int
    rows: int
    prefetch: int

    @property
    def streaming(self) -> int:
        """What `stream` adds: batches made ahead, the next, and that before it, which a loop holds until then."""
        return self._held()

    def _held(self, donate: bool = False, left: int | None = None) -> int:
        made, held = self.prefetch + 1, self.prefetch + (1 if donate else 2)
        if left is not None:  # a stream that ends soon
            made, held = min(made, left), min(held, left)
        return held * self.batch + made * self.rows

    def __str__(self) -> str:
        free = "does not say what it has free" if self.free is None else f"has {_told(self.free)} free"
        rows = f" and {_told(self.rows)} of rows read on the host" if self.rows else ""
        return (
            f"{self.device} {free}. Arrays on it: {_told(self.resident)}; to_device() adds {_told(self.upload)}. "
            f"A batch: {_told(self.batch)}{rows}; a stream with prefetch={self.prefetch} holds {_told(self.streaming)}."
        )


def plan(loader: Loader, device: Any, prefetch: int, sharding: Any) -> Plan:
    if device is None:
        device = default_device() if sharding is None else first_of(sharding)
    if not hasattr(device, "memory_stats"):
        raise TypeError(f"device is {device!r}; expected a jax.Device, for example jax.devices()[0].")
    if isinstance(prefetch, bool) or not isinstance(prefetch, (int, np.integer)) or prefetch < 0:
        raise ValueError(f"prefetch is {prefetch!r}; expected a count of batches, 0 or more.")
    rule = loader._rule(0)
    leaves = loader._data_leaves
    on_host = [leaf for leaf in leaves if not is_resident(leaf)]
    read = [leaf for leaf, is_read in zip(leaves, loader._reads(sharding), strict=True) if is_read]
    length = rule.length if sharding is None else sharding.shard_shape((loader.batch_size,))[0]
    spec = jax.tree.leaves(loader._spec(loader._program(0)))
    return Plan(
        device=device,
        free=free_bytes(device),
        resident=sum(_bytes_on(leaf, device) for leaf in leaves if is_resident(leaf)),
        upload=sum(_bytes(leaf.shape, leaf) for leaf in on_host),
        batch=sum(_bytes((length, *leaf.shape[1:]), leaf) for leaf in spec),
        rows=sum(_bytes((length, *leaf.shape[1:]), leaf) for leaf in read),
        prefetch=prefetch,
    )


def check_upload(loader: Loader, sharding: Any) -> None:
    """Refuses arrays that are larger than what the devices have free, before any of it is taken."""
    if sharding is not None:
        if not isinstance(sharding, jax.sharding.Sharding) and not hasattr(sharding, "shard_shape"):
            raise TypeError(
                f"sharding is {sharding!r}; expected a jax.Device or a Sharding, as NamedSharding(mesh, P())."
            )
        for path, leaf in jax.tree.leaves_with_path(loader.data):
            check_divides(leaf_name(path), leaf, sharding)
    for device, asked in _asked_of_devices(loader, sharding).items():
        free = free_bytes(device)
        if free is not None and asked > free:
            remedy = "lay them out over several devices with to_device(sharding), or " if sharding is None else ""
            raise ValueError(
                f"to_device() needs {_told(asked)} on {device}, which has {_told(free)} free. Leave the arrays where "
                f"they are and use stream(loader, key), which holds a few batches there; {remedy}use fewer rows. "
                f"loader.plan(device) gives the figures."
            )


def check_streaming(loader: Loader, prefetch: int, sharding: Any, donate: bool, left: int) -> None:
    """Refuses to make more batches ahead, of the `left` ones to come, than the devices have memory for."""
    length = loader.batch_size if sharding is None else sharding.shard_shape((loader.batch_size,))[0]
    raw = sum(_bytes((length, *leaf.shape[1:]), leaf) for leaf in loader._data_leaves)
    device = default_device() if sharding is None else first_of(sharding)
    free = free_bytes(device)
    if free is not None and sharding is not None and device.platform == "cpu":
        free //= len(sharding.addressable_devices)  # which share one memory
    # What exactly a batch needs is known after tracing its transforms, which a small one is not worth.
    if free is None or _LARGEST_GROWTH * raw * (prefetch + 2) <= free:
        return
    planned = plan(loader, device, prefetch, sharding)
    needed = planned._held(donate, left)
    if needed > free:
        raise ValueError(
            f"a stream with prefetch={prefetch} needs {_told(needed)} on {device}, which has {_told(free)} "
            f"free: a batch of {loader.batch_size} takes {_told(planned.batch + planned.rows)} there. Use a smaller "
            "batch_size or prefetch."
        )


def _asked_of_devices(loader: Loader, sharding: Any) -> dict[Any, int]:
    asked: dict[Any, int] = {}
    for leaf in loader._data_leaves:
        if is_resident(leaf):
            continue
        shape, shared = tuple(leaf.shape), set()
        whole = {default_device(): tuple(map(slice, shape))}
        for device, index in (sharding.addressable_devices_indices_map(shape) if sharding else whole).items():
            spans = tuple(part.indices(length)[:2] for part, length in zip(index, shape, strict=True))
            if device.platform == "cpu":  # those of a process lie in one memory, and what they both hold is there once
                if spans in shared:
                    continue
                shared.add(spans)
                device = jax.local_devices(backend="cpu")[0]
            asked[device] = asked.get(device, 0) + _bytes((stop - start for start, stop in spans), leaf)
    return asked


def free_bytes(device: Any) -> int | None:
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    return _free_on_host() if device.platform == "cpu" else None


def _free_on_host() -> int | None:
    """What Linux says can be had without swapping, within the limit of a control group; elsewhere all there is."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return None
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = int(stat["active_file"]) + int(stat["inactive_file"])  # given back when memory runs short
        return min(free, max(0, limit - int((group / "memory.current").read_text()) + files))
    except (OSError, KeyError, ValueError):  # no control group, or no limit ("max")
        return free


def default_device() -> Any:
    config: Any = jax.config
    given = config.jax_default_device
    return given if isinstance(given, jax.Device) else jax.local_devices(backend=given)[0]


def first_of(sharding: Any) -> Any:
    return min(sharding.addressable_devices, key=lambda device: device.id)


def _bytes_on(leaf: Any, device: Any) -> int:
    return sum(shard.data.nbytes for shard in leaf.addressable_shards if shard.device == device)


def _bytes(shape: Iterable[int], leaf: Any) -> int:
    return math.prod(shape) * np.dtype(jax.dtypes.canonicalize_dtype(dtype_of(leaf))).itemsize


def _told(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
