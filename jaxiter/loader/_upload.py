"""A loader's arrays on the device."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax.sharding import Sharding

from .._transfers import on_host
from ._data import PyTree, array_of
from ._examples import LeafSteps
from ._memory import check_upload
from ._read import check_masks, upload_arrays
from ._sharding import devices_of, following, is_traced
from ._spec import BatchSpec
from ._visited import VisitedRows

Chains = tuple[LeafSteps | None, ...]


def uploaded(
    spec: BatchSpec, chains: Chains, visited: VisitedRows | None, sharding: Sharding | None
) -> tuple[PyTree, Chains, VisitedRows | None]:
    """The data on the device, or laid out by `sharding`, and beside it what belongs to it.

    Raises:
        ValueError: If a device reports less free memory than that takes, and then nothing is uploaded.
    """
    check_upload(spec, sharding)
    visited = jax.tree.map(lambda part: part if is_traced(part) else jax.device_put(on_host(part)), visited)
    arrays = upload_arrays(spec, sharding)
    leaves = [arrays[source] for source in spec.program.sources]
    check_masks(spec, leaves)
    devices = devices_of(map(array_of, leaves), sharding)
    chains = jax.tree.map(partial(following, devices=devices), chains)
    if devices is None or len(devices) == 1:  # on several each program lays them out
        chains = jax.tree.map(lambda part: jax.device_put(part) if isinstance(part, np.ndarray) else part, chains)
    return jax.tree.unflatten(spec.program.data, leaves), chains, visited
