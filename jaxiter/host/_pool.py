"""A few threads that read ahead and are gone when they should be."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

_PATIENCE = 5.0  # seconds that the end of the interpreter waits for a read that is under way

_Tasks = SimpleQueue[tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]] | None]


class Pool:
    """At most `num_threads` threads, started as they are needed, for tasks in the order in which they come.

    They end by `close()`, with the last reference to the pool, and with the interpreter. An executor of the standard
    library does all that is in its queue before the interpreter may end, and waits for a read that hangs for ever.
    """

    def __init__(self, num_threads: int, name: str):
        self._num_threads, self._name = num_threads, name
        self._tasks: _Tasks = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._process = os.getpid()
        # None of these may hold the pool itself, which would then never be dropped.
        self._at_exit = partial(_end, self._tasks, self._threads, self._process, _PATIENCE)
        atexit.register(self._at_exit)  # later than what JAX has registered, so earlier in the end
        self._dropped = weakref.finalize(self, _dropped, self._at_exit, self._tasks, self._threads)
        self._dropped.atexit = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put((future, function, arguments))
        if len(self._threads) < self._num_threads:
            thread = threading.Thread(target=_serve, args=(self._tasks,), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Waits for the tasks under way and cancels the others."""
        self._dropped.detach()
        atexit.unregister(self._at_exit)
        _end(self._tasks, self._threads, self._process, None)


def _serve(tasks: _Tasks) -> None:
    while (task := tasks.get()) is not None:
        future, function, arguments = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
        del task, future, function, arguments  # nothing is held while waiting


def _tell_to_end(tasks: _Tasks, threads: list[threading.Thread]) -> None:
    while True:
        try:
            task = tasks.get_nowait()
        except Empty:
            break
        if task is not None:
            task[0].cancel()
    for _ in threads:
        tasks.put(None)


def _end(tasks: _Tasks, threads: list[threading.Thread], process: int, patience: float | None) -> None:
    if os.getpid() != process:  # a forked child has none of the threads
        return
    _tell_to_end(tasks, threads)
    deadline = None if patience is None else time.monotonic() + patience
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _dropped(at_exit: Callable[[], None], tasks: _Tasks, threads: list[threading.Thread]) -> None:
    # Whoever drops the last reference, in whatever thread, is not kept waiting.
    atexit.unregister(at_exit)
    _tell_to_end(tasks, threads)
