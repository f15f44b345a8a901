"""Methods that a user writes for an iterator: what they draw follows from its seed, wherever the method stands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

from ._draw import BatchContext, CallContext, batch_context, call_context_of, context_of

Method = TypeVar("Method", bound=Callable[..., Any])

BATCH = "_get_batches_of_transformed_samples"
METHODS = frozenset((BATCH, "next", "__next__", "__iter__", "__getitem__", "on_epoch_end", "_set_index_array"))


class Drawing(Protocol):
    """What the methods belong to: an iterator of this package."""

    @property
    def rng(self) -> str | None: ...

    def _context_by_hand(self, index_array: Any) -> BatchContext: ...

    def _call_stream(self, *, counted: bool) -> Callable[[], np.random.RandomState]: ...


def has_context(method: Method) -> Method:
    """Marks a method that needs no context from here: it makes its own, or draws nothing."""
    method.__dict__["has_context"] = True
    return method


def give_contexts(cls: type, base: type) -> None:
    """Wrap the methods that `cls` and the classes between it and `base` have of their own. Returns None."""
    for derived in cls.__mro__:
        if issubclass(derived, base):
            for name in METHODS & vars(derived).keys():
                own = vars(derived)[name]
                if inspect.isfunction(own) and not _is_marked(own):
                    setattr(derived, name, _wrapped(name, own))


def call_mixins(cls: type, base: type) -> None:
    """Let `cls` call the methods that come from a user's mixin, a class that is no `base`. Returns None.

    So they are wrapped with those of `cls`, and may still be patched.
    """
    for name in METHODS:
        found = next(parent for parent in cls.__mro__ if name in vars(parent))
        if not issubclass(found, base) and not _is_marked(vars(found)[name]):
            setattr(cls, name, _next_in_line(cls, name))


def with_context(iterator: Drawing, name: str, method: Any) -> Any:
    """A method that is set on the object."""
    if not callable(method) or _is_marked(getattr(method, "__func__", method)):
        return method

    def call(_: Drawing, *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return functools.partial(_wrapped(name, functools.update_wrapper(call, method)), iterator)


def _is_marked(function: Any) -> bool:
    return getattr(function, "has_context", None) is True


def _next_in_line(cls: type, name: str) -> Callable[..., Any]:
    def call(self: Drawing, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(cls, self), name)(*args, **kwargs)

    return call


def _wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def makes_batch(self: Drawing, index_array: Any, *args: Any, **kwargs: Any) -> Any:
        if context_of(self) is not None:
            return function(self, index_array, *args, **kwargs)
        with batch_context(self._context_by_hand(index_array)):
            return function(self, index_array, *args, **kwargs)

    @functools.wraps(function)
    def draws(self: Drawing, *args: Any, **kwargs: Any) -> Any:
        with _call_context(self):
            found = function(self, *args, **kwargs)
        is_generator = inspect.isgenerator(found)
        return _each_within(self, found) if is_generator else found

    return has_context(makes_batch if name == BATCH else draws)


@contextmanager
def _call_context(iterator: Drawing) -> Generator[None, None, None]:
    if context_of(iterator) is not None or call_context_of(iterator) is not None:
        yield
    else:
        stream = iterator._call_stream(counted=False)
        with batch_context(CallContext(iterator, stream, replays=iterator.rng == "keras")):
            yield


def _each_within(iterator: Drawing, steps: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """The steps of a generator, each in a context that ends before the caller goes on."""
    try:
        while True:
            with _call_context(iterator):
                try:
                    value = next(steps)
                except StopIteration:
                    return
            yield value
    finally:
        steps.close()
