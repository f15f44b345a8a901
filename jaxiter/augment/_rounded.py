"""Arithmetic whose last bit does not depend on the program around it, for all that a coordinate is made of.

A compiler may make one rounding of a product and a sum, or two, and takes another sine for one number than for many: an
image would change with the batch it stands in. Here every product is rounded before it is added.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from operator import mul
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

# pi / 2 in three parts, the first two short enough that their products with a few thousand turns are exact, and
# polynomials for [-pi / 4, pi / 4]: Moshier, "Cephes Mathematical Library", sinf.c.
_HALF_PI = (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)

# log(2) in two parts, likewise, and a polynomial for half of it on both sides of 0: the same, expf.c.
_LOG_2 = (0.693359375, -2.12194440e-4)
_EXPONENTIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)


@jax.custom_jvp
def rounded(product: Array) -> Array:
    """`product`, which is not contracted with the sum that it is a part of.

    It is changed in bits that are 0, which no compiler recognises: fourth powers are 0 or 1 modulo 16.
    """
    bits = jax.lax.bitcast_convert_type(product, np.uint64 if product.dtype == np.float64 else np.uint32)
    square = bits * bits
    return jax.lax.bitcast_convert_type(bits ^ ((square * square) & bits.dtype.type(12)), product.dtype)


@rounded.defjvp
def _rounded_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return rounded(*primals), tangents[0]


@partial(jax.jit, inline=True)
def sine_cosine(theta: Array) -> tuple[Array, Array]:
    """Both of a float32 in radians, to 1e-7 within some thousand turns."""
    quarters = jnp.round(jax.lax.stop_gradient(theta) * np.float32(2 / np.pi))
    return _sine_cosine(jnp, theta, quarters, lambda a, b: rounded(a * b))


def sine_cosine_on_host(theta: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """The same bits, by NumPy."""
    return _sine_cosine(np, theta, np.round(theta * np.float32(2 / np.pi)), mul)


def _sine_cosine(xp: ModuleType, theta: Any, quarters: Any, times: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    def polynomial(constants: tuple[float, ...], x: Any) -> Any:
        first, *others = map(np.float32, constants)
        return reduce(lambda value, constant: times(value, x) + constant, others, xp.full_like(x, first))

    rest = reduce(lambda left, part: left - times(quarters, np.float32(part)), _HALF_PI, theta)
    square = times(rest, rest)
    sine = rest + times(times(square, rest), polynomial(_SINE, square))
    cosine = (np.float32(1) - times(square, np.float32(0.5))) + times(
        times(square, square), polynomial(_COSINE, square)
    )
    quarter = quarters.astype(np.int32) & np.int32(3)
    swapped = (quarter & np.int32(1)) == 1
    sine, cosine = xp.where(swapped, cosine, sine), xp.where(swapped, sine, cosine)
    return xp.where(quarter >= 2, -sine, sine), xp.where((quarter == 1) | (quarter == 2), -cosine, cosine)


def tangent(theta: Array) -> Array:
    sine, cosine = sine_cosine(theta)
    return sine / cosine


def exponential(x: Array) -> Array:
    """e to the power of float32s within [-80, 80], to 1e-7 of the result."""
    whole = jnp.round(x * np.float32(1 / np.log(2)))
    rest = reduce(lambda left, part: left - rounded(whole * np.float32(part)), _LOG_2, x)
    first, *others = map(np.float32, _EXPONENTIAL)
    power = reduce(lambda value, constant: rounded(value * rest) + constant, others, jnp.full_like(rest, first))
    power = rounded(power * rounded(rest * rest)) + rest + np.float32(1)
    # By bits, as exp2 need not be exact.
    return power * jax.lax.bitcast_convert_type((whole.astype(np.int32) + np.int32(127)) << np.int32(23), np.float32)
