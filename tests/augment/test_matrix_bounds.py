"""What a config may draw lies within the bounds on its matrix, and these within the bits of fixed-point coordinates."""

import jax
import numpy as np
import pytest

from jaxiter import Affine, compose

SHAPES = [(32, 32), (9, 70), (300, 40)]
CONFIGS = {
    "rotation": Affine(rotation=(-40, 15)),
    "half turns": Affine(rotation=180),
    "shift": Affine(shift=((-0.5, 0.1), 1.0)),
    "shear": Affine(shear=(-50, 20)),
    "zoom": Affine(zoom=(0.4, 3.0)),
    "aspect kept": Affine(zoom=0.5, keep_aspect=True),
    "flips": Affine(horizontal_flip=True, vertical_flip=True, shift=0.2),
    "all": Affine(rotation=30, shift=0.4, shear=40, zoom=(0.5, 2.0), horizontal_flip=True, vertical_flip=True),
    # Single points reach their bounds, or nearly.
    "corner": Affine(rotation=(45, 45), shift=((1, 1), (1, 1)), shear=(60, 60), zoom=(0.3, 0.3)),
}


def drawn_matrices(key, affine, shape, count=300):
    keys = jax.random.split(key, count)
    return np.asarray(jax.vmap(lambda key: affine.matrix(affine.sample(key, (*shape, 1)), shape))(keys), np.float64)


def about_centre(matrices, shape):
    """`source - centre = linear @ (output - centre) + offset`."""
    centre, linear = (np.array(shape) - 1) / 2, matrices[:, :2, :2]
    return linear, matrices[:, :2, 2] - centre + linear @ centre


def assert_within(bounds, matrices, shape):
    linear, offset = about_centre(matrices, shape)
    assert (np.abs(linear) <= np.asarray(bounds.linear) * 1.0001 + 1e-6).all()
    assert (np.abs(offset) <= np.asarray(bounds.offset) * 1.0001 + 1e-3).all()
    point = bounds.fixed_point(shape)
    corners = np.array([[row, col, 1] for row in (0, shape[0] - 1) for col in (0, shape[1] - 1)]).T
    assert np.abs(matrices[:, :2] @ corners).max() * 2.0**point.bits < 2**31
    assert np.abs(matrices[:, :2, 2]).max() * 2.0**point.bits < 2**31


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_no_draw_lies_beyond_the_bounds(key, name, shape):
    affine = CONFIGS[name]
    assert_within(affine.bounds(shape), drawn_matrices(key, affine, shape), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_draw_of_two_in_a_row_lies_beyond_the_bounds_of_both(key, shape):
    first, second = CONFIGS["all"], CONFIGS["corner"]
    matrices = drawn_matrices(key, first, shape), drawn_matrices(key, second, shape)
    both = np.asarray(jax.vmap(compose)(*(m.astype(np.float32) for m in matrices)), np.float64)
    assert_within(first.bounds(shape).then(second.bounds(shape)), both, shape)


def test_bounds_are_not_wider_than_they_have_to_be():
    """A bit of the coordinates goes with every doubling."""
    usual = Affine(rotation=15, shift=0.1, shear=10, zoom=0.1, horizontal_flip=True)
    assert [usual.bounds(shape).fixed_point(shape).bits for shape in ((32, 32), (224, 224))] == [24, 22]
    assert usual.bounds((32, 32)).fixed_point((32, 32)).folds_once
    assert not CONFIGS["corner"].bounds((32, 32)).fixed_point((32, 32)).folds_once


def test_an_image_too_large_for_the_bits_has_no_bounds():
    assert CONFIGS["corner"].bounds((9000, 9000)).fixed_point((9000, 9000)) is None
    assert Affine(shear=89.999, shift=1.0).bounds((3000, 3000)).fixed_point((3000, 3000)) is None


def test_only_shift_zoom_and_flip_keep_the_axes():
    aligned = {name: affine.bounds((9, 8)).fixed_point((9, 8)).axis_aligned for name, affine in CONFIGS.items()}
    assert {name for name, is_aligned in aligned.items() if is_aligned} == {"shift", "zoom", "aspect kept", "flips"}
