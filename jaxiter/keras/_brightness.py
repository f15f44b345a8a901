"""Brightness as Pillow computes it, in 8 bits, on the host and on the device."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

CHANNELS = (1, 3, 4)

# Resampling leaves float32 noise. Without slack it could push a picture in [0, 255] out of it, where another rule
# holds, or a value that is whole in exact arithmetic below itself, where the fraction is cut off.
_RANGE_SLACK = 1e-3
_LEVEL_SLACK = 2.0**-12


class Blend(NamedTuple):
    """levels: the picture in whole numbers 0 to 255. stretched: whether it was brought from its range to 0 ... 255."""

    levels: Any
    stretched: Any


def check_channels(count: int) -> None:
    if count not in CHANNELS:
        raise ValueError(
            f"Unsupported channel number: {count}. A picture that is saved or made brighter has 1, 3 or 4 channels."
        )


def blend(
    xp: ModuleType,
    image: Any,
    factor: Any,
    extremes: tuple[Any, Any],
    *,
    scale: bool,
    channel_axis: int,
    resampled: bool,
) -> Blend:
    """Pillow's blend of `image`, from its least to its greatest value, with black; alpha is kept.

    Args:
        xp: NumPy or jax.numpy.
        resampled: Whether the values may have float32 noise.
    """
    low, high = extremes
    range_slack, level_slack = (_RANGE_SLACK, _LEVEL_SLACK) if resampled else (0.0, 0.0)
    outside = (low < -range_slack) | (high > 255 + range_slack)
    # Rounding keeps the order, so these are the extremes of the rounded and of the shifted picture too.
    image, least = image.astype(np.float32), low.astype(np.float32)
    shifted, span = image - least, high.astype(np.float32) - least
    # One divisor for each pixel: XLA multiplies by the reciprocal of a single one, and whole levels are lost.
    stretched = shifted / xp.where(shifted > 0, span, np.float32(1)) * np.float32(255)
    values = stretched if scale else xp.where(outside, stretched, xp.clip(image, np.float32(0), np.float32(255)))
    whole = xp.minimum(xp.floor(values + level_slack), np.float32(255))
    bright = xp.floor(xp.clip(factor * whole, np.float32(0), np.float32(255)))
    if image.shape[channel_axis] == 4:
        is_alpha = np.arange(4) == 3
        bright = xp.where(np.expand_dims(is_alpha, _others(channel_axis)), whole, bright)
    return Blend(bright, outside)


def _others(channel_axis: int) -> tuple[int, int]:
    return (0, 1) if channel_axis == 2 else (1, 2)
