"""Values in the words of an error message."""

from __future__ import annotations

import jax
import numpy as np

_SHORT = 200  # characters of a value that an error shows as it is
_NAMED = 3  # leaves that stand for all


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
    if hasattr(value, "__next__") or any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(value)):
        return described(value)
    text = repr(value)
    return text if len(text) <= _SHORT and not _is_address(value) else described(value)


def _is_address(value: object) -> bool:
    """Whether its text is no more than where it is in memory."""
    return type(value).__repr__ is object.__repr__


def shown_number(number: float) -> str:
    """A number in as few digits as its own float type needs: 0.1 for np.float32(0.1), of which Python makes more."""
    with np.errstate(over="ignore"):
        single = np.float32(number)
    return str(single) if isinstance(number, float) and float(single) == number else repr(number)


def a_type(value: object) -> str:
    """Its type, with an article."""
    return _article(type(value).__name__)


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


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeio' else 'a'} {word}"
