"""Random numbers of NumPy and Python in functions that JAX traces, where they would be drawn once and for all."""

import random
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Chain, Loader, Map

SHAPE = (4, 6, 1)
BYTES = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
KEY = jax.random.key(0)


def own(sample=lambda key, shape: (), apply=lambda params, image: image):
    class Own:
        def sample(self, key, image_shape):
            return sample(key, image_shape)

        def apply(self, params, image):
            return apply(params, image)

    return Own()


GENERATOR = np.random.default_rng(0)


def one_way_or_the_other(image):
    return image[::-1] if np.random.rand() < 0.5 else image


@jax.jit
def jitted(key):
    return jax.random.uniform(key) * np.float32(np.random.uniform())


FROZEN = {
    "a number": own(lambda key, shape: np.random.uniform()),
    "an array": own(lambda key, shape: np.random.normal(size=shape)),
    "one of Python": own(lambda key, shape: jnp.float32(random.random())),
    "one of a generator": own(lambda key, shape: jax.random.uniform(key) * np.float32(GENERATOR.uniform())),
    "one of a new generator": own(lambda key, shape: np.random.default_rng().uniform()),
    "a seed": own(lambda key, shape: jax.random.uniform(jax.random.key(np.random.randint(2**30)))),
    "a branch": own(lambda key, shape: key if np.random.rand() < 0.5 else jax.random.fold_in(key, 1)),
    "under jit": own(lambda key, shape: jitted(key)),
    "a slice": own(
        apply=lambda params, image: jax.lax.dynamic_slice(image, (np.random.randint(10**6), 0, 0), (1, 6, 1))
    ),
    "inside apply": own(apply=lambda params, image: image + np.float32(np.random.uniform())),
    "inside a loop": own(
        apply=lambda params, image: jax.lax.map(lambda row: row * np.uint8(random.getrandbits(7)), image)
    ),
    "inside a Map": Map(lambda image: image * np.float32(np.random.uniform())),
    "a branch in a Map": Map(one_way_or_the_other),
}


@pytest.mark.parametrize("name", FROZEN)
def test_random_numbers_that_would_freeze_are_refused(name):
    images = np.stack([BYTES.astype(np.float32 if "Map" in name or "apply" in name else np.uint8)] * 2)
    loader = Loader(images, batch_size=2, augment=Chain(FROZEN[name]))
    with pytest.raises(TypeError, match=r"(Own|Map).* is another program each time it is traced.*Draw from `key`"):
        loader.batch(KEY, 0, 0)


def test_what_draws_from_its_key_passes_and_is_looked_at_once():
    traces = []

    def sample(key, shape):
        traces.append(shape)
        table = jnp.asarray(np.linspace(0, 1, 7), np.float32)
        return jax.lax.fori_loop(0, 3, lambda i, x: x + table[i], jax.random.normal(key, shape))

    chain = Chain(own(sample))
    for seed in range(3):
        chain.sample(jax.random.key(seed), SHAPE)
    assert len(traces) == 2 + 3
    jax.eval_shape(jax.vmap(partial(chain.sample, image_shape=SHAPE)), jax.random.split(KEY))
    assert len(traces) == 2 + 3 + 1


def test_apply_is_traced_once_as_ever():
    traces = []

    def apply(params, image):
        traces.append(image.shape)
        return image

    loader = Loader(np.stack([BYTES] * 4), batch_size=2, augment=Chain(own(apply=apply)))
    for step in range(2):
        loader.batch(KEY, 0, step)
    assert traces == [SHAPE]


def test_looking_touches_no_global_generator():
    before = np.random.get_state()[1].tolist(), random.getstate()
    Chain(own(lambda key, shape: jax.random.normal(key))).sample_and_apply(KEY, BYTES)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
