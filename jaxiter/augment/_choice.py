"""Steps of which an image gets some: what is drawn are parameters, and every image runs through one program."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from operator import and_
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._keys import Key, uniforms
from .._transfers import transfers
from ._chosen import chosen_of
from ._composite import Composite
from ._crop import random_place
from ._duck_typed import TransformLike, as_transform
from ._evaluation import LeftOut, for_evaluation
from ._gated import GatedParams, gated
from ._looks import outermost
from ._ranges import probability
from ._tables import takes_bytes
from ._transform import Params, Transform

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Int32

_NUM_SLOTS = 2  # the draw, and a spare


class SometimesParams(NamedTuple):
    """Whether the step acts, and its params, which are drawn for all images."""

    is_on: Bool[Array, ""]
    params: Params


class OneOfParams(NamedTuple):
    """Which transform acts, counted from 0, and the params of all of them."""

    choice: Int32[Array, ""]
    params: tuple[Params, ...]


class _Choice(Composite):
    """What both share: all that is static follows from the steps that they hold."""

    def __post_init__(self) -> None:
        for inner in map(outermost, self.held):
            if inner.is_outermost:
                raise ValueError(
                    f"{type(self).__qualname__} holds {type(inner).__qualname__}, which stands outermost: "
                    f"{inner.outermost_form}."
                )
        super().__post_init__()

    @property
    def takes_any_rank(self) -> bool:  # type: ignore[override]
        return all(step.takes_any_rank for step in self.held)

    @property
    def keeps_shape(self) -> bool:  # type: ignore[override]
        return all(step.keeps_shape for step in self.held)

    @property
    def keeps_scale(self) -> bool:  # type: ignore[override]
        return all(part.keeps_scale for step in self.held for part in step.parts)

    @property
    def is_random(self) -> bool:
        return True

    @property
    def holds_in_turn(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class Sometimes(_Choice):
    """A transform for some of the images, drawn at random; the others stay as they are.

    Geometry and colours inside join the steps beside it as they would without it: the map of an image that stays is the
    identity, at orders 2 to 5 to a rounding. Any other step is run for all images, and its result taken for some. What
    is inside draws as it does without `Sometimes` around it.

    Args:
        p: The probability of it: True is one half, an array is traced.
        transform: One that keeps the shape of the image; a `Chain` acts as a whole.
        draws: Names the draw of whether, see `Transform`.

    Returns (apply):
        The dtype that the transform returns, if that is a float, for all images alike. Params are `is_on` and the
        `params` of the transform.

    Raises:
        ValueError: For a probability outside [0, 1]; when applied, if the transform changes the shape.

    Source:
        torchvision's RandomApply.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Affine, Sometimes
        >>> aug = Sometimes(0.5, Affine(rotation=(90, 90)))
        >>> keys, images = jax.random.split(jax.random.key(0), 100), jnp.zeros((100, 4, 4, 1)).at[:, 0, 0].set(1)
        >>> turned = jax.vmap(lambda key, image: aug.apply(aug.sample(key, image.shape), image))(keys, images)
        >>> int(turned[:, 0, 0].sum()), int(turned[:, 3, 0].sum())
        (47, 53)
    """

    p: ArrayLike
    transform: TransformLike
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Sometimes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability("p", self.p))
        object.__setattr__(self, "transform", as_transform(self.transform))
        super().__post_init__()

    @property
    def held(self) -> tuple[Transform, ...]:
        return (as_transform(self.transform),)

    @transfers
    def sample_own(self, key: Key, image_shape: tuple[int, ...]) -> Bool[Array, ""]:
        return uniforms(key, _NUM_SLOTS)[0] < jnp.asarray(self.p, np.float32)

    def with_held(self, own: Params, held: tuple[Params, ...]) -> SometimesParams:
        return SometimesParams(own, held[0])

    @property
    def parts(self) -> tuple[Transform, ...]:
        parts = self.held[0].parts
        return parts if self._always_acts else tuple(map(gated, parts))

    @property
    def _always_acts(self) -> bool:
        return isinstance(self.p, float) and self.p == 1.0

    def params_of_parts(self, params: SometimesParams) -> tuple[Params, ...]:
        if self._always_acts:
            return self.held[0].params_of_parts(params.params)
        return tuple(GatedParams(params.is_on, drawn) for drawn in self.held[0].params_of_parts(params.params))

    def without_randomness(self) -> Transform | None:
        """What is inside, if it always acts."""
        if self._always_acts:
            return for_evaluation(self.held[0])
        return LeftOut(self)


class OneOf(_Choice):
    """One of several transforms for each image, all equally likely.

    Where all keep the shape, geometry and colours inside join the steps beside it: one map and one resampling serve all
    images, whichever of the maps was drawn. Any other step is run for all images, and its result taken for some.

    Args:
        *transforms: At least one; a `Chain` acts as a whole. All return images of one shape.
        draws: Names the draw of which, see `Transform`.

    Returns (apply):
        The dtype that they return, a float if one of them returns floats. Params are the number of the `choice`, int32,
        and the `params` of all.

    Raises:
        ValueError: Without a transform; when applied, if their shapes differ.

    Source:
        torchvision's RandomChoice.

    Example:
        >>> import jax
        >>> from jaxiter import Affine, OneOf
        >>> either = OneOf(Affine(horizontal_flip=1.0), Affine(vertical_flip=1.0))
        >>> keys = jax.random.split(jax.random.key(0), 1000)
        >>> int(jax.vmap(lambda key: either.sample(key, (4, 4, 1)).choice)(keys).sum())
        502
    """

    kind: ClassVar[str] = "OneOf"

    transforms: tuple[Transform, ...]

    def __init__(self, *transforms: TransformLike, draws: str | None = None):
        if not transforms:
            raise ValueError("OneOf got no transform; expected at least one, OneOf(first, second).")
        object.__setattr__(self, "transforms", tuple(map(as_transform, transforms)))
        object.__setattr__(self, "draws", draws)
        super().__post_init__()

    def __repr__(self) -> str:
        named = [] if self.draws is None else [f"draws={self.draws!r}"]
        return f"OneOf({', '.join([*map(repr, self.transforms), *named])})"

    @property
    def held(self) -> tuple[Transform, ...]:
        return self.transforms

    @transfers
    def sample_own(self, key: Key, image_shape: tuple[int, ...]) -> Int32[Array, ""]:
        return random_place(uniforms(key, _NUM_SLOTS)[0], len(self.transforms))

    def with_held(self, own: Params, held: tuple[Params, ...]) -> OneOfParams:
        return OneOfParams(own, held)

    @property
    def parts(self) -> tuple[Transform, ...]:
        if self._acts_in_turn:
            return tuple(gated(part) for step in self.transforms for part in step.parts)
        return (chosen_of(self.transforms),)

    def params_of_parts(self, params: OneOfParams) -> tuple[Params, ...]:
        if not self._acts_in_turn:
            return (params,)
        each = zip(self.transforms, params.params, strict=True)
        return tuple(
            GatedParams(params.choice == np.int32(number), drawn)
            for number, (step, own) in enumerate(each)
            for drawn in step.params_of_parts(own)
        )

    @property
    def _acts_in_turn(self) -> bool:
        """Whether one after the other is given the image, and all but one leave it as it is.

        A step that takes bytes may not stand behind a choice that leaves their scale.
        """
        parts = [part for step in self.transforms for part in step.parts]
        on_scale = list(accumulate((part.keeps_scale for part in parts), and_, initial=True))
        fits = (stays or not takes_bytes(part) for part, stays in zip(parts, on_scale, strict=False))
        return all(part.keeps_shape for part in parts) and all(fits)

    def without_randomness(self) -> Transform | None:
        return LeftOut(self)
