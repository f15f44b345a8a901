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

_PATIENCE = 5.0  # seconds that a close waits for reads under way, and the end of the interpreter for all of them

_Tasks = SimpleQueue[tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]] | None]

_at_work: dict[threading.Thread, Pool] = {}  # threads that have not ended, also those of pools that were dropped


class Pool:
    """At most `num_threads` threads, started as they are needed, for tasks in the order in which they come.

    They end by `close()` or `abandon()`, for good, and with the interpreter. An executor of the standard library does
    all that is in its queue before the interpreter may end, and waits for a read that hangs for ever.
    """

    def __init__(self, num_threads: int, name: str):
        self._num_threads, self._name = num_threads, name
        self._tasks: _Tasks = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._has_ended = False
        self._lock = threading.RLock()  # a signal may close in the midst of a submit
        self._process = os.getpid()

    @property
    def is_used(self) -> bool:
        return len(self._threads) > 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """The result to come; cancelled where the pool has ended."""
        future: Future[Any] = Future()
        with self._lock:
            if not self._has_ended:
                self._start_a_thread()
                self._tasks.put((future, function, arguments))
            if self._has_ended:
                future.cancel()
        return future

    def _start_a_thread(self) -> None:
        # One that was interrupted before its start, or that the system refused, is none.
        self._threads = [thread for thread in self._threads if thread.ident is not None]
        if len(self._threads) < self._num_threads:
            atexit.unregister(_at_exit)
            atexit.register(_at_exit)  # later than what JAX has registered, so earlier in the end
            thread = threading.Thread(target=_serve, args=(self._tasks,), name=self._name, daemon=True)
            self._threads.append(thread)
            _at_work[thread] = self
            try:
                thread.start()
            except BaseException:
                if thread.ident is None:
                    _at_work.pop(thread, None)
                raise

    def close(self) -> None:
        """Cancels the tasks in line and waits for those under way, but not for ever."""
        self.abandon()
        if os.getpid() == self._process:
            _wait(list(self._threads), time.monotonic() + _PATIENCE)

    def abandon(self) -> None:
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


def _wait(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))


def _at_exit() -> None:
    """A thread that is still in a program of JAX's when the interpreter has ended takes the process down with it."""
    at_work = {thread: pool for thread, pool in list(_at_work.items()) if pool._process == os.getpid()}
    for pool in at_work.values():
        pool.abandon()
    _wait(list(at_work), time.monotonic() + _PATIENCE)


def _serve(tasks: _Tasks) -> None:
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
        _at_work.pop(threading.current_thread(), None)
