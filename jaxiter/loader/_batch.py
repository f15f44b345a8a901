"""One batch of a spec, from its rows on."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._keys import Counter, Key
from .._transfers import transfers
from ._data import PyTree
from ._program import host_batch, resident_batch, stack_counters
from ._read import HostRows
from ._sharding import on_mesh
from ._spec import BatchSpec


@transfers
def compute_batch(
    spec: BatchSpec, key: Key, epoch: Counter, step: Counter, rows: HostRows | None, donated: PyTree = None
) -> PyTree:
    """Runs the program of one batch; dispatch is asynchronous.

    Args:
        rows: Those of `read_batch`; None where nothing has to be read.
        donated: A batch of the same shapes whose memory the new one takes.
    """
    spec.check_arrays()
    program = spec.program_at(step)
    with on_mesh(program.mesh):
        if rows is None:
            leaves: Any = spec.arrays
            counters = stack_counters(epoch, step, spec.size)
            return resident_batch(program, leaves, spec.chain_leaves, spec.visited_on_device, key, counters, donated)
        return host_batch(program, rows.leaves, spec.chain_leaves, key, epoch, rows.indices, rows.showings, donated)


@transfers
def batch_mask(spec: BatchSpec, step: Counter) -> jax.Array:
    """`Loader.mask`, laid out as the batches of the spec."""
    if spec.share is None:
        return spec.program_at(step).index.positions(step) < np.uint32(spec.size)
    position = step * np.uint32(spec.batch_size) + spec.share.positions
    return spec.share.make_global_array(position < np.uint32(spec.size))
