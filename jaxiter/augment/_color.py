"""Steps that change how bright an image is, by a number drawn for each image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp

from .._fusion_barrier import computed_once
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._ranges import Range, as_bounds, between, centred_range, is_point, symmetric_range
from ._transform import Transform, in_arithmetic

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num

_NUM_SLOTS = 2  # the draw, and a spare so that the block is one whole pair of threefry words


@dataclass(frozen=True, eq=False)
class ChannelShift(Transform):
    """A random number added to the whole image, all channels alike; nothing is clipped.

    Args:
        range: In units of the data: r means [-r, r], a pair is taken as it is, an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the number itself.

    Raises:
        ValueError: For a negative r, a range in falling order, NaN or infinity.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> shift = ChannelShift((20, 20))
        >>> shift.apply(shift.sample(jax.random.key(0), (1, 2, 1)), jnp.zeros((1, 2, 1))).ravel().tolist()
        [20.0, 20.0]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "ChannelShift"
    takes_any_rank: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", symmetric_range("range", self.range))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0]))

    def apply(self, params: Float[Array, ""], image: Num[Array, ...]) -> Float[Array, ...]:
        return in_arithmetic(image, jnp.add, params)

    def scale_and_offset(self, params: Float[Array, ""]) -> tuple[float, Float[Array, ""]]:
        return 1.0, params

    @property
    def is_scale_and_offset(self) -> bool:
        return type(self).apply is ChannelShift.apply

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.range)) and type(self).sample is ChannelShift.sample else AsFloat()


@dataclass(frozen=True, eq=False)
class Brightness(Transform):
    """The image times a random factor; it never clips or quantises, so factor 1 is the identity on any range.

    Keras' brightness, which works in 8 bits, is in `jaxiter.keras`.

    Args:
        range: Factors: a pair is taken as it is, r means [max(0, 1 - r), 1 + r], an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the factor itself.

    Raises:
        ValueError: For a negative factor, a range in falling order, NaN or infinity.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> bright = Brightness((0.8, 1.2))
        >>> bool(0.8 <= bright.sample(jax.random.key(0), (1, 1, 1)) < 1.2)
        True
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Brightness"
    takes_any_rank: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", centred_range("range", self.range, least=0.0))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0], centre=1.0))

    def apply(self, params: Float[Array, ""], image: Num[Array, ...]) -> Float[Array, ...]:
        return in_arithmetic(image, jnp.multiply, params)

    def scale_and_offset(self, params: Float[Array, ""]) -> tuple[Float[Array, ""], float]:
        return params, 0.0

    @property
    def is_scale_and_offset(self) -> bool:
        return type(self).apply is Brightness.apply

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.range)) and type(self).sample is Brightness.sample else AsFloat()
