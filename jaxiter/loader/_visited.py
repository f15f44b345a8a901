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
from .._keys import places_before
from ._sharding import unsharded

_SHORTEST = 1024


class VisitedRows(NamedTuple):
    """Rows of the data, and what tells apart several looks at one of them.

    Concrete ones are padded to 1,024, 4,096, 16,384 ..., so that a program serves many lengths; what lies beyond is not
    read.
    """

    rows: np.ndarray | jax.Array  # int32
    showings: np.ndarray | jax.Array | None  # uint32: how often the row stands before its place; None: no row twice

    def at(self, places: ArrayLike) -> tuple[jax.Array, jax.Array | None]:
        """The rows at some places, and their showings, within a program."""

        def taken(values: np.ndarray | jax.Array) -> jax.Array:
            return unsharded(jnp.asarray(values)).at[places].get(mode="promise_in_bounds")

        return taken(self.rows), None if self.showings is None else taken(self.showings)


def visited_rows(rows: RowNumbers, num_examples: int) -> tuple[VisitedRows, int]:
    """The checked rows, and how many they are; traced ones are taken as they are."""
    if isinstance(rows, jax.core.Tracer):
        rows = unsharded(rows).astype(np.int32)
        return VisitedRows(rows, _traced_showings(rows)), rows.shape[0]
    if isinstance(rows, jax.Array):
        check_parameter("rows", rows)
    values = check_rows(rows, num_examples, owner="the data")
    showings = places_before(values)
    length = _SHORTEST
    while length < len(values):
        length *= 4
    missing = length - len(values)
    visited = VisitedRows(
        np.pad(values.astype(np.int32), (0, missing)), np.pad(showings, (0, missing)) if showings.any() else None
    )
    return visited, len(values)


def _traced_showings(rows: jax.Array) -> jax.Array:
    """`places_before` of rows that are not known yet."""
    order = jnp.argsort(rows, stable=True)
    ranked, places = rows[order], jnp.arange(rows.shape[0], dtype=np.int32)
    is_first = jnp.concatenate([jnp.ones(1, bool), ranked[1:] != ranked[:-1]])
    starts = jax.lax.cummax(jnp.where(is_first, places, 0))
    return jnp.zeros(rows.shape, np.uint32).at[order].set((places - starts).astype(np.uint32))
