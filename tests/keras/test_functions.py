import inspect
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from jaxiter import keras
from jaxiter.keras._draw import BatchContext, batch_context

from ..data import pairwise
from .reference import image_utils, legacy
from .test_generator import pictures, same_but_for_ties

pytestmark = pytest.mark.filterwarnings("ignore:Please import .affine_transform:DeprecationWarning")

NAMES = [
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "flip_axis",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
    "transform_matrix_offset_center",
]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_keras(name):
    def parameters(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert parameters(getattr(keras, name)) == parameters(getattr(legacy, name))


PARAMS = [
    {"theta": 25},
    {"theta": 180},
    {"tx": 1.37, "ty": -2},
    {"shear": 20},
    {"zx": 0.73, "zy": 1.31},
    {"theta": -40, "tx": 2.5, "ty": 0.25, "shear": -10, "zx": 0.8, "zy": 1.1},
]


@pytest.mark.parametrize(
    *pairwise(
        params=PARAMS,
        axes=[(1, 2, 0), (0, 1, 2), (2, 1, 0), (1, 0, 2)],
        dtype=["float32", "float64", "uint8", "int32", "int64"],
    )
)
def test_an_affine_transform_is_keras_on_any_axes(params, axes, dtype):
    image = pictures((7, 9, 8), dtype=dtype)
    arguments = params | dict(zip(("row_axis", "col_axis", "channel_axis"), axes, strict=True))
    found = keras.apply_affine_transform(image, fill_mode="reflect", **arguments)
    same_but_for_ties(found, legacy.apply_affine_transform(image, fill_mode="reflect", **arguments))


def test_half_floats_are_resampled_though_scipy_cannot():
    image = pictures((3, 8, 8), dtype=np.float16)
    found = keras.apply_affine_transform(image, theta=20)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, keras.apply_affine_transform(image.astype(np.float32), theta=20), rtol=1e-3)


def test_the_identity_returns_the_image_itself_whatever_the_fill_mode():
    image = pictures((3, 8, 8))
    assert keras.apply_affine_transform(image, fill_mode="unknown", order=7) is image


@pytest.mark.parametrize(
    ("shape", "axes", "word"),
    [
        ((3, 8, 8), (1, 1, 0), "must be distinct"),
        ((3, 8, 8), (-2, -1, 0), r"Invalid axis.*\[-2, -1\]"),
        ((8, 8), (1, 2, 0), "multi-channel 2D images"),
        ((3, 8, 8), (0, 2, 1), "channels"),
    ],
)
def test_axes_are_checked_before_anything_else(shape, axes, word):
    for module, match in ((keras, word), (legacy, None)):
        with pytest.raises(ValueError, match=match):
            module.apply_affine_transform(np.zeros(shape), 0, 0, 0, 0, 1, 1, *axes)


def test_whole_numbers_in_exact_arithmetic_lose_no_level_of_brightness():
    image = np.arange(0, 250, 10, dtype=np.float32).reshape(1, 25, 1) * np.ones((4, 1, 3), np.float32)
    ours, theirs = keras.ImageDataGenerator(), legacy.ImageDataGenerator()
    for tx in (0.1, 0.3, 1.7, 2.9):
        params = {"tx": tx, "brightness": 1.0}
        np.testing.assert_array_equal(ours.apply_transform(image, params), theirs.apply_transform(image, params))


@pytest.mark.parametrize(
    *pairwise(
        scale=[False, True],
        channels=[1, 3, 4],
        bounds=[(0, 255), (0, 1), (-2, 2), (5, 300), (7, 7), (-7, -7)],
        dtype=["float32", "float64"],
    )
)
def test_brightness_is_pillows_to_the_bit(scale, channels, bounds, dtype):
    low, high = bounds
    image = (low + pictures((9, 8, channels)) / 255 * (high - low)).astype(dtype)
    for brightness in (-0.5, 0, 0.3, 1, 1.7, 300):
        found = keras.apply_brightness_shift(image, brightness, scale)
        expected = legacy.apply_brightness_shift(image, brightness, scale)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_brightness_of_bytes_is_pillows_for_every_value():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for brightness in np.linspace(0, 3, 50):
        expected = legacy.apply_brightness_shift(image, brightness, False)
        np.testing.assert_array_equal(keras.apply_brightness_shift(image, brightness, False), expected)


def test_brightness_refuses_two_channels():
    with pytest.raises(ValueError, match="Unsupported channel number: 2"):
        keras.apply_brightness_shift(np.zeros((4, 4, 2)), 1)


@pytest.mark.parametrize("channel_axis", [0, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_channel_shift_stays_within_the_image(channel_axis, dtype):
    image = pictures((5, 6, 5), dtype=dtype)
    for intensity in (-30.5, 0, 20.25):
        found = keras.apply_channel_shift(image, intensity, channel_axis)
        expected = legacy.apply_channel_shift(image, intensity, channel_axis)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_flips_and_centres_are_keras():
    image = pictures((5, 6, 3))
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(keras.flip_axis(image, axis), legacy.flip_axis(image, axis))
    matrix = np.array([[0.5, 0.2, 3], [-0.1, 2, 4], [0, 0, 1]])
    found = keras.transform_matrix_offset_center(matrix, 7, 4)
    np.testing.assert_allclose(found, legacy.transform_matrix_offset_center(matrix, 7, 4))


CALLS = {
    "random_rotation": (30,),
    "random_shift": (0.2, 0.4),
    "random_shear": (30,),
    "random_zoom": ((0.5, 0.8),),
    "random_channel_shift": (40,),
    "random_brightness": ((0.2, 0.8),),
}


@pytest.mark.parametrize("name", CALLS)
def test_random_functions_change_an_image_differently_each_time_and_leave_numpy_alone(name):
    image, before = pictures((12, 11, 3)), np.random.get_state()[1].copy()
    changed = [getattr(keras, name)(image, *CALLS[name]) for _ in range(2)]
    assert changed[0].shape == image.shape
    assert not np.array_equal(*changed)
    assert np.array_equal(before, np.random.get_state()[1])


def test_ranges_of_a_single_point_are_exact():
    image = pictures((3, 8, 8))
    for name, arguments in (("random_rotation", (0,)), ("random_shift", (0, 0)), ("random_zoom", ((1, 1),))):
        assert getattr(keras, name)(image, *arguments) is image
    image = np.moveaxis(image, 0, -1)
    assert np.array_equal(keras.random_brightness(image, (0.5, 0.5)), keras.apply_brightness_shift(image, 0.5))


@pytest.mark.parametrize(("name", "word"), [("random_zoom", "zoom_range"), ("random_brightness", "brightness_range")])
def test_a_range_of_another_length_is_refused_before_the_image_is_seen(name, word):
    with pytest.raises(ValueError, match=word):
        getattr(keras, name)(None, (1, 2, 3))


@pytest.mark.parametrize("value", [None, "5", b"5", 1j, np.inf, np.nan, object(), np.array(["1"])], ids=repr)
def test_ranges_and_parameters_of_no_finite_numbers_are_refused_by_name(value):
    image = pictures((8, 8, 3))
    error = ValueError if isinstance(value, float) else TypeError
    calls = {
        "rg": lambda: keras.random_rotation(image, value),
        "wrg": lambda: keras.random_shift(image, value, 0.1),
        "hrg": lambda: keras.random_shift(image, 0.1, value),
        "intensity": lambda: keras.random_shear(image, value),
        "intensity_range": lambda: keras.random_channel_shift(image, value),
        r"zoom_range\[1\]": lambda: keras.random_zoom(image, (0.5, value)),
        r"brightness_range\[0\]": lambda: keras.random_brightness(image, (value, 1)),
        "brightness": lambda: keras.apply_brightness_shift(image, value),
        "intensity is": lambda: keras.apply_channel_shift(image, value),
    }
    for name, call in calls.items():
        with pytest.raises(error, match=rf"^{name}.*; expected a (finite )?number, [01] for no change\."):
            call()


@pytest.mark.parametrize(("name", "word"), [("random_zoom", "zoom_range"), ("random_brightness", "brightness_range")])
@pytest.mark.parametrize("value", [None, 0.5, np.float32(0.5), np.array(0.5), {0: 1, 1: 2}], ids=repr)
def test_a_range_that_is_no_pair_is_refused(name, word, value):
    with pytest.raises(TypeError, match=f"{word}.* should be a tuple or list of two floats"):
        getattr(keras, name)(pictures((8, 8, 3)), value)


NUMBERS = [True, np.int16(2), np.float32(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2), -0.5, 2]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_whatever_makes_a_number_is_taken_with_keras_result(number):
    image, several = pictures((8, 9, 3)), np.array([0.5])
    calls = {
        "random_rotation": [(number, 0, 1, 2)],
        "random_shift": [(number, number, 0, 1, 2)],
        "random_shear": [(number, 0, 1, 2)],
        "random_zoom": [((0.4, number), 0, 1, 2), ((0.4, several), 0, 1, 2), (np.array([0.4, 0.6]), 0, 1, 2)],
        "random_channel_shift": [(number, 2), (several, 2), (1e30, 2)],
        "random_brightness": [((0.4, number),), ([0.4, number],)],
        "apply_brightness_shift": [(number,)],
    }
    for name, all_arguments in calls.items():
        for arguments in all_arguments:
            np.random.seed(0)
            expected = getattr(legacy, name)(image, *arguments)
            with batch_context(BatchContext(None, state=np.random.RandomState(0))):
                same_but_for_ties(getattr(keras, name)(image, *arguments), expected)


@pytest.mark.parametrize("name", ["array_to_img", "img_to_array", "save_img"])
def test_picture_functions_have_keras_signatures(name):
    def parameters(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert parameters(getattr(keras, name)) == parameters(getattr(image_utils, name))
