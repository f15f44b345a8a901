"""One batch of a spec, from its rows on."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._keys import Counter, Key
from .._transfers import transfers
from ._data import PyTree
from ._program import DrawnRows, host_batch, prepare_steps, prepared_batch, resident_batch, stack_counters
from ._read import HostRows
from ._sharding import on_mesh
from ._spec import BatchSpec

_MOST_STEPS = 64
_EXAMPLES_AHEAD = 2**14


class DrawsAhead:
    """The draws of the next steps of a stream, found by one program for many of them.

    On a GPU a batch has a dozen small programs before its pixels, each as long as its start takes. On CPU they take a
    tenth of a small batch, which a second program for the pixels, compiled for half a second, would not pay back.
    """

    def __init__(self, spec: BatchSpec, key: Key):
        self._spec, self._key = spec, key
        self._num_steps = min(_MOST_STEPS, _EXAMPLES_AHEAD // spec.batch_size, spec.num_steps)
        self._found: tuple[tuple[int, int], DrawnRows] | None = None

    @property
    def is_worth_it(self) -> bool:
        return self._num_steps > 1 and self._spec.is_off_cpu

    def at(self, epoch: int, step: int) -> tuple[DrawnRows, np.uint32]:
        """Those of some steps, and which of them is meant."""
        spec, (which, offset) = self._spec, divmod(step, self._num_steps)
        if self._found is None or self._found[0] != (epoch, which):
            leaves: Any = spec.arrays
            counters = np.array([epoch, which * self._num_steps, spec.size], np.uint32)
            arguments = leaves, spec.chain_leaves, spec.visited_on_device, self._key, counters
            self._found = (epoch, which), prepare_steps(spec.program, self._num_steps, *arguments)
        return self._found[1], np.uint32(offset)


@transfers
def compute_batch(
    spec: BatchSpec,
    key: Key,
    epoch: Counter,
    step: Counter,
    rows: HostRows | None,
    donated: PyTree = None,
    ahead: DrawsAhead | None = None,
) -> PyTree:
    """Runs the program of one batch; dispatch is asynchronous.

    Args:
        rows: Those of `read_batch`; None where nothing has to be read.
        donated: A batch of the same shapes whose memory the new one takes.
        ahead: Of the same spec and key, for batches that follow each other.
    """
    spec.check_arrays()
    program = spec.program_at(step)
    with on_mesh(program.mesh):
        if rows is None:
            leaves: Any = spec.arrays
            if ahead is not None:
                return prepared_batch(program, leaves, spec.chain_leaves, *ahead.at(int(epoch), int(step)), donated)
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
