"""Columns of a source that gives one example at a time, and reading their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.tree_util import PyTreeDef
from numpy.typing import ArrayLike

from .._describe import described
from .._key_checks import named_keys
from .._ragged import MOST_SIDE, Ragged
from .._ragged_rows import Joining
from ._data import PyTree
from ._example_values import as_array, is_pillow, shown_value

_BLOCK = 256  # examples that are read before they are put together


class Records(Protocol):
    """A source that gives one example at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> PyTree: ...


class Column:
    """One leaf of every example of a source.

    Args:
        name: Of the leaf in an example, "['image']"; "" where the example is one leaf.
        first: Its value in the first example, as which the others are.
    """

    def __init__(self, source: Records, structure: PyTreeDef, leaf_index: int, name: str, first: np.ndarray):
        self.source, self.structure, self.leaf_index, self.name = source, structure, leaf_index, name
        self.shape: tuple[Any, ...] = (len(source), *first.shape)
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> Any:
        rows = np.arange(self.shape[0])[index]
        return next(read_columns([self], rows.reshape(-1))).reshape(rows.shape + self.shape[1:])

    def checked(self, row: int, leaf: ArrayLike) -> np.ndarray:
        """The leaf of one example as an array.

        Raises:
            ValueError: For another shape or dtype than those of the first example.
        """
        found = as_array(f"example {row} of the source", self.name, leaf)
        if found.shape == self.shape[1:] and found.dtype == self.dtype:
            return found
        differs_in_size = found.ndim == 3 and len(self.shape) == 4 and found.shape[2] == self.shape[3]
        remedy = (
            " Of pictures of different sizes name the leaf: from_records(source, ragged=...)."
            if differs_in_size and found.dtype == self.dtype
            else ""
        )
        raise self._error(row, leaf, found, f"{self.dtype}{list(self.shape[1:])}", remedy)

    def _error(self, row: int, leaf: ArrayLike, found: np.ndarray, expected: str, remedy: str) -> ValueError:
        place = f" at {self.name}" if self.name else ""
        return ValueError(
            f"example {row} of the source holds {shown_value(leaf, found)}; expected {expected}{place}, as in the "
            f"first example.{remedy}"
        )

    def as_read(self, values: dict[int, np.ndarray], rows: np.ndarray) -> Any:
        """What a batch takes of the values that were read, by row: an array of those at `rows`."""
        unique, inverse = np.unique(rows, return_inverse=True)
        return np.stack([values[row] for row in unique.tolist()])[inverse]

    def new_whole(self) -> _Filling | Joining:
        """What takes all values, one after the other."""
        return _Filling(self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"<column of {type(self.source).__name__}: {self.dtype}{list(self.shape)}>"


class RaggedColumn(Column):
    """A leaf whose pictures have sizes of their own: (height, width, channels), or (height, width) of one channel."""

    def __init__(self, source: Records, structure: PyTreeDef, leaf_index: int, name: str, first: np.ndarray):
        super().__init__(source, structure, leaf_index, name, first)
        self.shape = (len(source), None, None, first.shape[2] if first.ndim == 3 else 1)

    def __getitem__(self, index: Any, /) -> Any:
        """One picture, or a list of them."""
        rows = np.arange(self.shape[0])[index]
        found = next(read_columns([self], rows.reshape(-1)))[rows.reshape(-1)]
        return found if rows.ndim else found[0]

    def checked(self, row: int, leaf: ArrayLike) -> np.ndarray:
        found = as_array(f"example {row} of the source", self.name, leaf)
        picture = found[..., None] if found.ndim == 2 else found
        channels = self.shape[3]
        if picture.ndim != 3 or picture.shape[2] != channels or picture.dtype != self.dtype:
            remedy = " Bring all pictures to one mode: picture.convert('RGB')." if is_pillow(leaf) else ""
            raise self._error(row, leaf, found, f"{self.dtype}[height, width, {channels}]", remedy)
        if not 1 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= MOST_SIDE:
            raise ValueError(
                f"example {row} of the source holds a picture of {picture.shape[0]} by {picture.shape[1]}; expected "
                f"sides of 1 to {MOST_SIDE:,} pixels."
            )
        return picture

    def as_read(self, values: dict[int, np.ndarray], rows: np.ndarray) -> ReadPictures:
        return ReadPictures(self, values)

    def new_whole(self) -> _Filling | Joining:
        return Joining(self.shape[3], self.dtype)

    def read_all(self) -> Ragged:
        return next(whole_columns([self]))


class ReadPictures:
    """The pictures of a batch, read already, as the source from which the batch is laid out."""

    def __init__(self, column: RaggedColumn, pictures: dict[int, np.ndarray]):
        self.shape, self.dtype, self._pictures = column.shape, column.dtype, pictures

    def __getitem__(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self._pictures[row] for row in rows.tolist()]


class _Filling:
    """Values one after the other in an array of a known length."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self._array, self._count = np.empty(shape, dtype), 0

    def add(self, value: np.ndarray) -> None:
        self._array[self._count] = value
        self._count += 1

    def whole(self) -> np.ndarray:
        return self._array


def read_columns(columns: Sequence[Column], rows: np.ndarray) -> Iterator[Any]:
    """The rows of each column; an example is read once for all of them, in rising order."""
    unique = np.unique(rows).tolist()
    for column, values in zip(columns, _values(columns, unique), strict=True):
        yield column.as_read(dict(zip(unique, values, strict=True)), rows)


def whole_columns(columns: Sequence[Column]) -> Iterator[Any]:
    """All rows of each column, read in blocks; an example is read once for all of its columns."""
    kept = [column.new_whole() for column in columns]
    size = len(columns[0]) if columns else 0
    for start in range(0, size, _BLOCK):
        rows = list(range(start, min(start + _BLOCK, size)))
        for part, values in zip(kept, _values(columns, rows), strict=True):
            for value in values:
                part.add(value)
    return (part.whole() for part in kept)


def _values(columns: Sequence[Column], rows: list[int]) -> Iterator[list[np.ndarray]]:
    """The values of each column at `rows`, which rise."""
    examples: dict[int, list[list[ArrayLike]]] = {}
    for column in columns:
        if id(column.source) not in examples:
            examples[id(column.source)] = _examples(column, rows)
        found = zip(rows, examples[id(column.source)], strict=True)
        yield [column.checked(row, example[column.leaf_index]) for row, example in found]


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
