"""A function of many things, several at a time, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

from ._prefetch import Pool, num_cores

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4  # results that may wait, for each thread


def in_threads(function: Callable[[T], R], things: Iterable[T], num_threads: int | None = None) -> Generator[R]:
    """`function(thing)` of each, in their order; a few are done ahead.

    An error is raised at its own place. The threads end with the iterator.

    Args:
        num_threads: By default as many as there are cores.
    """
    num_threads = num_cores() if num_threads is None else num_threads
    pool = Pool(num_threads, "jaxiter-files")
    waiting: deque[Future[R]] = deque()
    try:
        for thing in things:
            waiting.append(pool.submit(function, thing))
            if len(waiting) > _AHEAD * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.close()
