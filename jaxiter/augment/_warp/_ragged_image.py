"""One picture among others of different sizes in one array of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._ragged import BLOCK, COUNTED, Extent, Sides
from .._types import Values

if TYPE_CHECKING:
    from jaxtyping import Array, Int32, Num, Shaped


@partial(jax.tree_util.register_dataclass, data_fields=["pixels", "place", "size"], meta_fields=["extent"])
@dataclass(frozen=True)
class RaggedImage:
    """Takes the place of an image whose height and width are traced, in the first resampling."""

    pixels: Num[Array, "total channels"]  # of all pictures
    place: Int32[Array, 2]  # of the first pixel: its block and its place in it
    size: Int32[Array, 2]  # height, width
    extent: Extent  # of all pictures

    @property
    def shape(self) -> tuple[Any, Any, int]:
        return self.size[0], self.size[1], self.pixels.shape[1]

    @property
    def most(self) -> Sides:
        """The largest height and width of all pictures."""
        return self.extent.most

    @property
    def most_shape(self) -> tuple[int, int, int]:
        return self.most.height, self.most.width, self.pixels.shape[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.pixels.dtype)

    def pick(self, row: Values, col: Values, down: int, right: int) -> Values:
        """The pixels at places within the picture, (..., channels); a step further is no further than the edge."""
        height, width, channels = self.shape
        row, col = jnp.minimum(row + np.int32(down), height - 1), jnp.minimum(col + np.int32(right), width - 1)
        offset = row * width + col
        if self._values_are_counted:
            return slices_at(self.pixels.reshape(-1), (self._start + offset) * np.int32(channels), channels)
        return self._pixels_at(offset)

    def lines(self, row: Int32[Array, " rows"]) -> Num[Array, "rows length channels"]:
        """Rows as long as those of the widest picture, which begin `before` the picture's and end behind it."""
        _, width, channels = self.shape
        length = self.most.width
        if self._has_blocks:
            return jnp.asarray(self._pixels_at((row * width)[:, None] + np.arange(length, dtype=np.int32)))
        pixels, first = self._with_room(), self._start - self.before + row * width
        if not self._values_are_counted:
            return _lines_at(pixels, first, length)
        found = slices_at(pixels.reshape(-1), first * np.int32(channels), length * channels)
        return found.reshape(-1, length, channels)

    @property
    def before(self) -> Int32[Array, ""]:
        """So many pixels sooner all rows of `lines` begin, where too few pixels follow the last one."""
        if self._has_blocks:
            return jnp.int32(0)
        height, width, _ = self.shape
        last = self._start + (height - 1) * width
        return jnp.maximum(last + np.int32(self.most.width - self._with_room().shape[0]), 0)

    def _with_room(self) -> jax.Array:
        """The pixels, as many as the largest picture could have: fewer are filled up, which is soon done."""
        needed = self.most.height * self.most.width - self.pixels.shape[0]
        has_room = self.extent.has_room_behind or needed <= 0
        return self.pixels if has_room else jnp.pad(self.pixels, ((0, needed), (0, 0)))

    @property
    def _start(self) -> jax.Array:
        """The first pixel, where an int32 counts them all."""
        return self.place[0] * np.int32(BLOCK) + self.place[1]

    @property
    def _values_are_counted(self) -> bool:
        return self.pixels.size < COUNTED

    @property
    def _has_blocks(self) -> bool:
        return self.pixels.shape[0] >= COUNTED

    def _pixels_at(self, offset: Values) -> Values:
        if not self._has_blocks:
            return self.pixels.at[self._start + offset].get(mode="promise_in_bounds")
        blocks = self.pixels.reshape(-1, BLOCK, self.pixels.shape[1])
        within = self.place[1] + offset
        block, within = self.place[0] + within // np.int32(BLOCK), within % np.int32(BLOCK)
        last = np.int32(len(blocks) - 1)  # behind the last row of the last picture
        return blocks.at[jnp.minimum(block, last), within].get(mode="promise_in_bounds")


def is_static(shape: Sequence[Any]) -> bool:
    """Whether height and width are numbers, and not those of one of many pictures."""
    return all(isinstance(side, (int, np.integer)) for side in shape[:2])


def slices_at(values: Values, start: Values, length: int) -> Shaped[Array, "... length"]:
    """`values[start : start + length]` at every start: XLA:CPU fuses gathers of slices, and not those of scalars."""
    dimensions = jax.lax.GatherDimensionNumbers(
        offset_dims=(start.ndim,), collapsed_slice_dims=(), start_index_map=(0,)
    )
    mode = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS  # the border rule brought every index inside
    return jax.lax.gather(values, start[..., None], dimensions, (length,), mode=mode)


def _lines_at(pixels: jax.Array, start: jax.Array, length: int) -> Num[Array, "rows length channels"]:
    """As `slices_at`, where an int32 counts pixels and not values."""
    dimensions = jax.lax.GatherDimensionNumbers(offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(0,))
    mode = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return jax.lax.gather(pixels, start[:, None], dimensions, (length, pixels.shape[1]), mode=mode)
