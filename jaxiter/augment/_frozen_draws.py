"""Checks the functions of a user's that JAX traces.

Random numbers of NumPy or Python would be drawn in them once and for all; what is no array would be another batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ._cast import Map
from ._duck_typed import user_object
from ._generators import Generators, makes_generators
from ._one_array import one_array
from ._transform import Params, Transform

_MORE_TRACES = 8  # where a generator was used: a branch on one of its bits goes the same way twice half the time


def checked_sample(step: Transform, key: jax.Array, image_shape: tuple[int, ...]) -> Params:
    """`step.sample`; a user's is traced twice the first time, to see whether it draws from anything but its key."""

    def sample() -> Params:
        return step.sample(key, image_shape)

    checked = step._structure.checked
    if _is_users(step, "sample") and ("sample", image_shape) not in checked:
        before = Generators()
        if not _traces_are_equal(sample, 2) or _differs_where_it_drew(before, sample):
            raise _frozen(f"{step.name_in_errors}.sample")
        checked.add(("sample", image_shape))
    return sample()


def checked_apply(step: Transform, params: Params, image: jax.Array) -> jax.Array:
    """`step.apply`; a user's is traced again where it drew from a generator of NumPy or Python, or may make one.

    Raises:
        TypeError: If a user's draws so, or does not return one array.
    """

    def apply() -> jax.Array:
        return array_of_apply(step, params, image)

    what = ("apply", image.shape, image.dtype)
    if not _is_users(step, "apply") or what in step._structure.checked:
        return apply()
    before = Generators()
    result = apply()
    if _differs_where_it_drew(before, apply, makes_generators(_users_function(step, "apply"), type(user_object(step)))):
        if isinstance(step, Map):
            raise _frozen(f"{step.function!r} in a Map")
        raise _frozen(f"{step.name_in_errors}.apply")
    step._structure.checked.add(what)
    return result


def array_of_apply(step: Transform, params: Params, image: jax.Array) -> jax.Array:
    """`step.apply`, of which a user's has to return one array; `Map` checks its function itself."""
    result = step.apply(params, image)
    if isinstance(step, Map) or not _is_users(step, "apply"):
        return result
    found: jax.Array = one_array(f"{step.name_in_errors}.apply", result)
    return found


def _is_users(step: Transform, method: str) -> bool:
    """Whether the method was written outside of this package; `Map` calls a user's function."""
    module = getattr(_users_function(step, method), "__module__", None) or ""
    return module.partition(".")[0] != __name__.partition(".")[0]


def _users_function(step: Transform, method: str) -> object:
    return step.function if isinstance(step, Map) else getattr(type(user_object(step)), method, None)


def _differs_where_it_drew(before: Generators, function: Callable[[], Any], makes_others: bool = False) -> bool:
    """Whether a function that drew from a generator since `before` is another program when traced again."""
    if not makes_others and not before.were_used():
        return False
    if not _traces_are_equal(function, _MORE_TRACES):
        return True
    with jax.disable_jit():  # what a function of the user's drew under jit is cached with it
        return not _traces_are_equal(function, 2)


def _frozen(name: str) -> TypeError:
    return TypeError(
        f"{name} is another program each time it is traced: it draws random numbers of NumPy or Python, which a "
        "compiled program would draw once, the same for every image and epoch. Draw from `key` in sample, as "
        "jax.random.uniform(key, image_shape) does."
    )


def _traces_are_equal(function: Callable[[], Any], count: int) -> bool:
    """What fails to trace passes: it fails again, with its own error, where it is used."""
    try:
        first, *others = (_constants(function) for _ in range(count))
    except Exception:
        return True
    return all(_are_equal(a, b) for other in others for a, b in zip_longest(first, other))


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
