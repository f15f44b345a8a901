"""Which pixel stands at an index beyond the image, and which coordinate at one beyond it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._cast import round_to


def filled(result: Any, inside: Any, fill_mode: str, cval: Any) -> Any:
    """With "constant" pixels whose place is not `inside` are cval, in the dtype of the result."""
    if fill_mode != "constant":
        return result
    return jnp.where(inside, result, round_to(result.dtype, jnp.asarray(cval, np.float32)))


def clamped(tap: Any, size: int) -> Any:
    """a a a | a b c d | d d d."""
    return jnp.minimum(jnp.maximum(tap, np.int32(0)), np.int32(size - 1))


def reflected(tap: Any, size: int) -> Any:
    """Half-sample symmetric, d c b a | a b c d | d c b a: period 2 * size."""
    folded = modulo(tap, 2 * size)
    return jnp.minimum(folded, np.int32(2 * size - 1) - folded)


def turned_inwards(lower: Any, fraction: Any, size: int) -> tuple[Any, Any]:
    """A coordinate brought to `lower` in [-1, size - 1] and `fraction` in [0, 1] where `reflected` repeats the same."""
    folded = modulo(lower, 2 * size)
    turned = folded >= size
    lower = jnp.where(turned, np.int32(2 * size - 2) - folded, folded)
    return lower, jnp.where(turned, np.float32(1) - fraction, fraction)


def wrapped(lower: Any, remainder: Any, inside: Any, size: int) -> Any:
    """The whole part of a coordinate after SciPy's wrap: period size - 1, the first and the last pixel share a place.

    Args:
        lower, remainder: The coordinate's whole part and what is left of it; only whether that is 0 counts.
        inside: Where the coordinate lies in the image.
    """
    if size == 1:
        return jnp.zeros_like(lower)
    period = size - 1
    folded = modulo(lower, period)
    # Left of the image SciPy adds whole periods until it is past 0, so that exact multiples land on the last sample.
    folded = jnp.where((lower < 0) & (folded == 0) & (remainder == 0), np.int32(period), folded)
    return jnp.where(inside, lower, folded)


def modulo(x: Any, period: int) -> Any:
    remainder = jax.lax.rem(x, jnp.full_like(x, period))
    return jnp.where(remainder < 0, remainder + np.int32(period), remainder)
