"""How far long passes over the data are, for people who wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

import numpy as np


class _Bar(Protocol):
    def update(self, count: int, /) -> object: ...
    def close(self) -> object: ...


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
        bar = _bar(f"{self._what}, pass {self._begun} of {self._num_passes}", self._size)
        try:
            for block in blocks:
                yield block
                bar.update(len(block))  # once it was used, which may take longer than reading it
        finally:
            bar.close()


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
        self._text = ""
        self.update(0)

    def update(self, count: int) -> None:
        self._done += count
        text = f"{self._title}: {self._done:,} of {self._total:,} images ({self._done / self._total:.0%})"
        if text != self._text:
            self._text = text
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print(file=sys.stderr, flush=True)
