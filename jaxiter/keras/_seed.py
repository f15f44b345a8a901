"""The JAX key of a seed."""

from __future__ import annotations

import operator
import secrets
from typing import Any, NoReturn

import jax
import numpy as np

from .._describe import shown
from .._keys import Key, as_key, uncommitted

Seed = int | np.integer | jax.Array | None

_BITS = 64


def seed_key(seed: Seed) -> Key:
    """The key of a seed: an integer's two 32-bit words, a JAX key as it is, fresh entropy for None.

    The words are made in Python, so that no flag of JAX changes them; seed `s` is `jax.random.key(s)`.
    """
    if seed is None:
        return _key_of_integer(secrets.randbits(_BITS))
    try:
        value = operator.index(seed)
    except TypeError:
        if getattr(seed, "dtype", None) is None:
            raise TypeError(f"seed is {seed!r}; expected an integer, a JAX key or None.") from None
        return uncommitted(as_key(seed))
    if not 0 <= value < 2**_BITS:
        raise ValueError(f"seed is {value}; expected an integer in [0, 2**{_BITS}), a JAX key or None.")
    return _key_of_integer(value)


def stream_of(seed: Any) -> np.random.RandomState:
    """NumPy's stream for a seed of `fit` or `get_random_transform`: whatever NumPy takes, as in Keras."""
    try:
        return np.random.RandomState(seed)
    except (TypeError, ValueError) as error:
        _refuse(seed, error)


def restart(state: np.random.RandomState, seed: Any) -> None:
    """Start the stream anew, as `stream_of` makes it. Returns None."""
    try:
        state.seed(seed)
    except (TypeError, ValueError) as error:
        _refuse(seed, error)


def _refuse(seed: Any, error: Exception) -> NoReturn:
    kind = TypeError if isinstance(error, TypeError) else ValueError
    expected = "an integer in [0, 2**32), a sequence of such, or None"
    raise kind(f"seed is {shown(seed)}; expected {expected}.") from None


def _key_of_integer(value: int) -> Key:
    # In NumPy, so that a forked process can make it too.
    return np.array([value >> 32, value & 0xFFFFFFFF], np.uint32)
