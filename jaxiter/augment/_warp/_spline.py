"""Spline interpolation of order 2 to 5: the coefficients of an image, and the weight that each of them has at a point.

The pixels are values of the spline and not its coefficients; the prefilter goes from one to the other. An image that is
continued by its border rule has no end, and there every coefficient is the same sum of the pixels around it, whose
weights fall off by 0.17 (order 2) to 0.43 (order 5) with every step.

Unser, Aldroubi and Eden, "B-Spline Signal Processing", IEEE Transactions on Signal Processing 41 (1993).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache, partial, reduce
from math import comb, factorial
from operator import add
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ..._fusion_barrier import fusion_barrier
from .._types import Side, Values
from ._border import BORDERS, CLAMPED, fold_index, margin, spline_padding

if TYPE_CHECKING:
    from jaxtyping import Array, Num

# Up to 1.17 SciPy's sum for "reflect" has a wrong last term, which counts along axes of fewer pixels than this.
_SCIPYS_OWN = 10
# Weights of the filter that are smaller are left out.
_SMALLEST = {np.dtype(np.float32): 1e-9, np.dtype(np.float64): 1e-12}


@partial(jax.jit, static_argnames=("order", "fill_mode"), inline=True)
def compiled_coefficients(
    image: Num[Array, "height width channels"], order: int, fill_mode: str, size: tuple[Side, Side] | None = None
) -> Values:
    return coefficients(jnp, image, order, fill_mode, size)


def coefficients(
    xp: ModuleType, image: Values, order: int, fill_mode: str, size: tuple[Side, Side] | None = None
) -> Values:
    """The spline's coefficients, as `scipy.ndimage.spline_filter` finds them for this border.

    Args:
        image: (height, width, channels), float32 or float64.
        size: (height, width) of the image in the upper left corner, where what lies beyond is no part of it; traced.

    Returns:
        (height, width, channels) in the dtype of the image, with `margin(fill_mode, order)` more on every side.
    """
    if xp is np:
        return _recursive_coefficients(np.asarray(image), order, fill_mode)
    kernel = _filter(order, _SMALLEST[np.dtype(image.dtype)])
    for axis in range(2):
        side = None if size is None else size[axis]
        image = _filtered(image, axis, side, kernel, order, fill_mode)
    return image


def _recursive_coefficients(image: np.ndarray, order: int, fill_mode: str) -> np.ndarray:
    """`coefficients` in NumPy, by the recursions of the filter's poles, which take a third of the kernel's operations.

    A sum of all that comes before, p**k of what stands k places back, is found by doubling: of 1 place, 2, 4 ...
    """
    poles, beyond = _poles(order), margin(fill_mode, order)
    smallest = np.log(_SMALLEST[np.dtype(image.dtype)])
    doublings = [int(np.ceil(np.log2(smallest / np.log(-pole) + 1))) for pole in poles]
    reach = sum(2**count - 1 for count in doublings)
    for axis in range(2):
        if fill_mode == "reflect" and image.shape[axis] < _SCIPYS_OWN:
            image = np.asarray(_filtered_as_scipy(image, axis, order, beyond))
            continue
        places = _lengthened_places(image.shape[axis], beyond + reach, fill_mode)
        across = np.moveaxis(image, axis, 0).reshape(image.shape[axis], -1)
        lines = across[places] * image.dtype.type(np.prod([(1 - pole) ** 2 for pole in poles]))
        for pole, count in zip(poles, doublings, strict=True):
            for step in (1 << power for power in range(count)):
                lines[step:] += lines[:-step] * lines.dtype.type(pole**step)
            for step in (1 << power for power in range(count)):
                lines[:-step] += lines[step:] * lines.dtype.type(pole**step)
        kept = lines[reach : len(lines) - reach].reshape(-1, *np.delete(image.shape, axis))
        image = np.ascontiguousarray(np.moveaxis(kept, 0, axis))
    return image


def _lengthened_places(size: int, count: int, fill_mode: str) -> np.ndarray:
    """Which row or column stands at each place of the image lengthened by `count` on either side."""
    added = spline_padding(fill_mode)
    place: Values = np.arange(-count, size + count, dtype=np.int32) + np.int32(added)
    place = fold_index(np, place, size + 2 * added, BORDERS[fill_mode].coefficients) - np.int32(added)
    return np.clip(np.asarray(place), 0, size - 1)


def _filtered(image: Values, axis: int, size: Side | None, kernel: np.ndarray, order: int, fill_mode: str) -> Values:
    """`image` lengthened along the axis by its own border rule, and filtered as if it had no end."""
    reach, beyond = len(kernel) // 2, margin(fill_mode, order)
    if fill_mode == "reflect" and size is None and image.shape[axis] < _SCIPYS_OWN:
        return _filtered_as_scipy(image, axis, order, beyond)
    length = image.shape[axis] + 2 * beyond
    lengthen = partial(_lengthened, jnp) if size is None else partial(_lengthened_within, size)
    lengthened = lengthen(image, axis, beyond + reach, fill_mode)
    # Or every coefficient would be computed again wherever it counts.
    return fusion_barrier(lambda: _convolved(lengthened, axis, length, kernel))


def _lengthened(xp: ModuleType, image: Values, axis: int, count: int, fill_mode: str) -> Values:
    added = spline_padding(fill_mode)
    for number, rule in ((added, CLAMPED), (count - added, BORDERS[fill_mode].coefficients)):
        image = xp.pad(image, [(number, number) if axis == each else (0, 0) for each in range(3)], mode=rule.pad)
    return image


def _lengthened_within(size: Side, image: Values, axis: int, count: int, fill_mode: str) -> Values:
    """Of the first `size` rows or columns, a traced number."""
    added = spline_padding(fill_mode)
    place: Values = jnp.arange(-count, image.shape[axis] + count, dtype=np.int32) + np.int32(added)
    place = fold_index(jnp, place, size + 2 * added, BORDERS[fill_mode].coefficients) - np.int32(added)
    return jnp.take(image, jnp.clip(place, np.int32(0), size - np.int32(1)), axis, mode="clip")


def _convolved(image: Values, axis: int, length: int, kernel: np.ndarray) -> Values:
    """As a sum of shifted images: a product of matrices rounds otherwise for another number of images."""
    height, width, channels = image.shape
    # With columns and channels as one axis the innermost loop is long.
    lines, step = image.reshape(height, width * channels), (1, channels)[axis]
    terms = (
        lines[(slice(None),) * axis + (slice(start * step, (start + length) * step),)] * lines.dtype.type(weight)
        for start, weight in enumerate(kernel)
    )
    return reduce(add, terms).reshape((length, width, channels) if axis == 0 else (height, length, channels))


def _filtered_as_scipy(image: Values, axis: int, order: int, beyond: int) -> Values:
    """`_filtered` for "reflect" and a short axis."""
    matrix = _lengthened(np, _reflect_matrix(image.shape[axis], order)[..., None], 0, beyond, "reflect")[..., 0]
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    lines = ((image[index : index + 1], image[:, index : index + 1])[axis] for index in range(image.shape[axis]))
    weights = matrix.T.astype(image.dtype)
    return reduce(add, (line * weight.reshape(shape) for line, weight in zip(lines, weights, strict=True)))


@lru_cache(maxsize=64)
def _reflect_matrix(size: int, order: int) -> np.ndarray:
    """From pixels to coefficients: SciPy's recursions for "reflect", run over the identity."""
    rows = np.eye(size)
    for pole in _poles(order) if size > 1 else ():
        rows *= (1 - pole) * (1 - 1 / pole)  # for the sums of the two recursions, each of which runs one way
        powers = pole ** np.arange(size)[:, None]
        # The last term takes the sum so far for the first pixel, in whose place SciPy keeps it.
        so_far = (powers * (rows + pole**size * rows[::-1]))[:-1].sum(0)
        total = so_far + powers[-1] * (rows[-1] + pole**size * so_far)
        rows[0] += total * pole / (1 - pole ** (2 * size))
        for place in range(1, size):
            rows[place] += pole * rows[place - 1]
        rows[-1] *= pole / (pole - 1)
        for place in range(size - 2, -1, -1):
            rows[place] = pole * (rows[place + 1] - rows[place])
    return rows


@lru_cache(maxsize=8)
def _poles(order: int) -> tuple[float, ...]:
    """Of the filter, inside the unit circle; all are negative."""
    samples = np.trim_zeros(np.array([polynomial[0] for polynomial in _weight_polynomials(order)]))
    return tuple(sorted((float(pole.real) for pole in np.roots(samples) if abs(pole) < 1), key=abs, reverse=True))


@lru_cache(maxsize=16)
def _filter(order: int, smallest: float) -> np.ndarray:
    """The weights of the pixels in a coefficient: the inverse of the weights of the coefficients in a pixel."""
    samples = np.zeros(512)  # round a circle so long that the weights have fallen to nothing where their ends meet
    samples[np.arange(order + 1) - order // 2] = [polynomial[0] for polynomial in _weight_polynomials(order)]
    kernel = np.fft.ifft(1 / np.fft.fft(samples)).real
    reach = int(np.flatnonzero(np.abs(kernel[:256]) > smallest)[-1])
    kernel = np.roll(kernel, reach)[: 2 * reach + 1]
    return kernel / kernel.sum()  # so that a constant image stays what it is


def first_tap(whole: Values, fraction: Values, order: int) -> tuple[Values, Values]:
    """The first of `order + 1` taps for the point `whole + fraction`, and the number that `tap_weights` takes."""
    if order % 2 == 0:  # an odd number of taps, whose middle one is the nearest
        above = fraction >= np.float32(0.5)
        whole, fraction = whole + above.astype(np.int32), fraction - above.astype(fraction.dtype)
    return whole - np.int32(order // 2), fraction


def tap_weights(fraction: Values, order: int) -> list[Values]:
    """The centred B-spline of degree `order` at each tap; they sum to 1, for order 1 exactly."""
    if order == 1:
        return [fraction.dtype.type(1) - fraction, fraction]
    return [_horner(polynomial, fraction) for polynomial in _weight_polynomials(order)]


def _horner(polynomial: tuple[float, ...], x: Values) -> Values:
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
