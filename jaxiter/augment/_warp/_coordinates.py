"""First step: where each output pixel comes from.

Coordinates are int32 fixed-point numbers, so that a tap and its weight are two parts of one integer. A compiler
that computes a float coordinate twice may round it differently in the two places; then floor and fraction
disagree, and single pixels are wrong by the full contrast.

Where the entries of the matrix are bounded beforehand the number of fractional bits is static. Otherwise it follows
from each matrix.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Side, Values

if TYPE_CHECKING:
    import numpy.typing as npt
    from jax.typing import DTypeLike

Bits = int | np.integer | Values  # how many fractional bits, or an exponent of two; an array where it is traced

WEIGHT_BITS = 16  # of the weights of bytes
_MARGIN = 1.001  # float32 matrices may lie a little beyond the bounds
_WIDEST = 0.5  # shares of the width: rows that are lengthened by more are longer than they are worth
_LEAST_BITS = WEIGHT_BITS  # with fewer the general path, which looks at every matrix, is finer
_COARSE = 1e-5  # pixels by which a coordinate may be off


class FixedPoint(NamedTuple):
    """The form of the coordinates of all maps within some bounds: static, so that a program depends on it alone."""

    bits: int  # fractional bits
    axis_aligned: bool  # rows come from rows, columns from columns
    folds_once: bool  # no coordinate lies farther out than one image to either side
    padding: int | None  # columns added at either end, where maps only mirror and shift, by no more; else None
    is_whole: bool = False  # whole pixels come from whole pixels


class MatrixBounds(NamedTuple):
    """Bounds on all maps that a config may draw, entry by entry, about the centres of source and output.

    A map takes an output place to a source place, `source - centre = linear @ (output - centre) + offset`.
    """

    linear: tuple[tuple[float, ...], ...]  # 2x2, absolute values
    offset: tuple[float, ...]  # (rows, cols) in pixels, absolute values; may be infinite
    is_whole: bool = False  # maps mirror and shift by whole pixels, and do nothing else

    def then(self, other: MatrixBounds) -> MatrixBounds:
        """Of the picture change that `self` bounds, followed by that of `other`."""
        linear = np.asarray(self.linear)
        known = np.isfinite(other.offset).all()  # else 0 * infinity would be NaN
        beyond = linear @ np.asarray(other.offset) if known else np.full(2, np.inf)
        return matrix_bounds(linear @ other.linear, beyond + self.offset, is_whole=self.is_whole and other.is_whole)

    def either(self, other: MatrixBounds) -> MatrixBounds:
        """Of maps that one of both bounds."""
        linear = np.maximum(self.linear, other.linear)
        return matrix_bounds(linear, np.maximum(self.offset, other.offset), is_whole=self.is_whole and other.is_whole)

    def fixed_point(self, source_size: tuple[int, int], size: tuple[int, int] | None = None) -> FixedPoint | None:
        """None where an int32 holds too few bits behind the largest coordinate.

        Args:
            source_size, size: (height, width) of the image and of the result; by default they are the same.
        """
        size = size or source_size
        sides, linear, offset = np.array(source_size), np.asarray(self.linear), np.asarray(self.offset)
        # 0.01 pixels more, as a share of a bound of 0 is nothing.
        farthest = ((sides - 1) / 2 + linear @ ((np.array(size) - 1) / 2) + offset) * _MARGIN + 0.01
        # An entry of the matrix carries as many bits more as the count of rows or columns has.
        entries = linear * 2.0 ** np.array([int(side - 1).bit_length() for side in size])
        # Twice the sides: the period of a mirrored border has to fit too. One more is for the half pixel that is added
        # before a coordinate is folded or rounded.
        largest = max(farthest.max(), entries.max() * _MARGIN, 2.0 * sides.max(), 2.0 * max(size)) + 1
        bits = min(24, 31 - int(np.ceil(np.log2(largest)))) if np.isfinite(largest) else 0  # float32 holds 24
        if bits < _LEAST_BITS:
            return None
        aligned = bool(linear[0, 1] == 0 and linear[1, 0] == 0)
        shifts = bool((linear == np.eye(2)).all()) and tuple(size) == tuple(source_size)
        padding = _padding(offset[1], source_size[1]) if shifts else None
        # Coordinates lie about the centre, so as far before the first pixel as beyond the last.
        folds_once = bool((farthest < 2 * (sides - 1)).all())
        return FixedPoint(bits, aligned, folds_once, padding, self.is_whole)


def matrix_bounds(linear: npt.ArrayLike, offset: npt.ArrayLike, *, is_whole: bool = False) -> MatrixBounds:
    """`MatrixBounds` of arrays: hashable, as a static argument has to be."""
    rows = tuple(tuple(map(float, row)) for row in np.abs(np.asarray(linear)))
    return MatrixBounds(rows, tuple(map(float, np.abs(np.asarray(offset)))), is_whole)


def _padding(offset: float, width: int) -> int | None:
    """Columns enough for a shift by `offset`: powers of two, so that not every range has a program of its own."""
    needed = int(np.ceil(offset * _MARGIN + 0.01)) + 1  # for the tap beyond
    most = int(width * _WIDEST)
    return min(1 << (needed - 1).bit_length(), most) if needed <= most else None


class Coordinate(NamedTuple):
    """A coordinate along one axis for every output pixel."""

    whole: Values  # int32[height, width]: its floor
    fraction: Values  # float32[height, width]: what is left of it, in [0, 1], differentiable in the matrix
    is_whole: Values  # bool[height, width]: nothing is left
    inside: Values  # bool[height, width]: in the image


def source_coordinates(
    xp: ModuleType, matrix: Values, size: tuple[int, int], source_size: tuple[Side, Side], weight_bits: int | None
) -> tuple[Coordinate, Coordinate]:
    """The rows and the columns from which pixels come along any `matrix`, 3x3 float32.

    Args:
        size: (height, width) of the result.
        source_size: Of the image; may be traced.
        weight_bits: Fractional bits that fractions are rounded to; None keeps all.
    """
    entries, matrix = matrix, matrix if xp is np else jax.lax.stop_gradient(matrix)
    height, width = size
    row_bits, col_bits = map(index_bits, size)
    # As many fractional bits as the farthest coordinate leaves, from the exponents of the matrix: at 224 pixels
    # and an ordinary augmentation 19 or 20, a coordinate error of 1e-6 pixels.
    counts = np.array([row_bits, col_bits, 0], np.int32)
    # Coordinates past 2**28 pixels do not fit; cut off, they lie far outside all the same.
    limit = np.ldexp(np.float32(1), 27 - counts)
    matrix = xp.clip(matrix[:2], -limit[None], limit[None])
    exponents = _exponent(xp, xp.max(xp.abs(matrix), axis=0)) + np.int32(1) + counts
    # A coordinate is a sum of three terms below 2**28, and fits.
    bits = xp.clip(np.int32(28) - xp.max(exponents), np.int32(0), np.int32(24))

    def along(row: Values) -> Values:
        from_rows = multiples(xp, row[0], height, bits) + fixed(xp, row[2], bits)
        return from_rows[:, None] + multiples(xp, row[1], width, bits)[None, :]

    def coordinate(axis: int) -> Coordinate:
        fixed_point, last = along(matrix[axis]), np.int32(1) * (source_size[axis] - 1)
        whole = fixed_point >> (bits if xp is np else xp.broadcast_to(bits, fixed_point.shape))
        remainder = fixed_point & ((np.int32(1) << bits) - np.int32(1))
        if weight_bits is None:
            fraction = remainder.astype(np.float32) * _power_of_two(xp, -bits)
        else:
            scaled = remainder.astype(np.float32) * _power_of_two(xp, np.int32(weight_bits) - bits)
            fraction = xp.round(scaled) * np.float32(2.0**-weight_bits)
        fraction = fraction if xp is np else _follows(fraction, entries[axis])
        inside = (whole >= 0) & ((whole < last) | ((whole == last) & (remainder == 0)))
        return Coordinate(whole, fraction, remainder == 0, inside)

    return coordinate(0), coordinate(1)


Pair = tuple[jax.Array, jax.Array]


@jax.custom_jvp
def _follows(fraction: jax.Array, entries: jax.Array) -> jax.Array:
    """`fraction`, with the derivative of the coordinate that it is a part of: integers have none.

    `entries` is the row of the matrix that made the coordinate. Between two taps the derivative is exact.
    """
    return fraction


@_follows.defjvp
def _follows_jvp(primals: Pair, tangents: Pair) -> Pair:
    fraction, _ = primals
    _, change = tangents
    row = jnp.arange(fraction.shape[0], dtype=np.float32)[:, None]
    col = jnp.arange(fraction.shape[1], dtype=np.float32)[None, :]
    return fraction, change[0] * row + change[1] * col + change[2]


def bounded_coordinates(
    xp: ModuleType, matrix: Values, size: tuple[int, int], point: FixedPoint, plus: int = 0
) -> tuple[Values, Values]:
    """Rows and columns with `point.bits` fractional bits: (height, width) or, axis-aligned, (height, 1) and (1, width).

    Args:
        matrix: Within the bounds that `point` was made for.
        plus: Units added to each of them, where it costs nothing.
    """
    height, width = size
    bits = point.bits
    # Rounding an entry of the matrix is off by half a unit, and by as many times more as there are rows or columns.
    fine = (height + width) * 2.0 ** -(bits + 1) <= _COARSE

    def along(factor: Values, count: int) -> Values:
        if fine:  # at 32 pixels a tenth of the time
            return fixed(xp, factor, bits) * xp.arange(count, dtype=np.int32)
        return multiples(xp, factor, count, bits)

    offsets = [fixed(xp, matrix[axis, 2], bits) + np.int32(plus) for axis in range(2)]
    if point.axis_aligned:
        return (along(matrix[0, 0], height) + offsets[0])[:, None], (along(matrix[1, 1], width) + offsets[1])[None]
    from_rows, from_cols = (
        [along(entry, count) for entry in matrix[:2, axis]] for axis, count in enumerate((height, width))
    )
    rows, cols = (from_rows[axis][:, None] + (from_cols[axis] + offsets[axis])[None] for axis in range(2))
    return rows, cols


def whole_coordinates(xp: ModuleType, matrix: Values, size: tuple[int, int]) -> tuple[Values, Values]:
    """Rows (height, 1) and columns (1, width) as whole numbers, of a map that mirrors and shifts by whole pixels."""

    def along(axis: int) -> Values:
        forwards = xp.arange(size[axis], dtype=np.int32)
        turned = xp.where(matrix[axis, axis] < 0, -forwards, forwards)
        return turned + xp.round(matrix[axis, 2]).astype(np.int32)

    return along(0)[:, None], along(1)[None]


def is_inside(coordinate: Values, size: int, bits: int) -> Values:
    return coordinate.astype(np.uint32) <= np.uint32((size - 1) << bits)  # what is below 0 becomes large


def split(coordinate: Values, bits: int, weight_bits: int | None = None) -> tuple[Values, Values]:
    """Floor and fraction of a fixed-point coordinate; the fraction rounded to `weight_bits`, if any."""
    if weight_bits is not None:
        whole, part = split_in_units(coordinate, bits, weight_bits)
        return whole, part * np.float32(2.0**-weight_bits)
    part = coordinate & np.int32((1 << bits) - 1)
    return coordinate >> np.int32(bits), part.astype(np.float32) * np.float32(2.0**-bits)


def split_in_units(coordinate: Values, bits: int, weight_bits: int) -> tuple[Values, Values]:
    """`split`, with the fraction in units of 2**-weight_bits; there are no fewer `bits`."""
    part, dropped = coordinate & np.int32((1 << bits) - 1), bits - weight_bits
    if dropped:  # it may become 1, which is all of the next tap
        part = (part + np.int32(1 << (dropped - 1))) >> np.int32(dropped)
    return coordinate >> np.int32(bits), part.astype(np.float32)


def nearest(coordinate: Values, bits: int) -> Values:
    """The nearest whole number; halves go up."""
    return (coordinate + np.int32(1 << (bits - 1))) >> np.int32(bits)


def index_bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


def multiples(xp: ModuleType, factor: Values, count: int, bits: Bits) -> Values:
    """`factor * arange(count)` in fixed point, the factor carrying `index_bits(count)` more bits than the result.

    The product has up to 47 bits, so in JAX its upper and lower halves are made apart. Their sum is a reduction, which
    XLA computes once for every row and column; a plain sum it would compute again at every pixel.
    """
    count_bits = index_bits(count)
    steps = xp.arange(count, dtype=np.int32)
    fine = fixed(xp, factor, bits + np.int32(count_bits))
    if xp is np:
        return ((np.int64(fine) * steps) >> np.int64(count_bits)).astype(np.int32)
    high, low = fine >> np.int32(16), (fine & np.int32(0xFFFF)).astype(np.uint32)
    low_part = ((low * steps.astype(np.uint32)) >> np.uint32(count_bits)).astype(np.int32)
    is_high = np.arange(2)[:, None] == 0
    return xp.where(is_high, (high * steps) << np.int32(16 - count_bits), low_part).sum(axis=0, dtype=np.int32)


def fixed(xp: ModuleType, x: Values, bits: Bits) -> Values:
    """`x` in fixed point, rounded; `bits` may be traced."""
    return xp.round(x * _power_of_two(xp, bits)).astype(np.int32)


def _exponent(xp: ModuleType, x: Values) -> Values:
    """e of a float32 in [2**e, 2**(e + 1)), exactly; -127 for 0."""
    return ((_bitcast(xp, x, np.int32) >> np.int32(23)) & np.int32(0xFF)) - np.int32(127)


def _power_of_two(xp: ModuleType, exponent: Bits) -> np.float32 | Values:
    if isinstance(exponent, (int, np.integer)):
        return np.ldexp(np.float32(1), int(exponent))
    # Its bits are written down: exp2 need not be exact.
    return _bitcast(xp, (exponent + np.int32(127)) << np.int32(23), np.float32)


def _bitcast(xp: ModuleType, x: Values, dtype: DTypeLike) -> Values:
    return x.view(dtype) if xp is np else jax.lax.bitcast_convert_type(x, dtype)
