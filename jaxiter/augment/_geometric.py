"""Steps that are maps of the image plane: several next to each other are one map and one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked
from .._transfers import transfers
from ._matrix import compose
from ._transform import Params, Transform, arithmetic_dtype, result_dtype
from ._warp import MatrixBounds, StoredImage, check_image, fill_value, resample

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float, Num


class Sampling(NamedTuple):
    """How a step reads pixels; None where it does not matter to it.

    A border matters where a pixel may come from outside the image, an order where one may lie between two.
    """

    border: tuple[str, float] | None = None  # fill_mode, cval
    order: int | None = None

    def joined(self, other: Sampling) -> Sampling | None:
        """That of both steps; None if they differ."""
        if None not in (self.border, other.border) and self.border != other.border:
            return None
        if None not in (self.order, other.order) and self.order != other.order:
            return None
        border = other.border if self.border is None else self.border
        return Sampling(border, other.order if self.order is None else self.order)


class Geometric(Transform):
    """A step that takes the pixel of each output place from a source place; a subclass says where.

    What it says by properties is static, and holds for whatever is drawn.
    """

    def matrix(self, params: Params, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        """The map of `params`, output to source in (row, col, 1), for an image of this shape."""
        raise NotImplementedError

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the result for an image of this one."""
        return size

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        """Bounds on every map that may be drawn for images of this shape; None where they are unknown."""
        return None

    @property
    def sampling(self) -> Sampling:
        raise NotImplementedError

    @property
    def interpolates(self) -> bool:
        """Whether a pixel may be mixed from several, so that the result is a float; if not, pixels are copied."""
        raise NotImplementedError

    @property
    def looks_outside(self) -> bool:
        """Whether a pixel may come from outside the image."""
        return False

    @property
    def is_identity(self) -> bool:
        """Whether `matrix` is the identity, for images of every size."""
        return False

    @property
    def is_one_warp(self) -> bool:
        """False where a subclass overrides `apply`: it is then no more than the user's own step."""
        return type(self).apply is Geometric.apply

    @transfers
    def apply(self, params: Params, image: Num[Array, "height width channels"]) -> Num[Array, ...]:
        check_not_forked()
        return apply_geometry([(self, params)], jnp.asarray(image))


Steps = Sequence[tuple[Geometric, Params]]


@transfers
def apply_geometry(
    steps: Steps, image: jax.Array, *, drawn: bool = False, stored: StoredImage | None = None
) -> jax.Array:
    """Several steps whose samplings agree, the first acting first, as one map and one resampling.

    Args:
        drawn: The params are as `sample` draws them, so that the map stays within the bounds of the ranges. Those
            of a caller may lie anywhere.
        stored: Where `image` was copied from, if it is an image as it is stored.
    """
    check_image(image)
    return warp_along([step for step, _ in steps], matrix_of(steps, image.shape), image, drawn=drawn, stored=stored)


def shapes_through(steps: Sequence[Geometric], image_shape: Sequence[int]) -> list[tuple[int, ...]]:
    """The shape of the image before each step, and after the last."""
    shapes = [tuple(image_shape)]
    for step in steps:
        height, width = shapes[-1][:2]
        shapes.append((*step.out_size((height, width)), *shapes[-1][2:]))
    return shapes


def matrix_of(steps: Steps, image_shape: Sequence[int]) -> Float[Array, "3 3"] | None:
    """The map of several steps, the first acting first; None for the identity."""
    shapes = shapes_through([step for step, _ in steps], image_shape)
    matrices = [
        step.matrix(params, shape) for (step, params), shape in zip(steps, shapes, strict=False) if not step.is_identity
    ]
    return compose(*matrices) if matrices else None


def warp_along(
    steps: Sequence[Geometric],
    matrix: Float[Array, "3 3"] | None,
    image: jax.Array,
    *,
    drawn: bool,
    stored: StoredImage | None,
) -> jax.Array:
    """`apply_geometry` from the map on that `matrix_of` made."""
    steps = [step for step in steps if not step.is_identity]
    if matrix is None or not steps:
        return image
    border, order = joined_sampling(steps)
    dtype, fill = dtype_and_fill(steps, image.dtype)
    bounds = _bounds(steps, image.shape) if drawn else None
    order = (1 if order is None else order) if _interpolate(steps) else 0
    if order and bounds is not None and bounds.is_whole:
        image = image.astype(arithmetic_dtype(image.dtype))  # pixels are only selected, and cval may be no integer
    height, width, _ = shapes_through(steps, image.shape)[-1]
    fill_mode = "nearest" if border is None else border[0]
    warped = resample(
        image, matrix, fill_mode=fill_mode, cval=fill, order=order, bounds=bounds, size=(height, width), stored=stored
    )
    return warped.astype(dtype)


def joined_sampling(steps: Sequence[Geometric]) -> Sampling:
    """That of several steps that agree."""
    joined: Sampling | None = Sampling()
    for step in steps:
        assert joined is not None  # or they would not be one group
        joined = joined.joined(step.sampling)
    assert joined is not None
    return joined


def dtype_and_fill(steps: Sequence[Geometric], dtype: DTypeLike) -> tuple[np.dtype, ArrayLike]:
    """What several steps whose samplings agree make of images of `dtype`, and what they fill borders with.

    Raises:
        ValueError: If the dtype cannot hold cval.
    """
    border, interpolates = joined_sampling(steps).border, _interpolate(steps)
    result = result_dtype(dtype) if interpolates else np.dtype(dtype)
    if border is None or border[0] != "constant":
        return result, np.zeros((), result)
    if interpolates:
        return result, fill_value(border[1], arithmetic_dtype(dtype), rounded_to=result)
    return result, fill_value(border[1], result)


def _interpolate(steps: Sequence[Geometric]) -> bool:
    return any(step.interpolates for step in steps)


def _bounds(steps: Sequence[Geometric], image_shape: Sequence[int]) -> MatrixBounds | None:
    shapes = shapes_through(steps, image_shape)
    each = [step.bounds(shape) for step, shape in zip(steps, shapes, strict=False)]
    known = [bounds for bounds in each if bounds is not None]
    return reduce(MatrixBounds.then, known) if len(known) == len(each) else None
