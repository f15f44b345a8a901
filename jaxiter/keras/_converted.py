"""The images of an iterator in the dtype of its batches, converted as they are read and never as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .._host_rows import Source, read_rows

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


class ConvertedArray(NDArrayOperatorsMixin):
    """Some rows of `source` as an array of another dtype, to be read only: `view[i]` converts what it takes.

    Keras keeps a converted copy. Here shape, ndim, size, dtype and len cost nothing, a row costs a row, and arithmetic,
    methods of an array and `np.asarray` convert everything. What would edit the images raises, for batches are made of
    `source` and would not show it: `view[i]` and `np.asarray(view)` are not writable, `np.array(view)` is.

    Example:
        >>> view = ConvertedArray(np.arange(6, dtype=np.uint8).reshape(3, 2), slice(1, 3), "float32")
        >>> view.shape, view.dtype, view[0].tolist(), (view / 2).tolist()
        ((2, 2), dtype('float32'), [2.0, 3.0], [[1.0, 1.5], [2.0, 2.5]])
    """

    source: Source
    rows: slice
    dtype: np.dtype
    shape: tuple[int, ...]
    ndim: int
    size: int

    def __init__(self, source: Source, rows: slice, dtype: DTypeLike):
        shape = (rows.stop - rows.start, *source.shape[1:])
        vars(self).update(source=source, rows=rows, dtype=np.dtype(dtype))
        vars(self).update(shape=shape, ndim=len(shape), size=math.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        # What NumPy would take as a view, so that an edit of it is seen, is not writable.
        writable = not _is_basic(index)
        first, *others = index if isinstance(index, tuple) and index else (index,)
        by_rows = first is not None and first is not Ellipsis and np.ndim(first) <= 1 and _is_basic(tuple(others))
        if isinstance(self.source, np.ndarray) or not by_rows:
            return _converted(np.asarray(self.source[self.rows])[index], self.dtype, writable=writable)
        places = np.arange(len(self))[first]  # a file need not take every index that NumPy takes
        found = read_rows("x", self.source, places.ravel() + self.rows.start).reshape(*places.shape, *self.shape[1:])
        return _converted(found[(slice(None),) * places.ndim + tuple(others)], self.dtype, writable=writable)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __contains__(self, value: object) -> bool:
        return value in np.asarray(self)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"x is stored as {self.source.dtype} and is converted as a copy; leave copy=False out.")
        taken = np.asarray(self.source[self.rows])
        return _converted(taken, self.dtype if dtype is None else dtype, writable=copy is True)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        changed = inputs[:1] if method == "at" else kwargs.get("out", ())
        if any(isinstance(value, ConvertedArray) for value in changed):
            self._refuse()
        arrays = (np.asarray(value) if isinstance(value, ConvertedArray) else value for value in inputs)
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Whatever else an array has, of the whole converted array, which is not writable."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(np.asarray(self)[...], name)  # of a view, which has no memory to resize

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self._refuse()

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self._refuse()

    def __repr__(self) -> str:
        return f"<{self.source.dtype} images of shape {self.shape}, read as {self.dtype}>"

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f"x is a view that reads {self.source.dtype} images as {self.dtype}, and cannot be edited in place. To "
            "edit the images, replace it by a copy first: it.x = np.array(it.x)."
        )


def _converted(taken: Any, dtype: DTypeLike, *, writable: bool) -> Any:
    found = np.asarray(taken).astype(dtype)
    found.flags.writeable = writable
    return found if found.ndim else found[()]


def _is_basic(index: Any) -> bool:
    """Whether NumPy would take a view: integers, slices, `...` and None alone."""
    items = index if isinstance(index, tuple) else (index,)
    return all(item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice)) for item in items)
