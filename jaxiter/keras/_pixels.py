"""What happens to the pixels of a batch after it is resampled, on the device."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .._fusion_barrier import fusion_barrier
from ..augment.internal import mean_of
from ._brightness import blend
from ._config import Config, Statistics


def shifted_and_brightened(config: Config, params: Any, images: Any) -> Any:
    """Images after their channel shift and brightness; the flips are done already, which change neither.

    Args:
        params: Has channel_shift_intensity and brightness, one for each image.
    """
    if not config.channel_shift and config.brightness_axis is None:
        return images

    def search() -> Any:
        return jax.vmap(lambda image: (jnp.min(image), jnp.max(image)))(images)

    # XLA:CPU makes one piece of a search and a shift, which takes twice the time; brightness keeps it from that.
    extremes = fusion_barrier(search) if config.brightness_axis is None else search()
    return jax.vmap(partial(_shifted_and_brightened, config))(params, images, extremes)


def _shifted_and_brightened(config: Config, params: Any, image: Any, extremes: tuple[Any, Any]) -> Any:
    low, high = extremes
    if config.channel_shift:
        # Brightness asks for the extremes of the shifted image. A shift keeps the order of values, rounded or not, so
        # they are the extremes shifted, and the picture is searched and written once for both.
        intensity = params.channel_shift_intensity.astype(image.dtype)
        image, low, high = (jnp.clip(values + intensity, *extremes) for values in (image, low, high))
    if config.brightness_axis is None:
        return image
    result = blend(
        jnp,
        image,
        params.brightness,
        (low, high),
        scale=False,
        channel_axis=config.brightness_axis,
        resampled=config.affine,
    )
    levels = result.levels.astype(image.dtype)
    return jnp.where(result.stretched, levels / 255 * (high - low) + low, levels)


def standardized(config: Config, statistics: Statistics, image: Any) -> Any:
    """One image after standardize's steps but the last, which is one product for the whole batch."""
    scale: Any = statistics.rescale
    if config.samplewise_center or config.samplewise_std:
        # Of the image before rescale, which is one factor with the deviation then: a pass over the pixels less.
        centred = image - mean_of(image)
        if config.samplewise_std:
            std = jnp.sqrt(mean_of(jnp.square(centred)))
            scale = 1 / (std + 1e-6) if scale is None else scale / (std * jnp.abs(scale) + 1e-6)
        image = centred if config.samplewise_center else image
    if scale is not None:
        image = image * scale
    if statistics.mean is not None:
        image = image - statistics.mean
    if statistics.scale is not None:
        image = image / statistics.scale
    return image
