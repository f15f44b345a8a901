"""Steps that make a pixel of those around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._describe import described
from .._fusion_barrier import computed_once, fusion_barrier
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._ranges import Range, as_bounds, between, centred_range, is_point, own_range
from ._rounded import exponential, rounded
from ._transform import Transform, in_arithmetic
from ._warp import check_image_shape

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Num

_NUM_SLOTS = 2  # the draw, and a spare
_MOST_SIGMA = 32  # beyond, a program of a pixel's neighbours takes seconds to compile


@dataclass(frozen=True, eq=False)
class Sharpness(Transform):
    """The picture blended by a random factor with a smooth one: means of 3 x 3 pixels, the middle counted 5 times.

    Nothing is rounded or clipped. The outermost pixels stay, and so do pictures of fewer than 3 rows or columns.

    Args:
        range: Factors, 0 is the smooth picture, 1 the picture, and beyond it is sharper: r means [max(0, 1 - r),
            1 + r], a pair is taken as it is, an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the factor itself.

    Raises:
        ValueError: For a negative factor, a range in falling order, NaN or infinity; when applied, for another shape
            than (height, width, channels).

    Source:
        Pillow's `ImageEnhance.Sharpness`, with a smooth picture that is not rounded.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Sharpness
        >>> image = jnp.zeros((3, 3, 1)).at[1, 1].set(13.0)
        >>> Sharpness((0, 0)).apply(jnp.float32(0), image)[1].ravel().tolist()
        [0.0, 5.0, 0.0]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Sharpness"
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = True
    reads_neighbours: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", centred_range("range", self.range, least=0.0))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0], centre=1.0))

    def apply(
        self, params: Float[Array, ""], image: Num[Array, "height width channels"]
    ) -> Float[Array, "height width channels"]:
        check_image_shape("image", jnp.shape(image))
        return in_arithmetic(image, _sharpened, params)

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.range)) and type(self).sample is Sharpness.sample else AsFloat()


def _sharpened(image: jax.Array, factor: jax.Array) -> jax.Array:
    """A float picture blended with a smooth one by a factor, 1 for the picture itself."""
    height, width, channels = image.shape
    if height < 3 or width < 3:
        return image
    # Of rows of numbers, as an axis of three channels fills no vector. What is made of the padding is not kept.
    wider = jnp.pad(computed_once(image), ((1, 1), (1, 1), (0, 0))).reshape(height + 2, -1)
    by_rows = wider[:-2] + wider[1:-1] + wider[2:]
    total = by_rows[:, : -2 * channels] + by_rows[:, channels:-channels] + by_rows[:, 2 * channels :]
    own = wider[1:-1, channels:-channels]
    smooth = (total + own * own.dtype.type(4)) / own.dtype.type(13)
    return jnp.where(outermost(image.shape), own, smooth + factor * (own - smooth)).reshape(image.shape)


def outermost(shape: tuple[int, ...]) -> Bool[np.ndarray, "height row"]:
    """Which numbers of the rows of a picture, all channels in one, are those of its outermost pixels."""
    height, width, channels = shape
    rows, cols = np.arange(height)[:, None], np.arange(width * channels)[None] // channels
    found: np.ndarray = (rows == 0) | (rows == height - 1) | (cols == 0) | (cols == width - 1)
    return found


@dataclass(frozen=True, eq=False)
class Blur(Transform):
    """A Gaussian blur, the picture mirrored about its outermost pixels.

    Args:
        sigma: In pixels, at most 32, and 0 changes nothing: a number is taken as it is, a pair is a range. Pixels as
            far as 4 times the largest sigma count.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are sigma itself, at most the largest of the
            range.

    Raises:
        TypeError: For an array, as the size of the program depends on the largest sigma.
        ValueError: For a sigma outside [0, 32], a range in falling order or NaN; when applied, for another shape than
            (height, width, channels).

    Source:
        SciPy's `gaussian_filter(mode="mirror")`; torchvision's `gaussian_blur`, with a kernel that is wide enough.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Blur
        >>> image = jnp.zeros((1, 5, 1)).at[0, 2].set(1000.0)
        >>> Blur(0.5).apply(jnp.float32(0.5), image).round().ravel().tolist()
        [1.0, 106.0, 787.0, 106.0, 1.0]
    """

    sigma: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Blur"
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = True
    reads_neighbours: ClassVar[bool] = True

    def __post_init__(self) -> None:
        bounds = own_range("sigma", self.sigma, most=_MOST_SIGMA)
        if not isinstance(bounds, tuple):
            raise TypeError(
                f"sigma is {described(self.sigma)}; expected a number or a pair of numbers: how many pixels "
                "count depends on it, so that it cannot be traced. Pass float(sigma)."
            )
        object.__setattr__(self, "sigma", bounds)
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.sigma), uniforms(key, _NUM_SLOTS)[0]))

    def apply(
        self, params: Float[Array, ""], image: Num[Array, "height width channels"]
    ) -> Float[Array, "height width channels"]:
        check_image_shape("image", jnp.shape(image))
        bounds: Any = as_bounds(self.sigma)
        reach = math.ceil(4 * bounds[1])
        return in_arithmetic(image, lambda image, sigma: _blurred(image, sigma, reach), params)

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.sigma)) and type(self).sample is Blur.sample else AsFloat()


def _blurred(image: jax.Array, sigma: jax.Array, reach: int) -> jax.Array:
    if image.size == 0 or reach == 0:
        return image

    def apart(function: Callable[[], jax.Array]) -> jax.Array:
        # Without a program around it a barrier would be compiled anew.
        return computed_once(fusion_barrier(function) if isinstance(image, jax.core.Tracer) else function())

    # Fused, the second pass would do the first again for each pixel that it reads, and read the padding by its indices.
    shape = image.shape
    weights = apart(lambda: _weights(sigma.astype(np.float32), reach).astype(image.dtype))
    wider = apart(lambda: jnp.pad(image, ((reach, reach), (0, 0), (0, 0)), mode="reflect").reshape(-1, image[0].size))
    image = apart(lambda: _weighted(wider, weights, reach, axis=0, step=1)).reshape(shape)
    wider = apart(lambda: jnp.pad(image, ((0, 0), (reach, reach), (0, 0)), mode="reflect").reshape(shape[0], -1))
    return _weighted(wider, weights, reach, axis=1, step=shape[2]).reshape(shape)


def _weighted(wider: jax.Array, weights: jax.Array, reach: int, *, axis: int, step: int) -> jax.Array:
    """Each pixel and those up to `reach` around it, `step` numbers apart. Each sum has one product."""
    length = wider.shape[axis] - 2 * reach * step

    def shifted(distance: int) -> jax.Array:
        start = (reach + distance) * step
        return jax.lax.slice_in_dim(wider, start, start + length, axis=axis)

    parts = ((shifted(-distance) + shifted(distance)) * weights[distance] for distance in range(1, reach + 1))
    return reduce(add, parts, shifted(0) * weights[0])


def _weights(sigma: jax.Array, reach: int) -> jax.Array:
    """Of a pixel itself and of those 1 to `reach` pixels away, on either side."""
    ratio = np.arange(reach + 1, dtype=np.float32) / jnp.maximum(sigma, np.float32(1e-6))
    exponent = rounded(ratio * ratio) * np.float32(-0.5)
    # What is below e**-80 is 0 beside the weight 1 of the pixel itself, and so leaves all as it is where sigma is 0.
    weights = jnp.where(exponent < -80, np.float32(0), exponential(jnp.maximum(exponent, np.float32(-80))))
    total = reduce(add, [weights[distance] for distance in range(1, reach + 1)])
    return weights / (weights[0] + total * np.float32(2))
