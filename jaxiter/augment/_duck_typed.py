"""What counts as a transform: a `Transform`, or an object with `sample` and `apply`, which is wrapped in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeGuard

import jax

from .._describe import shown
from ._transform import Params, PixelMap, Transform, own_matrix, speaks_for


class SamplesAndApplies(Protocol):
    """What an object has that is taken for a transform."""

    def sample(self, key: jax.Array, image_shape: tuple[int, ...], /) -> Params: ...
    def apply(self, params: Params, image: jax.Array, /) -> jax.Array: ...


TransformLike: TypeAlias = Transform | SamplesAndApplies


def is_transform(value: object) -> TypeGuard[TransformLike]:
    return isinstance(value, Transform) or (
        callable(getattr(value, "sample", None)) and callable(getattr(value, "apply", None))
    )


def is_transform_or_none(node: object) -> bool:
    """Whether a node of a tree of transforms is a leaf."""
    return node is None or is_transform(node)


def as_transform(value: object) -> Transform:
    """Returns a `Transform` unchanged, wraps an object with `sample` and `apply`, and refuses anything else."""
    if isinstance(value, Transform):
        return value
    if isinstance(value, type) or not is_transform(value):
        remedy = "wrap a function in Map(function)" if callable(value) else "see jaxiter.Transform"
        remedy = f"make one, {value.__qualname__}(...)" if isinstance(value, type) else remedy
        remedy = "of a list give its entries, as Chain(*steps)" if isinstance(value, (list, tuple)) else remedy
        raise TypeError(
            f"{shown(value)} is no transform; expected sample(key, image_shape) and apply(params, image): {remedy}."
        )
    return DuckTyped(value)


@dataclass(frozen=True, eq=False)
class DuckTyped(Transform):
    """A user's object with `sample` and `apply` that is no `Transform`."""

    inner: SamplesAndApplies

    def __post_init__(self) -> None:
        owner = type(self.inner)
        object.__setattr__(self, "kind", getattr(self.inner, "kind", f"{owner.__module__}.{owner.__qualname__}"))
        object.__setattr__(self, "draws", getattr(self.inner, "draws", None))
        object.__setattr__(self, "takes_any_rank", bool(getattr(self.inner, "takes_any_rank", False)))
        object.__setattr__(self, "keeps_shape", _says(self.inner, "keeps_shape", default=False))
        object.__setattr__(self, "moves_pixels", _says(self.inner, "moves_pixels", default=True))

    def sample(self, key: jax.Array, image_shape: tuple[int, ...]) -> Params:
        return self.inner.sample(key, image_shape)

    def apply(self, params: Params, image: jax.Array) -> jax.Array:
        return self.inner.apply(params, image)

    @property
    def name_in_errors(self) -> str:
        return type(self.inner).__qualname__

    @property
    def is_of_this_library(self) -> bool:
        return False

    def without_randomness(self) -> Transform | None:
        found = self.inner.without_randomness() if self.says_what_is_left else None  # type: ignore[attr-defined]
        return None if found is None else as_transform(found)

    @property
    def says_what_is_left(self) -> bool:
        """Whether it defines `without_randomness`; one that it forwards to another object speaks for that alone."""
        name = "without_randomness"
        owner = self.inner if name in getattr(self.inner, "__dict__", {}) else type(self.inner)
        return callable(getattr(owner, name, None))

    @property
    def _pixel_map(self) -> PixelMap | None:
        return own_matrix(self.inner) if self.moves_pixels else super()._pixel_map


def _says(value: object, name: str, *, default: bool) -> bool:
    """A flag of an object; that of a parent class, or of an object that it forwards to, speaks for their `apply`."""
    if name in getattr(value, "__dict__", {}):
        return bool(vars(value)[name])
    is_own = hasattr(type(value), name) and speaks_for(type(value), name, "apply")
    return bool(getattr(value, name)) if is_own else default


def user_object(step: Transform) -> object:
    """The step, or the user's object in it."""
    return step.inner if isinstance(step, DuckTyped) else step
