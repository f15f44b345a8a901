"""Border rules, in SciPy's meaning: which pixel stands at an index beyond the image.

Three tables hold what the modes differ in: a fold takes one index, or one fixed-point coordinate, to where the picture
repeats itself. `size` may be traced wherever an index is folded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._coordinates import Coordinate

Fold = Callable[[Any, Any, Any], Any]  # (array namespace, index, size) -> index inside the image

# SciPy pads "nearest" by so many pixels on either side before it finds spline coefficients.
_SPLINE_PADDING = 12


def clamped(xp: Any, index: Any, size: Any) -> Any:
    """a a a | a b c d | d d d."""
    return xp.minimum(xp.maximum(index, np.int32(0)), _int32(size - 1))


def half_sample(xp: Any, index: Any, size: Any) -> Any:
    """d c b a | a b c d | d c b a: period 2 * size."""
    folded = modulo(xp, index, 2 * size)
    return xp.minimum(folded, _int32(2 * size - 1) - folded)


def whole_sample(xp: Any, index: Any, size: Any) -> Any:
    """d c b | a b c d | c b a: period 2 * size - 2."""
    folded = modulo(xp, index, _at_least_one(xp, 2 * size - 2))
    return xp.minimum(folded, _int32(2 * size - 2) - folded)


def periodic(xp: Any, index: Any, size: Any) -> Any:
    """a b c d | a b c d | a b c d: period size."""
    return modulo(xp, index, size)


# What stands at a pixel's index. A place that "constant" fills is read somewhere and then replaced.
PIXEL: dict[str, Fold] = {
    "nearest": clamped,
    "constant": clamped,
    "reflect": half_sample,
    "mirror": whole_sample,
    "wrap": clamped,  # after `wrapped_once`
    "grid-wrap": periodic,
}
# What stands at a spline coefficient's index.
COEFFICIENT: dict[str, Fold] = {
    "nearest": whole_sample,  # of the lengthened image
    "constant": whole_sample,
    "reflect": half_sample,
    "mirror": whole_sample,
    "wrap": whole_sample,  # after `wrapped_once`
    "grid-wrap": periodic,
}
FILL_MODES = tuple(PIXEL)


def margin(fill_mode: str, order: int) -> int:
    """How many spline coefficients are kept before the first pixel's own and after the last one's."""
    return order // 2 + 1 + padding(fill_mode)


def padding(fill_mode: str) -> int:
    """Pixels by which an image is lengthened on either side before its spline coefficients are found."""
    return _SPLINE_PADDING if fill_mode == "nearest" else 0


def coefficient_places(xp: Any, coordinate: Coordinate, size: Any, fill_mode: str) -> tuple[Any, Any]:
    """A coordinate as (whole, fraction) within a pixel of the lengthened image, where the spline is the same."""
    whole, fraction = coordinate.whole, coordinate.fraction
    if fill_mode == "wrap":
        return wrapped_once(xp, whole, coordinate.is_whole, coordinate.inside, size), fraction
    if fill_mode == "grid-wrap":
        return modulo(xp, whole, size), fraction
    if fill_mode in ("reflect", "mirror"):
        last = 2 * size - (2 if fill_mode == "reflect" else 3)  # the whole part that is turned to 0
        folded = modulo(xp, whole, _at_least_one(xp, 2 * size if fill_mode == "reflect" else 2 * size - 2))
        turned = folded > last - folded
        return xp.where(turned, _int32(last) - folded, folded), xp.where(turned, np.float32(1) - fraction, fraction)
    # Beyond the padding nothing changes.
    first, end = np.int32(-padding(fill_mode)), _int32(size - 1 + padding(fill_mode))
    return xp.clip(whole, first, end), xp.where((whole < first) | (whole >= end), np.float32(0), fraction)


def wrapped_once(xp: Any, whole: Any, is_whole: Any, inside: Any, size: Any) -> Any:
    """The whole part of a coordinate after "wrap": period size - 1, the first and the last pixel share a place.

    Args:
        whole: The coordinate's whole part.
        is_whole: Where nothing is left of it.
        inside: Where the coordinate lies in the image.
    """
    period = size - 1
    folded = modulo(xp, whole, _at_least_one(xp, period))
    # Left of the image SciPy adds whole periods until it is past 0, so that exact multiples land on the last sample.
    folded = xp.where((whole < 0) & (folded == 0) & is_whole, _int32(period), folded)
    return xp.where(inside, whole, folded)


def fold_coordinate(xp: Any, coordinate: Any, size: int, fill_mode: str, bits: int, *, once: bool) -> Any:
    """A fixed-point coordinate brought to where the picture repeats itself, within half a pixel of the image.

    Args:
        bits: Fractional bits of the coordinate.
        once: No coordinate lies farther out than one image, so that a single fold does.
    """
    unit, last = 1 << bits, np.int32((size - 1) << bits)
    if fill_mode == "reflect":  # about half a pixel beyond the first and the last
        half, period = np.int32(unit // 2), np.int32(2 * size * unit)
        place = xp.abs(coordinate + half if once else _remainder(xp, coordinate + half, period))
        return xp.minimum(place, period - place) - half
    if fill_mode == "mirror":
        period = np.int32(2 * (size - 1) * unit)
        place = xp.abs(coordinate if once else _remainder(xp, coordinate, period))
        return xp.minimum(place, period - place)
    if fill_mode == "grid-wrap":
        period = np.int32(size * unit)
        if not once:
            return modulo(xp, coordinate, int(period))
        return xp.where(
            coordinate < 0, coordinate + period, xp.where(coordinate >= period, coordinate - period, coordinate)
        )
    if fill_mode == "wrap":
        if once:
            inwards = xp.where(coordinate < 0, coordinate + last, coordinate - last)
        else:
            inwards = modulo(xp, coordinate, int(last))
            inwards = xp.where((coordinate < 0) & (inwards == 0), last, inwards)  # as in `wrapped_once`
        return xp.where((coordinate >= 0) & (coordinate <= last), coordinate, inwards)
    return coordinate


def modulo(xp: Any, x: Any, period: Any) -> Any:
    remainder = _remainder(xp, x, _int32(period))
    return xp.where(remainder < 0, remainder + _int32(period), remainder)


def _remainder(xp: Any, x: Any, period: Any) -> Any:
    """With the sign of x. jnp.fmod and jnp.remainder test for a divisor of 0 at every pixel."""
    return np.fmod(x, period) if xp is np else jax.lax.rem(x, xp.broadcast_to(period, x.shape))


def _at_least_one(xp: Any, period: Any) -> Any:
    return max(period, 1) if isinstance(period, int) else xp.maximum(period, np.int32(1))


def _int32(size: Any) -> Any:
    return np.int32(size) if isinstance(size, int) else size
