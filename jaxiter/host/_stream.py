"""The stateful shell around a Loader: it counts, and it works ahead."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2s
from time import perf_counter
from typing import Self, TypedDict

import jax
import numpy as np
from jax.sharding import Sharding

from .._checks import check_flag, check_int, check_process
from .._describe import shown
from .._keys import STREAM_VERSION, Key, as_key, uncommitted
from .._state import check_state
from .._transfers import on_host
from ..loader import Loader
from ..loader.internal import PyTree, check_loader, check_streaming, spec_of
from ._prefetch import Pending, Position, Prefetcher, StreamArguments, finish_in_order
from ._process_check import disagreement_in, stream_fields
from ._stream_stats import Stopwatch, StreamStats, num_batches
from ._thread_settings import ThreadSettings

_END_OF_EPOCHS = 2**32


def stream(
    loader: Loader,
    key: Key,
    *,
    start: tuple[int, int] = (0, 0),
    num_epochs: int | None = None,
    prefetch: int = 2,
    sharding: Sharding | None = None,
    with_mask: bool = False,
    with_key: bool = False,
    donate: bool = False,
    num_threads: int | None = None,
) -> Stream:
    """The batches of a loader one after the other, epoch after epoch, with the next ones made ahead.

    What it yields is exactly `loader.batch(key, epoch, step)` at each position, so a run resumes from `position`. JAX's
    settings that a `with` block changes hold in its threads too.

    Args:
        loader: What to show.
        key: As for `Loader.batch`.
        start: (epoch, step) of the first batch, at most (num_epochs, 0), where nothing is left.
        num_epochs: The epoch at which it stops, counted from 0 whatever `start` is; None never ends.
        prefetch: Batches computed ahead. Arrays on the host are read by threads, which end with the stream.
            0 computes each batch when it is asked for.
        sharding: A `jax.sharding.Sharding` over the leading axis, whose devices divide batch_size: batches are global
            arrays laid out by it, and every device makes its own part. Where it has devices of several processes all
            of them make the stream alike, which is checked when it starts, and each reads only its own rows. None:
            whole batches on the default device, in every process the same.
        with_mask: Yield `(batch, mask)`, for remainder="pad".
        with_key: Yield `(batch, key)`, or `(batch, mask, key)`; the key is `loader.step_key(key, epoch, step)`, for
            dropout, `mixup` and whatever else a step draws.
        donate: Reuse the memory of every batch, once the next one is asked for, for a batch to come, as
            `donate_argnums` of `jax.jit` does: the old batch is deleted, and JAX refuses to use it again. Large batches
            on CPU gain by it, where fresh memory can take as long as the batch itself.
        num_threads: How many threads read arrays on the host, no more than prefetch: each reads a batch of its own, so
            sources that wait (disks, networks) want both large. None: for NumPy arrays and memmaps one for each core,
            at most 4; else 1, as not every source may be read from several threads at once.

    Returns:
        An iterator with `position`, `get_state()`, `set_state()`, `stats` and `close()`; also a context manager.
        `len(...)` is the number of batches left, where num_epochs is given.

    Raises:
        ValueError, TypeError: For a start that is no position of the stream, a negative prefetch or num_epochs, a key
            of the wrong kind, a sharding that does not divide the batch, donate together with sharding, more batches
            ahead than the device reports free memory for (see `Loader.memory`), or processes that differ in their
            arguments; when asked for a batch after `close()`.
        RuntimeError: When asked for a batch in a process that was forked after the stream was made.
        Exception: Whatever reading the data raises, itself, at its batch and with a note that names it. The position
            stays there: asked again, the stream reads that batch again.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Loader, stream
        >>> loader = Loader(np.arange(4), batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in stream(loader, jax.random.key(0), num_epochs=2)]
        [[0, 1], [2, 3], [0, 1], [2, 3]]
    """
    check_loader(loader, "stream(loader, key)")
    if num_epochs is not None:
        num_epochs = check_int("num_epochs", num_epochs)
    if num_threads is not None:
        expected = "at least 1, or None. prefetch=0 reads without a thread"
        num_threads = check_int("num_threads", num_threads, 1, expected=expected)
    donate = check_flag("donate", donate, expected="True or False, for the stream's own batches")
    check_flag("with_mask", with_mask)
    like = key if check_flag("with_key", with_key) else None
    if donate and sharding is not None:
        raise ValueError("donate=True and a sharding exclude each other; pass one of them.")
    key, prefetch = uncommitted(as_key(key)), check_int("prefetch", prefetch)
    spec = spec_of(loader, sharding)
    arguments = StreamArguments(spec, key, num_epochs, prefetch, with_mask, like, donate, num_threads)
    return Stream(arguments, start)


class StreamState(TypedDict):
    """What `Stream.get_state` returns: `epoch` and `step` of the next batch, and what these depend on.

    `key` and `rows` are digests, `rows` "all" where every row is visited once.
    """

    epoch: int
    step: int
    batch_size: int
    size: int
    shuffle: bool
    remainder: str
    stream_version: int
    key: str
    rows: str


def _short_digest(numbers: np.ndarray) -> str:
    return blake2s(numbers.astype("<u4").tobytes(), digest_size=8).hexdigest()


class Stream(Iterator[PyTree]):
    """What `stream` returns: an iterator over batches that knows its position and can be resumed."""

    def __init__(self, arguments: StreamArguments, start: Position):
        self._arguments, self._spec = arguments, arguments.spec
        self._num_steps = arguments.spec.num_steps
        self._last_batch: tuple[int, PyTree] | None = None  # with donate: step and batch that was returned last
        self._is_closed = False
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._pending: deque[Pending] = deque()  # consecutive batches; the first one should be that at `_position`
        self._position = self._check_position("start", start)
        self._stopwatch = Stopwatch(self._position)
        self._check_agreement(self._position, self._memory_error())
        self._prefetcher = Prefetcher(arguments)
        weakref.finalize(self, self._prefetcher.cancel).atexit = False  # a pool ends its threads itself there

    @property
    def position(self) -> Position:
        """(epoch, step) of the next batch that will be returned; batches made ahead do not count."""
        return self._position

    @property
    def stats(self) -> StreamStats:
        """Batches returned so far, images per second, and the share of the time that was spent waiting in `next`.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader, stream
            >>> batches = stream(Loader(np.arange(4), batch_size=2), jax.random.key(0), num_epochs=3)
            >>> _ = [next(batches) for _ in range(5)]
            >>> batches.stats.batches, len(batches), 0 < batches.stats.waiting < 1
            (5, 1, True)
        """
        return self._stopwatch.stats(self._spec, self._position)

    def __len__(self) -> int:
        num_epochs = self._arguments.num_epochs
        if num_epochs is None:
            raise TypeError(
                "this stream never ends, num_epochs=None, and has no length; expected one with an end: stream(loader, "
                "key, num_epochs=...)."
            )
        return num_batches(self._position, (num_epochs, 0), self._num_steps)

    def __bool__(self) -> bool:
        return True  # as every iterator is; by its length it would be False at the end, and an error without one

    def __repr__(self) -> str:
        (epoch, step), arguments, stats = self._position, self._arguments, self.stats
        state = "closed, " if self._is_closed else ""
        speed = f"; {stats.images_per_second:,.0f} images/s, {stats.waiting:.0%} of the time waiting"
        return (
            f"<jaxiter stream: {state}at epoch {epoch}, step {step} of {self._num_steps}, "
            f"num_epochs={arguments.num_epochs}, batch_size={self._spec.batch_size}, prefetch={arguments.prefetch}"
            f"{speed if stats.images_per_second else ''}>"
        )

    def get_state(self) -> StreamState:
        """The position and what it depends on, as a dict that JSON can hold; save the key beside it.

        Neither data nor weights of the loader are in it: a loader with others goes on at the same place.
        """
        epoch, step = self._position
        spec = self._spec
        return {
            "epoch": epoch,
            "step": step,
            "batch_size": spec.batch_size,
            "size": spec.size,
            "shuffle": spec.shuffle,
            "remainder": spec.remainder,
            "stream_version": STREAM_VERSION,
            "key": self._digests["key"],
            "rows": self._digests["rows"],
        }

    def set_state(self, state: Mapping[str, object]) -> None:
        """Continue where `get_state` was called, with `stats` begun anew; several processes do so together.

        Raises:
            ValueError: If a field is missing, or differs from this stream's; nothing is changed then. Older
                states, without `key` and `rows`, are taken without them.
        """
        self._check_open()
        remedy = (
            "Make the loader as it was then, and the stream with the same key; to go on with another batch_size, "
            "stream(..., start=(epoch, loader.step_after(examples seen in it)))."
        )
        apart = ("epoch", "step", *self._digests)
        expected = {name: value for name, value in self.get_state().items() if name not in apart}
        check_state(state, expected, ("epoch", "step"), remedy=remedy, digests=self._digests)
        position = self._check_position("state", (state["epoch"], state["step"]))
        self._check_agreement(position)
        with self._lock:
            self._cancel_pending()
            self._position = position
            self._stopwatch = Stopwatch(position)

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Of what else decides which examples are shown, and has no place in a small state."""
        visited, rows = self._spec.visited, "all"
        if visited is not None and visited.rows is not None:
            numbers = np.asarray(on_host(visited.rows))[: self._spec.size]
            rows = rows if np.array_equal(numbers, np.arange(self._spec.size)) else _short_digest(numbers)
        return {"key": _short_digest(np.asarray(on_host(jax.random.key_data(self._arguments.key)))), "rows": rows}

    def close(self) -> None:
        """Ends the threads, if there are any, with the reads that are under way; may be called again.

        A read that takes longer than five seconds is left to end by itself, and its thread with it.
        """
        self._is_closed = True
        self._cancel_pending()
        self._last_batch = None
        self._prefetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PyTree:
        check_process("the stream", self._process)  # in a forked child the lock may be held for ever
        with self._lock:  # threads may share a stream: every batch goes to one of them
            try:
                return self._next(perf_counter())
            except StopIteration:
                raise
            except Exception:
                if self._is_closed:  # by another thread, meanwhile; then the error is a consequence of that
                    self._cancel_pending()
                    self._check_open()
                raise

    def _next(self, began: float) -> PyTree:
        if self._has_ended(self._position):
            self._end_threads()
            raise StopIteration
        self._check_open()
        settings = ThreadSettings.current()
        if self._pending and not self._fits(self._pending[0], settings):
            self._cancel_pending()
        self._start_ahead(settings)
        try:
            batch = self._pending[0].result()
            finish_in_order(self._pending)
        except BaseException as error:
            # Nothing is lost: the position stays, and the batch is made again when it is asked for again.
            self._cancel_pending()
            if isinstance(error, StopIteration):  # which would end the loop as if there were no more
                raise RuntimeError(f"a source raised StopIteration, at position {self._position}.") from error
            raise
        if self._is_closed:
            self._check_open()
        if self._arguments.donate:
            self._last_batch = self._position[1], batch[0] if self._arguments.has_more_than_batches else batch
        following = self._after(self._position)
        is_last = self._has_ended(following)
        self._pending.popleft()
        self._stopwatch.count(began, perf_counter(), following)
        self._position = following  # an interrupt below this line loses the batch
        if is_last:
            self._end_threads()
        return batch

    def _fits(self, pending: Pending, settings: ThreadSettings) -> bool:
        """Whether it is the next batch, as `settings` make it.

        It is not where an interrupt came between two lines of `_next`, or a `with` block of JAX's settings began or
        ended since the batch was started.
        """
        return pending.position == self._position and pending.settings.are_those_of(settings)

    def _start_ahead(self, settings: ThreadSettings) -> None:
        position = self._after(self._pending[-1].position) if self._pending else self._position
        while len(self._pending) <= self._arguments.prefetch and not self._has_ended(position):
            self._pending.append(self._prefetcher.start(position, self._donated(position), settings))
            position = self._after(position)

    def _donated(self, position: Position) -> PyTree:
        """The batch that was returned last, if one at `position` has its length."""
        if self._last_batch is None:
            return None
        (step, batch), self._last_batch = self._last_batch, None
        fits = self._spec.program_at(step).index == self._spec.program_at(position[1]).index
        return batch if fits else None

    def _after(self, position: Position) -> Position:
        epoch, step = position
        return (epoch, step + 1) if step + 1 < self._num_steps else (epoch + 1, 0)

    def _has_ended(self, position: Position) -> bool:
        num_epochs = self._arguments.num_epochs
        return position[0] >= (_END_OF_EPOCHS if num_epochs is None else num_epochs)

    def _cancel_pending(self) -> None:
        while self._pending:
            with suppress(IndexError):  # another thread does the same
                self._pending.pop().cancel()

    def _end_threads(self) -> None:
        """At the end of all epochs, from which `set_state` leads back."""
        self._cancel_pending()
        self._last_batch = None
        self._prefetcher.restart()

    def _memory_error(self) -> ValueError | None:
        """More batches than the device has memory for; a stream that ends soon makes fewer ahead."""
        arguments = self._arguments
        end = _END_OF_EPOCHS if arguments.num_epochs is None else arguments.num_epochs
        batches = max(0, num_batches(self._position, (end, 0), self._num_steps))
        try:
            check_streaming(self._spec, arguments.prefetch, arguments.donate, batches)
        except ValueError as error:
            return error
        return None

    def _check_agreement(self, position: Position, error: ValueError | None = None) -> None:
        """Raises `error`; with several processes all of them have to come here first, also one with an error."""
        sharding = self._spec.sharding
        if sharding is not None and not sharding.is_fully_addressable:
            fields = stream_fields(self._arguments, position) | {"memory for the batches": error is None}
            disagreement = disagreement_in(sharding, fields)
            error = error or disagreement
        if error is not None:
            raise error

    def _check_open(self) -> None:
        check_process("the stream", self._process)
        if self._is_closed:
            raise ValueError(
                f"the stream is closed; it stopped at position {self._position}. Make another one with "
                f"stream(loader, key, start={self._position})."
            )

    def _check_position(self, name: str, position: Sequence[object]) -> Position:
        try:
            epoch, step = position
        except (TypeError, ValueError):
            raise TypeError(f"{name} is {shown(position)}; expected (epoch, step), two integers.") from None
        epoch, step = check_int(f"{name}[0]", epoch), check_int(f"{name}[1]", step)
        if step > self._num_steps or epoch >= _END_OF_EPOCHS:
            raise ValueError(
                f"{name} is {(epoch, step)}; expected an epoch below 2**32 and a step of at most "
                f"{self._num_steps}, the batches of one epoch."
            )
        num_epochs = self._arguments.num_epochs
        if num_epochs is not None and (epoch, step) > (num_epochs, 0):
            raise ValueError(
                f"{name} is {(epoch, step)}, beyond the end of num_epochs={num_epochs}; expected a position up to "
                f"{(num_epochs, 0)}. num_epochs is the epoch at which the stream stops, counted from 0 whatever the "
                f"start is: for n epochs from there on pass num_epochs={epoch} + n."
            )
        return (epoch + 1, 0) if step == self._num_steps else (epoch, step)
