"""Configurations drawn from fixed seeds, each run through Keras' own module too: values, warnings and errors."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxiter import keras
from jaxiter.keras import _statistics as _fit

from ..data import first
from .reference import image_utils, legacy

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

MODES = ("nearest", "constant", "reflect", "wrap")
FIELDS = ("theta", "tx", "ty", "shear", "zx", "zy", "channel_shift_intensity", "flip_horizontal", "flip_vertical")


class Dice:
    """Choices of one configuration."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def one_of(self, *values):
        return values[self.state.randint(len(values))]

    def chance(self, probability):
        return bool(self.state.random_sample() < probability)

    def images(self, shape, dtype):
        if dtype == "bool":
            return self.state.random_sample(shape) < 0.5
        low = 0 if dtype[0] == "u" else self.one_of(0, -40)
        return self.state.uniform(low, 255, shape).astype(dtype)


def outcome(action, *arguments, **named):
    """What comes back or is raised, and the categories of all warnings but NumPy's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="Please import .affine_transform", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Your .PyDataset")
        try:
            result = action(*arguments, **named)
        except Exception as error:
            result = error
    return result, [warning.category for warning in caught if warning.category is not RuntimeWarning]


def of_both(action):
    return outcome(action, keras), outcome(action, legacy)


def check_same(ours, theirs, *, level=0.0, odd=0.03, unit=None):
    """Both failed alike, or the arrays are equal to 2e-4 of the range, but for a share of `odd` pixels with ties.

    Args:
        level: How far apart any pixel may be beside.
    """
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        assert isinstance(ours, type(theirs)), (ours, theirs)
        return
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    unit = unit or max(1.0, float(np.nanmax(np.abs(theirs.astype(np.float64)), initial=0)))
    alike = (ours == theirs) | np.isnan(theirs)
    difference = np.abs(np.where(alike, 0, ours).astype(np.float64) - np.where(alike, 0, theirs))
    assert (difference > 2e-4 * unit + level).sum() <= odd * difference.size, difference.max()


def shift_range(dice):
    return dice.one_of(0, 0.2, 0.6, 1.5, 3, 1, [0.1, 0.3], (1, 2), (2.5,), -0.2, -2, np.float64(0.2), True, [-0.5, 0.2])


def ranges(dice):
    return {
        "rotation_range": dice.one_of(0, 30, 180, -20, np.float32(15)),
        "width_shift_range": shift_range(dice),
        "height_shift_range": shift_range(dice),
        "shear_range": dice.one_of(0, 10, -10.0),
        "zoom_range": dice.one_of(0, 0.3, (0.8, 1.0), [1, 1]),
        "channel_shift_range": dice.one_of(0, 20, 0.1, -5),
        "horizontal_flip": dice.one_of(True, False, 1),
        "vertical_flip": dice.one_of(True, False),
        "brightness_range": dice.one_of(None, None, None, (0.5, 1.5), [1, 1], (2, 1)),
    }


def settings(dice):
    return {
        "fill_mode": dice.one_of(*MODES),
        "cval": dice.one_of(0.0, 9, np.float32(-3), np.int64(2), True),
        "interpolation_order": dice.one_of(0, 1, 1, True, np.int64(2), 3, 4, 5),
        "rescale": dice.one_of(None, 1 / 255, -2, 0),
        "samplewise_center": dice.chance(0.3),
        "samplewise_std_normalization": dice.chance(0.3),
        "featurewise_center": dice.chance(0.5),
        "featurewise_std_normalization": dice.chance(0.5),
        "preprocessing_function": dice.one_of(
            None, None, None, None, lambda image: image * 2 + 1, lambda image: image[::-1]
        ),
    }


def generators(arguments):
    made = [module.ImageDataGenerator(**arguments) for module in (keras, legacy)]
    for generator in made:
        generator.mean, generator.std = np.full((1, 1, 1), 2.0), np.full((1, 1, 1), 3.0, np.float32)
    return made


def set_otherwise(both, dice):
    """One attribute of both generators, as a user sets it between two batches."""
    changed = ranges(dice) | settings(dice)
    name = dice.one_of(*(name for name in changed if name not in ("zoom_range", "brightness_range")))
    for generator in both:
        setattr(generator, name, changed[name])


def any_step(dice):
    place = dice.state.randint(4)
    by_index = [lambda it: it[place], lambda it: it[-1 - place]]
    return dice.one_of(next, next, *by_index, lambda it: it.on_epoch_end(), lambda it: it.reset())


@pytest.mark.parametrize("seed", first(6, range(20)))
def test_any_settings_give_keras_batches_also_when_they_change_between_two(seed):
    dice = Dice(seed)
    channels_first, channels = dice.chance(0.3), dice.one_of(1, 3, 4, 2, 5)
    height, width = dice.one_of((6, 6), (5, 8), (1, 5))
    shape = (channels, height, width) if channels_first else (height, width, channels)
    images = dice.images((7, *shape), dice.one_of("uint8", "float32", "float64", "int16", ">f4", "bool"))
    arguments = ranges(dice) | settings(dice)
    arguments |= {"data_format": "channels_first" if channels_first else None, "validation_split": 0.4}
    arguments["dtype"] = dice.one_of(None, "float32", "float64")
    if channels_first or channels in (2, 5):
        arguments["brightness_range"] = None
    walk = {"batch_size": dice.one_of(1, 3, 7, 9), "shuffle": dice.chance(0.5), "seed": dice.one_of(0, 5, np.int64(4))}
    walk |= {"subset": dice.one_of(None, "training", "validation"), "ignore_class_split": True}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`.*_std_normalization` overrides")
        warnings.filterwarnings("ignore", message="data_format is .*, so axis . of x should hold 1, 3 or 4 channels")
        # Keras' words for the same
        warnings.filterwarnings("ignore", message="This ImageDataGenerator specifies `.*_std_normalization`")
        warnings.filterwarnings("ignore", message="NumpyArrayIterator is set to use the data format convention")
        both = generators(arguments)
        ours = both[0].flow(images, np.arange(7), rng="keras", **walk)
        theirs = both[1].flow(images, np.arange(7), **walk)
    for position in range(7):
        if dice.chance(0.3):
            set_otherwise(both, dice)
        step = any_step(dice) if position else next  # an epoch that ends before it began has nothing to repeat
        (found, _), (expected, _) = outcome(step, ours), outcome(step, theirs)
        if not isinstance(expected, tuple):
            assert type(found) is type(expected)
            continue
        assert found[1].tolist() == expected[1].tolist()
        check_same(found[0], expected[0], odd=0.04)
    assert ours.total_batches_seen == theirs.total_batches_seen


@pytest.mark.parametrize("shape", [(9, 7, 3), (33, 31, 3), (28, 28, 1)])
@pytest.mark.parametrize("ranges", [{}, {"rotation_range": 20}])
def test_a_picture_of_one_whole_level_is_normalized_to_nothing_as_in_keras(shape, ranges):
    images = np.stack([np.full(shape, level, np.uint8) for level in (0, 1, 7, 200, 254, 255)])

    def batch(module, **more):
        generator = module.ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True, **ranges)
        return next(generator.flow(images, shuffle=False, seed=0, **more))

    assert not batch(legacy).any()
    assert not batch(keras, rng="keras").any()


@pytest.mark.parametrize("seed", first(12, range(40)))
def test_any_parameters_change_a_picture_as_in_keras(seed):
    dice = Dice(seed)
    channels_first, channels = dice.chance(0.3), dice.one_of(1, 2, 3, 4, 5)
    height, width = dice.one_of((13, 11), (10, 10), (1, 30))
    dtype = dice.one_of("float32", "float64", "uint8", "int16", "int32", "bool")
    image = dice.images((channels, height, width) if channels_first else (height, width, channels), dtype)
    values = [dice.state.uniform(-180, 180), *dice.state.uniform(-3, 3, 2), dice.state.uniform(-40, 40)]
    values += [*dice.state.uniform(0.4, 1.5, 2), dice.one_of(None, 0, 3.5, -20), dice.chance(0.5), dice.one_of(0, 1)]
    params = {name: value for name, value in zip(FIELDS, values, strict=True) if dice.chance(0.5)}
    params |= {"unknown": object()} if dice.chance(0.2) else {}
    if not channels_first:
        params["brightness"] = dice.one_of(None, None, 0.5, 1, 1.7)
    arguments = {name: settings(dice)[name] for name in ("fill_mode", "cval", "interpolation_order")}
    arguments["data_format"] = "channels_first" if channels_first else "channels_last"
    kept = image.copy()
    with np.errstate(all="ignore"):
        (found, _), (expected, _) = of_both(
            lambda module: module.ImageDataGenerator(**arguments).apply_transform(image, params)
        )
    np.testing.assert_array_equal(image, kept)
    whole = 1.01 if dtype not in ("float32", "float64") else 0  # a rounding edge of integers
    check_same(found, expected, level=3.5 if params.get("brightness") is not None else whole)
    assert (found is image) == (expected is image)


@pytest.mark.parametrize("cval", [np.nan, np.inf, np.float32(3), np.int64(3), True, np.array(3.0), None, "3", [3.0]])
@pytest.mark.parametrize("order", [0, 3, True, np.int64(1)])
def test_whatever_is_a_number_to_scipy_is_a_constant_and_an_order(cval, order):
    image = Dice(0).images((6, 5, 3), "float64")
    arguments = {"fill_mode": "constant", "cval": cval, "interpolation_order": order}
    (found, _), (expected, _) = of_both(
        lambda module: module.ImageDataGenerator(**arguments).apply_transform(image, {"theta": 20})
    )
    check_same(found, expected, unit=255.0)


@pytest.mark.parametrize(
    "wrong", [{"fill_mode": "unheard of"}, {"fill_mode": None}, {"interpolation_order": 6}, {"interpolation_order": -1}]
)
def test_an_unknown_border_or_order_raises_scipys_error_where_something_moves(wrong):
    images = Dice(0).images((4, 6, 5, 3), "float32")

    def batch(module, **arguments):
        return next(module.ImageDataGenerator(**arguments, **wrong).flow(images, shuffle=False))

    def apart(module):
        return module.ImageDataGenerator(**wrong).apply_transform(images[0], {"tx": 1})

    for action in (apart, lambda module: batch(module, rotation_range=20)):
        (found, _), (expected, _) = of_both(action)
        assert type(expected) is RuntimeError
        assert all(isinstance(found, kind) for kind in (RuntimeError, ValueError))
    check_same(batch(keras, rescale=2.0), batch(legacy, rescale=2.0))


def test_what_never_moves_never_asks_for_a_border():
    class Mirror:
        def get_random_transform(self, img_shape, seed=None):
            return {"flip_horizontal": True}

    def batch(module):
        generator = type("Mirrored", (Mirror, module.ImageDataGenerator), {})(cval="a", fill_mode=3)
        return next(generator.flow(Dice(0).images((4, 6, 5, 3), "float32"), shuffle=False))

    check_same(batch(keras), batch(legacy))


def test_axes_that_are_set_otherwise_are_followed():
    def batch(module, **arguments):
        generator = module.ImageDataGenerator(rotation_range=20, width_shift_range=0.2)
        generator.row_axis, generator.col_axis = 2, 1
        return next(generator.flow(Dice(0).images((4, 6, 5, 3), "float32"), seed=1, shuffle=False, **arguments))

    check_same(batch(keras, rng="keras"), batch(legacy))


@pytest.mark.parametrize("seed", range(25))
def test_any_ranges_draw_keras_parameters(seed):
    dice = Dice(seed)
    for _ in range(10):
        arguments, shape = ranges(dice), tuple(dice.state.randint(1, 40, 3))
        drawn_from = dice.one_of(0, 1, 2**32 - 1, np.int64(7), np.uint32(5))
        ours, theirs = generators(arguments)
        before = np.random.get_state()[1].tolist()
        found = ours.get_random_transform(shape, drawn_from)
        assert np.random.get_state()[1].tolist() == before
        expected = theirs.get_random_transform(shape, drawn_from)
        assert list(found.items()) == list(expected.items())


def check_nested(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check_nested(one, other)
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("in_blocks", [False, True])
def test_fit_finds_keras_statistics_of_any_samples(seed, in_blocks, monkeypatch):
    dice = Dice(seed)
    if in_blocks:
        monkeypatch.setattr(_fit, "_AT_ONCE_BYTES", 0)
    height, width = dice.one_of((2, 3), (4, 4))
    size, channels, channels_first = dice.one_of(2, 9, 90), dice.one_of(1, 2, 3), dice.chance(0.4)
    shape = (channels, height, width) if channels_first else (height, width, channels)
    images = dice.images((size, *shape), dice.one_of("uint8", "float32", "float64", "int16"))
    flags = {name: dice.chance(0.6) for name in ("featurewise_center", "featurewise_std_normalization")}
    arguments = flags | {"zca_epsilon": dice.one_of(1e-2, 0.1), "rescale": dice.one_of(None, 1 / 255, np.float64(2))}
    arguments |= {"data_format": "channels_first" if channels_first else None, "rotation_range": 20}
    arguments |= {"dtype": dice.one_of(None, "float64"), "horizontal_flip": True, "samplewise_center": True}
    whitened = dice.chance(0.5)
    how = {"augment": dice.chance(0.4), "rounds": 2, "seed": 5}
    fitted = []
    for module in (keras, legacy):
        generator = outcome(module.ImageDataGenerator, **arguments)[0]
        generator.zca_whitening, generator.mean = whitened, "kept"
        assert outcome(generator.fit, images, **how) == (None, [UserWarning] * (channels == 2))
        fitted.append(generator)
    ours, theirs = fitted
    for name in ("mean", "std", "zca_whitening_matrix"):
        expected = getattr(theirs, name)
        if expected is None or isinstance(expected, str):
            assert getattr(ours, name) == expected
        else:
            check_same(getattr(ours, name), expected, odd=0, level=3e-4 * float(np.abs(expected).max()), unit=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_any_picture_is_made_saved_and_loaded_as_in_keras(seed, tmp_path):
    dice = Dice(seed)
    channels_first, channels = dice.chance(0.3), dice.one_of(1, 2, 3, 4)
    shape = (channels, 7, 9) if channels_first else (7, 9, channels)
    image = dice.images(shape, dice.one_of("uint8", "float32", "float64", "int32")) * dice.one_of(1, 2)
    layout, scale = "channels_first" if channels_first else dice.one_of(None, "channels_last"), dice.chance(0.5)
    name, file_format = dice.one_of("a.png", "a.jpg", "a.JPEG", "a.bmp", "a"), dice.one_of(None, None, "jpg", "png")
    how = {"color_mode": dice.one_of("rgb", "rgba", "grayscale", "L"), "keep_aspect_ratio": dice.chance(0.5)}
    how |= {
        "target_size": dice.one_of(None, (7, 9), (4, 4), (12, 5)),
        "interpolation": dice.one_of("nearest", "box", "x"),
    }

    def made(module):
        folder = tmp_path / ("ours" if module is keras else "theirs")
        folder.mkdir()
        as_picture = module.array_to_img(image, layout, scale)
        module.save_img(folder / name, image, layout, file_format, scale)
        loaded = module.load_img(folder / name, **how)
        data = [np.asarray(picture) for picture in (as_picture, loaded, Image.open(folder / name))]
        data.append(module.img_to_array(loaded, layout, dice.one_of("float32")))
        shutil.rmtree(folder)
        return (as_picture.mode, loaded.mode), data

    with np.errstate(invalid="ignore"):
        (found, warned), (expected, warnings_of_keras) = outcome(made, keras), outcome(made, image_utils)
    assert warned == warnings_of_keras
    if isinstance(expected, Exception):
        assert type(found) is type(expected), (found, expected)
        return
    assert found[0] == expected[0]
    check_nested(found[1], expected[1])
