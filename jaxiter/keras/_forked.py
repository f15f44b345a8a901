"""JAX arrays in a forked process: there JAX would wait for ever, so that only NumPy may touch them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, is_forked

P = ParamSpec("P")
T = TypeVar("T")


def takes_jax_arrays(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, whose arguments may be JAX arrays or hold some, in a forked process too; see `numpy_if_forked`."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        if not is_forked():
            return function(*args, **kwargs)
        values: Any = tuple(map(numpy_if_forked, args))
        named: Any = {name: numpy_if_forked(value) for name, value in kwargs.items()}
        return function(*values, **named)

    return called


def numpy_if_forked(value: Any) -> Any:
    """In a forked process the value with NumPy arrays for the JAX arrays in it; anywhere else as it is.

    Raises:
        RuntimeError: For an array that cannot be read without JAX: of a GPU, or one that is still being computed.
    """
    if not is_forked():
        return value
    if isinstance(value, (list, tuple)) and any(map(_may_hold_jax, value)):
        items = map(numpy_if_forked, value)
        return type(value)._make(items) if hasattr(value, "_make") else type(value)(items)
    if type(value) is dict and any(map(_may_hold_jax, value.values())):
        return {name: numpy_if_forked(item) for name, item in value.items()}
    is_array = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    if not is_array or jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if not value.is_deleted() and not _is_at_hand(value):
        check_not_forked()
    if len(value.devices()) == 1:
        return jax.device_get(value)
    found = np.empty(value.shape, value.dtype)
    for shard in value.addressable_shards:  # JAX itself would collect them in its threads, which a child lacks
        if shard.replica_id == 0:
            found[shard.index] = jax.device_get(shard.data)
    return found


def _may_hold_jax(value: Any) -> bool:
    return isinstance(value, (jax.Array, list, tuple, dict))


def _is_at_hand(array: Any) -> bool:
    on_cpu = all(device.platform == "cpu" for device in array.devices())
    return on_cpu and array.is_fully_addressable and array.is_ready()
