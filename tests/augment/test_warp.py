"""`affine_warp` is `scipy.ndimage.affine_transform`, channel by channel, under `jit` and `vmap`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from scipy import ndimage

from jaxiter import about_centre, affine_warp, compose, rotation_matrix, shear_matrix, shift_matrix, zoom_matrix
from jaxiter.augment._warp._affine_warp import resample_on_host

from ..data import each_once, first, pairwise

FILL_MODES = ["nearest", "constant", "reflect", "mirror", "wrap", "grid-wrap"]
ORDERS = range(6)
# From SciPy 1.18 on "reflect" is filtered otherwise along an axis of fewer than ten pixels; see `_reflect_matrix`.
SCIPY_IS_NEWER = tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18)
SHAPES = [(1, 1, 1), (1, 9, 3), (3, 2, 4), (12, 17, 5)]


def ordinary(height, width):
    """An everyday augmentation."""
    steps = zoom_matrix(1.2, 0.9), shear_matrix(0.1), rotation_matrix(0.25), shift_matrix(0.1 * height, -0.07 * width)
    return about_centre(compose(*steps), height, width)


MATRICES = {
    "ordinary": ordinary,
    "turned about a corner": lambda height, width: rotation_matrix(2.0),
    "strongly magnified": lambda height, width: about_centre(zoom_matrix(8.3, 15.1), height, width),
    "ten times smaller": lambda height, width: about_centre(
        compose(zoom_matrix(0.1, 0.1), rotation_matrix(1.0)), height, width
    ),
    "far away": lambda height, width: compose(rotation_matrix(0.3), shift_matrix(1e4 + 0.3, -1e4 - 0.7)),
    "sheared by 70 degrees": lambda height, width: about_centre(shear_matrix(1.22), height, width),
}


def random_image(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def by_scipy(image, matrix, output=np.float64, **sampling):
    sampling = {"mode": sampling["fill_mode"], "cval": sampling.get("cval", 0.0), "order": sampling["order"]}
    matrix = np.asarray(matrix, np.float64)
    image = image if output == image.dtype else np.asarray(image, output)
    channels = [
        ndimage.affine_transform(image[..., c], matrix, output=output, **sampling) for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def near_a_jump(matrix, shape, fill_mode, order, within, source=None):
    """Pixels whose source lies within so many pixels of a place where the interpolant itself jumps."""
    height, width = shape[:2]
    points = np.stack([*np.mgrid[:height, :width], np.ones((height, width))])
    coordinates = np.einsum("ij,jrc->irc", np.asarray(matrix, np.float64)[:2], points)
    near = np.zeros((height, width), bool)
    for coordinate, side in zip(coordinates, (source or shape)[:2], strict=True):
        if fill_mode == "constant":
            near |= (np.abs(coordinate) < within) | (np.abs(coordinate - (side - 1)) < within)
        if fill_mode == "wrap" and side > 1:
            phase = coordinate / (side - 1)
            near |= np.abs(phase - np.round(phase)) * (side - 1) < within
        if order == 0 and side > 1:
            near |= np.abs(coordinate - np.floor(coordinate) - 0.5) < within
    return near


# Against SciPy.


def check_against_scipy(warp, shape, fill_mode, order):
    """`warp` gives all results for an image and matrices."""
    image = random_image(shape)
    matrices = [make(*shape[:2]) for make in MATRICES.values()]
    sampling = {"fill_mode": fill_mode, "cval": 0.25, "order": order}
    found = warp(image, np.stack(matrices), **sampling)
    for name, matrix, result in zip(MATRICES, matrices, found, strict=True):
        tolerance = 2e-4 if name == "far away" else 1e-4  # 10,000 pixels away a coordinate is known to 2**-14
        smooth = ~near_a_jump(matrix, shape, fill_mode, order, tolerance)
        assert smooth.mean() > 0.5 or min(shape[:2]) < 4, name  # so small that most pixels come from a border
        difference = np.abs(result - by_scipy(image, matrix, **sampling))[smooth]
        if SCIPY_IS_NEWER and fill_mode == "reflect" and order > 1 and min(shape[:2]) < 10:
            tolerance = 0.02
        assert difference.max(initial=0) <= tolerance, name


@pytest.mark.parametrize(*each_once(shape=SHAPES, fill_mode=FILL_MODES, order=ORDERS))
def test_it_agrees_with_scipy_for_mild_and_extreme_maps(shape, fill_mode, order):
    def warp(image, matrices, **sampling):
        return jax.vmap(lambda matrix: affine_warp(image, matrix, **sampling))(matrices)

    check_against_scipy(warp, shape, fill_mode, order)


@pytest.mark.parametrize(*pairwise(shape=SHAPES, fill_mode=FILL_MODES, order=ORDERS))
def test_the_same_steps_in_numpy_agree_with_scipy(shape, fill_mode, order):
    """Nothing is compiled, so that every pair is tried; test_resample.py compares NumPy's pixels and JAX's."""

    def warp(image, matrices, **sampling):
        return [resample_on_host(image, matrix, **sampling) for matrix in matrices]

    check_against_scipy(warp, shape, fill_mode, order)


@pytest.mark.parametrize(
    "sampling",
    first(3, [("mirror", 0), ("nearest", 1), ("reflect", 3), ("constant", 1), ("wrap", 4), ("grid-wrap", 3)]),
)
def test_a_batch_of_224_pixels_agrees_with_scipy_under_jit_and_vmap(sampling):
    fill_mode, order = sampling
    images = random_image((3, 224, 224, 1))
    thetas, shifts = [-0.5, 0.1, 0.5], [-30.0, 5.3, 30.0]
    sampling = {"fill_mode": fill_mode, "cval": 0.5, "order": order}

    @jax.jit
    @jax.vmap
    def augment(image, theta, shift):
        step = compose(zoom_matrix(1.1, 0.8), rotation_matrix(theta), shift_matrix(shift, -shift))
        matrix = about_centre(step, 224, 224)
        return affine_warp(image, matrix, **sampling), matrix

    for image, result, matrix in zip(images, *augment(images, np.asarray(thetas), np.asarray(shifts)), strict=True):
        smooth = ~near_a_jump(matrix, image.shape, fill_mode, order, 1e-5)
        assert smooth.mean() > 0.99
        assert np.abs(result - by_scipy(image, matrix, **sampling))[smooth].max() <= 1e-4


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_whole_pixel_shifts_are_exactly_those_of_scipy(fill_mode, order):
    """Every coordinate is an integer here: at 0 and n - 1 the borders begin, and nothing may be left to rounding."""
    image = random_image((6, 8, 2))
    sampling = {"fill_mode": fill_mode, "cval": 7.0, "order": order}
    for matrix in map(shift_matrix, (0, 2, -11, 5, 40), (0, -3, 4, 14, -40)):
        np.testing.assert_array_equal(affine_warp(image, matrix, **sampling), by_scipy(image, matrix, **sampling))


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_half_pixel_shifts_are_those_of_scipy_to_the_last_bit_but_one(fill_mode):
    image = random_image((6, 8, 2))
    for shift in ((0.5, 0.25), (-2.5, 3.75), (-9.5, 20.5)):
        found = affine_warp(image, shift_matrix(*shift), fill_mode=fill_mode)
        assert np.allclose(
            found, by_scipy(image, shift_matrix(*shift), fill_mode=fill_mode, order=1), rtol=0, atol=2e-7
        )


@pytest.mark.parametrize(
    ("fill_mode", "expected"),
    [
        ("nearest", [1, 1, 1, 1, 1, 2, 3, 4]),
        ("constant", [9, 9, 9, 9, 1, 2, 3, 4]),
        ("reflect", [4, 3, 2, 1, 1, 2, 3, 4]),  # d c b a | a b c d
        ("mirror", [5, 4, 3, 2, 1, 2, 3, 4]),  # d c b | a b c d
        ("grid-wrap", [5, 6, 7, 8, 1, 2, 3, 4]),  # a b c d | a b c d
        ("wrap", [4, 5, 6, 7, 1, 2, 3, 4]),  # SciPy's period is n - 1: the first and the last sample share a place
    ],
)
def test_what_lies_to_the_left_of_the_image_by_eye(fill_mode, expected):
    row = np.zeros((1, 8, 1), np.float32)
    row[0, :, 0] = [1, 2, 3, 4, 5, 6, 7, 8]
    shifted = affine_warp(row, shift_matrix(0, 4), fill_mode=fill_mode, cval=9.0)
    assert shifted.ravel().tolist() == expected


def test_constant_has_no_blending_between_the_edge_and_cval():
    row = jnp.ones((1, 3, 1))
    shifted = affine_warp(row, shift_matrix(0, 0.5), fill_mode="constant", cval=-5.0)
    assert shifted.ravel().tolist() == [-5.0, 1.0, 1.0]


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_a_flat_image_stays_exactly_flat(fill_mode):
    """A sum of four rounded weights is not 1; a lerp between equal neighbours is exact."""
    image = np.full((31, 27, 1), 0.1, np.float32)
    for make in MATRICES.values():
        assert (np.asarray(affine_warp(image, make(31, 27), fill_mode=fill_mode, cval=0.1)) == np.float32(0.1)).all()


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_interpolated_pixels_stay_within_the_range_of_the_image(fill_mode, order):
    image = random_image((24, 24, 1))
    for scale in (1e3, 1e9, 3e38):
        for matrix in ([[scale, -scale, scale], [-scale, scale, -scale]], [[1, 0, scale], [0, 1, -scale]]):
            found = affine_warp(image, np.float32([*matrix, [0, 0, 1.0]]), fill_mode=fill_mode, order=order, cval=0.5)
            assert image.min() <= np.min(found)
            assert np.max(found) <= image.max()


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_a_traced_matrix_that_is_not_finite_reads_nothing_outside_the_image(fill_mode):
    """A concrete one is refused; a traced one cannot be."""
    image = random_image((5, 6, 1)) + 1
    traced = jax.jit(partial(affine_warp, fill_mode=fill_mode, cval=1.5))
    for bad in (np.nan, np.inf, -np.inf):
        found = np.asarray(traced(image, np.float32([[1.0, 0, bad], [0, 1, 0], [0, 0, 1]])))
        assert 1 <= found.min() <= found.max() <= 2, bad


def test_a_picture_far_outside_is_its_border():
    image = random_image((5, 5, 1))
    away = affine_warp(image, shift_matrix(1e9, 1e9))
    assert (np.asarray(away) == image[0, 0]).all()
    away = affine_warp(image, shift_matrix(-1e9, 1e9), fill_mode="constant", cval=3.0)
    assert (np.asarray(away) == 3.0).all()


# Dtypes: as SciPy, the output has the input's.


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "uint16", "int32", "float16", "bfloat16", "float32"]
)
def test_the_dtype_is_kept(dtype, order):
    image = (random_image((5, 6, 3)) * 100).astype(jnp.dtype(dtype))
    assert jax.eval_shape(partial(affine_warp, order=order), image, ordinary(5, 6)).dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_integers_are_rounded_as_scipy_does_ties_apart(dtype):
    bounds = np.iinfo(dtype)
    low, high = max(bounds.min, -3000), min(bounds.max, 3000)
    image = np.random.default_rng(1).integers(low, high + 1, (40, 50, 3)).astype(dtype)
    sampling = {"fill_mode": "reflect", "order": 1}
    found = np.asarray(affine_warp(image, ordinary(40, 50), **sampling)).astype(int)
    exact = by_scipy(image, ordinary(40, 50), **sampling)
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-5 * (high - low)
    assert tie.mean() < 0.2
    expected = by_scipy(image, ordinary(40, 50), output=np.dtype(dtype), **sampling).astype(int)
    assert np.array_equal(found[~tie], expected[~tie])
    assert np.abs(found - expected).max() <= 1


def test_ties_are_rounded_away_from_zero():
    image = np.array([[-3, -2, -1, 0, 1, 2, 3]], np.int16)[..., None]
    halves = affine_warp(image, shift_matrix(0, -0.5))
    assert halves.ravel().tolist() == [-3, -2, -1, 1, 2, 3, 3]


def test_a_mask_is_interpolated_as_0_and_1_and_neither_grows_nor_shrinks():
    mask = random_image((40, 50, 1)) > 0.6
    exact = by_scipy(mask, ordinary(40, 50), fill_mode="reflect", order=1)
    found = np.asarray(affine_warp(mask, ordinary(40, 50), fill_mode="reflect"))
    clear = np.abs(exact - 0.5) > 1e-4
    assert found.dtype == np.bool_
    assert np.array_equal(found[clear], exact[clear] > 0.5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_computed_in_float32_and_rounded_once(dtype):
    image = jnp.asarray(random_image((20, 20, 1))).astype(dtype)
    expected = affine_warp(image.astype(jnp.float32), ordinary(20, 20)).astype(dtype)
    assert np.array_equal(affine_warp(image, ordinary(20, 20)), expected)


def test_int32_selection_keeps_every_bit():
    image = np.array([[2**31 - 1, -(2**31), 2**24 + 1, 7]], np.int32)[..., None]
    flipped = affine_warp(image, about_centre(jnp.diag(jnp.array([1.0, -1.0, 1.0])), 1, 4), order=0)
    assert flipped.ravel().tolist() == image.ravel().tolist()[::-1]


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        image = 1 + 1e-9 * random_image((9, 9, 1)).astype(np.float64)
        found = np.asarray(affine_warp(image, ordinary(9, 9)))
    assert found.dtype == np.float64
    assert np.abs(found - by_scipy(image, ordinary(9, 9), fill_mode="nearest", order=1)).max() < 1e-14
    assert found.std() > 1e-11


# Under jit and vmap, one trace.


@pytest.mark.parametrize(("fill_mode", "order"), [("nearest", 1), ("wrap", 0)])
def test_vmap_and_jit_equal_a_loop(fill_mode, order):
    images = random_image((3, 10, 12, 2))
    matrices = jnp.stack([compose(ordinary(10, 12), shift_matrix(i, 0.3)) for i in range(3)])
    one = partial(affine_warp, fill_mode=fill_mode, order=order)
    loop = np.stack([one(image, matrix) for image, matrix in zip(images, matrices, strict=True)])
    assert np.allclose(jax.jit(jax.vmap(one))(images, matrices), loop, rtol=0, atol=1e-6)


def test_a_numpy_matrix_of_any_float_or_integer_type_will_do():
    image = random_image((4, 4, 1))
    expected = affine_warp(image, shift_matrix(1, 2))
    for dtype in (np.float64, np.int64, np.float16):
        assert np.array_equal(affine_warp(image, np.asarray(shift_matrix(1, 2)).astype(dtype)), expected)


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"fill_mode": "around"},
            "fill_mode is 'around'; expected one of 'nearest', 'constant', 'reflect', 'mirror', 'wrap', 'grid-wrap'",
        ),
        ({"order": 6}, r"order is 6; expected a spline order: 0 \(nearest pixel\), 1 .*, 4 or 5"),
        ({"order": -1}, "order is -1; expected a spline order: 0"),
        ({"order": True}, "order is True; expected a spline order: 0"),
        ({"cval": float("nan")}, "cval is nan; expected a finite number"),
        ({"image": np.zeros((4, 4))}, r"image has shape \(4, 4\); expected \(height, width, channels\).*\[..., None\]"),
        ({"image": np.zeros((2, 4, 4, 1))}, r"image has shape \(2, 4, 4, 1\).*jax.vmap"),
        ({"image": [[[1.0]]]}, r"image is a list of 1, .*; expected an array .*np\.asarray\(image\)"),
        ({"image": 3.0}, r"image is 3\.0; expected an array"),
        ({"matrix": np.eye(2)}, r"matrix has shape \(2, 2\); expected an array of shape \(3, 3\)"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, r"matrix is a list; expected an array of shape \(3, 3\)"),
        (
            {"image": jax.ShapeDtypeStruct((1, 2**16 + 1, 1), np.uint8)},
            "image is 1 by 65537; expected sides of at most 65536",
        ),
    ],
)
def test_bad_input_is_refused_with_what_was_got_and_expected(arguments, message):
    arguments = {"image": np.zeros((4, 4, 1)), "matrix": np.eye(3)} | arguments
    image, matrix = arguments.pop("image"), arguments.pop("matrix")
    if isinstance(image, jax.ShapeDtypeStruct):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(partial(affine_warp, **arguments), image, matrix)
    else:
        with pytest.raises(ValueError, match=message):
            affine_warp(image, matrix, **arguments)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_the_gradient_follows_the_matrix(fill_mode):
    """Against finite differences of a smooth picture, at pixels whose taps do not change."""
    rows, cols = np.mgrid[0:9, 0:7].astype(np.float32)
    image = jnp.asarray((np.sin(rows / 3) + np.cos(cols / 2))[..., None])
    matrix = jnp.asarray([[0.93, 0.11, 0.37], [-0.08, 1.07, -0.41], [0, 0, 1]], jnp.float32)
    warped = partial(affine_warp, image, fill_mode=fill_mode)
    entries, step = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], 1e-3
    directions = np.zeros((6, 3, 3), np.float32)
    for direction, entry in zip(directions, entries, strict=True):
        direction[entry] = 1

    @jax.jit
    def slope_and_images(matrix):
        slopes = jax.vmap(lambda direction: jax.jvp(warped, (matrix,), (direction,))[1])(directions)
        return slopes, jax.vmap(warped)(matrix + np.concatenate([directions, -directions]) * np.float32(step))

    slopes, images = map(np.asarray, slope_and_images(matrix))
    for entry, slope, more, less in zip(entries, slopes, images[:6], images[6:], strict=True):
        agree = np.abs((more - less) / (2 * step) - slope) < 0.02
        assert agree.mean() > 0.9, (entry, agree)
        assert np.abs(slope).max() > 0.1


@pytest.mark.parametrize(*each_once(fill_mode=FILL_MODES, order=[0, 1]))
def test_the_gradient_follows_the_image(order, fill_mode):
    """The result is linear in the image, so the gradient is the same map turned round: <grad, other> = <1, warp>."""
    matrix = jnp.asarray([[0.93, 0.11, 0.37], [-0.08, 1.07, -0.41], [0, 0, 1]], jnp.float32)
    image, other, weights = (random_image((5, 6, 2), seed=seed) for seed in range(3))
    warped = partial(affine_warp, matrix=matrix, fill_mode=fill_mode, order=order)
    gradient = jax.jit(jax.grad(lambda image: (warped(image) * weights).sum()))(image)
    np.testing.assert_allclose((gradient * other).sum(), (warped(other) * weights).sum(), rtol=1e-5)
    assert np.asarray(gradient).std() > 0.1


def test_integers_that_32_bits_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="image is int64 and holds 1099511627776"):
        affine_warp(np.full((3, 3, 1), 2**40), np.eye(3, dtype=np.float32), order=0)


@pytest.mark.parametrize(
    ("image", "matrix", "error", "words"),
    [
        (np.ones((3, 3)), np.eye(3), ValueError, r"image has shape \(3, 3\)"),
        (np.ones((3, 3, 1)) * 1j, np.eye(3), TypeError, "image has dtype complex128"),
        (np.ones((3, 3, 1)), [[1, 0, 0], [0, 1, 0], [0, 0, 1]], ValueError, "matrix is a list.*np.asarray"),
        (np.ones((3, 3, 1)), np.full((3, 3), np.nan), ValueError, "matrix holds NaN"),
    ],
)
def test_what_cannot_be_warped_is_refused_with_words(image, matrix, error, words):
    with pytest.raises(error, match=words):
        affine_warp(image, matrix)
