"""Resizing along maps that keep rows rows and columns columns: a triangle over the source pixels of an output pixel.

It is as wide as the source pixels that an output pixel stands for, so that a picture that shrinks is averaged and not
thinned out, and never narrower than two, where it is linear interpolation. Of a window of the picture nothing beyond is
read. Pillow's `resize` with BILINEAR does the same, rounded to bytes after each axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add, mul
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._fusion_barrier import computed_once, fusion_barrier
from .._rounded import rounded
from .._transform import arithmetic_dtype
from .._types import Side
from ._fill import filled
from ._interpolate import StoredImage, reader
from ._ragged_image import RaggedImage

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Bool, Float, Int32, Num, Shaped

_AT_ONCE = 9  # taps of a pixel
_UNROLLED = 12  # taps of an axis
_WHOLE = 2**16, 2**15  # in which the weights of bytes are counted, by rows and by columns
_BY_VALUES = 8  # taps up to which values of bytes are faster on CPU than pixels


class Window(NamedTuple):
    """A part of the picture: its first and last edge along an axis, where pixel p reaches from p - 0.5 to p + 0.5."""

    first: Float[Array, ""] | float
    last: Float[Array, ""] | float


class _Axis(NamedTuple):
    start: Int32[Array, " count"]  # the first pixel of each output place
    weights: Float[Array, "taps count"]  # of so many from there on, which add up to 1
    inside: Bool[Array, " count"]  # whether the place lies in the window


class _Mixing(NamedTuple):
    """How pixels of a dtype are summed, with the same bits in every program."""

    units: tuple[int, int]  # what the weights of rows, and of columns, are counted in
    dtype: np.dtype  # of the sums
    between: Callable[[jax.Array], jax.Array]  # what is kept of the sums of rows
    last: Callable[[jax.Array], jax.Array]  # what becomes of those of columns
    product: Callable[[jax.Array, jax.Array], jax.Array]  # of a value and its weight


# Compiled once for each config, as what depends on the platform is made of closures.
@partial(jax.jit, static_argnames=("size", "most", "antialias", "fill_mode"), inline=True)
def resize_along(
    image: Num[Array, "height width channels"] | RaggedImage,
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
    mixing = _mixing(image.dtype)

    def axes() -> list[_Axis]:
        lines = ((matrix[axis, axis], matrix[axis, 2], size[axis], image.shape[axis]) for axis in range(2))
        largest = image.most if isinstance(image, RaggedImage) else image.shape
        taps = [
            min(side, math.ceil(2 * max(1.0, extent if antialias else 1.0)))
            for side, extent in zip(largest[:2], most, strict=True)
        ]
        each = zip(lines, windows, taps, mixing.units, strict=True)
        return [_axis(*line, window, count, unit, antialias=antialias) for line, window, count, unit in each]

    rows, cols = jax.tree.map(computed_once, fusion_barrier(axes))
    result = _resized(image, rows, cols, mixing, stored)
    return jnp.asarray(filled(jnp, result, (rows.inside[:, None] & cols.inside[None])[..., None], fill_mode, cval))


def _resized(
    image: jax.Array | RaggedImage, rows: _Axis, cols: _Axis, mixing: _Mixing, stored: StoredImage | None
) -> Float[Array, "height width channels"]:
    """Rows and then columns on CPU, which takes half the time; elsewhere few taps in one kernel."""
    row_weights, col_weights = (axis.weights.astype(mixing.dtype) for axis in (rows, cols))

    def at_once() -> jax.Array:
        pick = reader(image, stored)
        row, col = jnp.broadcast_arrays(rows.start[:, None], cols.start[None])

        def column(right: int) -> jax.Array:
            def at(down: int) -> jax.Array:
                return jnp.asarray(pick(row, col, down, right))

            return mixing.between(_summed(at, row_weights[:, :, None, None], mixing))

        return mixing.last(_summed(column, col_weights[:, None, :, None], mixing))

    def by_axes() -> jax.Array:
        at, first, last = _rows_of(image, rows.start), cols.start, None

        def mixed_rows() -> jax.Array:
            return mixing.between(_summed(at, row_weights[:, :, None, None], mixing))

        mixed = fusion_barrier(mixed_rows)
        if isinstance(image, RaggedImage) and not image.extent.has_room_behind:
            first, last = first + image.before, mixed.shape[1] - 1  # columns that count nothing may lie behind the line
        if mixing.units == _WHOLE and len(col_weights) <= _BY_VALUES:
            return mixing.last(_columns_by_values(mixed, first, last, col_weights, mixing))
        return mixing.last(_summed(_taken(mixed, first, 1, last), col_weights[:, None, :, None], mixing))

    if len(row_weights) * len(col_weights) > _AT_ONCE:
        return by_axes()
    return jax.lax.platform_dependent(cpu=by_axes, default=at_once)


def _taken(
    values: jax.Array, start: jax.Array, axis: int, last: int | None = None
) -> Callable[[int | jax.Array], jax.Array]:
    """The rows or columns a step further than `start`, or `last` behind it; None: it is never behind."""

    def at(step: int | jax.Array) -> jax.Array:
        places = (slice(None),) * axis + (_further(start, step, last),)
        return values.at[places].get(mode="promise_in_bounds")

    return at


def _rows_of(image: jax.Array | RaggedImage, start: jax.Array) -> Callable[[int | jax.Array], jax.Array]:
    """The rows of an image a step further than `start`."""
    if isinstance(image, RaggedImage):  # those that count nothing may lie behind the picture
        return lambda step: image.lines(_further(start, step, image.shape[0] - 1))
    return _taken(image, start, 0)


def _further(start: jax.Array, step: int | jax.Array, last: Side | None) -> jax.Array:
    place = start + jnp.asarray(step, np.int32)
    return place if last is None else jnp.minimum(place, last)


def _columns_by_values(
    mixed: jax.Array, start: jax.Array, last: int | None, weights: Shaped[Array, "taps count"], mixing: _Mixing
) -> jax.Array:
    """Sums of columns with places and weights of every value of a line: one long loop, and not one of each pixel."""
    height, width, channels = mixed.shape

    def of_values() -> tuple[jax.Array, jax.Array]:
        first = start[:, None] * np.int32(channels) + np.arange(channels, dtype=np.int32)[None]
        return first.reshape(-1), jnp.repeat(weights, channels, axis=1)

    places, each = fusion_barrier(of_values)
    lines = mixed.reshape(height, width * channels)

    def at(step: int | jax.Array) -> jax.Array:
        # Behind the line any value will do.
        further = _further(places, step * channels, None if last is None else width * channels - 1)
        return lines.at[:, further].get(mode="promise_in_bounds")

    return _summed(at, each[:, None, :], mixing).reshape(height, len(start), channels)


def _summed(at: Callable[..., jax.Array], weights: Shaped[Array, "taps ..."], mixing: _Mixing) -> jax.Array:
    """The sum of `at(k) * weights[k]`; many are a loop, which is compiled once."""

    def product(k: int | jax.Array) -> jax.Array:
        return mixing.product(at(k).astype(mixing.dtype), weights[k])

    if len(weights) <= _UNROLLED:
        return reduce(add, map(product, range(len(weights))))
    return jax.lax.fori_loop(1, len(weights), lambda k, total: total + product(k), product(0))


def _mixing(dtype: DTypeLike) -> _Mixing:
    """Bytes in whole numbers, 16 bits between the axes and 31 at the end; others in floats, each product rounded.

    So no compiler can choose whether a product and a sum are rounded once or twice.
    """
    if np.dtype(dtype).kind in "bu" and np.dtype(dtype).itemsize == 1:
        return _Mixing(
            units=_WHOLE,
            dtype=np.dtype(np.int32),
            between=lambda sums: ((sums + np.int32(2**7)) >> np.int32(8)).astype(np.uint16),
            last=lambda sums: sums.astype(np.float32) * np.float32(2.0**-23),
            product=mul,
        )
    kept = arithmetic_dtype(dtype)
    return _Mixing((1, 1), kept, between=lambda sums: sums, last=lambda sums: sums, product=_product)


def _product(value: jax.Array, weight: jax.Array) -> jax.Array:
    """0 where the weight is: beyond a window, or a picture among others, NaN may stand."""
    return rounded(jnp.where(weight == 0, np.zeros((), value.dtype), value) * weight)


def _axis(
    factor: jax.Array,
    offset: jax.Array,
    count: int,
    size: Side,
    window: Window,
    num_taps: int,
    unit: int,
    *,
    antialias: bool,
) -> _Axis:
    """The pixels of each output place along an axis, and their weights, in whole numbers that add up to `unit` or 1."""
    centre = rounded(factor * np.arange(count, dtype=np.float32)) + offset
    first, last = (jnp.asarray(edge, np.float32) for edge in window)
    inside = (centre >= first) & (centre <= last)
    centre = jnp.clip(centre, first, last)
    # A window that is smaller than a pixel may hold the centre of none: then it is that of the pixel about its own.
    beyond = np.int32(1) * (size - 1)
    nearest = jnp.clip(jnp.floor((first + last + np.float32(1)) * np.float32(0.5)), 0, beyond.astype(np.float32))
    first, last = jnp.minimum(first, nearest), jnp.maximum(last, nearest)
    half = jnp.maximum(jnp.abs(factor), np.float32(1)) if antialias else jnp.float32(1)
    furthest = jnp.maximum(np.int32(0), beyond + np.int32(1 - num_taps))  # or all taps behind the first pixel
    start = jnp.clip(jnp.floor(centre - half).astype(np.int32) + np.int32(1), 0, furthest)
    places = (start[None] + np.arange(num_taps, dtype=np.int32)[:, None]).astype(np.float32)
    # A quotient by one number for all places would be made a product in some programs, with another last bit.
    slope, none = np.float32(1) / half, np.float32(0)
    heights = jnp.maximum(np.float32(1) - rounded(jnp.abs(places - centre[None]) * slope), none)
    heights = jnp.where((places >= first) & (places <= last), heights, none)
    sums = jnp.stack(list(itertools.accumulate(heights)))
    if unit == 1:
        return _Axis(start, heights / sums[-1:], inside)
    # Differences of rounded sums add up to the whole.
    shares = jnp.round(sums / sums[-1:] * np.float32(unit))
    return _Axis(start, jnp.diff(shares, axis=0, prepend=np.float32(0)), inside)
