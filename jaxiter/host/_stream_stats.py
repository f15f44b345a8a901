"""How fast a stream is, and how long its caller waited."""

from __future__ import annotations

from typing import NamedTuple

from ..loader.internal import BatchSpec
from ._prefetch import Position


class StreamStats(NamedTuple):
    """Batches, images per second and share of waiting of a stream, since it was made or since `set_state`.

    Attributes:
        batches: How many it returned.
        images_per_second: Examples returned, without those that "pad" filled batches with, for each second from the
            return of the first batch to the return of the last: the first one, for which programs are compiled, is left
            out. 0.0 before the second batch.
        waiting: The share of that time that was spent in `next`, from 0 to 1: near 0 where the batches are ready when
            they are asked for. JAX runs programs asynchronously, so a batch that `next` returned at once may still be
            under way.

    Example:
        >>> StreamStats(batches=812, images_per_second=12300.1234, waiting=0.0311)
        StreamStats(batches=812, images_per_second=12300.1, waiting=0.031)
    """

    batches: int
    images_per_second: float
    waiting: float

    def __repr__(self) -> str:
        rate, waiting = round(self.images_per_second, 1), round(self.waiting, 3)
        return f"StreamStats(batches={self.batches}, images_per_second={rate}, waiting={waiting})"


class Stopwatch:
    """When batches were returned, and how long their calls took; times in seconds."""

    __slots__ = ("_first", "_last", "_start", "_waited")

    def __init__(self, start: Position):
        self._start = start  # of the stream
        self._first: tuple[float, Position] | None = None  # when the first batch was returned, and the position then
        self._last = self._waited = 0.0

    def count(self, began: float, ended: float, position: Position) -> None:
        """Notes that a call returned a batch, before `position`."""
        if self._first is None:
            self._first = ended, position
        else:
            self._waited += ended - began
        self._last = ended

    def stats(self, spec: BatchSpec, position: Position) -> StreamStats:
        """What was measured up to `position`."""
        batches = num_batches(self._start, position, spec.num_steps)
        if self._first is None or self._last <= self._first[0] or position <= self._first[1]:
            return StreamStats(batches, 0.0, 0.0)
        elapsed = self._last - self._first[0]
        return StreamStats(batches, _num_images(spec, self._first[1], position) / elapsed, self._waited / elapsed)


def num_batches(start: Position, stop: Position, num_steps: int) -> int:
    """How many batches there are from one position to another."""
    return (stop[0] - start[0]) * num_steps + stop[1] - start[1]


def _num_images(spec: BatchSpec, start: Position, stop: Position) -> int:
    """Examples of those batches; the last one of an epoch may hold fewer."""
    missing = max(0, spec.num_steps * spec.batch_size - spec.size)
    return num_batches(start, stop, spec.num_steps) * spec.batch_size - (stop[0] - start[0]) * missing
