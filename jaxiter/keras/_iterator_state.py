"""The position of an iterator as JSON can hold it: saved, checked and restored."""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np

from .._keys import STREAM_VERSION, Key, key_words
from .._state import check_state
from ._draw import context_of
from ._numpy_stream import KerasStream
from ._showings import Showings

_COUNTERS = ("epoch", "batch_index", "total_batches_seen")
# It rises with the core's; the summand is raised whenever Keras' face alone gives another order or picture to a seed.
_VERSION = STREAM_VERSION + 1
_UNCOUNTED = (
    " No epoch was counted there, as in a subclass whose _set_index_array does not call super(): leave epoch as it was."
)


class Resumable(Protocol):
    """What a state is taken of: an iterator of this package."""

    n: int
    batch_size: int
    shuffle: bool
    seed: Any
    batch_index: int
    total_batches_seen: int
    index_array: np.ndarray | None
    _own_order: np.ndarray | None
    _epoch: int
    _keyed: tuple[object, Key | None]
    _stream: KerasStream | None

    @property
    def rng(self) -> str | None: ...

    @property
    def _key(self) -> Key: ...

    @property
    def _showings(self) -> Showings: ...

    def __len__(self) -> int: ...

    def _set_index_array(self) -> None: ...


def identity(iterator: Resumable) -> dict[str, Any]:
    """What has to be the same where a state is taken and where it is set."""
    return {
        "n": int(iterator.n),
        "first_row": int(getattr(iterator, "_first_row", 0)),  # of a subset
        "batch_size": int(iterator.batch_size),
        "shuffle": bool(iterator.shuffle),
        "rng": iterator.rng,
        "seed": _seed_in_json(iterator),
        "stream_version": _VERSION,
    }


def _digests(iterator: Resumable) -> dict[str, str]:
    """Of the names of its files, if it reads files."""
    digest = getattr(iterator, "_files_digest", None)
    return {} if digest is None else {"files": digest}


def state_of(iterator: Resumable) -> dict[str, Any]:
    """`Iterator.get_state`; its lock is held."""
    counters = (iterator._epoch, iterator.batch_index, iterator.total_batches_seen)
    state = {**identity(iterator), **_digests(iterator), **dict(zip(_COUNTERS, map(int, counters), strict=True))}
    order = None if iterator.index_array is None else np.asarray(iterator.index_array).tolist()
    made = None if iterator._own_order is None else iterator._own_order.tolist()
    if iterator._stream is None:
        showings = iterator._showings.in_json(iterator.index_array)
        # An order that a subclass or the user made follows from no key.
        own = None if order == made else order
        return {**state, "key": _words(iterator), "order": own, "showings": showings}
    # What Keras draws next depends on everything that it drew before.
    context = context_of(iterator)
    latest = iterator._stream.latest if context is None else context.state
    random: Any = latest.get_state(legacy=True)
    name, words, position, has_gauss, gauss = random
    return {**state, "order": order, "random": [name, words.tolist(), int(position), int(has_gauss), float(gauss)]}


def checked_state(iterator: Resumable, state: Any) -> dict[str, Any]:
    """`state`, if it is one of this iterator."""
    needed = (*_COUNTERS, *(("key", "order", "showings") if iterator._stream is None else ("order", "random")))
    remedy = "Make this one as that one was."
    check_state(state, identity(iterator), needed, remedy=remedy, digests=_digests(iterator))
    for name in _COUNTERS:
        value = state[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < (-1 if name == "epoch" else 0):
            raise ValueError(
                f"state holds {name} {value!r}; expected a count, as get_state() gave."
                + (_UNCOUNTED if name == "epoch" and value == -2 else "")
            )
    if state["batch_index"] >= max(1, len(iterator)):
        raise ValueError(f"state holds batch_index {state['batch_index']}; expected one of {len(iterator)} batches.")
    order = state.get("order")
    if order is not None and not isinstance(order, list):
        raise ValueError(f"state holds an order that is a {type(order).__name__}; expected what get_state() gave.")
    if order is not None and len(order) != iterator.n and iterator._stream is not None:
        raise ValueError(f"state holds an order of {len(order)} examples; expected {iterator.n}.")
    if "key" in needed:
        _check_key(iterator, state["key"])
        _check_showings(state["showings"])
    return state


def _check_key(iterator: Resumable, saved: Any) -> None:
    own = _words(iterator)
    if saved == own:
        return
    if iterator.seed is not None:
        raise ValueError(f"state holds the key {saved!r}, here {own}. Make this iterator as that one was.")
    is_words = isinstance(saved, list) and len(saved) == len(own) and all(isinstance(word, int) for word in saved)
    if not is_words or min(saved) < 0 or max(saved) >= 2**32:
        raise ValueError(f"state holds the key {saved!r}; expected what get_state() gave.")


def _check_showings(saved: Any) -> None:
    try:
        counts = np.array([saved["in_order"], *np.ravel(saved["others"])])
        named = np.array([0, *saved.get("names", {}).values()])
        is_right = counts.dtype.kind in "iu" and named.dtype.kind in "iu" and len(counts) % 2 == 1
        is_right = is_right and min(counts.min(), named.min()) >= 0
    except (TypeError, KeyError, ValueError, AttributeError):
        is_right = False
    if not is_right:
        raise ValueError(f"state holds showings {saved!r}; expected what get_state() gave.")


def restore(iterator: Resumable, state: dict[str, Any]) -> None:
    """`Iterator.set_state`, of a state that was checked; its lock is held."""
    stream = iterator._stream
    if stream is None:
        if iterator.seed is None:
            words: Any = np.array(state["key"], np.uint32)
            iterator._keyed = (None, words)
        iterator._epoch, iterator.index_array = state["epoch"] - 1, None
        iterator._showings.clear()
        if state["order"] is not None:
            iterator.index_array = np.array(state["order"])
        elif state["epoch"] >= 0:
            iterator._set_index_array()
        iterator._showings.restore(state["showings"], iterator.index_array)
    else:
        try:
            name, words, *rest = state["random"]
            stream.restart((name, np.array(words, np.uint32), *rest))
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError("random is no state of NumPy's stream; expected what get_state() gave.") from error
        iterator.index_array = None if state["order"] is None else np.array(state["order"], np.intp)
    iterator._epoch = state["epoch"]
    iterator.batch_index, iterator.total_batches_seen = state["batch_index"], state["total_batches_seen"]


def _seed_in_json(iterator: Resumable) -> Any:
    """An integer as it is, a JAX key by its words, None as None."""
    if iterator.seed is None:
        return None
    try:
        return operator.index(iterator.seed)
    except TypeError:
        return _words(iterator)


def _words(iterator: Resumable) -> list[int]:
    return key_words(iterator._key).tolist()
