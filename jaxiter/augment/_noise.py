"""Normal numbers added to a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import computed_once
from .._keys import Key, words, wrap_key_data
from .._transfers import transfers
from ._cast import AsFloat
from ._ranges import Range, as_bounds, own_number, own_range
from ._transform import Transform, in_arithmetic

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num, UInt32

_NUM_SLOTS = 4  # the standard deviation, a spare, and two words


class NoiseParams(NamedTuple):
    """What `Noise` draws for an example: the deviation, and a key from which the numbers follow."""

    std: Float[Array, ""]
    key: UInt32[Array, 2]  # the words of a threefry key


@dataclass(frozen=True, eq=False)
class Noise(Transform):
    """Normal numbers of mean 0 added, one for each pixel and channel; nothing is clipped.

    Args:
        std: Their standard deviation, in units of the data: a number is taken as it is, a pair is a range, an array is
            traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are a `NoiseParams` of two small arrays, of which
        the numbers are made. They are the same on every device to a few units of the last place.

    Raises:
        ValueError: For a negative std, a range in falling order, NaN or infinity.

    Source:
        torchvision's `GaussianNoise`, without its clip; Giles, "Approximating the erfinv function", GPU Computing Gems
        2011, by JAX.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Noise
        >>> noise, image = Noise(5), jnp.zeros((100, 100, 3), jnp.uint8)
        >>> round(float(noise.apply(noise.sample(jax.random.key(0), image.shape), image).std()), 1)
        5.0
    """

    std: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Noise"
    takes_any_rank: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", own_range("std", self.std))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> NoiseParams:
        drawn = computed_once(words(key, _NUM_SLOTS))
        uniform = (drawn[0] >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
        return NoiseParams(computed_once(own_number(as_bounds(self.std), uniform)), drawn[2:])

    def apply(self, params: NoiseParams, image: Num[Array, ...]) -> Float[Array, ...]:
        std, key = params

        def noisy(image: jax.Array, std: jax.Array) -> jax.Array:
            return image + std * _normal(key, image.shape).astype(image.dtype)

        return in_arithmetic(image, noisy, std)

    def without_randomness(self) -> Transform:
        return AsFloat()


def _normal(key: UInt32[Array, 2], shape: tuple[int, ...]) -> jax.Array:
    """Normal numbers of mean 0 and standard deviation 1, float32, at most 5.42 from 0."""
    count = math.prod(shape)
    drawn = words(wrap_key_data(jnp.asarray(key)), count + count % 2)[:count]
    # Odd multiples of 2**-24 in (-1, 1), which float32 holds, so that both tails are alike and none is infinite.
    odd = (drawn >> np.uint32(8)).astype(np.int32) * np.int32(2) - np.int32(2**24 - 1)
    uniform = odd.astype(np.float32) * np.float32(2**-24)
    return (np.float32(math.sqrt(2)) * jax.lax.erf_inv(uniform)).reshape(shape)
