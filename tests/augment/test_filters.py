"""Sharpness, Blur and Noise: Pillow's and SciPy's definitions, the same bits in every batch, normal numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage, stats

from jaxiter import Blur, Brightness, Chain, Loader, Noise, Sharpness, deterministic
from jaxiter.augment import NoiseParams, _noise

from ..data import photo

OPTIMIZED = True  # which decides how products and sums are rounded

KEY = jax.random.key(5)
PHOTO = photo(40, 50)
IMAGES = np.stack([PHOTO, PHOTO[::-1], PHOTO[:, ::-1], 255 - PHOTO, PHOTO // 2])


# Sharpness


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5])
def test_sharpness_is_pillows_up_to_its_rounding(factor):
    """Pillow rounds the smooth picture before it blends, and cuts the fraction of the result off."""
    found = np.asarray(Sharpness(0.5).apply(jnp.float32(factor), PHOTO))
    assert found.dtype == np.float32
    expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(PHOTO)).enhance(factor), np.float32)
    assert np.abs(np.clip(found, 0, 255) - expected).max() < 1 + 0.5 * abs(1 - factor)
    inner = ndimage.correlate(PHOTO.astype(np.float64), np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]])[..., None] / 13)
    exact = PHOTO.astype(np.float64)
    exact[1:-1, 1:-1] = inner[1:-1, 1:-1] + factor * (exact - inner)[1:-1, 1:-1]
    np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 9, 3), (9, 2, 1), (1, 1, 2), (0, 4, 3), (3, 3, 2)])
def test_small_pictures_have_no_inner_pixels_or_one(shape):
    image = np.random.default_rng(0).normal(0, 9, shape).astype(np.float32)
    is_same = np.equal(Sharpness(1).apply(jnp.float32(0), image), image).all(-1)
    assert np.array_equal(~is_same, np.pad(np.ones((1, 1), bool), 1) if shape == (3, 3, 2) else np.zeros(shape[:2]))


# Blur


@pytest.mark.parametrize("shape", [(40, 50, 3), (9, 4, 2), (1, 7, 1)])
def test_blur_is_scipys_gaussian_filter_and_reaches_beyond_both_borders(shape):
    """Of the larger sigmas and the smaller pictures the filter is wider than the picture."""
    image = PHOTO[: shape[0], : shape[1], : shape[2]]
    for largest in (1.0, 3.0):
        blur = jax.jit(Blur((0, largest)).apply)
        for sigma in (0.3, 0.8, largest):
            truncate = np.ceil(4 * largest) / sigma
            expected = ndimage.gaussian_filter(
                image.astype(np.float64), (sigma, sigma, 0), mode="mirror", truncate=truncate
            )
            np.testing.assert_allclose(blur(np.float32(sigma), image), expected, atol=2e-4)


def test_a_sigma_of_0_changes_nothing():
    for blur in (Blur(0), Blur((0, 0.5))):
        found = blur.apply(jnp.float32(0), PHOTO)
        assert found.dtype == np.float32
        assert np.array_equal(found, PHOTO)


def test_a_flat_picture_stays_and_a_sum_is_kept():
    """The weights sum to 1, and from the inside nothing is lost."""
    blur, point = jax.jit(Blur(1).apply), np.zeros((21, 21, 1), np.float32)
    np.testing.assert_allclose(blur(np.float32(1), np.full_like(point, 200)), 200, rtol=3e-7)
    point[10, 10] = 1
    point = blur(np.float32(1), point)
    np.testing.assert_allclose(point.sum(), 1, rtol=1e-6)


# Both


def test_pixels_are_the_same_bits_in_batches_of_every_size():
    augment = Chain(Brightness(0.3), Sharpness((0, 3)), Blur((0.1, 2)), Sharpness(0.5))
    batches = [
        np.asarray(Loader(IMAGES, batch_size=size, augment=augment, shuffle=False).to_device().batch(KEY, 1, 0))
        for size in (1, 2, 5)
    ]
    for batch in batches:
        assert np.array_equal(batch, batches[-1][: len(batch)])


@pytest.mark.slow
@pytest.mark.parametrize("step", [Sharpness((1, 3)), Blur((0.5, 1))])
def test_derivatives_are_those_of_differences(step):
    image = jnp.asarray(PHOTO[:5, :6], jnp.float32)

    def of(params):
        return (step.apply(params, image) * np.cos(np.arange(image.size, dtype=np.float32)).reshape(image.shape)).sum()

    params, by = jnp.float32(0.8), np.float32(0.01)
    difference = (of(params + by) - of(params - by)) / (2 * by)
    np.testing.assert_allclose(jax.grad(of)(params), difference, rtol=5e-3, atol=5e-2)


# Noise


def numbers(noise, keys, shape):
    """Of every key, for a picture of zeros."""
    return np.asarray(
        jax.jit(jax.vmap(lambda key: noise.apply(noise.sample(key, shape), jnp.zeros(shape))))(keys), np.float64
    )


@pytest.fixture(scope="module")
def normal():
    return numbers(Noise(2), jax.random.split(KEY, 60), (40, 50, 3)) / 2


def test_noise_is_normal(normal):
    count = normal.size
    assert abs(normal.mean()) < 5 / np.sqrt(count)
    assert abs(normal.std() - 1) < 5 / np.sqrt(2 * count)
    assert abs(stats.skew(normal, axis=None)) < 5 * np.sqrt(6 / count)
    assert abs(stats.kurtosis(normal, axis=None)) < 5 * np.sqrt(24 / count)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-4
    expected = count * stats.norm.sf(4)
    for tail in (normal > 4, normal < -4):  # which the others do not see
        assert abs(tail.sum() - expected) < 5 * np.sqrt(expected)


def test_both_tails_end_alike_and_none_is_infinite(monkeypatch):
    """One word in 2**24 is 0 in its upper bits, which no sample of numbers shows."""
    monkeypatch.setattr(_noise, "words", lambda key, count: jnp.array([0, 2**31, 2**31 - 1, 2**32 - 1], jnp.uint32))
    params = NoiseParams(jnp.float32(1), jnp.zeros(2, jnp.uint32))
    least, above, below, most = Noise(1).apply(params, np.zeros(4, np.float32)).tolist()
    assert (least, below) == (-most, -above)
    assert 5.4 < most < 5.45


def test_no_two_numbers_depend_on_each_other(normal):
    """Not those of neighbours, channels, halves of the words, or pictures, nor their squares."""
    flat = normal.reshape(len(normal), -1)
    half = flat.shape[1] // 2
    pairs = {
        "rows": (normal[:, 1:], normal[:, :-1]),
        "cols": (normal[:, :, 1:], normal[:, :, :-1]),
        "channels": (normal[..., 1:], normal[..., :-1]),
        "first and last": (normal[..., 0], normal[..., 2]),
        "halves": (flat[:, :half], flat[:, half:]),
        "pictures": (normal[1:], normal[:-1]),
    }
    for name, (one, other) in pairs.items():
        for power in (1, 2):
            correlation = np.corrcoef(one.ravel() ** power, other.ravel() ** power)[0, 1]
            assert abs(correlation) < 5 / np.sqrt(one.size), name


def test_noise_follows_the_key_the_epoch_and_the_row_and_not_the_batch():
    loader = Loader(np.zeros_like(IMAGES), batch_size=5, augment=Noise(1), shuffle=False).to_device()
    first, again, later = (np.asarray(loader.batch(KEY, epoch, 0), np.float64) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    count = np.sqrt(first.size)
    assert abs(np.corrcoef(first.ravel(), later.ravel())[0, 1]) < 5 / count
    other = np.asarray(loader.batch(jax.random.key(6), 0, 0), np.float64)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 5 / count
    small = Loader(np.zeros_like(IMAGES), batch_size=2, augment=Noise(1), shuffle=False).to_device().batch(KEY, 0, 0)
    np.testing.assert_allclose(small, first[:2], atol=1e-6)


def test_the_standard_deviation_is_drawn_for_each_picture_or_traced():
    noise = Noise((1, 3))
    drawn = jax.vmap(lambda key: noise.sample(key, (2, 2, 1)).std)(jax.random.split(KEY, 2000))
    assert stats.kstest((np.asarray(drawn) - 1) / 2, "uniform").pvalue > 1e-4
    params = noise.sample(KEY, PHOTO.shape)
    added = np.asarray(noise.apply(params, PHOTO)) - PHOTO
    np.testing.assert_allclose(added.std(), params.std, rtol=0.05)
    traced = jax.jit(lambda std: Noise(std).sample(KEY, PHOTO.shape).std)
    assert traced(np.float32(7.5)) == 7.5
    assert np.array_equal(Noise(0).apply(Noise(0).sample(KEY, PHOTO.shape), PHOTO), PHOTO)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 1), (0, 3)])
def test_noise_takes_leaves_of_any_rank_and_clips_nothing(shape):
    image = np.full(shape, 255, np.uint8)
    found = Noise(9).apply(NoiseParams(jnp.float32(1e3), jnp.array([1, 2], jnp.uint32)), image)
    assert (found.shape, found.dtype) == (shape, np.float32)
    if len(shape) == 4:
        assert found.min() < 0
        assert found.max() > 255


# Evaluation, draws and errors


def test_in_evaluation_noise_and_random_filters_go_and_the_dtype_stays():
    kept = (Sharpness((2, 2)), Blur(1))
    chain = Chain(Noise(1), Sharpness(0.5), Blur((0, 1)), *kept)
    assert deterministic(chain).transforms[3:] == kept
    assert np.array_equal(deterministic(Chain(Noise(1), Blur((0, 1)))).apply(((), ()), PHOTO), PHOTO.astype(np.float32))


def test_draws_are_pinned():
    chain = Chain(Sharpness(0.5), Blur((0, 2)), Noise((1, 9)))
    found = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(chain.sample(KEY, PHOTO.shape))]
    np.testing.assert_allclose(found[:3], PINNED[:3], rtol=1e-6)
    assert found[3] == PINNED[3]


PINNED = [0.6271612048149109, 1.0357764959335327, 6.484996318817139, [2544455941, 3285999355]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sharpness(-0.5), "range is -0.5"),
        (lambda: Sharpness(0.5).apply(jnp.float32(1), PHOTO[..., 0]), r"expected \(height, width, channels\)"),
        (lambda: Blur(np.array(2.0)), "sigma is .*; expected a number or a pair of numbers: how many pixels count"),
        (lambda: Blur((0, jnp.float32(2.0))), "sigma is .*; expected a number or a pair of numbers"),
        (lambda: Blur(-1), "sigma is -1; expected numbers from 0 to 32"),
        (lambda: Blur(33), "sigma is 33; expected numbers from 0 to 32"),
        (lambda: Blur((3, 1)), "sigma is"),
        (lambda: Blur(1).apply(jnp.float32(1), IMAGES), "for a batch use jax.vmap"),
        (lambda: Noise(-1), "std is -1; expected 0 or more"),
        (lambda: Noise((-1, 2)), r"std is \(-1, 2\); expected 0 or more"),
        (lambda: Noise(float("nan")), "std is nan"),
        (lambda: Noise("loud"), "std is 'loud'"),
    ],
)
def test_bad_ranges_and_pictures_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
