"""A few threads that read ahead and are gone when they should be."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

_PATIENCE = 5.0  # seconds that a close waits for reads under way, and that the end of the interpreter waits for all
_end: list[float] = []  # when that will be over, once it has begun

_Tasks = SimpleQueue[tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]] | None]


class Pool:
    """At most `num_threads` threads, started as they are needed, for tasks in the order in which they come.

    They end by `close()` or `abandon()`, and with the interpreter. An executor of the standard library does all that is
    in its queue before the interpreter may end, and waits for a read that hangs for ever.
    """

    def __init__(self, num_threads: int, name: str):
        self._num_threads, self._name = num_threads, name
        self._tasks: _Tasks = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._process = os.getpid()
        atexit.register(self._at_exit)  # later than what JAX has registered, so earlier in the end

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put((future, function, arguments))
        if len(self._threads) < self._num_threads:
            thread = threading.Thread(target=_serve, args=(self._tasks,), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Cancels the tasks in line and waits for those under way, but not for ever."""
        self.abandon()
        self._wait(_PATIENCE)

    def abandon(self) -> None:
        """Cancels the tasks that are not under way, and does not wait for the others."""
        atexit.unregister(self._at_exit)
        if os.getpid() != self._process:  # a forked child has none of the threads
            return
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                break
            if task is not None:
                task[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)

    def _at_exit(self) -> None:
        self.abandon()
        if not _end:
            _end.append(time.monotonic() + _PATIENCE)
        self._wait(max(0.0, _end[0] - time.monotonic()))

    def _wait(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        for thread in self._threads if os.getpid() == self._process else ():
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


def _serve(tasks: _Tasks) -> None:
    while (task := tasks.get()) is not None:
        future, function, arguments = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
        del task, future, function, arguments  # nothing is held while waiting
