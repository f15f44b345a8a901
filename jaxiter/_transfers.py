"""Transfers that are meant, as those of `jax.device_put` are: a guard against implicit ones lets them pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

_GUARDS = ("transfer_guard_host_to_device", "transfer_guard_device_to_device", "transfer_guard_device_to_host")
_AGAINST_IMPLICIT = ("disallow", "log")


def transfers(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, called in order to bring its arguments and constants to the device, or its result back.

    Under `jax.transfer_guard("disallow")` it works as `jax.device_put` does; "disallow_explicit" refuses both.
    """

    @wraps(function)
    def explicit(*args: P.args, **kwargs: P.kwargs) -> T:
        config: Any = jax.config
        levels = (
            config.jax_transfer_guard_host_to_device,
            config.jax_transfer_guard_device_to_device,
            config.jax_transfer_guard_device_to_host,
        )
        if levels == (None, None, None):  # as nearly always
            return function(*args, **kwargs)
        with ExitStack() as stack:
            for guard, level in zip(_GUARDS, levels, strict=True):
                if level in _AGAINST_IMPLICIT:
                    stack.enter_context(getattr(jax, guard)("allow"))
            return function(*args, **kwargs)

    return explicit


def on_host(value: T) -> T | np.ndarray:
    """A JAX array as NumPy's; anything else as it is."""
    return jax.device_get(value) if isinstance(value, jax.Array) else value
