"""The constant of fill_mode "constant", in the dtype of the result and to the last bit, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from ..._checks import is_array

# A larger whole number is no label but a size, which a float may round.
_LARGEST_LABEL = 2**32


def fill_value(cval: ArrayLike, dtype: DTypeLike, *, rounded_to: DTypeLike | None = None) -> ArrayLike:
    """`cval` as `dtype`; a tracer is returned as it is.

    Args:
        rounded_to: A dtype to which the result is rounded afterwards, and which has to hold it too.

    Raises:
        ValueError: If a dtype cannot hold it: an integer a fraction or what lies beyond its range, a float a whole
            number up to 2**32 that it would change, or infinity.
    """
    if isinstance(cval, jax.core.Tracer):
        return cval
    numbers = np.asarray(cval).tolist() if is_array(cval) else cval
    if rounded_to is not None:
        _each(numbers, lambda number: _held(_rounded(number, rounded_to), rounded_to, number))
    return np.asarray(_each(numbers, lambda number: _held(number, dtype, number)), dtype)


def _each(numbers: Any, function: Callable[[float], object]) -> object:
    return [_each(number, function) for number in numbers] if isinstance(numbers, (list, tuple)) else function(numbers)


def _rounded(number: float, dtype: DTypeLike) -> float:
    """Half away from zero for integers, as pixels are."""
    is_float = jnp.issubdtype(dtype, np.floating) or number == math.trunc(number)
    return number if is_float else math.trunc(number) + round(math.copysign(abs(math.fmod(number, 1)) >= 0.5, number))


def _held(number: float, dtype: DTypeLike, given: float) -> object:
    """The number as a NumPy scalar of `dtype`."""
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, np.floating):
        with np.errstate(over="ignore"):
            value = np.asarray(float(number)).astype(dtype)[()]
        is_label = abs(number) <= _LARGEST_LABEL and number == int(number)
        if not np.isfinite(float(value)) or (is_label and float(value) != number):
            raise ValueError(
                f"cval is {given!r}, of which {dtype.name} makes {float(value):.17g}; expected a number that it holds. "
                "With order=0 integers keep their dtype."
            )
        return value
    bounds = (0, 1) if dtype == np.bool_ else (int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max))
    if number != int(number) or not bounds[0] <= number <= bounds[1]:
        remedy = (
            "" if dtype == np.bool_ else ' For another one bring the images to a dtype that holds it: Cast("int32").'
        )
        raise ValueError(
            f"cval is {given!r}, which {dtype.name} cannot hold; expected a whole number from {bounds[0]} to "
            f"{bounds[1]}.{remedy}"
        )
    return dtype.type(int(number))
