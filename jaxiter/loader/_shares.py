"""How often each example is shown in an epoch, by its share of the places: systematic sampling.

The shares of the examples lie one after the other on a line as long as the epoch has places. Place p shows the example
at p + offset, with one offset in [0, 1) for the whole epoch; so each is shown as often as its share says, rounded down
or up. Places are found where they are asked for, by binary search.

Madow, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20, 1949.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._fusion_barrier import computed_once
from ._sharding import is_traced, unsharded
from ._weights import edges_of


class Shares(NamedTuple):
    """Where the share of each entry of the visited rows begins and ends, and which entry of its row came before."""

    # uint32[entries + 1, 2]: fraction, in 2**-32, and whole places; the words of one 64-bit integer. Those beyond the
    # last entry are all the end of the epoch.
    edges: np.ndarray | jax.Array
    previous: np.ndarray | jax.Array | None  # int32: the entry before of the same row, or -1; None: no row twice

    def at(self, places: ArrayLike, offset: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The entries at some places, and the showings of their rows, within a program; `offset` in 2**-32."""
        edges = unsharded(jnp.asarray(self.edges))
        places = jnp.asarray(places).astype(np.uint32)

        def begin(entries: jax.Array) -> jax.Array:
            """The first place of an entry, or of what follows it if it has none."""
            fraction, whole = jnp.moveaxis(edges.at[entries].get(mode="clip"), -1, 0)
            return whole + (fraction > offset).astype(np.uint32)

        def halved(entries: jax.Array, step: jax.Array) -> tuple[jax.Array, None]:
            return jnp.where(begin(entries + step) <= places, entries + step, entries), None

        steps = jnp.asarray(2 ** np.arange((edges.shape[0] - 1).bit_length(), dtype=np.int32)[::-1])
        first = jnp.zeros(places.shape, np.int32)
        # As in `shuffle_positions`: on CPU a loop, elsewhere one kernel.
        entries = jax.lax.platform_dependent(
            first,
            cpu=lambda first: jax.lax.scan(halved, first, steps)[0],
            default=lambda first: jax.lax.scan(halved, first, steps, unroll=True)[0],
        )
        entries = computed_once(entries)
        showings = places - begin(entries)
        if self.previous is None:
            return entries, showings
        previous = unsharded(jnp.asarray(self.previous))

        def counted(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            before, showings = state
            entries = jnp.maximum(before, 0)
            shown = jnp.where(before >= 0, begin(entries + 1) - begin(entries), 0)
            return jnp.where(before >= 0, previous[entries], -1), showings + shown

        start = previous[entries], showings
        return entries, jax.lax.while_loop(lambda state: (state[0] >= 0).any(), counted, start)[1]

    def on_host(self, places: np.ndarray, offset: np.uint32) -> tuple[np.ndarray, np.ndarray]:
        """What `at` finds, in NumPy."""
        words = np.ascontiguousarray(np.asarray(self.edges), "<u4")
        wanted = (places.astype(np.uint64) << np.uint64(32)) + np.uint64(offset)
        entries = np.searchsorted(words.view("<u8")[:, 0], wanted, side="right") - 1
        showings = places - self._begin(entries, offset)
        if self.previous is not None:
            previous = np.asarray(self.previous)
            before = previous[entries]
            while (before >= 0).any():
                showings += np.where(before >= 0, self.counts(np.maximum(before, 0), offset), 0)
                before = np.where(before >= 0, previous[np.maximum(before, 0)], -1)
        return entries.astype(np.int32), showings.astype(np.uint32)

    def counts(self, entries: np.ndarray, offset: np.uint32) -> np.ndarray:
        """How many places some entries have in the epoch of that offset, int64; of NumPy."""
        return self._begin(entries + 1, offset) - self._begin(entries, offset)

    def _begin(self, entries: np.ndarray, offset: np.uint32) -> np.ndarray:
        edges = np.asarray(self.edges)[entries]
        return edges[:, 1].astype(np.int64) + (edges[:, 0] > offset)


def shares_of(weights: np.ndarray, rows: np.ndarray | jax.Array | None, length: int) -> Shares:
    """The shares of checked weights.

    Args:
        rows: The rows that they belong to, one for each, if a row may be there twice; may be traced.
        length: Of the visited rows with what they are padded by.
    """
    padding = length - len(weights)
    edges = np.pad(edges_of(weights), (0, padding), mode="edge").astype("<u8").view("<u4").reshape(-1, 2)
    edges = edges.astype(np.uint32, copy=False)
    if rows is None:
        return Shares(edges, None)
    if is_traced(rows):
        return Shares(edges, _traced_previous(jnp.asarray(rows)))
    order = np.argsort(rows, kind="stable")
    previous = np.full(length, -1, np.int32)
    previous[order[1:]] = np.where(rows[order[1:]] == rows[order[:-1]], order[:-1], -1)
    return Shares(edges, previous)


def _traced_previous(rows: jax.Array) -> jax.Array:
    order = jnp.argsort(rows, stable=True).astype(np.int32)
    before = jnp.where(rows[order[1:]] == rows[order[:-1]], order[:-1], -1)
    return jnp.full(rows.shape, -1, np.int32).at[order[1:]].set(before)
