"""Spline interpolation of order 2 to 5: the coefficients of an image, and the weight that each of them has at a point.

The pixels are values of the spline and not its coefficients; the prefilter goes from one to the other. Along an axis
of so many pixels it is a constant matrix, whose entries fall off by the factor `_POLES` with every step from the
diagonal: one product for a short axis, a band of them for a long one. Where the length is traced, and for "grid-wrap",
the axis is lengthened by its own border rule first, and every coefficient has the weights of an endless axis.

Unser, Aldroubi and Eden, "B-Spline Signal Processing", IEEE Transactions on Signal Processing 41 (1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from ._border import COEFFICIENT, padding

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num

_POLES = {
    2: (sqrt(8) - 3,),
    3: (sqrt(3) - 2,),
    4: (sqrt(664 - sqrt(438976)) + sqrt(304) - 19, sqrt(664 + sqrt(438976)) - sqrt(304) - 19),
    5: (sqrt(67.5 - sqrt(4436.25)) + sqrt(26.25) - 6.5, sqrt(67.5 + sqrt(4436.25)) - sqrt(26.25) - 6.5),
}
# An axis of up to `_DENSE` pixels is one product. A longer one is cut into pieces of `_PIECE`, each made from the
# pixels within `_REACH` of it: 0.43**32, of the slowest pole, is 2e-12.
_DENSE, _PIECE, _REACH = 256, 64, 32


def coefficients(
    xp: Any, image: Num[Array, "height width channels"], order: int, fill_mode: str, size: tuple[Any, Any] | None = None
) -> Any:
    """The spline's coefficients, as `scipy.ndimage.spline_filter` finds them for this border.

    Args:
        size: (height, width) of the image in the upper left corner, where what lies beyond is no part of it; traced.

    Returns:
        (height, width, channels) in the dtype of the image, with `padding(fill_mode, order)` more on every side.
    """
    # The axis that is summed over stands last and the constant on the right: under vmap that is one large product,
    # the other way round it is many small ones and twice the time.
    rows, cols = size or (None, None)
    image = _filtered(xp, image.transpose(1, 2, 0), order, fill_mode, rows)
    return _filtered(xp, image.transpose(2, 1, 0), order, fill_mode, cols).transpose(0, 2, 1)


def _filtered(xp: Any, rows: Any, order: int, fill_mode: str, size: Any) -> Any:
    """`rows` filtered along the last axis."""
    length = rows.shape[-1]
    if size is None and fill_mode != "grid-wrap":
        return _products(xp, rows, _filter(length, order, fill_mode))
    size, margin = length if size is None else size, padding(fill_mode, order)
    place = xp.arange(-_REACH, length + 2 * margin + _REACH, dtype=np.int32)
    place = COEFFICIENT[fill_mode](xp, place, size + 2 * margin) - np.int32(margin)
    rows = rows[..., xp.clip(place, np.int32(0), np.int32(1) * (size - 1))]
    return _products(xp, rows, _endless_filter(length + 2 * margin, order))


def _products(xp: Any, rows: Any, pieces: Sequence[_Piece]) -> Any:
    results = []
    for start, weights in pieces:
        part, weights = rows[..., start : start + weights.shape[1]], weights.astype(rows.dtype)
        if xp is np:
            results.append(part @ weights.T)
            continue
        axes = (((part.ndim - 1,), (1,)), ((), ()))
        results.append(jax.lax.dot_general(part, weights, axes, precision="highest"))
    return xp.concatenate(results, axis=-1) if len(results) > 1 else results[0]


class _Piece(NamedTuple):
    """Rows of the filter, for the pixels from `start` on: the others have no weight in them."""

    start: int
    weights: np.ndarray


@lru_cache(maxsize=64)
def _filter(size: int, order: int, fill_mode: str) -> tuple[_Piece, ...]:
    """The filter of an axis of `size` pixels, piece by piece."""
    margin = padding(fill_mode, order)
    boundary, padded = "reflect" if fill_mode == "reflect" else "mirror", size + 2 * margin

    def piece(start: int, rows: np.ndarray, *, first: bool = False, last: bool = False) -> _Piece:
        return _Piece(start, _of_pixels(rows, margin * first, margin * last))

    if padded <= _DENSE:
        return (piece(0, _filter_matrix(padded, order, boundary), first=True, last=True),)
    # Far from both ends all rows are alike, and at the ends they do not depend on how long the axis is.
    matrix = _filter_matrix(_DENSE, order, boundary)
    num_last = padded % _PIECE + _PIECE
    between = range(_PIECE, padded - num_last, _PIECE)
    start_of_last = padded - num_last - _REACH - margin
    return (
        piece(0, matrix[:_PIECE, : _PIECE + _REACH], first=True),
        *(piece(start - _REACH - margin, _far_from_ends(order, _PIECE)) for start in between),
        piece(start_of_last, matrix[-num_last:, -num_last - _REACH :], last=True),
    )


@lru_cache(maxsize=64)
def _endless_filter(size: int, order: int) -> tuple[_Piece, ...]:
    """The filter of `size` places of an axis that goes on for `_REACH` pixels on either side."""
    starts = range(0, size, _PIECE)
    return tuple(_Piece(start, _far_from_ends(order, min(_PIECE, size - start))) for start in starts)


def _far_from_ends(order: int, count: int) -> np.ndarray:
    """The weights of so many coefficients, from `_REACH` pixels before the first of them on."""
    matrix = _filter_matrix(_DENSE, order, "mirror")
    return matrix[_DENSE // 2 :][:count, _DENSE // 2 - _REACH :][:, : count + 2 * _REACH]


def _of_pixels(weights: np.ndarray, before: int, after: int) -> np.ndarray:
    """The weights of the pixels alone, where the first and the last stood for so many more beyond them."""
    num_pixels = weights.shape[1] - before - after
    pixel = np.clip(np.arange(weights.shape[1]) - before, 0, num_pixels - 1)
    return weights @ (pixel[:, None] == np.arange(num_pixels))


def _filter_matrix(size: int, order: int, boundary: str) -> np.ndarray:
    """From pixels to coefficients, as a matrix: SciPy's recursions, run over the identity."""
    rows = np.eye(size)
    if size == 1:
        return rows
    for pole in _POLES[order]:
        rows *= (1 - pole) * (1 - 1 / pole)
        powers = pole ** np.arange(size)[:, None]
        if boundary == "mirror":
            back = pole ** (2 * size - 2.0 - np.arange(size))[:, None] * (np.arange(size) % (size - 1) > 0)[:, None]
            rows[0] = ((powers + back) * rows).sum(0) / (1 - pole ** (2 * size - 2))
        else:
            turned = pole**size * rows[::-1]
            # Up to 1.17 SciPy adds the very last term, of the first pixel, when its sum stands in that pixel's place
            # already: of no account but for a handful of pixels, where it is followed.
            so_far = (powers * (rows + turned))[:-1].sum(0)
            total = so_far + powers[-1] * (rows[-1] + pole**size * so_far)
            rows[0] += total * pole / (1 - pole ** (2 * size))
        for place in range(1, size):
            rows[place] += pole * rows[place - 1]
        if boundary == "mirror":
            rows[-1] = (pole * rows[-2] + rows[-1]) * pole / (pole * pole - 1)
        else:
            rows[-1] *= pole / (pole - 1)
        for place in range(size - 2, -1, -1):
            rows[place] = pole * (rows[place + 1] - rows[place])
    return rows


def first_tap(whole: Any, fraction: Any, order: int) -> tuple[Any, Any]:
    """The first of `order + 1` taps for the point `whole + fraction`, and the number that `tap_weights` takes."""
    if order % 2 == 0:
        above = fraction >= np.float32(0.5)
        whole, fraction = whole + above.astype(np.int32), fraction - above.astype(fraction.dtype)
    return whole - np.int32(order // 2), fraction


def tap_weights(fraction: Float[Array, ...], order: int) -> list[Float[Array, ...]]:
    """The centred B-spline of degree `order` at each tap; they sum to 1, for order 1 exactly."""
    if order == 1:
        return [fraction.dtype.type(1) - fraction, fraction]
    return [_horner(polynomial, fraction) for polynomial in _weight_polynomials(order)]


def _horner(polynomial: tuple[float, ...], x: Any) -> Any:
    value, *numbers = (x.dtype.type(number) for number in reversed(polynomial))
    for number in numbers:
        value = value * x + number
    return value


@lru_cache(maxsize=8)
def _weight_polynomials(order: int) -> tuple[tuple[float, ...], ...]:
    """Each tap's weight as a polynomial in the fraction, the constant first.

    The B-spline at x is the sum over i of (-1)**i comb(p + 1, i) (x + (p + 1) / 2 - i)**p / p!, of the terms whose
    bracket is positive.
    """
    half = Fraction(order + 1, 2)
    polynomials = []
    for tap in range(order + 1):
        # With x = fraction - place of the tap, a bracket is fraction + shift.
        shifts = [Fraction(order // 2 - tap) + half - i for i in range(order + 2)]
        middle = Fraction(order % 2, 2)  # of the range of the fraction
        numbers = []
        for power in range(order + 1):
            terms = [
                (-1) ** i * comb(order + 1, i) * comb(order, power) * shift ** (order - power)
                for i, shift in enumerate(shifts)
                if middle + shift > 0
            ]
            numbers.append(float(sum(terms, Fraction(0)) / factorial(order)))
        polynomials.append(tuple(numbers))
    return tuple(polynomials)
