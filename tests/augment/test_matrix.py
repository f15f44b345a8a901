"""Matrices map output to source in (row, col, 1): directions by eye, composition and inverses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    about_centre,
    affine_warp,
    compose,
    flip_matrix,
    rotation_matrix,
    shear_matrix,
    shift_matrix,
    zoom_matrix,
)
from jaxiter.augment._rounded import rounded, sine_cosine, tangent

OPTIMIZED = True  # roundings are compared; see ../conftest.py

PICTURE = np.arange(12).reshape(3, 4)
SQUARE = np.arange(16).reshape(4, 4)


def moved(picture, matrix, **sampling):
    height, width = picture.shape
    warped = affine_warp(picture[..., None], about_centre(matrix, height, width), order=0, **sampling)
    return np.asarray(warped)[..., 0]


@pytest.mark.parametrize("turns", [-1, 1, 2, 3])
def test_positive_rotation_is_counter_clockwise_as_displayed(turns):
    assert np.array_equal(moved(SQUARE, rotation_matrix(turns * np.pi / 2)), np.rot90(SQUARE, turns))


def test_positive_shifts_move_the_picture_down_and_to_the_right():
    shifted = moved(PICTURE, shift_matrix(1, 2), fill_mode="constant", cval=-1)
    assert shifted.tolist() == [[-1, -1, -1, -1], [-1, -1, 0, 1], [-1, -1, 4, 5]]


def test_zoom_2_doubles_the_picture():
    edges = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]])
    assert moved(edges, zoom_matrix(2, 2)).tolist() == np.kron([[1, 2], [3, 4]], np.ones((2, 2))).tolist()
    assert moved(edges, zoom_matrix(2, 1)).tolist() == [[0, 1, 2, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 3, 4, 0]]
    assert moved(edges, zoom_matrix(1, 2)).tolist() == [[0, 0, 0, 0], [1, 1, 2, 2], [3, 3, 4, 4], [0, 0, 0, 0]]


def test_positive_shear_leans_the_top_to_the_right():
    upright = np.zeros((3, 5), int)
    upright[:, 2] = 1
    leaning = moved(upright, shear_matrix(np.pi / 4), fill_mode="constant")
    assert leaning.tolist() == [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


@pytest.mark.parametrize(("horizontal", "vertical", "axes"), [(1, 0, 1), (0, 1, 0), (1, 1, (0, 1)), (0, 0, ())])
def test_flips_are_numpys(horizontal, vertical, axes):
    assert np.array_equal(moved(PICTURE, flip_matrix(bool(horizontal), bool(vertical))), np.flip(PICTURE, axes))


def test_compose_acts_in_the_order_named():
    """A flip and then a step to the right is not a step to the right and then a flip."""
    flip, step = flip_matrix(True, False), shift_matrix(0, 1)
    outside = {"fill_mode": "constant", "cval": -1}
    flipped_first = moved(moved(SQUARE, flip), step, **outside)
    assert flipped_first[0].tolist() == [-1, 3, 2, 1]
    assert np.array_equal(moved(SQUARE, compose(flip, step), **outside), flipped_first)
    assert moved(SQUARE, compose(step, flip), **outside)[0].tolist() == [2, 1, 0, -1]


def test_composing_nothing_is_the_identity_and_composing_is_associative():
    assert np.array_equal(compose(), np.eye(3))
    a, b, c = rotation_matrix(0.3), zoom_matrix(2, 3), shift_matrix(4, 5)
    assert np.allclose(compose(a, b, c), compose(a, compose(b, c)), atol=1e-6)
    assert np.allclose(compose(a, b, c), np.asarray(a) @ np.asarray(b) @ np.asarray(c), atol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "inverse"),
    [
        (rotation_matrix(0.7), rotation_matrix(-0.7)),
        (shear_matrix(0.4), shear_matrix(-0.4)),
        (zoom_matrix(2, 0.5), zoom_matrix(0.5, 2)),
        (shift_matrix(3, -8), shift_matrix(-3, 8)),
        (flip_matrix(True, False), flip_matrix(True, False)),
    ],
)
def test_every_step_is_undone_by_its_opposite(matrix, inverse):
    assert np.allclose(compose(matrix, inverse), np.eye(3), atol=1e-6)
    assert np.allclose(about_centre(inverse, 31, 8), np.linalg.inv(np.asarray(about_centre(matrix, 31, 8))), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 7), (225, 224)])
def test_about_centre_keeps_the_centre_in_place(height, width):
    centre = np.array([(height - 1) / 2, (width - 1) / 2, 1])
    for matrix in (rotation_matrix(1.0), zoom_matrix(3, 0.2), shear_matrix(0.5), flip_matrix(True, True)):
        assert np.allclose(about_centre(matrix, height, width) @ centre, centre, atol=1e-4)


def test_about_centre_does_not_change_a_shift():
    assert np.array_equal(about_centre(shift_matrix(2, -3), 5, 9), shift_matrix(2, -3))


def test_builders_give_float32_under_strict_promotion_x64_jit_and_vmap():
    everything = jax.jit(
        lambda x: compose(
            rotation_matrix(x), shear_matrix(x), zoom_matrix(x, x), shift_matrix(x, x), flip_matrix(x > 1, True)
        )
    )
    assert everything(0.5).dtype == jnp.float32
    mapped = jax.vmap(everything)(jnp.array([0.5, 2.0]))
    assert np.allclose(mapped[0], everything(0.5), atol=1e-6)
    with jax.enable_x64(True):
        assert everything(0.5).dtype == jnp.float32


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_quarter_turns_stay_on_the_pixel_grid(turns):
    """float32 has no pi / 2: what its cosine leaves over must not push an edge out of the image."""
    matrix = rotation_matrix(turns * np.pi / 2)
    assert set(np.abs(np.asarray(matrix)).ravel().tolist()) == {0.0, 1.0}
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    turned = affine_warp(image, about_centre(matrix, 4, 4), fill_mode="constant", cval=-1, order=0)
    np.testing.assert_array_equal(turned, np.rot90(image, turns))


def test_a_rotation_of_0_has_a_gradient():
    slope = jax.jacobian(rotation_matrix)(0.0)
    np.testing.assert_allclose(slope, [[0, 1, 0], [-1, 0, 0], [0, 0, 0]], atol=1e-6)


def rounded_at_every_step(theta):
    """The sine and the cosine by NumPy, which rounds every product and every sum: the constants are those of Cephes."""
    quarters = np.round(theta * np.float32(2 / np.pi))
    rest = theta
    for part in (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8):
        rest = rest - quarters * np.float32(part)
    square = rest * rest
    sine, cosine = np.float32(-1.9515295891e-4), np.float32(2.443315711809948e-5)
    for constant in (8.3321608736e-3, -1.6666654611e-1):
        sine = sine * square + np.float32(constant)
    for constant in (-1.388731625493765e-3, 4.166664568298827e-2):
        cosine = cosine * square + np.float32(constant)
    sine = rest + square * rest * sine
    cosine = (np.float32(1) - square * np.float32(0.5)) + square * square * cosine
    quarter = quarters.astype(np.int32) % 4
    turned = [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)]
    return tuple(np.choose(quarter, [pair[place] for pair in turned]) for place in range(2))


def test_sines_are_exact_to_their_last_digits_and_the_same_alone_and_in_a_batch():
    angles = np.concatenate([np.linspace(-7, 7, 2001), np.linspace(-3000, 3000, 501)]).astype(np.float32)
    sine, cosine = jax.jit(sine_cosine)(angles)
    np.testing.assert_allclose(sine, np.sin(np.float64(angles)), rtol=0, atol=1.5e-7)
    np.testing.assert_allclose(cosine, np.cos(np.float64(angles)), rtol=0, atol=1.5e-7)
    for found, expected in zip((sine, cosine), rounded_at_every_step(angles), strict=True):
        np.testing.assert_array_equal(found, expected)
    alone = jax.jit(sine_cosine)
    for place in range(0, len(angles), 97):
        assert alone(angles[place]) == (sine[place], cosine[place])
    leaning = angles[np.abs(angles) < 1.55]
    np.testing.assert_allclose(tangent(leaning), np.tan(np.float64(leaning)), rtol=4e-7)


def test_a_rounded_product_is_not_contracted_with_a_sum():
    a, b, c = np.random.default_rng(0).standard_normal((3, 1000)).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(lambda a, b, c: rounded(a * b) + c)(a, b, c), a * b + c)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: compose(Affine()), r"matrices\[0\] is a Affine; expected .* transform.matrix\(params, image_shape\)"),
        (lambda: compose(np.eye(3), 3), r"matrices\[1\] is a int; expected an array of shape \(3, 3\)"),
        (lambda: compose([np.eye(3)] * 2), r"has shape \(2, 3, 3\); .*compose\(\*matrices\); for a batch use jax.vmap"),
        (lambda: compose(np.eye(2)), r"has shape \(2, 2\); expected \(3, 3\)"),
        (lambda: compose([[1, 2], [3]]), r"matrices\[0\] is \[\[1, 2\], \[3\]\]; expected"),
        (lambda: about_centre(Affine(), 4, 4), "matrix is a Affine; expected"),
        (
            lambda: rotation_matrix(np.zeros(3)),
            r"theta has shape \(3,\); expected one number. For several use jax.vmap",
        ),
        (lambda: shift_matrix("a", 0), "rows is 'a'; expected a number"),
        (lambda: flip_matrix(True, None), "vertical is None; expected a number"),
    ],
)
def test_what_is_no_matrix_or_number_is_refused_with_words(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_rows_of_numbers_are_a_matrix_under_jit_too():
    made = jax.jit(lambda x: compose([[1, 0, x], [0, 1, 0], [0, 0, 1]], np.eye(3, dtype=np.float32)))(2.0)
    np.testing.assert_array_equal(made, [[1, 0, 2], [0, 1, 0], [0, 0, 1]])
