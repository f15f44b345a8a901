"""Keras' own random stream, NumPy's reseeded before every batch, though private to one iterator."""

from __future__ import annotations

import operator
import threading
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import jax
import numpy as np

from ._params import drawing_from

_END_OF_SEEDS = 2**32


class Replay:
    """What an iterator with rng="keras" draws from: an order, then parameters image by image, then file numbers.

    Keras reseeds the only stream there is. Here reseeding makes another one, so that a batch which a thread is still
    making keeps its own. Without a seed nothing is reseeded and, as in Keras, threads draw from one stream.
    """

    def __init__(self, seed: Any):
        check_seed(seed)
        self._latest = np.random.RandomState()
        self._lent = False  # to a batch, which must find it as it was seeded
        self._own = threading.local()

    @property
    def state(self) -> np.random.RandomState:
        """That of the batch which this thread is making; outside of one, as the latest batch left it."""
        return getattr(self._own, "state", self._latest)

    def reseed(self, seed: Any, batches_seen: int) -> None:
        """Nothing; what follows is drawn as Keras draws it after so many batches."""
        if seed is not None:
            self._latest, self._lent = _seeded(seed, batches_seen), False

    def restart(self, state: Any) -> None:
        """From a state of NumPy's stream, as its `get_state` gives it."""
        self._latest, self._lent = np.random.RandomState(), False
        self._latest.set_state(state)

    def order(self, size: int) -> np.ndarray:
        """A permutation: of a batch that begins, or of an epoch that was ended."""
        if self._lent and hasattr(self._own, "state"):
            return self._own.state.permutation(size)
        if self._lent:  # another thread may still be making that batch
            self._latest, self._lent = deepcopy(self._latest), False
        return self._latest.permutation(size)

    def lend(self, seed: Any) -> np.random.RandomState:
        """The state for the batch that comes next."""
        self._lent = seed is not None
        return self._latest

    @contextmanager
    def batch(self, state: np.random.RandomState) -> Generator[None, None, None]:
        """Around the making of a batch: all that this thread draws comes from `state`."""
        outer = getattr(self._own, "state", None)  # a batch may be made of another
        self._own.state = state
        try:
            with drawing_from(state):
                yield
        finally:
            if outer is None:
                del self._own.state
            else:
                self._own.state = outer


def check_seed(seed: Any) -> None:
    """Raises for what NumPy's stream cannot start from.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ValueError: seed is -1; rng='keras' takes an integer in [0, 2**32), or None.
    """
    if seed is None:
        return
    try:
        value = operator.index(seed)
    except TypeError:
        is_key = isinstance(seed, jax.Array)
        remedy = " A JAX key goes with jaxiter's own stream, rng=None." if is_key else ""
        error = ValueError if is_key else TypeError
        raise error(f"seed is {seed!r}; rng='keras' takes an integer in [0, 2**32), or None.{remedy}") from None
    if not 0 <= value < _END_OF_SEEDS:
        raise ValueError(f"seed is {value}; rng='keras' takes an integer in [0, 2**32), or None.")


def _seeded(seed: Any, batches_seen: int) -> np.random.RandomState:
    check_seed(seed)
    try:
        # As Keras adds them: a NumPy integer of few bits wraps around, or overflows.
        return np.random.RandomState(seed + batches_seen)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"seed is {seed!r}, and {batches_seen} batches were seen; Keras starts NumPy's stream from their sum, "
            f"which must stay in [0, 2**32). NumPy: {error}."
        ) from error
