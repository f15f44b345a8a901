"""Whether all processes that share a stream ask for the same one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .._keys import STREAM_VERSION, Key
from ..loader import Loader

_WORDS = 2  # of 32 bits for each field


def disagreement_in(sharding: Any, fields: Mapping[str, Any]) -> ValueError | None:
    """An error in every process if `fields` differ between the processes whose devices `sharding` has.

    All of them must come here, which is why a stream does it once, when it starts: by one reduction over the devices.
    """
    digests = np.concatenate([_digest(value) for value in fields.values()])
    devices = np.array(sorted(sharding.device_set, key=lambda device: device.id))
    mesh = Mesh(devices, ("all",))
    each, everywhere = NamedSharding(mesh, PartitionSpec("all")), NamedSharding(mesh, PartitionSpec())
    rows = jax.make_array_from_callback(
        (len(devices), len(digests)), each, lambda index: np.tile(digests, (len(devices), 1))[index]
    )
    same: Any = np.asarray(jax.jit(_is_same, out_shardings=everywhere)(rows)).reshape(len(fields), _WORDS).all(axis=1)
    differing = [name for name, is_same in zip(fields, same.tolist(), strict=True) if not is_same]
    if not differing:
        return None
    own = "; ".join(f"{name} is {_told(fields[name])}" for name in differing)
    return ValueError(
        f"the processes of this stream differ in {', '.join(differing)}; here, in process {jax.process_index()}, "
        f"{own}. Expected every process to make the stream with the same arguments."
    )


def _is_same(rows: Any) -> Any:
    return jnp.max(rows, axis=0) == jnp.min(rows, axis=0)


def of_stream(
    loader: Loader, key: Key, position: Any, num_epochs: int | None, with_mask: bool, sharding: Any
) -> dict[str, Any]:
    """What has to be the same everywhere; of arrays the shapes, as every process may hold other rows."""
    leaves = jax.tree.leaves_with_path(loader.data)
    data = [(jax.tree_util.keystr(path), tuple(leaf.shape), str(leaf.dtype)) for path, leaf in leaves]
    chains = jax.tree.map(lambda leaf: np.asarray(leaf).tobytes(), jax.tree.leaves(loader._chains))
    return {
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "position": position,
        "num_epochs": num_epochs,
        "batch_size": loader.batch_size,
        "shuffle": loader.shuffle,
        "remainder": loader.remainder,
        "with_mask": with_mask,
        "sharding": _layout(sharding),
        "stream version": STREAM_VERSION,
        "jax_enable_x64": bool(jax.config.read("jax_enable_x64")),
        "data": data,
        "rows": None if loader.rows is None else blake2s(np.asarray(loader.rows).tobytes()).hexdigest(),
        # Functions are told by their addresses, which differ.
        "augment": (re.sub(r"0x[0-9a-f]+", "", repr(loader.augment)), chains),
    }


def _layout(sharding: Any) -> Any:
    """Which places of a batch of a thousand devices' multiple each device has; meshes and specs are only its names."""
    length = len(sharding.device_set) * 1024
    held = sharding.devices_indices_map((length,)).items()
    return sorted((device.id, index[0].indices(length)[:2]) for device, index in held)


def _digest(value: Any) -> np.ndarray:
    return np.frombuffer(blake2s(repr(value).encode(), digest_size=4 * _WORDS).digest(), np.uint32)


def _told(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 2000 else f"{told[:2000]}..."
