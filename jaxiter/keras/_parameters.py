"""Whether the parameters of an image's transform can be followed: `get_random_transform` may be the user's own."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

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
            check_parameter(name, transform[name])
    for name in _NONE_ALLOWED:
        if (value := transform.get(name)) is not None:
            check_parameter(name, value)


def check_parameter(name: str, value: Any) -> None:
    """Raises unless it is one finite number; a shift of the channels may be an array, one number for each."""
    if isinstance(value, (int, float)) and abs(value) <= _LARGEST:  # nearly always, and in a tenth of the time
        return
    values: Any = value if isinstance(value, numbers.Real) else np.asarray(value)
    is_array = isinstance(values, np.ndarray)
    if is_array and (values.dtype.kind not in "biuf" or (values.ndim and name != "channel_shift_intensity")):
        raise TypeError(f"{name} is {value!r}; expected a number, {_NO_CHANGE[name]} for no change.")
    if not np.all(abs(values) <= _LARGEST):
        raise ValueError(f"{name} is {value!r}; expected a finite number, {_NO_CHANGE[name]} for no change.")


def is_one_number_each(transform: Mapping[str, Any]) -> bool:
    """Whether parameters that passed `check_parameters` fit into one row of numbers."""
    intensity: Any = transform.get("channel_shift_intensity")
    return np.ndim(intensity) == 0
