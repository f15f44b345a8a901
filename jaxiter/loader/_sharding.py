"""One batch over several devices, and over several processes: who makes which of its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec, Sharding

from ._data import take_rows


class Share(NamedTuple):
    """The examples of a batch that this process makes: those that its own devices will hold."""

    sharding: Any
    batch_size: int
    places: np.ndarray  # in the batch, uint32, each once
    begins: dict[tuple[int, int], int]  # for each span of the batch that a device holds: where in `places` it begins

    def spread(self, rows: Any) -> jax.Array:
        """The global array of which this process has `rows`, one for each of its places; no bytes go elsewhere."""

        def held(index: Any) -> Any:
            start, stop, _ = index[0].indices(self.batch_size)
            begin = self.begins[start, stop]
            return rows[begin : begin + stop - start]

        return jax.make_array_from_callback((self.batch_size, *rows.shape[1:]), self.sharding, held)


@lru_cache(maxsize=64)
def share_of(sharding: Any, batch_size: int) -> Share:
    held = sharding.addressable_devices_indices_map((batch_size,)).values()
    begins, total = {}, 0
    for start, stop in sorted({index[0].indices(batch_size)[:2] for index in held}):
        begins[start, stop] = total
        total += stop - start
    places = np.concatenate([np.arange(*span, dtype=np.uint32) for span in begins])
    return Share(sharding, batch_size, places, begins)


def check_sharding(sharding: Any, batch_size: int, remainder: str, leaves: Iterable[Any] = ()) -> None:
    """Raises for what is no sharding over the leading axis of a batch that gives every device as much."""
    if remainder == "keep":
        raise ValueError("remainder='keep' makes the last batch short, which cannot be sharded; use remainder='pad'.")
    remedy = "expected for example NamedSharding(mesh, P('data')) with a batch_size that its devices divide."
    if not isinstance(sharding, Sharding):
        raise ValueError(f"sharding is {sharding!r}; {remedy}")
    try:
        sharding.shard_shape((batch_size,))
        for leaf in leaves:
            if isinstance(sharding, NamedSharding) and len(sharding.spec) > len(leaf.shape):
                raise ValueError(f"{sharding.spec} names more axes than an array of shape {leaf.shape} has")
            sharding.shard_shape((batch_size, *leaf.shape[1:]))
    except (ValueError, IndexError) as error:  # JAX counts on as many axes as the spec has
        raise ValueError(
            f"sharding is {sharding!r}, which does not divide batch_size {batch_size} over the leading axis; {remedy}"
        ) from error
    if not sharding.addressable_devices:
        raise ValueError(f"sharding is {sharding!r}, which has no device of this process, {jax.process_index()}.")


def laid_out(function: Callable[..., Any], sharding: Any) -> Callable[..., Any]:
    """`function` with results as `sharding` says; the compiler lets every device compute what it will hold."""
    if sharding is None:
        return function
    if explicit_axes(sharding):
        function = jax.sharding.auto_axes(function, out_sharding=sharding)
    return jax.jit(function, out_shardings=sharding)


def explicit_axes(sharding: Any) -> bool:
    """Whether the mesh has axes by which JAX types arrays; programs of ours leave the layout to the compiler."""
    return isinstance(sharding, NamedSharding) and AxisType.Explicit in sharding.mesh.axis_types


def layout_of_data(leaves: Iterable[Any], batch_size: int) -> Any:
    """How a batch of arrays on a mesh of explicit axes is laid out, which JAX wants told: as they are, if it can be."""
    for leaf in leaves:
        sharding: Any = jax.typeof(leaf).sharding if isinstance(leaf, jax.Array) else None
        if explicit_axes(sharding):
            mesh, spec = sharding.mesh, PartitionSpec(*sharding.spec[:1])
            try:
                NamedSharding(mesh, spec).shard_shape((batch_size,))
            except ValueError:
                spec = PartitionSpec()
            return NamedSharding(mesh, spec)
    return None


def is_traced(leaf: Any) -> bool:
    return isinstance(leaf, jax.core.Tracer)


def spans_devices(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and not is_traced(leaf) and len(leaf.sharding.device_set) > 1


def lies_on(leaf: Any, sharding: Any) -> bool:
    """Whether a program over the devices of `sharding` can take rows from `leaf`: one on the same mesh, or traced."""
    if is_traced(leaf):
        return True
    meshes = [one.mesh for one in (leaf.sharding, sharding) if isinstance(one, NamedSharding)]
    return leaf.sharding.device_set == sharding.device_set and (len(meshes) < 2 or meshes[0] == meshes[1])


def taken(leaf: Any, index: np.ndarray) -> Any:
    """Rows of an array that lies on other devices than those that the batch goes to."""
    sharding = leaf.sharding
    if explicit_axes(sharding):
        return np.asarray(laid_out(take_rows, NamedSharding(sharding.mesh, PartitionSpec()))(leaf, index))
    return _take(leaf, index)


_take = jax.jit(take_rows)
