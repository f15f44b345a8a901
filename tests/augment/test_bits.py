"""Pixels are equal to the last bit in every batch size and every way to ask for them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Chain, Loader, Rescale, explain, scan_epoch

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


@pytest.mark.slow  # many programs; test_laws.py in the loader's folder holds the law closely, this one to the bit
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("ranges", ["static", "traced"])
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
