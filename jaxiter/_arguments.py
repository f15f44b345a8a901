"""Checks at the door that several rooms share."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def check_fits(name: str, values: np.ndarray) -> None:
    """64-bit numbers come out in 32 bits unless jax_enable_x64 is set; one that does not fit is refused."""
    canonical = jax.dtypes.canonicalize_dtype(values.dtype)
    if canonical == values.dtype or values.size == 0:
        return
    bounds: Any
    if np.issubdtype(values.dtype, np.integer):
        bounds = np.iinfo(canonical)
    elif np.issubdtype(values.dtype, np.floating):
        bounds = np.finfo(canonical)
    else:
        return
    # fmin and fmax make no copy and pass over NaN; infinity stays infinity.
    for value in (np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)):
        if np.isfinite(value) and not bounds.min <= value <= bounds.max:
            raise ValueError(
                f"{name} is {values.dtype} and holds {value}, which does not fit the {canonical} that JAX makes of it. "
                "Set jax_enable_x64, or map the values to a smaller range."
            )
