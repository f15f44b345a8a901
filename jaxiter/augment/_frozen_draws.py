"""Finds random numbers of NumPy or Python in functions that JAX traces, where they would be drawn once and for all."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Hashable, Iterator
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ._cast import Map
from ._duck_typed import user_object
from ._transform import Params, Transform

_DRAW_FROM_KEY = "Draw from `key` in sample, as jax.random.uniform(key, image_shape) does."
_MORE_TRACES = 8  # where a global generator was used: a branch on one of its bits goes the same way twice half the time


def check_sample(step: Transform, key: jax.Array, image_shape: tuple[int, ...]) -> None:
    """Refuses a user's step whose `sample` draws from anything but its key; once for each shape."""
    if _is_users(step, "sample") and _is_new(step, ("sample", image_shape)):
        name = f"{type(user_object(step)).__qualname__}.sample"
        _check(name, lambda: step.sample(key, image_shape))
        _remember(step, ("sample", image_shape))


def check_apply(step: Transform, params: Params, image: jax.Array) -> None:
    """Refuses a user's step whose `apply` draws at all."""
    what = ("apply", image.shape, image.dtype)
    if _is_users(step, "apply") and _is_new(step, what):
        if isinstance(step, Map):
            name = f"{step.function!r} in a Map"
        else:
            name = f"{type(user_object(step)).__qualname__}.apply"
        _check(name, lambda: step.apply(params, image))
        _remember(step, what)


def _is_users(step: Transform, method: str) -> bool:
    """Whether the method was written outside of this package; `Map` calls a user's function."""
    function = step.function if isinstance(step, Map) else getattr(type(user_object(step)), method, None)
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] != __name__.partition(".")[0]


# What was checked is kept with the structure, which all copies of a transform share that `jit` makes of it.


def _is_new(step: Transform, what: Hashable) -> bool:
    return what not in step._structure.checked


def _remember(step: Transform, what: Hashable) -> None:
    step._structure.checked.add(what)


def _check(name: str, function: Callable[[], Any]) -> None:
    """Traces a function several times, and refuses it where the constants of its programs differ.

    What fails to trace passes: it fails again, with its own error, where it is used.

    Raises:
        TypeError: If the programs differ.
    """
    before = _global_generators()
    are_equal = _traces_are_equal(function, 2)
    if are_equal and _global_generators() != before:
        are_equal = _traces_are_equal(function, _MORE_TRACES)
        with jax.disable_jit():  # what a function of the user's drew under jit is cached with it
            are_equal = are_equal and _traces_are_equal(function, 2)
    if not are_equal:
        raise TypeError(
            f"{name} is another program each time it is traced: it draws random numbers of NumPy or Python, which a "
            f"compiled program would draw once, the same for every image and epoch. {_DRAW_FROM_KEY}"
        )


def _traces_are_equal(function: Callable[[], Any], count: int) -> bool:
    try:
        first, *others = (_constants(function) for _ in range(count))
    except Exception:
        return True
    return all(_are_equal(a, b) for other in others for a, b in zip_longest(first, other))


def _global_generators() -> bytes:
    return pickle.dumps((np.random.get_state(legacy=False), random.getstate()))


def _constants(function: Callable[[], Any]) -> list[Any]:
    return list(_constants_in(jax.make_jaxpr(lambda: function())()))  # another function each time: nothing is cached


def _constants_in(program: ClosedJaxpr | Jaxpr) -> Iterator[Any]:
    """The operations and every number in them, in a fixed order."""
    if isinstance(program, ClosedJaxpr):
        yield from program.consts
        program = program.jaxpr
    for equation in program.eqns:
        yield equation.primitive.name
        yield from _literals(equation.invars)
        for name, value in sorted(equation.params.items()):
            yield name
            yield from _constants_of(value)
    yield from _literals(program.outvars)


def _literals(operands: Any) -> Iterator[Any]:
    return (operand.val for operand in operands if isinstance(operand, Literal))


def _constants_of(value: Any) -> Iterator[Any]:
    """Of a parameter of an operation: those of inner programs, and plain numbers; functions say nothing."""
    if isinstance(value, (ClosedJaxpr, Jaxpr)):
        yield from _constants_in(value)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _constants_of(item)
    elif isinstance(value, (bool, int, float, complex, np.generic, np.ndarray)):
        yield value


def _are_equal(a: Any, b: Any) -> bool:
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return True
    a, b = _on_host(a), _on_host(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _on_host(value: Any) -> np.ndarray:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.asarray(jax.device_get(value) if isinstance(value, jax.Array) else value)
