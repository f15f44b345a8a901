"""How often each row was taken since the epoch began: every look at an image is another picture."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .._keys import places_before

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Showings:
    """Counts of one iterator, which its threads share.

    Example:
        >>> showings = Showings()
        >>> showings.take([4, 1, 4]).tolist(), showings.take([1, 2, 4]).tolist()
        ([0, 0, 1], [1, 0, 2])
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of its own: a subclass may hold the iterator's
        self.clear()

    def clear(self) -> None:
        """An epoch begins. Returns None."""
        with self._lock:
            self._counts = np.zeros(0, np.uint32)
            self._names: Counter[str] = Counter()  # what an iterator of one's own calls its examples

    def take(self, rows: ArrayLike) -> np.ndarray:
        """How often each of `rows` was taken before, as uint32; they are taken now, one after the other."""
        index = np.asarray(rows)
        if index.dtype.kind not in "iu" or index.ndim != 1 or (index.size and int(index.min()) < 0):
            return self._take_names(index)
        with self._lock:
            if index.size and int(index.max()) >= len(self._counts):
                self._grow(int(index.max()) + 1)
            before = self._counts[index]
            self._counts[index] = before + np.uint32(1)
            sorted_index = np.sort(index)
            if np.any(sorted_index[1:] == sorted_index[:-1]):
                before += places_before(index)
                np.maximum.at(self._counts, index, before + np.uint32(1))
            return before

    def in_json(self, order: np.ndarray | None) -> dict[str, Any]:
        """The counts as JSON can hold them, small where the rows were taken in the order of the epoch.

        Returns:
            in_order: how many rows of the order count once each; others: [row, count] for those that differ from that;
            names: the counts of what is no row.
        """
        with self._lock:
            counts, names = self._counts.copy(), dict(self._names)
        order = _rows_of(order)
        known = order[order < len(counts)] if order.size else order
        shown = np.zeros(len(order), bool)
        shown[order < len(counts)] = counts[known] > 0
        in_order = len(order) if shown.all() else int(np.argmin(shown))
        implied = _counted(order[:in_order], len(counts))
        rows = np.flatnonzero(implied != counts)
        return {"in_order": in_order, "others": np.stack([rows, counts[rows]], axis=-1).tolist(), "names": names}

    def restore(self, saved: dict[str, Any], order: np.ndarray | None) -> None:
        """Go on from what `in_json` gave for the same order. Returns None."""
        others = np.array(saved["others"], np.int64).reshape(-1, 2)
        order = _rows_of(order)[: saved["in_order"]]
        size = 1 + max(int(order.max(initial=-1)), int(others[:, 0].max(initial=-1)))
        counts = _counted(order, size)
        counts[others[:, 0]] = others[:, 1]
        with self._lock:
            self._counts = counts
            self._names = Counter(saved.get("names"))  # older states have none

    def _grow(self, size: int) -> None:
        # Twice as far as asked, so that rows in ascending order do not copy the counts at every batch.
        counts = np.zeros(max(size, 2 * len(self._counts)), np.uint32)
        counts[: len(self._counts)] = self._counts
        self._counts = counts

    def _take_names(self, rows: np.ndarray) -> np.ndarray:
        names = [repr(row) for row in rows.tolist()] if rows.ndim else []
        before = np.zeros(len(names), np.uint32)
        with self._lock:
            for place, name in enumerate(names):
                before[place] = self._names[name]
                self._names[name] += 1
        return before


def _rows_of(order: np.ndarray | None) -> np.ndarray:
    """The order, if it holds rows."""
    order = np.asarray([] if order is None else order)
    holds_rows = order.dtype.kind in "iu" and order.ndim == 1 and order.min(initial=0) >= 0
    return order if holds_rows else np.zeros(0, np.intp)


def _counted(rows: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(rows, minlength=size).astype(np.uint32)
