"""What becomes of one example of each leaf: by a chain of its own, or by that of the leaf that it follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._keys import Counter, Key, example_keys, key_data, shown_again, wrap_key_data
from .._ragged import Extent, Ragged
from ..augment import Chain
from ..augment.internal import Companion, Moves, RaggedImage, StoredImage
from ._data import PyTree

if TYPE_CHECKING:
    from jaxtyping import Array, Float

LeafSteps: TypeAlias = Chain | Companion
_AT_ONCE = 8  # pictures, where few are much larger than the others
Shape = tuple[int, ...]


# Of the examples of a batch that are pictures of different sizes: int32[batch, 2], height and width.
Sizes = jax.Array
Size = jax.Array  # of one of them
Example = jax.Array | RaggedImage


class OwnSteps:
    """Of a leaf with a chain; `shape` is that of an example.

    Args:
        sizes: Of its pictures, where they differ.
    """

    def __init__(self, chain: Chain, shape: Shape, sizes: Sizes | None = None):
        self._chain, self._shape, self.sizes = chain, shape[1:] if chain.has_frames else shape, sizes
        self.num_views = chain.num_views
        self.can_prepare = chain.can_prepare

    def run(self, key: Key, example: Example, stored: StoredImage | None, size: Size | None = None) -> jax.Array:
        chain = self._chain
        if not chain.has_frames:
            return chain.sample_and_apply(key, example, stored)
        if self.can_prepare:
            return self.apply_prepared(self.prepare(key), example, None)
        params = chain.sample(key, self._shape)
        assert not isinstance(example, RaggedImage)  # pictures of different sizes have no frames
        return jax.vmap(lambda frame: chain.apply(params, frame))(example)

    def prepare(self, key: Key, size: Size | None = None) -> PyTree:
        """What needs no pixels of `run`, of a leaf that `can_prepare`."""
        return self._chain.prepare(key, _of_size(self._shape, size))

    def apply_prepared(
        self, prepared: Any, example: Example, stored: StoredImage | None, size: Size | None = None
    ) -> jax.Array:
        if self._chain.has_frames:
            return jax.vmap(lambda frame: self._chain.apply_prepared(prepared, frame))(example)
        return self._chain.apply_prepared(prepared, example, stored)

    def trace(self, key: Key, example: Any, size: Size | None) -> tuple[PyTree, Float[Array, "3 3"] | None, jax.Array]:
        """As `run`; returns params, matrix and the example after it."""
        chain = self._chain
        if not chain.has_frames:
            return chain.trace(key, example)
        params = chain.sample(key, self._shape)
        return params, chain.matrix(params, self._shape), jax.vmap(lambda frame: chain.apply(params, frame))(example)


class FollowedSteps:
    """Of a leaf that follows another; `shape` is that of an example of the other one, and so are `sizes`."""

    def __init__(self, companion: Companion, followed: Chain | None, shape: Shape, sizes: Sizes | None = None):
        self._companion, self._followed, self.sizes = companion, Chain() if followed is None else followed, sizes
        self._shape = shape[1:] if self._followed.has_frames else shape
        self.num_views = self._followed.num_views
        self.can_prepare = self._followed.can_prepare

    def run(self, key: Key, example: Example, stored: StoredImage | None, size: Size | None = None) -> jax.Array:
        shape = _of_size(self._shape, size)
        return self._follow(example, self._followed.steps.moves(key, shape), shape)

    def prepare(self, key: Key, size: Size | None = None) -> PyTree:
        return self._followed.steps.moves(key, _of_size(self._shape, size)).matrices

    def apply_prepared(
        self, prepared: Any, example: Example, stored: StoredImage | None, size: Size | None = None
    ) -> jax.Array:
        shape = _of_size(self._shape, size)
        return self._follow(example, Moves(prepared, self._followed.steps.movers(shape)), shape)

    def trace(self, key: Key, example: Any, size: Size | None) -> tuple[PyTree, Float[Array, "3 3"] | None, jax.Array]:
        shape = _of_size(self._shape, size)
        params = self._followed.sample(key, shape)
        return params, self._followed.matrix(params, shape), self.run(key, example, None, size)

    def _follow(self, example: Example, moves: Moves, shape: Shape) -> jax.Array:
        height, width = shape[:2]
        return self._companion.follow(example, moves, (height, width))


def _of_size(shape: Shape, size: Size | None) -> tuple[Any, ...]:
    return shape if size is None else (size[0], size[1], shape[-1])


def steps_of(steps: Sequence[LeafSteps | None], leaves: Sequence[Any]) -> list[OwnSteps | FollowedSteps | None]:
    """Of each leaf, from rows of each."""
    found: list[OwnSteps | FollowedSteps | None] = []
    for own, leaf in zip(steps, leaves, strict=True):
        if isinstance(own, Companion):
            assert own.target is not None  # as the loader set it
            followed, other = steps[own.target], leaves[own.target]
            chain = followed if isinstance(followed, Chain) else None
            found.append(FollowedSteps(own, chain, other.shape[1:], _sizes_of(other)))
        else:
            found.append(None if own is None else OwnSteps(own, leaf.shape[1:], _sizes_of(leaf)))
    return found


def _sizes_of(leaf: Any) -> Sizes | None:
    return leaf.shapes if isinstance(leaf, Ragged) else None


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
    steps: OwnSteps | FollowedSteps, keys: ExampleKeys, examples: jax.Array | Ragged, stored: StoredImage | None
) -> jax.Array:
    """All examples of a leaf; `stored` says where they lie in one array of all."""
    return _each(steps, steps.run, keys.of(steps.num_views), examples, stored)


def prepare_each(steps: OwnSteps | FollowedSteps, keys: ExampleKeys) -> PyTree:
    """What needs no pixels, or the words of the keys where that is not known."""
    prepare = steps.prepare if steps.can_prepare else key_data
    own, sizes = keys.of(steps.num_views), steps.sizes if steps.can_prepare else None
    if sizes is None:
        over = jax.vmap(prepare) if steps.num_views is None else jax.vmap(jax.vmap(prepare))
        return over(own)
    over_views = steps.prepare if steps.num_views is None else jax.vmap(steps.prepare, in_axes=(0, None))
    return jax.vmap(over_views)(own, sizes)


def apply_each(
    steps: OwnSteps | FollowedSteps, draws: PyTree, examples: jax.Array | Ragged, stored: StoredImage | None
) -> jax.Array:
    """The rest of `run_each` after `prepare_each`."""

    def one(draws: PyTree, example: Example, where: StoredImage | None, size: Size | None) -> jax.Array:
        if steps.can_prepare:
            return steps.apply_prepared(draws, example, where, size)
        return steps.run(wrap_key_data(draws), example, where, size)

    return _each(steps, one, draws, examples, stored)


def trace_each(steps: OwnSteps | FollowedSteps, keys: ExampleKeys, examples: jax.Array | Ragged) -> PyTree:
    """Params, matrix and result of the only example of a batch."""
    own, size = keys.of(steps.num_views)[0], None if steps.sizes is None else steps.sizes[0]
    example: Example
    if isinstance(examples, Ragged):
        example = RaggedImage(examples.pixels, examples.places[0], examples.shapes[0], examples.extent)
    else:
        example = examples[0]

    def trace(key: jax.Array) -> PyTree:
        return steps.trace(key, example, size)

    return trace(own) if steps.num_views is None else jax.vmap(trace)(own)


def _each(
    steps: OwnSteps | FollowedSteps,
    function: Callable[[PyTree, Any, StoredImage | None, Size | None], jax.Array],
    draws: PyTree,
    examples: jax.Array | Ragged,
    stored: StoredImage | None,
) -> jax.Array:
    """`function` of each example, or of each view of it."""
    num_views = steps.num_views

    def of_views(draws: PyTree, example: Example, place: StoredImage | None, size: Size | None) -> jax.Array:
        if num_views is None:
            return function(draws, example, place, size)
        return jax.vmap(lambda own: function(own, example, place, size), axis_size=num_views)(draws)

    if isinstance(examples, Ragged):
        return _each_of_ragged(of_views, draws, examples, steps.sizes)
    where = None if stored is None else partial(StoredImage, stored.data)

    def of_example(draws: PyTree, example: jax.Array, row: jax.Array | None, size: Size | None) -> jax.Array:
        place = None if where is None or row is None else where(row)
        return of_views(draws, example, place, size)

    rows = None if stored is None else jnp.asarray(stored.row)
    return jax.vmap(of_example)(draws, examples, rows, steps.sizes)


def _each_of_ragged(
    function: Callable[[PyTree, Any, None, Size | None], jax.Array],
    draws: PyTree,
    examples: Ragged,
    sizes: Sizes | None,
) -> jax.Array:
    """As `_each`; where few pictures are much larger than the others, some at a time.

    A program reads as many lines and pixels of each as the largest may need: one of ten times the size would make a
    whole batch take fifty times as long, and so it does with those few beside it.
    """
    extent, given = examples.extent, (draws, examples.places, examples.shapes, sizes)
    run = partial(_within, function, examples.pixels)
    if not extent.levels:
        return run(extent, *given)
    groups, batch_size = _num_groups(examples.pixels), examples.shapes.shape[0]
    length = next(m for m in range(_AT_ONCE, 0, -1) if (batch_size // groups) % m == 0)
    branches = [partial(run, extent.at(level)) for level in (*extent.levels, extent.most)]

    def some(given: tuple[PyTree, jax.Array, jax.Array, Sizes | None]) -> jax.Array:
        shapes = given[2]
        level = sum(
            ((shapes > np.array(level, np.int32)).any().astype(np.int32) for level in extent.levels), np.int32(0)
        )
        return jax.lax.switch(level, branches, *given)

    def apart(part: jax.Array) -> jax.Array:  # some of each group
        part = jnp.moveaxis(part.reshape(groups, -1, length, *part.shape[1:]), 1, 0)
        return part.reshape(-1, groups * length, *part.shape[3:])

    found = jax.lax.map(some, jax.tree.map(apart, given))
    found = jnp.moveaxis(found.reshape(-1, groups, length, *found.shape[2:]), 0, 1)
    return found.reshape(batch_size, *found.shape[3:])


def _within(
    function: Callable[[PyTree, Any, None, Size | None], jax.Array],
    pixels: jax.Array,
    extent: Extent,
    draws: PyTree,
    places: jax.Array,
    shapes: jax.Array,
    sizes: Sizes | None,
) -> jax.Array:
    """Of pictures of this extent; in groups, where those of each device have pixels of their own."""

    def of_group(pixels: jax.Array, *given: Any) -> jax.Array:
        def of_example(draws: PyTree, place: jax.Array, shape: jax.Array, size: Size | None) -> jax.Array:
            return function(draws, RaggedImage(pixels, place, shape, extent), None, size)

        return jax.vmap(of_example)(*given)

    given, groups = (draws, places, shapes, sizes), _num_groups(pixels)
    if pixels.ndim == 2:
        return of_group(pixels, *given)
    apart = jax.tree.map(lambda part: part.reshape(groups, -1, *part.shape[1:]), given)
    found = jax.vmap(of_group)(pixels, *apart)
    return found.reshape(-1, *found.shape[2:])


def _num_groups(pixels: jax.Array) -> int:
    """(total, channels), or of each group (groups, total, channels)."""
    return pixels.shape[0] if pixels.ndim == 3 else 1
