"""Weights by which classes of different size are shown equally often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._checks import check_int, check_not_masked
from .._describe import described
from .._transfers import on_host
from ._labels import classes_of
from ._shuffle import check_size

if TYPE_CHECKING:
    import numpy.typing as npt
    from jaxtyping import Float64


def balanced_weights(labels: npt.ArrayLike, num_classes: int | None = None) -> Float64[np.ndarray, " examples"]:
    """Weights that give every class the same share of an epoch: for each example 1 / (number of its class).

    Give them to `Loader(data, weights=...)`. With `rows=` they are those of `labels[rows]`.

    Args:
        labels: One class for each example, an array of rank 1: integers, bools or strings.
        num_classes: Integer labels are checked to lie in [0, num_classes), and every one of these classes to have an
            example. None: the classes are those that labels holds.

    Returns:
        float64, one for each example.

    Raises:
        ValueError: If a label lies outside of [0, num_classes), one of these classes has no example, labels are missing
            (None), or there are none. TypeError: If labels are floats or of rank 2, num_classes is no integer, or is
            given and labels are strings.

    Example:
        >>> import numpy as np
        >>> balanced_weights(np.array([0, 1, 1, 1, 1, 0])).tolist()
        [0.5, 0.25, 0.25, 0.25, 0.25, 0.5]
    """
    check_not_masked("labels", labels)
    try:
        values = np.asarray(on_host(labels))
    except (ValueError, TypeError):  # of lists of different length, or keys
        raise TypeError(f"labels is {described(labels)}; expected an array with one class for each example.") from None
    if values.ndim != 1:
        remedy = " Of one-hot rows use labels.argmax(axis=1)." if values.ndim == 2 else ""
        if values.shape[1:] == (1,):
            remedy = " Of one column use labels[:, 0]."
        raise TypeError(
            f"labels is {described(values if values.ndim else labels)}; expected an array of rank 1, one class for "
            f"each example.{remedy}"
        )
    check_size(len(values))
    if values.dtype.kind not in "biuUSTO":
        raise TypeError(
            f"labels is {described(values)}; expected classes: integers, bools or strings. Of whole numbers use "
            "labels.astype(np.int32); others are cut into classes first, by np.digitize for example."
        )
    if num_classes is not None:
        _check_classes(values, check_int("num_classes", num_classes, 1))
    classes, counts = classes_of(values, "or leave these examples out")
    return (1 / counts)[classes]


def _check_classes(labels: np.ndarray, num_classes: int) -> None:
    """Raises for labels that are not the integers from 0 to num_classes, each at least once."""
    if labels.dtype.kind not in "biu":
        raise TypeError(
            f"num_classes is {num_classes}, and labels is {described(labels)}; expected integers in [0, {num_classes})."
            " Of other labels leave num_classes out: their classes are those that occur."
        )
    numbers = labels.astype(np.int64) if labels.dtype == np.bool_ else labels
    if numbers.min() < 0 or numbers.max() >= num_classes:
        raise ValueError(
            f"labels runs from {numbers.min()} to {numbers.max()}; expected classes in [0, {num_classes}), as "
            f"num_classes is {num_classes}."
        )
    found = np.unique(numbers)
    if len(found) < num_classes:
        first = int(np.flatnonzero(np.append(found, num_classes) != np.arange(len(found) + 1))[0])
        raise ValueError(
            f"class {first} has no example, and {num_classes - len(found)} of {num_classes} have none; expected one or "
            "more of each, as no weight could show them. Leave num_classes out to balance the classes that occur."
        )
