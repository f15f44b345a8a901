"""Arrays over several devices and processes: which examples of a batch each makes, and uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard, TypeVar

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from .._array_checks import check_memory
from .._checks import check_fits
from .._describe import shown
from .._host_rows import aligned_empty, check_length, native, rows_between, without_mask
from .._keys import uncommitted
from .._transfers import transfers
from ._data import Source, take_rows

T = TypeVar("T")


class Share(NamedTuple):
    """The examples of a batch that this process makes: those that its own devices will hold."""

    sharding: Sharding
    batch_size: int
    positions: np.ndarray  # in the batch, uint32, each once
    starts: dict[tuple[int, int], int]  # for each span of the batch that a device holds: where it starts in `positions`

    @transfers
    def make_global_array(self, rows: Source) -> jax.Array:
        """The global array of which this process has `rows`, one for each of its positions; no bytes are exchanged."""

        def shard(index: Any) -> np.ndarray | jax.Array:
            start, stop, _ = index[0].indices(self.batch_size)
            first = self.starts[start, stop]
            return rows[first : first + stop - start]

        return jax.make_array_from_callback((self.batch_size, *rows.shape[1:]), self.sharding, shard)


@lru_cache(maxsize=64)
def share_of(sharding: Sharding, batch_size: int) -> Share:
    shards = sharding.addressable_devices_indices_map((batch_size,)).values()
    starts, total = {}, 0
    for start, stop in sorted({index[0].indices(batch_size)[:2] for index in shards if index is not None}):
        starts[start, stop] = total
        total += stop - start
    positions = np.concatenate([np.arange(*span, dtype=np.uint32) for span in starts])
    return Share(sharding, batch_size, positions, starts)


def check_sharding(
    sharding: object, batch_size: int, remainder: str, names: Iterable[str], leaves: Iterable[Source]
) -> None:
    """Raises for what is no sharding over the leading axis of a batch that gives every device as much."""
    if remainder == "keep":
        raise ValueError("remainder='keep' makes the last batch short, which cannot be sharded; use remainder='pad'.")
    remedy = "expected for example NamedSharding(mesh, P('data')) with a batch_size that its devices divide."
    if not isinstance(sharding, Sharding):
        raise ValueError(f"sharding is {shown(sharding)}; {remedy}")
    check_memory("sharding", sharding, "sharding.with_memory_kind('device')")
    if isinstance(sharding, NamedSharding) and len(sharding.spec) > 1:
        rank, leading = len(sharding.spec), PartitionSpec(*sharding.spec[:1])
        raise ValueError(
            f"sharding has {sharding.spec}, for arrays of rank {rank}; expected one axis, as all leaves of a batch "
            f"({', '.join(list(names)[:4])}) are laid out over the leading axis alone: NamedSharding(mesh, {leading})."
        )
    try:
        sharding.shard_shape((batch_size,))
        for leaf in leaves:
            sharding.shard_shape((batch_size, *leaf.shape[1:]))
    except (ValueError, IndexError) as error:  # JAX counts on as many axes as the spec has
        raise ValueError(
            f"sharding is {sharding!r}, which does not divide batch_size {batch_size} over the leading axis; {remedy}"
        ) from error
    if not sharding.addressable_devices:
        raise ValueError(f"sharding is {sharding!r}, which has no device of this process, {jax.process_index()}.")


def laid_out(function: Callable[..., T], sharding: Sharding | None) -> Callable[..., T]:
    """`function` with results as `sharding` says; the compiler lets every device compute what it will hold."""
    if explicit_axes(sharding):
        function = jax.sharding.auto_axes(function, out_sharding=sharding)
    return function if sharding is None else jax.jit(function, out_shardings=sharding)


def on_mesh(mesh: AbstractMesh | None) -> AbstractContextManager[object]:
    """In it programs over arrays on `mesh` can be traced, whichever mesh the caller has set."""
    found = jax.sharding.get_abstract_mesh()
    if mesh is None or found.empty or found == mesh:
        return nullcontext()
    return jax.sharding.use_abstract_mesh(mesh)


def mesh_of(leaves: Iterable[Source], sharding: Sharding | None) -> AbstractMesh | None:
    """The mesh of batches that `sharding` lays out, or else of the data, if they are on one."""
    shardings = (leaf.sharding for leaf in leaves if isinstance(leaf, jax.Array) and not is_traced(leaf))
    meshes = (one.mesh for one in (sharding, *shardings) if isinstance(one, NamedSharding))
    return next((mesh.abstract_mesh for mesh in meshes), None)


def explicit_axes(sharding: Sharding | None) -> TypeGuard[NamedSharding]:
    """Whether the mesh has axes by which JAX types arrays; programs of ours leave the layout to the compiler."""
    return isinstance(sharding, NamedSharding) and AxisType.Explicit in sharding.mesh.axis_types


def sharding_of_data(leaves: Iterable[Source], batch_size: int) -> Sharding | None:
    """The sharding of a batch of arrays on a mesh of explicit axes, which JAX requires: theirs, if it divides."""
    for leaf in leaves:
        sharding = jax.typeof(leaf).sharding if isinstance(leaf, jax.Array) else None
        if explicit_axes(sharding):
            mesh, spec = sharding.mesh, PartitionSpec(*sharding.spec[:1])
            try:
                NamedSharding(mesh, spec).shard_shape((batch_size,))
            except ValueError:
                spec = PartitionSpec()
            return NamedSharding(mesh, spec)
    return None


def unsharded(array: jax.Array) -> jax.Array:
    """A traced array without a layout of explicit axes, along which JAX neither sorts nor looks up."""
    sharding = jax.typeof(array).sharding
    if not explicit_axes(sharding) or not any(sharding.spec):
        return array
    return jax.sharding.reshard(array, NamedSharding(sharding.mesh, PartitionSpec()))


def is_traced(leaf: object) -> bool:
    return isinstance(leaf, jax.core.Tracer)


def is_whole(leaf: jax.Array) -> bool:
    """Whether every device that a program runs on has all of the array; False where that is not known."""
    return jax.device_count() == 1 if is_traced(leaf) else leaf.sharding.is_fully_replicated


def spans_devices(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and not is_traced(leaf) and len(leaf.sharding.device_set) > 1


def devices_of(leaves: Iterable[Source], sharding: Sharding | None) -> set[jax.Device] | None:
    """Where a program over `leaves` runs; None where it is not committed to devices."""
    if sharding is not None:
        return sharding.device_set
    committed = (leaf for leaf in leaves if isinstance(leaf, jax.Array) and not is_traced(leaf) and leaf.committed)
    return next((leaf.sharding.device_set for leaf in committed), None)


def check_together(names: Iterable[str], leaves: Iterable[Source]) -> None:
    """Raises, by path, for arrays that one program cannot take: on other devices, or typed by another mesh."""
    devices: dict[tuple[jax.Device, ...], str] = {}
    meshes: dict[Mesh | AbstractMesh, str] = {}
    for name, leaf in zip(names, leaves, strict=True):
        if not isinstance(leaf, jax.Array):
            continue
        if explicit_axes(sharding := jax.typeof(leaf).sharding):
            meshes.setdefault(sharding.mesh, name)
        if not is_traced(leaf) and leaf.committed:
            devices.setdefault(tuple(leaf.sharding.devices_indices_map(leaf.shape)), name)  # in their order
    if len(devices) > 1:
        found = {
            name: f"device{'s' * (len(on) > 1)} {', '.join(str(d.id) for d in on)}" for on, name in devices.items()
        }
    elif len(meshes) > 1:
        found = {name: f"a mesh of the axes {mesh.shape_tuple}" for mesh, name in meshes.items()}
    else:
        return
    (first, there), (other, elsewhere), *_ = found.items()
    raise ValueError(
        f"{first} is on {there}, and {other} on {elsewhere}; expected all arrays of the data on one device, or on the "
        "same ones in the same order. Put them there with loader.to_device(device_or_sharding), or say where the "
        "batches go, sharding=..."
    )


def following(array: Any, devices: set[jax.Device] | None, mesh: AbstractMesh | None = None) -> Any:
    """A key, or an array of rows or of a transform, that a program on `devices` takes, wherever it was put.

    Args:
        mesh: That of the program, if its arrays are on one.
    """
    if not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer) or not array.committed:
        return array
    on_same = mesh is None or mesh_of([array], None) in (None, mesh)
    if (array.sharding.device_set == devices and on_same) or not array.is_fully_addressable:
        return array
    return uncommitted(array)


def lies_on(leaf: jax.Array, sharding: Sharding) -> bool:
    """Whether a program over the devices of `sharding` can take rows from `leaf`: one on the same mesh, or traced."""
    if is_traced(leaf):
        return True
    meshes = [one.mesh for one in (leaf.sharding, sharding) if isinstance(one, NamedSharding)]
    return leaf.sharding.device_set == sharding.device_set and (len(meshes) < 2 or meshes[0] == meshes[1])


def take_elsewhere(leaf: jax.Array, index: np.ndarray) -> np.ndarray | jax.Array:
    """Rows of an array that lies on other devices than those that the batch goes to."""
    sharding = leaf.sharding
    with on_mesh(mesh_of([leaf], None)):
        if explicit_axes(sharding):
            return np.asarray(laid_out(take_rows, NamedSharding(sharding.mesh, PartitionSpec()))(leaf, index))
        return _take_rows(leaf, index)


_take_rows = jax.jit(take_rows)


@transfers
def upload(name: str, leaf: Source, sharding: Sharding | None) -> jax.Array:
    """The array on the device, or laid out by `sharding`, of which every process reads only what its devices hold."""
    if isinstance(leaf, jax.Array):
        return leaf if sharding is None else jax.device_put(leaf, sharding)
    if sharding is None:
        return jax.device_put(_copied(name, leaf, ()))
    copies: dict[tuple[tuple[int, int], ...], np.ndarray] = {}  # shared by the devices that hold the same

    def copied(index: Any) -> np.ndarray:
        spans = tuple(part.indices(length)[:2] for part, length in zip(index, leaf.shape, strict=True))
        if spans not in copies:
            copies[spans] = _copied(name, leaf, index)
        return copies[spans]

    return jax.make_array_from_callback(leaf.shape, sharding, copied)


def _copied(name: str, leaf: Source, index: tuple[slice, ...]) -> np.ndarray:
    if isinstance(leaf, np.ndarray):
        check_length(name, leaf)
    start, stop, _ = (index[0] if index else slice(None)).indices(leaf.shape[0])
    if (read_all := getattr(leaf, "read_all", None)) is not None:  # pictures in files, whose array is no one else's
        return read_all(rows=slice(start, stop))[(slice(None), *index[1:])]
    values = native(np.asarray(without_mask(name, leaf[rows_between(leaf, start, stop)])))
    values = values[(slice(None), *index[1:])]
    check_fits(name, values)
    # A copy, never an alias: the caller may go on writing to the array. On CPU `device_put` keeps a NumPy array that is
    # aligned as its own memory (in spite of may_alias=False), and `jnp.array` holds a third one for a while; so
    # the copy is made here, aligned.
    copy = aligned_empty(values.shape, jax.dtypes.canonicalize_dtype(values.dtype))
    np.copyto(copy, values, casting="same_kind")
    return copy


def check_divides(name: str, leaf: Source, sharding: Sharding) -> None:
    """Raises, by path, for an array that cannot be laid out as `sharding` says."""
    if isinstance(sharding, NamedSharding) and len(sharding.spec) > len(leaf.shape):
        raise ValueError(
            f"{name} has shape {leaf.shape}, and sharding has {sharding.spec}, for arrays of rank {len(sharding.spec)}."
            f" Lay all leaves out over the leading axis, NamedSharding(mesh, {PartitionSpec(*sharding.spec[:1])})."
        )
    try:
        sharding.shard_shape(tuple(leaf.shape))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{name} has shape {leaf.shape}, which {sharding} does not divide. Put all of it on every device, "
            "NamedSharding(mesh, P()), or leave examples out."
        ) from error
