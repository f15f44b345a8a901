"""Border rules, in SciPy's meaning: which pixel stands at an index beyond the image.

One table says by which rule each fill mode goes on. Everything else follows from the rule: the place of an index, of a
fixed-point coordinate and of a spline coefficient. `size` may be traced, except for fixed-point coordinates.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, NamedTuple

import jax
import numpy as np

from .._types import Side, Values
from ._coordinates import Coordinate

# SciPy pads "nearest" by so many pixels on either side before it finds spline coefficients.
_SPLINE_PADDING = 12

PadMode = Literal["edge", "symmetric", "reflect", "wrap"]


class Rule(NamedTuple):
    """How a row goes on beyond its ends: by copies of itself."""

    pad: PadMode | None  # what `numpy.pad` calls it, if anything
    copies: int  # in a period: 2 where every other one is mirrored; 0 where the last pixel is repeated for ever
    shared: int = 0  # pixels that a copy shares with the next one

    def period(self, size: Side) -> Side:
        return self.copies * (size - self.shared)

    def mirror_sum(self, size: Side) -> Side:
        """The sum of two indices that mirror each other, for two copies."""
        return 2 * size - (1 + self.shared)


CLAMPED = Rule("edge", 0)  # a a a | a b c d | d d d
HALF_SAMPLE = Rule("symmetric", 2)  # d c b a | a b c d | d c b a
WHOLE_SAMPLE = Rule("reflect", 2, shared=1)  # d c b | a b c d | c b a
PERIODIC = Rule("wrap", 1)  # a b c d | a b c d | a b c d
OVERLAPPING = Rule(None, 1, shared=1)  # the first and the last pixel share a place


class Border(NamedTuple):
    """The rule of the pixels, and that of the spline coefficients, which have to go on smoothly."""

    pixels: Rule
    coefficients: Rule


BORDERS = {
    "nearest": Border(CLAMPED, WHOLE_SAMPLE),  # the coefficients are those of the lengthened image
    "constant": Border(CLAMPED, WHOLE_SAMPLE),  # a place that it fills is read somewhere and then replaced
    "reflect": Border(HALF_SAMPLE, HALF_SAMPLE),
    "mirror": Border(WHOLE_SAMPLE, WHOLE_SAMPLE),
    "wrap": Border(OVERLAPPING, WHOLE_SAMPLE),
    "grid-wrap": Border(PERIODIC, PERIODIC),
}
FILL_MODES = tuple(BORDERS)


def margin(fill_mode: str, order: int) -> int:
    """How many spline coefficients are kept before the first pixel's own and after the last one's."""
    return order // 2 + 1 + spline_padding(fill_mode)


def spline_padding(fill_mode: str) -> int:
    """Pixels by which an image is lengthened on either side before its spline coefficients are found."""
    return _SPLINE_PADDING if fill_mode == "nearest" else 0


def fold_index(xp: ModuleType, index: Values, size: Side, rule: Rule) -> Values:
    """The index inside the image whose pixel stands at `index`. Of `OVERLAPPING`: after `wrapped_once`."""
    if rule in (CLAMPED, OVERLAPPING):
        return xp.minimum(xp.maximum(index, np.int32(0)), _int32(size - 1))
    period = rule.period(size)
    folded = modulo(xp, index, _at_least_one(xp, period) if rule.shared else period)
    return folded if rule.copies == 1 else xp.minimum(folded, _int32(rule.mirror_sum(size)) - folded)


def coefficient_places(xp: ModuleType, coordinate: Coordinate, size: Side, fill_mode: str) -> tuple[Values, Values]:
    """A coordinate as (whole, fraction) within a pixel of the lengthened image, where the spline is the same."""
    whole, fraction, rule = coordinate.whole, coordinate.fraction, BORDERS[fill_mode].pixels
    if rule == OVERLAPPING:
        return wrapped_once(xp, whole, coordinate.is_whole, coordinate.inside, size), fraction
    if rule == PERIODIC:
        return modulo(xp, whole, rule.period(size)), fraction
    if rule.copies == 2:
        # Mirrored is the space between two pixels and not a pixel, so the two whole parts add up to one less.
        last = rule.mirror_sum(size) - 1
        folded = modulo(xp, whole, _at_least_one(xp, rule.period(size)))
        turned = folded > last - folded
        return xp.where(turned, _int32(last) - folded, folded), xp.where(turned, np.float32(1) - fraction, fraction)
    # Beyond the padding nothing changes.
    first, end = np.int32(-spline_padding(fill_mode)), _int32(size - 1 + spline_padding(fill_mode))
    return xp.clip(whole, first, end), xp.where((whole < first) | (whole >= end), np.float32(0), fraction)


def wrapped_once(xp: ModuleType, whole: Values, is_whole: Values, inside: Values, size: Side) -> Values:
    """The whole part of a coordinate after "wrap": the first and the last pixel share a place.

    Args:
        whole: The coordinate's whole part.
        is_whole: Where nothing is left of it.
        inside: Where the coordinate lies in the image.
    """
    period = OVERLAPPING.period(size)
    folded = modulo(xp, whole, _at_least_one(xp, period))
    # Left of the image SciPy adds whole periods until it is past 0, so that exact multiples land on the last sample.
    folded = xp.where((whole < 0) & (folded == 0) & is_whole, _int32(period), folded)
    return xp.where(inside, whole, folded)


def mirror_axis(rule: Rule, bits: int) -> int:
    """How far before pixel 0 the axis lies about which a row is mirrored, in fixed point: nothing, or half a pixel."""
    return (1 - rule.shared) << (bits - 1) if rule.copies == 2 else 0


def fold_coordinate(xp: ModuleType, coordinate: Values, size: int, rule: Rule, bits: int, *, once: bool) -> Values:
    """A fixed-point coordinate, from `mirror_axis` on, as one within half a pixel of the image, from pixel 0 on.

    Args:
        bits: Fractional bits of the coordinate.
        once: No coordinate lies farther out than one image, so that a single fold, without a division, does.
    """
    period = np.int32(rule.period(size) << bits)
    if rule.copies == 2:  # one side of the axis is minus the other
        place = xp.abs(coordinate if once else _remainder(xp, coordinate, period))
        place, axis = xp.minimum(place, period - place), np.int32(mirror_axis(rule, bits))
        return place - axis if axis else place
    if rule == PERIODIC:
        if not once:
            return modulo(xp, coordinate, int(period))
        # Of the three that lie a period apart the one inside, as what is below 0 becomes large.
        below, here, above = ((coordinate + step).astype(np.uint32) for step in (-period, np.int32(0), period))
        return xp.minimum(xp.minimum(below, here), above).astype(np.int32)
    if rule == OVERLAPPING:
        if once:
            inwards = xp.where(coordinate < 0, coordinate + period, coordinate - period)
        else:
            inwards = modulo(xp, coordinate, int(period))
            inwards = xp.where((coordinate < 0) & (inwards == 0), period, inwards)  # as in `wrapped_once`
        return xp.where(coordinate.astype(np.uint32) <= np.uint32(period), coordinate, inwards)
    return coordinate


def modulo(xp: ModuleType, x: Values, period: Side) -> Values:
    """x modulo the period, in [0, period) also for x below 0."""
    remainder = _remainder(xp, x, _int32(period))
    return xp.where(remainder < 0, remainder + _int32(period), remainder)


def _remainder(xp: ModuleType, x: Values, period: np.int32 | jax.Array) -> Values:
    """With the sign of x. jnp.fmod and jnp.remainder test for a divisor of 0 at every pixel."""
    return np.fmod(x, period) if xp is np else jax.lax.rem(x, xp.broadcast_to(period, x.shape))


def _at_least_one(xp: ModuleType, period: Side) -> Side:
    """Of an image of one pixel, whose copies would share all that they have."""
    return max(period, 1) if isinstance(period, int) else xp.maximum(period, np.int32(1))


def _int32(size: Side) -> np.int32 | jax.Array:
    return np.int32(size) if isinstance(size, int) else size
