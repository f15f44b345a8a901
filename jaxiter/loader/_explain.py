"""What happened to one example, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from .._keys import Counter, Key, as_key, check_counter
from .._ragged import Ragged
from .._transfers import transfers
from ._argument import check_loader
from ._augment_tree import one_or_tree, params_as_given
from ._data import PyTree
from ._examples import ExampleKeys, steps_of, trace_each
from ._loader import Loader, spec_of
from ._program import Chains
from ._read import check_masks, read_examples
from ._sharding import following, on_mesh
from ._spec import BatchSpec


class Explanation(NamedTuple):
    """What `explain` returns: an example before and after, what was drawn for it, and its map.

    Attributes:
        params: What was drawn, so that `augment.apply(params, before)` is `after` to the last bits, though not bit for
            bit: it is another program, and knows less of the params. For a `Chain` a tuple with an entry for each step.
        matrix: The affine map, 3x3, output to source in (row, col, 1); None where the geometry of a step is not known,
            a `Map` or a class of your own without `matrix`.
        before: The example as it is stored, in the structure of the data.
        after: The example as it comes in a batch.

    Where `augment` is one transform, params and matrix are those of the one picture; where it is a tree, they have the
    structure of the data, with None at leaves that have no transform.
    """

    params: PyTree
    matrix: PyTree
    before: PyTree
    after: PyTree


def explain(loader: Loader, key: Key, epoch: Counter, row: Counter, *, showing: Counter = 0) -> Explanation:
    """What happens to one row of the data in an epoch, whichever batch it comes in: draws, map, before and after.

    `Mask`, `Boxes` and `Points` in `augment` move what belongs to an image by themselves.

    Args:
        loader: Its augmentation and data; batch size and order do not matter.
        key, epoch: As for `Loader.batch`.
        row: A row of the data (also where the loader has `rows`), not traced.
        showing: Where `rows` or `weights` of the loader show it several times in the epoch, the number of its places
            before the one asked for, in the order without shuffle: 0 is the first, and the only one of most rows.

    Returns:
        `(params, matrix, before, after)`: what was drawn, the map it makes, and the example as stored and in a batch.

    Raises:
        ValueError: If row is no row of the data, or not shown that often. TypeError: If it is traced, as under vmap.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Loader, explain
        >>> loader = Loader(np.zeros((4, 8, 8, 1)), batch_size=2, augment=Affine(shift=((0.25, 0.25), 0)))
        >>> explain(loader, jax.random.key(0), epoch=0, row=3).matrix.tolist()
        [[1.0, 0.0, -2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    check_loader(loader, "explain(loader, key, epoch, row)")
    if isinstance(row, jax.core.Tracer):
        raise TypeError(
            "row is traced; expected an integer. Call explain outside of jit and vmap, once for each row; for many "
            "rows apply the transforms yourself under jax.vmap."
        )
    key, epoch, row = as_key(key), check_counter("epoch", epoch), int(check_counter("row", row))
    showing = check_counter("showing", showing)
    spec = spec_of(loader)
    if showing:
        _check_showing(spec, key, epoch, row, int(showing))
    num_examples = spec.leaves[0].shape[0]
    if row >= num_examples:
        raise ValueError(f"row is {row}; expected a row of the data, in [0, {num_examples}).")
    spec.check_arrays()
    key = following(key, spec.devices, spec.program.mesh)
    place = np.array([row], np.uint32), np.array([showing], np.uint32)
    with on_mesh(spec.program.mesh):
        rows = np.array([row])
        read = [read_examples(name, leaf, rows) for name, leaf in zip(spec.names, spec.leaves, strict=True)]
        check_masks(spec, read, rows)
        explained = _explain(spec.chains, key, epoch, *place, read)
        before = list(map(_first_of, read))
    params, matrices, after = zip(*explained, strict=True)
    structure = spec.program.data
    return Explanation(
        params=params_as_given(loader._form, structure, params),
        matrix=one_or_tree(loader._form, structure, matrices),
        before=jax.tree.unflatten(structure, before),
        after=jax.tree.unflatten(structure, after),
    )


def _check_showing(spec: BatchSpec, key: Key, epoch: Counter, row: int, showing: int) -> None:
    visited = spec.visited
    count = 1 if visited is None else visited.times_shown(row, spec.size, key, epoch)
    if count is not None and showing >= count:
        times = "every row is visited once" if visited is None else f"rows holds row {row} {count} times"
        if visited is not None and visited.shares is not None:
            times = f"in epoch {epoch} row {row} is shown {count} times, as its weight says"
        raise ValueError(
            f"showing is {showing}; expected less than {max(count, 1)}: {times}, and the k-th time is showing k, "
            "counted from 0."
        )


@transfers
@jax.jit
def _explain(
    chains: Chains, key: Key, epoch: Counter, row: jax.Array, showing: jax.Array, read: Sequence[jax.Array | Ragged]
) -> list[tuple[PyTree, jax.Array | None, jax.Array]]:
    keys = ExampleKeys(key, epoch, row, showing)
    each = zip(steps_of(chains, read), read, strict=True)
    return [(None, None, rows[0]) if steps is None else trace_each(steps, keys, rows) for steps, rows in each]


@transfers
def _first_of(rows: jax.Array | Ragged) -> jax.Array:
    return rows[0]
