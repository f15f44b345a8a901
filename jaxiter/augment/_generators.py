"""Which generators of NumPy and Python are drawn from while a function runs."""

from __future__ import annotations

import gc
import inspect
import pickle
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_KINDS = (np.random.BitGenerator, np.random.RandomState, random.Random)  # a Generator draws from a BitGenerator
_MAKERS = {"default_rng", "Generator", "RandomState", "Random", "SystemRandom", "SeedSequence"}
_ENTROPY = {"urandom", "randbits", "randbelow", "token_bytes", "uuid4"}
_NOT_SEARCHED = {"numpy", "jax", "jaxlib", __name__.partition(".")[0]}


class Generators:
    """All generators that are alive, wherever a function may find them, and their states.

    Looking takes as long as one full garbage collection.
    """

    def __init__(self) -> None:
        alive = [value for value in gc.get_objects() if issubclass(type(value), _KINDS)]
        self._found = [(generator, _state_of(generator)) for generator in alive]
        self._global = _global_states()  # also where `gc.freeze` hides them

    def were_used(self) -> bool:
        """Whether one was drawn from since."""
        return _global_states() != self._global or any(_state_of(one) != state for one, state in self._found)


def makes_generators(function: object, owner: type | None = None) -> bool:
    """Whether a function, or one of those that it calls by name, may make a generator and draw from it.

    Such a generator is gone when the function has returned, so that only the names in the code tell of it.

    Args:
        owner: The class whose methods the function may call.
    """
    return any(name in _MAKERS | _ENTROPY for code in _codes_of(function, owner, set()) for name in code.co_names)


def _state_of(generator: Any) -> bytes | None:
    try:
        if isinstance(generator, random.Random):
            return pickle.dumps(generator.getstate())
        is_legacy = isinstance(generator, np.random.RandomState)
        return pickle.dumps(generator.get_state(legacy=False) if is_legacy else generator.state)
    except Exception:  # one of the operating system has no state, nor has a class of a user's that is half made
        return None


def _global_states() -> bytes:
    return pickle.dumps((np.random.get_state(legacy=False), random.getstate()))


def _codes_of(function: Any, owner: type | None, seen: set[int]) -> Iterator[CodeType]:
    """The code of a function, of those inside it, and of those of the user's that it calls by name."""
    function = _plain_function(function)
    if function is None or id(function) in seen or _package_of(function) in _NOT_SEARCHED:
        return
    seen.add(id(function))
    codes = list(with_inner(function.__code__))
    yield from codes
    names = {name for code in codes for name in code.co_names}
    known = [function.__globals__.get(name) for name in names]
    known += [getattr(module, name, None) for module in known if isinstance(module, ModuleType) for name in names]
    known += [inspect.getattr_static(owner, name, None) for name in names]
    known += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    for other in known:
        if callable(other) and not isinstance(other, type):
            yield from _codes_of(other, owner, seen)


def _plain_function(function: Any) -> FunctionType | None:
    """What Python runs when `function` is called: inside partial functions, methods, `jax.jit`, objects."""
    while not isinstance(function, FunctionType):
        if isinstance(function, partial):
            function = function.func
        elif hasattr(function, "__func__") or hasattr(function, "__wrapped__"):
            function = getattr(function, "__func__", None) or function.__wrapped__
        else:
            called = inspect.getattr_static(type(function), "__call__", None)
            return called if isinstance(called, FunctionType) else None
    return function


def with_inner(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from with_inner(constant)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _package_of(function: Callable[..., object]) -> str:
    return (getattr(function, "__module__", None) or "").partition(".")[0]
