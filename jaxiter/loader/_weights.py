"""Weights of examples: which are accepted, and what part of an epoch each stands for.

The edges between the shares are 64-bit integers, rounded once from exact fractions. So no sum of floats decides how
often an example is shown: a share that is a whole number of places stays one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .._array_checks import check_parameter
from .._checks import check_not_masked
from .._describe import described
from .._transfers import on_host

_BLOCK = 2**16


def check_weights(weights: ArrayLike, num_examples: int, num_rows: int | None) -> np.ndarray:
    """`weights` as a NumPy array of their own dtype that nobody else has.

    Args:
        num_rows: How many rows are visited, where `rows` are given.

    Raises:
        TypeError: For another rank or dtype, or if they are traced. ValueError: For another number of them, a negative
            or infinite one or NaN, or if all are 0.
    """
    check_not_masked("weights", weights)
    if isinstance(weights, jax.core.Tracer):
        raise TypeError(
            "weights is traced; expected numbers that are known, as their shares are worked out exactly, on the host. "
            "Outside of jit make loader.replace(weights=np.asarray(weights)) and pass it to jit as an argument: other "
            "weights compile nothing new. Within, other rows or weights cannot be given to a loader that has weights."
        )
    if isinstance(weights, jax.Array):
        check_parameter("weights", weights)
    each = "one for each example" if num_rows is None else "one for each of rows"
    try:
        values = np.array(on_host(weights))
    except (ValueError, TypeError):  # of lists of different length
        raise TypeError(f"weights is {described(weights)}; expected a one-dimensional array, {each}.") from None
    if values.ndim != 1:
        remedy = " Of one for each class use weights[labels]." if values.ndim == 0 else ""
        found = described(weights) if values.ndim == 0 else f"{values.dtype}{list(values.shape)}"
        raise TypeError(f"weights is {found}; expected a one-dimensional array of numbers, {each}.{remedy}")
    is_real = jnp.issubdtype(values.dtype, np.integer) or jnp.issubdtype(values.dtype, np.floating)
    if not is_real or values.dtype.itemsize > 8:
        remedy = "To leave examples out use rows=np.flatnonzero(mask)" if values.dtype == np.bool_ else ""
        remedy = remedy or "Make some with weights.astype(np.float64)"
        raise TypeError(f"weights is {values.dtype}[{len(values)}]; expected real numbers, {each}. {remedy}.")
    _check_length(len(values), num_examples, num_rows)
    numbers = values if values.dtype.kind in "iu" else values.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(wrong):
        raise ValueError(
            f"weights[{wrong[0]}] is {values[wrong[0]]}{f' and {len(wrong) - 1} more are like it' * (len(wrong) > 1)}; "
            "expected finite numbers, 0 or more. A weight of 0 leaves an example out."
        )
    if not numbers.any():
        raise ValueError(f"weights is 0 for all {len(values)}; expected at least one above 0.")
    values.flags.writeable = False
    return values


def _check_length(found: int, num_examples: int, num_rows: int | None) -> None:
    if found == (num_examples if num_rows is None else num_rows):
        return
    if num_rows is None:
        raise ValueError(
            f"weights has {found} numbers, and the data {num_examples} examples; expected one for each example. Of one "
            "for each class use weights[labels]."
        )
    remedy = " Use weights[rows]." if found == num_examples else ""
    raise ValueError(
        f"weights has {found} numbers, and rows {num_rows}; expected one for each of rows.{remedy} With other rows "
        "replace both, or drop them by weights=None."
    )


def edges_of(weights: np.ndarray) -> np.ndarray:
    """size * (sum of the weights before) / (sum of all) for 0 to n of them, in 2**-32, each rounded once."""
    size, total = len(weights), sum(_integers(weights))
    scale, half, twice = size << 33, total, 2 * total
    rounded = ((scale * before + half) // twice for before in accumulate(_integers(weights), initial=0))
    return np.fromiter(rounded, np.uint64, size + 1)


def _integers(weights: np.ndarray) -> Iterator[int]:
    """Python's integers in the ratio of the weights, without any rounding."""
    if weights.dtype.kind in "iu":
        yield from (number for block in _blocks(weights) for number in block.tolist())
        return
    mantissas, exponents = np.frexp(weights.astype(np.float64))
    exponents = np.where(mantissas > 0, exponents - exponents[mantissas > 0].min(), 0)
    for block, shifts in zip(_blocks(mantissas), _blocks(exponents), strict=True):
        yield from map(int.__lshift__, np.ldexp(block, 53).astype(np.int64).tolist(), shifts.tolist())


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    return (values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK))
