"""Whether all processes that share a stream ask for the same one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from .._keys import STREAM_VERSION
from ._prefetch import Position, StreamArguments

_WORDS = 2  # of 32 bits for each field


def disagreement_in(sharding: Sharding, fields: Mapping[str, object]) -> ValueError | None:
    """An error in every process if `fields` differ between the processes whose devices `sharding` has.

    All of them must come here, which is why a stream does it once, when it starts: by one reduction over the devices.
    """
    digests = np.concatenate([_digest(value) for value in fields.values()])
    device_set: Any = sharding.device_set
    devices = np.array(sorted(device_set, key=lambda device: device.id))
    mesh = Mesh(devices, ("all",))
    each, everywhere = NamedSharding(mesh, PartitionSpec("all")), NamedSharding(mesh, PartitionSpec())
    rows = jax.make_array_from_callback(
        (len(devices), len(digests)), each, lambda index: np.tile(digests, (len(devices), 1))[index]
    )
    same: Any = np.asarray(jax.jit(_is_same, out_shardings=everywhere)(rows)).reshape(len(fields), _WORDS).all(axis=1)
    differing = [name for name, is_same in zip(fields, same.tolist(), strict=True) if not is_same]
    if not differing:
        return None
    own = "; ".join(f"{name} is {_shortened(fields[name])}" for name in differing)
    return ValueError(
        f"the processes of this stream differ in {', '.join(differing)}; here, in process {jax.process_index()}, "
        f"{own}. Expected every process to make the stream with the same arguments."
    )


def _is_same(rows: jax.Array) -> jax.Array:
    return jnp.max(rows, axis=0) == jnp.min(rows, axis=0)


def stream_fields(arguments: StreamArguments, position: Position) -> dict[str, object]:
    """What has to be equal in all processes; of arrays the shapes, as every process may hold other rows."""
    spec = arguments.spec
    assert spec.sharding is not None  # without one every process makes its batches by itself
    data = [(name, tuple(leaf.shape), str(leaf.dtype)) for name, leaf in zip(spec.names, spec.leaves, strict=True)]
    # Functions are printed with their addresses, which differ.
    visited = spec.visited
    chains = [re.sub(r"0x[0-9a-f]+", "", repr(chain)) for chain in spec.chains]
    return {
        "key": jax.device_get(jax.random.key_data(arguments.key)).tolist(),
        "position": position,
        "num_epochs": arguments.num_epochs,
        # Where programs exchange rows, how many are started ahead decides their order among the user's own.
        "prefetch": arguments.prefetch,
        "batch_size": spec.batch_size,
        "shuffle": spec.shuffle,
        "remainder": spec.remainder,
        "with_mask": arguments.with_mask,
        "with_key": arguments.step_keys_like is not None,
        "sharding": _parts_of_devices(spec.sharding),
        "stream version": STREAM_VERSION,
        "jax_enable_x64": bool(jax.config.read("jax_enable_x64")),
        "data": data,
        "rows": _digests(None if visited is None else visited.rows),
        "weights": _digests(None if visited is None else visited.shares),
        "augment": (chains, [np.asarray(leaf).tobytes() for leaf in spec.chain_leaves]),
    }


def _parts_of_devices(sharding: Sharding) -> list[tuple[int, tuple[int, int]]]:
    """Which examples of a large batch each device has: meshes and specs of other names may be equal."""
    length = len(sharding.device_set) * 1024
    parts: Any = sharding.devices_indices_map((length,))
    return sorted((device.id, index[0].indices(length)[:2]) for device, index in parts.items())


def _digests(arrays: object) -> list[str]:
    return [blake2s(np.asarray(array).tobytes()).hexdigest() for array in jax.tree.leaves(arrays)]


def _digest(value: object) -> np.ndarray:
    return np.frombuffer(blake2s(repr(value).encode(), digest_size=4 * _WORDS).digest(), np.uint32)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 2000 else f"{text[:2000]}..."
