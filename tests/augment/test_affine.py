"""`Affine`: every option alone, ranges and units, one resampling, dtypes, and what is refused."""

import inspect
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, AffineParams, affine_warp

SHAPE = (12, 20, 3)
IMAGE = np.random.default_rng(0).random(SHAPE, np.float32)
BYTES = (IMAGE * 255).astype(np.uint8)

# One random use of every option, and the parameter that it decides.
OPTIONS = {
    "rotation": (30.0, "rotation"),
    "shift": (0.3, "shift"),
    "shear": (20.0, "shear"),
    "zoom": (0.3, "zoom"),
    "horizontal_flip": (True, "horizontal_flip"),
    "vertical_flip": (True, "vertical_flip"),
}
EVERYTHING = {name: value for name, (value, _) in OPTIONS.items()}
STILL = AffineParams(0.0, np.zeros(2), 0.0, np.ones(2), False, False)


def draws(affine, count=4000, seed=0, shape=SHAPE):
    """The parameters of many images, one row for each."""
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.tree.map(np.asarray, jax.vmap(lambda key: affine.sample(key, shape))(keys))


def applied(affine, image, seed=0):
    return np.asarray(affine.apply(affine.sample(jax.random.key(seed), image.shape), image))


def assert_uniform(values, low, high):
    """The mean, the spread and the ends of a uniform distribution on [low, high]."""
    values = np.asarray(values, np.float64)
    assert low <= values.min()
    assert values.max() <= high
    unit = (values - low) / (high - low)
    assert np.abs(np.sort(unit) - np.linspace(0, 1, len(unit))).max() < 2 / np.sqrt(len(unit))  # Kolmogorov-Smirnov


# One option at a time.


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_alone_draws_its_own_parameter_and_no_other(option):
    drawn = draws(Affine(**{option: OPTIONS[option][0]}), 64)
    for name, values in drawn._asdict().items():
        if name == OPTIONS[option][1]:
            assert len(np.unique(values)) > 1
        else:
            assert (values == getattr(STILL, name)).all(), name


@pytest.mark.parametrize("option", OPTIONS)
def test_adding_an_option_moves_no_draw_of_another(option):
    name = OPTIONS[option][1]
    alone = getattr(draws(Affine(**{option: OPTIONS[option][0]}), 16), name)
    among_all = getattr(draws(Affine(**EVERYTHING), 16), name)
    assert np.array_equal(alone, among_all)


def test_options_share_no_draws():
    drawn = draws(Affine(**EVERYTHING))
    columns = np.column_stack(list(drawn)).astype(float)
    assert columns.shape == (4000, 8)
    assert np.abs(np.corrcoef(columns.T) - np.eye(8)).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_alone_changes_the_picture(option):
    certain = {"horizontal_flip": 1.0, "vertical_flip": 1.0}
    value = certain.get(option, OPTIONS[option][0])
    assert np.abs(applied(Affine(**{option: value}), IMAGE) - IMAGE).max() > 0.1


@pytest.mark.parametrize(
    "off", [{}, dict.fromkeys(OPTIONS, 0), dict.fromkeys(OPTIONS, 0.0), dict.fromkeys(OPTIONS, False)]
)
@pytest.mark.parametrize("image", [IMAGE, BYTES])
def test_zero_and_false_are_off(off, image):
    result = applied(Affine(**off), image)
    assert result.dtype == image.dtype
    assert np.array_equal(result, image)


def test_a_range_that_is_the_still_point_is_off():
    still = Affine(rotation=(0, 0), shift=((0, 0), 0), shear=(0, 0), zoom=(1, 1), horizontal_flip=0.0)
    assert applied(still, BYTES).dtype == np.uint8
    assert still == Affine()


# Directions, by eye.


def test_a_fixed_rotation_turns_counter_clockwise():
    square = np.arange(16.0, dtype=np.float32).reshape(4, 4, 1)
    assert np.allclose(applied(Affine(rotation=(90, 90)), square), np.rot90(square), atol=1e-4)


def test_a_fixed_shift_moves_down_and_right_by_fractions_of_the_sides():
    moved = applied(Affine(shift=((0.25, 0.25), (-0.1, -0.1)), fill_mode="constant"), IMAGE)
    assert np.allclose(moved[3:, :18], IMAGE[:-3, 2:], atol=1e-6)
    assert (moved[:3] == 0).all()
    assert (moved[:, 18:] == 0).all()


def test_zoom_magnifies_rows_and_columns_apart():
    drawn = AffineParams(0.0, np.zeros(2), 0.0, np.array([2.0, 1.0]), False, False)
    column = np.array([0.0, 0, 1, 1, 0, 0], np.float32).reshape(6, 1, 1)
    taller = Affine(zoom=(0.5, 3), order=0).apply(drawn, column)
    assert taller.ravel().tolist() == [0, 1, 1, 1, 1, 0]


def test_shear_leans_the_top_to_the_right():
    upright = np.zeros((3, 5, 1), np.float32)
    upright[:, 2] = 1
    leaning = applied(Affine(shear=(45, 45), fill_mode="constant", order=0), upright)
    assert leaning[..., 0].tolist() == [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


def test_flips_are_numpys():
    assert np.array_equal(applied(Affine(horizontal_flip=1.0), BYTES), BYTES[:, ::-1])
    assert np.array_equal(applied(Affine(vertical_flip=1), BYTES), BYTES[::-1])
    assert np.array_equal(applied(Affine(horizontal_flip=1.0, vertical_flip=1.0), BYTES), BYTES[::-1, ::-1])


def test_the_picture_is_zoomed_sheared_rotated_shifted_and_then_flipped():
    params = AffineParams(0.4, np.array([2.0, -3.0]), 0.2, np.array([1.3, 0.8]), True, False)
    affine = Affine(**EVERYTHING)
    one_by_one = np.eye(3)
    for name in ("zoom", "shear", "rotation", "shift", "horizontal_flip"):
        one_by_one = one_by_one @ np.asarray(Affine(**{name: OPTIONS[name][0]}).matrix(params, SHAPE), np.float64)
    assert np.allclose(affine.matrix(params, SHAPE), one_by_one, atol=1e-4)


def test_apply_is_one_warp_along_the_matrix():
    affine = Affine(**EVERYTHING, fill_mode="reflect")
    params = affine.sample(jax.random.key(3), SHAPE)
    expected = affine_warp(IMAGE, affine.matrix(params, SHAPE), fill_mode="reflect")
    assert np.allclose(affine.apply(params, IMAGE), expected, atol=1e-6)


def test_fill_mode_cval_and_order_reach_the_warp():
    right = {"shift": ((0, 0), (0.5, 0.5))}
    row = np.arange(1.0, 5.0, dtype=np.float32).reshape(1, 4, 1)
    assert applied(Affine(**right), row).ravel().tolist() == [1, 1, 1, 2]
    assert applied(Affine(**right, fill_mode="reflect"), row).ravel().tolist() == [2, 1, 1, 2]
    assert applied(Affine(**right, fill_mode="constant", cval=9), row).ravel().tolist() == [9, 9, 1, 2]
    assert applied(Affine(shift=((0, 0), (-0.1, -0.1)), order=0), row).ravel().tolist() == [1, 2, 3, 4]


# Ranges and units.


@pytest.mark.parametrize(
    ("option", "value", "low", "high"),
    [
        ("rotation", 30, -30, 30),
        ("rotation", (10, 20), 10, 20),
        ("rotation", np.array(30.0), -30, 30),
        ("rotation", np.array([10.0, 20.0]), 10, 20),
        ("shear", 25.0, -25, 25),
        ("shear", [-5, 15], -5, 15),
    ],
)
def test_angles_are_degrees_in_ranges(option, value, low, high):
    drawn = draws(Affine(**{option: value}))
    assert_uniform(np.degrees(getattr(drawn, OPTIONS[option][1])), low - 1e-4, high + 1e-4)


@pytest.mark.parametrize(
    ("shift", "rows", "cols"),
    [
        (0.25, (-3, 3), (-5, 5)),
        ((0.5, 0.1), (-6, 6), (-2, 2)),
        (((0.25, 0.5), 0.1), (3, 6), (-2, 2)),
        (((0.25, 0.5), (-0.2, -0.1)), (3, 6), (-4, -2)),
        (np.array(0.25), (-3, 3), (-5, 5)),
        (np.array([0.5, 0.1]), (-6, 6), (-2, 2)),
        (np.array([[0.25, 0.5], [-0.1, 0.1]]), (3, 6), (-2, 2)),
    ],
)
def test_shifts_are_fractions_of_height_and_width(shift, rows, cols):
    drawn = draws(Affine(shift=shift)).shift
    assert_uniform(drawn[:, 0], *rows)
    assert_uniform(drawn[:, 1], *cols)


@pytest.mark.parametrize(
    ("zoom", "low", "high"),
    [(0.2, 0.8, 1.2), ((0.5, 3), 0.5, 3), (np.array(0.2), 0.8, 1.2), (np.array([0.5, 3.0]), 0.5, 3)],
)
def test_zoom_factors_are_drawn_apart_for_rows_and_columns(zoom, low, high):
    drawn = draws(Affine(zoom=zoom)).zoom
    for axis in range(2):
        assert_uniform(drawn[:, axis], low - 1e-6, high + 1e-6)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(4000)


def test_keep_aspect_draws_one_factor_for_both():
    drawn = draws(Affine(zoom=0.2, keep_aspect=True)).zoom
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert np.array_equal(drawn[:, 0], draws(Affine(zoom=0.2)).zoom[:, 0])


def test_whole_pixels_are_the_shift_rounded():
    drawn = draws(Affine(shift=0.3)).shift
    assert np.array_equal(draws(Affine(shift=0.3, whole_pixels=True)).shift, np.round(drawn))


@pytest.mark.parametrize(("flip", "share"), [(True, 0.5), (0.5, 0.5), (0.1, 0.1), (np.array(0.1), 0.1)])
def test_a_flip_comes_to_its_share_of_the_images(flip, share):
    flips = draws(Affine(horizontal_flip=flip)).horizontal_flip
    assert abs(flips.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(flips))


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.0, False), (False, False), (0, False), (1.0, True), (1, True)]
)
def test_a_flip_of_probability_0_never_comes_and_of_1_always(probability, expected):
    assert (draws(Affine(vertical_flip=probability)).vertical_flip == expected).all()


def test_array_and_number_ranges_draw_alike():
    numbers = draws(Affine(rotation=(10, 20), shift=0.2, zoom=0.3, horizontal_flip=0.3), 50)
    arrays = draws(
        Affine(rotation=np.array([10.0, 20.0]), shift=np.array(0.2), zoom=np.array(0.3), horizontal_flip=np.array(0.3)),
        50,
    )
    for a, b in zip(numbers, arrays, strict=True):
        assert np.allclose(a, b, atol=1e-5)


# Dtypes: selection keeps them, interpolation is arithmetic.

SELECTIONS = {
    "flips": Affine(horizontal_flip=True, vertical_flip=True),
    "whole pixels": Affine(shift=0.3, whole_pixels=True, horizontal_flip=True),
    "order 0": Affine(rotation=30, zoom=0.2, shear=10, shift=0.1, order=0),
}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "bfloat16", "float16", "float32"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_selecting_pixels_keeps_their_dtype_and_values(selection, dtype):
    image = jnp.asarray(BYTES // 2).astype(dtype)
    result = SELECTIONS[selection].apply(SELECTIONS[selection].sample(jax.random.key(1), SHAPE), image)
    assert result.dtype == jnp.dtype(dtype)
    assert set(np.unique(result.astype(np.float32))) <= set(np.unique(image.astype(np.float32)))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("bool", "float32"), ("uint8", "float32"), ("int32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")],
)
def test_interpolating_gives_float32_for_integers_and_else_the_images_own_float(dtype, expected):
    result = applied(Affine(rotation=30), jnp.asarray(BYTES // 2).astype(dtype))
    assert result.dtype == jnp.dtype(expected)


def test_interpolated_bytes_are_not_rounded():
    found, expected = applied(Affine(rotation=30), BYTES), applied(Affine(rotation=30), BYTES.astype(np.float32))
    assert np.abs(found - expected).max() < 2 * 255 * 2.0**-17  # half a unit of 16 bits along either axis
    assert (found != np.round(found)).any()


def test_whole_pixel_shifts_with_flips_are_bitwise_moves():
    affine = Affine(shift=0.4, whole_pixels=True, fill_mode="constant", cval=7)
    for seed in range(5):
        params = affine.sample(jax.random.key(seed), SHAPE)
        rows, cols = (int(pixels) for pixels in params.shift)
        padded = np.pad(BYTES, ((20, 20), (20, 20), (0, 0)), constant_values=7)
        expected = padded[20 - rows : 32 - rows, 20 - cols : 40 - cols]
        assert np.array_equal(affine.apply(params, BYTES), expected)


@pytest.mark.parametrize(
    "shift",
    [
        (np.array([0.1, 0.2]), 0.3),
        (jnp.array([0.1, 0.2]), np.array(0.3)),
        ((np.array(0.1), 0.2), 0.3),
        ((0.1, 0.2), np.array(0.3)),
    ],
)
def test_one_shift_may_be_an_array_and_the_other_a_number(shift):
    np.testing.assert_allclose(Affine(shift=shift).shift, [[0.1, 0.2], [-0.3, 0.3]], rtol=1e-6)


# Bad input.

BAD = [
    ({"rotation": float("nan")}, ValueError, "rotation is nan; expected a finite number"),
    ({"shift": float("inf")}, ValueError, "shift is inf; expected a finite number"),
    ({"zoom": (0.5, float("inf"))}, ValueError, "zoom is inf|zoom.*finite"),
    ({"shear": np.array(np.nan)}, ValueError, "shear holds NaN or infinity"),
    ({"rotation": -10}, ValueError, r"rotation is -10; expected 0 or more: r means \[-r, r\]"),
    ({"shift": -0.1}, ValueError, r"shift is -0.1; expected 0 or more"),
    ({"shift": (0.1, -0.2)}, ValueError, r"shift\[1\] is -0.2; expected 0 or more"),
    ({"shear": np.array(-1.0)}, ValueError, "shear is .*-1.*; expected 0 or more"),
    ({"zoom": -0.1}, ValueError, r"zoom is -0.1; expected 0 or more: r means \[1 - r, 1 \+ r\]"),
    ({"rotation": (10, -10)}, ValueError, r"rotation is \(10, -10\); expected a pair \(low, high\) with low <= high"),
    ({"zoom": (1.2, 0.8)}, ValueError, r"zoom is \(1.2, 0.8\); expected a pair"),
    ({"shift": ((0.2, 0.1), 0)}, ValueError, r"shift\[0\] is \(0.2, 0.1\); expected a pair"),
    ({"zoom": 1.0}, ValueError, "zoom is 1.0, which reaches 0; expected factors above 0"),
    ({"zoom": (0, 1)}, ValueError, r"zoom is \(0, 1\), which reaches 0; expected factors above 0"),
    ({"zoom": (-2, 1)}, ValueError, "which reaches -2; expected factors above 0"),
    ({"zoom": np.array([0.0, 1.0])}, ValueError, "which reaches 0; expected factors above 0"),
    ({"shear": 90}, ValueError, r"shear is 90; expected numbers inside \(-90, 90\)"),
    ({"shear": (-90, 0)}, ValueError, r"shear is \(-90, 0\); expected numbers inside \(-90, 90\)"),
    (
        {"horizontal_flip": 1.5},
        ValueError,
        r"horizontal_flip is 1.5; expected True, False or a probability in \[0, 1\]",
    ),
    ({"vertical_flip": -0.1}, ValueError, "vertical_flip is -0.1; expected True, False or a probability"),
    ({"vertical_flip": float("nan")}, ValueError, "vertical_flip is nan"),
    ({"horizontal_flip": (0.1, 0.2)}, TypeError, r"horizontal_flip is \(0.1, 0.2\); expected True, False or one prob"),
    ({"horizontal_flip": "yes"}, TypeError, "horizontal_flip is 'yes'"),
    (
        {"fill_mode": "edge"},
        ValueError,
        "fill_mode is 'edge'; expected one of 'nearest', 'constant', 'reflect', 'mirror', 'wrap', 'grid-wrap'",
    ),
    ({"fill_mode": None}, ValueError, "fill_mode is None; expected one of"),
    ({"cval": float("inf")}, ValueError, "cval is inf; expected a finite number"),
    ({"rotation": True}, TypeError, "rotation is True; expected a number, a tuple of numbers or an array"),
    ({"zoom": True}, TypeError, "zoom is True; expected a number"),
    ({"rotation": "20"}, TypeError, "rotation is '20'; expected a number"),
    ({"rotation": None}, TypeError, "rotation is None; expected a number"),
    ({"rotation": (1, 2, 3)}, ValueError, r"rotation is \(1, 2, 3\); expected a number or a pair"),
    ({"rotation": np.zeros(3)}, ValueError, r"rotation has shape \(3,\); expected \(\) for a number or \(2,\)"),
    ({"zoom": ((1, 2), (1, 2))}, ValueError, r"zoom is \(\(1, 2\), \(1, 2\)\); expected a number or a pair"),
    ({"shift": (0.1, 0.1, 0.1)}, ValueError, r"shift is \(0.1, 0.1, 0.1\); expected a fraction, or \(rows, cols\)"),
    ({"shift": np.zeros((3, 2))}, ValueError, r"shift has shape \(3, 2\); expected \(\), \(2,\)"),
    ({"shift": (np.array([0.1, 0.2]), -0.3)}, ValueError, r"shift\[1\] is -0.3; expected 0 or more"),
    ({"shift": (np.array([0.1, 0.2]), None)}, TypeError, r"shift\[1\] is None; expected a number"),
    ({"shift": (np.zeros(3), 0.1)}, ValueError, "shift is .*; expected numbers, or numbers and arrays of one shape"),
    ({"rotation": (np.zeros(2), 3)}, ValueError, "rotation is .*; expected numbers, or numbers and arrays of one"),
    ({"rotation": np.array(["a"])}, TypeError, "rotation is an array of .*; expected real numbers"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input_is_refused_by_name_and_value(arguments, error, message):
    with pytest.raises(error, match=message):
        Affine(**arguments)


@pytest.mark.parametrize("order", [6, -1, 1.5, "1", None, True])
def test_an_order_that_does_not_exist_is_refused_with_those_that_do(order):
    with pytest.raises(ValueError, match=rf"order is {order!r}; expected a spline order: 0 .* or 5"):
        Affine(rotation=10, order=order)


def test_options_are_named_never_counted():
    with pytest.raises(TypeError, match="positional argument"):
        Affine(10)
    parameters = inspect.signature(Affine).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)


def test_replacing_an_option_keeps_the_others():
    assert replace(Affine(rotation=10, zoom=0.2, horizontal_flip=True), rotation=5) == Affine(
        rotation=5, zoom=0.2, horizontal_flip=True
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"whole_pixels": "no"}, TypeError, "whole_pixels is 'no'; expected True or False"),
        ({"keep_aspect": 1}, TypeError, "keep_aspect is 1"),
        ({"draws": 5}, TypeError, "draws is 5; expected a name"),
        ({"order": 1.0}, ValueError, r"order is 1\.0"),
        ({"order": np.array([0, 1])}, ValueError, "order is array"),
        ({"fill_mode": np.array(["wrap", "nearest"])}, ValueError, "fill_mode is array"),
        ({"shift": 4}, ValueError, "shift reaches 4 times the size.*4 / 32"),
        ({"shift": (0.1, (-2.0, 0.0))}, ValueError, "shift reaches 2 times the size"),
        ({"zoom": 1.5}, ValueError, r"reaches -0\.5; expected factors above 0.*pass a pair"),
        ({"rotation": 10**400}, ValueError, "expected a finite number"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Affine(**options)


def test_images_of_the_wrong_rank_are_refused_where_they_come_in():
    aug = Affine(rotation=3)
    params = aug.sample(jax.random.key(0), (8, 8, 1))
    for shape in [(8, 8), (2, 8, 8, 1)]:
        with pytest.raises(ValueError, match=r"expected \(height, width, channels\)"):
            aug.apply(params, jnp.ones(shape))
        with pytest.raises(ValueError, match="image_shape has shape"):
            aug.sample(jax.random.key(0), shape)
