"""Random numbers of NumPy and Python in functions that JAX traces, where they would be drawn once and for all."""

import random
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Chain, Loader, Map, Transform, deterministic

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


GENERATOR, LEGACY, PYTHON = np.random.default_rng(0), np.random.RandomState(0), random.Random(0)
SECOND = np.random.default_rng(1)
draw = GENERATOR.normal


def one_way_or_the_other(image):
    return image[::-1] if np.random.rand() < 0.5 else image


@jax.jit
def jitted(key):
    return jax.random.uniform(key) * np.float32(np.random.uniform())


def by_default(image, generator=SECOND):
    return image * np.float32(generator.uniform())


def helper():
    return np.float32(GENERATOR.uniform())


def new():
    return np.random.default_rng()


class Owner:
    """Draws from its own, by any way to call it."""

    def __init__(self):
        self.generators = {"all": [random.Random(1)]}

    def scale(self, image):
        return image * np.float32(self.generators["all"][0].gauss(0, 1))

    __call__ = scale


@dataclass(frozen=True, eq=False)
class OwnedStep(Transform):
    generator: np.random.Generator

    def apply(self, params, image):
        return image + jnp.asarray(self.generator.normal(size=image.shape), np.float32)


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
    "a generator in a Map": Map(lambda image: image * np.float32(GENERATOR.uniform())),
    "a legacy one in a Map": Map(lambda image: image[::-1] if LEGACY.rand() < 0.5 else image),
    "one of Python in a Map": Map(jax.jit(lambda image: image * np.float32(PYTHON.random()))),
    "one in a helper of a Map": Map(lambda image: image * helper()),
    "one by default in a Map": Map(by_default),
    "one of a partial Map": Map(partial(by_default, generator=np.random.default_rng(2))),
    "one of a bound method in a Map": Map(Owner().scale),
    "one of an object in a Map": Map(Owner()),
    "its own method in a Map": Map(lambda image: image * np.float32(draw())),
    "a new one in a Map": Map(lambda image: image * np.float32(new().uniform())),
    "the system's in a Map": Map(lambda image: image * np.float32(random.SystemRandom().random())),
    "one of its own, inside apply": OwnedStep(np.random.default_rng(3)),
    "in evaluation, inside apply": deterministic(own(apply=lambda params, image: image * helper())),
}


REFUSED = r"(Own|OwnedStep|Map).* is another program each time it is traced.*Draw from `key`"


@pytest.mark.parametrize("name", FROZEN)
def test_random_numbers_that_would_freeze_are_refused(name):
    image, chain = BYTES.astype(np.float32 if "Map" in name or "apply" in name else np.uint8), Chain(FROZEN[name])
    with pytest.raises(TypeError, match=REFUSED):
        jax.eval_shape(chain.sample_and_apply, KEY, image)


@pytest.mark.parametrize("name", ["a number", "inside apply", "inside a Map"])
def test_a_loader_refuses_them_at_the_first_batch(name):
    loader = Loader(np.ones((2, *SHAPE), np.float32), batch_size=2, augment=FROZEN[name])
    with pytest.raises(TypeError, match=REFUSED):
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


def test_a_generator_that_decides_nothing_passes():
    """Also one that another thread, or something that is only logged, draws from; and a fixed table of numbers."""

    def apply(params, image):
        GENERATOR.uniform(), LEGACY.rand(), random.random()
        return image.astype(np.float32) * np.float32(np.random.default_rng(0).uniform())

    expected = BYTES * np.float32(np.random.default_rng(0).uniform())
    np.testing.assert_array_equal(Chain(own(apply=apply)).sample_and_apply(KEY, BYTES), expected)


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
