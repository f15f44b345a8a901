"""The compiled half of a Loader: what runs on the device for one batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Sharding
from jax.tree_util import PyTreeDef
from jax.typing import ArrayLike

from .._fusion_barrier import computed_once, fusion_barrier
from .._keys import STEP, Counter, Key, fold_in, role_key
from .._ragged import Ragged
from .._transfers import transfers
from ..augment import Chain
from ..augment.internal import StoredImage
from ..sampler.internal import shuffle_positions
from ._data import PyTree, take_rows
from ._examples import ExampleKeys, LeafSteps, apply_each, prepare_each, run_each, steps_of
from ._sharding import laid_out
from ._visited import VisitedRows

Chains = Sequence[LeafSteps | None]
_COPIED = 2**16  # bytes of an image


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

    __slots__ = ("_hash", "chains", "data", "index", "mesh", "reads", "sharding", "sources", "whole")

    def __init__(
        self,
        data: PyTreeDef,
        chains: PyTreeDef,
        index: IndexSpec,
        reads: tuple[bool, ...],
        sources: tuple[int, ...],
        sharding: Sharding | None,
        mesh: AbstractMesh | None,
        whole: tuple[bool, ...],
    ):
        self.data, self.chains = data, chains  # structures of the data and of the chains
        self.index = index
        self.reads = reads  # for each leaf of the data: rows are passed in, not the whole array
        self.sources = sources  # and its place among the arrays that are passed in, one for leaves that are the same
        self.sharding = sharding  # of the batch, or None
        self.mesh = mesh  # of the batch or the data, or None
        self.whole = whole  # for each leaf: every device has all of the array that is passed in
        self._hash = hash(self._fields())

    def known_whole(self, whole: tuple[bool, ...]) -> Program:
        """The same, where more is known of the leaves than a program knows of its arguments."""
        fields = self.data, self.chains, self.index, self.reads, self.sources, self.sharding, self.mesh
        return Program(*fields, whole)

    def _fields(self) -> tuple[object, ...]:
        return self.index, self.reads, self.sources, self.sharding, self.mesh, self.whole, self.data, self.chains

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
    visited: VisitedRows | None,
    key: Key,
    counters: ArrayLike,
    donated: PyTree = None,
) -> PyTree:
    """The batch of data that are on the device at `counters`, uint32[3]: epoch, step, number of visited rows.

    Args:
        leaves, chain_leaves: The arrays of the data, each once, and those inside the chains.
        visited: Rows of the data to visit, or None for all of them.
        donated: A batch of the same shapes that is not used any more: the new one is written to its memory.
    """

    def batch(
        leaves: Sequence[jax.Array],
        chain_leaves: Sequence[jax.Array],
        visited: VisitedRows | None,
        key: Key,
        counters: jax.Array,
    ) -> PyTree:
        chains = jax.tree.unflatten(program.chains, chain_leaves)

        def augmented() -> list[jax.Array]:
            epoch, step, size = counters
            index, showings = _rows_of(leaves, visited, key, epoch, program.index.positions(step), size, program.index)
            gathered, stored = _looked_up(program, chains, leaves, index)
            return augment_rows(chains, key, epoch, index, gathered, showings, stored)

        return jax.tree.unflatten(program.data, fusion_barrier(augmented))

    return laid_out(batch, program.sharding)(leaves, chain_leaves, visited, key, counters)


@partial(jax.jit, static_argnums=0, donate_argnames="donated", keep_unused=True)
def host_batch(
    program: Program,
    leaves: Sequence[ArrayLike],
    chain_leaves: Sequence[jax.Array],
    key: Key,
    epoch: Counter,
    index: ArrayLike,
    showings: ArrayLike | None,
    donated: PyTree = None,
) -> PyTree:
    """The batch of the rows `index`, of which those of some leaves were read; other arguments as above.

    Args:
        leaves: For each array of the data its rows where `program.reads`, else the whole array.
        showings: Of the rows; None where no row is visited twice.
    """

    def batch(
        leaves: Sequence[jax.Array],
        chain_leaves: Sequence[jax.Array],
        key: Key,
        epoch: jax.Array,
        index: jax.Array,
        showings: jax.Array | None,
    ) -> PyTree:
        chains = jax.tree.unflatten(program.chains, chain_leaves)
        each = [leaves[source] for source in program.sources]
        gathered = [
            _on_device(leaf) if is_read else _gathered(chain, leaf, index)  # without jit they are NumPy's
            for chain, leaf, is_read in zip(chains, each, program.reads, strict=True)
        ]
        places = [jnp.arange(index.shape[0], dtype=np.int32) if is_read else index for is_read in program.reads]
        stored = [
            StoredImage(leaf, place) if whole and not isinstance(leaf, Ragged) else None
            for leaf, place, whole in zip(each, places, program.whole, strict=True)
        ]
        batch = augment_rows(chains, key, epoch, index, gathered, showings, stored)
        return jax.tree.unflatten(program.data, batch)

    return laid_out(batch, program.sharding)(leaves, chain_leaves, key, epoch, index, showings)


class DrawnRows(NamedTuple):
    """Examples, and what happens to them as far as it does not depend on their pixels."""

    rows: jax.Array  # int32[..., batch]
    draws: list[PyTree]  # for each leaf what `prepare_each` found


def draw_steps(
    program: Program,
    leaves: Sequence[jax.Array],
    chains: Chains,
    visited: VisitedRows | None,
    key: Key,
    counters: ArrayLike,
    num_steps: int,
) -> DrawnRows:
    """What so many batches are made of, (step, batch, ...), in one go; `counters` are those of the first."""
    epoch, step, size = jnp.asarray(counters)
    batch_size = program.index.batch_size
    positions = jnp.arange(num_steps * batch_size, dtype=np.uint32) + step * np.uint32(batch_size)
    index, showings = _rows_of(leaves, visited, key, epoch, positions, size, program.index)
    keys = ExampleKeys(key, epoch, index, showings)
    rows = [_rows_for_shapes(leaves[source], index) for source in program.sources]
    each = steps_of(chains, rows)
    draws = [None if steps is None else prepare_each(steps, keys) for steps in each]
    return jax.tree.map(lambda found: found.reshape(num_steps, batch_size, *found.shape[1:]), DrawnRows(index, draws))


def drawn_batch(program: Program, leaves: Sequence[jax.Array], chains: Chains, drawn: DrawnRows) -> PyTree:
    """`resident_batch` of what `draw_steps` found for one step."""

    def augmented() -> list[jax.Array]:
        gathered, stored = _looked_up(program, chains, leaves, drawn.rows)
        each = steps_of(chains, gathered)
        return [
            images if steps is None else apply_each(steps, draws, images, where)
            for steps, draws, images, where in zip(each, drawn.draws, gathered, stored, strict=True)
        ]

    return jax.tree.unflatten(program.data, fusion_barrier(augmented))


@partial(jax.jit, static_argnums=(0, 1))
def prepare_steps(
    program: Program,
    num_steps: int,
    leaves: Sequence[jax.Array],
    chain_leaves: Sequence[jax.Array],
    visited: VisitedRows | None,
    key: Key,
    counters: ArrayLike,
) -> DrawnRows:
    """`draw_steps` as a program of its own."""
    chains = jax.tree.unflatten(program.chains, chain_leaves)
    return draw_steps(program, leaves, chains, visited, key, counters, num_steps)


@partial(jax.jit, static_argnums=0, donate_argnames="donated", keep_unused=True)
def prepared_batch(
    program: Program,
    leaves: Sequence[jax.Array],
    chain_leaves: Sequence[jax.Array],
    drawn: DrawnRows,
    offset: np.uint32,
    donated: PyTree = None,
) -> PyTree:
    """`resident_batch` at an offset into what `prepare_steps` found."""
    chains = jax.tree.unflatten(program.chains, chain_leaves)
    here = jax.tree.map(lambda steps: steps[offset][: program.index.length], drawn)
    return drawn_batch(program, leaves, chains, here)


def stack_counters(epoch: Counter, step: Counter, size: int) -> ArrayLike:
    """One argument of a program instead of three: each costs 7 us."""
    if isinstance(epoch, jax.core.Tracer) or isinstance(step, jax.core.Tracer):
        return jnp.stack([jnp.asarray(counter, np.uint32) for counter in (epoch, step, np.uint32(size))])
    return np.array([epoch, step, size], np.uint32)


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


def _rows_of(
    leaves: Sequence[jax.Array],
    visited: VisitedRows | None,
    key: Key,
    epoch: Counter,
    positions: jax.Array,
    size: np.uint32 | jax.Array,
    index: IndexSpec,
) -> tuple[jax.Array, jax.Array | None]:
    """Rows of data that are on the device, and their showings."""
    rows = None if visited is None else visited.rows
    if rows is None:  # known to the program
        size = np.uint32(leaves[0].shape[0])
    at_most = (leaves[0] if rows is None else rows).shape[0]
    places = computed_once(_places_of(key, epoch, positions, size, index.shuffle, at_most))
    return (places, None) if visited is None else visited.at(places, key, epoch)


def _looked_up(
    program: Program, chains: Chains, leaves: Sequence[jax.Array], index: jax.Array
) -> tuple[list[jax.Array], list[StoredImage | None]]:
    """For each leaf its rows, and where they can be read in the array that they are copied from."""
    each = [leaves[source] for source in program.sources]
    gathered = [_gathered(chain, leaf, index) for chain, leaf in zip(chains, each, strict=True)]
    return gathered, [
        StoredImage(leaf, index) if whole and not isinstance(leaf, Ragged) else None
        for leaf, whole in zip(each, program.whole, strict=True)
    ]


def _places_at(
    key: Key, epoch: Counter, step: Counter, size: np.uint32 | jax.Array, index: IndexSpec, at_most: int = 2**31
) -> jax.Array:
    """Which of the visited examples make up one batch; positions past the end start over.

    Args:
        at_most: What `size` cannot exceed: on a GPU the program has as many rounds of the order as that needs.
    """
    return _places_of(key, epoch, index.positions(step), size, index.shuffle, at_most)


def _places_of(
    key: Key,
    epoch: Counter,
    position: jax.Array,
    size: np.uint32 | jax.Array,
    shuffle: bool,
    at_most: int = 2**31,
) -> jax.Array:
    position = position % size
    if shuffle:
        position = shuffle_positions(key, epoch, position, size, at_most)
    return position.astype(np.int32)


places_at = transfers(jax.jit(_places_at, static_argnums=4))
places_of = transfers(jax.jit(_places_of, static_argnums=4))


@transfers
@partial(jax.jit, static_argnums=5)
def rows_at(
    key: Key, visited: VisitedRows | None, epoch: Counter, step: Counter, size: np.uint32, index: IndexSpec
) -> jax.Array:
    """The rows of the data that make up one batch."""
    place = _places_at(key, epoch, step, size, index)
    return place if visited is None else visited.at(place, key, epoch)[0]


def _on_device(leaf: Any) -> Any:
    return jax.tree.map(jnp.asarray, leaf)


def _rows_for_shapes(leaf: Any, index: jax.Array) -> Any:
    """Something with the shapes of the rows of a leaf, as far as `steps_of` looks at them."""
    return leaf.taken(index) if isinstance(leaf, Ragged) else leaf


def _gathered(chain: LeafSteps | None, leaf: Any, index: jax.Array) -> Any:
    """Rows of a leaf on the device.

    Large images that are resampled are copied out first: left to itself XLA:CPU looks every pixel up in the whole data,
    four times over, a sixth of the time at 224 pixels. At 32 to 96 pixels the copy took longer than that, as measured
    once. What is not resampled is read once, and best on the way.
    """
    take = partial(take_rows, leaf, index)
    if isinstance(leaf, Ragged):
        return take()
    is_large = leaf.size // leaf.shape[0] * leaf.dtype.itemsize > _COPIED
    return fusion_barrier(take) if isinstance(chain, Chain) and chain.resamples and is_large else take()


def augment_rows(
    chains: Chains,
    key: Key,
    epoch: Counter,
    index: jax.Array,
    leaves: Sequence[jax.Array],
    showings: jax.Array | None = None,
    stored: Sequence[StoredImage | None] = (),
) -> list[jax.Array]:
    """Each leaf's rows after its chain; what an example draws follows from its row of the data, and its showing.

    Args:
        stored: For each leaf the array that its rows were copied from, and where they are in it; or None.
    """
    if all(chain is None for chain in chains):
        return list(leaves)
    keys = ExampleKeys(key, epoch, index, showings)
    each = zip(steps_of(chains, leaves), leaves, stored or [None] * len(leaves), strict=True)
    return [images if steps is None else run_each(steps, keys, images, where) for steps, images, where in each]


@transfers
@jax.jit
def step_key(key: Key, epoch: Counter, step: Counter) -> jax.Array:
    return fold_in(role_key(key, epoch, STEP), step)
