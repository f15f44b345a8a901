"""Rectangles of a picture, replaced by one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_not_forked, check_not_masked
from .._fusion_barrier import fusion_barrier
from .._keys import Key, uniforms
from .._transfers import transfers
from ._crop import Size, random_place
from ._ranges import probability
from ._transform import Transform, frozen_value
from ._warp import as_image_size, check_image_shape, fill_value
from ._windows import ATTEMPTS, first_fit, rising_pair

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Int32, Num


class Rectangle(NamedTuple):
    """The part that is replaced, in pixels; what lies outside the picture counts for nothing."""

    top: Int32[Array, ""]
    left: Int32[Array, ""]
    height: Int32[Array, ""]  # 0 where nothing is
    width: Int32[Array, ""]


class _Replaces(Transform):
    """What both share: they select, and so keep the dtype."""

    value: float | tuple[float, ...]

    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_dtype: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", frozen_value(self.value))
        check_finite("value", self.value)
        super().__post_init__()

    @transfers
    def apply(self, params: Rectangle, image: ArrayLike) -> Num[Array, "height width channels"]:
        check_not_forked()
        check_not_masked("image", image)
        image = jnp.asarray(image)
        check_image_shape("image", image.shape)
        if np.ndim(self.value) and np.shape(self.value) != image.shape[-1:]:
            raise ValueError(
                f"value has shape {np.shape(self.value)}; expected a number, or one for each of {image.shape[-1]} "
                "channels."
            )
        value = jnp.asarray(fill_value(cast("ArrayLike", self.value), image.dtype, name="value"))

        def is_within(axis: int) -> jax.Array:
            first, length = params[axis], params[2 + axis]
            place = jnp.arange(image.shape[axis], dtype=np.int32)
            return (place >= first) & (place < first + length)

        def lines() -> tuple[jax.Array, jax.Array]:
            return is_within(0)[:, None, None], jnp.broadcast_to(is_within(1)[:, None], image.shape[1:])[None]

        # A line of values, and not of pixels, made beforehand: or the loop of what made the picture takes no vectors.
        rows, cols = fusion_barrier(lines) if isinstance(image, jax.core.Tracer) else lines()
        return jnp.where(rows & cols, value, image)


@dataclass(frozen=True, eq=False)
class Erase(_Replaces):
    """A rectangle of random area and ratio, at a random place of some of the images, replaced by one value.

    An area and a ratio are drawn until a rectangle of them fits, ten times at most; then the picture stays.

    Args:
        p: The probability of it: True is one half, an array is traced.
        scale: Area as a share of the picture's, (low, high) with 0 < low <= high.
        ratio: Height over width, (low, high); it is drawn evenly on a scale of logarithms.
        value: A number, or one for each channel, which the dtype of the image has to hold.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        An image of the same shape and dtype. Params are `top`, `left`, `height`, `width` in pixels, int32; the height
        is 0 where nothing is erased.

    Raises:
        ValueError: For a probability outside [0, 1], scale or ratio that are no rising pair above 0, or, when applied,
            a value that the dtype cannot hold.

    Source:
        Zhong et al., "Random Erasing Data Augmentation", 2017, in the form of torchvision's RandomErasing.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Erase
        >>> erase = Erase(1.0, scale=(0.25, 0.25), ratio=(1, 1), value=7)
        >>> params = erase.sample(jax.random.key(0), (4, 4, 1))
        >>> int((erase.apply(params, jnp.zeros((4, 4, 1), jnp.uint8)) == 7).sum())
        4
    """

    p: ArrayLike = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float | tuple[float, ...] = 0.0
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Erase"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability("p", self.p))
        for name in ("scale", "ratio"):
            object.__setattr__(self, name, rising_pair(name, getattr(self, name)))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> Rectangle:
        check_image_shape("image_shape", image_shape)
        height, width = image_shape[:2]
        drawn = uniforms(key, 2 * ATTEMPTS + 4)  # a place, whether, and a spare
        # Its ratio is height over width, that of the windows the other way round; it may be no whole side.
        most, area = (width - 1, height - 1), height * width
        (own_width, own_height), _ = first_fit(drawn, most, area, self.scale, self.ratio, otherwise=(0, 0))
        top = random_place(drawn[2 * ATTEMPTS], np.int32(height + 1) - own_height)
        left = random_place(drawn[2 * ATTEMPTS + 1], np.int32(width + 1) - own_width)
        is_on = drawn[2 * ATTEMPTS + 2] < jnp.asarray(self.p, np.float32)
        return Rectangle(top, left, jnp.where(is_on, own_height, np.int32(0)), own_width)

    def without_randomness(self) -> Transform | None:
        return None


@dataclass(frozen=True, eq=False)
class Cutout(_Replaces):
    """A rectangle of one size about a random pixel, replaced by one value; at the edges it lies partly outside.

    Args:
        size: (height, width), or one number for a square.
        value: A number, or one for each channel, which the dtype of the image has to hold.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        An image of the same shape and dtype. Params are `top`, `left`, `height`, `width` in pixels, int32; the first
        two may be below 0.

    Raises:
        ValueError: If size is no pair of positive integers, or, when applied, for a value that the dtype cannot hold.

    Source:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Cutout
        >>> cutout = Cutout(2, value=5)
        >>> cutout.apply(cutout.sample(jax.random.key(0), (2, 3, 1)), jnp.zeros((2, 3, 1)))[..., 0].tolist()
        [[0.0, 5.0, 5.0], [0.0, 0.0, 0.0]]
    """

    size: Size
    value: float | tuple[float, ...] = 0.0
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Cutout"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_image_size("size", self.size))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> Rectangle:
        check_image_shape("image_shape", image_shape)
        drawn, (rows, cols) = uniforms(key, 2), cast("tuple[int, int]", self.size)
        top, left = (
            random_place(drawn[axis], image_shape[axis]) - np.int32(length // 2)
            for axis, length in enumerate((rows, cols))
        )
        return Rectangle(top, left, jnp.int32(rows), jnp.int32(cols))

    def without_randomness(self) -> Transform | None:
        return None
