"""What a Loader accepts as data: a pytree of arrays with one leading axis, the user's own and never copied."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._aligned import aligned_empty, aligned_rows
from .._arguments import check_fits


def check_data(data: Any) -> None:
    """Refuses, by path, leaves that are no arrays, that differ in length, or that JAX cannot hold."""
    paths = jax.tree.leaves_with_path(data)
    if not paths:
        raise ValueError(f"data is {data!r}, which holds no arrays; expected for example (images, labels).")
    for path, leaf in paths:
        _check_leaf(leaf_name(path), leaf)
    lengths = {leaf_name(path): leaf.shape[0] for path, leaf in paths}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise ValueError(f"data has leaves of different length ({found}); expected one entry for each example.")
    if paths[0][1].shape[0] == 0:
        raise ValueError("data holds no examples; expected arrays with a leading axis of at least 1.")


def leaf_name(path: Any) -> str:
    return "data" + jax.tree_util.keystr(path)


def _check_leaf(name: str, leaf: Any) -> None:
    shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
    if shape is None or dtype is None:
        raise TypeError(
            f"{name} is a {type(leaf).__name__}; expected an array (NumPy, JAX, memmap, or anything with shape, dtype "
            "and indexing by an integer array). Make one with np.asarray(...)."
        )
    if hasattr(leaf, "iloc"):
        raise TypeError(
            f"{name} is a pandas {type(leaf).__name__}, which looks rows up by label and not by place; expected an "
            "array: pass .to_numpy()."
        )
    if len(shape) == 0:
        raise ValueError(f"{name} is a scalar; expected an array with one entry for each example.")
    if not (jnp.issubdtype(dtype, np.number) or dtype == np.bool_):
        remedy = "For text labels use np.unique(labels, return_inverse=True)[1]; jaxiter.keras passes them through."
        raise TypeError(f"{name} has dtype {dtype}, which JAX cannot hold; expected numbers or bool. {remedy}")
    # A memmap is checked as it is read: looking through all of it may take longer than training on it.
    if isinstance(leaf, np.ndarray) and not isinstance(leaf, np.memmap):
        check_fits(name, leaf)


def is_resident(leaf: Any) -> bool:
    """Whether rows are gathered on the device, inside the compiled program; tracers are."""
    return isinstance(leaf, jax.Array)


def read_rows(name: str, leaf: Any, index: np.ndarray) -> np.ndarray:
    """Rows of an array on the host, in the order of `index`; of a file each is read once, in rising order."""
    if type(leaf) is np.ndarray:
        rows = aligned_rows(leaf, index)
        check_fits(name, rows)
        return rows
    unique, inverse = np.unique(index, return_inverse=True)
    rows = np.asarray(leaf[unique])
    if rows.shape != (len(unique), *leaf.shape[1:]):
        raise ValueError(
            f"{name} returned shape {rows.shape} for {len(unique)} rows; expected {(len(unique), *leaf.shape[1:])}. "
            "An array-like must take a sorted integer array as index."
        )
    check_fits(name, rows)
    return rows[inverse]


def upload(leaf: Any, sharding: Any) -> Any:
    if is_resident(leaf):
        return leaf if sharding is None else jax.device_put(leaf, sharding)
    values = np.asarray(leaf[:])
    check_fits("data", values)
    # A copy, never an alias: the caller may go on writing to the array. On CPU `device_put` keeps a NumPy array that is
    # aligned as its own memory (in spite of may_alias=False), and `jnp.array` holds a third one for a while; so
    # the copy is made here, aligned, and handed over.
    copy = aligned_empty(values.shape, jax.dtypes.canonicalize_dtype(values.dtype))
    np.copyto(copy, values, casting="same_kind")
    return jax.device_put(copy, sharding)


def take_rows(leaf: Any, index: Any) -> Any:
    """Rows of a resident array; `index` is in range by construction."""
    flat = leaf.reshape(leaf.shape[0], -1) if leaf.ndim > 2 else leaf  # whole rows: one fast gather on every backend
    return flat.at[index].get(mode="promise_in_bounds").reshape(index.shape + leaf.shape[1:])
