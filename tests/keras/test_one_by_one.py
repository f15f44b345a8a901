"""Single pictures and batches of one are made in NumPy: a compiled batch's draws, and its pixels but for rounding."""

import jax
import numpy as np
import pytest

from jaxiter import permutation
from jaxiter._keys import example_keys, tag, uniforms
from jaxiter.augment.internal import sine_cosine, sine_cosine_on_host
from jaxiter.keras import ImageDataGenerator, _batch, apply_affine_transform
from jaxiter.keras._draw import KIND, NUM_SLOTS, RowKeys
from jaxiter.keras._transform import KerasTransform
from jaxiter.sampler.internal import order_on_host

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 17, 23, 3)).astype(np.uint8)
AFFINE = {"rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 3, "shear_range": 20, "zoom_range": 0.2}
FLIPS = {"horizontal_flip": True, "vertical_flip": True}
COLOURS = {"channel_shift_range": 30.0, "brightness_range": (0.5, 1.5)}
SAMPLEWISE = {"samplewise_center": True, "samplewise_std_normalization": True, "rescale": 1 / 255}

TAG = np.uint32(tag(f"kind/{KIND}/0"))


def test_order_of_the_host_is_the_order():
    key = jax.random.key(7)
    for size in (1, 2, 3, 5, 64, 1000, 5000):
        for epoch in (0, 1, 2**32 - 1):
            expected = np.asarray(permutation(key, epoch, size))
            np.testing.assert_array_equal(order_on_host(key, epoch, size), expected, err_msg=str((size, epoch)))


def test_numbers_of_the_host_are_those_of_the_program():
    key = jax.random.key(2**40 + 3)
    rows, showings = np.arange(50, dtype=np.uint32) * 80_000_000, np.arange(50, dtype=np.uint32) % 3

    @jax.jit
    def drawn(epoch, rows, showings):
        keys = example_keys(key, epoch, rows, showings)
        return jax.vmap(lambda own: uniforms(jax.random.fold_in(own, TAG), NUM_SLOTS))(keys)

    expected = np.asarray(drawn(np.uint32(5), rows, showings))
    np.testing.assert_array_equal(RowKeys(key, 5, rows, showings).blocks(0), expected)
    one = [RowKeys(key, 5, rows[i : i + 1], showings[i : i + 1]).blocks(0)[0] for i in range(50)]  # Python's integers
    np.testing.assert_array_equal(one, expected)
    assert not np.array_equal(RowKeys(key, 5, rows, showings).blocks(1), expected)


def test_sines_and_matrices_of_the_host_are_those_of_the_program_to_the_bit():
    angles = np.linspace(-50, 50, 100_001).astype(np.float32)
    for found, expected in zip(sine_cosine_on_host(angles), jax.jit(sine_cosine)(angles), strict=True):
        np.testing.assert_array_equal(found, np.asarray(expected))
    shape = (17, 23, 3)
    transform = KerasTransform.of(ImageDataGenerator(**AFFINE, **FLIPS, **COLOURS), shape, "float32", standardize=True)
    rows = np.arange(500, dtype=np.uint32)
    blocks = RowKeys(jax.random.key(1), 0, rows, np.zeros_like(rows)).blocks(0)
    keys = example_keys(jax.random.key(1), np.uint32(0), rows)

    @jax.jit
    def sampled(transform, keys):  # its ranges as arguments, as in a batch: constants are multiplied beforehand
        return jax.vmap(lambda own: transform.sample(jax.random.fold_in(own, TAG), shape))(keys)

    expected = sampled(transform, keys)
    for position, block in enumerate(blocks):
        for name, value in zip(expected._fields, transform.sample_on_host(block, shape), strict=True):
            np.testing.assert_array_equal(value, getattr(expected, name)[position], err_msg=f"{name} {position}")


@pytest.mark.parametrize(
    ("options", "dtype", "rng"),
    [
        (AFFINE | FLIPS | COLOURS, "uint8", None),
        (AFFINE | FLIPS | {"fill_mode": "reflect"}, "float32", "keras"),
        (AFFINE | {"interpolation_order": 0, "fill_mode": "wrap"}, "float32", None),
        (AFFINE | {"interpolation_order": 3, "fill_mode": "constant", "cval": 7.0}, "float64", None),
        pytest.param(
            AFFINE | {"interpolation_order": 4, "fill_mode": "reflect"}, "float32", None, marks=pytest.mark.slow
        ),
        ({"width_shift_range": 0.3, "height_shift_range": [1, 2.5]} | FLIPS | COLOURS, "float32", None),
        ({"width_shift_range": 3, "height_shift_range": 4}, "int16", None),
        (AFFINE | {"data_format": "channels_first", "channel_shift_range": 9.0} | SAMPLEWISE, "float32", None),
    ],
)
def test_a_batch_of_one_has_the_pixels_of_the_batch(options, dtype, rng):
    generator = ImageDataGenerator(**options, dtype=dtype)
    images = IMAGES.transpose(0, 3, 1, 2) if "data_format" in options else IMAGES
    together = generator.flow(images, batch_size=6, shuffle=False, seed=3, rng=rng)[0]
    one_by_one = generator.flow(images, batch_size=1, shuffle=False, seed=3, rng=rng)
    if rng is None:
        alone = np.concatenate([next(one_by_one) for _ in images])
    else:  # draws depend on the place in the batch
        together, alone = together[:1], one_by_one[0]
    assert alone.dtype == together.dtype
    assert alone.flags.writeable
    spread = np.ptp(together.astype(np.float64))
    different = np.abs(alone.astype(np.float64) - together) / spread
    if np.dtype(dtype).kind == "f":
        assert different.max() < 2e-6
    else:  # ties may be rounded another way
        assert (different > 0).mean() < 0.002
        assert different.max() < 2 / spread


def test_no_program_is_asked_for_whatever_came_before(monkeypatch):
    """Also the last of a larger batch size stays with the program."""

    class CompiledError(Exception):
        pass

    def refuse(*arguments):
        raise CompiledError

    monkeypatch.setattr(_batch, "random_batch", refuse)
    monkeypatch.setattr(_batch, "given_batch", refuse)
    generator = ImageDataGenerator(**AFFINE, brightness_range=(0.5, 1.5))
    for side in range(8, 20):
        images = np.ones((3, side, 9, 3), np.float32)
        assert next(generator.flow(images, batch_size=1)).shape == (1, side, 9, 3)
        assert next(generator.flow(images[:1])).shape == (1, side, 9, 3)
        assert next(generator.flow(images, batch_size=1, rng="keras", seed=1)).shape == (1, side, 9, 3)
        assert generator.random_transform(images[0]).shape == (side, 9, 3)
    seven = generator.flow(np.ones((7, 8, 9, 3)), batch_size=3, seed=0)
    with pytest.raises(CompiledError):
        seven[2]


def test_a_large_picture_is_resampled_as_a_small_part_of_it_is():
    """Some rows are made at a time."""
    image = np.random.default_rng(1).random((400, 300, 2)).astype(np.float32)
    moved = apply_affine_transform(image, 0, 3.25, 0, row_axis=0, col_axis=1, channel_axis=2)
    expected = 0.75 * image[:, 3:-1] + 0.25 * image[:, 4:]
    np.testing.assert_allclose(moved[:, :-4], expected, rtol=0, atol=1e-6)
