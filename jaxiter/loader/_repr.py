"""A Loader in words: on one line where it fits, else a line for each part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from .._checks import is_array
from .._host_rows import dtype_of
from ..augment import Chain, Transform
from ._data import PyTree, leaf_name, leaves_with_path

_WIDTH = 120  # characters


class _Node(NamedTuple):
    """Text, or entries between brackets."""

    begin: str
    entries: Sequence[_Node] = ()
    end: str = ""

    def on_one_line(self) -> str:
        return self.begin + ", ".join(entry.on_one_line() for entry in self.entries) + self.end

    def on_lines(self) -> list[str]:
        if not self.entries:
            return [self.begin + self.end]
        inner = [line for entry in self.entries for line in [*entry.on_lines()[:-1], f"{entry.on_lines()[-1]},"]]
        return [self.begin, *(f"    {line}" for line in inner), self.end]


def loader_repr(data: PyTree, settings: dict[str, str], augment: PyTree) -> str:
    """Leaves by shape and dtype, settings, and the steps of the transforms; no value of the data is looked at.

    Args:
        settings: In words.
    """
    leaves = [_Node(f"{leaf_name(path)}: {_in_words(leaf)}") for path, leaf in leaves_with_path(data)]
    options = _Node(", ".join(f"{name}={value}" for name, value in settings.items()))
    whole = _Node("Loader(", [*leaves, options, _parts_of("augment=", augment)], ")")
    line = whole.on_one_line()
    return line if len(line) <= _WIDTH else "\n".join(whole.on_lines())


def _in_words(leaf: Any) -> str:
    """Of whatever a pytree may hold."""
    is_like_array = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    return f"{dtype_of(leaf)}{list(leaf.shape)}" if is_like_array else repr(leaf)


def _parts_of(label: str, augment: PyTree) -> _Node:
    if type(augment) is Chain:
        return _Node(f"{label}Chain(", [_Node(_in_short(step)) for step in augment.transforms], ")")
    if type(augment) is dict:
        return _Node(f"{label}{{", [_parts_of(f"{key!r}: ", value) for key, value in augment.items()], "}")
    if type(augment) is tuple:
        return _Node(f"{label}(", [_parts_of("", value) for value in augment], ")")
    return _Node(label + _in_short(augment))


def _in_short(step: object) -> str:
    """The repr of a transform of this library without the fields that are as by default."""
    is_own = isinstance(step, Transform) and type(step).__module__.partition(".")[0] == __package__.partition(".")[0]
    if not is_own or not dataclasses.is_dataclass(step) or isinstance(step, type):
        return repr(step)
    fields = [field for field in dataclasses.fields(step) if field.repr]
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    try:
        plain = dataclasses.replace(step, **defaults)
    except (TypeError, ValueError):  # defaults that do not go with the other fields
        return repr(step)
    values = {field.name: getattr(step, field.name) for field in fields}
    shown = [
        f"{name}={value!r}"
        for name, value in values.items()
        if name not in defaults or any(map(is_array, jax.tree.leaves(value))) or value != getattr(plain, name)
    ]
    return f"{type(step).__qualname__}({', '.join(shown)})"
