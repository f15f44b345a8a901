"""Dictionaries whose keys have no order: JAX flattens a dictionary in the order of its keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMED = 3  # keys that an error names


@contextmanager
def named_keys(name: str, tree: object) -> Iterator[None]:
    """In the place of JAX's error for keys that cannot be sorted, one that says which dictionary of `tree` has them.

    Raises:
        TypeError: For such a dictionary, where what is done inside failed.
    """
    try:
        yield
    except ValueError:
        error = _key_error(name, tree)
        if error is None:
            raise
        raise error from None


def _key_error(name: str, node: object) -> TypeError | None:
    if isinstance(node, dict):
        if not isinstance(node, OrderedDict) and not _have_an_order(node):
            keys = list(node)
            shown = ", ".join(map(repr, keys[:_NAMED])) + (", ..." if len(keys) > _NAMED else "")
            kinds = ", ".join(dict.fromkeys(type(key).__name__ for key in keys))
            return TypeError(
                f"{name} is a dict with the keys {shown}, of the kinds {kinds}; expected keys of one kind, which can "
                "be sorted, for example text."
            )
        children = [(f"{name}[{key!r}]", child) for key, child in node.items()]
    elif isinstance(node, (list, tuple)):
        children = [(f"{name}[{place}]", child) for place, child in enumerate(node)]
    else:
        return None
    return next((error for child in children if (error := _key_error(*child)) is not None), None)


def _have_an_order(keys: Iterable[Any]) -> bool:
    try:
        sorted(keys)
    except TypeError:
        return False
    return True
