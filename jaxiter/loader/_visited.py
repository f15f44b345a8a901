"""The rows that a Loader visits, where it does not visit all of the data once."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import ArrayLike as RowNumbers

from .._array_checks import check_parameter
from .._checks import check_rows
from .._keys import OFFSET, Counter, Key, places_before, role_key, role_word, words
from ._sharding import is_traced, unsharded
from ._shares import Shares, shares_of
from ._weights import check_weights

_SHORTEST = 1024


class VisitedRows(NamedTuple):
    """Rows of the data, and what tells apart several looks at one of them.

    Concrete ones are padded to 1,024, 4,096, 16,384 ..., so that a program serves many lengths; what lies beyond is not
    read.
    """

    rows: np.ndarray | jax.Array | None  # int32; None: all of the data, in their order
    showings: np.ndarray | jax.Array | None  # uint32: how often the row stands before its place; None: no row twice
    shares: Shares | None  # how many places each of these has, and then no showings; None: each one

    def at(self, places: ArrayLike, key: Key, epoch: Counter) -> tuple[jax.Array, jax.Array | None]:
        """The rows at some places of an epoch, and their showings, within a program."""

        def taken(values: np.ndarray | jax.Array, entries: ArrayLike) -> jax.Array:
            return unsharded(jnp.asarray(values)).at[entries].get(mode="promise_in_bounds")

        entries, showings = jnp.asarray(places), None
        if self.shares is not None:
            entries, showings = self.shares.at(places, words(role_key(key, epoch, OFFSET), 2)[0])
        rows = entries if self.rows is None else taken(self.rows, entries)
        return rows, showings if self.showings is None else taken(self.showings, entries)

    def on_host(self, places: np.ndarray, key: Key, epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """What `at` finds, in NumPy."""
        if self.shares is None:
            entries, showings = places, None if self.showings is None else np.asarray(self.showings)[places]
        else:
            entries, showings = self.shares.on_host(places, role_word(key, epoch, OFFSET))
        return entries if self.rows is None else np.asarray(self.rows)[entries], showings

    def times_shown(self, row: int, size: int, key: Key, epoch: Counter) -> int | None:
        """How often a row of the data is shown in an epoch of `size` places; None where that is not known yet."""
        if any(map(is_traced, (*jax.tree.leaves(self), key, epoch))):
            return None
        entries = np.array([row]) if self.rows is None else np.flatnonzero(np.asarray(self.rows)[:size] == row)
        if self.shares is None:
            return len(entries)
        return int(self.shares.counts(entries, role_word(key, int(epoch), OFFSET)).sum())


def what_is_visited(
    rows: RowNumbers | None, weights: RowNumbers | None, num_examples: int
) -> tuple[VisitedRows | None, int | None, np.ndarray | None]:
    """What `rows` and `weights` ask for, how many rows that are where they are given, and the checked weights."""
    visited, num_rows = (None, None) if rows is None else visited_rows(rows, num_examples)
    if weights is None:
        return visited, num_rows, None
    checked = check_weights(weights, num_examples, num_rows)
    return weighted(visited, checked), num_rows, checked


def visited_rows(rows: RowNumbers, num_examples: int) -> tuple[VisitedRows, int]:
    """The checked rows, and how many they are; traced ones are taken as they are."""
    if isinstance(rows, jax.core.Tracer):
        rows = unsharded(rows).astype(np.int32)
        return VisitedRows(rows, _traced_showings(rows), None), rows.shape[0]
    if isinstance(rows, jax.Array):
        check_parameter("rows", rows)
    values = check_rows(rows, num_examples, owner="the data")
    showings = places_before(values)
    length = _SHORTEST
    while length < len(values):
        length *= 4
    missing = length - len(values)
    visited = VisitedRows(
        np.pad(values.astype(np.int32), (0, missing)), np.pad(showings, (0, missing)) if showings.any() else None, None
    )
    return visited, len(values)


def weighted(visited: VisitedRows | None, weights: np.ndarray) -> VisitedRows:
    """The visited rows, or all of them, each with as many places as its checked weight says."""
    if visited is None or visited.rows is None:
        return VisitedRows(None, None, shares_of(weights, None, len(weights)))
    rows = None if visited.showings is None else visited.rows[: len(weights)]
    return VisitedRows(visited.rows, None, shares_of(weights, rows, visited.rows.shape[0]))


def _traced_showings(rows: jax.Array) -> jax.Array:
    """`places_before` of rows that are not known yet."""
    order = jnp.argsort(rows, stable=True)
    ranked, places = rows[order], jnp.arange(rows.shape[0], dtype=np.int32)
    is_first = jnp.concatenate([jnp.ones(1, bool), ranked[1:] != ranked[:-1]])
    starts = jax.lax.cummax(jnp.where(is_first, places, 0))
    return jnp.zeros(rows.shape, np.uint32).at[order].set((places - starts).astype(np.uint32))
