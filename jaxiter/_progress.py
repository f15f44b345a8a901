"""How far long passes over the data are, for people who wait."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from math import ceil
from time import monotonic
from typing import Protocol, Self, TypeVar

import numpy as np

T = TypeVar("T")
_INTERVAL = 0.1  # seconds between two lines


class _Bar(Protocol):
    def update(self, count: int, /) -> object: ...
    def close(self) -> object: ...


class Progress:
    """How many images of one pass are done, how fast, and the time left; as a context it ends with the block.

    Args:
        title: What is done.
        total: Images in all.
        shown: False: nothing is shown.
    """

    def __init__(self, title: str, total: int, *, shown: bool = True):
        self._bar = _bar(title, total) if shown else None

    def update(self, count: int) -> None:
        """`count` more images are done."""
        if self._bar is not None:
            self._bar.update(count)

    def watch(self, pictures: Iterable[T]) -> Iterator[T]:
        """The pictures, each of which is done when the next is asked for."""
        for picture in pictures:
            yield picture
            self.update(1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class Passes:
    """Called with the blocks of one pass after the other, shows how many images of it are done.

    Args:
        what: What is computed.
        num_passes: How many passes there will be.
        size: Images in each.
    """

    def __init__(self, what: str, num_passes: int, size: int):
        self._what, self._num_passes, self._size = what, num_passes, size
        self._begun = 0

    def __call__(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        self._begun += 1
        with Progress(f"{self._what}, pass {self._begun} of {self._num_passes}", self._size) as progress:
            for block in blocks:
                yield block
                progress.update(len(block))  # once it was used, which may take longer than reading it


def _bar(title: str, total: int) -> _Bar:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Line(title, total)
    return tqdm(desc=title, total=total, unit=" images")


class _Line:
    """One line on stderr that is written anew."""

    def __init__(self, title: str, total: int):
        self._title, self._total, self._done = title, total, 0
        self._begun = monotonic()
        self._written, self._width = -_INTERVAL, 0
        self._write(self._begun)

    def update(self, count: int) -> None:
        self._done += count
        now = monotonic()
        if now - self._written >= _INTERVAL or self._done == self._total:
            self._write(now)

    def _write(self, now: float) -> None:
        share = self._done / self._total if self._total else 1.0
        text = f"{self._title}: {self._done:,} of {self._total:,} images ({share:.0%}){self._speed(now)}"
        # Spaces cover what a longer line left.
        print(f"\r{text.ljust(self._width)}", end="", file=sys.stderr, flush=True)
        self._written, self._width = now, len(text)

    def _speed(self, now: float) -> str:
        if self._done == 0 or now <= self._begun:
            return ""
        rate = self._done / (now - self._begun)
        left = "" if self._done == self._total else f", {_duration((self._total - self._done) / rate)} left"
        return f", {rate:,.0f}/s{left}" if rate >= 10 else f", {rate:.2g}/s{left}"

    def close(self) -> None:
        print(file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """`5 s`, `2:05`, `1:02:05`."""
    whole = ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
