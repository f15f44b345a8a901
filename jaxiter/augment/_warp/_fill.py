"""The constant of fill_mode "constant", in the dtype of the result and to the last bit, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from ..._checks import is_array
from ..._describe import shown_number
from .._cast import round_to
from .._types import Values

# A larger whole number is no label but a size, which a float may round.
_LARGEST_LABEL = 2**32


def fill_value(
    cval: ArrayLike, dtype: DTypeLike, *, rounded_to: DTypeLike | None = None, name: str = "cval"
) -> ArrayLike:
    """`cval` as `dtype`; a tracer is returned as it is.

    Args:
        rounded_to: A dtype to which the result is rounded afterwards, and which has to hold it too; `dtype` has to
            hold what an integer one is rounded from without loss.
        name: What a message calls it.

    Raises:
        ValueError: If a dtype cannot hold it: an integer a fraction or what lies beyond its range, a float a whole
            number that it would change, above 2**32 only of an integer result, or infinity.
    """
    if isinstance(cval, jax.core.Tracer):
        return cval
    numbers = np.asarray(cval).tolist() if is_array(cval) else cval
    if rounded_to is not None:
        _each(numbers, lambda number: _held(_rounded(number, rounded_to), rounded_to, number, name=name))
    largest = _LARGEST_LABEL if rounded_to is None or jnp.issubdtype(rounded_to, np.floating) else math.inf
    return np.asarray(_each(numbers, lambda number: _held(number, dtype, number, largest, name)), dtype)


def filled(xp: ModuleType, result: Values, inside: Values, fill_mode: str, cval: ArrayLike) -> Values:
    """With "constant" pixels whose place is not `inside` are cval: itself if it has the dtype of the result."""
    if fill_mode != "constant":
        return result
    if np.ndim(cval) and np.shape(cval) != result.shape[-1:]:
        raise ValueError(
            f"cval has shape {np.shape(cval)}; expected a number, or one for each of {result.shape[-1]} channels."
        )
    is_exact = getattr(cval, "dtype", None) == result.dtype
    value = xp.asarray(cval) if is_exact else round_to(result.dtype, xp.asarray(cval, _dtype_of(cval)), xp)
    return xp.where(inside, result, value)


def _dtype_of(cval: ArrayLike) -> DTypeLike:
    """Its own, of which float32 would lose digits, or float32 for a plain number."""
    return getattr(cval, "dtype", np.dtype(np.float32))


def _each(numbers: Any, function: Callable[[float], object]) -> object:
    return [_each(number, function) for number in numbers] if isinstance(numbers, (list, tuple)) else function(numbers)


def _rounded(number: float, dtype: DTypeLike) -> float:
    """Half away from zero for integers, as pixels are."""
    is_float = jnp.issubdtype(dtype, np.floating) or number == math.trunc(number)
    return number if is_float else math.trunc(number) + round(math.copysign(abs(math.fmod(number, 1)) >= 0.5, number))


def _held(
    number: float, dtype: DTypeLike, given: float, largest_label: float = _LARGEST_LABEL, name: str = "cval"
) -> object:
    """The number as a NumPy scalar of `dtype`, whole numbers up to `largest_label` as they are."""
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, np.floating):
        value = _as_float(number, dtype)
        is_label = abs(number) <= largest_label and number == int(number)
        if not np.isfinite(float(value)) or (is_label and float(value) != number):
            remedy = " With order=0 integers keep their dtype."
            if dtype.itemsize < 4:  # of images of this dtype, which integers would round
                remedy = _remedy(number, among=("float32",))
            raise ValueError(
                f"{name} is {shown_number(given)}, of which {dtype.name} makes {float(value):.17g}; expected a number "
                f"that it holds.{remedy}"
            )
        return value
    bounds = (0, 1) if dtype == np.bool_ else (int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max))
    if number != int(number) or not bounds[0] <= number <= bounds[1]:
        raise ValueError(
            f"{name} is {shown_number(given)}, which {dtype.name} cannot hold; expected a whole number from "
            f"{bounds[0]} to {bounds[1]}.{'' if dtype == np.bool_ else _remedy(number)}"
        )
    return dtype.type(int(number))


def _as_float(number: float, dtype: DTypeLike) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(float(number)).astype(dtype)[()]


def _remedy(number: float, among: Sequence[str] = ("int32", "uint32", "float32")) -> str:
    """The first dtype, of 32 bits as every setting has them, that holds the number; fractions float32 rounds."""
    for name in among:
        dtype = np.dtype(name)
        if dtype.kind == "f":
            holds = number != int(number) or float(_as_float(number, dtype)) == number
        else:
            holds = number == int(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
        if holds:
            return f' For another one bring the images to a dtype that holds it: Cast("{name}").'
    return ""
