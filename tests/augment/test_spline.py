"""Orders 2 to 5: the filter is SciPy's, and what comes out is a spline through the pixels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxiter import Affine, affine_warp, shift_matrix
from jaxiter.augment._warp._border import margin, spline_padding
from jaxiter.augment._warp._spline import coefficients, first_tap, tap_weights

from ..data import each_once, first
from .test_warp import FILL_MODES, SCIPY_IS_NEWER, by_scipy, near_a_jump, ordinary, random_image

ORDERS = [2, 3, 4, 5]


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("order", ORDERS)
def test_the_filter_is_that_of_scipy_for_every_length(order, fill_mode):
    boundary = {"reflect": "reflect", "grid-wrap": "grid-wrap"}.get(fill_mode, "mirror")
    own = order // 2 + 1
    for size in (1, 2, 3, 4, 5, 9, 31, 232, 500):
        line = np.random.default_rng(size).random(size)
        padded = np.pad(line, spline_padding(fill_mode), mode="edge")
        expected = ndimage.spline_filter1d(padded, order, mode=boundary) if len(padded) > 1 else padded
        found = coefficients(np, line[:, None, None], order, fill_mode)[own:-own, margin(fill_mode, order), 0]
        differs = SCIPY_IS_NEWER and fill_mode == "reflect" and size < 10
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.02 if differs else 1e-11, err_msg=str(size))


@pytest.mark.parametrize("order", ORDERS)
def test_the_weights_of_a_point_sum_to_one_and_are_never_negative(order):
    _, fraction = first_tap(np.int32(0), np.linspace(0, 1, 257, endpoint=False, dtype=np.float32), order)
    weights = np.stack(tap_weights(fraction, order))
    np.testing.assert_allclose(weights.sum(0), 1, atol=3e-7)
    assert weights.min() > -1e-7


@pytest.mark.parametrize(*each_once(order=ORDERS, fill_mode=FILL_MODES))
def test_the_spline_passes_through_the_pixels_and_whole_pixel_shifts_only_select(order, fill_mode):
    image = random_image((15, 12, 2))
    warped = partial(affine_warp, fill_mode=fill_mode, cval=0.5)
    np.testing.assert_allclose(warped(image, shift_matrix(0, 0), order=order), image, rtol=0, atol=2e-6)
    moved = warped(image, shift_matrix(4, -3), order=order)
    np.testing.assert_allclose(moved, warped(image, shift_matrix(4, -3), order=0), rtol=0, atol=2e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_a_polynomial_of_the_order_is_reproduced_between_the_pixels(order):
    """What tells a cubic from a smooth curve through the pixels; far from the borders, which break the polynomial."""
    place = np.arange(80.0)
    line = ((place - 40) / 40) ** order
    image = np.tile(line[:, None, None], (1, 2, 1)).astype(np.float32)
    halfway = affine_warp(image, shift_matrix(-0.375, 0), order=order)[:, 0, 0]
    expected = ((place + 0.375 - 40) / 40) ** order
    np.testing.assert_allclose(halfway[30:50], expected[30:50], rtol=0, atol=1e-6)


@pytest.mark.parametrize("fill_mode", first(2, ["reflect", "nearest", "constant", "mirror", "wrap", "grid-wrap"]))
def test_an_image_longer_than_one_piece_agrees_with_scipy(fill_mode):
    image = random_image((300, 40, 1))
    matrix = ordinary(300, 40)
    sampling = {"fill_mode": fill_mode, "cval": 0.25, "order": 5}
    smooth = ~near_a_jump(matrix, image.shape, fill_mode, 5, 1e-4)
    found = np.abs(affine_warp(image, matrix, **sampling) - by_scipy(image, matrix, **sampling))
    assert found[smooth].max() < 1e-4


def test_integers_overshoot_before_they_are_rounded_and_clipped():
    image = np.zeros((1, 12, 1), np.uint8)
    image[0, 6:] = 255
    shifted = affine_warp(image, shift_matrix(0, 0.5), order=3).ravel()
    floats = affine_warp(image.astype(np.float32), shift_matrix(0, 0.5), order=3).ravel()
    assert floats.max() > 260
    assert floats.min() < -5
    np.testing.assert_array_equal(shifted, np.clip(np.round(floats), 0, 255))


@pytest.mark.parametrize("order", ORDERS)
def test_float64_is_computed_in_float64(order):
    with jax.enable_x64(True):
        image = 1 + 1e-9 * random_image((9, 9, 1)).astype(np.float64)
        matrix = shift_matrix(0.25, -0.5)
        found = np.asarray(affine_warp(image, matrix, order=order))
    assert found.dtype == np.float64
    assert np.abs(found - by_scipy(image, matrix, fill_mode="nearest", order=order)).max() < 1e-13


@pytest.mark.parametrize("order", first(1, [2, 5]))
def test_the_gradient_follows_image_and_matrix(order):
    """The result is linear in the image, and a smooth function of the matrix away from the borders."""
    image, other = random_image((12, 11, 1)), random_image((12, 11, 1), seed=1)
    matrix = jnp.asarray([[0.93, 0.11, 0.37], [-0.08, 1.07, -0.41], [0, 0, 1]], jnp.float32)
    warped = jax.jit(partial(affine_warp, fill_mode="reflect", order=order))
    _, change = jax.jvp(lambda image: warped(image, matrix), (image,), (other,))
    np.testing.assert_allclose(change, warped(other, matrix), atol=1e-5)
    weights = random_image((12, 11, 1), seed=2)
    gradient = jax.grad(lambda image: (warped(image, matrix) * weights).sum())(image)
    np.testing.assert_allclose((gradient * other).sum(), (change * weights).sum(), rtol=1e-4)
    direction = jnp.zeros((3, 3)).at[0, 2].set(1.0)
    _, slope = jax.jvp(lambda matrix: warped(image, matrix), (matrix,), (direction,))
    step = 1e-2
    found = (warped(image, matrix + step * direction) - warped(image, matrix - step * direction)) / (2 * step)
    assert (np.abs(found - slope) < 0.05).mean() > (0.95 if order > 2 else 0.9)


def test_coefficients_of_bytes_are_floats_of_the_whole_image():
    image = (random_image((6, 5, 3)) * 255).astype(np.uint8)
    for fill_mode in FILL_MODES:
        found, beyond = coefficients(jnp, jnp.float32(image), 3, fill_mode), 2 * margin(fill_mode, 3)
        assert found.dtype == np.float32
        assert found.shape == (6 + beyond, 5 + beyond, 3)


@pytest.mark.slow
def test_a_batch_is_resampled_as_each_image_alone_is(key):
    images = (random_image((5, 10, 9, 3)) * 255).astype(np.uint8)
    affine = Affine(rotation=30, zoom=0.2, order=3, fill_mode="reflect")

    @jax.jit
    @jax.vmap
    def drawn(key, image):
        params = affine.sample(key, image.shape)
        return affine.apply(params, image), affine.matrix(params, image.shape)

    for image, found, matrix in zip(images, *drawn(jax.random.split(key, 5), images), strict=True):
        expected = affine_warp(image.astype(np.float32), matrix, order=3, fill_mode="reflect")
        np.testing.assert_allclose(found, expected, rtol=0, atol=255e-6)
