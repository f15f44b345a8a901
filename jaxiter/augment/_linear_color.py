"""Steps that make a pixel of its own channels, linearly: several next to each other are one matrix for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, check_not_masked
from .._fusion_barrier import computed_once, fusion_barrier
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._ranges import Range, as_bounds, between, centred_range, is_point, probability
from ._rounded import rounded
from ._sums import channel_means
from ._transform import Params, Transform, arithmetic_dtype, result_dtype
from ._warp import check_image_shape

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float, Num

GREY = (0.299, 0.587, 0.114)  # of R, G and B: ITU-R BT.601, as Pillow and torchvision
_NUM_SLOTS = 2  # the draw, and a spare


class ColorMap(NamedTuple):
    """What becomes of the channels of a pixel: `matrix @ channels + offset`."""

    matrix: Float[Array, "channels channels"]
    offset: Float[Array, " channels"]

    def scaled(self, factor: jax.Array, offset: jax.Array) -> ColorMap:
        """Followed by `factor * x + offset`, numbers or one for each channel."""
        factors = jnp.broadcast_to(factor, self.offset.shape)
        return ColorMap(rounded(factors[:, None] * self.matrix), rounded(factors * self.offset) + offset)

    def towards(self, share: jax.Array, target: ColorMap) -> ColorMap:
        """Followed by `target + share * (x - target)`, in which `target` is a map of the same channels."""
        rest = np.float32(1) - share
        return ColorMap(
            *(rounded(share * own) + rounded(rest * other) for own, other in zip(self, target, strict=True))
        )

    def grey(self) -> ColorMap:
        """The grey of what it makes, in every channel."""
        weights = np.array(GREY if len(self.offset) == len(GREY) else [1.0], np.float32)
        of_rows = reduce(add, (rounded(weight * row) for weight, row in zip(weights, self.matrix, strict=True)))
        offset = reduce(add, (rounded(weight * part) for weight, part in zip(weights, self.offset, strict=True)))
        return ColorMap(jnp.broadcast_to(of_rows, self.matrix.shape), jnp.broadcast_to(offset, self.offset.shape))

    def of(self, channels: jax.Array) -> jax.Array:
        """Pixels, channels last. Each sum has one product, which a compiler rounds alike in every program."""
        matrix = self.matrix.reshape((1,) * (channels.ndim - 1) + self.matrix.shape)  # of one rank
        parts = (channels[..., k : k + 1] * matrix[..., k] for k in range(len(self.offset)))
        return reduce(add, parts, jnp.broadcast_to(self.offset, channels.shape))


class LinearColor(Transform):
    """A step that mixes the channels of a pixel; `followed_by` says how.

    Adjacent ones, and `Brightness`, `ChannelShift`, `Rescale` and `Normalize` among them, are one matrix.
    """

    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = True
    channels: ClassVar[tuple[int, ...]] = (3,)
    needs_means: ClassVar[bool] = False  # of the channels of the picture that reaches it

    def after(self, before: ColorMap, params: Params, means: jax.Array | None) -> ColorMap:
        """`before` followed by this step.

        Args:
            means: Of the channels of the picture before all of it, where a step `needs_means`.
        """
        raise NotImplementedError

    @property
    def is_own(self) -> bool:
        """False where a subclass overrides `apply`."""
        return type(self).apply is LinearColor.apply

    def apply(self, params: Params, image: Num[Array, "... channels"]) -> Float[Array, "... channels"]:
        return apply_colors([(self, params)], image)


@transfers
def apply_colors(steps: Sequence[tuple[Any, Params]], image: ArrayLike) -> Float[Array, "... channels"]:
    """Several linear steps, the first acting first, as one matrix."""
    check_not_forked()
    check_not_masked("image", image)
    image = jnp.asarray(image)
    for step, _ in steps:
        if getattr(step, "needs_means", False):
            check_image_shape("image", image.shape)
        check_channels(step, image.shape)
    dtype = arithmetic_dtype(image.dtype)

    def color_map() -> ColorMap:
        found = ColorMap(jnp.eye(image.shape[-1], dtype=np.float32), jnp.zeros(image.shape[-1], np.float32))
        means = None
        if any(getattr(step, "needs_means", False) for step, _ in steps):
            means = channel_means(image.astype(dtype)).astype(np.float32)
        for step, params in steps:
            if isinstance(step, LinearColor):
                found = step.after(found, params, means)
            else:
                found = found.scaled(*(jnp.asarray(part, np.float32) for part in step.scale_and_offset(params)))
        return found

    # Without a program around it every barrier would be compiled anew.
    found = jax.tree.map(
        computed_once, fusion_barrier(color_map) if isinstance(image, jax.core.Tracer) else color_map()
    )
    result = ColorMap(*(part.astype(dtype) for part in found)).of(image.astype(dtype))
    return result.astype(result_dtype(image.dtype))


def check_channels(step: Transform, shape: tuple[int, ...]) -> None:
    expected: tuple[int, ...] = getattr(step, "channels", ())
    if expected and (not shape or shape[-1] not in expected):
        name, numbers = step.name_in_errors, " or ".join(map(str, expected))
        remedy = ""
        if shape and shape[-1] == 1:
            remedy = " A grey picture has no colours; leave the step out."
        elif shape and shape[-1] == 4:
            remedy = " Take the colours alone, image[..., :3]."
        raise ValueError(f"{name} got an image of shape {shape}; expected {numbers} channels last.{remedy}")


def is_linear(step: Transform) -> bool:
    """Whether a step is one matrix with linear steps beside it."""
    return step.is_own if isinstance(step, LinearColor) else getattr(step, "is_scale_and_offset", False)


def mixes_channels(step: Transform) -> TypeGuard[LinearColor]:
    return isinstance(step, LinearColor) and step.is_own


class _Blend(LinearColor):
    """A factor between what is left of a picture at 0 and the picture itself at 1, and beyond."""

    range: Range

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", centred_range("range", self.range, least=0.0))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0], centre=1.0))

    def without_randomness(self) -> Transform:
        return self if is_point(as_bounds(self.range)) and type(self).sample is _Blend.sample else AsFloat()


@dataclass(frozen=True, eq=False)
class Contrast(_Blend):
    """The picture blended with its mean grey by a random factor; nothing is clipped.

    Args:
        range: Factors, 0 is all grey and 1 the picture: r means [max(0, 1 - r), 1 + r], a pair is taken as it is, an
            array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the factor itself.

    Raises:
        ValueError: For a negative factor, a range in falling order, NaN or infinity; when applied, for another number
            of channels than 1 or 3.

    Source:
        Pillow's `ImageEnhance.Contrast`, with a mean that is neither rounded nor clipped.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Contrast
        >>> Contrast((0.5, 0.5)).apply(jnp.float32(0.5), jnp.array([[[0.0], [4.0]]])).ravel().tolist()
        [1.0, 3.0]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Contrast"
    takes_any_rank: ClassVar[bool] = False  # of a batch it would take one mean
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    needs_means: ClassVar[bool] = True

    def after(self, before: ColorMap, params: Float[Array, ""], means: jax.Array | None) -> ColorMap:
        assert means is not None
        level = before.grey().of(means)
        flat = ColorMap(jnp.zeros_like(before.matrix), level)
        return before.towards(jnp.asarray(params, np.float32), flat)


@dataclass(frozen=True, eq=False)
class Saturation(_Blend):
    """The picture blended with its own grey, 0.299 R + 0.587 G + 0.114 B, by a random factor; nothing is clipped.

    Args:
        range: Factors, 0 is grey and 1 the picture: r means [max(0, 1 - r), 1 + r], a pair is taken as it is, an array
            is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are the factor itself.

    Raises:
        ValueError: For a negative factor, a range in falling order, NaN or infinity; when applied, for another number
            of channels than 3.

    Source:
        Pillow's `ImageEnhance.Color`, with a grey that is not rounded.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Saturation
        >>> Saturation((0, 0)).apply(jnp.float32(0), jnp.array([[[100.0, 0.0, 0.0]]])).round(1).tolist()
        [[[29.899999618530273, 29.899999618530273, 29.899999618530273]]]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Saturation"

    def after(self, before: ColorMap, params: Float[Array, ""], means: jax.Array | None) -> ColorMap:
        return before.towards(jnp.asarray(params, np.float32), before.grey())


@dataclass(frozen=True, eq=False)
class Grayscale(LinearColor):
    """Some of the images, drawn at random, made grey: 0.299 R + 0.587 G + 0.114 B in all three channels.

    Args:
        p: The probability of it: True is one half, an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        float32 for integers, else the image's own float dtype. Params are whether.

    Raises:
        ValueError: For a probability outside [0, 1]; when applied, for another number of channels than 3.

    Source:
        torchvision's RandomGrayscale, without its rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Grayscale
        >>> Grayscale(1.0).apply(jnp.bool_(True), jnp.array([[[0.0, 1000.0, 0.0]]])).tolist()
        [[[587.0, 587.0, 587.0]]]
    """

    p: ArrayLike = 0.1
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Grayscale"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability("p", self.p))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Bool[Array, ""]:
        return uniforms(key, _NUM_SLOTS)[0] < jnp.asarray(self.p, np.float32)

    def after(self, before: ColorMap, params: Bool[Array, ""], means: jax.Array | None) -> ColorMap:
        is_grey = jnp.asarray(params)
        return ColorMap(*(jnp.where(is_grey, grey, own) for own, grey in zip(before, before.grey(), strict=True)))

    def without_randomness(self) -> Transform:
        is_always = isinstance(self.p, float) and self.p == 1.0 and type(self).sample is Grayscale.sample
        return self if is_always else AsFloat()
