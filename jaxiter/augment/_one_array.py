"""What a function of a user's may return for an image."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_masked
from .._describe import described


def one_array(what: str, result: Any) -> Any:
    """`result` if it is one array of numbers or bools, and a number as one: JAX would map any tree of arrays.

    Args:
        what: What returned it, for the error.

    Raises:
        TypeError: For anything else.
    """
    check_not_masked(f"what {what} returned", result)
    if isinstance(result, (jax.Array, np.ndarray, np.generic)):
        if _is_number(result.dtype):
            return result
    elif isinstance(result, (bool, int, float, complex)) or hasattr(result, "__jax_array__"):
        return jnp.asarray(result)
    if result is None:
        raise TypeError(f"{what} returned None; expected an image. Does it end with a return?")
    remedy = "Return the image alone." if isinstance(result, (list, tuple, dict)) else "Return the image."
    raise TypeError(f"{what} returned {described(result)}; expected one array of numbers or bools. {remedy}")


def _is_number(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, np.bool_) or (jnp.issubdtype(dtype, np.number) and dtype.kind not in "mM")
