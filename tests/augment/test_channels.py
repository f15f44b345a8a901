"""Colours that mix channels, and rectangles: Pillow's, HSV's and the papers' definitions, one matrix, kept dtypes."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import stats

from jaxiter import (
    Affine,
    Brightness,
    Chain,
    ChannelShift,
    Clip,
    ColorJitter,
    Contrast,
    Cutout,
    Erase,
    Gamma,
    Grayscale,
    Hue,
    Noise,
    Normalize,
    Rescale,
    Saturation,
    deterministic,
)

from ..data import in_turn, photo

KEY = jax.random.key(5)
PHOTO = photo(40, 50)
IMAGES = np.stack([PHOTO, PHOTO[::-1], PHOTO[:, ::-1], 255 - PHOTO, PHOTO // 2])


# One by one


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_contrast_and_saturation_are_pillows_up_to_its_rounding(factor):
    """Pillow rounds the mean, or the grey of every pixel, before it blends, and the result after."""
    picture = Image.fromarray(PHOTO)
    for made, reference in ((Contrast(0.5), ImageEnhance.Contrast), (Saturation(0.5), ImageEnhance.Color)):
        found = np.asarray(made.apply(jnp.float32(factor), PHOTO))
        assert found.dtype == np.float32
        expected = np.asarray(reference(picture).enhance(factor), np.float32)
        assert np.abs(np.clip(found, 0, 255) - expected).max() < 1 + 0.5 * abs(1 - factor)


def test_grey_is_pillows():
    expected = np.asarray(Image.fromarray(PHOTO).convert("L"), np.float32)[..., None]
    assert np.abs(np.asarray(Grayscale(1.0).apply(jnp.bool_(True), PHOTO)) - expected).max() < 0.51
    assert np.array_equal(Grayscale(1.0).apply(jnp.bool_(False), PHOTO), PHOTO)


turned_hue = jax.jit(Hue(0.5).apply)


@pytest.mark.parametrize("turns", [-0.5, -0.21, 0.0, 0.1, 0.5])
def test_hue_is_a_turn_of_hsv(turns):
    pixels = np.concatenate([PHOTO[:8].reshape(-1, 3), np.indices((2, 2, 2)).reshape(3, -1).T * 255, [[7, 7, 7]]])
    expected = []
    for pixel in pixels / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value))
    found = turned_hue(jnp.float32(turns), pixels.astype(np.uint8))
    np.testing.assert_allclose(found, np.array(expected) * 255, atol=2e-4)


def test_hue_takes_any_range_of_values_and_has_a_gradient_of_grey():
    image = np.float32([[[-3.0, 0.5, 2.0], [1.0, 1.0, 1.0]]])
    once, twice = turned_hue(jnp.float32(1 / 3), image), turned_hue(jnp.float32(-1 / 3), image)
    np.testing.assert_allclose(once[0, 0], image[0, 0][[2, 0, 1]], atol=1e-5)
    np.testing.assert_allclose(twice[0, 0], image[0, 0][[1, 2, 0]], atol=1e-5)
    assert np.isfinite(jax.jit(jax.grad(lambda image: turned_hue(jnp.float32(0.2), image).sum()))(image)).all()


def test_a_clip_keeps_the_dtype_and_rounds_its_ends_inwards():
    image = np.arange(-3, 6, dtype=np.int8)
    assert np.array_equal(Clip(-1.5, 300).apply((), image), np.clip(image, -1, 127))
    assert Clip(-1.5, 300).apply((), image).dtype == np.int8
    assert np.array_equal(Clip(-1, np.inf).apply((), image.astype(np.float32)), np.clip(image, -1, None))


# Together

LINEAR = Chain(
    Affine(rotation=10),
    Rescale(1 / 255),
    Brightness(0.2),
    Contrast(0.4),
    Saturation(0.5),
    ChannelShift(0.1),
    Grayscale(0.5),
    Contrast(0.2),
    Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
)


def test_linear_steps_are_one_matrix_and_give_what_they_give_in_turn():
    keys = jax.random.split(KEY, 5)
    params = jax.jit(jax.vmap(lambda key: LINEAR.sample(key, PHOTO.shape)))(keys)
    both = jax.jit(jax.vmap(lambda params, image: (LINEAR.apply(params, image), in_turn(LINEAR, params, image))))
    np.testing.assert_allclose(*both(params, IMAGES), atol=2e-6)
    assert len({bool(grey) for grey in params[6]}) == 2


@pytest.mark.parametrize("color", [Saturation(0.5), Contrast(0.5), Hue(0.1)])
def test_no_pixel_is_resampled_for_each_channel_that_it_goes_into(color):
    """The warp stands behind a barrier of its own, which XLA:CPU does not fuse across."""
    warp = Affine(rotation=10)
    assert num_barriers(warp, color) > num_barriers(warp) + num_barriers(color)
    assert num_barriers(warp, Brightness(0.1)) == num_barriers(warp)


@pytest.mark.parametrize("step", [Saturation(0.5), Hue(0.1), Noise(5.0), Gamma(0.5), Erase()])
def test_no_step_is_done_for_each_tap_of_a_warp_that_reads_it(step):
    warp, nearest = (Affine(rotation=10, order=order) for order in (1, 0))
    assert num_barriers(step, warp) > num_barriers(step) + num_barriers(warp)
    assert num_barriers(step, nearest) == num_barriers(step) + num_barriers(nearest)  # which reads one pixel for each


def test_a_product_and_a_sum_are_done_for_each_tap_as_that_is_faster():
    steps = Brightness(0.1), Affine(rotation=10)
    assert num_barriers(*steps) == sum(map(num_barriers, steps))


def num_barriers(*steps):
    """Those that XLA:CPU does not fuse across."""
    return jax.jit(Chain(*steps).sample_and_apply).lower(KEY, PHOTO).as_text().count("stablehlo.case")


def test_a_step_without_mixing_beside_it_stays_as_it_was():
    chain = Chain(Brightness(0.2), Rescale(1 / 255), Normalize(0.5, 0.25))
    params = chain.sample(KEY, PHOTO.shape)
    assert np.array_equal(chain.apply(params, PHOTO), in_turn(chain, params, PHOTO))


def test_a_jitter_is_a_chain_of_the_steps_that_are_on_and_draws_as_they_do():
    jitter = ColorJitter(0.4, (0.5, 0.5), saturation=0.0, hue=0.1)
    alone = Chain(Brightness(0.4), Contrast((0.5, 0.5)), Hue(0.1))
    assert jitter.transforms == alone.transforms
    assert Chain(jitter, Clip(0, 255)).transforms == (*alone.transforms, Clip(0, 255))
    assert np.array_equal(*(jax.jit(chain.sample_and_apply)(KEY, PHOTO) for chain in (jitter, alone)))


def test_pixels_are_the_same_bits_in_batches_of_every_size():
    chain = Chain(Hue(0.1), Affine(rotation=10), Saturation(0.5), Hue(0.2), Erase(0.9))
    made, keys = jax.jit(jax.vmap(chain.sample_and_apply)), jax.random.split(KEY, 5)
    assert np.array_equal(made(keys[:1], IMAGES[:1]), made(keys, IMAGES)[:1])


# Rectangles


def drawn(step, shape, count):
    keys = jax.random.split(jax.random.key(7), count)
    return [np.asarray(part) for part in jax.jit(jax.vmap(lambda key: step.sample(key, shape)))(keys)]


def test_a_rectangle_is_replaced_and_the_dtype_kept():
    erase = Erase(1.0, value=(1, 2, 3))
    for key in jax.random.split(KEY, 4):
        params = erase.sample(key, PHOTO.shape)
        top, left, height, width = map(int, params)
        expected = PHOTO.copy()
        expected[top : top + height, left : left + width] = (1, 2, 3)
        found = erase.apply(params, PHOTO)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(40, 50, 3), (12, 90, 1)])
def test_erased_rectangles_are_distributed_as_torchvisions(shape):
    count, (rows, cols) = 5000, shape[:2]
    top, left, height, width = drawn(Erase(0.7), shape, count)
    is_on, random, others = height > 0, np.random.default_rng(0), []
    for _ in range(count):
        for _ in range(10):
            area, share = rows * cols * random.uniform(0.02, 0.33), np.exp(random.uniform(*np.log([0.3, 3.3])))
            h, w = round(np.sqrt(area * share)), round(np.sqrt(area / share))
            if h < rows and w < cols:
                others.append((random.integers(rows - h + 1), random.integers(cols - w + 1), h, w))
                break
    expected = 0.7 * len(others) / count
    assert abs(is_on.mean() - expected) < 5 * np.sqrt(0.25 / count)
    for mine, theirs in zip((top, left, height, width), np.array(others).T, strict=True):
        assert stats.ks_2samp(mine[is_on], theirs).pvalue > 1e-4
    assert (top + height <= rows).all()
    assert (left + width <= cols).all()


def test_a_cutout_lies_about_every_pixel_alike_and_partly_outside():
    top, left, height, width = drawn(Cutout((3, 4)), (6, 5, 1), 6000)
    assert {*height, *width} == {3, 4}
    counts = np.histogram2d(top, left, bins=[np.arange(-1, 6), np.arange(-2, 4)])[0]
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


# Evaluation, draws and errors


def test_in_evaluation_what_is_random_goes_and_the_dtype_stays():
    chain = Chain(
        ColorJitter(0.2, 0.2, 0.2, 0.1), Clip(0, 255), Erase(), Cutout(3), Grayscale(1.0), Contrast((2.0, 2.0))
    )
    kept = deterministic(chain)
    assert kept.transforms[-3:] == (Clip(0, 255), Grayscale(1.0), Contrast((2.0, 2.0)))
    grey = np.asarray(Image.fromarray(PHOTO).convert("L"), np.float32)
    found = np.asarray(jax.jit(kept.sample_and_apply)(KEY, PHOTO))[..., 0]
    assert np.abs(found - (grey.mean() + 2 * (grey - grey.mean()))).max() < 2
    assert deterministic(Erase()) == Chain()


def test_draws_are_pinned():
    steps = (Contrast(0.5), Saturation(0.5), Hue(0.5), Grayscale(0.5), Erase(1.0), Cutout(5))
    drawn = jax.jit(lambda key: [step.sample(key, (40, 50, 3)) for step in steps])(KEY)
    found = [np.asarray(leaf).item() for leaf in jax.tree.leaves(drawn)]
    np.testing.assert_allclose(found, PINNED, rtol=1e-6)


PINNED = [0.5471638441085815, 0.5471638441085815, -0.45283615589141846, True, 14, 18, 25, 10, -1, 43, 5, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Saturation(0.2).apply(jnp.float32(1), PHOTO[..., :1]), "expected 3 channels last. A grey picture has"),
        (lambda: Hue(0.2).apply(jnp.float32(1), np.zeros((3, 3, 4))), r"Take the colours alone, image\[..., :3\]"),
        (lambda: Contrast(0.2).apply(jnp.float32(1), np.zeros((3, 3, 2))), "expected 1 or 3 channels"),
        (lambda: Contrast((-1, 2)), "range is"),
        (lambda: Hue(0.6), "range reaches 0.6; expected turns"),
        (lambda: Contrast(0.2).apply(jnp.float32(1), IMAGES), "for a batch use jax.vmap"),
        (lambda: ColorJitter(contrast=-0.1), "contrast is -0.1"),
        (lambda: Grayscale(2), "p is 2; expected True, False or a probability"),
        (lambda: Erase(-0.1), "p is -0.1"),
        (lambda: Erase(scale=(0, 1)), "scale is"),
        (lambda: Erase(ratio=3), "ratio is 3; expected a pair"),
        (lambda: Erase(value=float("nan")), "value"),
        (lambda: Cutout(3, value=0.5).apply((0, 0, 3, 3), PHOTO), "value is 0.5, which uint8 cannot hold"),
        (lambda: Cutout(3, value=(1, 2)).apply((0, 0, 3, 3), PHOTO), "one for each of 3 channels"),
        (lambda: Cutout(0), r"size\[0\] is 0"),
        (lambda: Clip(3, 1), "low is 3 and high is 1"),
        (lambda: Clip("0", 1), "low is '0'; expected a number"),
    ],
)
def test_bad_ranges_and_pictures_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_clip_that_no_number_of_the_dtype_fits_is_refused():
    for low, high in ((1.2, 1.8), (300, 400), (-9, -0.5)):
        with pytest.raises(ValueError, match=rf"Clip\({low:g}, {high:g}\) holds no number of uint8"):
            Clip(low, high).apply((), np.zeros((2, 2), np.uint8))
