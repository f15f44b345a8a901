"""Ranges of random numbers: validation of what users type, and draws.

A checked range is a pair of floats, or an array of shape () or (2,), which stays a leaf. The values of an array are
checked too, those of a tracer are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._checks import check_finite, check_not_forked, is_array, is_flag
from .._transfers import on_host, transfers
from ._rounded import rounded
from ._transform import frozen_value
from ._types import Side

# A number r, a pair (low, high), or an array of shape () or (2,). A field holds it checked, as `as_bounds` says.
Range: TypeAlias = ArrayLike | Sequence[ArrayLike]
Bounds: TypeAlias = tuple[float, float] | np.ndarray | jax.Array  # checked
_Frozen: TypeAlias = float | tuple[float, ...] | np.ndarray | jax.Array  # not checked yet

_PAIR = " A number r means [1 - r, 1 + r]; for other factors pass a pair (low, high)."


def as_bounds(field: Range) -> Bounds:
    """A field of a transform, whose type is what users may give, as what it holds."""
    return cast("Bounds", field)


def symmetric_range(name: str, given: Range, below: float | None = None) -> Bounds:
    """Returns r as (-r, r), a pair unchanged. Both ends are smaller in size than `below`."""
    value = _number_or_pair(name, given)
    low, high = _extremes(value)
    if _is_number(value):
        if low < 0:
            raise ValueError(f"{name} is {value!r}; expected 0 or more: r means [-r, r]. For one side pass a pair.")
        low = -high
    if below is not None and max(-low, high) >= below:
        raise ValueError(f"{name} is {value!r}; expected numbers inside (-{below:g}, {below:g}).")
    return value if is_array(value) else (low + 0.0, high + 0.0)


def centred_range(name: str, given: Range, *, above: float | None = None, least: float | None = None) -> Bounds:
    """Returns r as (1 - r, 1 + r), no lower than `least`, and a pair unchanged, which keeps to the limits itself."""
    value = _number_or_pair(name, given)
    low, high = _extremes(value)
    if _is_number(value):
        if low < 0:
            raise ValueError(f"{name} is {value!r}; expected 0 or more: r means [1 - r, 1 + r]. Else pass a pair.")
        low, high = 1.0 - high, 1.0 + high
        low = low if least is None else max(least, low)
    if above is not None and low <= above:
        raise ValueError(f"{name} is {value!r}, which reaches {low:g}; expected factors above {above:g}.{_PAIR}")
    if least is not None and low < least:
        raise ValueError(f"{name} is {value!r}, which reaches {low:g}; expected factors of at least {least:g}.{_PAIR}")
    return value if is_array(value) else (low, high)


def own_range(name: str, given: Range, *, most: float = float("inf")) -> Bounds:
    """Returns r as (r, r), a pair or an array unchanged. All numbers are in [0, most]."""
    value = _number_or_pair(name, given)
    low, high = _extremes(value)
    if low < 0 or high > most:
        expected = "0 or more" if most == float("inf") else f"numbers from 0 to {most:g}"
        raise ValueError(f"{name} is {value!r}; expected {expected}.")
    return value if is_array(value) else (low + 0.0, high + 0.0)


def shift_ranges(name: str, given: Range | Sequence[Range]) -> tuple[Bounds, Bounds] | np.ndarray | jax.Array:
    """Takes r for both axes, or (rows, cols) with a number or a pair each, or an array of shape (), (2,) or (2, 2)."""
    value = _stacked(name, _as_pairs(name, given))
    if is_array(value) and value.ndim:
        if value.shape not in ((2,), (2, 2)):
            raise ValueError(f"{name} has shape {value.shape}; expected (), (2,) for (rows, cols), or two pairs.")
        for axis in range(2):
            symmetric_range(f"{name}[{axis}]", value[axis])
        return value
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"{name} is {value!r}; expected a fraction, or (rows, cols) with one for each.")
        for axis, part in enumerate(value):
            if _is_number(part) and part < 0:
                raise ValueError(
                    f"{name}[{axis}] is {part!r}; expected 0 or more: {name} is (rows, cols), and r means [-r, r]. The "
                    f"range {value!r} for both is {name}=({value!r}, {value!r})."
                )
        return symmetric_range(f"{name}[0]", value[0]), symmetric_range(f"{name}[1]", value[1])
    both = symmetric_range(name, value)
    return (both, both) if isinstance(both, tuple) else both


def check_fraction(name: str, value: tuple[Bounds, Bounds] | np.ndarray | jax.Array) -> None:
    """Refuses checked shifts of more than the whole size: most likely pixels, where fractions are expected."""
    for part in value if isinstance(value, tuple) else (value,):
        low, high = _extremes(part)
        if max(-low, high) > 1:
            raise ValueError(
                f"{name} reaches {max(-low, high):g} times the size of the image; expected fractions of its height and "
                "width, at most 1. For 4 pixels of 32 pass 4 / 32."
            )


def probability(name: str, given: ArrayLike) -> float | np.ndarray | jax.Array:
    """Returns True as one half, False as 0, a number or scalar array unchanged."""
    if is_flag(given):
        return 0.5 if given else 0.0
    value = frozen_value(given)
    check_finite(name, value)
    if not _is_number(value):
        raise TypeError(f"{name} is {value!r}; expected True, False or one probability.")
    low, high = _extremes(value)
    if low < 0 or high > 1:
        raise ValueError(f"{name} is {value!r}; expected True, False or a probability in [0, 1].")
    return value if is_array(value) else float(value)


def is_point(bounds: Bounds) -> bool:
    """Whether a range is static and holds one number only."""
    return isinstance(bounds, tuple) and bounds[0] == bounds[1]


@transfers
def between(bounds: Bounds, drawn: jax.Array, *, scale: Side | float = 1.0, centre: float = 0.0) -> jax.Array:
    """`scale` times a number of the range, `drawn` being uniform in [0, 1); a scalar array r means centre +- r.

    No product is contracted with a sum, so that a draw is the same in every program.
    """
    if isinstance(scale, jax.Array):
        return rounded(between(bounds, drawn, centre=centre) * scale.astype(np.float32))
    two_sided = np.float32(2) * drawn - np.float32(1)  # exact: drawn is a multiple of 2**-24
    if not isinstance(bounds, tuple):
        ends = jnp.asarray(bounds, np.float32) * np.float32(scale)
        if ends.ndim:
            return ends[0] + rounded((ends[1] - ends[0]) * drawn)
        product = ends * two_sided
        return rounded(product) + np.float32(centre * scale) if centre else rounded(product)
    low, high = bounds[0] * scale, bounds[1] * scale
    if low == high:
        return jnp.float32(low)
    if low == -high:
        return rounded(np.float32(high) * two_sided)  # else a later product is folded into this one, in some programs
    return np.float32(low) + rounded(np.float32(high - low) * drawn)


@transfers
def own_number(bounds: Bounds, drawn: jax.Array) -> jax.Array:
    """As `between` for a range by `own_range`, in which a scalar array means itself."""
    return jnp.asarray(bounds, np.float32) if is_array(bounds) and bounds.ndim == 0 else between(bounds, drawn)


def _number_or_pair(name: str, given: Range) -> _Frozen:
    value = _stacked(name, 0.0 if given is False else given)
    check_finite(name, value)
    if is_array(value) and value.shape not in ((), (2,)):
        raise ValueError(f"{name} has shape {value.shape}; expected () for a number or (2,) for (low, high).")
    if isinstance(value, tuple) and (len(value) != 2 or any(isinstance(end, tuple) for end in value)):
        raise ValueError(f"{name} is {value!r}; expected a number or a pair (low, high).")
    if not _is_number(value) and not isinstance(value, jax.core.Tracer) and value[0] > value[1]:
        raise ValueError(f"{name} is {value!r}; expected a pair (low, high) with low <= high.")
    return value


def _as_pairs(name: str, given: Range | Sequence[Range]) -> Range | Sequence[Range]:
    """(rows, cols), a number r as (-r, r) where the other one is a pair and an array is among them."""
    if not isinstance(given, (list, tuple)) or not any(map(_holds_array, given)):
        return given
    is_pair = [isinstance(part, (list, tuple)) or (is_array(part) and part.ndim > 0) for part in given]
    if all(is_pair) or not any(is_pair):
        return given
    return [
        part if pair else _both_signs(symmetric_range(f"{name}[{axis}]", part))
        for axis, (part, pair) in enumerate(zip(given, is_pair, strict=True))
    ]


def _both_signs(bounds: Bounds) -> Bounds:
    if not is_array(bounds):
        return bounds
    check_not_forked()
    return jnp.stack([-bounds, bounds])


@transfers
def _stacked(name: str, value: Range | Sequence[Range]) -> Any:
    """Returns a sequence that holds an array as one array, anything else frozen."""
    if not isinstance(value, (list, tuple)) or not any(map(_holds_array, value)):
        return frozen_value(value)
    check_not_forked()
    try:
        return jnp.stack([jnp.asarray(item, np.float32) for item in value])
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; expected numbers, or numbers and arrays of one shape.") from None


def _holds_array(value: object) -> bool:
    return is_array(value) or (isinstance(value, (list, tuple)) and any(map(_holds_array, value)))


def _is_number(value: object) -> bool:
    return value.ndim == 0 if is_array(value) else not isinstance(value, tuple)


def _extremes(value: ArrayLike | Sequence[float]) -> tuple[float, float]:
    """The least and the greatest number; NaN for a tracer, which passes every check."""
    if isinstance(value, jax.core.Tracer):
        return float("nan"), float("nan")
    numbers = np.asarray(on_host(value), np.float64)
    return float(numbers.min()), float(numbers.max())
