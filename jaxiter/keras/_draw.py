"""Keras' rule for the parameters of an image, its two sources of numbers, and the context that selects the source."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .._keys import Key, example_words, fold_words, key_words, tag, uniforms_of
from ..augment.internal import rounded
from ._seed import restart, stream_of
from ._settings import CHOICE, DRAWN_FROM, UNIFORM, GeneratorLike, Ranges, Seen, Shift, ShiftKinds, Watch, ranges_of

if TYPE_CHECKING:
    from types import ModuleType

    from jaxtyping import Float
    from numpy.typing import ArrayLike

RandomTransform = dict[str, Any]
Number = Any  # of Python or NumPy, or an array, possibly traced

KIND = "keras.ImageDataGenerator"
# theta, tx, sign of tx, ty, sign of ty, shear, zx, zy, horizontal flip, vertical flip, channel shift, brightness
NUM_SLOTS = 12
_TAG = tag(f"kind/{KIND}/0")

# Keras' functions without a seed; NumPy's global stream is left alone.
entropy = np.random.RandomState()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=entropy.seed)  # workers would all draw the same


class Numbers(Protocol):
    """Random numbers for `draw_transform`; a bound of None draws nothing and gives `off`."""

    def symmetric(self, slot: int, bound: Number, off: Number) -> Number: ...
    def between(self, slot: int, bounds: Number, off: Number) -> Number: ...
    def flip(self, slot: int, flag: Number) -> Number: ...
    def index(self, slot: int, count: Number) -> Number: ...
    def pick(self, slot: int, values: Number) -> Number: ...


def draw_transform(numbers: Numbers, kinds: ShiftKinds, ranges: Ranges) -> RandomTransform:
    """The parameters of an image, or of many, drawn option by option in Keras' order; angles in degrees."""
    return {
        "theta": numbers.symmetric(0, ranges.theta, 0),
        "tx": _draw_shift(numbers, 1, kinds[0], ranges.tx),
        "ty": _draw_shift(numbers, 3, kinds[1], ranges.ty),
        "shear": numbers.symmetric(5, ranges.shear, 0),
        "zx": numbers.between(6, ranges.zoom, 1),
        "zy": numbers.between(7, ranges.zoom, 1),
        "flip_horizontal": numbers.flip(8, ranges.flips[0]),
        "flip_vertical": numbers.flip(9, ranges.flips[1]),
        "channel_shift_intensity": numbers.symmetric(10, ranges.channel_shift, None),
        "brightness": numbers.between(11, ranges.brightness, None),
    }


def _draw_shift(numbers: Numbers, slot: int, kind: str, shift: Shift) -> Number:
    if kind == UNIFORM:
        drawn = numbers.symmetric(slot, shift.values, 0)
    else:
        drawn = numbers.pick(slot, shift.values) if kind == CHOICE else numbers.index(slot, shift.values)
        drawn = drawn * (2 * numbers.index(slot + 1, 2) - 1)
    return drawn if shift.unit is None else drawn * shift.unit


class StreamNumbers:
    """Numbers of a NumPy stream, draw for draw as Keras takes them from the global one."""

    def __init__(self, state: np.random.RandomState):
        self.state = state

    def symmetric(self, slot: int, bound: Number, off: Number) -> Number:
        return self.state.uniform(-bound, bound) if bound else off

    def between(self, slot: int, bounds: Number, off: Number) -> Number:
        return off if bounds is None else self.state.uniform(bounds[0], bounds[1])

    def flip(self, slot: int, flag: Number) -> Number:
        return (self.state.random_sample() < 0.5) * flag

    def index(self, slot: int, count: Number) -> Number:
        return self.state.randint(0, count)  # what `choice` draws, in a fifth of its time

    def pick(self, slot: int, values: np.ndarray) -> Number:
        return values[self.index(slot, len(values))]


class BlockNumbers:
    """Numbers of a block of `NUM_SLOTS` uniform float32 in [0, 1), each option at a slot of its own.

    Args:
        xp: NumPy or jax.numpy.
        block: One number a slot, or one row a slot.
    """

    def __init__(self, xp: ModuleType, block: Number):
        self.xp: Any = xp
        self.block = block

    def symmetric(self, slot: int, bound: Number, off: Number) -> Number:
        return bound * (np.float32(2) * self.block[slot] - np.float32(1))

    def between(self, slot: int, bounds: Number, off: Number) -> Number:
        product = (bounds[1] - bounds[0]) * self.block[slot]
        return bounds[0] + (product if self.xp is np else rounded(product))

    def flip(self, slot: int, flag: Number) -> Number:
        return (self.block[slot] < flag).astype(np.float32)

    def index(self, slot: int, count: Number) -> Number:
        return self.xp.floor(self.block[slot] * count)

    def pick(self, slot: int, values: Number) -> Number:
        return self.xp.take(values, self.index(slot, len(values)).astype(np.int32), mode="clip")


# Parameters of many images: a row for each, the fields those of a RandomTransform.
_OFF = dict.fromkeys(("theta", "tx", "ty", "shear"), 0.0) | {"zx": 1.0, "zy": 1.0}
_OFF |= {"flip_horizontal": 0.0, "flip_vertical": 0.0, "channel_shift_intensity": 0.0, "brightness": np.nan}
TRANSFORMS = np.dtype([(name, np.float64) for name in _OFF])


def as_row(transform: RandomTransform) -> tuple[Any, ...]:
    """The parameters as one of `TRANSFORMS`; what is missing, or None, changes nothing."""
    row = {name: off if (value := transform.get(name)) is None else value for name, off in _OFF.items()}
    row |= {name: bool(row[name]) for name in ("flip_horizontal", "flip_vertical")}
    return tuple(row.values())


def draw_each(
    state: np.random.RandomState, generator: GeneratorLike, img_shape: tuple[int, ...], count: int
) -> np.ndarray:
    """The parameters of so many images, one after the other as in Keras, as an array of `TRANSFORMS`."""
    numbers, (kinds, ranges) = StreamNumbers(state), ranges_of(generator, img_shape)
    transforms = np.zeros(count, TRANSFORMS)
    for position in range(count):
        transforms[position] = as_row(draw_transform(numbers, kinds, ranges))
    return transforms


class RowKeys(NamedTuple):
    """What the draws of a batch follow from: its key and epoch, and for each image its row and its showing."""

    key: Key
    epoch: int
    rows: np.ndarray  # in the whole array, not in a subset
    showings: np.ndarray  # how often the row was taken before in this epoch

    def blocks(self, call: int) -> Float[np.ndarray, "batch slots"]:
        """The numbers of each image. Call 0: those that the compiled batch draws; 1, 2 ... are further ones."""
        own = example_words(self.key, self.epoch, self.rows.astype(np.uint32), self.showings.astype(np.uint32))
        return uniforms_of(fold_words(own, np.array([(_TAG + call) % 2**32], np.uint32)), NUM_SLOTS)


class BatchContext:
    """The source of all draws while a batch, or one image of it, is made.

    Args:
        owner: The iterator, if any.
        epoch: Its epoch when the rows of the batch were chosen; another thread may have started the next one since.
        state: Keras' own stream, which a seed given to get_random_transform restarts, as in Keras.
        words: Without a state, a function that returns the integers to start a stream from.
        taken: The rows of the batch, and their showings.
    """

    def __init__(
        self,
        owner: object,
        epoch: int = 0,
        state: np.random.RandomState | None = None,
        words: Callable[[], np.ndarray] | None = None,
        taken: tuple[ArrayLike, np.ndarray] | None = None,
    ):
        self.owner, self.epoch, self._taken = owner, epoch, taken
        self.replays = state is not None
        self.outer = _context.get()
        self._state, self._words = state, words

    @property
    def state(self) -> np.random.RandomState:
        if self._state is None:
            assert self._words is not None
            self._state = np.random.RandomState(self._words())
        return self._state

    def showings_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Those of the rows that this batch was begun with, once; None for others, and for a second look at them."""
        taken, self._taken = self._taken, None
        return taken[1] if taken is not None and np.array_equal(rows, taken[0]) else None

    def transform(self, generator: GeneratorLike, img_shape: tuple[int, ...]) -> RandomTransform:
        return draw_transform(StreamNumbers(self.state), *ranges_of(generator, img_shape))


class CallContext(BatchContext):
    """The source of what a method of the user's draws outside of the batches that it asks for.

    Args:
        caller: The iterator. It is no owner: the batches that are made meanwhile have contexts of their own.
        start: A function that returns the stream; it is called when something is drawn.
    """

    def __init__(self, caller: object, start: Callable[[], np.random.RandomState], *, replays: bool):
        super().__init__(None)
        self.caller, self.replays = caller, replays
        self.restart(start)

    def restart(self, start: Callable[[], np.random.RandomState]) -> None:
        """A batch was counted: draw from another stream from here on. Returns None."""
        self._state, self._start = None, start

    @property
    def state(self) -> np.random.RandomState:
        if self._state is None:
            self._state = self._start()
        return self._state


_context: ContextVar[BatchContext | None] = ContextVar("batch", default=None)


@contextmanager
def batch_context(context: BatchContext) -> Generator[None, None, None]:
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def context_of(owner: object) -> BatchContext | None:
    """The innermost context of this iterator: a batch may be made of another iterator's."""
    context = _context.get()
    while context is not None and context.owner is not owner:
        context = context.outer
    return context


def call_context_of(caller: object) -> CallContext | None:
    """The innermost context of a method of this iterator that the user wrote."""
    context = _context.get()
    while context is not None and not (isinstance(context, CallContext) and context.caller is caller):
        context = context.outer
    return context


def draw(generator: GeneratorLike, img_shape: tuple[int, ...], seed: int | None = None) -> RandomTransform:
    """Parameters from the batch that is being made, or from a seed, or else fresh ones."""
    context = _context.get()
    if seed is not None and context is not None and context.replays:
        restart(context.state, seed)  # Keras has one stream: whatever is drawn after this follows from the seed too
    elif seed is not None:
        return draw_transform(StreamNumbers(stream_of(seed)), *ranges_of(generator, img_shape))
    if context is not None:
        return context.transform(generator, img_shape)
    return draw_transform(StreamNumbers(entropy), *ranges_of(generator, img_shape))


def random_state() -> np.random.RandomState:
    """What stands for NumPy's global stream: that of the batch being made, else entropy."""
    context = _context.get()
    return entropy if context is None else context.state


class _RowBlocks:
    """The blocks that the rows of one batch draw from: made for all rows when the first asks."""

    def __init__(self, keys: RowKeys):
        self.keys = keys
        self._blocks: dict[int, np.ndarray] = {}
        self._watch = Watch(*DRAWN_FROM)
        self._kept: tuple[Seen, tuple[int, ...], tuple[ShiftKinds, Ranges]] | None = None

    def block(self, call: int, position: int) -> np.ndarray:
        if call not in self._blocks:
            self._blocks[call] = self.keys.blocks(call)
        return self._blocks[call][position]

    def settings(self, generator: GeneratorLike, img_shape: tuple[int, ...]) -> tuple[ShiftKinds, Ranges]:
        seen = self._watch.look(generator)
        if self._kept is None or self._kept[1] != img_shape or not seen.is_same(self._kept[0]):
            kinds, ranges = ranges_of(generator, img_shape)
            self._kept = seen, img_shape, (kinds, ranges.as_float32())
        return self._kept[2]


class _RowContext(BatchContext):
    """One image, whose draws follow from its row alone."""

    def __init__(self, owner: object, blocks: _RowBlocks, position: int, first_call: int):
        keys = blocks.keys
        here = slice(position, position + 1)
        words = partial(stream_words, keys.key, keys.epoch, 1, keys.rows[here], keys.showings[here])
        super().__init__(owner, keys.epoch, words=words)
        self._blocks, self._position, self._call = blocks, position, first_call

    def transform(self, generator: GeneratorLike, img_shape: tuple[int, ...]) -> RandomTransform:
        block = self._blocks.block(self._call, self._position)
        self._call += 1
        drawn = draw_transform(BlockNumbers(np, block), *self._blocks.settings(generator, tuple(img_shape)))
        drawn = {name: float(value) for name, value in drawn.items()}
        drawn |= {name: drawn[name] != 0 for name in ("flip_horizontal", "flip_vertical")}
        if generator.channel_shift_range == 0:
            drawn["channel_shift_intensity"] = None
        if generator.brightness_range is None:
            drawn["brightness"] = None
        return drawn


def row_contexts(owner: object, keys: RowKeys, first_call: int = 0) -> list[BatchContext]:
    """A context for each image of a batch.

    Args:
        first_call: 1 where the compiled batch has taken the first parameters already.
    """
    blocks = _RowBlocks(keys)
    return [_RowContext(owner, blocks, position, first_call) for position in range(len(keys.rows))]


def stream_words(key: Key, epoch: int, level: int, rows: ArrayLike, showings: np.ndarray) -> np.ndarray:
    """The start of a NumPy stream for what draws otherwise, for a batch (level 0) or one image (1)."""
    words = key_words(key)
    rows = np.asarray(rows)
    if rows.dtype.kind not in "biuf":  # what an iterator of one's own calls its examples
        rows = np.array([tag(repr(row)) for row in rows.tolist()], np.uint32)
    parts = [rows.astype(np.uint32).ravel()]
    if showings.any():  # on levels of their own, so that they are not taken for further rows
        level, parts = level + 2, [*parts, showings]
    return np.concatenate([words, np.array([epoch, _TAG, level], np.uint32), *parts])
