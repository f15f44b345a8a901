"""Resizing along maps that keep rows rows and columns columns: a triangle over the source pixels of an output pixel.

It is as wide as the source pixels that an output pixel stands for, so that a picture that shrinks is averaged and not
thinned out, and never narrower than two, where it is linear interpolation. Of a window of the picture nothing beyond is
read. Pillow's `resize` with BILINEAR does the same, rounded to bytes after each axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._fusion_barrier import computed_once, fusion_barrier
from .._rounded import rounded
from .._transform import arithmetic_dtype
from ._fill import filled
from ._interpolate import StoredImage, blending, interpolate
from ._taps import Taps

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float, Num

_AT_ONCE = 9  # taps of a pixel


class Window(NamedTuple):
    """A part of the picture: its first and last edge along an axis, where pixel p reaches from p - 0.5 to p + 0.5."""

    first: Float[Array, ""] | float
    last: Float[Array, ""] | float


# Compiled once for each config, as what depends on the platform is made of closures.
@partial(jax.jit, static_argnames=("size", "most", "antialias", "fill_mode"), inline=True)
def resize_along(
    image: Num[Array, "height width channels"],
    matrix: Float[Array, "3 3"],
    windows: Sequence[Window],
    size: tuple[int, int],
    *,
    most: tuple[float, float],
    antialias: bool,
    fill_mode: str,
    cval: ArrayLike,
    stored: StoredImage | None = None,
) -> Float[Array, "height width channels"]:
    """The image along a matrix without rotation and shear.

    Args:
        windows: Of rows and of columns. What lies outside is read at their edges, or is cval with "constant".
        most: Source pixels for an output pixel, by rows and columns, which the matrix does not exceed; static.
        antialias: False: two pixels are mixed along each axis, however much the picture shrinks.
    """

    def taps() -> list[Taps]:
        axes = ((matrix[axis, axis], matrix[axis, 2], size[axis], image.shape[axis]) for axis in range(2))
        extents = most if antialias else (1.0, 1.0)
        each = zip(axes, windows, extents, strict=True)
        return [_taps(*axis, window, extent, antialias=antialias) for axis, window, extent in each]

    rows, cols = jax.tree.map(computed_once, fusion_barrier(taps))
    result = _resized(image, rows, cols, size, stored)
    return jnp.asarray(filled(jnp, result, (rows.inside[:, None] & cols.inside[None])[..., None], fill_mode, cval))


def _resized(
    image: jax.Array, rows: Taps, cols: Taps, size: tuple[int, int], stored: StoredImage | None
) -> Float[Array, "height width channels"]:
    """Rows and then columns on CPU, which takes half the time; elsewhere few taps in one kernel."""
    dtype = arithmetic_dtype(image.dtype)
    row_weights, col_weights = ([w.astype(dtype) for w in taps.weights or ()] for taps in (rows, cols))

    def at_once() -> jax.Array:
        placed = rows.each(lambda values: values[:, None]), cols.each(lambda values: values[None])
        return jnp.asarray(interpolate(jnp, image, *placed, size, _mixed, stored))

    def by_axes() -> jax.Array:
        def mixed_rows() -> jax.Array:
            start = rows.indices[0]
            lines = [image.at[start + np.int32(k)].get(mode="promise_in_bounds") for k in range(len(row_weights))]
            return _mixed([line.astype(dtype) for line in lines], [w[:, None, None] for w in row_weights])

        lines, start = fusion_barrier(mixed_rows), cols.indices[0]
        parts = [lines.at[:, start + np.int32(k)].get(mode="promise_in_bounds") for k in range(len(col_weights))]
        return _mixed(parts, [w[None, :, None] for w in col_weights])

    if len(row_weights) * len(col_weights) > _AT_ONCE:
        return by_axes()
    return jax.lax.platform_dependent(cpu=by_axes, default=at_once)


def _mixed(values: Sequence[Any], weights: Sequence[Any]) -> Any:
    blend = blending(np.dtype(np.float32), 3)
    return blend(values, weights) if len(values) > 1 else values[0] * weights[0]


def _taps(
    factor: jax.Array, offset: jax.Array, count: int, size: int, window: Window, most: float, *, antialias: bool
) -> Taps:
    """Those of an axis: the first pixel of each output place, and the weights of so many from there on."""
    centre = rounded(factor * np.arange(count, dtype=np.float32)) + offset
    first, last = (jnp.asarray(edge, np.float32) for edge in window)
    inside = (centre >= first) & (centre <= last)
    centre = jnp.clip(centre, first, last)
    half = jnp.maximum(jnp.abs(factor), np.float32(1)) if antialias else jnp.float32(1)
    num_taps = min(size, math.ceil(2 * max(1.0, most)))
    start = jnp.clip(jnp.floor(centre - half).astype(np.int32) + np.int32(1), 0, np.int32(size - num_taps))
    places = [start + np.int32(k) for k in range(num_taps)]
    heights = [
        jnp.where(
            (place >= first) & (place <= last),
            jnp.maximum(np.float32(1) - jnp.abs(place.astype(np.float32) - centre) / half, np.float32(0)),
            np.float32(0),
        )
        for place in places
    ]
    total = sum(heights[1:], heights[0])
    return Taps((start,), tuple(height / total for height in heights), inside)
