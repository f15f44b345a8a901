"""Pixels are equal to the last bit in every batch size and every way to ask for them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Chain, ColorJitter, Loader, Rescale, explain, scan_epoch
from jaxiter.augment._sums import channel_means, sum_of_all

from ..data import each_once, one_suite_later

OPTIMIZED = True  # bits are compared; see ../conftest.py

FULL = Affine(rotation=40, shift=0.1, shear=(-5, 20), zoom=(0.8, 1.3), horizontal_flip=True, fill_mode="reflect")
SIZE = 61
IMAGES = np.random.default_rng(0).integers(0, 256, (SIZE, 16, 13, 3), np.uint8)
MASKS = np.random.default_rng(1).random((SIZE, 9, 12, 1), np.float32)


def in_batches(loader, key):
    """Every image of the first epoch, in the order of the rows."""
    steps = [loader.batch(key, 0, step) for step in range(loader.num_steps)]
    index = np.concatenate([loader.index(key, 0, step) for step in range(loader.num_steps)])
    kept = np.concatenate([loader.mask(step) for step in range(loader.num_steps)])
    leaves = jax.tree.map(lambda *parts: np.concatenate(parts)[kept][np.argsort(index[kept])], *steps)
    return leaves if isinstance(leaves, tuple) else (leaves,)


AXES, CASES = each_once(order=[1, 3], ranges=["static", "traced"])


# Many programs; test_laws.py in the loader's folder holds the law closely, this one to the bit.
@pytest.mark.parametrize(AXES, one_suite_later(CASES))
def test_pixels_do_not_depend_on_the_batch(key, order, ranges):
    affine = replace(FULL, order=order)
    if ranges == "traced":
        affine = replace(affine, rotation=np.float32([-40, 40]), zoom=np.float32([0.8, 1.3]))
    chain = Chain(affine, Rescale(1 / 255))
    loader = Loader(jnp.asarray(IMAGES), batch_size=SIZE, augment=chain)
    (expected,) = in_batches(loader, key)
    for batch_size in (1, 2, 3, 5):
        loader = Loader(jnp.asarray(IMAGES), batch_size=batch_size, augment=chain, remainder="pad")
        (found,) = in_batches(loader, key)
        np.testing.assert_array_equal(found, expected, err_msg=f"batches of {batch_size}")
    pair = Loader((jnp.asarray(IMAGES), jnp.asarray(MASKS)), batch_size=5, augment=(chain, affine), remainder="pad")
    np.testing.assert_array_equal(in_batches(pair, key)[0], expected, err_msg="beside another leaf")
    small = Loader(jnp.asarray(IMAGES[:6]), batch_size=3, augment=chain, shuffle=False)
    _, batches = scan_epoch(lambda carry, batch: (carry, batch), 0, small, key, 0)
    np.testing.assert_array_equal(np.concatenate(batches), expected[:6], err_msg="in a scan")
    for row in range(3):
        np.testing.assert_array_equal(explain(small, key, 0, row).after, expected[row], err_msg="explained")


def test_sums_of_a_picture_are_the_same_bits_in_batches_of_every_size():
    """A library's reduction adds in another order for other sizes, from some sizes on: 1, 3, 32 and 61 differ."""
    images = np.random.default_rng(0).uniform(0, 255, (61, 32, 32, 3)).astype(np.float32)
    sums = jax.jit(jax.vmap(lambda image: (channel_means(image), sum_of_all(image))))
    whole = sums(images)
    for size in (1, 3, 32):
        for part, of_whole in zip(sums(images[:size]), whole, strict=True):
            np.testing.assert_array_equal(part, of_whole[:size])
    exact = images.astype(np.float64)
    np.testing.assert_allclose(whole[0], exact.mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(whole[1], exact.sum((1, 2, 3)), rtol=1e-6)


def test_a_draw_is_the_same_in_the_program_that_uses_it_and_in_one_before():
    """Which the draws of `scan_epoch` are made in. A product of a draw was folded into a later one."""
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3)).astype(np.uint8)
    keys = jax.random.split(jax.random.key(0), 40)
    step = Chain(Affine(rotation=10, shift=0.1), ColorJitter(0.3, 0.3, 0.3, 0.4))
    sampled = jax.jit(jax.vmap(lambda key: step.sample(key, (4, 4, 3))))(keys)
    apart = jax.jit(jax.vmap(step.apply))(sampled, images)
    together = jax.jit(jax.vmap(lambda key, image: step.apply(step.sample(key, image.shape), image)))(keys, images)
    np.testing.assert_array_equal(apart, together)
