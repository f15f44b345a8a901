"""What becomes of one example of each leaf: by a chain of its own, or by that of the leaf that it follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._keys import Counter, Key, example_keys, key_data, shown_again, wrap_key_data
from ..augment import Chain
from ..augment.internal import Companion, Moves, StoredImage
from ._data import PyTree

if TYPE_CHECKING:
    from jaxtyping import Array, Float

LeafSteps: TypeAlias = Chain | Companion
Shape = tuple[int, ...]


class OwnSteps:
    """Of a leaf with a chain; `shape` is that of an example."""

    def __init__(self, chain: Chain, shape: Shape):
        self._chain, self._shape = chain, shape[1:] if chain.has_frames else shape
        self.num_views = chain.num_views
        self.can_prepare = chain.can_prepare

    def run(self, key: Key, example: jax.Array, stored: StoredImage | None) -> jax.Array:
        chain = self._chain
        if not chain.has_frames:
            return chain.sample_and_apply(key, example, stored)
        if self.can_prepare:
            return self.apply_prepared(self.prepare(key), example, None)
        params = chain.sample(key, self._shape)
        return jax.vmap(lambda frame: chain.apply(params, frame))(example)

    def prepare(self, key: Key) -> PyTree:
        """What needs no pixels of `run`, of a leaf that `can_prepare`."""
        return self._chain.prepare(key, self._shape)

    def apply_prepared(self, prepared: Any, example: jax.Array, stored: StoredImage | None) -> jax.Array:
        if self._chain.has_frames:
            return jax.vmap(lambda frame: self._chain.apply_prepared(prepared, frame))(example)
        return self._chain.apply_prepared(prepared, example, stored)

    def trace(self, key: Key, example: jax.Array) -> tuple[PyTree, Float[Array, "3 3"] | None, jax.Array]:
        """As `run`; returns params, matrix and the example after it."""
        chain = self._chain
        if not chain.has_frames:
            return chain.trace(key, example)
        params = chain.sample(key, self._shape)
        return params, chain.matrix(params, self._shape), jax.vmap(lambda frame: chain.apply(params, frame))(example)


class FollowedSteps:
    """Of a leaf that follows another; `shape` is that of an example of the other one."""

    def __init__(self, companion: Companion, followed: Chain | None, shape: Shape):
        self._companion, self._followed = companion, Chain() if followed is None else followed
        self._shape = shape[1:] if self._followed.has_frames else shape
        self.num_views = self._followed.num_views
        self.can_prepare = self._followed.can_prepare

    def run(self, key: Key, example: jax.Array, stored: StoredImage | None) -> jax.Array:
        return self._follow(example, self._followed.steps.moves(key, self._shape))

    def prepare(self, key: Key) -> PyTree:
        return self._followed.steps.moves(key, self._shape).matrices

    def apply_prepared(self, prepared: Any, example: jax.Array, stored: StoredImage | None) -> jax.Array:
        return self._follow(example, Moves(prepared, self._followed.steps.movers(self._shape)))

    def trace(self, key: Key, example: jax.Array) -> tuple[PyTree, Float[Array, "3 3"] | None, jax.Array]:
        params = self._followed.sample(key, self._shape)
        return params, self._followed.matrix(params, self._shape), self.run(key, example, None)

    def _follow(self, example: jax.Array, moves: Moves) -> jax.Array:
        height, width = self._shape[:2]
        return self._companion.follow(example, moves, (height, width))


def steps_of(steps: Sequence[LeafSteps | None], shapes: Sequence[Shape]) -> list[OwnSteps | FollowedSteps | None]:
    """Of each leaf, from the shapes of an example of each."""
    found: list[OwnSteps | FollowedSteps | None] = []
    for own, shape in zip(steps, shapes, strict=True):
        if isinstance(own, Companion):
            assert own.target is not None  # as the loader set it
            followed = steps[own.target]
            found.append(FollowedSteps(own, followed if isinstance(followed, Chain) else None, shapes[own.target]))
        else:
            found.append(None if own is None else OwnSteps(own, shape))
    return found


class ExampleKeys:
    """The keys of the examples of a batch, (batch,), or of their views, (batch, views)."""

    def __init__(self, key: Key, epoch: Counter, rows: jax.Array, showings: jax.Array | None):
        self._key, self._epoch, self._rows, self._showings = key, epoch, rows.astype(np.uint32), showings
        self._found: dict[int | None, jax.Array] = {}

    def of(self, num_views: int | None) -> jax.Array:
        if num_views not in self._found:
            self._found[num_views] = self._make(num_views)
        return self._found[num_views]

    def _make(self, num_views: int | None) -> jax.Array:
        if num_views is None:
            return example_keys(self._key, self._epoch, self._rows, self._showings)
        first = jnp.zeros_like(self._rows) if self._showings is None else self._showings * np.uint32(num_views)
        views = jnp.arange(num_views, dtype=np.uint32)
        keys = example_keys(self._key, self._epoch, self._rows)
        return jax.vmap(lambda key, start: jax.vmap(lambda view: shown_again(key, start + view))(views))(keys, first)


def run_each(
    steps: OwnSteps | FollowedSteps, keys: ExampleKeys, examples: jax.Array, stored: StoredImage | None
) -> jax.Array:
    """All examples of a leaf; `stored` says where they lie in one array of all."""
    return _each(steps.num_views, steps.run, keys.of(steps.num_views), examples, stored)


def prepare_each(steps: OwnSteps | FollowedSteps, keys: ExampleKeys) -> PyTree:
    """What needs no pixels, or the words of the keys where that is not known."""
    prepare = steps.prepare if steps.can_prepare else key_data
    over = jax.vmap(prepare) if steps.num_views is None else jax.vmap(jax.vmap(prepare))
    return over(keys.of(steps.num_views))


def apply_each(
    steps: OwnSteps | FollowedSteps, draws: PyTree, examples: jax.Array, stored: StoredImage | None
) -> jax.Array:
    """The rest of `run_each` after `prepare_each`."""

    def one(draws: PyTree, example: jax.Array, where: StoredImage | None) -> jax.Array:
        if steps.can_prepare:
            return steps.apply_prepared(draws, example, where)
        return steps.run(wrap_key_data(draws), example, where)

    return _each(steps.num_views, one, draws, examples, stored)


def trace_each(steps: OwnSteps | FollowedSteps, keys: ExampleKeys, example: jax.Array) -> PyTree:
    """Params, matrix and result of the only example of a batch."""
    own = keys.of(steps.num_views)[0]
    trace = partial(_traced, steps, example)
    return trace(own) if steps.num_views is None else jax.vmap(trace)(own)


def _traced(steps: OwnSteps | FollowedSteps, example: jax.Array, key: jax.Array) -> PyTree:
    return steps.trace(key, example)


def _each(
    num_views: int | None,
    function: Callable[[PyTree, jax.Array, StoredImage | None], jax.Array],
    draws: PyTree,
    examples: jax.Array,
    stored: StoredImage | None,
) -> jax.Array:
    """`function` of each example, or of each view of it."""
    where = None if stored is None else partial(StoredImage, stored.data)

    def of_example(draws: PyTree, example: jax.Array, *row: jax.Array) -> jax.Array:
        place = None if where is None else where(*row)
        if num_views is None:
            return function(draws, example, place)
        return jax.vmap(lambda own: function(own, example, place), axis_size=num_views)(draws)

    rows = () if stored is None else (stored.row,)
    return jax.vmap(of_example)(draws, examples, *rows)
