"""Which rows of an array are the training and which the validation subset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._settings import GeneratorLike

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SUBSETS = ("training", "validation")


def subset_rows(subset: str, generator: GeneratorLike, count: int, labels: ArrayLike | None) -> slice:
    """The rows of `subset` among `count`: "validation" is the generator's share from the start, "training" the rest.

    Args:
        labels: Both subsets must hold the same; None: not checked.

    Raises:
        ValueError: For another subset, and for subsets with different labels.
    """
    if subset not in SUBSETS:
        raise ValueError(f"subset is {subset!r}; expected 'training' or 'validation'.")
    cut = int(count * (generator._validation_split or 0))
    if labels is not None:
        _check_classes(np.asarray(labels), cut)
    return slice(0, cut) if subset == "validation" else slice(cut, count)


def part_of(split: tuple[Any, Any] | None, count: int) -> slice:
    """Which of `count` files a subset holds.

    Args:
        split: The shares where it begins and ends; None: it is all.

    Raises:
        TypeError: If a share is None, as validation_split of the generator may be.
    """
    if split is None:
        return slice(0, count)
    if any(share is None for share in split):
        raise TypeError("validation_split of the generator is None; a subset needs a share, such as 0.2.")
    start, stop = (int(share * count) for share in split)
    return slice(start, stop)


def _check_classes(labels: np.ndarray, cut: int) -> None:
    if not np.array_equal(np.unique(labels[:cut]), np.unique(labels[cut:])):
        raise ValueError(
            "Training and validation subsets have different number of classes after the split: "
            + (
                "validation_split leaves no example for validation."
                if cut == 0
                else f"the first {cut} labels are not of the same kinds as the others. If the arrays are sorted by "
                "label, shuffle them; if labels are no classes, pass ignore_class_split=True."
            )
        )
