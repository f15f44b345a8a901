"""Cutting a data set in two, once, before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from .._checks import check_flag, check_not_masked
from .._describe import described, shown
from .._keys import SPLIT, Key, as_key, fold_in
from ._labels import classes_of
from ._shuffle import check_size, permutation

if TYPE_CHECKING:
    import numpy.typing as npt
    from jaxtyping import Int


class Split(NamedTuple):
    """What `train_validation_split` returns: rows for training and rows for validation, each sorted."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]


def train_validation_split(key: Key, labels: npt.ArrayLike, fraction: float, *, stratify: bool = True) -> Split:
    """Rows for training and rows for validation, drawn by `key`.

    Give each half to `Loader(data, rows=...)`: nothing is copied, and an image keeps its augmentation.

    Args:
        key: Decides which rows go where.
        labels: One label for each example: integers, strings, anything `np.unique` takes; one-hot rows too.
            With stratify=False only its length counts.
        fraction: Validation's share, in (0, 1). Validation gets `round(fraction * len(labels))` rows.
        stratify: Every class gives the same share, to within one row. Every class keeps a row for training, so with
            many classes of one or two rows validation may get fewer.

    Returns:
        `(train, validation)`: sorted int32 arrays that hold every row once.

    Raises:
        ValueError: If fraction is not inside (0, 1), a half would be empty, or labels are missing (None, NaN).
        TypeError: If stratify is no bool, key is no threefry key, or labels are of kinds that have no order.

    Example:
        >>> import jax, numpy as np
        >>> labels = np.repeat([0, 1], 10)
        >>> train, validation = train_validation_split(jax.random.key(0), labels, 0.2)
        >>> len(train), labels[validation].tolist()
        (16, [0, 0, 1, 1])
    """
    check_flag("stratify", stratify)
    check_not_masked("labels", labels)
    try:
        labels = np.asarray(labels)
    except (ValueError, TypeError):  # of lists of different length, or keys
        raise TypeError(f"labels is {described(labels)}; expected an array with one label for each example.") from None
    if labels.ndim == 0:
        remedy = " If there are none, give np.arange(size) and stratify=False." if labels.dtype.kind in "iu" else ""
        raise ValueError(
            f"labels is {labels!r}; expected one label for each example, an array of rank 1 or more.{remedy}"
        )
    size = check_size(len(labels))
    if isinstance(fraction, bool) or not isinstance(fraction, (float, int, np.number)) or not 0 < fraction < 1:
        raise ValueError(f"fraction is {shown(fraction)}; expected validation's share, inside (0, 1), for example 0.2.")
    order = np.asarray(jax.device_get(permutation(fold_in(as_key(key), np.uint32(SPLIT)), 0, size)))
    num_validation = round(fraction * size)
    validation = _stratified(labels, order, fraction, num_validation) if stratify else order[:num_validation]
    if not 0 < len(validation) < size:
        raise ValueError(
            f"fraction {fraction} of {size} examples leaves {size - len(validation)} for training and "
            f"{len(validation)} for validation; expected at least one in each. Give more examples or another "
            "fraction" + (", or pass stratify=False if labels are not classes." if stratify else ".")
        )
    held_out = np.zeros(size, bool)
    held_out[validation] = True
    return Split(np.flatnonzero(~held_out).astype(np.int32), np.flatnonzero(held_out).astype(np.int32))


def _stratified(labels: np.ndarray, order: np.ndarray, fraction: float, num_validation: int) -> np.ndarray:
    """The rows for validation: of each class its share rounded down, then one more where most was rounded off."""
    classes, counts = classes_of(labels, "leave these examples out, or pass stratify=False, which reads no labels")
    share = fraction * counts
    quota = np.minimum(np.floor(share).astype(int), counts - 1)
    by_remainder = np.argsort(quota - share, kind="stable")
    by_remainder = by_remainder[quota[by_remainder] < counts[by_remainder] - 1]
    quota[by_remainder[: max(0, num_validation - int(quota.sum()))]] += 1
    grouped = order[np.argsort(classes[order], kind="stable")]  # by class, each class in the order drawn
    starts = np.cumsum(counts) - counts
    return np.concatenate([grouped[start : start + take] for start, take in zip(starts, quota, strict=True)])
