"""Colours turned on the colour circle, and all four changes of colour together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import computed_once
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._chain import Chain
from ._color import Brightness
from ._linear_color import Contrast, Saturation, check_channels
from ._ranges import Bounds, Range, as_bounds, between, centred_range, is_point, symmetric_range
from ._rounded import rounded
from ._transform import Transform, in_arithmetic

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num

_NUM_SLOTS = 2  # the draw, and a spare


@dataclass(frozen=True, eq=False)
class Hue(Transform):
    """Every colour turned by one random angle on the colour circle; value and saturation of HSV stay.

    The largest and the smallest of a pixel's channels stay what they are, so nothing is clipped and any range of values
    will do.

    Args:
        range: In turns, at most half a one: r means [-r, r], a pair is taken as it is, an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the turns.

    Raises:
        ValueError: For a range beyond half a turn, a negative r, a range in falling order, NaN or infinity; when
            applied, for another number of channels than 3.

    Source:
        Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978 (HSV); torchvision's `adjust_hue`, without its rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Hue
        >>> Hue(0.5).apply(jnp.float32(1 / 3), jnp.array([[[200.0, 0.0, 0.0]]])).round(2).tolist()
        [[[0.0, 200.0, 0.0]]]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Hue"
    keeps_scale: ClassVar[bool] = True
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    channels: ClassVar[tuple[int, ...]] = (3,)
    reads_all_channels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", _turns("range", self.range))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0]))

    def apply(self, params: Float[Array, ""], image: Num[Array, "... 3"]) -> Float[Array, "... 3"]:
        check_channels(self, jnp.shape(image))
        return in_arithmetic(image, _turned, params)

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.range)) and type(self).sample is Hue.sample else AsFloat()


def _turns(name: str, given: Range) -> Bounds:
    bounds = symmetric_range(name, given)
    if isinstance(bounds, tuple) and max(-bounds[0], bounds[1]) > 0.5:
        raise ValueError(
            f"{name} reaches {max(-bounds[0], bounds[1]):g}; expected turns, at most 0.5, where the colours are the "
            "opposite ones. For 18 degrees pass 18 / 360."
        )
    return bounds


def _turned(image: jax.Array, turns: jax.Array) -> jax.Array:
    red, green, blue = (image[..., channel : channel + 1] for channel in range(3))
    high, low = (bound(red, bound(green, blue)) for bound in (jnp.maximum, jnp.minimum))
    chroma, none = high - low, image.dtype.type(0)
    divisor = jnp.where(chroma == none, image.dtype.type(1), chroma)  # of grey, which has no hue and needs none
    two, four, six = map(image.dtype.type, (2, 4, 6))
    is_red, is_green = high == red, high == green
    difference = jnp.where(is_red, green - blue, jnp.where(is_green, blue - red, red - green))
    sixths = difference / divisor + jnp.where(is_red, none, jnp.where(is_green, two, four))
    # A channel is highest for two sixths of the circle and lowest for two, and goes from one to the other between.
    starts = np.array([5, 3, 1], image.dtype).reshape((1,) * (image.ndim - 1) + (3,))
    place = sixths + rounded(turns * six) + starts
    place = place - six * jnp.floor(place * image.dtype.type(1 / 6))
    return high - chroma * jnp.clip(jnp.minimum(place, four - place), none, image.dtype.type(1))


class ColorJitter(Chain):
    """`Brightness`, `Contrast`, `Saturation` and `Hue`, in this order; what is 0 is left out, and nothing is clipped.

    Args:
        brightness, contrast, saturation: Factors: r means [max(0, 1 - r), 1 + r], a pair is taken as it is.
        hue: Turns, at most 0.5: r means [-r, r], a pair is taken as it is.

    It is a `Chain` of these steps, and draws as they do wherever they stand.

    Returns (apply):
        float32 of integers, else the float dtype of the image. Params are those of the steps, in a tuple.

    Raises:
        ValueError: For a range below 0, or of hue beyond half a turn; when applied, for saturation or hue and an image
            that has not 3 channels.

    Source:
        torchvision's ColorJitter, which draws the order too, and clips after each.

    Example:
        >>> from jaxiter import ColorJitter
        >>> ColorJitter(0.4, hue=0.1)
        Chain(Brightness(range=(0.6, 1.4), draws=None), Hue(range=(-0.1, 0.1), draws=None))
    """

    kind: ClassVar[str] = "ColorJitter"

    def __init__(self, brightness: Range = 0, contrast: Range = 0, saturation: Range = 0, hue: Range = 0):
        for name, given in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            centred_range(name, given, least=0.0)  # here by its own name
        _turns("hue", hue)
        kinds = {Brightness: brightness, Contrast: contrast, Saturation: saturation, Hue: hue}
        super().__init__(*(kind(given) for kind, given in kinds.items() if not _is_off(given)))


def _is_off(given: object) -> bool:
    return isinstance(given, (int, float, np.number)) and given == 0
