"""Steps that make a byte of a byte: several next to each other are one table and one lookup."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, check_not_masked
from .._fusion_barrier import computed_once, fusion_barrier
from .._transfers import transfers
from ._transform import Params, Transform
from ._warp import check_image_shape

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Int32, UInt8

NUM_BYTES = 256
BYTES = np.arange(NUM_BYTES, dtype=np.int32)


class Table(NamedTuple):
    """What becomes of every byte, and what is known of the picture that it is looked up for."""

    values: Int32[Array, "rows 256"]  # one row for all channels, or one for each
    counts: Int32[Array, "channels 256"] | None  # of the bytes before all of it; None where no step needs them

    def reached(self) -> Int32[Array, "channels 256"]:
        """How often each byte stands in what the table makes of the picture."""
        assert self.counts is not None
        places = np.arange(len(self.counts), dtype=np.int32)[:, None]
        values = jnp.broadcast_to(self.values, self.counts.shape)
        return jnp.zeros_like(self.counts).at[places, values].add(self.counts, mode="promise_in_bounds")

    def then(self, values: Int32[Array, "rows 256"]) -> Table:
        """Followed by another table."""
        rows = max(len(values), len(self.values))
        own, other = (jnp.broadcast_to(part, (rows, NUM_BYTES)) for part in (self.values, values))
        places = np.arange(rows, dtype=np.int32)[:, None]
        return self._replace(values=other.at[places, own].get(mode="promise_in_bounds"))


class ByteTable(Transform):
    """A step of a picture of bytes, by a table that `after` makes. Adjacent ones are one table."""

    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    keeps_dtype: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    needs_counts: ClassVar[bool] = False  # of the bytes of the picture that reaches it
    extremes_will_do: ClassVar[bool] = False  # of these the lowest and the highest byte that there are
    is_monotone: ClassVar[bool] = True  # so that those of its result are made of those that reach it

    def after(self, before: Table, params: Params) -> Table:
        """`before` followed by this step."""
        raise NotImplementedError

    def acts(self, params: Params) -> Bool[Array, ""] | bool:
        """Whether it acts on the image at all."""
        return True

    @property
    def is_own(self) -> bool:
        """False where a subclass overrides `apply`."""
        return type(self).apply is ByteTable.apply

    def apply(self, params: Params, image: UInt8[Array, "... channels"]) -> UInt8[Array, "... channels"]:
        return apply_tables([(self, params)], image)


class ByteFormula(ByteTable):
    """One by a formula of few integer operations, which alone takes a fifth of the time of a lookup on CPU."""

    def of(self, values: jax.Array, params: Params) -> jax.Array:
        """What becomes of bytes, which are uint8 or int32, in their dtype."""
        raise NotImplementedError

    def after(self, before: Table, params: Params) -> Table:
        return before._replace(values=self.of(before.values, params))


def is_table(step: Transform) -> TypeGuard[ByteTable]:
    """Whether a step is one table with such steps beside it."""
    return isinstance(step, ByteTable) and step.is_own


def takes_bytes(step: Transform) -> bool:
    """Whether a step takes uint8 alone, or floats that the steps before it made of them."""
    return is_table(step) or getattr(step, "takes_bytes", False)


@transfers
def apply_tables(steps: Sequence[tuple[ByteTable, Params]], image: ArrayLike) -> UInt8[Array, "... channels"]:
    """Several tables, the first acting first, as one."""
    check_not_forked()
    check_not_masked("image", image)
    image = jnp.asarray(image)
    for step, _ in steps:
        _check_bytes(step, image)
    if image.size == 0:
        return image
    formulas = [(step, params) for step, params in steps if isinstance(step, ByteFormula)]
    if len(formulas) == len(steps):
        return reduce(lambda bytes, each: each[0].of(bytes, each[1]), formulas, image)
    place = _place_of_a_second_look([step for step, _ in steps])
    if place:
        return apply_tables(steps[place:], apply_tables(steps[:place], image))

    def values() -> UInt8[Array, "rows 256"]:
        identity = jnp.asarray(BYTES)[None]
        first = Table(identity, _counts([step for step, _ in steps], image))
        table = reduce(lambda before, each: each[0].after(before, each[1]), steps, first)
        return table.values.astype(np.uint8)

    # Without a program around it a barrier would be compiled anew.
    found = computed_once(fusion_barrier(values) if isinstance(image, jax.core.Tracer) else values())
    row = np.arange(image.shape[-1], dtype=np.int32) % np.int32(len(found))
    row = row.reshape((1,) * (image.ndim - 1) + row.shape)
    return found.at[row, image.astype(np.int32)].get(mode="promise_in_bounds")


def _place_of_a_second_look(steps: Sequence[ByteTable]) -> int:
    """Where the extremes of the picture that is given do not tell those that reach a step, else 0.

    For 224 x 224 pixels on CPU a histogram takes 1 ms, one addition after the other, a lookup and the extremes of its
    result 0.1 ms. Where a histogram is needed anyway it serves every step.
    """
    if _needs_histogram(steps):
        return 0
    is_monotone = True
    for place, step in enumerate(steps):
        if step.needs_counts and not is_monotone:
            return place
        is_monotone = is_monotone and step.is_monotone
    return 0


def _needs_histogram(steps: Sequence[ByteTable]) -> bool:
    return any(step.needs_counts and not step.extremes_will_do for step in steps)


def _counts(steps: Sequence[ByteTable], image: jax.Array) -> Int32[Array, "channels 256"] | None:
    """The histogram of each channel; of its lowest and its highest byte alone where they will do; None for no need."""
    if not any(step.needs_counts for step in steps):
        return None
    channels = image.shape[-1]
    if not _needs_histogram(steps):
        # As a reduction of long rows, which is ten times as fast as one over all pixels.
        rows = image.reshape((image.shape[0], -1) if image.ndim > 1 else (1, -1))
        low, high = (bound(bound(rows, axis=0).reshape(-1, channels), axis=0)[:, None] for bound in (jnp.min, jnp.max))
        every = np.arange(NUM_BYTES, dtype=np.uint8)[None]
        return ((every == low) | (every == high)).astype(np.int32)
    places = image.reshape(-1, channels).astype(np.int32) + NUM_BYTES * np.arange(channels, dtype=np.int32)[None]
    counts = jnp.zeros(channels * NUM_BYTES, np.int32)
    return counts.at[places].add(np.int32(1), mode="promise_in_bounds").reshape(channels, NUM_BYTES)


def _check_bytes(step: ByteTable, image: jax.Array) -> None:
    name = step.name_in_errors
    if image.dtype != np.uint8:
        raise TypeError(
            f"{name} got an image of {image.dtype}; expected uint8, as it says what becomes of each of 256 bytes. Put "
            'Cast("uint8") before it, of values from 0 to 255, or Rescale(255) and that, of values from 0 to 1. In a '
            "Chain that starts from bytes it works by itself, before Rescale and Normalize."
        )
    if step.needs_counts:
        check_image_shape("image", image.shape)  # of a batch it would count all images together
    if image.ndim == 0:
        raise ValueError(f"{name} got an image of shape (); expected at least one axis, channels last.")
