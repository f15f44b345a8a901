"""Affine maps of the image plane as 3x3 matrices, in one convention.

A matrix maps *output* to *source*: `source = matrix @ (row, col, 1)` is where the pixel that will stand at
(row, col) comes from. Pixel centres sit at integers, rows count downwards, angles are radians. `compose(a, b)`
is first the picture change of `a`, then that of `b`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, is_array
from .._transfers import transfers
from ._rounded import rounded, sine_cosine, tangent
from ._types import Values

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float

    Scalar = Float[Array, ""] | float


def _matrix(rows: Sequence[Sequence[ArrayLike]]) -> Float[Array, "3 3"]:
    return jnp.stack([jnp.stack([jnp.asarray(entry, np.float32) for entry in row]) for row in rows])


def _scalar(name: str, value: object) -> Float[Array, ""]:
    check_not_forked()
    if not is_array(value) and not isinstance(value, (bool, int, float, np.generic)):
        raise TypeError(f"{name} is {value!r}; expected a number, or an array of shape ().")
    if np.ndim(value):
        raise ValueError(f"{name} has shape {np.shape(value)}; expected one number. For several use jax.vmap.")
    return jnp.asarray(value, np.float32)


@transfers
def rotation_matrix(theta: Scalar) -> Float[Array, "3 3"]:
    """Turns the picture by `theta` radians about (0, 0), counter-clockwise as displayed.

    Its sines are right to 1e-6 for angles up to 100,000; larger ones lose digits, in float32.

    Example:
        >>> import numpy as np
        >>> from jaxiter import about_centre, affine_warp, rotation_matrix
        >>> quarter = about_centre(rotation_matrix(np.pi / 2), 2, 2)
        >>> image = np.array([[1, 2], [3, 4]])[..., None]
        >>> affine_warp(image, quarter, order=0)[..., 0].tolist()
        [[2, 4], [1, 3]]
    """
    theta = _scalar("theta", theta)
    sin, cos = map(_exact_zero, sine_cosine(theta))
    return _matrix([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _exact_zero(x: jax.Array) -> jax.Array:
    """x, or 0 where it is as small as what float32 makes of cos(pi / 2): quarter turns stay on the pixel grid."""
    return x - jax.lax.stop_gradient(jnp.where(jnp.abs(x) < np.float32(5e-7), x, np.float32(0)))


@transfers
def shear_matrix(shear: Scalar) -> Float[Array, "3 3"]:
    """Leans upright lines by `shear` radians: what lies above (0, 0) moves right, what lies below moves left.

    Raises:
        TypeError, ValueError: For what is no number, as in the other functions of this kind.

    Example:
        >>> import math
        >>> shear_matrix(math.atan(0.5)).tolist()
        [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return _matrix([[1.0, 0.0, 0.0], [tangent(_scalar("shear", shear)), 1.0, 0.0], [0.0, 0.0, 1.0]])


@transfers
def zoom_matrix(rows: Scalar, cols: Scalar) -> Float[Array, "3 3"]:
    """Magnifies about (0, 0): 2 makes the picture twice as tall (`rows`) or wide (`cols`).

    Example:
        >>> zoom_matrix(2, 1).tolist()
        [[0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    one = jnp.float32(1.0)
    rows, cols = _scalar("rows", rows), _scalar("cols", cols)
    return _matrix([[one / rows, 0.0, 0.0], [0.0, one / cols, 0.0], [0.0, 0.0, 1.0]])


@transfers
def shift_matrix(rows: Scalar, cols: Scalar) -> Float[Array, "3 3"]:
    """Moves the picture down by `rows` pixels and right by `cols`.

    Example:
        >>> shift_matrix(2, 0.5).tolist()
        [[1.0, 0.0, -2.0], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]]
    """
    rows, cols = _scalar("rows", rows), _scalar("cols", cols)
    return _matrix([[1.0, 0.0, -rows], [0.0, 1.0, -cols], [0.0, 0.0, 1.0]])


@transfers
def flip_matrix(horizontal: ArrayLike, vertical: ArrayLike) -> Float[Array, "3 3"]:
    """Mirrors about (0, 0): left and right if `horizontal`, top and bottom if `vertical`; bools, or arrays of shape ().

    Example:
        >>> flip_matrix(True, False).tolist()
        [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    check_not_forked()
    one, minus = np.float32(1.0), np.float32(-1.0)
    for name, flip in (("horizontal", horizontal), ("vertical", vertical)):
        _scalar(name, flip)
    return _matrix(
        [[jnp.where(vertical, minus, one), 0.0, 0.0], [0.0, jnp.where(horizontal, minus, one), 0.0], [0.0, 0.0, 1.0]]
    )


@transfers
def about_centre(matrix: Float[Values, "3 3"], height: int, width: int) -> Float[Array, "3 3"]:
    """The map of `matrix`, but about the image centre in place of (0, 0).

    Pixel centres sit at integers, so the centre of `height` rows is `(height - 1) / 2`.

    Example:
        >>> about_centre(flip_matrix(False, True), 4, 6).tolist()
        [[-1.0, 0.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    matrix = check_matrix("matrix", matrix)
    rows, cols = (height - 1) / 2, (width - 1) / 2
    return compose(shift_matrix(-rows, -cols), matrix, shift_matrix(rows, cols))


@transfers
def compose(*matrices: Float[Values, "3 3"]) -> Float[Array, "3 3"]:
    """One map for several, the first named done first; of none the identity.

    Raises:
        TypeError, ValueError: For what is no array of shape (3, 3).

    Example:
        >>> compose(shift_matrix(1, 0), shift_matrix(2, 5))[:2, 2].tolist()
        [-3.0, -5.0]
    """
    check_not_forked()
    if not matrices:
        return jnp.eye(3, dtype=np.float32)
    first, *others = (check_matrix(f"matrices[{place}]", matrix) for place, matrix in enumerate(matrices))
    return reduce(_product, others, first.astype(jnp.promote_types(np.float32, first.dtype)))


def check_matrix(name: str, matrix: object) -> Float[Array, "3 3"]:
    """`matrix` as a JAX array of shape (3, 3)."""
    if not is_array(matrix) and not isinstance(matrix, (list, tuple)):
        is_affine = callable(getattr(matrix, "matrix", None))
        remedy = " Its map for what it drew is transform.matrix(params, image_shape)." if is_affine else ""
        raise TypeError(f"{name} is a {type(matrix).__qualname__}; expected an array of shape (3, 3).{remedy}")
    check_not_forked()
    try:
        array = jnp.asarray(matrix)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {matrix!r}; expected an array of shape (3, 3).") from None
    shape = array.shape
    if shape != (3, 3):
        is_list = len(shape) == 3 and shape[1:] == (3, 3)
        remedy = " Pass several as compose(*matrices); for a batch use jax.vmap." if is_list else ""
        raise ValueError(f"{name} has shape {shape}; expected (3, 3), output to source in (row, col, 1).{remedy}")
    if not jnp.issubdtype(array.dtype, np.number) or jnp.issubdtype(array.dtype, np.complexfloating):
        raise TypeError(f"{name} is an array of {array.dtype}; expected real numbers.")
    return array


@partial(jax.jit, inline=True)
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    # Written out. Matrix units may round to TF32, and products with 0 and 1 have to be exact; of a sum over an axis
    # XLA:CPU makes a call of a library from batches of 256 on, which takes longer than the warp.
    a, b = (jnp.asarray(matrix, jnp.promote_types(a.dtype, b.dtype)) for matrix in (a, b))

    def entry(i: int, j: int) -> jax.Array:
        return reduce(add, (rounded(a[i, k] * b[k, j]) for k in range(3)))

    return jnp.stack([jnp.stack([entry(i, j) for j in range(3)]) for i in range(3)])
