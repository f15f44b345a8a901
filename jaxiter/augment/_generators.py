"""Which generators of NumPy and Python are drawn from while a function runs."""

from __future__ import annotations

import gc
import pickle
import random
from typing import Any

import numpy as np

_KINDS = (np.random.BitGenerator, np.random.RandomState, random.Random)  # a Generator draws from a BitGenerator


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
