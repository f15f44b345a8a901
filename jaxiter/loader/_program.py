"""The compiled half of a Loader: what runs on the device for one batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import fusion_barrier
from .._host_rows import dtype_of
from .._keys import AUGMENT, STEP, Key, fold_in, role_key
from ..sampler.internal import shuffle_positions
from ._data import take_rows
from ._sharding import laid_out


class Rule(NamedTuple):
    """The static part of an index."""

    batch_size: int
    length: int  # smaller than batch_size in a short last batch
    shuffle: bool

    def positions(self, step: Any) -> Any:
        return step * np.uint32(self.batch_size) + jnp.arange(self.length, dtype=np.uint32)


class Program:
    """What a batch is compiled for: the structure of its loader, the rule, and how the batch is laid out (or None).

    `jit` compares its static arguments at every call. Two loaders that are equal compare slowly, node by node and in
    Python, which took a sixth of a small batch's time; the same program compares at once.
    """

    __slots__ = ("_hash", "rule", "sharding", "structure", "without_rows")

    def __init__(self, structure: Any, rule: Rule, sharding: Any = None, without_rows: Program | None = None):
        self.structure, self.rule, self.sharding = structure, rule, sharding
        self.without_rows = without_rows  # the same for a loader that visits all rows, as one does whose rows were read
        self._hash = hash((structure, rule, sharding))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Program) and self._fields() == other._fields()

    def _fields(self) -> tuple[Any, ...]:
        return self.rule, self.sharding, self.structure


@partial(jax.jit, static_argnums=0, donate_argnames="donated", keep_unused=True)
def resident_batch(program: Program, leaves: Sequence[Any], key: Key, place: Any, donated: Any = None) -> Any:
    """The batch at `place`, (epoch, step), of a loader whose arrays are all on the device.

    It is written where `donated` is, a batch of the same shapes that nobody needs any more, if there is one. That takes
    no part in the computation; without `keep_unused` jit would leave it out.
    """

    def batch(leaves: Sequence[Any], key: Key, place: Any) -> Any:
        loader = jax.tree.unflatten(program.structure, leaves)
        data, structure = jax.tree.flatten(loader.data)

        def made() -> Any:
            index = _rows_at(key, loader.rows, place[0], place[1], np.uint32(loader.size), program.rule)
            return _augmented(loader._chains, key, place[0], index, _gathered(loader._chains, data, index))

        return jax.tree.unflatten(structure, fusion_barrier(made))

    return laid_out(batch, program.sharding)(leaves, key, place)


@partial(jax.jit, static_argnums=(0, 1), donate_argnames="donated", keep_unused=True)
def host_batch(
    program: Program,
    was_read: tuple[bool, ...],
    leaves: Sequence[Any],
    key: Key,
    epoch: Any,
    index: Any,
    donated: Any = None,
) -> Any:
    """The batch of rows that were read on the host: they stand among the loader's leaves, where `was_read` says so.

    Arguments else as for `resident_batch`.
    """

    def batch(leaves: Sequence[Any], key: Key, epoch: Any, index: Any) -> Any:
        loader = jax.tree.unflatten(program.structure, leaves)
        data, structure = jax.tree.flatten(loader.data)
        gathered = _gathered(loader._chains, data, index, was_read)
        return jax.tree.unflatten(structure, _augmented(loader._chains, key, epoch, index, gathered))

    return laid_out(batch, program.sharding)(leaves, key, epoch, index)


def together(epoch: Any, step: Any) -> Any:
    """One argument of a program and not two: each that is handed over takes 7 us."""
    if isinstance(epoch, jax.core.Tracer) or isinstance(step, jax.core.Tracer):
        return jnp.stack([jnp.asarray(epoch), jnp.asarray(step)])
    return np.array([epoch, step], np.uint32)


def batch_spec(program: Program, leaves: Sequence[Any]) -> Any:
    """Shape and dtype of each leaf of the program's batches, as `jax.eval_shape` gives them."""
    specs = [jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(dtype_of(leaf))) for leaf in leaves]
    key, place = jax.eval_shape(lambda: (jax.random.key(0, impl="threefry2x32"), jnp.zeros(2, np.uint32)))
    return jax.eval_shape(partial(resident_batch, program), specs, key, place)


def step_after(num_examples: int, batch_size: int, num_steps: int) -> int:
    """The step before which an epoch has shown so many examples, if a batch begins there."""
    step, rest = divmod(num_examples, batch_size)
    if rest or step > num_steps:
        last = min(step, num_steps) * batch_size
        after = f" or {last + batch_size}" if step < num_steps else ""
        raise ValueError(
            f"num_examples is {num_examples}; expected a place where a batch of {batch_size} begins, here "
            f"{last}{after} (examples are then shown twice, or left out), or a batch_size that divides it."
        )
    return step


def _rows_at(key: Key, rows: Any, epoch: Any, step: Any, size: Any, rule: Rule) -> Any:
    """The rows of one batch; positions past the end start over."""
    return _rows_of(key, rows, epoch, rule.positions(step), size, rule.shuffle)


def _rows_of(key: Key, rows: Any, epoch: Any, position: Any, size: Any, shuffle: bool) -> Any:
    position = position % size
    if shuffle:
        position = shuffle_positions(key, epoch, position, size)
    position = position.astype(np.int32)
    return position if rows is None else jnp.asarray(rows, np.int32).at[position].get(mode="promise_in_bounds")


rows_at = jax.jit(_rows_at, static_argnums=5)
rows_of = jax.jit(_rows_of, static_argnums=5)


def _gathered(chains: Any, data: Sequence[Any], index: Any, was_read: Sequence[bool] | None = None) -> list[Any]:
    """The batch's rows of every leaf, but for those that are rows already.

    Rows that are resampled are copied out first. Left to itself XLA:CPU looks every pixel up in the whole data, four
    times over, which is a third of the time at 224 pixels. What is not resampled is read once, and best on the way.
    """

    def rows(chain: Any, leaf: Any, read: bool) -> Any:
        if read:
            return leaf
        take = partial(take_rows, leaf, index)
        return fusion_barrier(take) if chain is not None and chain.resamples else take()

    return list(map(rows, chains, data, was_read or [False] * len(data)))


def _augmented(chains: Any, key: Key, epoch: Any, index: Any, leaves: Any) -> tuple[Any, ...]:
    """Each leaf's rows after its chain; what an example draws follows from its row of the data alone."""
    if all(chain is None for chain in chains):
        return tuple(leaves)
    parent = role_key(key, epoch, AUGMENT)
    keys = jax.vmap(partial(fold_in, parent))(index.astype(np.uint32))

    def augmented(chain: Any, images: Any) -> Any:
        return images if chain is None else jax.vmap(chain.sample_and_apply)(keys, images)

    return tuple(augmented(chain, images) for chain, images in zip(chains, leaves, strict=True))


@jax.jit
def step_key(key: Key, epoch: Any, step: Any) -> Key:
    return fold_in(role_key(key, epoch, STEP), step)
