"""The second part of a batch of files: what each class_mode makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Files = Any  # an iterator with BatchFromFilesMixin


def _copy(it: Files, images: Any, index: np.ndarray) -> Any:
    return images.copy()


def _numbers(it: Files, images: Any, index: np.ndarray) -> np.ndarray:
    """Class numbers, in the dtype of the images."""
    numbers, classes = np.empty(len(index), it.dtype), it.classes
    for place, row in enumerate(index):
        numbers[place] = classes[row]
    return numbers


def _indicators(it: Files, images: Any, index: np.ndarray) -> np.ndarray:
    """A one for each class of the example, of which there may be several."""
    indicators, classes = np.zeros((len(index), len(it.class_indices)), it.dtype), it.classes
    for place, row in enumerate(index):
        indicators[place, classes[row]] = 1
    return indicators


def _columns(it: Files, images: Any, index: np.ndarray) -> list[Any]:
    return [column[index] for column in it.labels]


def _values(it: Files, images: Any, index: np.ndarray) -> Any:
    return it.labels[index]


TARGETS: dict[str | None, Callable[[Files, Any, np.ndarray], Any]] = {
    "input": _copy,
    "binary": _numbers,
    "sparse": _numbers,
    "categorical": _indicators,
    "multi_output": _columns,
    "raw": _values,
}


LABEL_MODES = ("binary", "categorical", "sparse")  # those with classes, in a table


def check_class_mode(class_mode: Any, allowed: set[str | None]) -> None:
    if class_mode not in allowed:
        names = ", ".join(map(repr, sorted(allowed, key=str)))
        raise ValueError(f"Invalid class_mode: {class_mode}; expected one of: {names}")


def check_label_dtype(class_mode: str | None, num_classes: int, dtype: DTypeLike) -> None:
    """Raises where class numbers, which have the dtype of the images, do not fit it."""
    dtype = np.dtype(dtype)
    if class_mode not in ("binary", "sparse") or dtype.kind not in "biuf":
        return
    largest = 2 ** (np.finfo(dtype).nmant + 1) if dtype.kind == "f" else 1 if dtype.kind == "b" else np.iinfo(dtype).max
    if num_classes - 1 > largest:
        raise ValueError(
            f"class_mode={class_mode!r} gives class numbers the dtype of the images, and {dtype} holds no more than "
            f"{int(largest) + 1} classes exactly; here are {num_classes}. Pass dtype='float32', or "
            "class_mode='categorical'."
        )
