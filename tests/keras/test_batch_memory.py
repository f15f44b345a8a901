import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxiter._host_rows import aligned_rows
from jaxiter.keras import ImageDataGenerator
from jaxiter.keras._batch import to_numpy

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)


@jax.jit
def doubled(x):
    return x + x


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "bool", "int32"])
def test_a_batch_is_handed_over_in_its_own_memory_and_may_be_written_to(dtype):
    batch = doubled(jnp.ones((4, 3), dtype))
    handed = to_numpy(batch, 3)
    assert handed.dtype == dtype
    assert handed.shape == (3, 3)
    assert handed.ctypes.data == batch.unsafe_buffer_pointer()
    expected = np.array(batch)[:3]
    np.testing.assert_array_equal(handed, expected)
    handed[0] = 0
    assert not handed[0].any()


def test_the_memory_lives_as_long_as_the_array_that_lies_over_it():
    handed = [to_numpy(doubled(jnp.full((1000, 100), value, jnp.float32)), 1000) for value in range(20)]
    gc.collect()
    for value, array in enumerate(handed):
        assert (array == 2 * value).all()


@pytest.mark.parametrize("batch", [np.ones((4, 3)), jnp.ones((4, 3), jnp.bfloat16), jnp.ones((0, 3)), "sharded"])
def test_what_cannot_be_shared_is_copied(batch):
    if isinstance(batch, str):
        mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
        batch = jax.device_put(jnp.ones((4, 3)), NamedSharding(mesh, PartitionSpec("data")))
    handed = to_numpy(batch, 3)
    assert handed.dtype == batch.dtype
    np.testing.assert_array_equal(handed.astype(np.float32), np.ones((min(3, len(batch)), 3)))
    handed += 1


@pytest.mark.parametrize("dtype", ["uint8", "float64", "float16", "S3"])
def test_rows_are_taken_as_numpy_takes_them(dtype):
    images = IMAGES.astype(dtype)
    rows = np.array([3, 0, 11, 3])
    found = aligned_rows(images, rows)
    assert found.dtype == images.dtype
    np.testing.assert_array_equal(found, images[rows])
    assert aligned_rows(images, rows[:0]).shape == (0, 8, 8, 3)


def test_writing_to_a_batch_changes_neither_the_next_nor_the_source():
    kept = IMAGES.copy()
    for arguments in ({"rotation_range": 20}, {"rescale": 2.0}, {"horizontal_flip": True}, {}):
        clean = ImageDataGenerator(**arguments).flow(IMAGES, batch_size=4, seed=1)
        written = ImageDataGenerator(**arguments).flow(IMAGES, batch_size=4, seed=1)
        for _ in range(6):
            batch = next(written)
            np.testing.assert_array_equal(batch, next(clean))
            batch[...] = -1
    np.testing.assert_array_equal(IMAGES, kept)


def test_places_may_be_counted_from_the_end_and_must_exist():
    generator = ImageDataGenerator(validation_split=0.25)
    it = generator.flow(IMAGES, subset="training", shuffle=False)
    batch = it._get_batches_of_transformed_samples(np.array([-1, 0, -9]))
    np.testing.assert_array_equal(batch, IMAGES[[11, 3, 3]])
    for place in (9, -10):
        with pytest.raises(IndexError, match=r"expected places among 9 images"):
            it._get_batches_of_transformed_samples(np.array([place]))
