"""Whether the parameters of an image's transform can be followed: `get_random_transform` may be the user's own."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._describe import shown

_AFFINE = ("theta", "tx", "ty", "shear", "zx", "zy")
_NONE_ALLOWED = ("channel_shift_intensity", "brightness")
_NO_CHANGE = dict.fromkeys(("theta", "tx", "ty", "shear"), 0) | {"zx": 1, "zy": 1} | dict.fromkeys(_NONE_ALLOWED)
_LARGEST = float(np.finfo(np.float32).max)  # maps and factors are float32


def check_parameters(transform: Mapping[str, Any]) -> None:
    """Raises for what `apply_transform` cannot follow; names that are missing, or unknown, change nothing.

    Raises:
        TypeError: For another thing than a dict, and for a parameter that is no number. ValueError: For NaN, infinity.

    Example:
        >>> check_parameters({"theta": 10, "brightness": None, "hue": "red"})
        >>> check_parameters({"theta": None})
        Traceback (most recent call last):
        TypeError: theta is None; expected a number, 0 for no change.
    """
    if not hasattr(transform, "get"):
        raise TypeError(
            f"the parameters of a transform are {transform!r}; expected a dict such as get_random_transform returns, "
            "{} for no change."
        )
    for name in _AFFINE:
        if name in transform:
            check_parameter(name, transform[name], _NO_CHANGE[name])
    for name in _NONE_ALLOWED:
        if (value := transform.get(name)) is not None:
            check_parameter(name, value, None, several=name == "channel_shift_intensity")


def check_parameter(name: str, value: Any, no_change: float | None, *, several: bool = False) -> None:
    """Raises unless it is one finite number, or with `several` an array of such; `no_change` ends the error."""
    if isinstance(value, (int, float)) and abs(value) <= _LARGEST:  # nearly always, and in a tenth of the time
        return
    values: Any = value if isinstance(value, numbers.Real) else np.asarray(value)
    is_array = isinstance(values, np.ndarray)
    if is_array and (values.dtype.kind not in "biuf" or (values.ndim and not several)):
        raise TypeError(f"{name} is {value!r}; expected a number, {no_change} for no change.")
    if not np.all(abs(values) <= _LARGEST):
        raise ValueError(f"{name} is {value!r}; expected a finite number, {no_change} for no change.")


def check_bound(name: str, value: Any, no_change: int, *, several: bool = False) -> None:
    """As `check_parameter`, of an end of a range: whatever makes a float passes, as in Keras."""
    try:
        is_number = several or np.ndim(value) == 0
        is_finite = is_number and all_finite(value)
    except (TypeError, ValueError):
        is_number = is_finite = False
    if not is_finite:
        error, kind = (ValueError, "a finite number") if is_number else (TypeError, "a number")
        raise error(f"{name} is {shown(value)}; expected {kind}, {no_change} for no change.")


def all_finite(value: Any) -> bool:
    """Whether all numbers in it are finite.

    Raises:
        TypeError, ValueError: For None, text, complex numbers and anything else that is no real number.
    """
    if isinstance(value, (list, tuple)):
        return all(map(all_finite, value))
    if isinstance(value, (int, float)):  # nearly always, and ten times faster than an array
        return abs(value) <= sys.float_info.max  # integers that no float holds are not
    array = np.asarray(value)
    if value is None or array.dtype.kind in "SUcmM":  # NumPy makes numbers of "1" and of 1 + 2j
        raise TypeError(f"{value!r} is no real number")
    return bool(np.all(np.isfinite(array.astype(np.float64))))


def is_one_number_each(transform: Mapping[str, Any]) -> bool:
    """Whether parameters that passed `check_parameters` fit into one row of numbers."""
    intensity: Any = transform.get("channel_shift_intensity")
    return np.ndim(intensity) == 0
