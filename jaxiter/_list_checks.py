"""Lists and tuples that are no containers of columns: of numbers, of text, or of examples."""

from __future__ import annotations

from collections.abc import Sequence
from operator import ne
from typing import TypeGuard

import jax
import numpy as np

_MOST_COLUMNS = 8  # a longer list of arrays of one shape is a list of examples
_NAMED = 3  # shapes that an error names

Shape = tuple[int, ...]


def list_error(name: str, value: object) -> Exception | None:
    """The error for a list or tuple that is no container of columns, else None; named tuples always are some."""
    if not _is_list(value) or not value:
        return None
    kind = f"{name} is a {type(value).__name__} of {len(value)}"
    if all(map(_is_nested_number, value)):
        inner = "numbers" if _is_number(value[0]) else "lists of numbers"
        return TypeError(f"{kind} {inner}; expected an array: np.asarray(...).")
    if all(isinstance(entry, (str, bytes)) for entry in value):
        return TypeError(
            f"{kind} strings; expected an array of numbers. For labels use np.unique(labels, return_inverse=True)[1]; "
            "files of pictures are read by image_files(files). Names of classes are no data: give (images, labels)."
        )
    is_long = len(value) > _MOST_COLUMNS
    return _examples_error(kind, value) if is_long or all(map(_holds_a_number, value)) else None


def _examples_error(kind: str, entries: Sequence[object]) -> ValueError | None:
    """The error for entries that look like one example each: of one structure, and of one shape or of ragged ones."""
    flat = [jax.tree.flatten(entry) for entry in entries]
    leaves, structure = flat[0]
    if not leaves or any(ne(other, structure) for _, other in flat):
        return None
    shapes = [tuple(shape for leaf in leaves if (shape := _shape(leaf)) is not None) for leaves, _ in flat]
    if any(len(shape) != len(leaves) for shape in shapes):
        return None
    are_arrays = leaves[0] is entries[0]
    what = "arrays" if are_arrays else f"examples of {len(leaves)} leaves each"
    use = "np.stack(list), or from_records(list)" if are_arrays else "from_records(list)"
    found = [str(shape[0]) if len(shape) == 1 else ", ".join(map(str, shape)) for shape in dict.fromkeys(shapes)]
    expected = "which looks like one entry for each example; expected one array for all of them"
    if len(found) == 1:
        return ValueError(
            f"{kind} {what} of shape {found[0]}, {expected}. Use {use}, which reads "
            "examples when they are shown. If they are columns, name them in a dict."
        )
    if all(_are_ragged(column) for column in zip(*shapes, strict=True) if len(set(column)) > 1):
        named = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        are_pictures = any(len(shape) == 3 for column in shapes for shape in column)
        different = " Of pictures of different sizes make from_records(list, ragged=...)." if are_pictures else ""
        return ValueError(
            f"{kind} {what} of different shapes ({named}), {expected}. Bring them to one shape, then "
            f"{use.replace(',', '')}; columns need one length.{different}"
        )
    return None


def _holds_a_number(entry: object) -> bool:
    """Whether it is a container with a number or a text in it, as one example has and no column is."""
    return type(entry) in (list, tuple, dict) and () in map(_shape, jax.tree.leaves(entry))


def _are_ragged(shapes: tuple[Shape, ...]) -> bool:
    """Whether shapes that differ are those of examples: lengths differ, or they are pictures of one height."""
    ranks, first = {len(shape) for shape in shapes}, shapes[0]
    is_picture = len(first) == 3 and first[-1] in (1, 3, 4)
    return len(ranks) == 1 and len(first) > 0 and (is_picture or len({shape[0] for shape in shapes}) > 1)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return type(value) in (list, tuple)


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float, complex, np.number, np.bool_))


def _is_nested_number(value: object) -> bool:
    return _is_number(value) or (_is_list(value) and len(value) > 0 and all(map(_is_nested_number, value)))


def _shape(leaf: object) -> Shape | None:
    shape = () if _is_number(leaf) or isinstance(leaf, (str, bytes)) else getattr(leaf, "shape", None)
    return shape if shape is None else tuple(shape)
