"""Keras' own random stream, NumPy's reseeded before every batch, but private to one iterator."""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import Any

import jax
import numpy as np

from ._seed import Seed

_END_OF_SEEDS = 2**32


class KerasStream:
    """What an iterator with rng="keras" draws from: an order, then parameters image by image, then file numbers.

    Keras reseeds the only stream there is. Here reseeding makes another one, so that a batch which a thread is still
    making keeps its own. Without a seed nothing is reseeded and, as in Keras, threads draw from one stream.
    """

    def __init__(self, seed: Seed):
        check_seed(seed)
        self.latest = np.random.RandomState()
        self._in_use = False  # by a batch, which must find it as it was seeded

    def reseed(self, seed: Seed, batches_seen: int) -> None:
        """Draw from here on as Keras does after so many batches. Returns None."""
        if seed is not None:
            self.latest, self._in_use = _seeded(seed, batches_seen), False

    def restart(self, state: tuple[Any, ...]) -> None:
        """Start from a state of NumPy's stream, as its `get_state` returns it. Returns None."""
        restarted = np.random.RandomState()
        restarted.set_state(state)  # which may refuse it
        self.latest, self._in_use = restarted, False

    def order(self, size: int, own: np.random.RandomState | None) -> np.ndarray:
        """A permutation: of a batch that begins, or of an epoch that was ended.

        Args:
            own: The stream of the batch that this thread is making, if any.
        """
        if self._in_use and own is not None:
            return own.permutation(size)
        if self._in_use:  # another thread may still be making that batch
            self.latest, self._in_use = deepcopy(self.latest), False
        return self.latest.permutation(size)

    def for_next_batch(self, seed: Seed) -> np.random.RandomState:
        self._in_use = seed is not None
        return self.latest


def check_seed(seed: Seed) -> None:
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
