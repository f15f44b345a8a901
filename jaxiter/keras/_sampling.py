"""What lies outside an image and how it is interpolated, as SciPy takes it; looked at where an image is resampled."""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..augment.internal import check_sampling


class Sampling(NamedTuple):
    """Of the resampling: all that is not the map. cval may be NaN or infinite."""

    fill_mode: str
    cval: float
    order: int


class SamplingError(RuntimeError, ValueError):
    """An unknown fill_mode or order: a RuntimeError of SciPy in Keras, a ValueError in the rest of this package."""


def checked_sampling(fill_mode: Any, cval: Any, order: Any) -> Sampling:
    """The three as the core takes them: any real number is a cval, any integer an order, bool too.

    Raises:
        SamplingError: For an unknown fill_mode or order. TypeError: If cval is no number.

    Example:
        >>> checked_sampling("wrap", np.float32(0.5), True)
        Sampling(fill_mode='wrap', cval=0.5, order=1)
    """
    with suppress(TypeError):
        order = int(operator.index(order))
    try:
        check_sampling(fill_mode, order, 0.0)
    except ValueError as error:
        raise SamplingError(*error.args) from None
    if isinstance(cval, (str, bytes)) or cval is None or np.ndim(cval):
        raise TypeError(f"cval is {cval!r}; expected a number.")
    return Sampling(fill_mode, float(cval), order)
