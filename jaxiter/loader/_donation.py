"""The door for `donate=`: what is let in is deleted, so it has to be what it is meant to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

_EXPECTED = "expected the last batch of this loader that is no longer needed, or None"


def checked_donation(donated: Any, spec: Any, own: Sequence[Any], *, any_length: bool) -> Any:
    """`donated`, if a batch of `spec` can be written over it; None if it is one of another length.

    Args:
        spec: Shape and dtype of each leaf of the batch that is to be made.
        own: The loader's arrays.
        any_length: Whether batches of this loader differ in length.
    """
    if isinstance(donated, bool):
        raise TypeError(f"donate is {donated}; {_EXPECTED}. stream(..., donate=True) does it for every batch.")
    found = jax.tree.leaves(donated)
    misfit = f"donate is {_described(donated)}; {_EXPECTED}, {_described(spec)}."
    # Compared in tuples: mypy knows no == of tree structures.
    if (jax.tree.structure(donated),) != (jax.tree.structure(spec),):
        is_with_mask = isinstance(donated, tuple) and len(donated) == 2 and _is_mask(donated[1])
        raise ValueError(f"{misfit} Pass the batch without its mask." if is_with_mask else misfit)
    for leaf in found:
        if not isinstance(leaf, jax.Array):
            raise TypeError(f"donate holds a {type(leaf).__module__}.{type(leaf).__name__}; {_EXPECTED}, JAX arrays.")
    pairs = list(zip(found, jax.tree.leaves(spec), strict=True))
    fits = all(leaf.shape == one.shape for leaf, one in pairs)
    if any((leaf.shape[1:], leaf.dtype) != (one.shape[1:], one.dtype) for leaf, one in pairs) or not (
        fits or any_length
    ):
        raise ValueError(misfit)
    if any(_is_concrete(leaf) and leaf.is_deleted() for leaf in found):
        raise ValueError(f"donate holds an array that is deleted, as by having been donated before; {_EXPECTED}.")
    resident = next(filter(_is_concrete, own), None)
    if resident is not None and any(_is_concrete(leaf) and leaf.devices() != resident.devices() for leaf in found):
        raise ValueError(
            f"donate lies on {sorted({str(device) for leaf in found for device in leaf.devices()})}, and this loader's "
            f"arrays on {sorted(map(str, resident.devices()))}; {_EXPECTED}."
        )
    own_ids = {id(leaf) for leaf in own}
    if len({id(leaf) for leaf in found} - own_ids) < len(found):
        raise ValueError(f"donate holds one array twice, or one of the loader's own; {_EXPECTED}.")
    return donated if fits else None


def _is_concrete(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer)


def _is_mask(leaf: Any) -> bool:
    return getattr(leaf, "dtype", None) == np.bool_


def _described(tree: Any) -> Any:
    def described(leaf: Any) -> str:
        return f"{getattr(leaf, 'dtype', type(leaf).__name__)}{list(np.shape(leaf))}"

    return jax.tree.map(described, tree)
