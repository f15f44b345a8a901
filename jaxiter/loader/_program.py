"""The compiled half of a Loader: what runs on the device for one batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Sharding
from jax.tree_util import PyTreeDef
from jax.typing import ArrayLike

from .._fusion_barrier import fusion_barrier
from .._keys import AUGMENT, STEP, Counter, Key, fold_in, role_key
from .._transfers import transfers
from ..augment import Chain
from ..sampler.internal import shuffle_positions
from ._data import PyTree, take_rows
from ._sharding import laid_out

Chains = Sequence[Chain | None]


class IndexSpec(NamedTuple):
    """The static part of a batch's index."""

    batch_size: int
    length: int  # smaller than batch_size in a short last batch
    shuffle: bool

    def positions(self, step: Counter) -> jax.Array:
        return jnp.arange(self.length, dtype=np.uint32) + step * np.uint32(self.batch_size)


class Program:
    """The static argument of a compiled batch; equal loaders have equal ones and share a compilation.

    `jit` compares its static arguments at every call. Tree structures compare slowly, node by node and in Python,
    which took a sixth of a small batch's time; so the hash is computed once, and the same object compares at once.
    """

    __slots__ = ("_hash", "chains", "data", "index", "mesh", "reads", "sharding")

    def __init__(
        self,
        data: PyTreeDef,
        chains: PyTreeDef,
        index: IndexSpec,
        reads: tuple[bool, ...],
        sharding: Sharding | None,
        mesh: AbstractMesh | None,
    ):
        self.data, self.chains = data, chains  # structures of the data and of the chains
        self.index = index
        self.reads = reads  # for each leaf of the data: rows are passed in, not the whole array
        self.sharding = sharding  # of the batch, or None
        self.mesh = mesh  # of the batch or the data, or None
        self._hash = hash(self._fields())

    def _fields(self) -> tuple[object, ...]:
        return self.index, self.reads, self.sharding, self.mesh, self.data, self.chains

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Program) and self._fields() == other._fields())


# Without keep_unused, jit would drop `donated`, which takes no part in the computation.
@partial(jax.jit, static_argnums=0, donate_argnames="donated", keep_unused=True)
def resident_batch(
    program: Program,
    leaves: Sequence[jax.Array],
    chain_leaves: Sequence[jax.Array],
    rows: ArrayLike | None,
    key: Key,
    epoch_step: ArrayLike,
    donated: PyTree = None,
) -> PyTree:
    """The batch at `epoch_step`, uint32[2], of data that are on the device.

    Args:
        leaves, chain_leaves: The arrays of the data, and those inside the chains.
        rows: Rows of the data to visit, or None for all of them.
        donated: A batch of the same shapes that is not used any more: the new one is written to its memory.
    """

    def batch(
        leaves: Sequence[jax.Array],
        chain_leaves: Sequence[jax.Array],
        rows: jax.Array | None,
        key: Key,
        epoch_step: jax.Array,
    ) -> PyTree:
        chains = jax.tree.unflatten(program.chains, chain_leaves)
        size = (leaves[0] if rows is None else rows).shape[0]

        def augmented() -> list[jax.Array]:
            epoch, step = epoch_step
            index = _rows_at(key, rows, epoch, step, np.uint32(size), program.index)
            gathered = [_gathered(chain, leaf, index) for chain, leaf in zip(chains, leaves, strict=True)]
            return augment_rows(chains, key, epoch, index, gathered)

        return jax.tree.unflatten(program.data, fusion_barrier(augmented))

    return laid_out(batch, program.sharding, program.mesh)(leaves, chain_leaves, rows, key, epoch_step)


@partial(jax.jit, static_argnums=0, donate_argnames="donated", keep_unused=True)
def host_batch(
    program: Program,
    leaves: Sequence[ArrayLike],
    chain_leaves: Sequence[jax.Array],
    key: Key,
    epoch: Counter,
    index: ArrayLike,
    donated: PyTree = None,
) -> PyTree:
    """The batch of the rows `index`, of which those of some leaves were read; other arguments as above.

    Args:
        leaves: For each leaf of the data its rows where `program.reads`, else the whole array.
    """

    def batch(
        leaves: Sequence[jax.Array], chain_leaves: Sequence[jax.Array], key: Key, epoch: jax.Array, index: jax.Array
    ) -> PyTree:
        chains = jax.tree.unflatten(program.chains, chain_leaves)
        gathered = [
            jnp.asarray(leaf) if is_read else _gathered(chain, leaf, index)  # NumPy's own under disable_jit
            for chain, leaf, is_read in zip(chains, leaves, program.reads, strict=True)
        ]
        return jax.tree.unflatten(program.data, augment_rows(chains, key, epoch, index, gathered))

    return laid_out(batch, program.sharding, program.mesh)(leaves, chain_leaves, key, epoch, index)


def stack_counters(epoch: Counter, step: Counter) -> ArrayLike:
    """One argument of a program instead of two: each costs 7 us."""
    if isinstance(epoch, jax.core.Tracer) or isinstance(step, jax.core.Tracer):
        return jnp.stack([jnp.asarray(epoch), jnp.asarray(step)])
    return np.array([epoch, step], np.uint32)


def step_after(num_examples: int, batch_size: int, num_steps: int) -> int:
    """The step before which an epoch has shown so many examples, if a batch begins there."""
    step, rest = divmod(num_examples, batch_size)
    if rest or step > num_steps:
        last = min(step, num_steps) * batch_size
        after = f" or {last + batch_size}" if step < num_steps else ""
        raise ValueError(
            f"num_examples is {num_examples}; expected a position where a batch of {batch_size} begins, here "
            f"{last}{after} (examples are then shown twice, or left out), or a batch_size that divides it."
        )
    return step


def _rows_at(
    key: Key,
    rows: ArrayLike | None,
    epoch: Counter,
    step: Counter,
    size: int | np.uint32 | jax.Array,
    index: IndexSpec,
) -> jax.Array:
    """The rows of one batch; positions past the end start over."""
    return _rows_of(key, rows, epoch, index.positions(step), size, index.shuffle)


def _rows_of(
    key: Key,
    rows: ArrayLike | None,
    epoch: Counter,
    position: jax.Array,
    size: int | np.uint32 | jax.Array,
    shuffle: bool,
) -> jax.Array:
    position = position % size
    if shuffle:
        position = shuffle_positions(key, epoch, position, size)
    position = position.astype(np.int32)
    return position if rows is None else jnp.asarray(rows, np.int32).at[position].get(mode="promise_in_bounds")


rows_at = transfers(jax.jit(_rows_at, static_argnums=5))
rows_of = transfers(jax.jit(_rows_of, static_argnums=5))


def _gathered(chain: Chain | None, leaf: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of a leaf on the device.

    Rows that are resampled are copied out first. Left to itself XLA:CPU looks every pixel up in the whole data, four
    times over, which is a third of the time at 224 pixels. What is not resampled is read once, and best on the way.
    """
    take = partial(take_rows, leaf, index)
    return fusion_barrier(take) if chain is not None and chain.resamples else take()


def augment_rows(
    chains: Chains, key: Key, epoch: Counter, index: jax.Array, leaves: Sequence[jax.Array]
) -> list[jax.Array]:
    """Each leaf's rows after its chain; what an example draws follows from its row of the data alone."""
    if all(chain is None for chain in chains):
        return list(leaves)
    parent = role_key(key, epoch, AUGMENT)
    keys = jax.vmap(partial(fold_in, parent))(index.astype(np.uint32))

    def augmented(chain: Chain | None, images: jax.Array) -> jax.Array:
        return images if chain is None else jax.vmap(chain.sample_and_apply)(keys, images)

    return [augmented(chain, images) for chain, images in zip(chains, leaves, strict=True)]


@transfers
@jax.jit
def step_key(key: Key, epoch: Counter, step: Counter) -> jax.Array:
    return fold_in(role_key(key, epoch, STEP), step)
