"""The classes of labels."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._describe import described


def classes_of(labels: np.ndarray, or_else: str) -> tuple[np.ndarray, np.ndarray]:
    """The number of each label's class, and how many each class has.

    Args:
        or_else: Ends the error about missing labels, after what can be done with them.
    """
    missing = int(_is_missing(labels).reshape(len(labels), -1).any(axis=1).sum())
    if missing:
        raise ValueError(
            f"labels has {missing} missing of {len(labels)} (None or NaN), perhaps of a table; expected a class for "
            f"each example. Give them a class, {or_else}."
        )
    axis = 0 if labels.ndim > 1 else None
    try:
        _, classes, counts = np.unique(labels, axis=axis, return_inverse=True, return_counts=True)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels.reshape(-1).tolist()}))
        raise TypeError(
            f"labels is {described(labels)} of {kinds}, which NumPy cannot sort; expected numbers or text alone. "
            "Make text of all: [str(label) for label in labels]."
        ) from None
    return classes.reshape(-1), counts


def _is_missing(labels: np.ndarray) -> np.ndarray:
    if labels.dtype == object:  # pandas has values of its own for what is missing
        found = [
            label is None
            or (isinstance(label, float) and np.isnan(label))
            or type(label).__name__ in ("NAType", "NaTType")
            for label in labels.reshape(-1).tolist()
        ]
        return np.array(found, bool).reshape(labels.shape)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    return np.isnan(labels) if jnp.issubdtype(labels.dtype, np.inexact) else np.zeros(labels.shape, bool)
