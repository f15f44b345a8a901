"""Reading stretches of an array that begin anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from jaxtyping import Array, Num


def slices_at(values: Any, start: Any, length: int) -> Num[Array, "... length"]:
    """`values[start : start + length]` at every start: XLA:CPU fuses gathers of slices, and not those of scalars."""
    dimensions = jax.lax.GatherDimensionNumbers(
        offset_dims=(start.ndim,), collapsed_slice_dims=(), start_index_map=(0,)
    )
    mode = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return jax.lax.gather(values, start[..., None], dimensions, (length,), mode=mode)
