"""The batches of a stream, each started before it is asked for: submit, wait, return."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from .._keys import Key, like_given
from ..loader.internal import (
    BatchSpec,
    DrawsAhead,
    HostRows,
    PyTree,
    Source,
    array_of,
    batch_mask,
    compute_batch,
    is_resident,
    read_batch,
    step_key,
)
from ._thread_settings import ThreadSettings

_MAX_THREADS = 4  # unless more are asked for
_PATIENCE = 5.0  # seconds that a close waits for reads under way, and the end of the interpreter for all of them

Position = tuple[int, int]  # (epoch, step)
T = TypeVar("T")
_Task = tuple["Future[Any]", Callable[..., object], tuple[object, ...]]


class StreamArguments(NamedTuple):
    """The arguments of a stream, checked; the loader and the sharding are in `spec`."""

    spec: BatchSpec
    key: Key
    num_epochs: int | None
    prefetch: int
    with_mask: bool
    step_keys_like: Key | None  # the key as it was given, typed or legacy, with keys for steps; None: without
    donate: bool
    num_threads: int | None

    @property
    def has_more_than_batches(self) -> bool:
        return self.with_mask or self.step_keys_like is not None


class Pending:
    """One batch under way; `result()` waits for it, and raises what went wrong.

    Args:
        position: Of the batch.
        settings: Of the thread that asked for it.
        future: What a thread computes; None: nothing is left to wait for.
        finish: Makes the batch of the future's result, in the thread that asks for it.
        starts_early: The batch may be finished before it is asked for.
    """

    __slots__ = ("_batch", "_error", "_finish", "_future", "position", "settings", "starts_early")

    def __init__(
        self,
        position: Position,
        settings: ThreadSettings,
        future: Future[PyTree] | None,
        finish: Callable[[HostRows | None], PyTree] | None = None,
        *,
        starts_early: bool = False,
        batch: PyTree = None,
        error: Exception | None = None,
    ):
        self.position, self.settings, self.starts_early = position, settings, starts_early
        self._future, self._finish, self._batch, self._error = future, finish, batch, error

    def result(self) -> PyTree:
        if self._future is not None:
            found = self._future.result()
            self._batch, self._future = found if self._finish is None else self._finish(found), None
        if self._error is not None:
            raise self._error
        return self._batch

    def done(self) -> bool:
        return self._future is None or self._future.done()

    def cancel(self) -> None:
        if self._future is not None:
            self._future.cancel()


def finish_in_order(pending: Iterable[Pending]) -> None:
    """Finishes batches whose rows have been read, up to the first of which they have not.

    Programs that exchange rows have to be started in one order. With several processes none is started early: which
    rows have been read differs between them, and with it the order of all programs.
    """
    for batch in pending:
        if not (batch.starts_early and batch.done()):
            return
        try:
            batch.result()
        except Exception:  # raised again when its batch is asked for
            return


class Prefetcher:
    """Starts the batches of a stream; where rows have to be read, in threads."""

    def __init__(self, arguments: StreamArguments):
        self._arguments, self._spec, self._key = arguments, arguments.spec, arguments.key
        spec, key, num_threads = arguments.spec, arguments.key, arguments.num_threads
        read = [spec.leaves[place] for place in spec.distinct if spec.reads[place]]
        wanted = _default_threads(read) if num_threads is None else num_threads
        self._num_threads = min(arguments.prefetch, wanted) if read else 0
        self._reading_key = _on_cpu(key) if self._num_threads else key
        self._pool = Pool(self._num_threads, "jaxiter-stream")
        ahead = DrawsAhead(spec, key)
        self._ahead = ahead if ahead.is_worth_it else None

    def start(self, position: Position, donated: PyTree, settings: ThreadSettings) -> Pending:
        """`settings` are those of the calling thread; the reading threads work by them too."""
        if not self._num_threads:  # dispatch is asynchronous: arrays on the device need no thread
            try:
                return Pending(position, settings, None, batch=self._make(position, donated))
            except Exception as error:  # raised when its batch is asked for, after those before it
                return Pending(position, settings, None, error=error)
        # Threads refer to this and not to the stream, which may be dropped and then ends its threads.
        sharding = self._spec.sharding
        if sharding is None:
            return Pending(position, settings, self._pool.submit(settings.run, self._make, position, donated))
        return Pending(
            position,
            settings,
            self._pool.submit(settings.run, self._read, position),
            lambda rows: self._compute(position, rows, donated),
            starts_early=sharding.is_fully_addressable,
        )

    def close(self) -> None:
        """Ends the threads for good: what is started afterwards is cancelled."""
        self._pool.close()

    def restart(self) -> None:
        """Ends the threads; others start with the next batch."""
        if self._pool.is_used:
            self._pool.close()
            self._pool = Pool(self._num_threads, "jaxiter-stream")

    def cancel(self) -> None:
        """As `close`, without waiting."""
        self._pool.cancel()

    def _make(self, position: Position, donated: PyTree) -> PyTree:
        return self._compute(position, self._read(position), donated)

    def _read(self, position: Position) -> HostRows | None:
        if not self._spec.reads_any:
            return None
        epoch, step = map(np.uint32, position)
        return read_batch(self._spec, self._reading_key, epoch, step)

    def _compute(self, position: Position, rows: HostRows | None, donated: PyTree) -> PyTree:
        epoch, step = map(np.uint32, position)
        batch = compute_batch(self._spec, self._key, epoch, step, rows, donated, self._ahead)
        if not self._arguments.has_more_than_batches:
            return batch
        masks = [batch_mask(self._spec, step)] if self._arguments.with_mask else []
        like = self._arguments.step_keys_like
        keys = [] if like is None else [like_given(step_key(self._key, epoch, step), like)]
        return (batch, *masks, *keys)


class Pool:
    """At most `num_threads` threads, started as they are needed, for tasks in the order in which they come.

    They end with `close()` or `cancel()`, for good, and with the interpreter. An executor of the standard library does
    all that is in its queue before the interpreter may end, and waits for a read that hangs for ever.
    """

    def __init__(self, num_threads: int, name: str):
        self._num_threads, self._name = num_threads, name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._has_ended = False
        self._lock = threading.RLock()  # a signal may close during a submit
        self._process = os.getpid()

    @property
    def is_used(self) -> bool:
        return len(self._threads) > 0

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """The result to come; cancelled where the pool has ended."""
        future: Future[T] = Future()
        with self._lock:
            if not self._has_ended:
                self._add_thread()
                self._tasks.put((future, function, arguments))
            if self._has_ended:
                future.cancel()
        return future

    def _add_thread(self) -> None:
        """Starts one more thread if there are fewer than asked for."""
        # One that was interrupted before its start, or that the system refused, does not count.
        self._threads = [thread for thread in self._threads if thread.ident is not None]
        if len(self._threads) >= self._num_threads:
            return
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)  # later than what JAX has registered, so earlier in the end
        thread = threading.Thread(target=_serve, args=(self._tasks,), name=self._name, daemon=True)
        self._threads.append(thread)
        _running[thread] = self
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                _running.pop(thread, None)
            raise

    def close(self) -> None:
        """Cancels the tasks in line and waits for those under way, but not for ever."""
        self.cancel()
        if os.getpid() == self._process:
            _wait(list(self._threads), time.monotonic() + _PATIENCE)

    def cancel(self) -> None:
        """Cancels the tasks that are not under way, and does not wait for the others."""
        if os.getpid() != self._process:  # a forked child has none of the threads
            return
        with self._lock:
            self._has_ended = True
            while True:
                try:
                    task = self._tasks.get_nowait()
                except Empty:
                    break
                if task is not None:
                    task[0].cancel()
            self._tasks.put(None)


_running: dict[threading.Thread, Pool] = {}  # threads that have not ended, also those of pools that were dropped


def _wait(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))


def _at_exit() -> None:
    """Ends all threads: one that is still in a JAX program when the interpreter has ended crashes the process."""
    running = {thread: pool for thread, pool in list(_running.items()) if pool._process == os.getpid()}
    for pool in running.values():
        pool.cancel()
    _wait(list(running), time.monotonic() + _PATIENCE)


def _serve(tasks: SimpleQueue[_Task | None]) -> None:
    try:
        while (task := tasks.get()) is not None:
            future, function, arguments = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments))
                except BaseException as error:
                    future.set_exception(error)
            del task, future, function, arguments  # nothing is held while waiting
        tasks.put(None)  # for the other threads
    finally:
        _running.pop(threading.current_thread(), None)


def _default_threads(read: list[Source]) -> int:
    """As many as there are cores, but one where it is not known that several may read at once."""
    if not all(isinstance(array_of(leaf), np.ndarray) or is_resident(leaf) or reads_in_threads(leaf) for leaf in read):
        return 1
    return min(_MAX_THREADS, num_cores())


def reads_in_threads(leaf: Source) -> bool:
    """Whether a source of ours says that several threads may read it at once."""
    return getattr(leaf, "reads_in_threads", False) is True


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_cpu(key: Key) -> Key:
    """The key where the rows of a batch are found without waiting for what a GPU is still computing."""
    if jax.default_backend() == "cpu":
        return key
    try:
        return jax.device_put(key, jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves the CPU out
        return key
