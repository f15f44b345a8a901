"""Which examples make up the next batch, counted as Keras counts."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from typing import Any, ClassVar, Self

import jax
import numpy as np

from .._keys import Key
from ..sampler import permutation
from ._draw import BatchContext, batch_context, context_of, stream_words
from ._iterator_state import checked_state, restore, state_of
from ._numpy_stream import KerasStream
from ._pydataset import check_keras, check_made_here, keras_class
from ._seed import Seed, seed_key


class Iterator:
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
            more workers Keras takes threads; a forked process cannot make a batch, and says so.

    Raises:
        TypeError, ValueError: If seed is no such thing, or an integer outside [0, 2**64), and for another rng.

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
    _process: int = os.getpid()  # that of the import, if __init__ was passed by

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
        self.__class__ = keras_class(type(self))
        self._process = os.getpid()
        if rng is not None and not (isinstance(rng, str) and rng == "keras"):
            raise ValueError(f"rng is {rng!r}; expected None, jaxiter's own stream, or 'keras', that of Keras.")
        self._stream = None if rng is None else KerasStream(seed)
        self._keyed: tuple[Seed, Key] = (seed, seed_key(seed))
        self.n = n
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size
        self.batch_index = 0
        self.total_batches_seen = 0
        # Reentrant, so that a thread that holds it may still ask for a batch or end an epoch.
        self.lock = threading.RLock()
        self.index_array: np.ndarray | None = None
        self.index_generator = self._flow_index()
        self._epoch = -1
        self._is_restored = False  # and goes on from there, without the reset with which iteration begins

    @property
    def rng(self) -> str | None:
        """Whose random stream this follows: None, jaxiter's own, or "keras"."""
        return None if self._stream is None else "keras"

    def __len__(self) -> int:
        return (self.n + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self) -> Any:
        """The next batch, as `next(it)` gives it; a subclass that writes its own is asked by both, as in Keras 2."""
        with self.lock:
            index_array = next(self.index_generator)
            context = self._context(index_array)
        with batch_context(context):
            return self._get_batches_of_transformed_samples(index_array)

    def __getitem__(self, idx: int) -> Any:
        if idx >= len(self):
            raise ValueError(f"Asked for batch {idx} of an iterator of length {len(self)}; expected at most the last.")
        with self.lock:
            self._reseed()
            self.total_batches_seen += 1
            if self.index_array is None:
                self._set_index_array()
            assert self.index_array is not None
            index_array = self.index_array[self.batch_size * idx : self.batch_size * (idx + 1)]
            context = self._context(index_array)
        with batch_context(context):
            return self._get_batches_of_transformed_samples(index_array)

    def reset(self) -> None:
        """Start a new epoch, in a new order, at the next batch. Returns None."""
        self.batch_index = 0

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

        One that is made after Keras was imported is one already. Keras goes by index, with an epoch end after each pass
        and after a first look at the shapes. A batch of images alone it takes as a NumPy array only (output="numpy").

        Raises:
            RuntimeError: If Keras 3 has not been imported.
        """
        check_keras()
        self.__class__ = keras_class(type(self))
        return self

    def _set_index_array(self) -> None:
        self._epoch += 1
        self.index_array = np.arange(self.n)
        if self.shuffle and self._stream is not None:
            context = context_of(self)
            self.index_array = self._stream.order(self.n, None if context is None else context.state)
        elif self.shuffle and self.n:
            check_made_here(self._process, Iterator._process)
            self.index_array = jax.device_get(permutation(self._key, self._epoch, self.n)).astype(np.intp)

    def _flow_index(self) -> Generator[np.ndarray, None, None]:
        if not self._is_restored:
            self.reset()
        self._is_restored = False
        while True:
            self._reseed()
            if self.batch_index == 0:
                self._set_index_array()
            start = (self.batch_index * self.batch_size) % self.n if self.n else 0
            stop = start + self.batch_size
            self.batch_index = self.batch_index + 1 if stop < self.n else 0
            self.total_batches_seen += 1
            assert self.index_array is not None
            yield self.index_array[start:stop]

    def _get_batches_of_transformed_samples(self, index_array: np.ndarray) -> Any:
        """The batch of the examples at `index_array`; a subclass writes it."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not define _get_batches_of_transformed_samples(index_array), the batch "
            "of the examples at the places of an integer array."
        )

    @property
    def _key(self) -> Key:
        """The key of `seed`, which may be set anew at any time; that of None stays the same."""
        if self._keyed[0] is not self.seed:
            self._keyed = (self.seed, seed_key(self.seed))
        return self._keyed[1]

    def _reseed(self) -> None:
        if self._stream is not None:
            self._stream.reseed(self.seed, self.total_batches_seen)

    def _context(self, index_array: np.ndarray) -> BatchContext:
        """What the making of the batch of these examples draws from; it may take its time."""
        if self._stream is not None:
            return BatchContext(self, self._epoch, state=self._stream.for_next_batch(self.seed))
        epoch = max(0, self._epoch)

        def words() -> np.ndarray:
            check_made_here(self._process, Iterator._process)
            return stream_words(self._key, epoch, 0, index_array)

        return BatchContext(self, epoch, words=words)
