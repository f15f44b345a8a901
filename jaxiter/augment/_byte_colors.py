"""What becomes of a byte, whatever the picture: a power, two formulas with a number drawn, and the inverse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_int
from .._fusion_barrier import computed_once
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import round_to
from ._crop import random_place
from ._ranges import Range, as_bounds, between, centred_range, is_point, own_number, own_range
from ._rounded import exponential, rounded
from ._tables import BYTES, ByteFormula, ByteTable, Table
from ._transform import Params, Transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Array, Float, Int32

_NUM_SLOTS = 2  # the draw, and a spare


@dataclass(frozen=True, eq=False)
class Gamma(ByteTable):
    """Every byte v becomes 255 * (v / 255)**gamma: gamma below 1 lightens, above 1 darkens; black and white stay.

    Args:
        range: Of gamma: r means [max(0, 1 - r), 1 + r], a pair is taken as it is, an array is traced. At 0 all are
            white.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        uint8, rounded half away from zero. Params are gamma itself.

    Raises:
        ValueError: For a negative gamma, a range in falling order, NaN or infinity; TypeError when applied to anything
            but uint8.

    Source:
        torchvision's `adjust_gamma`, up to its rounding, which cuts 255.999 times the power off.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Gamma
        >>> Gamma((2, 2)).apply(jnp.float32(2), jnp.array([[[0], [51], [255]]], jnp.uint8)).ravel().tolist()
        [0, 10, 255]
    """

    range: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Gamma"

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", centred_range("range", self.range, least=0.0))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(between(as_bounds(self.range), uniforms(key, _NUM_SLOTS)[0], centre=1.0))

    def after(self, before: Table, params: Float[Array, ""]) -> Table:
        gamma = jnp.asarray(params, np.float32)
        logarithm = np.log(np.maximum(BYTES, 1) / 255).astype(np.float32)
        # e**-80 is 0 of 255, and `exponential` goes no further.
        power = exponential(jnp.maximum(rounded(gamma * logarithm), np.float32(-80)))
        level = jnp.where((BYTES == 0) & (gamma > 0), np.float32(0), rounded(np.float32(255) * power))
        return before.then(round_to(np.dtype(np.uint8), level).astype(np.int32)[None])

    def without_randomness(self) -> Transform | None:
        return self if is_point(as_bounds(self.range)) and type(self).sample is Gamma.sample else None


@dataclass(frozen=True, eq=False)
class Solarize(ByteFormula):
    """Every byte v at or above a threshold becomes 255 - v.

    Args:
        threshold: From 0, where all is inverted, to 256, where nothing is: a number is taken as it is, a pair is a
            range, an array is traced.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        uint8. Params are the threshold, float32.

    Raises:
        ValueError: For a threshold outside [0, 256], a range in falling order or NaN; TypeError when applied to
            anything but uint8.

    Source:
        Pillow's `ImageOps.solarize`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Solarize
        >>> Solarize(128).apply(jnp.float32(128), jnp.array([[[127], [128], [255]]], jnp.uint8)).ravel().tolist()
        [127, 127, 0]
    """

    threshold: Range
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Solarize"
    is_monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", own_range("threshold", self.threshold, most=256))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Float[Array, ""]:
        return computed_once(own_number(as_bounds(self.threshold), uniforms(key, _NUM_SLOTS)[0]))

    def of(self, values: jax.Array, params: Float[Array, ""]) -> jax.Array:
        is_above = values.astype(np.float32) >= jnp.asarray(params, np.float32)
        return jnp.where(is_above, values.dtype.type(255) - values, values)

    def without_randomness(self) -> Transform | None:
        return self if is_point(as_bounds(self.threshold)) and type(self).sample is Solarize.sample else None


@dataclass(frozen=True, eq=False)
class Posterize(ByteFormula):
    """Every byte keeps its upper bits; the others become 0.

    Args:
        bits: How many stay, from 1 to 8: a whole number is taken as it is, of a pair both ends and all between are
            drawn alike.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        uint8. Params are the number of bits, int32.

    Raises:
        TypeError: For anything but whole numbers, and when applied to anything but uint8.
        ValueError: For bits outside 1 to 8, or a pair in falling order.

    Source:
        Pillow's `ImageOps.posterize`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Posterize
        >>> Posterize(2).apply(jnp.int32(2), jnp.array([[[63], [64], [255]]], jnp.uint8)).ravel().tolist()
        [0, 64, 192]
    """

    bits: int | Sequence[int]
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Posterize"

    def __post_init__(self) -> None:
        is_pair = isinstance(self.bits, (tuple, list)) and len(self.bits) == 2
        ends = cast("tuple[int, int]", self.bits if is_pair else (self.bits, self.bits))
        kind = "a whole number from 1 to 8, or a pair of them"
        low, high = (check_int("bits", end, 1, 9, expected=kind, kind=kind) for end in ends)
        if low > high:
            raise ValueError(f"bits is {(low, high)}; expected a pair (low, high) with low <= high.")
        object.__setattr__(self, "bits", (low, high))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Int32[Array, ""]:
        low, high = cast("tuple[int, int]", self.bits)
        return computed_once(np.int32(low) + random_place(uniforms(key, _NUM_SLOTS)[0], high - low + 1))

    def of(self, values: jax.Array, params: Int32[Array, ""]) -> jax.Array:
        lower = np.int32(8) - jnp.asarray(params, np.int32)
        return values & ((np.int32(255) << lower) & np.int32(255)).astype(values.dtype)

    def without_randomness(self) -> Transform | None:
        low, high = cast("tuple[int, int]", self.bits)
        return self if low == high and type(self).sample is Posterize.sample else None


@dataclass(frozen=True, eq=False)
class Invert(ByteFormula):
    """Every byte v becomes 255 - v.

    Returns (apply):
        uint8.

    Raises:
        TypeError: When applied to anything but uint8.

    Source:
        Pillow's `ImageOps.invert`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Invert
        >>> Invert().apply((), jnp.array([[[0], [55]]], jnp.uint8)).ravel().tolist()
        [255, 200]
    """

    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Invert"

    def of(self, values: jax.Array, params: Params) -> jax.Array:
        return values.dtype.type(255) - values
