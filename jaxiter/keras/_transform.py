"""A whole batch in one compiled program: draws, resampling, and all that comes after."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import fusion_barrier
from .._keys import AUGMENT, Key, role_key
from ..augment.internal import is_planned, resample_planned, round_to, warp
from ._config import Config, Ranges, Statistics
from ._matrix import affine_matrix, flipped
from ._pixels import shifted_and_brightened, standardized
from ._sample import Params, sample_params, uniform_block

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num


class Given(NamedTuple):
    """What the images of a batch were given, their maps made on the host; see `Params`."""

    matrix: Float[Array, "batch 3 3"]  # output to source, the flips in it
    flip_horizontal: Float[Array, ...]
    flip_vertical: Float[Array, ...]
    channel_shift_intensity: Float[Array, ...]
    brightness: Float[Array, ...]


def given_params(config: Config, transforms: Any, rows: int, cols: int) -> Given:
    """For `given_batch`, from one of Keras' transforms for each image, an array of `TRANSFORMS`.

    What decides a coordinate is computed in float64, and rounded once.
    """
    columns: dict[str, Any] = {name: transforms[name] for name in Params._fields}
    columns |= {name: np.deg2rad(columns[name]) for name in ("theta", "shear")}
    columns |= {name: (columns[name] != 0) * 1.0 for name in ("flip_horizontal", "flip_vertical")}
    params = Params(**columns)
    matrix: Any = np.zeros((len(transforms), 3, 3), np.float32)
    for axis, row in enumerate(_source_rows(np, config, params, rows, cols)):
        matrix[:, axis] = np.stack(np.broadcast_arrays(*row), axis=-1)
    matrix[:, 2, 2] = 1
    return Given(
        matrix,
        params.flip_horizontal.astype(np.float32),
        params.flip_vertical.astype(np.float32),
        params.channel_shift_intensity.astype(config.arithmetic),
        params.brightness.astype(np.float32),  # Pillow's own precision
    )


@partial(jax.jit, static_argnums=0)
def random_batch(
    config: Config, ranges: Ranges, statistics: Statistics, key: Key, epoch: Any, index: Any, images: Any
) -> Num[Array, "batch ..."]:
    """The images after a random transform each, and standardize; what an image draws follows from its index."""
    drawn = jax.vmap(partial(uniform_block, role_key(key, epoch, AUGMENT), np.uint32(0)))(index)
    params = jax.vmap(partial(sample_params, jnp, (config.tx, config.ty), ranges))(drawn)
    return _changed(config, params, ranges.cval, statistics, images)


@partial(jax.jit, static_argnums=0)
def given_batch(config: Config, given: Given, cval: Any, statistics: Statistics, images: Any) -> Any:
    """The images after the given transforms, and standardize."""
    return _changed(config, given, cval, statistics, images)


def _changed(config: Config, params: Params | Given, cval: Any, statistics: Statistics, images: Any) -> Any:
    images = jnp.asarray(images)

    def resampled() -> Any:
        return jax.vmap(partial(_resampled, config, cval=cval))(params, images)

    def finished(images: Any) -> Any:
        images = shifted_and_brightened(config, params, images.astype(config.arithmetic))
        return jax.vmap(partial(standardized, config, statistics))(images)

    if not config.affine:
        images = finished(jax.vmap(partial(_mirrored, config))(params, images) if config.flips else images)
    elif config.reduces:
        # The compiler would otherwise pull the resampling into the sums over its result.
        images = finished(fusion_barrier(resampled))
    else:
        images = fusion_barrier(lambda: finished(resampled()))
    if statistics.whitening is not None:
        flat = images.reshape(images.shape[0], -1).astype(statistics.whitening.dtype)
        images = jnp.matmul(flat, statistics.whitening, precision="highest").reshape(images.shape)
    return images.astype(config.dtype)


def _resampled(config: Config, params: Params | Given, image: Any, cval: Any) -> Any:
    """One affine map, the flips in it: what lies between, a channel shift, is the same on either side of a flip."""
    image = jnp.moveaxis(image, 0, -1) if config.channels_first else image
    # Order 1 casts inside the resampling, order 0 must not round cval to the dtype of the source.
    if config.order == 0 or config.arithmetic == np.float64:
        image = image.astype(config.arithmetic)
    if isinstance(params, Given):
        matrix = params.matrix
    else:
        in_row, in_col = _source_rows(jnp, config, params, image.shape[0], image.shape[1])
        matrix = jnp.array([in_row, in_col, (0, 0, 1)], np.float32)
    if config.plan is not None and is_planned(image, config.order):
        image = resample_planned(image, matrix, config.fill_mode, cval, config.order, config.plan)
    else:
        image = warp(image, matrix, config.fill_mode, cval, config.order)
    image = round_to(config.dtype, image).astype(config.arithmetic)
    return jnp.moveaxis(image, -1, 0) if config.channels_first else image


def _source_rows(xp: Any, config: Config, params: Params, rows: int, cols: int) -> tuple[Any, Any]:
    """The upper two rows of the map from output to source, the flips in it."""
    in_row, in_col = affine_matrix(xp, params, rows, cols)
    if config.flips:
        return flipped(in_row, params, rows, cols), flipped(in_col, params, rows, cols)
    return in_row, in_col


def _mirrored(config: Config, params: Params | Given, image: Any) -> Any:
    for axis, flip in ((config.row_axis + 1, params.flip_horizontal), (config.row_axis, params.flip_vertical)):
        image = jnp.where(flip > 0, jnp.flip(image, axis), image)
    return image
