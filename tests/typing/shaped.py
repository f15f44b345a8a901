"""Types that jaxtyping names: arrays where it is installed, and anything to a checker where it is not."""

from typing import assert_type

import jax
import numpy as np

import jaxiter as jx


def arrays(loader: jx.Loader, key: jax.Array, image: jax.Array) -> None:
    assert_type(loader.index(key, 0, 0), jax.Array)
    assert_type(loader.mask(0), jax.Array)
    assert_type(jx.permutation(key, 0, 100), jax.Array)
    assert_type(jx.shuffled(key, 0, np.arange(3), 100), jax.Array)
    assert_type(jx.mixup(key, image, np.arange(10), num_classes=10), tuple[jax.Array, jax.Array])
    assert_type(jx.affine_warp(image, np.eye(3)), jax.Array)
    assert_type(jx.Rescale(1 / 255).apply((), image), jax.Array)
    assert_type(jx.rotation_matrix(0.5), jax.Array)
