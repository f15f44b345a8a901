"""Where each output pixel comes from.

Coordinates are int32 fixed-point numbers, so that a tap and its weight are two parts of one integer. A compiler
that computes a float coordinate twice may round it differently in the two places; then floor and fraction
disagree, and single pixels are wrong by the full contrast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int


class Place(NamedTuple):
    """A coordinate along one axis for every output pixel."""

    lower: Int[Array, "height width"]  # its floor
    fraction: Float[Array, "height width"]  # what is left of it, in [0, 1), differentiable in the matrix
    remainder: Int[Array, "height width"]  # the same in fixed point: 0 exactly on a pixel
    inside: Bool[Array, "height width"]


def source_places(matrix: Any, height: int, width: int) -> tuple[Place, Place]:
    """The rows and the columns from which the pixels of an image come along `matrix`, 3x3 float32."""
    entries, matrix = matrix, jax.lax.stop_gradient(matrix)
    row_bits, col_bits = (max(1, (side - 1).bit_length()) for side in (height, width))
    # As many fractional bits as the farthest coordinate leaves, from the exponents of the matrix: at 224 pixels
    # and an ordinary augmentation 19 or 20, a coordinate error of 1e-6 pixels.
    reach = np.array([row_bits, col_bits, 0], np.int32)
    # Coordinates past 2**28 pixels do not fit; cut off, they lie far outside all the same.
    limit = np.ldexp(np.float32(1), 27 - reach)
    matrix = jnp.clip(matrix[:2], -limit, limit)
    exponents = _exponent(jnp.max(jnp.abs(matrix), axis=0)) + np.int32(1) + reach
    bits = jnp.clip(np.int32(28) - jnp.max(exponents), np.int32(0), np.int32(24))

    def along(entries: Any, offset: Any) -> Any:
        from_rows = multiples(entries[0], height, row_bits, bits) + fixed(offset, bits)
        return from_rows[:, None] + multiples(entries[1], width, col_bits, bits)[None, :]

    return (
        _place(along(matrix[0, :2], matrix[0, 2]), bits, height, entries[0]),
        _place(along(matrix[1, :2], matrix[1, 2]), bits, width, entries[1]),
    )


def _place(coordinate: Any, bits: Any, size: int, entries: Any) -> Place:
    last = np.int32(size - 1)
    lower = coordinate >> jnp.broadcast_to(bits, coordinate.shape)
    remainder = coordinate & ((np.int32(1) << bits) - np.int32(1))
    fraction = _follows(remainder.astype(np.float32) * _power_of_two(-bits), entries)
    inside = (lower >= 0) & ((lower < last) | ((lower == last) & (remainder == 0)))
    return Place(lower, fraction, remainder, inside)


@jax.custom_jvp
def _follows(fraction: Any, entries: Any) -> Any:
    """`fraction`, with the derivative of the coordinate that it is a part of: integers have none.

    `entries` is the row of the matrix that made the coordinate. Between two taps the derivative is exact.
    """
    return fraction


@_follows.defjvp
def _follows_jvp(primals: Any, tangents: Any) -> Any:
    fraction, _ = primals
    _, change = tangents
    row = jnp.arange(fraction.shape[0], dtype=np.float32)[:, None]
    col = jnp.arange(fraction.shape[1], dtype=np.float32)[None, :]
    return fraction, change[0] * row + change[1] * col + change[2]


def multiples(factor: Any, count: int, count_bits: int, bits: Any) -> Any:
    """`factor * arange(count)` in fixed point, the factor carrying `count_bits` more bits than the result.

    The product has up to 47 bits, so its upper and lower halves are made apart. Their sum is a reduction, which XLA
    computes once for every row and column; a plain sum it would compute again at every pixel.
    """
    steps = jnp.arange(count, dtype=np.int32)
    fine = fixed(factor, bits + np.int32(count_bits))
    high, low = fine >> np.int32(16), (fine & np.int32(0xFFFF)).astype(np.uint32)
    low_part = ((low * steps.astype(np.uint32)) >> np.uint32(count_bits)).astype(np.int32)
    is_high = jnp.arange(2)[:, None] == 0
    return jnp.where(is_high, (high * steps) << np.int32(16 - count_bits), low_part).sum(axis=0, dtype=np.int32)


def fixed(x: Any, bits: Any) -> Any:
    """`x` in fixed point, rounded; `bits` may be traced."""
    return jnp.round(x * _power_of_two(bits)).astype(np.int32)


def _exponent(x: Any) -> Any:
    """e of a float32 in [2**e, 2**(e + 1)), exactly; -127 for 0."""
    return ((jax.lax.bitcast_convert_type(x, np.int32) >> np.int32(23)) & np.int32(0xFF)) - np.int32(127)


def _power_of_two(exponent: Any) -> Any:
    if isinstance(exponent, (int, np.integer)):
        return np.ldexp(np.float32(1), int(exponent))
    return jax.lax.bitcast_convert_type((exponent + np.int32(127)) << np.int32(23), np.float32)
