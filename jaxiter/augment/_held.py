"""Which transforms a step of a user's holds or makes: in its fields, or in what the code of its methods refers to."""

from __future__ import annotations

import dis
import inspect
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import jax

from ._duck_typed import is_transform
from ._generators import with_inner
from ._transform import Transform

_DEEPEST = 10  # references from the step to a transform
_MOST = 10_000  # values that are looked at: a field may lead to all of a program
_THIS_PACKAGE = __name__.partition(".")[0]
_NOT_SEARCHED = {"numpy", "jax", "jaxlib", _THIS_PACKAGE, *sys.stdlib_module_names}
_CONTAINERS = (list, tuple, set, frozenset, deque)
_NAMESPACES = (SimpleNamespace, Namespace)  # of the standard library, and full of a user's values
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_RUN_UNNAMED = {"sample", "apply", "__call__", "__init__", "__post_init__"}
_READS_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}
_READS_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"}


def held_by(step: object) -> Iterator[tuple[str, Any]]:
    """The transforms that an object holds, and classes of transforms that its code names, each with its place.

    Its own class and the bases of that count for none. Code is read and not run: an attribute that it names is looked
    up in every object, class and module that the search has come to.
    """
    return _Search(step).found()


class _Search:
    """Breadth first, so that errors name the shortest way to a transform."""

    def __init__(self, step: object):
        self._step = step
        self._own_classes = {*type(step).__mro__, Transform}
        self._to_visit: deque[tuple[str, Any, int]] = deque()
        self._seen: dict[int, Any] = {}  # holds the values too: the id of one that is gone is given to another
        self._names = set(_RUN_UNNAMED)
        self._owners: list[tuple[str, Any, int]] = []  # where names are looked up

    def found(self) -> Iterator[tuple[str, Any]]:
        self._visit_object("self", self._step, 0)
        while self._to_visit and len(self._seen) < _MOST:
            where, value, depth = self._to_visit.popleft()
            if id(value) in self._seen or value is self._step:
                continue
            self._seen[id(value)] = value
            if is_transform(value) and not isinstance(value, ModuleType):
                if not isinstance(value, type) or value not in self._own_classes:
                    yield where, value
            elif depth < _DEEPEST:
                self._visit(where, value, depth + 1)

    def _visit(self, where: str, value: Any, depth: int) -> None:
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, _CONTAINERS):
            self._add(where, depth, *value)
        elif isinstance(value, partial):
            self._add(where, depth, value.func, value.args, value.keywords)
        elif isinstance(value, MethodType):
            self._add(where, depth, value.__self__, value.__func__)
        elif isinstance(value, ModuleType):
            if _package(value) == _THIS_PACKAGE or _package(value) not in _NOT_SEARCHED:
                self._add_owner(where, value, depth)
        else:
            # By jax.jit, jax.vmap, functools.wraps; getattr would run the code of an object that answers to any name.
            self._add(where, depth, getattr(value, "__dict__", {}).get("__wrapped__"))
            if isinstance(value, FunctionType):
                self._visit_function(value, depth)
            elif isinstance(value, _NAMESPACES) or _package(_class_of(value)) not in _NOT_SEARCHED:
                self._visit_object(where, value, depth)

    def _visit_function(self, function: FunctionType, depth: int) -> None:
        """Variables around it, defaults, and what its code names."""
        if _package(function) in _NOT_SEARCHED:
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._add(name, depth, _content(cell))
        self._add(f"a default of {function.__qualname__}", depth, function.__defaults__, function.__kwdefaults__)
        for code in with_inner(function.__code__):
            for instruction in dis.get_instructions(code):
                name = instruction.argval
                if instruction.opname in _READS_GLOBAL:
                    self._add(name, depth, function.__globals__.get(name))
                elif instruction.opname in _READS_ATTRIBUTE:
                    self._add_name(name)
                elif instruction.opname == "IMPORT_NAME":
                    self._add(name, depth, sys.modules.get(name))

    def _visit_object(self, where: str, value: Any, depth: int) -> None:
        """Its fields, and its leaves if it is a container that JAX knows."""
        for name, field in _fields(value).items():
            self._add(f"{where}.{name}", depth, field)
        if value is not self._step:
            self._add(where, depth, *_leaves(value))
        self._add_owner(where, value, depth)

    def _add(self, where: str, depth: int, *values: Any) -> None:
        self._to_visit.extend((where, value, depth) for value in values if type(value) not in _PLAIN)

    def _add_owner(self, where: str, value: Any, depth: int) -> None:
        self._owners.append((where, value, depth))
        for name in self._names:
            self._look_up(name, where, value, depth)

    def _add_name(self, name: str) -> None:
        if name not in self._names:
            self._names.add(name)
            for owner in self._owners:
                self._look_up(name, *owner)

    def _look_up(self, name: str, where: str, owner: Any, depth: int) -> None:
        """All definitions of a method, as one may call that of a base."""
        if isinstance(owner, ModuleType):
            self._add(f"{where}.{name}", depth, vars(owner).get(name))
            return
        methods = (vars(cls).get(name) for cls in _class_of(owner).__mro__ if cls is not Transform)
        self._add(f"{where}.{name}", depth, *(_function_of(method) for method in methods if _is_method(method)))


def _fields(value: object) -> dict[str, Any]:
    """Of the object and its class; methods are looked up by name."""
    fields: dict[str, Any] = {}
    for cls in reversed(_class_of(value).__mro__):
        if _package(cls) not in _NOT_SEARCHED:
            fields |= {name: field for name, field in vars(cls).items() if not name.startswith("__")}
    fields = {name: field for name, field in fields.items() if not _is_method(field)}
    if isinstance(value, type):
        return fields
    slots = {name: getattr(value, name, None) for name in fields if inspect.ismemberdescriptor(fields[name])}
    return fields | slots | getattr(value, "__dict__", {})


def _leaves(value: object) -> list[Any]:
    try:
        return jax.tree.leaves(value, is_leaf=is_transform)
    except (TypeError, ValueError):  # of a dictionary whose keys have no order
        return []


def _class_of(value: object) -> type:
    return value if isinstance(value, type) else type(value)


def _is_method(field: object) -> bool:
    return isinstance(field, (FunctionType, property, cached_property, staticmethod, classmethod, type))


def _function_of(method: Any) -> Any:
    names = {property: "fget", cached_property: "func", staticmethod: "__func__", classmethod: "__func__"}
    name = next((name for kind, name in names.items() if isinstance(method, kind)), None)
    return method if name is None else getattr(method, name)


def _package(owner: Any) -> str:
    name = owner.__globals__.get("__name__") if isinstance(owner, FunctionType) else getattr(owner, "__module__", None)
    name = owner.__name__ if isinstance(owner, ModuleType) else name
    return str(name).partition(".")[0]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
