"""The batches of a stream, each begun before it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np

from .._keys import Key
from ..loader import Loader
from ..loader.internal import is_resident, reads, share_of
from ._pool import Pool

_MOST_THREADS = 4  # unless more are asked for
_COURTESY = 20e-6  # seconds that a thread lets pass which is in no hurry; Linux makes some 80e-6 of them

Place = tuple[int, int]


class Done:
    """As much of a `Future` as is needed of what is there at once; a real one takes a fifth of a small batch's time."""

    __slots__ = ("_batch", "_error")

    def __init__(self, batch: Any, error: Exception | None = None):
        self._batch, self._error = batch, error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._batch

    def done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False


class Placed:
    """A batch over several devices, whose rows a thread reads; the program is started by whoever asks.

    Several processes have to start their programs in one order, and so does one whose programs exchange rows.
    """

    __slots__ = ("_batch", "_finish", "_rows", "may_start_early")

    def __init__(self, rows: Future[Any], finish: Any, may_start_early: bool):
        self._rows, self._finish, self.may_start_early = rows, finish, may_start_early
        self._batch: tuple[Any] | None = None

    def result(self) -> Any:
        if self._batch is None:
            self._batch = (self._finish(self._rows.result()),)
        return self._batch[0]

    def done(self) -> bool:
        return self._rows.done()

    def is_read(self) -> bool:
        return self.done() and not self._rows.cancelled() and self._rows.exception() is None

    def cancel(self) -> bool:
        return self._rows.cancel()


Begun = Future[Any] | Done | Placed


class Maker:
    """Begins batches; with arrays that have to be read, in threads."""

    def __init__(
        self, loader: Loader, key: Key, prefetch: int, num_threads: int | None, sharding: Any, with_mask: bool
    ):
        self._loader, self._key, self._sharding, self._with_mask = loader, key, sharding, with_mask
        read = [leaf for leaf in jax.tree.leaves(loader.data) if reads(leaf, sharding)]
        self._num_threads = min(prefetch, _threads_for(read) if num_threads is None else num_threads) if read else 0
        self._reading_key = _on_cpu(key) if self._num_threads else key
        self._pool = self._new_pool()

    def _new_pool(self) -> Pool:
        return Pool(self._num_threads, "jaxiter-stream")

    def begin(self, place: Place, donated: Any, is_urgent: bool) -> Begun:
        if not self._num_threads:
            # Arrays on the device need no thread: JAX returns at once and computes behind our back.
            try:
                return Done(self._made(place, self._read(place), donated))
            except Exception as error:  # raised when its batch is handed over, after those before it
                return Done(None, error)
        # A thread gets this and not the stream, which may be dropped and then ends its threads.
        if self._sharding is None:
            return self._pool.submit(_in_thread, is_urgent, _jax_scopes(), self._batch, place, donated)
        rows = self._pool.submit(_in_thread, is_urgent, _jax_scopes(), self._read, place)
        return Placed(rows, lambda read: self._made(place, read, donated), self._sharding.is_fully_addressable)

    def close(self) -> None:
        """For good: what is begun from here on is cancelled."""
        self._pool.close()

    def rest(self) -> None:
        """Ends the threads; others start with what is begun next."""
        if self._pool.is_used:
            self._pool.close()
            self._pool = self._new_pool()

    def abandon(self) -> None:
        """As `close`, without waiting: the stream was dropped, in whatever thread."""
        self._pool.abandon()

    def _batch(self, place: Place, donated: Any) -> Any:
        return self._made(place, self._read(place), donated)

    def _read(self, place: Place) -> Any:
        epoch, step = map(np.uint32, place)
        return self._loader._read(self._reading_key, epoch, step, self._sharding)

    def _made(self, place: Place, rows: Any, donated: Any) -> Any:
        epoch, step = map(np.uint32, place)
        batch = self._loader._made(self._key, epoch, step, rows, donated, self._sharding)
        return (batch, self._mask(step)) if self._with_mask else batch

    def _mask(self, step: Any) -> Any:
        if self._sharding is None:
            return self._loader.mask(step)
        share = share_of(self._sharding, self._loader.batch_size)
        position = step * np.uint32(self._loader.batch_size) + share.places
        return share.spread(position < np.uint32(self._loader.size))


def start_those_read(begun: Iterable[Begun]) -> None:
    """Starts the programs of batches whose rows have arrived, as far as they come one after the other.

    Not with several processes: which have arrived differs between them, and with it the order of all programs.
    """
    for one in begun:
        if not (isinstance(one, Placed) and one.may_start_early and one.is_read()):
            return
        try:
            one.result()
        except Exception:  # which comes again when its batch is asked for
            return


def _threads_for(read: list[Any]) -> int:
    """As many as there are cores, but one where it is not known that several may read at once."""
    if not all(isinstance(leaf, np.ndarray) or is_resident(leaf) for leaf in read):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_THREADS, cores)


def _on_cpu(key: Key) -> Key:
    """Where the rows of a batch are found without waiting for what a GPU is still at."""
    if jax.default_backend() == "cpu":
        return key
    try:
        return jax.device_put(key, jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX was told to do without
        return key


def _jax_scopes() -> dict[str, Any]:
    """Settings that `with` blocks change for the calling thread alone; the worker takes them over."""
    names = ("enable_x64", "default_device", "numpy_dtype_promotion")
    return {name: getattr(jax.config, f"jax_{name}") for name in names}


def _in_thread(is_urgent: bool, scopes: dict[str, Any], function: Any, *arguments: Any) -> Any:
    # Who woke this thread hands a batch over, and gives Python's lock away for a moment where the one before is freed.
    # A thread that takes it there keeps it for 0.1 to 0.7 ms.
    if not is_urgent:
        time.sleep(_COURTESY)
    if scopes == _jax_scopes():  # as nearly always; to enter them takes longer than to read small rows
        return function(*arguments)
    with ExitStack() as stack:
        for name, value in scopes.items():
            stack.enter_context(getattr(jax, name)(value))
        return function(*arguments)
