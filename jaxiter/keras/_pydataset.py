"""Iterators that Keras 3 takes: its `fit` accepts only its own `PyDataset`."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from .. import _checks


def keras_class(cls: type) -> Any:
    """`cls`, or, once Keras 3 has been imported, the class that is `cls` and a `keras.utils.PyDataset` too.

    Nothing is imported here. What both classes define is taken from `cls`.

    Example:
        >>> class Batches:
        ...     pass
        >>> isinstance(keras_class(Batches)(), Batches)
        True
    """
    dataset = _pydataset()
    return cls if dataset is None or issubclass(cls, dataset) else _joined(cls, dataset)


def check_keras() -> None:
    """Raises if Keras 3 is not there, so that `keras_class` changes nothing."""
    if _pydataset() is None:
        found = "keras has no keras.utils.PyDataset" if sys.modules.get("keras") else "keras is not imported"
        raise RuntimeError(f"{found}; import keras first (Keras 3), then call as_keras().")


def check_made_here(*made_in: int) -> None:
    """Raises in a process that was forked from those given: JAX, which runs threads, would wait there for ever."""
    try:
        _checks.check_process("The iterator", *made_in)
    except RuntimeError as error:
        remedy = "Leave use_multiprocessing=False: the workers of Keras are threads then, and make batches in parallel."
        raise RuntimeError(f"{error} {remedy}") from None


def _pydataset() -> Any:
    # During its own import, as a stub, or as Keras 2, the module has no such class.
    dataset = getattr(getattr(sys.modules.get("keras"), "utils", None), "PyDataset", None)
    return dataset if isinstance(dataset, type) else None


_NEW_OBJECT = object().__reduce_ex__(2)[0]  # copyreg.__newobj__, which the type stubs leave out


class _Joined:
    """What the class of both adds, ahead of both."""

    _first: type

    def __init_subclass__(cls) -> None:
        """Skip the hook of the classes joined: no user wrote this subclass."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Pickle looks a class up by its name, which is that of the first.
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, tuple) and reduced[0] is _NEW_OBJECT:
            return _made_anew, (self._first,), *reduced[2:]
        return reduced


def _made_anew(cls: Any) -> Any:
    cls = keras_class(cls)
    return cls.__new__(cls)


@functools.cache
def _joined(cls: Any, dataset: Any) -> type:
    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    return types.new_class(cls.__name__, (_Joined, cls, dataset), {}, lambda body: body.update(names, _first=cls))
