"""What an image draws: one block of uniform numbers, and the parameters that Keras' ranges make of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._keys import AUGMENT, Key, fold_in, role_key, tag, uniforms
from ._config import WHOLE_STEPS, Ranges, ShiftKind

if TYPE_CHECKING:
    from jaxtyping import Array, Float, UInt32

# theta, tx, sign of tx, ty, sign of ty, shear, zx, zy, horizontal flip, vertical flip, channel shift, brightness
_NUM_SLOTS = 12
_TAG = tag("kind/keras.ImageDataGenerator/0")


class Params(NamedTuple):
    """What one image was given, or one row for each image of a batch; theta and shear in radians, flips 0 or 1."""

    theta: Float[Array, ...]
    tx: Float[Array, ...]
    ty: Float[Array, ...]
    shear: Float[Array, ...]
    zx: Float[Array, ...]
    zy: Float[Array, ...]
    flip_horizontal: Float[Array, ...]
    flip_vertical: Float[Array, ...]
    channel_shift_intensity: Float[Array, ...]
    brightness: Float[Array, ...]


def uniform_block(parent: Key, call: Any, row: UInt32[Array, ""]) -> Float[Array, " slots"]:
    """The numbers of one image, `parent` being the key of the epoch; call 1, 2 ... are further draws for the same."""
    # In a scan, which compiles threefry once for both.
    path = jnp.stack([row, np.uint32(_TAG) + call])
    own_key = jax.lax.scan(lambda key, word: (fold_in(key, word), None), parent, path)[0]
    return uniforms(own_key, _NUM_SLOTS)


@jax.jit
def uniform_blocks(key: Key, epoch: Any, call: Any, rows: Any) -> Float[Array, "batch slots"]:
    """The blocks of many images, as `random_batch` draws them for call 0."""
    return jax.vmap(partial(uniform_block, role_key(key, epoch, AUGMENT), call))(rows)


def sample_params(xp: Any, kinds: tuple[ShiftKind, ShiftKind], ranges: Ranges, drawn: Any) -> Params:
    """The parameters that a block, or for each slot a row of many, makes of the ranges.

    Args:
        xp: NumPy or jax.numpy.
        kinds: How tx and ty are drawn.
    """

    def between(bounds: Any, slot: int) -> Any:
        return bounds[0] + (bounds[1] - bounds[0]) * drawn[slot]

    return Params(
        theta=xp.deg2rad(_two_sided(ranges.theta, drawn[0])),
        tx=_sample_shift(xp, kinds[0], ranges.tx, drawn[1], drawn[2]),
        ty=_sample_shift(xp, kinds[1], ranges.ty, drawn[3], drawn[4]),
        shear=xp.deg2rad(_two_sided(ranges.shear, drawn[5])),
        zx=between(ranges.zoom, 6),
        zy=between(ranges.zoom, 7),
        flip_horizontal=(drawn[8] < ranges.flips[0]).astype(np.float32),
        flip_vertical=(drawn[9] < ranges.flips[1]).astype(np.float32),
        channel_shift_intensity=_two_sided(ranges.channel_shift, drawn[10]),
        brightness=between(ranges.brightness, 11),
    )


def _two_sided(bound: Any, drawn: Any) -> Any:
    return bound * (np.float32(2) * drawn - np.float32(1))


def _sample_shift(xp: Any, kind: ShiftKind, bounds: Any, drawn: Any, drawn_sign: Any) -> Any:
    sign = xp.where(drawn_sign < np.float32(0.5), np.float32(-1), np.float32(1))
    if kind == WHOLE_STEPS:
        return sign * xp.floor(drawn * bounds)
    if isinstance(kind, int):
        place = xp.floor(drawn * np.float32(kind)).astype(np.int32)
        return sign * xp.take(bounds, place, mode="clip")
    return _two_sided(bounds, drawn)
