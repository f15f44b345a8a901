"""Second step: which pixels count at a coordinate, by row and column, and how much."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from .._types import Side, Values
from ._border import (
    BORDERS,
    OVERLAPPING,
    PERIODIC,
    coefficient_places,
    fold_coordinate,
    fold_index,
    margin,
    wrapped_once,
)
from ._coordinates import Coordinate, FixedPoint, is_inside, nearest, split, split_in_units
from ._spline import first_tap, tap_weights


class Taps(NamedTuple):
    """Along one axis, for every output pixel, or for every row or column where these move by themselves."""

    # Rows or columns of the image, or of its coefficients: one for each weight, or the first where neighbours follow.
    indices: tuple[Values, ...]  # int32
    weights: tuple[Values, ...] | None  # float, one for each; None where the order is 0
    inside: Values  # bool: whether the coordinate lies in the image

    def each(self, function: Callable[[Values], Values]) -> Taps:
        """With `function` of every index and weight."""
        weights = None if self.weights is None else tuple(map(function, self.weights))
        return self._replace(indices=tuple(map(function, self.indices)), weights=weights)


def taps_at(xp: ModuleType, coordinate: Coordinate, size: Side, fill_mode: str, order: int, dtype: np.dtype) -> Taps:
    """For any order, border and coordinate; `size` may be traced."""
    if order > 1:
        whole, fraction = coefficient_places(xp, coordinate, size, fill_mode)
        first, fraction = first_tap(whole + np.int32(margin(fill_mode, order)), fraction, order)
        return Taps((first,), tuple(tap_weights(fraction.astype(dtype), order)), coordinate.inside)
    whole, rule = coordinate.whole, BORDERS[fill_mode].pixels
    if rule == OVERLAPPING:
        whole = wrapped_once(xp, whole, coordinate.is_whole, coordinate.inside, size)
    first, fraction = first_tap(whole, coordinate.fraction, order)
    indices = tuple(fold_index(xp, first + np.int32(step), size, rule) for step in range(order + 1))
    weights = tuple(tap_weights(fraction.astype(dtype), order)) if order else None
    return Taps(indices, weights, coordinate.inside)


def bounded_taps(
    xp: ModuleType,
    coordinate: Values,
    size: int,
    fill_mode: str,
    order: int,
    point: FixedPoint,
    weight_bits: int | None,
) -> Taps:
    """For order 0 and 1 and fixed-point coordinates; those of order 1 count from `mirror_axis`.

    The border is applied to the coordinate, so that the compiler sees from the constants that the taps lie inside the
    image: its own clamping of every index goes, and with it a third of the time.

    Args:
        weight_bits: Weights are counted in units of 2**-weight_bits, and rounded to them: scaled by itself every
            weight would take a product more. None: they add up to 1, and keep all bits.
    """
    bits, inside = point.bits, is_inside(coordinate, size, point.bits)
    rule = BORDERS[fill_mode].pixels
    if order == 0:
        # Halves go to the pixel behind, before an image is folded and after it is wrapped.
        if rule == OVERLAPPING and size > 1:
            coordinate = fold_coordinate(xp, coordinate, size, rule, bits, once=point.folds_once)
        return Taps((fold_index(xp, nearest(coordinate, bits), size, rule),), None, inside)
    one = np.float32(2 ** (weight_bits or 0))
    if size == 1:
        zero = xp.zeros_like(coordinate)
        none = zero.astype(np.float32)
        return Taps((zero, zero), (none + one, none), inside)
    folded = fold_coordinate(xp, coordinate, size, rule, bits, once=point.folds_once)
    if rule != PERIODIC:
        # One unit short of the last pixel, so that the tap after the lower one lies inside: 2**-bits of the contrast.
        folded = xp.clip(folded, np.int32(0), np.int32(((size - 1) << bits) - 1))
    lower, fraction = split(folded, bits) if weight_bits is None else split_in_units(folded, bits, weight_bits)
    indices: tuple[Values, ...] = (lower,)
    if rule == PERIODIC:  # the last pixel's neighbour is the first one, which is not the next in memory
        indices = lower, xp.where(lower == np.int32(size - 1), np.int32(0), lower + np.int32(1))
    return Taps(indices, (one - fraction, fraction), inside)


def whole_taps(xp: ModuleType, index: Values, size: int, fill_mode: str) -> Taps:
    """For coordinates that are whole numbers."""
    inside = is_inside(index, size, 0)
    coordinate = Coordinate(index, xp.zeros(index.shape, np.float32), xp.ones(index.shape, bool), inside)
    return taps_at(xp, coordinate, size, fill_mode, 0, np.dtype(np.float32))
