"""Spline interpolation of order 2 to 5: the coefficients of an image, and the weight that each of them has at a point.

The pixels are values of the spline and not its coefficients; the prefilter goes from one to the other. Along an axis
of so many pixels it is a constant matrix, whose entries fall off by the factor `_POLES` with every step from the
diagonal: one product for a short axis, a band of them for a long one. Unser, Aldroubi and Eden, "B-Spline Signal
Processing", IEEE Transactions on Signal Processing 41 (1993).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache, reduce
from math import comb, factorial, sqrt
from operator import add
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num

# SciPy pads "nearest" by so many pixels on either side before the filter, and lets nothing beyond them count.
PADDING = 12
# What stands beyond the borders among the coefficients, in the words of `numpy.pad`.
_BEYOND: dict[str, Literal["edge", "reflect", "symmetric"]] = {
    "nearest": "edge",
    "constant": "reflect",
    "reflect": "symmetric",
    "wrap": "reflect",
}

_POLES = {
    2: (sqrt(8) - 3,),
    3: (sqrt(3) - 2,),
    4: (sqrt(664 - sqrt(438976)) + sqrt(304) - 19, sqrt(664 + sqrt(438976)) - sqrt(304) - 19),
    5: (sqrt(67.5 - sqrt(4436.25)) + sqrt(26.25) - 6.5, sqrt(67.5 + sqrt(4436.25)) - sqrt(26.25) - 6.5),
}
# An axis of up to `_DENSE` pixels is one product. A longer one is cut into pieces of `_PIECE`, each made from the
# pixels within `_REACH` of it: 0.43**32, of the slowest pole, is 2e-12.
_DENSE, _PIECE, _REACH = 256, 64, 32


def coefficients(image: Num[Array, "height width channels"], order: int, fill_mode: str, dtype: Any) -> Any:
    """The spline's coefficients, as `scipy.ndimage.spline_filter` finds them for this border, in `dtype`.

    Returns:
        (height, width, channels), with `margin(order, fill_mode)` more pixels on every side, so that all that counts
        in a point of the image, or for "nearest" within `PADDING` of it, is there.
    """
    # The axis that is summed over stands last and the constant on the right: under vmap that is one large product,
    # the other way round it is many small ones and twice the time.
    image = _filtered(image.astype(dtype).transpose(1, 2, 0), order, fill_mode)
    return _filtered(image.transpose(2, 1, 0), order, fill_mode).transpose(0, 2, 1)


def margin(order: int, fill_mode: str) -> int:
    """How many coefficients stand before the first pixel's own."""
    return order // 2 + 1 + (PADDING if fill_mode == "nearest" else 0)


def _filtered(rows: Any, order: int, fill_mode: str) -> Any:
    """`rows` filtered along the last axis."""
    pieces = []
    for start, weights in _filter(rows.shape[-1], order, fill_mode):
        part = rows[..., start : start + weights.shape[1]]
        axes = (((part.ndim - 1,), (1,)), ((), ()))
        pieces.append(jax.lax.dot_general(part, weights.astype(rows.dtype), axes, precision="highest"))
    return jnp.concatenate(pieces, axis=-1) if len(pieces) > 1 else pieces[0]


class _Piece(NamedTuple):
    """Rows of the filter, for the pixels from `start` on: the others have no weight in them."""

    start: int
    weights: np.ndarray


@lru_cache(maxsize=64)
def _filter(size: int, order: int, fill_mode: str) -> tuple[_Piece, ...]:
    """The filter of an axis of `size` pixels with its margins, piece by piece."""
    padding = PADDING if fill_mode == "nearest" else 0
    boundary = "reflect" if fill_mode == "reflect" else "mirror"
    padded, beyond = size + 2 * padding, order // 2 + 1

    def piece(start: int, rows: np.ndarray, *, first: bool = False, last: bool = False) -> _Piece:
        rows = np.pad(rows, ((beyond * first, beyond * last), (0, 0)), mode=_BEYOND[fill_mode])
        return _Piece(start, _of_pixels(rows, padding * first, padding * last))

    if padded <= _DENSE:
        return (piece(0, _filter_matrix(padded, order, boundary), first=True, last=True),)
    # Far from both ends all rows are alike, and at the ends they do not know how long the axis is.
    matrix = _filter_matrix(_DENSE, order, boundary)
    middle = matrix[_DENSE // 2 :][:_PIECE, _DENSE // 2 - _REACH :][:, : _PIECE + 2 * _REACH]
    num_last = padded % _PIECE + _PIECE
    between = range(_PIECE, padded - num_last, _PIECE)
    start_of_last = padded - num_last - _REACH - padding
    return (
        piece(0, matrix[:_PIECE, : _PIECE + _REACH], first=True),
        *(piece(start - _REACH - padding, middle) for start in between),
        piece(start_of_last, matrix[-num_last:, -num_last - _REACH :], last=True),
    )


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


def first_tap(lower: Any, fraction: Any, order: int) -> tuple[Any, Any]:
    """The first of `order + 1` taps for the point `lower + fraction`, and the number that `tap_weights` wants."""
    if order % 2 == 0:
        above = fraction >= np.float32(0.5)
        lower, fraction = lower + above.astype(np.int32), fraction - above.astype(fraction.dtype)
    return lower - np.int32(order // 2), fraction


def tap_weights(fraction: Float[Array, ...], order: int) -> list[Float[Array, ...]]:
    """The centred B-spline of degree `order` at each tap; they sum to 1."""
    return [_horner(polynomial, fraction) for polynomial in _weight_polynomials(order)]


def _horner(polynomial: tuple[float, ...], x: Any) -> Any:
    numbers = [jnp.asarray(number, x.dtype) for number in polynomial]
    return reduce(lambda value, number: value * x + number, reversed(numbers[:-1]), numbers[-1])


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


def weighted_sum(values: list[Any], weights: list[Any]) -> Any:
    return reduce(add, (value * weight for value, weight in zip(values, weights, strict=True)))
