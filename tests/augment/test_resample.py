"""The one resampling under every option: sizes, traced sizes, NumPy beside JAX, and the weights of bytes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxiter import affine_warp, compose, rotation_matrix, shift_matrix, zoom_matrix
from jaxiter.augment._warp._affine_warp import general_warp, resample
from jaxiter.augment._warp._coordinates import matrix_bounds, split
from jaxiter.augment._warp._interpolate import blending

from ..data import each_once, first
from .test_warp import FILL_MODES, near_a_jump, ordinary, random_image

OPTIMIZED = True  # roundings are compared; see ../conftest.py


def test_flat_bytes_stay_exactly_flat_for_every_byte_and_weight():
    byte = np.arange(256, dtype=np.float32)[:, None]
    count = np.arange(65537, dtype=np.int32)
    # Of coordinates with 20 fractional bits, all that there are around each weight.
    _, fraction = split(jnp.asarray(count << 4), 20, 16)
    found = np.asarray(fraction)
    np.testing.assert_array_equal(found[:-1] * 65536, count[:-1])
    fraction = count.astype(np.float32) * np.float32(2**-16)
    weights = np.float32(1) - fraction, fraction
    blend = blending(np.uint8, 1)
    flat = np.broadcast_to(byte, (256, 65537))
    assert (blend([byte, byte], weights) == flat).all()
    assert (np.asarray(jax.jit(lambda a, f: blend([a, a], (np.float32(1) - f, f)))(byte, fraction)) == flat).all()


@pytest.mark.parametrize("bounded", [False, True])
def test_a_flat_picture_of_bytes_stays_exactly_flat(bounded):
    """Also where the weights are drawn from the coordinates of a map; along one axis they have 16 bits."""
    matrices = jnp.stack([ordinary(24, 20), compose(rotation_matrix(0.4), shift_matrix(3.3, -2.2))])
    bounds = matrix_bounds(np.full((2, 2), 2.0), np.full(2, 40.0)) if bounded else None
    warped = partial(resample, fill_mode="nearest", cval=0.0, order=1, bounds=bounds)
    values = np.arange(1, 256, 7, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (len(values), 24, 20, 3))
    step, slope = np.zeros((1, 24, 20, 3), np.uint8), shift_matrix(0, 1 / 3)
    step[:, :, 10:] = 1
    for matrix in matrices:
        found = jax.jit(jax.vmap(lambda image, matrix=matrix: warped(image, matrix)))(images)
        np.testing.assert_array_equal(found, images)
    (edge,) = jax.jit(jax.vmap(lambda image: warped(image, slope)))(step)
    weights = np.asarray(edge) * 2**16
    assert 0 < weights[0, 10, 0] < 2**16
    np.testing.assert_array_equal(weights, np.round(weights))


@pytest.mark.parametrize(*each_once(order=range(6), fill_mode=FILL_MODES))
def test_numpy_gives_the_pixels_of_jax(order, fill_mode):
    image, size = random_image((11, 14, 2)), (9, 17)
    matrices = np.stack([ordinary(11, 14), compose(zoom_matrix(0.2, 0.3), rotation_matrix(2.0))])
    warped = jax.jit(jax.vmap(lambda matrix: general_warp(jnp, image, matrix, fill_mode, 0.5, order, size)))(matrices)
    for matrix, expected in zip(matrices, warped, strict=True):
        found = general_warp(np, image, matrix, fill_mode, np.float32(0.5), order, size)
        assert isinstance(found, np.ndarray)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(*each_once(order=[0, 1, 3], fill_mode=FILL_MODES))
def test_a_result_of_another_size_agrees_with_scipy(order, fill_mode):
    image, size, matrix = random_image((12, 17, 1)), (20, 9), ordinary(12, 17)
    found = affine_warp(image, matrix, size=size, fill_mode=fill_mode, cval=0.25, order=order)
    expected = ndimage.affine_transform(
        np.float64(image[..., 0]), np.float64(matrix), output_shape=size, mode=fill_mode, cval=0.25, order=order
    )
    smooth = ~near_a_jump(matrix, size, fill_mode, order, 1e-4, source=image.shape)
    assert np.abs(found[..., 0] - expected)[smooth].max() < 1e-4


@pytest.mark.parametrize("fill_mode", first(3, ["reflect", "constant", "grid-wrap", "nearest", "mirror", "wrap"]))
def test_bounds_hold_for_a_result_of_another_size(fill_mode):
    image, size = random_image((12, 17, 3)), (7, 31)
    centres = shift_matrix(-5.5, -8.0), shift_matrix(3.0, 15.0)
    matrix = compose(centres[0], zoom_matrix(0.8, 1.6), rotation_matrix(0.5), centres[1])
    bounds = matrix_bounds(np.array([[1.3, 0.7], [0.7, 1.3]]), np.full(2, 1.0))
    warped = partial(resample, fill_mode=fill_mode, cval=0.25, order=1, size=size)
    both = jax.jit(lambda image, matrix: (warped(image, matrix, bounds=bounds), warped(image, matrix)))
    found, expected = both(image, matrix)
    assert found.shape == (*size, 3)
    smooth = ~near_a_jump(matrix, size, fill_mode, 1, 1e-4, source=image.shape)
    difference = np.abs(found - expected)[smooth]
    assert difference.max() < 1e-4


@pytest.mark.parametrize(*each_once(order=[0, 1, 3], fill_mode=FILL_MODES))
def test_one_program_serves_pictures_of_many_sizes(order, fill_mode):
    """What lies in the canvas beside the picture is not read: it is NaN."""
    traces = []

    @jax.jit
    def warped(canvas, matrix, height, width):
        traces.append(1)
        sampling = {"fill_mode": fill_mode, "cval": 0.25, "order": order}
        return resample(canvas, matrix, size=(10, 13), source_size=(height, width), **sampling)

    for height, width in ((16, 18), (9, 7), (2, 18), (1, 1)):
        image = random_image((height, width, 2))
        canvas = np.full((16, 18, 2), np.nan, np.float32)
        canvas[:height, :width] = image
        matrix = ordinary(height, width)
        found = warped(canvas, matrix, np.int32(height), np.int32(width))
        expected = general_warp(np, image, np.asarray(matrix), fill_mode, np.float32(0.25), order, (10, 13))
        # A static short axis follows SciPy up to 1.17, see `_reflect_matrix`; a traced one cannot.
        is_short = fill_mode == "reflect" and order > 1 and min(height, width) < 10
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 if is_short else 1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (5, r"size is 5; expected \(height, width\)"),
        ((5, 0), r"size\[1\] is 0; expected an integer in \[1, 65537\)"),
        ((1, 2, 3), r"size is \(1, 2, 3\); expected"),
    ],
)
def test_a_size_that_is_none_is_refused(size, words):
    with pytest.raises(ValueError, match=words):
        affine_warp(np.zeros((3, 3, 1)), np.eye(3), size=size)
