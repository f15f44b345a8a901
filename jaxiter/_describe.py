"""What a value is, in a few words for an error message; and lists that are taken for the wrong thing."""

from __future__ import annotations

from operator import ne

import jax
import numpy as np

_MOST_COLUMNS = 8  # a longer list of arrays of one shape is a list of examples
_SHORT = 200  # characters of a value that an error shows as it is
_NAMED = 3  # shapes or lengths that an error names


def described(value: object) -> str:
    """Its type, with shape or length; never its contents, unless it is one number or a short text."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        return repr(value)
    if shape is not None and dtype is not None:
        is_plain = type(value) is np.ndarray or isinstance(value, jax.Array)
        suffix = "" if is_plain else f", {_article(type(value).__name__)}"
        return f"an array {dtype}{list(shape)}{suffix}"
    if isinstance(value, (str, bytes)):
        return f"{value!r}" if len(value) < 40 else f"a {type(value).__name__} of length {len(value)}"
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isinstance(value, (list, tuple)) and value:
        inner = _article(type(value[0]).__name__) if isinstance(value[0], (list, tuple)) else described(value[0])
        return f"{_article(type(value).__name__)} of {len(value)}, the first of which is {inner}"
    return _article(type(value).__name__)


def shown(value: object) -> str:
    """Its own text where that is short and of no array, else what it is."""
    if any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(value)):
        return described(value)
    text = repr(value)
    return text if len(text) <= _SHORT else described(value)


def list_error(name: str, value: object) -> Exception | None:
    """The error for a list or tuple that is no container of columns: of numbers, of text, or of examples."""
    if type(value) not in (list, tuple) or not value:
        return None
    assert isinstance(value, (list, tuple))
    kind = f"{name} is a {type(value).__name__} of {len(value)}"
    if all(map(_is_nested_number, value)):
        inner = "numbers" if _is_number(value[0]) else "lists of numbers"
        return TypeError(f"{kind} {inner}; expected an array: np.asarray(...).")
    if all(isinstance(entry, (str, bytes)) for entry in value):
        return TypeError(
            f"{kind} strings; expected an array of numbers. For labels use np.unique(labels, return_inverse=True)[1]; "
            "files are read by a source with len() and [i], through from_records(source)."
        )
    if len(value) <= _MOST_COLUMNS or any(entry is None for entry in value):
        return None
    leaves, structure = jax.tree.flatten(value[0])
    others = [jax.tree.flatten(entry) for entry in value]
    if not leaves or any(ne(other, structure) for _, other in others):
        return None
    shapes = [tuple(map(_shape, entry)) for entry, _ in others]
    what = "arrays" if len(leaves) == 1 and leaves[0] is value[0] else f"examples of {len(leaves)} leaves each"
    if None in shapes[0]:
        return None
    if len(set(shapes)) == 1:
        first = shapes[0][0] if len(shapes[0]) == 1 else ", ".join(map(str, shapes[0]))
        return ValueError(
            f"{kind} {what} of shape {first}, which looks like one entry for each example; expected one array for all "
            "of them. Use np.stack(list), or from_records(list), which reads examples when they are shown. If they are "
            "columns, name them in a dict."
        )
    if all(_are_ragged(column) for column in zip(*shapes, strict=True) if len(set(column)) > 1):
        named = [str(shape[0] if len(shape) == 1 else shape) for shape in list(dict.fromkeys(shapes))[:_NAMED]]
        return ValueError(
            f"{kind} {what} of different shapes ({', '.join(named)}{', ...' if len(set(shapes)) > _NAMED else ''}), "
            "which looks like one entry for each example; expected one array for all of them. Bring them to one shape, "
            "then np.stack(list) or from_records(list); columns need one length."
        )
    return None


def different_lengths(lengths: dict[str, int]) -> str:
    """Leaves and their lengths, of which a few stand for all."""
    named = list(dict.fromkeys([next(iter(lengths)), *_first_of_each(lengths)]))[:_NAMED]
    rest = len(lengths) - len(named)
    more = f" and {rest:,} more" if rest else ""
    return ", ".join(f"{name}: {lengths[name]}" for name in named) + more


def _first_of_each(lengths: dict[str, int]) -> list[str]:
    """For each length the first leaf that has it; then the other leaves."""
    found: dict[int, str] = {}
    for name, length in lengths.items():
        found.setdefault(length, name)
    return [*found.values(), *lengths]


def _are_ragged(shapes: tuple[tuple[int, ...], ...]) -> bool:
    """Whether shapes that differ are those of examples: lengths differ, or they are pictures of one height."""
    ranks, first = {len(shape) for shape in shapes}, shapes[0]
    is_picture = len(first) == 3 and first[-1] in (1, 3, 4)
    return len(ranks) == 1 and len(first) > 0 and (is_picture or len({shape[0] for shape in shapes}) > 1)


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float, complex, np.number, np.bool_))


def _is_nested_number(value: object) -> bool:
    return _is_number(value) or (type(value) in (list, tuple) and bool(value) and all(map(_is_nested_number, value)))  # type: ignore[call-overload]


def _shape(leaf: object) -> tuple[int, ...] | None:
    shape = () if _is_number(leaf) else getattr(leaf, "shape", None)
    return shape if shape is None else tuple(shape)


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeio' else 'a'} {word}"
