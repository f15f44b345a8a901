"""Which examples make up the next batch, counted as Keras counts."""

from __future__ import annotations

import functools
import operator
import os
import threading
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Self, SupportsIndex

import jax
import numpy as np

from .._checks import is_forked
from .._keys import Key
from ..sampler import permutation
from ..sampler.internal import order_on_host
from ._draw import BatchContext, batch_context, call_context_of, context_of, stream_words
from ._forked import numpy_if_forked, takes_jax_arrays
from ._iterator_state import checked_state, restore, state_of
from ._numpy_stream import KerasStream
from ._own_methods import METHODS, call_mixins, give_contexts, has_context, with_context
from ._pydataset import MaybeDataset, check_joined, check_made_here, join_keras
from ._repr import iterator_repr
from ._seed import Seed, seed_key
from ._showings import Showings

# What a copy has anew: locks, generators, and what they share between batches.
_OF_ONE_ITERATOR = {
    *("lock", "index_generator", "_stream", "_showings", "_file_numbers", "_transform_cache", "_process"),
    *("batch_index", "total_batches_seen", "index_array", "_own_order", "_epoch", "_is_restored"),
    *("_reader", "_expected", "_following"),
}
_FEW = 1024  # examples whose order is found in NumPy, in a millisecond


class Iterator(MaybeDataset):
    """An endless iterator over batches of examples; a subclass says what a batch of given examples is.

    Epochs follow each other without an end, the last batch of each is short, and `it[i]` is batch `i` of the present
    order. Threads may share one iterator: every example appears once in an epoch.

    Args:
        n: Number of examples.
        batch_size: Examples in a batch.
        shuffle: Show every epoch in an order of its own.
        seed: Decides the orders: an integer, a JAX key, or None for another one every time.
        rng: None, or "keras": for an integer seed in [0, 2**32) the orders are those of Keras, which follow from the
            seed and the number of batches seen. The batches that a subclass makes draw the parameters of Keras from
            an `ImageDataGenerator` too. NumPy's global stream stays untouched.
        workers, use_multiprocessing, max_queue_size: Kept for Keras 3, which asks for them; they do nothing here. With
            more workers Keras takes threads; in a forked process an iterator made before the fork raises an error.

    Raises:
        TypeError, ValueError: If seed is no such thing, or an integer outside [0, 2**64), for another rng, and for a
            batch_size that is no integer, or below 1 where there are examples.

    Example:
        >>> class Squares(Iterator):
        ...     def _get_batches_of_transformed_samples(self, index_array):
        ...         return index_array**2
        >>> squares = Squares(5, batch_size=2, shuffle=False, seed=None)
        >>> len(squares), [next(squares).tolist() for _ in range(4)]
        (3, [[0, 1], [4, 9], [16], [0, 1]])
    """

    white_list_formats: ClassVar[tuple[str, ...]] = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")
    # Here, so that they stand before the properties of a PyDataset, which warn until its own __init__ has run.
    workers: int = 1
    use_multiprocessing: bool = False
    max_queue_size: int = 10
    # For a subclass that sets the attributes above itself and passes __init__ by.
    _process: int = os.getpid()  # that of the import
    _stream: KerasStream | None = None
    _keyed: tuple[object, Key | None] = (object(), None)  # a seed, and its key
    _epoch: int = -1
    _own_order: np.ndarray | None = None  # what this class has made of index_array, which anyone may change
    _is_restored: bool = False  # and goes on from there, without the reset with which iteration begins

    @takes_jax_arrays
    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: Seed,
        *,
        rng: str | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        give_contexts(type(self), Iterator)  # to what was patched on the class since
        self._process = os.getpid()
        _check_batch_size(batch_size, n)
        if rng is not None and not (isinstance(rng, str) and rng == "keras"):
            raise ValueError(f"rng is {rng!r}; expected None, jaxiter's own stream, or 'keras', that of Keras.")
        self._stream = None if rng is None else KerasStream(seed)
        self._keyed = (seed, seed_key(seed))
        self.n = n
        self.batch_size = int(batch_size) if isinstance(batch_size, jax.Array) else batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size
        self.batch_index = 0
        self.total_batches_seen = 0
        # Reentrant, so that a thread that holds it may still ask for a batch or end an epoch.
        self.lock = threading.RLock()
        self._showings = Showings()
        self.index_array: np.ndarray | None = None
        self.index_generator = self._flow_index()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make what a subclass' own methods draw depend on the seed, also where they are asked for directly."""
        super().__init_subclass__(**kwargs)
        call_mixins(cls, Iterator)
        give_contexts(cls, Iterator)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, with_context(self, name, value) if name in METHODS else value)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which go on by themselves: the attributes, and where the iterator stands."""
        kept = {name: value for name, value in vars(self).items() if name not in _OF_ONE_ITERATOR}
        return {**kept, "_rng": self.rng, "_position": self.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = dict(state)
        position, rng = kept.pop("_position", None), kept.pop("_rng", None)
        vars(self).update(kept)
        if position is None:  # of a subclass that has a __getstate__ of its own
            return
        self._process, self.lock = os.getpid(), threading.RLock()
        self._stream = None if rng is None else KerasStream(self.seed)
        self.set_state(position)

    @property
    def rng(self) -> str | None:
        """Whose random stream this follows: None, jaxiter's own, or "keras"."""
        return None if self._stream is None else "keras"

    def __len__(self) -> int:
        return (self.n + self.batch_size - 1) // self.batch_size

    def __repr__(self) -> str:
        return iterator_repr(self)

    @has_context
    def __iter__(self) -> Self:
        return self

    @has_context
    # Any: x, (x, y) or (x, y, weights), of NumPy or JAX, by the arguments; a union would be narrowed at each use.
    def __next__(self) -> Any:
        return self.next()

    @has_context
    def next(self) -> Any:
        """The next batch, as `next(it)` gives it; a subclass that writes its own is asked by both, as in Keras 2."""
        with self.lock:
            index_array = next(self.index_generator)
            context = self._context(index_array)
        with batch_context(context):
            return self._get_batches_of_transformed_samples(index_array)

    @has_context
    def __getitem__(self, idx: int) -> Any:
        idx = idx if type(idx) is int else _batch_number(idx)
        if idx >= len(self):
            raise ValueError(f"Asked for batch {idx} of an iterator of length {len(self)}; expected at most the last.")
        with self.lock:
            if self._stream is not None:
                self._reseed()
            self.total_batches_seen += 1
            if self.index_array is None:
                self._set_index_array()
            index_array = self._counted(self.batch_size * idx, self.batch_size * (idx + 1))
            context = self._context(index_array)
        with batch_context(context):
            return self._get_batches_of_transformed_samples(index_array)

    def reset(self) -> None:
        """Start a new epoch, in a new order, at the next batch. Returns None."""
        self.batch_index = 0

    @has_context
    def on_epoch_end(self) -> None:
        """Begin a new epoch with a new order, at the position where the iterator stands. Returns None."""
        with self.lock:
            self._set_index_array()

    def get_state(self) -> dict[str, Any]:
        """Where the iterator stands: what `set_state` needs to give the batches that come next, as JSON can hold it.

        Counted are batches that the iterator has returned; a Keras that fetches them ahead has not shown all of those.
        """
        with self.lock:
            return state_of(self)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called, on this iterator or on one made in the same way, in another process too.

        With seed=None, which gives every iterator another stream, this one takes over that of the state.

        Raises:
            ValueError: If a field is missing or differs from this iterator's; nothing is changed then.
            TypeError: If state is no dict.

        Example:
            >>> import numpy as np
            >>> from jaxiter.keras import ImageDataGenerator
            >>> flow = ImageDataGenerator(rotation_range=10).flow
            >>> before, after = (flow(np.zeros((6, 8, 8, 3)), np.arange(6), batch_size=2, seed=seed) for seed in (1, 1))
            >>> _ = next(before)
            >>> after.set_state(before.get_state())
            >>> next(before)[1].tolist() == next(after)[1].tolist()
            True
        """
        with self.lock:
            restore(self, checked_state(self, state))
            self._is_restored = True
            self.index_generator = self._flow_index()

    def as_keras(self) -> Self:
        """This very iterator, now a `keras.utils.PyDataset` for `fit`, `evaluate` and `predict`.

        All are, as soon as one is made after Keras was imported. Keras goes by index, with an epoch end after each pass
        and after a first look at the shapes. A batch of images alone it takes as a NumPy array only (output="numpy").

        Raises:
            RuntimeError: If Keras 3 has not been imported. TypeError: If some class derives from PyDataset first and
                from an iterator second.
        """
        join_keras(Iterator)
        check_joined(Iterator)
        return self

    @functools.cached_property
    def _showings(self) -> Showings:
        return Showings()  # at once in __init__, where there is one

    @has_context
    def _set_index_array(self) -> None:
        if self._epoch >= 0:  # looks before the first epoch draw from that one too
            self._showings.clear()
        self._epoch += 1
        self.index_array = np.arange(self.n)
        if self.shuffle and self._stream is not None:
            context = context_of(self) or call_context_of(self)
            self.index_array = self._stream.order(self.n, None if context is None else context.state)
        elif self.shuffle and self.n:
            check_made_here(self._process, Iterator._process)
            if self.n <= _FEW or is_forked():
                order = order_on_host(self._key, self._epoch, self.n)
            else:
                order = jax.device_get(permutation(self._key, self._epoch, self.n))
            self.index_array = order.astype(np.intp)
        self._own_order = self.index_array.copy()

    def _flow_index(self) -> Generator[np.ndarray, None, None]:
        if not self._is_restored:
            self.reset()
        self._is_restored = False
        while True:
            if self._stream is not None:
                self._reseed()
            if self.batch_index == 0:
                self._set_index_array()
            start = (self.batch_index * self.batch_size) % self.n if self.n else 0
            stop = start + self.batch_size
            self.batch_index = self.batch_index + 1 if stop < self.n else 0
            self.total_batches_seen += 1
            yield self._counted(start, stop)

    @has_context
    def _get_batches_of_transformed_samples(self, index_array: np.ndarray) -> Any:
        """The batch of the examples at `index_array`; a subclass writes it."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not define _get_batches_of_transformed_samples(index_array), the batch "
            "of the examples at the places of an integer array."
        )

    @property
    def _key(self) -> Key:
        """The key of `seed`, which may be set anew at any time; that of None stays the same."""
        seed, key = self._keyed
        if key is None or seed is not self.seed:
            key = seed_key(self.seed)
            self._keyed = (self.seed, key)
        return key

    def _reseed(self) -> None:
        assert self._stream is not None
        self._stream.reseed(self.seed, self.total_batches_seen)

    def _context(self, index_array: np.ndarray) -> BatchContext:
        """What the batch of these examples draws from, now that they are taken; it may be made later."""
        if self._stream is not None:
            return BatchContext(self, self._epoch, state=self._stream.for_next_batch(self.seed))
        epoch, showings = max(0, self._epoch), self._showings.take(index_array)

        def words() -> np.ndarray:
            check_made_here(self._process, Iterator._process)
            return stream_words(self._key, epoch, 0, index_array, showings)

        return BatchContext(self, epoch, words=words, taken=(index_array, showings))

    def _context_by_hand(self, index_array: Any) -> BatchContext:
        """The same where the batch was not asked for by `next` or an index: Keras' own stream runs on as it stands."""
        if self._stream is not None:
            call = call_context_of(self)
            return BatchContext(self, self._epoch, state=self._stream.latest if call is None else call.state)
        return self._context(index_array)

    def _call_stream(self, *, counted: bool) -> Callable[[], np.random.RandomState]:
        """What a method of the user's own draws from.

        Args:
            counted: Whether this call has counted a batch; what it draws then follows from how many were seen, as in
                Keras. Other calls follow from their number in the epoch.
        """
        if self._stream is not None:
            stream = self._stream.for_next_batch(self.seed) if counted else self._stream.latest
            return lambda: stream

        def start(level: int, epoch: int, number: int, calls: np.ndarray) -> np.random.RandomState:
            check_made_here(self._process, Iterator._process)
            return np.random.RandomState(stream_words(self._key, max(0, epoch), level, [number], calls))

        if counted:
            return functools.partial(start, 4, self._epoch, self.total_batches_seen, np.zeros(1, np.uint32))
        return lambda: start(5, self._epoch, 0, self._showings.take(np.array(["a call"])))

    def _counted(self, start: int, stop: int) -> np.ndarray:
        """The examples of a batch that was counted; what called for it draws from a stream of its own from here on."""
        call = call_context_of(self)
        if call is not None:
            call.restart(self._call_stream(counted=True))
        order = self.index_array
        assert order is not None
        order = numpy_if_forked(order) if isinstance(order, jax.Array) else order
        self._look_ahead(order, start, stop)
        return order[start:stop]

    def _look_ahead(self, order: np.ndarray, start: int, stop: int) -> None:
        """A batch was counted; what reads files reads those of the next one too."""


def _batch_number(idx: Any) -> int:
    try:
        return operator.index(numpy_if_forked(idx) if isinstance(idx, jax.Array) else idx)
    except TypeError:
        several = " For several batches write [it[i] for i in range(start, stop)]." if isinstance(idx, slice) else ""
        raise TypeError(f"An iterator has no batch {idx!r}; expected an integer below len(it).{several}") from None


def _check_batch_size(batch_size: SupportsIndex, n: int) -> None:
    """Raises for what Keras fails on later, or makes batches without images of."""
    try:
        size = operator.index(batch_size)
    except TypeError:
        raise TypeError(f"batch_size is {batch_size!r}; expected an integer of at least 1.") from None
    if size < 0 or (size == 0 and n):
        raise ValueError(f"batch_size is {batch_size!r}; expected an integer of at least 1.")
