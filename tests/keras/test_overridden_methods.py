"""Methods that a subclass, or an object, has of its own: honoured, and fed from the iterator's stream."""

from functools import partial
from unittest import mock

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator

from .conftest import traces_at_most
from .test_batches import IMAGES, epoch_by_row
from .test_generator import EVERYTHING, same_but_for_ties


class Same(ImageDataGenerator):
    """Overrides everything and changes nothing."""

    def get_random_transform(self, img_shape, seed=None):
        return super().get_random_transform(img_shape, seed)

    def apply_transform(self, x, transform_parameters):
        return super().apply_transform(x, transform_parameters)

    def standardize(self, x):
        return super().standardize(x)


def test_methods_that_are_overridden_without_change_give_the_same_batches():
    arguments = EVERYTHING | {"rescale": 1 / 255, "samplewise_center": True}
    compiled = epoch_by_row(ImageDataGenerator(**arguments), seed=3)
    one_by_one = epoch_by_row(Same(**arguments), seed=3, batch_size=5)
    same_but_for_ties(one_by_one * 255, compiled * 255)


@pytest.mark.parametrize("name", ["get_random_transform", "apply_transform", "standardize"])
def test_an_overridden_method_is_honoured_on_a_class_and_on_an_object(name):
    calls = []

    def method(self, *arguments):
        calls.append(arguments[0])
        return getattr(ImageDataGenerator, name)(self, *arguments)

    on_class = type("Counting", (ImageDataGenerator,), {name: method})(**EVERYTHING)
    on_object = ImageDataGenerator(**EVERYTHING)
    setattr(on_object, name, partial(method, on_object))
    for generator in (on_class, on_object):
        calls.clear()
        next(generator.flow(IMAGES, batch_size=5))
        assert len(calls) == 5


class Mixin:
    """Its methods come before those of the generator, once they are there."""


class Mixed(Mixin, ImageDataGenerator):
    pass


PATCHES = {
    "get_random_transform": lambda self, img_shape, seed=None: {"flip_vertical": True},
    "apply_transform": lambda self, x, transform_parameters: x[::-1],
    "standardize": lambda self, x: x[::-1],
}


@pytest.mark.parametrize("target", [ImageDataGenerator, Mixin])
@pytest.mark.parametrize("name", PATCHES)
def test_a_method_patched_on_a_class_is_honoured_and_forgotten_with_the_patch(name, target):
    it = Mixed().flow(IMAGES, shuffle=False)
    with mock.patch.object(target, name, PATCHES[name], create=True):
        np.testing.assert_array_equal(next(it), IMAGES[:, ::-1])
    it.reset()
    np.testing.assert_array_equal(next(it), IMAGES)


@pytest.mark.parametrize("target", [ImageDataGenerator, Mixin])
@pytest.mark.parametrize("name", ["random_transform", "apply_transform"])
def test_fit_honours_what_is_patched_on_a_class(name, target):
    generator = Mixed(featurewise_center=True)
    with mock.patch.object(target, name, lambda self, x, *_: x * 0 + 7, create=True):
        generator.fit(IMAGES, augment=True)
    assert np.unique(generator.mean).tolist() == [7]


def test_a_method_that_is_looked_up_in_a_way_of_its_own_is_honoured():
    class Proxy(ImageDataGenerator):
        def __getattribute__(self, name):
            return (lambda x: x[::-1]) if name == "standardize" else super().__getattribute__(name)

    np.testing.assert_array_equal(next(Proxy().flow(IMAGES, shuffle=False)), IMAGES[:, ::-1])


def test_a_second_draw_for_one_image_is_another_one():
    class Twice(ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            drawn.append([super(Twice, self).get_random_transform(img_shape)["theta"] for _ in range(2)])
            return {}

    drawn = []
    next(Twice(rotation_range=10).flow(IMAGES[:4], seed=1))
    next(Twice(rotation_range=10).flow(IMAGES[:4], seed=1))
    assert len(np.unique(drawn)) == 8
    assert drawn[:4] == drawn[4:] or sorted(drawn[:4]) == sorted(drawn[4:])


def test_preprocessing_takes_one_image_on_the_host_after_the_random_transform():
    seen = []

    def darker(image):
        assert isinstance(image, np.ndarray)
        seen.append(image.shape)
        return image / 2

    plain = epoch_by_row(ImageDataGenerator(rotation_range=30, rescale=0.1), seed=1)
    darkened = epoch_by_row(ImageDataGenerator(rotation_range=30, rescale=0.1, preprocessing_function=darker), seed=1)
    assert seen == [(12, 17, 3)] * 23
    np.testing.assert_allclose(darkened, plain / 2, atol=1e-5)


NO_PICTURES = {
    "nothing": (lambda image: None, r"returned None; .* return, also if it changes the array in place"),
    "a part": (
        lambda image: image[:4],
        r"returned an array float32\[4, 17, 3\] for an image of shape \(12, 17, 3\)",
    ),
    "a plane": (
        lambda image: image[..., 0],
        r"returned an array float32\[12, 17\] for an image .* resize them before flow",
    ),
    "a name": (lambda image: "a", "returned 'a'"),
    "lists": (lambda image: [[1], [1, 2]], "returned a list of 2, .*; expected the image, an array of real numbers"),
    "complex": (lambda image: image * 1j, "returned an array complex64"),
}


@pytest.mark.parametrize("options", [{}, {"rescale": 0.5}], ids=len)
@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_of_that_size_is_refused_in_words(name, options):
    function, words = NO_PICTURES[name]
    generator = ImageDataGenerator(preprocessing_function=function, **options)
    with pytest.raises(ValueError, match=f"preprocessing_function {words}"):
        next(generator.flow(IMAGES))

    class Own(ImageDataGenerator):
        def standardize(self, x):
            return function(x)

    with pytest.raises(ValueError, match="standardize returned"):
        next(Own(**options).flow(IMAGES))


def test_what_broadcasts_to_the_picture_fills_it_as_in_keras():
    for function in (lambda image: image.mean(-1, keepdims=True), lambda image: 0.5):
        batch = next(ImageDataGenerator(preprocessing_function=function).flow(IMAGES, shuffle=False))
        np.testing.assert_allclose(batch, np.stack([function(i) + 0 * i for i in IMAGES.astype("f4")]), rtol=1e-5)


def test_any_object_with_the_three_methods_makes_batches():
    class Inverted:
        def get_random_transform(self, shape):
            return {"from": 255}

        def apply_transform(self, image, params):
            return params["from"] - image

        def standardize(self, image):
            return image

    assert np.array_equal(next(NumpyArrayIterator(IMAGES, None, Inverted())), 255 - IMAGES)


# Parameters of the user's own, in ranges that the generator knows nothing of.


class Chosen(ImageDataGenerator):
    """Takes its parameters from a list, in turn."""

    def __init__(self, parameters, **arguments):
        super().__init__(**arguments)
        self.parameters = list(parameters)
        self.given = 0

    def get_random_transform(self, img_shape, seed=None):
        self.given += 1
        return self.parameters[(self.given - 1) % len(self.parameters)]


class ChosenOneByOne(Chosen):
    def apply_transform(self, x, transform_parameters):
        return super().apply_transform(x, transform_parameters)


PARAMETERS = {
    "nothing": [{}],
    "a part": [{"theta": 20}, {"zx": 0.8}, {"flip_horizontal": True}, {"channel_shift_intensity": -9}],
    "unknown names": [{"theta": 5, "hue": "red"}],
    "brightness for some": [{"brightness": 0.5}, {"brightness": None, "tx": 2}, {}, {"brightness": 1.5, "zy": 1.2}],
    "NumPy numbers": [{"theta": np.float32(3), "ty": np.int64(2), "flip_vertical": np.True_}],
}


BAD_PARAMETERS = [
    ({"theta": None}, TypeError, "theta is None; expected a number, 0 for no change"),
    ({"zx": None}, TypeError, "zx is None; expected a number, 1 for no change"),
    ({"shear": "10"}, TypeError, "shear is '10'; expected a number"),
    ({"ty": np.array([1.0])}, TypeError, "ty is array"),
    ({"brightness": "1"}, TypeError, "brightness is '1'; expected a number, None for no change"),
    ({"theta": np.nan}, ValueError, "theta is nan; expected a finite number"),
    ({"tx": np.float32(np.inf)}, ValueError, "tx is .*inf.*; expected a finite number"),
    ({"zy": -np.inf}, ValueError, "zy is -inf"),
    ({"tx": 1e39}, ValueError, "tx is 1e[+]39"),
    ({"ty": 10**400}, ValueError, "ty is 1000"),
    ({"tx": 3e38, "zx": 3e38, "theta": 45}, ValueError, "matrix"),
    ({"brightness": np.nan}, ValueError, "brightness is nan"),
    ({"channel_shift_intensity": np.nan}, ValueError, "channel_shift_intensity is nan"),
    (None, TypeError, "the parameters of a transform are None; expected a dict"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("rng", [None, "keras"])
@pytest.mark.parametrize(("bad", "error", "words"), BAD_PARAMETERS, ids=lambda value: str(value)[:40])
def test_parameters_that_cannot_be_followed_are_refused_as_apply_transform_does(bad, error, words, rng):
    generator = Chosen([{}, bad])
    with pytest.raises(error, match=words):
        generator.apply_transform(IMAGES[0], bad)
    with pytest.raises(error, match=words):
        next(generator.flow(IMAGES, shuffle=False, seed=0, rng=rng))


def test_a_shift_for_each_channel_acts_in_a_batch_as_in_apply_transform():
    parameters = [{"theta": 3}, {"channel_shift_intensity": np.array([0.0, 9.0, -9.0])}]
    for order in (parameters, parameters[::-1]):
        found, expected = (next(cls(order).flow(IMAGES, shuffle=False)) for cls in (Chosen, ChosenOneByOne))
        same_but_for_ties(found, expected)


@pytest.mark.parametrize("arguments", [{}, EVERYTHING, {"rescale": 1 / 255, "fill_mode": "wrap"}], ids=len)
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_of_ones_own_act_as_they_do_image_by_image(parameters, arguments):
    found, expected = (
        cls(parameters, **arguments).flow(IMAGES, batch_size=9, seed=0) for cls in (Chosen, ChosenOneByOne)
    )
    scale = 255 if "rescale" in arguments else 1
    for _ in range(3):
        same_but_for_ties(next(found) * scale, next(expected) * scale, level=2)
    assert found.image_data_generator.given == len(IMAGES)


def test_a_method_that_sets_the_generator_otherwise_is_followed_from_that_image_on():
    class Changing(ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            self.count = getattr(self, "count", -1) + 1
            self.fill_mode, self.cval = ("constant", 5.0 * self.count) if self.count % 3 else ("nearest", 0.0)
            self.rescale = 0.5 if self.count > 4 else None
            return {"theta": 30}

    class ChangingOneByOne(Changing):
        def apply_transform(self, x, transform_parameters):
            return super().apply_transform(x, transform_parameters)

    found, expected = (next(cls().flow(IMAGES[:8], shuffle=False)) for cls in (Changing, ChangingOneByOne))
    same_but_for_ties(found, expected)
    assert found[1, 0, 0, 0] == 5


def test_ranges_that_a_method_sets_before_it_asks_the_original_are_drawn_from():
    class Growing(ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            self.zoom_range[0] = self.zoom_range[1] = 2.0 + len(drawn)
            drawn.append(super().get_random_transform(img_shape)["zx"])
            return {}

    drawn = []
    next(Growing(zoom_range=(1, 2)).flow(IMAGES[:3], seed=0))
    assert drawn == [2, 3, 4]


def test_parameters_of_ones_own_compile_nothing_for_a_short_batch():
    it = Chosen([{"theta": 20, "tx": 1}]).flow(IMAGES, batch_size=10)
    next(it)
    with traces_at_most(0):
        assert [len(next(it)) for _ in range(3)] == [10, 3, 10]


def test_a_border_that_is_unknown_is_refused_only_where_something_is_resampled():
    generator = Chosen([{"flip_horizontal": True}], fill_mode="unheard of")
    np.testing.assert_array_equal(next(generator.flow(IMAGES, shuffle=False)), IMAGES[:, :, ::-1])
    generator.parameters = [{"theta": 3}]
    with pytest.raises(ValueError, match="fill_mode is 'unheard of'"):
        next(generator.flow(IMAGES))


def test_draws_do_not_ask_for_a_border_that_only_a_method_of_ones_own_knows():
    class Mirrored(ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            assert -20 < transform_parameters["theta"] < 20
            return x[::-1]

    batch = next(Mirrored(rotation_range=20, fill_mode="mirror").flow(IMAGES, shuffle=False))
    np.testing.assert_array_equal(batch, IMAGES[:, ::-1])


@pytest.mark.parametrize("method", ["standardize", "apply_transform", "preprocessing_function"])
def test_whatever_draws_through_the_generator_while_a_batch_is_made_follows_from_the_seed(method):
    def turned(x, *_):
        return ImageDataGenerator.apply_transform(generator, x, generator.get_random_transform(x.shape))

    batches = []
    for seed in (0, 0, 1):
        generator = ImageDataGenerator(rotation_range=40)
        setattr(generator, method, turned)
        batches.append(next(generator.flow(IMAGES, seed=seed)))
    np.testing.assert_array_equal(batches[0], batches[1])
    assert not np.array_equal(batches[0], batches[2])
