"""Data that come example by example, as the columns of a table."""

from __future__ import annotations

from collections.abc import Hashable, KeysView, Sequence, ValuesView

import jax
import numpy as np
from jax.tree_util import KeyPath

from .._array_checks import check_array, is_sparse, is_table, without_table
from .._describe import a_type, described, shown
from .._key_checks import named_keys
from .._list_checks import list_error
from .._warn import warn
from ..augment.internal import is_transform
from ._columns import Column, RaggedColumn, Records
from ._data import PyTree, leaf_name, name_of
from ._example_values import as_array

_WIDE = 16  # pixels: more channels has no picture


def from_records(source: Records, *, ragged: Hashable | Sequence[Hashable] | None = None) -> PyTree:
    """The columns of a source that gives one example at a time, as data for a `Loader`.

    For what indexes by one integer and gives a pytree of arrays, numbers and pictures of Pillow's, with `len()`: a
    Hugging Face `Dataset`, a Grain `RandomAccessDataSource`, a PyTorch map-style dataset of NumPy arrays, a list of
    dictionaries. Every example must have the structure, shapes and dtypes of the first, which is read at once; the
    others are read when they are shown, each once for all of its columns, and by one call of
    `source.__getitems__(rows)` where there is such a method, as PyTorch and Hugging Face have. A `Loader` does this by
    itself to what is no array and has a length.

    A picture of Pillow's is an array (height, width, channels), of one channel where it is grey.

    Args:
        source: `len(source)` examples, `source[i]` for a Python int i.
        ragged: The leaf whose pictures have sizes of their own, or a list of such leaves: a key, or an index in a
            tuple; of nested examples every leaf of this name. True where an example is one picture and nothing else.
            A transform that fixes the size has to take such a leaf, as it takes a `Ragged`. (height, width) is a
            picture of one channel here. Channels and dtype are those of the first example.

    Returns:
        The structure of an example, with an array-like (`shape`, `dtype`, indexing by an integer array) at each leaf.
        The shape of a ragged one is `(n, None, None, channels)`, and indexing gives a list.

    Raises:
        TypeError: If source has no length or is not indexed by integers, or an example holds something else.
        ValueError: If source is empty, or has no leaf that is named by ragged, or that is no picture.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Loader, from_records
        >>> source = [{"image": np.full((2, 2, 1), i, np.uint8), "label": i} for i in range(6)]
        >>> batch = Loader(from_records(source), batch_size=3, shuffle=False).batch(jax.random.key(0), 0, 1)
        >>> batch["image"].shape, batch["label"].tolist()
        ((3, 2, 2, 1), [3, 4, 5])
    """
    first = _first_example(source)
    with named_keys("source[0]", first):
        paths, structure = jax.tree.flatten_with_path(first)
    are_ragged = _which_are_ragged(ragged, [path for path, _ in paths])
    columns = []
    for leaf_index, ((path, leaf), is_ragged) in enumerate(zip(paths, are_ragged, strict=True)):
        name = jax.tree_util.keystr(path)
        value = as_array("source[0]", name, leaf)
        if value.dtype == object:
            raise TypeError(f"source[0]{name} is a {type(leaf).__name__}; expected an array or a number.")
        if is_ragged:
            _check_picture(f"source[0]{name}", value)
        kind = RaggedColumn if is_ragged else Column
        columns.append(kind(source, structure, leaf_index, name, value))
    return jax.tree.unflatten(structure, columns)


def _first_example(source: Records) -> PyTree:
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
        return source[0]
    except (KeyError, TypeError) as error:
        raise TypeError(
            f"source is a {type(source).__name__}, and source[0] raises {error!r}; expected its first example."
        ) from error


def _which_are_ragged(ragged: object, paths: list[KeyPath]) -> list[bool]:
    """For each leaf of an example whether it is named."""
    if ragged is None or ragged is False:
        return [False] * len(paths)
    names = [None if not path else name_of(path[-1]) for path in paths]
    known = ", ".join(dict.fromkeys(repr(name) for name in names if name is not None))
    expected = f"the names of leaves of an example, of {known}" if known else "True, as an example is one leaf"
    if ragged is True:
        if paths != [()]:
            raise ValueError(f"ragged is True; expected {expected}. True is for examples that are one picture each.")
        return [True]
    wanted = list(ragged) if isinstance(ragged, (list, tuple, set, frozenset)) else [ragged]
    for name in wanted:
        if isinstance(name, bool) or name not in names:
            raise ValueError(f"ragged names {shown(name)}; expected {expected}.")
    return [name is not None and name in wanted for name in names]


def _check_picture(name: str, value: np.ndarray) -> None:
    """Raises where the first example holds no picture of a kind that JAX holds as it is."""
    if value.ndim not in (2, 3) or 0 in value.shape:
        raise ValueError(
            f"{name} is {value.dtype}{list(value.shape)}; expected a picture, (height, width, channels), as ragged "
            "says, or (height, width) of one channel."
        )
    check_array(name, value)
    if value.dtype.itemsize > 4:
        raise TypeError(f"{name} has dtype {value.dtype}; expected uint8, or another one of up to 32 bits.")
    if value.ndim == 3 and value.shape[0] in (1, 3, 4) and min(value.shape[1:]) >= _WIDE:
        warn(
            f"{name} has shape {value.shape}, which looks like (channels, height, width); expected (height, width, "
            "channels). If the channels come first, transpose each picture: picture.transpose(1, 2, 0)."
        )


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
    is_array = hasattr(leaf, "shape") and hasattr(leaf, "dtype")  # a data set of Hugging Face has a shape alone
    return is_sequence and not is_array and not hasattr(leaf, "keys") and not is_table(leaf)
