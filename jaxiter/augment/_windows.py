"""Windows of random area and ratio, drawn until one fits."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite
from .._describe import described
from ._rounded import exponential, rounded
from ._types import Side

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float, Int32

ATTEMPTS = 10


def first_fit(
    drawn: Float[Array, " slots"],
    most: tuple[Side, Side],
    area: Side,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    *,
    otherwise: tuple[Side, Side],
) -> tuple[Int32[Array, 2], Bool[Array, ""]]:
    """Height and width of the first window of ten that is no larger than `most`, or `otherwise`; and whether one is.

    Args:
        drawn: The areas of ten attempts, then their ratios, uniform in [0, 1); what follows is not read.
        most: The largest height and width.
        area: Of the picture, of which `scale` are shares.
        ratio: Width over height, drawn evenly on a scale of logarithms.
    """
    areas, ratios = drawn[:ATTEMPTS], drawn[ATTEMPTS : 2 * ATTEMPTS]
    least, spread = _shares(area, *scale)
    area_drawn = least + rounded(areas * spread)
    low, high = map(math.log, ratio)
    ratio_drawn = exponential(np.float32(low) + rounded(ratios * np.float32(high - low)))
    squares = area_drawn / ratio_drawn, area_drawn * ratio_drawn
    heights, widths = (jnp.round(jnp.sqrt(square)).astype(np.int32) for square in squares)
    fits = (heights >= 1) & (heights <= most[0]) & (widths >= 1) & (widths <= most[1])
    sides = jnp.stack([heights, widths])

    def chosen(later: jax.Array, attempt: int) -> jax.Array:
        return jnp.where(fits[attempt], sides[:, attempt], later)

    # From the last attempt to the first, which is what is left if it fits.
    last = jnp.stack([jnp.asarray(side, np.int32) for side in otherwise])
    return reduce(chosen, range(ATTEMPTS)[::-1], last), fits.any()


def _shares(area: Side, low: float, high: float) -> tuple[ArrayLike, ArrayLike]:
    """The least and what may be added to it."""
    if isinstance(area, int):
        return np.float32(low * area), np.float32(high * area - low * area)
    whole = area.astype(np.float32)
    least, most = (rounded(np.float32(share) * whole) for share in (low, high))
    return least, most - least


def rising_pair(name: str, given: object) -> tuple[float, float]:
    """`given` as a pair of floats, both above 0."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(f"{name} is {described(given)}; expected a pair (low, high).")
    for end in given:
        check_finite(name, end)
    low, high = map(float, given)
    if not 0 < low <= high:
        raise ValueError(f"{name} is ({low:g}, {high:g}); expected 0 < low <= high.")
    return low, high
