"""The stateful shell around a Loader: it counts, and it works ahead."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

import jax
import numpy as np

from .._keys import STREAM_VERSION, Key, as_key, uncommitted
from ..loader import Loader
from ..loader.internal import check_streaming
from ._making import Begun, Maker, Place, start_those_read
from ._process_check import disagreement_in, of_stream

_END_OF_EPOCHS = 2**32
_UNHURRIED = 2e-3  # seconds between two batches, beside which a late start of a thread is nothing


def stream(
    loader: Loader,
    key: Key,
    *,
    start: tuple[int, int] = (0, 0),
    num_epochs: int | None = None,
    prefetch: int = 2,
    sharding: Any = None,
    with_mask: bool = False,
    donate: bool = False,
    num_threads: int | None = None,
) -> Stream:
    """Batches one after the other, epoch after epoch, with the next ones under way.

    What it yields is exactly `loader.batch(key, epoch, step)` at each place, so a run resumes from `position`.

    Args:
        loader: What to show.
        key: As for `Loader.batch`.
        start: (epoch, step) of the first batch.
        num_epochs: The epoch at which it stops, counted from 0 whatever `start` is; None never ends.
        prefetch: Batches that are made ahead. With arrays on the host threads read them; they end with the stream.
            0 makes each batch when it is asked for.
        sharding: A `jax.sharding.Sharding` over the leading axis, whose devices divide batch_size: batches are global
            arrays laid out by it, and every device makes its own part. Where it has devices of several processes all
            of them make the stream alike, which is checked when it starts, and each reads only its own rows. None:
            whole batches on the default device, in every process the same.
        with_mask: Yield `(batch, mask)`, for remainder="pad".
        donate: Take every batch back when the next one is asked for: its memory is that of a batch to come, and JAX
            refuses to use it again. For large batches on CPU; see `Loader.batch`.
        num_threads: How many threads read arrays on the host, no more than prefetch: each reads a batch of its own, so
            sources that wait (disks, networks) want both large. None: for NumPy arrays and memmaps one for each core,
            at most 4; else 1, as not every source may be read from several threads at once.

    Returns:
        An iterator with `position`, `get_state()`, `set_state()` and `close()`; also a context manager.

    Raises:
        ValueError, TypeError: For a start that is no place of the stream, a negative prefetch or num_epochs, a key
            of the wrong kind, a sharding that does not divide the batch, donate together with sharding, more batches
            ahead than the device has memory for (see `Loader.plan`), or processes that differ in their arguments; when
            asked for a batch after `close()`.
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
    return Stream(
        loader,
        key,
        start=start,
        num_epochs=num_epochs,
        prefetch=prefetch,
        sharding=sharding,
        with_mask=with_mask,
        donate=donate,
        num_threads=num_threads,
    )


class Stream(Iterator[Any]):
    """See `stream`."""

    def __init__(
        self,
        loader: Loader,
        key: Key,
        *,
        start: Place,
        num_epochs: int | None,
        prefetch: int,
        sharding: Any,
        with_mask: bool,
        donate: bool,
        num_threads: int | None,
    ):
        if not isinstance(loader, Loader):
            raise TypeError(f"loader is a {type(loader).__name__}; expected a jaxiter.Loader.")
        self._loader, self._key, self._with_mask = loader, uncommitted(as_key(key)), with_mask
        self._num_epochs = None if num_epochs is None else _check_count("num_epochs", num_epochs)
        self._prefetch = _check_count("prefetch", prefetch)
        if not isinstance(donate, bool):
            raise TypeError(
                f"donate is a {type(donate).__name__}; expected True or False: a stream takes back the batches that it "
                "handed over."
            )
        if num_threads is not None and _check_count("num_threads", num_threads) == 0:
            raise ValueError("num_threads is 0; expected at least 1, or None. prefetch=0 reads without a thread.")
        if sharding is not None:
            loader._check_sharding(sharding)
            if donate:
                raise ValueError("donate=True and a sharding exclude each other; pass one of them.")
        self._sharding, self._donate = sharding, donate
        self._lent: tuple[Place, Any] | None = None  # the batch that was handed over last, if it is to come back
        self._handed_over = 0.0  # when, by time.perf_counter
        self._is_closed = False
        self._lock = threading.RLock()
        self._process = os.getpid()
        # Batches made or being made ahead, and the place of the first of them, which is that of `_position`.
        self._pending: deque[Begun] = deque()
        self._position = self._first_pending = self._check_position(start)
        self._check_agreement(self._position, self._refusal())
        self._maker = Maker(loader, self._key, self._prefetch, num_threads, sharding, with_mask)
        weakref.finalize(self, self._maker.abandon).atexit = False  # a pool of threads looks after its own end there

    @property
    def position(self) -> Place:
        """(epoch, step) of the next batch that will be handed over; batches made ahead do not count."""
        return self._position

    def get_state(self) -> dict[str, Any]:
        """The position and what it depends on, as a dict that JSON can hold. The key is yours to keep."""
        epoch, step = self._position
        return {"epoch": epoch, "step": step, **self._identity()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken; with several processes all of them do, together.

        Raises:
            ValueError: If a field is missing, or differs from this stream's; nothing is changed then.
        """
        self._check_open()
        expected = self._identity()
        if not isinstance(state, dict):
            raise TypeError(f"state is {state!r}; expected the dict that get_state() gave.")
        missing = [name for name in ("epoch", "step", *expected) if name not in state]
        if missing:
            raise ValueError(f"state lacks {', '.join(missing)}; expected what get_state() gave.")
        wrong = [
            f"{name} is {state[name]!r}, here {value!r}" for name, value in expected.items() if state[name] != value
        ]
        if wrong:
            raise ValueError(
                f"state was taken from another stream: {'; '.join(wrong)}. Make the loader as it was then; to "
                "go on with another batch_size, stream(..., start=(epoch, loader.step_after(examples seen in it)))."
            )
        position = self._check_position((state["epoch"], state["step"]), "state")
        self._check_agreement(position)
        with self._lock:
            self._discard()
            self._position = position

    def close(self) -> None:
        """Ends the threads, if there are any, with the reads that are under way; may be called again.

        A read that takes longer than five seconds is left to end by itself, and its thread with it.
        """
        self._is_closed = True
        self._let_go()
        self._maker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._check_process()  # in a child the lock may be held for ever
        with self._lock:  # threads may share a stream: every batch goes to one of them
            try:
                return self._next()
            except StopIteration:
                raise
            except Exception:
                if self._is_closed:  # by another thread, meanwhile; then the error is of that
                    self._discard()
                    self._check_open()
                raise

    def _next(self) -> Any:
        if self._has_ended(self._position):
            self._rest()
            raise StopIteration
        self._check_open()
        if self._first_pending != self._position:  # an interrupt came between two lines below
            self._discard()
        self._first_pending = self._position
        # What is begun wakes a thread, which wants Python's lock: where whoever trains is slower than the threads, a
        # batch is handed over first. Else none should stand still; and a batch that gives its memory has to be back.
        is_ahead = not self._donate and self._is_ahead()
        if not is_ahead:
            self._begin_ahead(is_urgent=True)
        try:
            batch = self._pending[0].result()
            start_those_read(self._pending)
        except BaseException as error:
            # Nothing is lost: the position stays, and the batch is made again when it is asked for again.
            self._discard()
            if isinstance(error, StopIteration):  # which would end the loop as if there were no more
                raise RuntimeError(f"a source raised StopIteration, at position {self._position}.") from error
            raise
        if self._donate:
            self._lent = self._position, batch[0] if self._with_mask else batch
        if is_ahead:
            self._begin_ahead(is_urgent=False)
        if self._is_closed:
            self._check_open()
        self._handed_over = time.perf_counter()
        self._first_pending = self._after(self._position)
        self._pending.popleft()
        self._position = self._first_pending
        if self._has_ended(self._position):
            self._rest()
        return batch

    def _is_ahead(self) -> bool:
        away = time.perf_counter() - self._handed_over
        return away > _UNHURRIED and len(self._pending) > 0 and all(begun.done() for begun in self._pending)

    def _begin_ahead(self, is_urgent: bool) -> None:
        place = self._position
        for _ in range(len(self._pending)):
            place = self._after(place)
        while len(self._pending) <= self._prefetch and not self._has_ended(place):
            self._pending.append(self._maker.begin(place, self._take_back(place), is_urgent))
            place = self._after(place)

    def _take_back(self, place: Place) -> Any:
        """The batch that was handed over last, if one at `place` fits its memory."""
        if self._lent is None:
            return None
        (_, step), batch = self._lent
        self._lent = None
        return batch if self._loader._rule(step) == self._loader._rule(place[1]) else None

    def _after(self, place: Place) -> Place:
        epoch, step = place
        return (epoch, step + 1) if step + 1 < self._loader.num_steps else (epoch + 1, 0)

    def _has_ended(self, place: Place) -> bool:
        return place[0] >= (_END_OF_EPOCHS if self._num_epochs is None else self._num_epochs)

    def _discard(self) -> None:
        while self._pending:
            with suppress(IndexError):  # another thread does the same
                self._pending.pop().cancel()

    def _let_go(self) -> None:
        self._discard()
        self._lent = None

    def _rest(self) -> None:
        """At the end of all epochs, from which `set_state` leads back."""
        self._let_go()
        self._maker.rest()

    def _refusal(self) -> ValueError | None:
        """Of more batches than the device has memory for; a stream that ends soon makes fewer ahead."""
        num_steps, (epoch, step) = self._loader.num_steps, self._position
        left = _END_OF_EPOCHS if self._num_epochs is None else max(0, (self._num_epochs - epoch) * num_steps - step)
        try:
            check_streaming(self._loader, self._prefetch, self._sharding, self._donate, left)
        except ValueError as error:
            return error
        return None

    def _check_agreement(self, position: Place, refusal: ValueError | None = None) -> None:
        """With several processes all come here, also one that refuses: the others would wait for it."""
        if self._sharding is not None and not self._sharding.is_fully_addressable:
            fields = of_stream(self._loader, self._key, position, self._num_epochs, self._with_mask, self._sharding)
            # Where programs exchange rows, how many are started ahead decides their order among the user's own.
            fields |= {"prefetch": self._prefetch, "room for the batches": refusal is None}
            disagreement = disagreement_in(self._sharding, fields)
            refusal = refusal or disagreement
        if refusal is not None:
            raise refusal

    def _check_open(self) -> None:
        self._check_process()
        if self._is_closed:
            raise ValueError(
                f"the stream is closed; it stopped at position {self._position}. Make another one with "
                f"stream(loader, key, start={self._position})."
            )

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"the stream was made in process {self._process}, and {os.getpid()} was forked from it: neither its "
                "threads nor JAX work there. Start processes by 'spawn', and make the stream in each of them."
            )

    def _identity(self) -> dict[str, Any]:
        loader = self._loader
        return {
            "batch_size": loader.batch_size,
            "size": loader.size,
            "shuffle": loader.shuffle,
            "remainder": loader.remainder,
            "stream_version": STREAM_VERSION,
        }

    def _check_position(self, position: Any, name: str = "start") -> Place:
        try:
            epoch, step = position
        except (TypeError, ValueError):
            raise TypeError(f"{name} is {position!r}; expected (epoch, step), two integers.") from None
        epoch, step = _check_count(f"{name}[0]", epoch), _check_count(f"{name}[1]", step)
        if step > self._loader.num_steps or epoch >= _END_OF_EPOCHS:
            raise ValueError(
                f"{name} is {(epoch, step)}; expected an epoch below 2**32 and a step of at most "
                f"{self._loader.num_steps}, the batches of one epoch."
            )
        return (epoch + 1, 0) if step == self._loader.num_steps else (epoch, step)


def _check_count(name: str, value: Any) -> int:
    if isinstance(value, (np.ndarray, jax.Array)) and value.shape == () and np.issubdtype(value.dtype, np.integer):
        value = int(value)  # as checkpoints give numbers back
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; expected a Python int.")
    if value < 0:
        raise ValueError(f"{name} is {value}; expected 0 or more.")
    return int(value)
