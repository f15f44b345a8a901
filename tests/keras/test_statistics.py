"""`fit` where Keras' figures hang on how they are computed, and where there are none."""

import os

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator
from jaxiter.keras import _statistics as _fit

from .reference import legacy
from .test_generator import pictures

FLAGS = {"featurewise_center": True, "featurewise_std_normalization": True}


def fitted(module, images, *, centred=True, divided=False, **arguments):
    generator = module.ImageDataGenerator(featurewise_center=True, **arguments)
    generator.featurewise_center, generator.featurewise_std_normalization = centred, divided
    generator.fit(images)
    return generator


class Ours:
    ImageDataGenerator = ImageDataGenerator


def with_a_border(images):
    images[:, :2] = images[:, :, :2] = 0
    return images


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(60, 6, 6, 1), (9, 5, 4, 3)])
def test_a_constant_border_gives_keras_matrix_to_the_bit(shape, dtype):
    images = with_a_border(pictures(shape, dtype=dtype))
    ours, theirs = (fitted(module, images, zca_whitening=True) for module in (Ours, legacy))
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-6)
    np.testing.assert_array_equal(ours.zca_whitening_matrix, theirs.zca_whitening_matrix)
    for x in (images[0].astype(np.float32), images.astype(np.float64)):
        np.testing.assert_allclose(ours.standardize(x.copy()), theirs.standardize(x.copy()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("arguments", [{}, {"rescale": 1 / 255}, {"divided": True}])
def test_what_is_not_centred_is_whitened_about_zero(arguments, data_format, in_blocks, monkeypatch):
    if in_blocks:
        monkeypatch.setattr(_fit, "_AT_ONCE_BYTES", 0)
    images = pictures((90, 4, 5, 3) if data_format == "channels_last" else (90, 3, 4, 5))
    arguments = arguments | {"zca_whitening": True, "zca_epsilon": 1e-2, "data_format": data_format}
    found, expected = (
        fitted(module, images, centred=False, **arguments).zca_whitening_matrix for module in (Ours, legacy)
    )
    centred = fitted(Ours, images, **arguments).zca_whitening_matrix
    tolerance = 5e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert np.abs(found - centred).max() > tolerance


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("whitened", [False, True])
def test_mean_and_std_of_a_large_array_below_the_limit_are_right(whitened, data_format):
    """Keras adds up a million float32 one by one."""
    images = np.random.RandomState(0).rand(60000, 4, 4, 3) * 0.1 + [0.59, 0.597, 0.675]
    images = np.float32(images if data_format == "channels_last" else np.moveaxis(images, -1, 1))
    generator = ImageDataGenerator(**FLAGS, data_format=data_format)
    generator.zca_whitening = whitened
    generator.fit(images)
    assert (generator.zca_whitening_matrix is not None) == whitened
    axes = (0, generator.row_axis, generator.col_axis)
    np.testing.assert_allclose(generator.mean, images.mean(axes, np.float64, keepdims=True)[0], rtol=1e-7)
    np.testing.assert_allclose(generator.std, images.std(axes, np.float64, keepdims=True)[0], rtol=1e-7)


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_pixel_that_is_nan_makes_the_figures_of_its_channel_nan(in_blocks, monkeypatch):
    if in_blocks:
        monkeypatch.setattr(_fit, "_AT_ONCE_BYTES", 0)
    images = pictures((5, 4, 4, 3))
    images[1, 2, 2, 0] = np.nan
    ours, theirs = ImageDataGenerator(**FLAGS), legacy.ImageDataGenerator(**FLAGS)
    for generator in (ours, theirs):
        generator.fit(images)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-5)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-5)
    assert np.isnan(ours.mean).ravel().tolist() == [True, False, False]


def test_no_images_give_no_numbers_as_in_keras():
    for module in (Ours, legacy):
        with pytest.warns(RuntimeWarning):
            assert np.isnan(fitted(module, np.zeros((0, 4, 4, 3))).mean).all()


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mean_and_std_have_the_dtype_of_the_data(dtype, in_blocks, monkeypatch):
    if in_blocks:
        monkeypatch.setattr(_fit, "_AT_ONCE_BYTES", 0)
    images = pictures((5, 4, 4, 3)) / 255
    ours, theirs = ImageDataGenerator(**FLAGS, dtype=dtype), legacy.ImageDataGenerator(**FLAGS, dtype=dtype)
    for generator in (ours, theirs):
        generator.fit(images)
    for name in ("mean", "std"):
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype == dtype
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=2e-3 if dtype == "float16" else 1e-6
        )


def test_integers_are_rescaled_as_floats_though_keras_cannot():
    generator = ImageDataGenerator(featurewise_center=True, rescale=0.25, dtype="uint8")
    generator.fit(np.full((2, 4, 4, 1), 7, np.uint8))
    assert generator.mean.item() == 1.75


def test_images_too_large_for_whitening_are_refused_in_the_words_of_fit():
    generator = ImageDataGenerator(featurewise_center=True, zca_whitening=True)
    images = np.broadcast_to(np.float32(0), (2, 224, 224, 3))
    with pytest.raises(ValueError, match=r"zca_whitening for images of 150528 numbers .* GiB.* smaller") as refused:
        generator.fit(images)
    assert "max_bytes" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments", [{}, {"rescale": 1 / 16}, {"horizontal_flip": True, "zca_epsilon": 1e-2}], ids=str
)
def test_batches_are_whitened_as_keras_does_where_pixels_never_change(arguments):
    """Their directions are magnified a million times, and float32 has nothing there but noise."""
    images = np.pad(pictures((60, 4, 4, 1)), ((0, 0), (2, 1), (1, 2), (0, 0)))
    batches = []
    for cls, options in ((ImageDataGenerator, {"rng": "keras"}), (legacy.ImageDataGenerator, {})):
        generator = cls(featurewise_center=True, zca_whitening=True, **arguments)
        generator.fit(images)
        batches.append(next(generator.flow(images, batch_size=25, seed=3, **options)))
    assert batches[0].dtype == np.float32
    np.testing.assert_allclose(*batches, rtol=0, atol=1e-5 * np.abs(batches[1]).max())


def test_whitening_in_64_bits_changes_no_draw_and_leaves_the_flag_alone():
    images = pictures((30, 6, 5, 3), dtype=np.uint8)
    plain = ImageDataGenerator(rotation_range=30, zoom_range=0.2, horizontal_flip=True)
    whitened = ImageDataGenerator(True, rotation_range=30, zoom_range=0.2, horizontal_flip=True, zca_whitening=True)
    whitened.fit(images)
    whitened.featurewise_center = False
    expected = whitened.standardize(next(plain.flow(images, seed=1)).astype(np.float64))
    np.testing.assert_allclose(
        next(whitened.flow(images, seed=1)), expected, rtol=0, atol=1e-3 * np.abs(expected).max()
    )
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("augment", [False, True])
def test_files_that_are_read_like_arrays_are_read_by_rising_rows_and_checked(augment, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 40, 40, 3), np.uint8)

    class Stored:
        shape, dtype, ndim = images.shape, images.dtype, images.ndim

        def __len__(self):
            return len(images)

        def __getitem__(self, rows):
            assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
            return images[rows]

    def mean_of(source):
        generator = ImageDataGenerator(featurewise_center=True, rotation_range=5)
        generator.fit(source, augment=augment, rounds=2, seed=1)
        return generator.mean

    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    stored[:] = images
    expected = mean_of(images)
    np.testing.assert_array_equal(mean_of(Stored()), expected)
    np.testing.assert_array_equal(mean_of(np.asarray(stored)), expected)
    os.truncate(tmp_path / "images", 4096)
    with pytest.raises(OSError, match="x is in a mapped file"):
        mean_of(stored)
