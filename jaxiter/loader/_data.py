"""What a Loader accepts: data, a pytree of arrays with one leading axis, and options."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import jax
import numpy as np
from jax.tree_util import KeyPath, PyTreeDef

from .._array_checks import check_array
from .._checks import check_flag, check_int
from .._describe import described, different_lengths, shown
from .._host_rows import Source as Source
from .._keys import Counter, check_counter
from .._ragged import Ragged, is_ragged, is_ragged_array
from ..sampler.internal import check_size

P = ParamSpec("P")
REMAINDERS = ("drop", "pad", "keep")


PyTree = Any
"""Containers of arrays, nested in any way: the data, a batch. Any, as no type follows a structure of the user's."""


def takes_data_alone(init: Callable[P, None]) -> Callable[P, None]:
    """Says, where Python would only count arguments, how several arrays are given."""

    @wraps(init)
    def checked(*args: P.args, **settings: P.kwargs) -> None:
        if len(args) > 2:  # self, data
            given = ", ".join(map(described, args[1:]))
            raise TypeError(
                f"Loader got {len(args) - 1} arguments by position ({given}); expected the data alone, several arrays "
                "in one tuple or dict, and the rest by name: Loader((images, labels), batch_size=32)."
            )
        init(*args, **settings)

    return checked


def check_data(data: PyTree) -> None:
    """Refuses, by path, leaves that are no arrays, that differ in length, or that JAX cannot hold."""
    paths = leaves_with_path(data)
    if not paths:
        raise ValueError(f"data is {data!r}, which holds no arrays; expected for example (images, labels).")
    for path, leaf in paths:
        if not is_ragged(leaf):
            check_array(leaf_name(path), leaf)
    lengths = {leaf_name(path): leaf.shape[0] for path, leaf in paths}
    if len(set(lengths.values())) > 1:
        found, remedy = different_lengths(lengths), ""
        if any(isinstance(part, list) for part in jax.tree.leaves(data, is_leaf=lambda node: isinstance(node, list))):
            remedy = (
                " A list is a container of leaves: of one array for each example make one array, np.stack(arrays), "
                "where they differ in rows, as boxes do, after filling all up with rows of -1."
            )
        raise ValueError(f"data has leaves of different length ({found}); expected one entry for each example.{remedy}")
    if paths[0][1].shape[0] == 0:
        raise ValueError("data holds no examples; expected arrays with a leading axis of at least 1.")


def leaf_name(path: KeyPath) -> str:
    return "data" + jax.tree_util.keystr(path)


def name_of(entry: object) -> object:
    """The key of a dictionary, the index in a tuple, or the name of a field."""
    for name in ("key", "idx", "name"):
        if hasattr(entry, name):
            return getattr(entry, name)
    return None


def check_options(batch_size: object, shuffle: object, remainder: object) -> None:
    check_int("batch_size", batch_size, 1, 2**31, expected="at least 1 example in a batch")
    if not isinstance(remainder, str) or remainder not in REMAINDERS:
        raise ValueError(f"remainder is {shown(remainder)}; expected one of {', '.join(map(repr, REMAINDERS))}.")
    check_flag("shuffle", shuffle, expected="True or False. The order is decided by the key")


def check_epoch_length(size: int, batch_size: int, remainder: str) -> None:
    """Raises for more places in an epoch than can be counted, or too few for a batch."""
    check_size(size)
    if remainder == "drop" and size < batch_size:
        raise ValueError(
            f"the data has {size} examples and batch_size is {batch_size}, so remainder='drop' would leave no "
            "batch at all. Use a smaller batch_size, or remainder='pad' or 'keep'."
        )


def check_step(step: Counter, num_steps: int, remainder: str) -> np.uint32 | jax.Array:
    if not isinstance(step, jax.core.Tracer):
        expected = f"a step in [0, {num_steps}), the batches of one epoch"
        return np.uint32(check_int("step", step, 0, num_steps, expected=expected))
    if remainder == "keep":
        raise ValueError(
            "remainder='keep' makes the last batch short, so a traced step has no static shape. Use "
            "remainder='pad' and loader.mask(step)."
        )
    return check_counter("step", step)


def leaves_with_path(data: PyTree) -> list[tuple[KeyPath, Any]]:
    """The leaves of the data; pictures of different sizes, which are a pytree, are one."""
    return jax.tree.leaves_with_path(data, is_leaf=is_ragged_array)


def leaves_of(data: PyTree) -> list[Any]:
    return jax.tree.leaves(data, is_leaf=is_ragged_array)


def structure_of(data: PyTree) -> PyTreeDef:
    return jax.tree.structure(data, is_leaf=is_ragged_array)


def array_of(leaf: Any) -> Any:
    """The array that says where a leaf lies: of pictures of different sizes that of their pixels."""
    return leaf.pixels if isinstance(leaf, Ragged) else leaf


def is_resident(leaf: object) -> bool:
    """Whether rows are gathered on the device, inside the compiled program; tracers are."""
    return isinstance(array_of(leaf), jax.Array)


def take_rows(leaf: Any, index: jax.Array) -> Any:
    """Rows of a resident leaf, of the dtype that JAX now makes of its own; `index` is in range by construction."""
    if isinstance(leaf, Ragged):
        return leaf.taken(index)
    flat = leaf.reshape(leaf.shape[0], -1) if leaf.ndim > 2 else leaf  # whole rows: one fast gather on every backend
    rows = flat.at[index].get(mode="promise_in_bounds").reshape(index.shape + leaf.shape[1:])
    return rows.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
