"""`computed_once`: a barrier in programs for GPUs, nothing in those for CPU, and always the identity."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Loader
from jaxiter._fusion_barrier import computed_once


def test_computed_once_is_the_identity_and_so_are_its_derivatives():
    def cubes(x):
        return (computed_once(x) ** 3).sum()

    x = jnp.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(computed_once(x), x)
    np.testing.assert_allclose(jax.vmap(jax.grad(cubes), 1, 1)(x), 3 * x**2)
    np.testing.assert_allclose(jax.jit(jax.hessian(cubes))(x[0]), np.diag(6 * x[0]))


@pytest.mark.parametrize("platform", ["cuda", "tpu", "cpu"])
def test_order_and_matrices_stand_behind_a_barrier_but_on_cpu(platform, key):
    def batch(images):
        return Loader(images, batch_size=2, augment=Affine(rotation=15)).batch(key, 0, 0)

    images = np.zeros((4, 8, 8, 1), np.uint8)
    text = jax.jit(batch).trace(images).lower(lowering_platforms=(platform,)).as_text()
    held = re.findall(r"stablehlo.optimization_barrier .* : tensor<(.*)>", text)
    # On CPU only the predicate of its conditional.
    assert held == (["i32"] if platform == "cpu" else ["2xi32", "3x3x2xf32"])
