"""The stateful shell around a Loader: it counts, and it works ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import jax
import numpy as np

from .._keys import STREAM_VERSION, Key, as_key
from ..loader import Loader
from ..loader._data import is_resident

_Position = tuple[int, int]


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
) -> Stream:
    """Batches one after the other, epoch after epoch, with the next ones under way.

    What it yields is exactly `loader.batch(key, epoch, step)` at each place, so a run resumes from `position`.

    Args:
        loader: What to show.
        key: As for `Loader.batch`.
        start: (epoch, step) of the first batch.
        num_epochs: The epoch at which it stops, counted from 0 whatever `start` is; None never ends.
        prefetch: Batches that are made ahead. With arrays on the host a thread reads them; it ends with the stream.
            0 makes each batch when it is asked for.
        sharding: A `jax.sharding.Sharding` over the leading axis, whose devices divide batch_size: every batch is
            placed by it. None: on the default device.
        with_mask: Yield `(batch, mask)`, for remainder="pad".
        donate: Take every batch back when the next one is asked for: its memory is that of a batch to come, and JAX
            refuses to use it again. For large batches on CPU; see `Loader.batch`.

    Returns:
        An iterator with `position`, `get_state()`, `set_state()` and `close()`; also a context manager.

    Raises:
        ValueError, TypeError: For a start that is no place of the stream, a negative prefetch or num_epochs, a key
            of the wrong kind, or donate together with sharding; when asked for a batch after `close()`.

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
    )


class _Done:
    """As much of a `Future` as is needed of what is there at once; a real one takes a fifth of a small batch's time."""

    __slots__ = ("_batch", "_error")

    def __init__(self, batch: Any, error: Exception | None = None):
        self._batch, self._error = batch, error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._batch

    def cancel(self) -> bool:
        return False


class Stream(Iterator[Any]):
    """See `stream`."""

    def __init__(
        self,
        loader: Loader,
        key: Key,
        *,
        start: _Position,
        num_epochs: int | None,
        prefetch: int,
        sharding: Any,
        with_mask: bool,
        donate: bool,
    ):
        if not isinstance(loader, Loader):
            raise TypeError(f"loader is a {type(loader).__name__}; expected a jaxiter.Loader.")
        self._loader, self._key, self._with_mask = loader, as_key(key), with_mask
        self._num_epochs = None if num_epochs is None else _check_count("num_epochs", num_epochs)
        self._prefetch = _check_count("prefetch", prefetch)
        if not isinstance(donate, bool):
            raise TypeError(
                f"donate is a {type(donate).__name__}; expected True or False: a stream takes back the batches that it "
                "handed over."
            )
        if sharding is not None:
            _check_sharding(loader, sharding)
            if donate:
                raise ValueError("donate=True and a sharding exclude each other; pass one of them.")
        self._sharding, self._donate = sharding, donate
        self._lent: tuple[_Position, Any] | None = None  # the batch that was handed over last, if it is to come back
        self._threaded = self._prefetch > 0 and not all(map(is_resident, jax.tree.leaves(loader.data)))
        self._was_closed_early = False
        self._executor: ThreadPoolExecutor | None = None
        # Batches made or being made ahead, the first of them that of `_position`.
        self._pending: deque[Future[Any] | _Done] = deque()
        self._position = self._check_position(start)

    @property
    def position(self) -> _Position:
        """(epoch, step) of the next batch that will be handed over; batches made ahead do not count."""
        return self._position

    def get_state(self) -> dict[str, Any]:
        """The position and what it depends on, as a dict that JSON can hold. The key is yours to keep."""
        epoch, step = self._position
        return {"epoch": epoch, "step": step, **self._identity()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken.

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
                f"state was taken from another stream: {'; '.join(wrong)}. Make the loader as it was then."
            )
        position = self._check_position((state["epoch"], state["step"]))
        self._discard()
        self._position = position

    def close(self) -> None:
        """Ends the thread, if there is one; may be called again."""
        self._was_closed_early = self._was_closed_early or not self._has_ended(self._position)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._has_ended(self._position) and not self._was_closed_early:
            self._release()
            raise StopIteration
        self._check_open()
        place = self._position
        for _ in self._pending:
            place = self._after(place)
        while len(self._pending) <= self._prefetch and not self._has_ended(place):
            self._pending.append(self._make(place, self._take_back(place)))
            place = self._after(place)
        try:
            batch = self._pending[0].result()
        except BaseException:
            # Nothing is lost: the position stays, and the batch is made again when it is asked for again.
            self._discard()
            raise
        self._pending.popleft()
        if self._donate:
            self._lent = self._position, batch[0] if self._with_mask else batch
        self._position = self._after(self._position)
        if self._has_ended(self._position):
            self._release()
        return batch

    def _take_back(self, place: _Position) -> Any:
        """The batch that was handed over last, if one at `place` fits its memory."""
        if self._lent is None:
            return None
        (_, step), batch = self._lent
        self._lent = None
        return batch if self._loader._rule(step) == self._loader._rule(place[1]) else None

    def _make(self, place: _Position, donated: Any) -> Future[Any] | _Done:
        arguments = (self._loader, self._key, place, self._with_mask, self._sharding, donated)
        if self._threaded:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jaxiter-stream")
            # The worker gets no reference to this stream, so that a stream that is dropped ends its thread.
            return self._executor.submit(_batch_under, _jax_scopes(), *arguments)
        # Arrays on the device need no thread: JAX returns at once and computes behind our back.
        try:
            return _Done(_batch_at(*arguments))
        except Exception as error:  # raised when its batch is handed over, after those before it
            return _Done(None, error)

    def _after(self, place: _Position) -> _Position:
        epoch, step = place
        return (epoch, step + 1) if step + 1 < self._loader.num_steps else (epoch + 1, 0)

    def _has_ended(self, place: _Position) -> bool:
        return self._num_epochs is not None and place[0] >= self._num_epochs

    def _discard(self) -> None:
        for future in self._pending:
            future.cancel()
        self._pending.clear()

    def _release(self) -> None:
        self._discard()
        self._lent = None
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def _check_open(self) -> None:
        if self._was_closed_early:
            raise ValueError(
                f"the stream is closed; it stopped at position {self._position}. Make another one with "
                f"stream(loader, key, start={self._position})."
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

    def _check_position(self, position: Any) -> _Position:
        try:
            epoch, step = position
        except (TypeError, ValueError):
            raise TypeError(f"start is {position!r}; expected (epoch, step), two integers.") from None
        epoch, step = _check_count("start[0]", epoch), _check_count("start[1]", step)
        if step > self._loader.num_steps or epoch >= 2**32:
            raise ValueError(
                f"start is {(epoch, step)}; expected an epoch below 2**32 and a step of at most "
                f"{self._loader.num_steps}, the batches of one epoch."
            )
        return (epoch + 1, 0) if step == self._loader.num_steps else (epoch, step)


def _batch_at(loader: Loader, key: Key, place: _Position, with_mask: bool, sharding: Any, donated: Any) -> Any:
    epoch, step = map(np.uint32, place)
    batch = loader._batch(key, epoch, step, donated)
    result = (batch, loader.mask(step)) if with_mask else batch
    return result if sharding is None else jax.device_put(result, sharding)


def _jax_scopes() -> dict[str, Any]:
    """Settings that `with` blocks change for the calling thread alone; the worker takes them over."""
    names = ("enable_x64", "default_device", "numpy_dtype_promotion")
    return {name: getattr(jax.config, f"jax_{name}") for name in names}


def _batch_under(scopes: dict[str, Any], *arguments: Any) -> Any:
    with ExitStack() as stack:
        for name, value in scopes.items():
            stack.enter_context(getattr(jax, name)(value))
        return _batch_at(*arguments)


def _check_sharding(loader: Loader, sharding: Any) -> None:
    if jax.process_count() > 1:
        raise ValueError(f"sharding with {jax.process_count()} processes is not supported; pass sharding=None.")
    if loader.remainder == "keep":
        raise ValueError("remainder='keep' makes the last batch short, which cannot be sharded; use remainder='pad'.")
    try:
        sharding.shard_shape((loader.batch_size,))
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"sharding is {sharding!r}, which does not divide batch_size {loader.batch_size} over the leading axis; "
            "expected for example NamedSharding(mesh, P('data')) with a batch_size that its devices divide."
        ) from error


def _check_count(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; expected a Python int.")
    if value < 0:
        raise ValueError(f"{name} is {value}; expected 0 or more.")
    return int(value)
