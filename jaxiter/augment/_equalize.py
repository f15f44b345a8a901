"""Steps of bytes that look at the whole picture: each channel stretched, or its bytes made equally frequent."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ._tables import BYTES, NUM_BYTES, ByteTable, Table
from ._transform import Params

if TYPE_CHECKING:
    from jaxtyping import Array, Int32


@dataclass(frozen=True, eq=False)
class AutoContrast(ByteTable):
    """Each channel stretched so that its lowest byte is 0 and its highest 255; a channel of one value stays.

    Returns (apply):
        uint8. Pillow's roundings are kept: of some channels the highest becomes 254.

    Raises:
        TypeError: When applied to anything but uint8.

    Source:
        Pillow's `ImageOps.autocontrast`, to the bit.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import AutoContrast
        >>> AutoContrast().apply((), jnp.array([[[100], [110], [120]]], jnp.uint8)).ravel().tolist()
        [0, 127, 255]
    """

    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "AutoContrast"
    takes_any_rank: ClassVar[bool] = False
    needs_counts: ClassVar[bool] = True
    extremes_will_do: ClassVar[bool] = True

    def after(self, before: Table, params: Params) -> Table:
        is_there = before.reached() > 0
        low = jnp.argmax(is_there, axis=1).astype(np.int32)[:, None]
        high = np.int32(255) - jnp.argmax(is_there[:, ::-1], axis=1).astype(np.int32)[:, None]
        return before.then(stretched(low, high, _one_less(low, high)))


def stretched(
    low: Int32[Array, "rows 1"], high: Int32[Array, "rows 1"], less: Int32[Array, "rows 256"] | int = 0
) -> Int32[Array, "rows 256"]:
    """The bytes from `low` to `high` brought to 0 to 255, by a quotient cut off, minus `less`."""
    every = BYTES[None]
    quotient = (every - low) * np.int32(255) // jnp.maximum(high - low, np.int32(1)) - less
    return jnp.where(high > low, jnp.clip(quotient, np.int32(0), np.int32(255)), every)


def _one_less(low: jax.Array, high: jax.Array) -> jax.Array:
    """1 where Pillow gives one less than the quotient says, (channels, 256); `low` and `high` are (channels, 1)."""
    codes, most = _fallen_short()
    first = (low * np.int32(NUM_BYTES) + high) * np.int32(NUM_BYTES)
    start = jnp.searchsorted(codes, first[:, 0], method="compare_all").astype(np.int32)
    near = jnp.asarray(codes).at[start[:, None] + np.arange(most, dtype=np.int32)[None]].get(mode="clip")
    return (near[:, :, None] == first[:, :, None] + BYTES[None, None]).any(1).astype(np.int32)


@lru_cache(maxsize=1)
def _fallen_short() -> tuple[np.ndarray, int]:
    """Where `byte * scale + offset` in float64 falls short of the whole number that it stands for, 12,094 cases.

    Returns:
        (low * 256 + high) * 256 + byte of each, rising, and how many at most have one low and one high.
    """
    found = []
    for width in range(1, NUM_BYTES):
        low, above = np.arange(NUM_BYTES - width)[:, None], np.arange(width + 1)[None]
        above = above[:, above[0] * 255 % width == 0]
        scale = 255.0 / width
        is_short = (low + above) * scale + -low * scale < above * 255 // width
        codes = (low * NUM_BYTES + low + width) * NUM_BYTES + low + above
        found.append(codes[is_short])
    codes = np.sort(np.concatenate(found)).astype(np.int32)
    return codes, int(np.bincount(codes // NUM_BYTES).max())


@dataclass(frozen=True, eq=False)
class Equalize(ByteTable):
    """Each channel with its bytes spread so that all are about equally frequent.

    A byte becomes, on the scale of 255, the share of its channel's pixels that lie below it.

    Returns (apply):
        uint8. A channel of one value stays, and so does one of fewer than 255 pixels beside those of its highest value.

    Raises:
        TypeError: When applied to anything but uint8.

    Source:
        Pillow's `ImageOps.equalize`, to the bit.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Equalize
        >>> image = jnp.repeat(jnp.array([100, 110, 120], jnp.uint8), 255)[:, None, None]
        >>> Equalize().apply((), image)[::255, 0, 0].tolist()
        [0, 128, 255]
    """

    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Equalize"
    takes_any_rank: ClassVar[bool] = False
    needs_counts: ClassVar[bool] = True

    def after(self, before: Table, params: Params) -> Table:
        return before.then(equalizing(before.reached()))


def equalizing(counts: Int32[Array, "channels 256"]) -> Int32[Array, "channels 256"]:
    """What becomes of each byte of a channel that holds it so often."""
    up_to = jnp.cumsum(counts, axis=1, dtype=np.int32)
    total = up_to[:, -1:]
    below_highest = jnp.where(up_to < total, up_to, np.int32(0)).max(axis=1, keepdims=True)
    step = below_highest // np.int32(255)
    level = (step // np.int32(2) + up_to - counts) // jnp.maximum(step, np.int32(1))
    return jnp.where(step > 0, jnp.minimum(level, np.int32(255)), BYTES[None])
