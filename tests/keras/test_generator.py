import copy
import inspect
import pickle
import warnings
from functools import partial

import numpy as np
import pytest

import jaxiter
from jaxiter.keras import ImageDataGenerator

from ..data import pairwise
from .reference import legacy

# SciPy's old name for affine_transform, which Keras still uses.
pytestmark = pytest.mark.filterwarnings("ignore:Please import .affine_transform:DeprecationWarning")

EVERYTHING = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "height_shift_range": 3,
    "shear_range": 12,
    "zoom_range": 0.3,
    "channel_shift_range": 20,
    "brightness_range": (0.4, 1.6),
    "horizontal_flip": True,
    "vertical_flip": True,
}


def pictures(shape, seed=0, dtype=np.float32):
    return (np.random.RandomState(seed).random_sample(shape) * 255).astype(dtype)


def both(**arguments):
    return ImageDataGenerator(**arguments), legacy.ImageDataGenerator(**arguments)


def same_but_for_ties(ours, theirs, level=1):
    """Equal to 1e-4 of 0 ... 255, but for one pixel in fifty that falls on the other side of a rounding edge."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    difference = np.abs(ours.astype(np.float64) - theirs)
    assert difference.max() <= level + 0.03
    assert (difference > 0.03).mean() < 0.02


def test_the_constructor_takes_keras_arguments_in_keras_order():
    def parameters(cls):
        return [(p.name, p.default) for p in inspect.signature(cls.__init__).parameters.values()]

    assert parameters(ImageDataGenerator) == parameters(legacy.ImageDataGenerator)


def test_every_argument_is_an_attribute_of_the_same_name():
    arguments = EVERYTHING | {"rescale": 0.5, "cval": 3.0, "interpolation_order": 0, "data_format": "channels_first"}
    ours, theirs = both(**arguments, validation_split=0.25, dtype="float64")
    for name, value in vars(theirs).items():
        assert getattr(ours, name) == value, name


def test_the_generator_of_the_package_is_the_generator_of_the_keras_module():
    assert jaxiter.ImageDataGenerator is ImageDataGenerator
    assert jaxiter.NumpyArrayIterator is jaxiter.keras.NumpyArrayIterator


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"zoom_range": (1, 2, 3)}, ValueError, "zoom_range"),
        ({"zoom_range": ("a", "b")}, ValueError, "zoom_range"),
        ({"zoom_range": None}, TypeError, "zoom_range is None"),
        ({"zoom_range": np.float32(0.5)}, TypeError, r"zoom_range is np.float32\(0.5\)"),
        ({"brightness_range": 0.5}, ValueError, "brightness_range"),
        ({"brightness_range": np.array([0.5, 1.5])}, ValueError, "brightness_range"),
        ({"brightness_range": (1, 2, 3)}, ValueError, "brightness_range"),
        ({"data_format": "channels"}, ValueError, "data_format.*channels_last.*channels_first"),
        ({"validation_split": 1.0}, ValueError, r"validation_split.*1\.0"),
        ({"validation_split": -0.5}, ValueError, "validation_split"),
        ({"validation_split": "a"}, TypeError, "validation_split is 'a'; expected 0 or a share"),
        ({"validation_split": [0.2]}, TypeError, r"validation_split is \[0.2\]"),
        ({"rng": "numpy"}, TypeError, "rng"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_as_keras_refuses_them(arguments, error, word):
    with pytest.raises(error, match=word):
        ImageDataGenerator(**arguments)
    with pytest.raises(error):
        legacy.ImageDataGenerator(**arguments)


@pytest.mark.parametrize("zoom_range", [0, 0.2, True, np.float64(0.2), 2, (0.5, 1.5), [1, 1]])
def test_zoom_range_becomes_a_list_of_two(zoom_range):
    ours, theirs = both(zoom_range=zoom_range)
    assert ours.zoom_range == theirs.zoom_range


@pytest.mark.parametrize("bits", range(16))
def test_flags_that_need_another_set_it_and_warn_as_often_as_keras(bits):
    names = ["zca_whitening", "featurewise_center", "featurewise_std_normalization", "samplewise_std_normalization"]
    arguments = {name: bool(bits >> place & 1) for place, name in enumerate(names)}
    generators, counts = [], []
    for cls in (ImageDataGenerator, legacy.ImageDataGenerator):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            generators.append(cls(**arguments))
        counts.append(len(record))
    assert counts[0] == counts[1]
    for name in [*names, "samplewise_center"]:
        assert getattr(generators[0], name) == getattr(generators[1], name)


def test_the_warning_of_an_override_names_both_flags():
    with pytest.warns(UserWarning, match="samplewise_std_normalization.*samplewise_center"):
        ImageDataGenerator(samplewise_std_normalization=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"width_shift_range": 0.9, "height_shift_range": 2.5},
        {"width_shift_range": 5, "height_shift_range": 1},
        {"width_shift_range": [0.1, 0.2, 0.3], "height_shift_range": (4, 1, 0)},
        {"width_shift_range": -3, "height_shift_range": -0.25},
        {"width_shift_range": [0], "height_shift_range": True},
        {"zoom_range": (1, 1), "horizontal_flip": False, "channel_shift_range": 0, "brightness_range": None},
        {"zoom_range": 1.5, "rotation_range": 0},
        {"data_format": "channels_first"},
    ],
)
def test_a_seed_gives_keras_own_parameters_draw_for_draw(changes):
    ours, theirs = both(**(EVERYTHING | changes))
    for seed in (0, 1, np.int64(7), 12345):
        assert ours.get_random_transform((20, 30, 40), seed) == theirs.get_random_transform((20, 30, 40), seed)
        assert list(ours.get_random_transform((20, 30, 40), seed)) == list(theirs.get_random_transform((20, 30, 40)))


def test_without_a_seed_parameters_differ_and_numpys_global_stream_is_untouched():
    generator = ImageDataGenerator(**EVERYTHING)
    before = np.random.get_state()[1].copy()
    drawn = [generator.get_random_transform((8, 8, 3))["theta"] for _ in range(5)]
    generator.get_random_transform((8, 8, 3), seed=3)
    generator.random_transform(np.zeros((8, 8, 3), np.float32))
    assert len(set(drawn)) == 5
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    *pairwise(
        fill_mode=["nearest", "constant", "reflect", "wrap"],
        dtype=[np.float32, np.float64, np.uint8],
        order=[0, 1, 2, 3, 5],
    )
)
def test_apply_transform_gives_keras_picture_to_a_rounding_edge(fill_mode, dtype, order):
    ours, theirs = both(**EVERYTHING, fill_mode=fill_mode, cval=17.0, interpolation_order=order)
    image = pictures((12, 17, 3), dtype=dtype)
    for seed in range(4):
        params = theirs.get_random_transform(image.shape, seed)
        same_but_for_ties(ours.apply_transform(image.copy(), params), theirs.apply_transform(image.copy(), params), 2)


@pytest.mark.parametrize("shape", [(3, 12, 17), (1, 12, 17), (4, 12, 17)])
def test_apply_transform_of_channels_first_gives_keras_picture(shape):
    ours, theirs = both(**(EVERYTHING | {"brightness_range": None}), data_format="channels_first")
    image = pictures(shape)
    for seed in range(4):
        params = theirs.get_random_transform(image.shape, seed)
        same_but_for_ties(ours.apply_transform(image, params), theirs.apply_transform(image, params))


def test_no_parameters_give_the_image_itself_and_unknown_ones_are_ignored():
    image = pictures((4, 4, 3))
    assert ImageDataGenerator().apply_transform(image, {"unknown": 3, "brightness": None}) is image


def test_a_shift_of_one_in_tx_moves_the_picture_left():
    image = np.arange(9.0).reshape(3, 3, 1)
    assert ImageDataGenerator().apply_transform(image, {"tx": 1})[0].ravel().tolist() == [1, 2, 2]
    assert ImageDataGenerator().apply_transform(image, {"ty": 1})[:, 0].ravel().tolist() == [3, 6, 6]


def test_spline_orders_above_five_are_refused_where_an_image_is_resampled():
    generator = ImageDataGenerator(rotation_range=10, interpolation_order=6)
    with pytest.raises(ValueError, match="order is 6"):
        generator.apply_transform(pictures((4, 4, 1)), {"theta": 5})
    assert generator.apply_transform(pictures((4, 4, 1)), {"theta": 0}).shape == (4, 4, 1)


STEPS = [
    {"rescale": 1 / 255},
    {"samplewise_center": True},
    {"samplewise_center": True, "samplewise_std_normalization": True, "rescale": 0.5},
    {"featurewise_center": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.1},
    {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 1e-2},
    {"preprocessing_function": np.sqrt, "rescale": 2},
]


@pytest.mark.parametrize(*pairwise(steps=STEPS, data_format=["channels_last", "channels_first"], count=[40, 150]))
def test_fit_and_standardize_give_keras_figures(steps, data_format, count):
    ours, theirs = both(**steps, data_format=data_format)
    images = pictures((count, 6, 5, 3))
    images = images if data_format == "channels_last" else np.moveaxis(images, -1, 1).copy()
    kept = images.copy()
    ours.fit(images)
    theirs.fit(images)
    assert np.array_equal(images, kept)
    for name in ("mean", "std", "zca_whitening_matrix"):
        expected, found = getattr(theirs, name), getattr(ours, name)
        assert (expected is None) == (found is None)
        if expected is not None:
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=0, atol=5e-4 * np.abs(expected).max())
            setattr(theirs, name, found)
    for x in (images[0], images[:7]):
        found, expected = ours.standardize(x.copy()), theirs.standardize(x.copy())
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_fit_takes_lists_integers_and_memmaps_and_a_second_fit_replaces_the_first(tmp_path):
    images = pictures((9, 4, 4, 1), dtype=np.uint8)
    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    stored[:] = images
    for source in (images, images.tolist(), stored):
        generator = ImageDataGenerator(featurewise_center=True)
        generator.fit(np.zeros((2, 4, 4, 1)))
        generator.fit(source)
        np.testing.assert_allclose(generator.mean.item(), images.mean(), rtol=1e-6)
        assert generator.std is None


def test_fit_on_augmented_images_follows_keras_for_a_seed():
    flags = {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 255}
    ours, theirs = both(**EVERYTHING | {"brightness_range": None}, **flags)
    images = pictures((30, 8, 8, 3), dtype=np.uint8)
    before = np.random.get_state()[1].copy()
    ours.fit(images, augment=True, rounds=5, seed=4)
    assert np.array_equal(before, np.random.get_state()[1])
    theirs.fit(images, augment=True, rounds=5, seed=4)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-4)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"rotation_range": 1 + 2j}, TypeError, r"rotation_range is \(1\+2j\); expected a number"),
        ({"rotation_range": 10**400}, ValueError, "rotation_range is 1000"),
        ({"shear_range": b"5"}, TypeError, "shear_range is b'5'"),
        ({"width_shift_range": ["1", "2"]}, TypeError, r"width_shift_range is \['1', '2'\]; expected numbers"),
        ({"height_shift_range": [None, 2]}, TypeError, r"height_shift_range is \[None, 2\]"),
        ({"brightness_range": ("a", 1)}, TypeError, r"brightness_range is \('a', 1\)"),
    ],
)
def test_ranges_of_no_numbers_are_refused_where_they_are_drawn_from(arguments, error, word):
    generator = ImageDataGenerator(**arguments)
    with pytest.raises(error, match=word):
        generator.get_random_transform((8, 8, 3))
    with pytest.raises(error, match=word):
        next(generator.flow(np.zeros((2, 8, 8, 3))))


def test_what_a_method_cannot_take_is_named():
    generator, images, image = ImageDataGenerator(samplewise_center=True), np.ones((2, 4, 4, 1)), np.ones((4, 4, 1))
    for shape in (5, None, (), "a"):
        with pytest.raises(TypeError, match=r"img_shape is .*expected the shape of one image"):
            generator.get_random_transform(shape)
    for seed in ("a", 1.5, object()):
        for call in (partial(generator.fit, images), partial(generator.random_transform, image)):
            with pytest.raises(TypeError, match=r"seed is .*; expected an integer in \[0, 2\*\*32\)"):
                call(seed=seed)
    with pytest.raises(ValueError, match="seed is -1; expected"):
        generator.fit(images, seed=-1)
    for rounds, error in ((0, ValueError), (-2, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError)):
        with pytest.raises(error, match=r"rounds is .*expected an integer of at least 1"):
            generator.fit(images, augment=True, rounds=rounds)
        generator.fit(images, rounds=rounds)  # which Keras does not read then
    for nothing in (None, {}, object()):
        with pytest.raises(TypeError, match=r"x is .*; expected an image"):
            generator.standardize(nothing)


def test_a_preprocessing_function_that_cannot_be_called_is_refused_also_when_it_is_set_later():
    with pytest.raises(TypeError, match="preprocessing_function is 'f'; expected a function"):
        ImageDataGenerator(preprocessing_function="f")
    generator = ImageDataGenerator(preprocessing_function=False)
    assert generator.standardize(5) == 5
    generator.preprocessing_function = "f"
    for call in (
        lambda: generator.standardize(np.ones((4, 4, 1))),
        lambda: next(generator.flow(np.ones((2, 4, 4, 1)))),
    ):
        with pytest.raises(TypeError, match="preprocessing_function is 'f'; expected a function"):
            call()


def test_fit_honours_an_overridden_random_transform():
    class Doubled(ImageDataGenerator):
        def random_transform(self, x, seed=None):
            return 2 * super().random_transform(x, seed)

    generator = Doubled(featurewise_center=True)
    generator.fit(np.full((3, 4, 4, 1), 5.0), augment=True)
    assert generator.mean.item() == 10


def test_fit_refuses_another_rank_and_warns_of_odd_channels():
    generator = ImageDataGenerator(featurewise_center=True)
    with pytest.raises(ValueError, match=r"fit.*rank 4"):
        generator.fit(np.zeros((4, 4, 3)))
    with pytest.warns(UserWarning, match="2 channels"):
        generator.fit(np.zeros((4, 4, 4, 2)))
    assert generator.mean.shape == (1, 1, 2)


def test_standardize_changes_a_float_array_in_place_and_copies_what_it_cannot_change():
    generator = ImageDataGenerator(rescale=0.5)
    image = np.full((2, 2, 1), 3, np.float32)
    assert generator.standardize(image) is image
    assert image.max() == 1.5
    image.flags.writeable = False
    assert generator.standardize(image).max() == 0.75
    assert image.max() == 1.5
    assert generator.standardize(np.full((2, 2, 1), 3, np.uint8)).dtype == np.float32


def test_a_missing_statistic_warns_with_its_flag_and_is_left_out():
    generator = ImageDataGenerator(featurewise_center=True)
    image = np.ones((2, 2, 1), np.float32)
    with pytest.warns(UserWarning, match=r"featurewise_center.*\.fit"):
        assert generator.standardize(image).max() == 1


def test_a_generator_can_be_copied_and_pickled():
    generator = ImageDataGenerator(**EVERYTHING)
    for copied in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert copied.get_random_transform((8, 8, 3), 1) == generator.get_random_transform((8, 8, 3), 1)
