"""Steps that are maps of the image plane: several next to each other are one map and one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked
from .._transfers import transfers
from ._matrix import compose
from ._rounded import rounded
from ._transform import Params, Transform, arithmetic_dtype, result_dtype
from ._types import Side
from ._warp import (
    MatrixBounds,
    RaggedImage,
    StoredImage,
    Window,
    check_image,
    fill_value,
    is_static,
    resample,
    resample_ragged,
    resize_along,
)

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float, Num


class Sampling(NamedTuple):
    """How a step reads pixels; None where it does not matter to it.

    A border matters where a pixel may come from outside the image, the other two where one may lie between two.
    """

    border: tuple[str, float] | None = None  # fill_mode, cval
    order: int | None = None
    antialias: bool | None = None

    def joined(self, other: Sampling) -> Sampling | None:
        """That of both steps; None if they differ."""
        border, order, antialias = (_either(own, others) for own, others in zip(self, other, strict=True))
        if _DIFFER in (border, order, antialias):
            return None
        looks_further = self.border is not None and other.border is not None and border[0] not in _AT_EDGES
        return None if antialias and looks_further else Sampling(border, order, antialias)


_AT_EDGES = ("nearest", "constant")  # borders for which no pixel is read but those of a window
_DIFFER = object()


def _either(own: object, other: object) -> Any:
    if own is None or other is None:
        return other if own is None else own
    return own if own == other else _DIFFER


class Geometry(NamedTuple):
    """What several steps draw, as far as a resampling needs it."""

    matrix: Float[Array, "3 3"]
    windows: tuple[Window, Window] | None  # of rows and columns, if a step resizes one: nothing beyond is mixed in


class Geometric(Transform):
    """A step that takes the pixel of each output place from a source place; a subclass says where.

    What it says by properties is static, and holds for whatever is drawn.
    """

    keeps_scale: ClassVar[bool] = True
    resizes: ClassVar[bool] = False  # it brings a window of the image to a size, without rotation or shear

    def matrix(self, params: Params, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        """The map of `params`, output to source in (row, col, 1), for an image of this shape."""
        raise NotImplementedError

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the result for an image of this one."""
        return size

    def check_takes_any_size(self) -> None:
        """Raises where it cannot take pictures of which each may have another size."""

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        """Bounds on every map that may be drawn for images of this shape; None where they are unknown."""
        return None

    def bounds_up_to(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        """The same for images of at most this height and width."""
        return self.bounds(image_shape)

    def windows(self, params: Params, image_shape: Sequence[int]) -> tuple[Window, Window]:
        """Of a step that `resizes`: the rows and columns of the image that are brought to another size."""
        rows, cols = (Window(-0.5, _last_edge(side)) for side in image_shape[:2])
        return rows, cols

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
    def pads(self) -> bool:
        """Whether it adds pixels around the image that reaches it, which may be a part of another."""
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
    return warp_along([step for step, _ in steps], geometry_of(steps, image.shape), image, drawn=drawn, stored=stored)


def shapes_through(steps: Sequence[Geometric], image_shape: Sequence[int]) -> list[tuple[int, ...]]:
    """The shape of the image before each step, and after the last."""
    shapes = [tuple(image_shape)]
    for step in steps:
        height, width = shapes[-1][:2]
        shapes.append((*step.out_size((height, width)), *shapes[-1][2:]))
    return shapes


def geometry_of(steps: Steps, image_shape: Sequence[int]) -> Geometry | None:
    """That of several steps, the first acting first; None for the identity."""
    shapes = shapes_through([step for step, _ in steps], image_shape)
    matrices: list[jax.Array] = []
    windows = None
    for (step, params), shape in zip(steps, shapes, strict=False):
        if step.resizes:
            windows = _seen_through(matrices, step.windows(params, shape), image_shape)
        if not step.is_identity:
            matrices.append(step.matrix(params, shape))
    return Geometry(compose(*matrices), windows) if matrices else None


def _seen_through(
    matrices: Sequence[jax.Array], windows: tuple[Window, Window], image_shape: Sequence[int]
) -> tuple[Window, Window]:
    """Windows of what maps without rotation make of an image, as windows of the image itself."""
    if not matrices:
        return windows
    matrix, found = compose(*matrices), []
    for axis, window in enumerate(windows):
        ends = [rounded(matrix[axis, axis] * edge) + matrix[axis, 2] for edge in window]
        low, high = np.float32(-0.5), _last_edge(image_shape[axis])
        found.append(Window(*(jnp.clip(end, low, high) for end in (jnp.minimum(*ends), jnp.maximum(*ends)))))
    return found[0], found[1]


def _last_edge(side: Side) -> Any:
    return side.astype(np.float32) - np.float32(0.5) if isinstance(side, jax.Array) else np.float32(side - 0.5)


def same_size(size: Sequence[Side], other: Sequence[Side]) -> bool:
    """Whether both are equal, as far as that is known: a traced side is equal to itself alone."""
    return len(size) == len(other) and all(
        one is two or (is_static((one,)) and is_static((two,)) and one == two)
        for one, two in zip(size, other, strict=True)
    )


def warp_along(
    steps: Sequence[Geometric],
    geometry: Geometry | None,
    image: jax.Array | RaggedImage,
    *,
    drawn: bool,
    stored: StoredImage | None,
) -> jax.Array:
    """`apply_geometry` from what `geometry_of` found."""
    steps = [step for step in steps if not step.is_identity]
    if isinstance(image, RaggedImage):
        return _warp_ragged(steps, geometry, image)
    if geometry is None or not steps:
        return image
    border, order, antialias = joined_sampling(steps)
    dtype, fill = dtype_and_fill(steps, image.dtype)
    height, width, _ = shapes_through(steps, image.shape)[-1]
    sampling: dict[str, Any] = {"fill_mode": "nearest" if border is None else border[0], "cval": fill, "stored": stored}
    bounds = joined_bounds(steps, image.shape)
    if geometry.windows is not None and bounds is not None and _resizes_alone(steps):
        most, smooth = (bounds.linear[0][0], bounds.linear[1][1]), bool(antialias)
        size = (height, width)
        warped = resize_along(image, geometry.matrix, geometry.windows, size, most=most, antialias=smooth, **sampling)
        return warped.astype(dtype)
    bounds = bounds if drawn else None
    order = (1 if order is None else order) if _interpolate(steps) else 0
    if order and bounds is not None and bounds.is_whole:
        image = image.astype(arithmetic_dtype(image.dtype))  # pixels are only selected, and cval may be no integer
    warped = resample(image, geometry.matrix, order=order, bounds=bounds, size=(height, width), **sampling)
    return warped.astype(dtype)


def _warp_ragged(steps: Sequence[Geometric], geometry: Geometry | None, image: RaggedImage) -> jax.Array:
    """One of pictures of different sizes, whose bounds are those of the largest."""
    assert geometry is not None  # a step that fixes the size is not the identity
    border, order, antialias = joined_sampling(steps)
    dtype, fill = dtype_and_fill(steps, image.dtype)
    height, width, _ = shapes_through(steps, image.shape)[-1]
    sampling: dict[str, Any] = {"fill_mode": "nearest" if border is None else border[0], "cval": fill}
    bounds = joined_bounds(steps, image.most_shape, up_to=True)
    size = (height, width)
    if geometry.windows is not None and bounds is not None and _resizes_alone(steps):
        most, smooth = (bounds.linear[0][0], bounds.linear[1][1]), bool(antialias)
        resized = resize_along(image, geometry.matrix, geometry.windows, size, most=most, antialias=smooth, **sampling)
        return resized.astype(dtype)
    order = (1 if order is None else order) if _interpolate(steps) else 0
    return resample_ragged(image, geometry.matrix, order=order, size=size, **sampling).astype(dtype)


def _resizes_alone(steps: Sequence[Geometric]) -> bool:
    return joined_sampling(steps).order == 1 and all(map(keeps_axes, steps))


def keeps_axes(step: Geometric) -> bool:
    """Whether a step resizes, or takes whole pixels and looks no further than to the edges."""
    border, order, _ = step.sampling
    return step.resizes or (order is None and (border is None or border[0] in _AT_EDGES))


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


def joined_bounds(
    steps: Sequence[Geometric], image_shape: Sequence[int], *, up_to: bool = False
) -> MatrixBounds | None:
    """On every map of all steps together; None where they are unknown.

    Args:
        up_to: For images of at most this shape.
    """
    shapes = shapes_through(steps, image_shape)
    each = [
        step.bounds_up_to(shape) if up_to else step.bounds(shape) for step, shape in zip(steps, shapes, strict=False)
    ]
    known = [bounds for bounds in each if bounds is not None]
    return reduce(MatrixBounds.then, known) if len(known) == len(each) else None
