"""Data that come example by example, as the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Sequence, ValuesView
from typing import Protocol

import jax
import numpy as np
from jax.tree_util import KeyPath, PyTreeDef
from numpy.typing import ArrayLike

from .._array_checks import check_array, is_sparse, is_table, without_table
from .._checks import check_not_masked
from .._describe import a_type, described
from .._key_checks import named_keys
from .._list_checks import list_error
from ..augment.internal import is_transform
from ._data import PyTree, leaf_name

_BLOCK = 256  # examples that are read before they are put together


class Records(Protocol):
    """A source that gives one example at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> PyTree: ...


def from_records(source: Records) -> PyTree:
    """The columns of a source that gives one example at a time, as data for a `Loader`.

    For what indexes by one integer and gives a pytree of arrays and numbers, with `len()`: a Grain
    `RandomAccessDataSource`, a PyTorch map-style dataset of NumPy arrays, a list of dictionaries. Every example must
    have the structure, shapes and dtypes of the first, which is read at once; the others are read when they are shown,
    each once for all of its columns, and by one call of `source.__getitems__(rows)` where there is such a method, as
    PyTorch and Hugging Face have. A `Loader` does this by itself to what is no array and has a length.

    Args:
        source: `len(source)` examples, `source[i]` for a Python int i.

    Returns:
        The structure of an example, with an array-like (`shape`, `dtype`, indexing by an integer array) at each leaf.

    Raises:
        TypeError: If source has no length or is not indexed by integers, or an example holds something else.
        ValueError: If source is empty.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Loader, from_records
        >>> source = [{"image": np.full((2, 2, 1), i, np.uint8), "label": i} for i in range(6)]
        >>> batch = Loader(from_records(source), batch_size=3, shuffle=False).batch(jax.random.key(0), 0, 1)
        >>> batch["image"].shape, batch["label"].tolist()
        ((3, 2, 2, 1), [3, 4, 5])
    """
    is_text = isinstance(source, (str, bytes))
    if is_text or not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        parts = {"__len__": "len()", "__getitem__": "[i]"}
        missing = [what for name, what in parts.items() if not hasattr(source, name)]
        has_not = "" if is_text else f", which has no {' and no '.join(missing)}"
        remedy = " list(source) makes such a one." if hasattr(source, "__iter__") and not is_text else ""
        raise TypeError(
            f"source is {a_type(source)}{has_not}; expected len(source) examples, source[i] for an int i.{remedy}"
        )
    if len(source) == 0:
        raise ValueError("source is empty; expected at least one example.")
    try:
        first = source[0]
    except (KeyError, TypeError) as error:
        raise TypeError(
            f"source is a {type(source).__name__}, and source[0] raises {error!r}; expected its first example."
        ) from error
    with named_keys("source[0]", first):
        paths, structure = jax.tree.flatten_with_path(first)
    columns = []
    for leaf_index, (path, leaf) in enumerate(paths):
        check_not_masked(f"source[0]{jax.tree_util.keystr(path)}", leaf)
        value = np.asarray(leaf)
        if value.dtype == object:
            raise TypeError(
                f"source[0]{jax.tree_util.keystr(path)} is a {type(leaf).__name__}; expected an array or a number."
            )
        columns.append(Column(source, structure, leaf_index, (len(source), *value.shape), value.dtype))
    return jax.tree.unflatten(structure, columns)


def with_columns(data: PyTree, others: tuple[type, ...] = ()) -> PyTree:
    """`data` where sources of examples are replaced by their columns, and columns of tables by their NumPy arrays.

    Args:
        others: Pytrees that are no data though they may hold arrays.

    Raises:
        ValueError, TypeError: For lists of examples, of numbers or of text, sparse arrays and `others`, by path, which
            would otherwise be flattened.
    """

    def is_whole(node: object) -> bool:
        return isinstance(node, others) or is_sparse(node) or _is_iterator(node) or list_error("data", node) is not None

    found: dict[int, PyTree] = {}  # a source that stands at several places has the same columns there

    def columns(path: KeyPath, node: PyTree) -> PyTree:
        name = leaf_name(path)
        if isinstance(node, others):
            remedy = "transforms are given as augment=" if is_transform(node) else "of a Loader give its .data"
            raise TypeError(f"{name} is {described(node)}; expected arrays: {remedy}.")
        if is_sparse(node) or _is_iterator(node):
            check_array(name, node)
        if error := list_error(name, node):
            raise error
        if not _is_source(node):
            return without_table(name, node)
        if id(node) not in found:
            found[id(node)] = from_records(node)
        return found[id(node)]

    with named_keys("data", data):
        return jax.tree.map_with_path(columns, data, is_leaf=is_whole)


def _is_iterator(node: object) -> bool:
    """What JAX warns of in a tree."""
    return hasattr(node, "__next__") or isinstance(node, (KeysView, ValuesView))


def _is_source(leaf: object) -> bool:
    is_sequence = hasattr(leaf, "__len__") and hasattr(leaf, "__getitem__") and not isinstance(leaf, (str, bytes))
    return is_sequence and not hasattr(leaf, "shape") and not hasattr(leaf, "keys") and not is_table(leaf)


class Column:
    """One leaf of every example of a source."""

    def __init__(self, source: Records, structure: PyTreeDef, leaf_index: int, shape: tuple[int, ...], dtype: np.dtype):
        self.source, self.structure, self.leaf_index = source, structure, leaf_index
        self.shape, self.dtype = shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: np.ndarray | slice | int, /) -> np.ndarray:
        rows = np.arange(self.shape[0])[index]
        return next(read_columns([self], rows.reshape(-1))).reshape(rows.shape + self.shape[1:])

    def __repr__(self) -> str:
        return f"<column of {type(self.source).__name__}: {self.dtype}{list(self.shape)}>"


def read_columns(columns: Sequence[Column], rows: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of each column; an example is read once for all of them, in rising order."""
    unique, inverse = np.unique(rows, return_inverse=True)
    examples: dict[int, list[list[ArrayLike]]] = {}
    for column in columns:
        if id(column.source) not in examples:
            examples[id(column.source)] = _examples(column, unique.tolist())
        found = zip(unique.tolist(), examples[id(column.source)], strict=True)
        values = np.stack([_checked(column, row, example[column.leaf_index]) for row, example in found])
        yield values[inverse]


def whole_columns(columns: Sequence[Column]) -> Iterator[np.ndarray]:
    """All rows of each column, in blocks; an example is read once for all of its columns."""
    whole = [np.empty(column.shape, column.dtype) for column in columns]
    for start in range(0, columns[0].shape[0] if columns else 0, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, columns[0].shape[0]))
        for values, read in zip(whole, read_columns(columns, rows), strict=True):
            values[rows] = read
    return iter(whole)


def _examples(column: Column, rows: list[int]) -> list[list[ArrayLike]]:
    """The leaves of each example, in one call where the source takes several rows at once."""
    read_many = getattr(column.source, "__getitems__", None)
    if read_many is None:
        return [_leaves(column, row, column.source[row]) for row in rows]
    found = read_many(rows)
    if not hasattr(found, "__iter__") or hasattr(found, "keys") or isinstance(found, (str, bytes)):
        remedy = " Of a dict of columns make one dict for each row." if hasattr(found, "keys") else ""
        raise TypeError(
            f"__getitems__ of the source returned {described(found)}; expected a list of {len(rows)} examples, one for "
            f"each row that it was given, in their order.{remedy}"
        )
    records = list(found)
    if len(records) != len(rows):
        raise ValueError(
            f"__getitems__ of the source returned {len(records)} examples for {len(rows)} rows; expected one for each, "
            "in their order."
        )
    return [_leaves(column, row, record) for row, record in zip(rows, records, strict=True)]


def _leaves(column: Column, row: int, record: PyTree) -> list[ArrayLike]:
    if record is None:
        raise ValueError(f"example {row} of the source is None; expected {column.structure}, as the first.")
    with named_keys(f"example {row} of the source", record):
        leaves, structure = jax.tree.flatten(record)
    if structure != column.structure:
        raise ValueError(f"example {row} of the source is {structure}; expected {column.structure}, as the first.")
    return leaves


def _checked(column: Column, row: int, value: ArrayLike) -> np.ndarray:
    check_not_masked(f"a leaf of example {row} of the source", value)
    found = np.asarray(value)
    if found.shape != column.shape[1:] or found.dtype != column.dtype:
        raise ValueError(
            f"example {row} of the source holds {found.dtype}{list(found.shape)}; expected {column.dtype}"
            f"{list(column.shape[1:])}, as in the first example."
        )
    return found
