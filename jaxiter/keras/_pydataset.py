"""Iterators that Keras 3 takes: its `fit` accepts only its own `PyDataset`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, Self

from .. import _checks


class MaybeDataset:
    """The only base of a class until Keras 3 has been imported; the first object made then adds `PyDataset` to it.

    Python changes the bases of no class whose base is `object` itself.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Join Keras here and not in __init__, which copies and pickles do not call."""
        for base in cls.__mro__:
            if base.__bases__[:1] == (MaybeDataset,):
                join_keras(base)
        return super().__new__(cls)


def join_keras(cls: type) -> None:
    """Make `cls`, whose base is `MaybeDataset`, a `keras.utils.PyDataset` if Keras 3 has been imported. Returns None.

    Nothing is imported here. `cls` stays the same class, and so does every subclass and object of it: what both define
    is taken from `cls`, `type(it) is cls` holds, and pickle finds it by its name.

    Example:
        >>> class Batches(MaybeDataset):
        ...     pass
        >>> type(Batches()) is Batches
        True
    """
    dataset = _pydataset()
    if dataset is not None and not issubclass(cls, dataset):
        # A subclass (PyDataset, cls), written before, has the two in the other order; see check_joined.
        with suppress(TypeError):
            cls.__bases__ = (MaybeDataset, dataset)


def check_joined(cls: type) -> None:
    """Raises if `join_keras` could not make it a PyDataset: Keras 3 is not there, or a subclass stands in the way."""
    dataset = _pydataset()
    if dataset is None:
        found = "keras has no keras.utils.PyDataset" if sys.modules.get("keras") else "keras is not imported"
        raise RuntimeError(f"{found}; import keras first (Keras 3), then call as_keras().")
    if not issubclass(cls, dataset):
        written = ", ".join(
            f"class {found.__name__}({', '.join(base.__name__ for base in found.__bases__)})"
            for found in _subclasses(cls)
            if issubclass(found, dataset)
        )
        raise TypeError(
            f"{cls.__name__} cannot become a keras.utils.PyDataset, because of {written}, which puts PyDataset before "
            "it. Write the iterator first, or leave PyDataset out."
        )


def _subclasses(cls: type) -> list[type]:
    children: list[type] = cls.__subclasses__()
    return [found for child in children for found in (child, *_subclasses(child))]


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
