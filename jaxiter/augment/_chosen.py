"""One of several steps that change the shape of an image, all to the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ._gated import common_dtype
from ._geometric import Geometric, Sampling, geometry_of, joined_bounds, keeps_axes, same_size, shapes_through
from ._groups import is_geometry
from ._run import Steps
from ._transform import Params, PixelMap, Transform
from ._warp import MatrixBounds, Window

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def chosen_of(steps: Sequence[Transform]) -> Transform:
    """One map, if all are maps whose samplings agree; else a part that runs all of them."""
    choices = tuple(step.parts for step in steps)
    sampling: Sampling | None = Sampling()
    for part in (part for parts in choices for part in parts):
        if sampling is not None:
            sampling = sampling.joined(part.sampling) if is_geometry(part) else None
    return ChosenPart(tuple(steps)) if sampling is None else ChosenGeometry(tuple(steps))


@dataclass(frozen=True, eq=False)
class ChosenGeometry(Geometric):
    """Params are those of `OneOf`."""

    choices: tuple[Transform, ...]

    @property
    def name_in_errors(self) -> str:
        return "OneOf"

    def matrix(self, params: Any, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        self._check_sizes(image_shape)
        found = [geometry_of(steps, image_shape) for steps in self._drawn(params)]
        identity = jnp.eye(3, dtype=np.float32)
        return _select(params.choice, [identity if one is None else one.matrix for one in found])

    def windows(self, params: Any, image_shape: Sequence[int]) -> tuple[Window, Window]:
        whole, found = super().windows(params, image_shape), []
        for steps in self._drawn(params):
            geometry = geometry_of(steps, image_shape)
            found.append(whole if geometry is None or geometry.windows is None else geometry.windows)

        def chosen(edges: Sequence[Any]) -> jax.Array:
            return _select(params.choice, [jnp.float32(edge) for edge in edges])

        rows, cols = (Window(*map(chosen, zip(*axis, strict=True))) for axis in zip(*found, strict=True))
        return rows, cols

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = shapes_through(self._parts[0], size)[-1]
        return height, width

    def check_takes_any_size(self) -> None:
        unknown = (object(), object())
        sizes: list[Any] = []
        for parts in self._parts:
            size: Any = unknown
            for part in parts:
                if size is unknown:
                    part.check_takes_any_size()
                size = part.out_size(size)
            sizes.append(size)
        if len({id(size) if size is unknown else size for size in sizes}) > 1:
            raise ValueError("OneOf has choices that make different sizes of them; expected one size for all choices.")

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        return self._bounds(image_shape, up_to=False)

    def bounds_up_to(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        return self._bounds(image_shape, up_to=True)

    def _bounds(self, image_shape: Sequence[int], *, up_to: bool) -> MatrixBounds | None:
        each = [joined_bounds(parts, image_shape, up_to=up_to) for parts in self._parts]
        known = [bounds for bounds in each if bounds is not None]
        return reduce(MatrixBounds.either, known) if len(known) == len(each) else None

    @property
    def resizes(self) -> bool:  # type: ignore[override]
        parts = [part for parts in self._parts for part in parts]
        return any(part.resizes for part in parts) and all(map(keeps_axes, parts))

    @property
    def sampling(self) -> Sampling:
        found: Sampling | None = Sampling()
        for part in (part for parts in self._parts for part in parts):
            assert found is not None  # as `chosen_of` saw to
            found = found.joined(part.sampling)
        assert found is not None
        return found

    @property
    def interpolates(self) -> bool:
        return any(part.interpolates for parts in self._parts for part in parts)

    @property
    def looks_outside(self) -> bool:
        return any(part.looks_outside for parts in self._parts for part in parts)

    @property
    def pads(self) -> bool:
        return any(part.pads for parts in self._parts for part in parts)

    @property
    def _parts(self) -> list[list[Geometric]]:
        return [[part for part in step.parts if is_geometry(part)] for step in self.choices]

    def _drawn(self, params: Any) -> list[list[tuple[Geometric, Params]]]:
        own = [step.params_of_parts(drawn) for step, drawn in zip(self.choices, params.params, strict=True)]
        return [list(zip(parts, drawn, strict=True)) for parts, drawn in zip(self._parts, own, strict=True)]

    def _check_sizes(self, image_shape: Sequence[int]) -> None:
        sizes = [shapes_through(parts, image_shape)[-1] for parts in self._parts]
        _check_one_shape(self.choices, sizes, image_shape)


@dataclass(frozen=True, eq=False)
class ChosenPart(Transform):
    """Runs all, and takes one. Params are those of `OneOf`."""

    choices: tuple[Transform, ...]

    @property
    def name_in_errors(self) -> str:
        """That of a step of a user's in it, whose doings are not known."""
        parts = (part for step in self.choices for part in step.parts)
        return next((part.name_in_errors for part in parts if not part.is_of_this_library), "OneOf")

    def apply(self, params: Any, image: jax.Array) -> jax.Array:
        each = zip(self.choices, params.params, strict=True)
        results = [Steps((step,)).run(image, params=(drawn,)).image for step, drawn in each]
        _check_one_shape(self.choices, [result.shape for result in results], image.shape)
        dtype = common_dtype(*(result.dtype for result in results))
        return _select(params.choice, [result.astype(dtype) for result in results])

    @property
    def keeps_scale(self) -> bool:  # type: ignore[override]
        return all(part.keeps_scale for step in self.choices for part in step.parts)

    @property
    def is_of_this_library(self) -> bool:
        return all(part.is_of_this_library for step in self.choices for part in step.parts)

    @property
    def _pixel_map(self) -> PixelMap:
        def pixel_map(params: Any, image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
            each = zip(self.choices, params.params, strict=True)
            matrices = [Steps((step,)).matrix((drawn,), image_shape) for step, drawn in each]
            known = [matrix for matrix in matrices if matrix is not None]
            return _select(params.choice, known) if len(known) == len(matrices) else None

        return pixel_map


def _select(choice: jax.Array, values: Sequence[jax.Array]) -> jax.Array:
    found = values[0]
    for number, value in enumerate(values[1:], 1):
        found = jnp.where(choice == np.int32(number), value, found)
    return found


def _check_one_shape(choices: Sequence[Transform], shapes: Sequence[Sequence[int]], image_shape: Sequence[int]) -> None:
    for step, shape in zip(choices, shapes, strict=True):
        if not same_size(shape, shapes[0]):
            first, other = (choice.name_in_errors for choice in (choices[0], step))
            raise ValueError(
                f"OneOf of {first} and {other} makes {tuple(shapes[0])} or {tuple(shape)} of an image of shape "
                f"{tuple(image_shape)}; expected one shape. Give all choices one size."
            )
