"""Steps that act on some of the images: where one does not, its parameters are those of the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._frozen_draws import checked_apply
from ._geometric import Geometric, Sampling, same_size
from ._groups import is_geometry
from ._linear_color import ColorMap, LinearColor, is_linear, mixes_channels
from ._tables import ByteFormula, ByteTable, Table, is_table
from ._transform import Params, PixelMap, Transform
from ._warp import MatrixBounds, Window, is_static, matrix_bounds

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float


class GatedParams(NamedTuple):
    """Whether a step acts, and its params."""

    is_on: Bool[Array, ""]
    params: Params


def _or_identity(bounds: MatrixBounds | None) -> MatrixBounds | None:
    return None if bounds is None else bounds.either(matrix_bounds(np.eye(2), (0, 0), is_whole=True))


def gated(part: Transform) -> Transform:
    """A part that acts where `GatedParams.is_on`, and joins the steps beside it as the part itself does."""
    if is_geometry(part):
        return GatedGeometry(part)
    if is_table(part):
        return GatedFormula(part) if isinstance(part, ByteFormula) else GatedTable(part)
    return GatedColor(part) if mixes_channels(part) else GatedPart(part)


class _Gated(Transform):
    """What all of them share; their draws are those of the step that made them."""

    inner: Transform

    @property
    def name_in_errors(self) -> str:
        return self.inner.name_in_errors

    @property
    def is_of_this_library(self) -> bool:
        return self.inner.is_of_this_library

    @property
    def _pixel_map(self) -> PixelMap | None:
        inner_map = self.inner._pixel_map
        if inner_map is None:
            return None

        def pixel_map(params: GatedParams, image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
            matrix = inner_map(params.params, image_shape)
            return None if matrix is None else jnp.where(params.is_on, matrix, jnp.eye(3, dtype=np.float32))

        return pixel_map


@dataclass(frozen=True, eq=False)
class GatedGeometry(_Gated, Geometric):
    inner: Geometric

    def matrix(self, params: GatedParams, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        self._check_keeps_size(image_shape)
        return jnp.where(params.is_on, self.inner.matrix(params.params, image_shape), jnp.eye(3, dtype=np.float32))

    def windows(self, params: GatedParams, image_shape: Sequence[int]) -> tuple[Window, Window]:
        own, whole = self.inner.windows(params.params, image_shape), super().windows(params, image_shape)
        rows, cols = (
            Window(*(jnp.where(params.is_on, edge, np.float32(other)) for edge, other in zip(*both, strict=True)))
            for both in zip(own, whole, strict=True)
        )
        return rows, cols

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.inner.out_size(size)

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        return _or_identity(self.inner.bounds(image_shape))

    def bounds_up_to(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        return _or_identity(self.inner.bounds_up_to(image_shape))

    def check_takes_any_size(self) -> None:
        self.inner.check_takes_any_size()
        unknown: Any = (object(), object())
        if is_static(self.inner.out_size(unknown)):
            name = self.name_in_errors
            raise ValueError(
                f"{name} brings them to one size, and where it does not act they keep their own; expected {name} "
                "outside, for all pictures, or Resize before it."
            )

    def _check_keeps_size(self, image_shape: Sequence[int]) -> None:
        height, width = image_shape[:2]
        size = self.inner.out_size((height, width))
        if not same_size(size, (height, width)):
            name = self.name_in_errors
            raise ValueError(
                f"{name} makes {size[0]} by {size[1]} of an image of {height} by {width}, and where it does not act "
                f"the image keeps its size; expected a step that keeps the size, as RandomResizedCrop(({height}, "
                f"{width})) does here, or {name} outside, for all images."
            )

    # The rest is static and that of the step.

    @property
    def resizes(self) -> bool:  # type: ignore[override]
        return self.inner.resizes

    @property
    def keeps_shape(self) -> bool:  # type: ignore[override]
        return self.inner.keeps_shape

    @property
    def sampling(self) -> Sampling:
        return self.inner.sampling

    @property
    def interpolates(self) -> bool:
        return self.inner.interpolates

    @property
    def looks_outside(self) -> bool:
        return self.inner.looks_outside

    @property
    def pads(self) -> bool:
        return self.inner.pads

    @property
    def is_identity(self) -> bool:
        return self.inner.is_identity


@dataclass(frozen=True, eq=False)
class GatedColor(_Gated, LinearColor):
    inner: LinearColor

    def after(self, before: ColorMap, params: GatedParams, means: jax.Array | None) -> ColorMap:
        own = self.inner.after(before, params.params, means)
        return ColorMap(*(jnp.where(params.is_on, new, old) for new, old in zip(own, before, strict=True)))

    @property
    def channels(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.inner.channels

    @property
    def needs_means(self) -> bool:  # type: ignore[override]
        return self.inner.needs_means

    @property
    def takes_any_rank(self) -> bool:  # type: ignore[override]
        return self.inner.takes_any_rank


class _GatedTable(_Gated, ByteTable):
    inner: ByteTable

    def acts(self, params: GatedParams) -> Bool[Array, ""]:
        return params.is_on & jnp.asarray(self.inner.acts(params.params))

    @property
    def needs_counts(self) -> bool:  # type: ignore[override]
        return self.inner.needs_counts

    @property
    def extremes_will_do(self) -> bool:  # type: ignore[override]
        return self.inner.extremes_will_do

    @property
    def is_monotone(self) -> bool:  # type: ignore[override]
        return self.inner.is_monotone

    @property
    def takes_any_rank(self) -> bool:  # type: ignore[override]
        return self.inner.takes_any_rank


@dataclass(frozen=True, eq=False)
class GatedTable(_GatedTable):
    inner: ByteTable

    def after(self, before: Table, params: GatedParams) -> Table:
        own = self.inner.after(before, params.params)
        return own._replace(values=jnp.where(params.is_on, own.values, before.values))


@dataclass(frozen=True, eq=False)
class GatedFormula(_GatedTable, ByteFormula):
    inner: ByteFormula

    def of(self, values: jax.Array, params: GatedParams) -> jax.Array:
        return jnp.where(params.is_on, self.inner.of(values, params.params), values)


@dataclass(frozen=True, eq=False)
class GatedPart(_Gated):
    """Any other step: it is run, and its result taken or not."""

    inner: Transform

    def __post_init__(self) -> None:
        for name in ("takes_any_rank", "keeps_shape", "moves_pixels", "keeps_dtype", "keeps_scale"):
            object.__setattr__(self, name, getattr(self.inner, name))
        for name in ("reads_all_channels", "reads_neighbours", "takes_bytes"):
            object.__setattr__(self, name, getattr(self.inner, name, False))
        super().__post_init__()

    def apply(self, params: GatedParams, image: jax.Array) -> jax.Array:
        result = checked_apply(self.inner, params.params, image)
        if result.shape != image.shape:
            name = self.name_in_errors
            raise ValueError(
                f"{name} makes {result.shape} of an image of shape {image.shape}, and where it does not act the image "
                "keeps its shape; expected one shape. Put what changes the shape outside."
            )
        dtype = common_dtype(result.dtype, image.dtype)
        return jnp.where(params.is_on, result.astype(dtype), image.astype(dtype))

    @property
    def is_scale_and_offset(self) -> bool:
        return is_linear(self.inner)

    def scale_and_offset(self, params: GatedParams) -> tuple[Any, Any]:
        scale, offset = self.inner.scale_and_offset(params.params)  # type: ignore[attr-defined]
        on, one, none = params.is_on, np.float32(1), np.float32(0)
        scale, offset = (jnp.asarray(part, np.float32) for part in (scale, offset))
        return jnp.where(on, scale, one), jnp.where(on, offset, none)


def common_dtype(*dtypes: np.dtype) -> np.dtype:
    """That of images of which any may be chosen: a float one if there is one, as arithmetic returns."""
    floats = [dtype for dtype in dtypes if jnp.issubdtype(dtype, np.floating)]
    with jax.numpy_dtype_promotion("standard"):
        return reduce(jnp.promote_types, floats or dtypes)
