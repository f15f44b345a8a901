"""Several pictures of one example: several looks at it, or the frames that it consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_int
from .._keys import Key, as_key, shown_again
from ._chain import deterministic, is_plain_chain
from ._duck_typed import TransformLike, as_transform
from ._transform import Params, Transform, own_matrix

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num


class _Around(Transform):
    """What both share: a transform of one picture, for several."""

    transform: TransformLike

    is_outermost: ClassVar[bool] = True
    may_hold: ClassVar[tuple[str, ...]] = ()  # kinds that stand outermost too

    def __post_init__(self) -> None:
        inner = outermost(self.transform)
        if inner.is_outermost and inner.kind not in self.may_hold:
            raise ValueError(
                f"{type(self).__qualname__} got {type(inner).__qualname__}; expected a transform of one image. Write "
                f"{inner.outermost_form}."
            )
        object.__setattr__(self, "transform", as_transform(self.transform))
        super().__post_init__()

    @property
    def takes_any_rank(self) -> bool:  # type: ignore[override]
        return self._inner.takes_any_rank

    @property
    def _inner(self) -> Transform:
        return as_transform(self.transform)


def outermost(transform: TransformLike) -> Transform:
    """The transform, or what stands outermost and is the only step of a chain."""
    step = as_transform(transform)
    if is_plain_chain(step) and len(step.transforms) == 1 and step.transforms[0].is_outermost:
        return step.transforms[0]
    return step


@dataclass(frozen=True, eq=False)
class Views(_Around):
    """Several augmentations of each example, each with its own draws, for training that compares them.

    A leaf of a `Loader` comes out as (batch, n, height, width, channels). View v of an example that is shown for the
    first time in an epoch is what showing v of it would be; view 0 is the picture without `Views`.

    Args:
        transform: Of one image. `Views` stands around all of it, `Views(Chain(...), 2)`.
        n: How many looks.

    Returns (apply):
        The images, stacked along a new first axis. Params have that axis too.

    Raises:
        ValueError: If n is below 1. TypeError: For no transform.

    Source:
        The two views of Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Loader, Views
        >>> loader = Loader(np.zeros((6, 8, 8, 3), np.uint8), batch_size=2, augment=Views(Affine(rotation=15), 2))
        >>> loader.batch(jax.random.key(0), 0, 0).shape
        (2, 2, 8, 8, 3)
    """

    transform: TransformLike
    n: int

    kind: ClassVar[str] = "Views"
    outermost_form: ClassVar[str] = "Views(Chain(...), n)"
    may_hold: ClassVar[tuple[str, ...]] = ("Frames",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_int("n", self.n, 1, expected="at least 1 view"))
        super().__post_init__()

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Params:
        keys = jax.vmap(lambda view: shown_again(as_key(key), view))(jnp.arange(self.n, dtype=np.uint32))
        return jax.vmap(lambda own: self._inner.sample(own, image_shape))(keys)

    def apply(self, params: Params, image: Num[Array, ...]) -> Num[Array, "n ..."]:
        return jax.vmap(lambda own: self._inner.apply(own, jnp.asarray(image)), axis_size=self.n)(params)

    def matrix(self, params: Params, image_shape: tuple[int, ...]) -> Float[Array, "n 3 3"] | None:
        """Of each view, output to source in (row, col, 1)."""
        inner = own_matrix(self._inner)
        return None if inner is None else jax.vmap(lambda own: inner(own, image_shape), axis_size=self.n)(params)

    def without_randomness(self) -> Transform:
        return Views(deterministic(self.transform), self.n)


@dataclass(frozen=True, eq=False)
class Frames(_Around):
    """One draw for all frames of a clip, or all slices of a volume.

    Of a leaf (n, frames, height, width, channels) every frame gets what an image would.

    Args:
        transform: Of one frame. `Frames` stands around all of it, `Frames(Chain(...))`.

    Returns (apply):
        The frames, stacked along the first axis. Params are those of one image.

    Raises:
        TypeError: For no transform.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Frames, Loader
        >>> clips = np.zeros((6, 5, 8, 8, 3), np.uint8)
        >>> Loader(clips, batch_size=2, augment=Frames(Affine(rotation=15))).batch(jax.random.key(0), 0, 0).shape
        (2, 5, 8, 8, 3)
    """

    transform: TransformLike

    kind: ClassVar[str] = "Frames"
    outermost_form: ClassVar[str] = "Frames(Chain(...)), or Views(Frames(Chain(...)), n)"

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Params:
        return self._inner.sample(as_key(key), self._of_frame(image_shape))

    def apply(self, params: Params, image: Num[Array, "frames ..."]) -> Num[Array, "frames ..."]:
        images = jnp.asarray(image)
        self._of_frame(images.shape)
        return jax.vmap(lambda frame: self._inner.apply(params, frame))(images)

    def matrix(self, params: Params, image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
        """That of all frames, output to source in (row, col, 1)."""
        inner = own_matrix(self._inner)
        return None if inner is None else inner(params, self._of_frame(image_shape))

    def without_randomness(self) -> Transform:
        return Frames(deterministic(self.transform))

    def _of_frame(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) < 2:
            raise ValueError(f"Frames got an image of shape {shape}; expected (frames, height, width, channels).")
        return tuple(shape[1:])
