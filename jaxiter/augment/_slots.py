"""The parts that RandAugment and TrivialAugment run for: one map, colours as often as operations, and sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from .._fusion_barrier import computed_once, fusion_barrier
from .._transfers import transfers
from ._cast import round_to
from ._equalize import equalizing
from ._filters import outermost
from ._geometric import Geometric, Sampling
from ._linear_color import GREY, check_channels
from ._matrix import about_centre, compose
from ._operations import NUMBER, Drawn, Space, strengths
from ._rounded import rounded, sine_cosine
from ._tables import NUM_BYTES
from ._transform import Transform
from ._warp import MatrixBounds, matrix_bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Array, Float, Int32, Num, UInt8

_GRID = 64  # rows and columns of the pixels that are counted


@dataclass(frozen=True, eq=False)
class OperationsMap(Geometric):
    """All geometric operations of an image, in the order in which they were drawn, as one map about the centre."""

    space: Space
    num_ops: int
    bin: int | None  # the only one that is drawn; None: any
    fill_mode: str
    cval: float
    order: int

    keeps_shape: ClassVar[bool] = True

    @transfers
    def matrix(self, params: Drawn, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        each = [_map_of(params.operation[place], params.strength[place]) for place in range(self.num_ops)]
        return about_centre(compose(*each), *image_shape[:2])

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        height, width = image_shape[:2]
        bins = slice(None) if self.bin is None else [self.bin]
        most = np.abs(strengths(self.space, height, width)[0][:, bins]).max(-1)
        sine = np.sin(min(most[NUMBER["Rotate"]], np.pi / 2))
        linear = np.eye(2) + np.fliplr(np.diag([max(most[NUMBER["ShearY"]], sine), max(most[NUMBER["ShearX"]], sine)]))
        shift = most[NUMBER["TranslateY"]], most[NUMBER["TranslateX"]]
        # One operation turns, shears or shifts.
        one = matrix_bounds(linear, shift)
        return reduce(MatrixBounds.then, [one] * self.num_ops)

    @property
    def sampling(self) -> Sampling:
        return Sampling((self.fill_mode, self.cval), self.order, antialias=False)

    @property
    def interpolates(self) -> bool:
        return self.order != 0

    @property
    def looks_outside(self) -> bool:
        return True


def _map_of(operation: Int32[Array, ""], strength: Float[Array, ""]) -> Float[Array, "3 3"]:
    """Of one operation, output to source; the identity if it is no geometry."""

    def only(name: str) -> jax.Array:
        return jnp.where(operation == np.int32(NUMBER[name]), strength, np.float32(0))

    one, none = jnp.float32(1), jnp.float32(0)
    sine, cosine = sine_cosine(only("Rotate"))
    rows = (cosine, only("ShearY") + sine, -only("TranslateY")), (only("ShearX") - sine, cosine, -only("TranslateX"))
    return jnp.stack([jnp.stack(row) for row in (*rows, (none, none, one))])


@dataclass(frozen=True, eq=False)
class ColorSlot(Transform):
    """The operation at one place, if it is one of colours; bytes."""

    place: int
    owner: str  # of which it is a part, for errors

    channels: ClassVar[tuple[int, ...]] = (1, 3)
    takes_bytes: ClassVar[bool] = True  # or floats that were made of bytes, which are rounded
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = True

    @property
    def name_in_errors(self) -> str:
        return self.owner

    def apply(self, params: Drawn, image: Num[Array, "height width channels"]) -> UInt8[Array, "height width channels"]:
        check_channels(self, image.shape)
        if image.size == 0:
            return _bytes_of(image)
        operation, strength = params.operation[self.place], params.strength[self.place]
        formula = jax.tree.map(computed_once, _formula_of(operation, strength))
        image = computed_once(formula.of(_bytes_of(image)))
        return seldom_where(operation[None], strength[None], image[None])[0]


@dataclass(frozen=True, eq=False)
class SharpnessSlot(Transform):
    """Sharpness, of the last operation that is one: float32 of whole numbers."""

    takes_bytes: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = True

    def apply(self, params: Drawn, image: Num[Array, "height width channels"]) -> Float[Array, "height width channels"]:
        factor = jnp.float32(1)
        for place in range(params.operation.shape[0]):
            is_one = params.operation[place] == np.int32(NUMBER["Sharpness"])
            factor = jnp.where(is_one, params.strength[place], factor)
        return _sharpened(_bytes_of(image), computed_once(factor))


def _sharpened(
    image: UInt8[Array, "height width channels"], factor: Float[Array, ""]
) -> Float[Array, "height width channels"]:
    """As `Sharpness`, in whole numbers."""
    height, width, channels = image.shape
    if height < 3 or width < 3:
        return image.astype(np.float32)
    wider = _apart(lambda: jnp.pad(image, ((1, 1), (1, 1), (0, 0)))).reshape(height + 2, -1).astype(np.int32)
    by_rows = wider[:-2] + wider[1:-1] + wider[2:]
    total = by_rows[:, : -2 * channels] + by_rows[:, channels:-channels] + by_rows[:, 2 * channels :]
    own = wider[1:-1, channels:-channels]
    # What thirteen times the smooth picture has more than thirteen times the picture.
    more = total - own * np.int32(9)
    share = _in_units((np.float32(1) - factor) / np.float32(13), _BITS)
    found = _in_bytes((own << np.int32(_BITS)) + share * jnp.where(outermost(image.shape), np.int32(0), more))
    return found.reshape(image.shape).astype(np.float32)


def _apart(function: Callable[[], jax.Array]) -> jax.Array:
    """On its own, as what reads it reads it several times."""
    return computed_once(fusion_barrier(function))


def _bytes_of(image: jax.Array) -> UInt8[Array, ...]:
    return round_to(np.dtype(np.uint8), image)


_BITS = 20
_ONE = 1 << _BITS


class _Formula(NamedTuple):
    """What becomes of a byte: it is scaled and rounded, some of its bits are kept, or it is inverted."""

    scale: Int32[Array, ""]  # in units of 2**-20
    mask: Int32[Array, ""]  # of the bits that are kept
    threshold: Int32[Array, ""]  # from which on a byte is inverted

    def of(self, image: UInt8[Array, "height width channels"]) -> UInt8[Array, "height width channels"]:
        found = _in_bytes(image.astype(np.int32) * self.scale) & self.mask
        return jnp.where(found >= self.threshold, np.int32(255) - found, found).astype(np.uint8)


def _formula_of(operation: Int32[Array, ""], strength: Float[Array, ""]) -> _Formula:
    """That of one operation, all of whose numbers are whole, so that it gives the same bits in every program."""

    def chosen(otherwise: int, **values: jax.Array) -> jax.Array:
        found = jnp.asarray(otherwise, np.int32)
        for name, value in values.items():
            found = jnp.where(operation == np.int32(NUMBER[name]), value, found)
        return found

    lost = np.int32(8) - strength.astype(np.int32)
    return _Formula(
        scale=chosen(_ONE, Brightness=_in_units(strength, _BITS)),
        mask=chosen(255, Posterize=(np.int32(255) >> lost) << lost),
        threshold=chosen(256, Solarize=jnp.ceil(strength).astype(np.int32)),
    )


def _in_units(number: jax.Array, bits: int) -> Int32[Array, ...]:
    return jnp.round(number * np.float32(1 << bits)).astype(np.int32)


def _in_bytes(units: Int32[Array, ...]) -> Int32[Array, ...]:
    """Units of 2**-20 rounded and clipped."""
    return jnp.clip((units + np.int32(_ONE // 2)) >> np.int32(_BITS), np.int32(0), np.int32(255))


# The operations that need all channels of a pixel, or look at the picture first: two in seven that are drawn.


@custom_vmap
def seldom_where(
    operation: Int32[Array, " batch"],
    strength: Float[Array, " batch"],
    images: UInt8[Array, "batch height width channels"],
) -> UInt8[Array, "batch height width channels"]:
    """Pictures, of which some get Contrast, Color, AutoContrast or Equalize.

    On CPU only those are worked on, one after the other: for all images it would take several times as long as all else
    together. Mapped over several axes it is one batch.
    """
    return jax.lax.platform_dependent(operation, strength, images, cpu=_one_after_the_other, default=_all_at_once)


@seldom_where.def_vmap
def _as_one_batch(axis_size: int, in_batched: Sequence[bool], *arrays: jax.Array) -> tuple[jax.Array, bool]:
    batched = [
        array if is_batched else jnp.broadcast_to(array[None], (axis_size, *array.shape))
        for array, is_batched in zip(arrays, in_batched, strict=True)
    ]
    found = seldom_where(*(array.reshape(-1, *array.shape[2:]) for array in batched))
    return found.reshape(batched[-1].shape), True


def _one_after_the_other(operation: jax.Array, strength: jax.Array, images: jax.Array) -> jax.Array:
    kind = jnp.zeros_like(operation)
    for place, name in enumerate(_SELDOM, 1):
        kind = jnp.where(operation == np.int32(NUMBER[name]), np.int32(place), kind)
    (order,) = jnp.nonzero(kind, size=len(kind), fill_value=0)

    def step(number: jax.Array, images: jax.Array) -> jax.Array:
        place = order[number]
        made = jax.lax.switch(kind[place] - np.int32(1), list(_SELDOM.values()), images[place], strength[place])
        return images.at[place].set(made)

    return jax.lax.fori_loop(np.int32(0), (kind > 0).sum(dtype=np.int32), step, images)


def _all_at_once(operation: jax.Array, strength: jax.Array, images: jax.Array) -> jax.Array:
    found = images
    for name, function in _SELDOM.items():
        is_on = (operation == np.int32(NUMBER[name]))[:, None, None, None]
        found = jnp.where(is_on, jax.vmap(function)(images, strength), found)
    return found


def _colored(image: UInt8[Array, "height width channels"], strength: Float[Array, ""]) -> UInt8[Array, ...]:
    """Blended with its grey; a picture of one channel is its own grey."""
    if image.shape[-1] != len(GREY):
        return image
    blend = _in_units(np.float32(1) - strength, 12)
    values = image.astype(np.int32)
    weights = [np.int32(round(weight * (1 << 16))) for weight in GREY]
    parts = (values[..., place : place + 1] * weight for place, weight in enumerate(weights))
    grey = reduce(add, parts) >> np.int32(8)
    return _in_bytes(values * (np.int32(_ONE) - (blend << np.int32(8))) + grey * blend).astype(np.uint8)


def _contrasted(image: UInt8[Array, "height width channels"], strength: Float[Array, ""]) -> UInt8[Array, ...]:
    """Blended with its mean grey."""
    channels = image.shape[-1]
    # As a reduction of long rows, which is ten times as fast as one over all pixels.
    sums = image.reshape(image.shape[0], -1).astype(np.int32).sum(0).reshape(-1, channels).sum(0)
    means = sums.astype(np.float32) / np.float32(max(1, image.size // channels))
    weights = GREY if channels == len(GREY) else (1 / channels,) * channels
    grey = reduce(add, (rounded(np.float32(weight) * means[place]) for place, weight in enumerate(weights)))
    rest = _in_units(rounded((np.float32(1) - strength) * grey), _BITS)
    return _in_bytes(image.astype(np.int32) * _in_units(strength, _BITS) + rest).astype(np.uint8)


def _stretched(image: UInt8[Array, "height width channels"], strength: Float[Array, ""]) -> UInt8[Array, ...]:
    """Each channel from its lowest byte to its highest brought to 0 to 255, by a quotient that is cut off."""
    channels, one = image.shape[-1], np.int32(1)
    rows = image.reshape(image.shape[0], -1)
    low, high = (bound(bound(rows, axis=0).reshape(-1, channels), axis=0).astype(np.int32) for bound in _BOUNDS)
    # Rounded up, so that a whole quotient is reached, and no other one, as 255 * 255 is less than 2**20.
    scale = (np.int32(255 * _ONE) + high - low - one) // jnp.maximum(high - low, one)
    is_on = high > low
    low, scale = jnp.where(is_on, low, np.int32(0)), jnp.where(is_on, scale, np.int32(_ONE))
    return (((image.astype(np.int32) - low[None, None]) * scale[None, None]) >> np.int32(_BITS)).astype(np.uint8)


_BOUNDS = (jnp.min, jnp.max)


def _equalized(image: UInt8[Array, "height width channels"], strength: Float[Array, ""]) -> UInt8[Array, ...]:
    """As `Equalize`, by the histogram of at most 64 x 64 pixels that lie on a grid."""
    height, width, channels = image.shape
    rows, cols = (max(1, -(-side // _GRID)) for side in (height, width))
    first = NUM_BYTES * np.arange(channels, dtype=np.int32)[None]
    seen = image[::rows, ::cols].reshape(-1, channels).astype(np.int32) + first
    counts = jnp.zeros(channels * NUM_BYTES, np.int32).at[seen].add(np.int32(1), mode="promise_in_bounds")
    # Fused into the lookup the table would be made for each pixel.
    table = _apart(lambda: equalizing(counts.reshape(channels, NUM_BYTES)).astype(np.uint8).reshape(-1))
    places = (image.reshape(-1, channels).astype(np.int32) + first).reshape(-1)
    return table.at[places].get(mode="promise_in_bounds").reshape(image.shape)


_SELDOM = {"Contrast": _contrasted, "Color": _colored, "AutoContrast": _stretched, "Equalize": _equalized}
