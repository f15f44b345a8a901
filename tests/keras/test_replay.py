import shutil
from functools import partial

import jax
import numpy as np
import pytest

from jaxiter import keras
from jaxiter.keras import ImageDataGenerator, Iterator

from .conftest import traces_at_most
from .reference import legacy
from .test_generator import EVERYTHING, pictures, same_but_for_ties

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

SMOOTH = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "height_shift_range": 0.1,
    "shear_range": 12,
    "zoom_range": 0.3,
    "horizontal_flip": True,
    "vertical_flip": True,
}
IMAGES = pictures((11, 9, 8, 3), dtype=np.uint8)
ROWS = np.arange(11)


exactly_smooth = partial(same_but_for_ties, level=0)
# A level that falls on the other side of an edge is two levels apart after a factor of up to 1.6.
tied_before_brightness = partial(same_but_for_ties, level=2)


def global_stream():
    return np.random.get_state()[1].tolist(), np.random.get_state()[2]


class Both:
    """The same iterator from both, stepped together; what each step gives must be the same."""

    def __init__(self, generators, tmp_path=None, images=IMAGES, close=tied_before_brightness, **arguments):
        folders = [None, None]
        if tmp_path is not None:
            folders = [tmp_path / "ours", tmp_path / "theirs"]
            for folder in folders:
                folder.mkdir()
        self.folders, self.close = folders, close
        arguments = {"batch_size": 4, "shuffle": True, "seed": 3, "ignore_class_split": True} | arguments
        ours, theirs = generators
        self.ours = ours.flow(images, ROWS[: len(images)], save_to_dir=folders[0], rng="keras", **arguments)
        self.theirs = theirs.flow(images, ROWS[: len(images)], save_to_dir=folders[1], **arguments)

    def step(self, action):
        """What `action` gives for ours, after a look at what it gives for theirs."""
        before = global_stream()
        found = action(self.ours)
        assert global_stream() == before, "NumPy's stream was touched"
        expected = action(self.theirs)
        if isinstance(expected, tuple):
            assert found[1].tolist() == expected[1].tolist()
            if len(expected[0]):
                self.close(found[0], expected[0])
            assert found[0].shape == expected[0].shape
        assert counters(self.ours) == counters(self.theirs)
        self.check_files()
        return found

    def check_files(self):
        if self.folders[0] is not None:
            ours, theirs = (sorted(path.name for path in folder.iterdir()) for folder in self.folders)
            assert ours == theirs


def counters(it):
    return it.batch_index, it.total_batches_seen, None if it.index_array is None else it.index_array.tolist()


def both_generators(**arguments):
    return ImageDataGenerator(**arguments), legacy.ImageDataGenerator(**arguments)


SETTINGS = {
    "nothing": {},
    "smooth": SMOOTH,
    "everything": EVERYTHING,
    "choices": EVERYTHING | {"width_shift_range": [0.1, 0.3], "height_shift_range": 3, "zoom_range": (1, 1)},
    "flips alone": {"horizontal_flip": True, "vertical_flip": True, "rescale": 0.5},
    "intensities": {"channel_shift_range": 30, "brightness_range": (0.5, 1.5), "samplewise_center": True},
    "no range, yet draws": {"rotation_range": 0, "rescale": 1 / 255},
    "constant": SMOOTH | {"fill_mode": "constant", "cval": 7.0, "height_shift_range": 2.5},
    "float64": SMOOTH | {"dtype": "float64", "channel_shift_range": 10},
    "cubic": SMOOTH | {"interpolation_order": 3, "fill_mode": "reflect"},
    "on the host": SMOOTH | {"preprocessing_function": lambda image: image / 2},
}

STEPS = {
    "next": next,
    "next again": next,
    "next method": lambda it: it.next() if hasattr(it, "next") else next(it),
    "first": lambda it: it[0],
    "last": lambda it: it[len(it) - 1],
    "before the first": lambda it: it[-1],
    "far before": lambda it: it[-2],
    "reset": lambda it: it.reset(),
    "epoch end": lambda it: it.on_epoch_end(),
    "by hand": lambda it: it._get_batches_of_transformed_samples(next(it.index_generator)),
    "smaller batches": lambda it: setattr(it, "batch_size", 3),
    "larger batches": lambda it: setattr(it, "batch_size", 4),
    "another place": lambda it: setattr(it, "batch_index", 1),
    "another seed": lambda it: setattr(it, "seed", 12345),
    "NumPy's seed": lambda it: setattr(it, "seed", np.int64(7)),
    "seed by the count": lambda it: setattr(it, "seed", it.total_batches_seen),
    "runs on": lambda it: setattr(it, "seed", None),
}


@pytest.mark.parametrize("walk", range(3))
@pytest.mark.parametrize("setting", SETTINGS)
def test_any_walk_gives_keras_batches_names_and_counters(setting, walk, tmp_path):
    choose = np.random.RandomState(walk)
    both = Both(
        both_generators(**SETTINGS[setting], validation_split=0.3),
        tmp_path if walk else None,
        seed=int(choose.randint(100)),
        shuffle=bool(walk < 2),
        subset=[None, "training", "validation"][walk],
    )
    both.step(next)  # from here on nobody but Keras moves NumPy's stream
    for _ in range(15):
        both.step(STEPS[choose.choice(list(STEPS))])


@pytest.mark.parametrize("shuffle", [True, False])
def test_epochs_by_next_are_those_of_keras_to_the_last_short_batch(shuffle, tmp_path):
    both = Both(both_generators(**SMOOTH), tmp_path, close=exactly_smooth, shuffle=shuffle)
    sizes = [len(both.step(next)[1]) for _ in range(3 * len(both.ours))]
    assert sizes == [4, 4, 3] * 3


def test_epochs_by_index_are_those_of_keras():
    both = Both(both_generators(**SMOOTH), close=exactly_smooth)
    for _ in range(2):
        for index in range(len(both.ours)):
            both.step(lambda it, index=index: it[index])
        both.step(lambda it: it.on_epoch_end())


def test_settings_without_ties_agree_to_a_ten_thousandth():
    for changes in ({}, {"fill_mode": "reflect"}, {"rescale": 1 / 255}, {"zoom_range": 1.5}, {"shear_range": 0}):
        arguments = SMOOTH | changes
        both = Both(both_generators(**arguments), close=partial(np.testing.assert_allclose, rtol=1e-4, atol=0.0255))
        for _ in range(4):
            both.step(next)


def test_large_pictures_of_the_highest_contrast_agree_to_a_ten_thousandth():
    images = np.random.RandomState(0).choice([0, 255], (4, 300, 400, 1)).astype(np.uint8)
    both = Both(
        both_generators(**SMOOTH), images=images, close=partial(np.testing.assert_allclose, rtol=0, atol=0.0255)
    )
    both.step(next)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_statistics_of_fit_are_applied(data_format):
    images = IMAGES if data_format == "channels_last" else np.moveaxis(IMAGES, -1, 1).copy()
    flags = {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.1}
    generators = both_generators(**SMOOTH, **flags, data_format=data_format)
    for generator in generators:
        generator.fit(images)
    both = Both(generators, images=images, close=partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4))
    for _ in range(4):
        both.step(next)


def test_settings_are_read_anew_for_every_batch():
    both = Both(both_generators(**SMOOTH), close=exactly_smooth)
    for name, value in (("rotation_range", 3), ("zoom_range", [0.5, 0.75]), ("horizontal_flip", False)):
        for it in (both.ours, both.theirs):
            setattr(it.image_data_generator, name, value)
        both.step(next)


def overriding(base, names, calls):
    """A generator of either library whose methods are overridden without change, but for `calls`."""

    def method(name, self, *arguments):
        calls.append((name, type(arguments[0])))
        return getattr(base, name)(self, *arguments)

    bodies = {name: lambda self, *a, name=name: method(name, self, *a) for name in names}
    return type("Overriding", (base,), bodies)


METHODS = ["get_random_transform", "apply_transform", "standardize"]


@pytest.mark.parametrize("names", [[name] for name in METHODS] + [METHODS], ids="+".join)
def test_overridden_methods_are_called_and_draw_keras_parameters(names, tmp_path):
    ours, theirs = [], []
    generators = (
        overriding(ImageDataGenerator, names, ours)(**SMOOTH),
        overriding(legacy.ImageDataGenerator, names, theirs)(**SMOOTH),
    )
    both = Both(generators, tmp_path, close=exactly_smooth)
    for action in (next, next, lambda it: it[0], next, lambda it: it.on_epoch_end(), next):
        both.step(action)
    assert ours == theirs
    assert ours


def unruly(base):
    class Unruly(base):
        """Draws twice for one image, from a seed for another, and while images are changed and standardized."""

        def get_random_transform(self, img_shape, seed=None):
            self.count = getattr(self, "count", 0) + 1
            super().get_random_transform(img_shape)
            return super().get_random_transform(img_shape, 5 if self.count % 3 == 0 else None)

        def apply_transform(self, x, transform_parameters):
            theta = base.get_random_transform(self, x.shape)["theta"]
            return super().apply_transform(x, transform_parameters | {"theta": theta})

    return Unruly


def test_whatever_draws_through_the_generator_draws_from_the_replayed_stream(tmp_path):
    generators = unruly(ImageDataGenerator)(**SMOOTH), unruly(legacy.ImageDataGenerator)(**SMOOTH)
    both = Both(generators, tmp_path, close=exactly_smooth)
    for _ in range(5):
        both.step(next)


def test_a_preprocessing_function_may_draw_between_one_image_and_the_next(tmp_path):
    generators = both_generators(**SMOOTH)
    for generator in generators:
        generator.preprocessing_function = lambda x, generator=generator: generator.random_transform(x)
    both = Both(generators, tmp_path, close=exactly_smooth)
    for _ in range(4):
        both.step(next)


def test_the_functions_that_draw_replay_too_where_a_batch_is_made():
    generators = both_generators(horizontal_flip=True)
    for generator, library in zip(generators, (keras, legacy), strict=True):
        generator.preprocessing_function = lambda x, library=library: library.random_zoom(
            library.random_shift(library.random_brightness(x, (0.5, 1.5)), 0.3, 0.2, 0, 1, 2), (0.5, 1), 0, 1, 2
        )
    both = Both(generators)
    for _ in range(4):
        both.step(next)


@pytest.mark.parametrize("draws", [[], [4], [0, 5]], ids=repr)
def test_where_a_preprocessing_function_draws_the_next_pictures_follow(draws):
    """A guess of the parameters holds up to the first draw that was not foreseen."""
    generators = both_generators(**SMOOTH)
    for generator in generators:

        def function(x, generator=generator):
            generator.count = getattr(generator, "count", -1) + 1
            return generator.get_random_transform(x.shape)["theta"] + x if generator.count in draws else x

        generator.preprocessing_function = function
    both = Both(generators, batch_size=11)
    both.step(next)
    both.step(next)


def test_an_iterator_of_the_users_own_gets_keras_orders_and_parameters():
    def places(base, generator_class):
        class Places(base):
            def _get_batches_of_transformed_samples(self, index_array):
                generator = generator_class(rotation_range=90)
                return [(int(index), generator.get_random_transform((4, 4, 3))["theta"]) for index in index_array]

        return Places

    ours = places(Iterator, ImageDataGenerator)(10, 4, True, 5, rng="keras")
    theirs = places(legacy.Iterator, legacy.ImageDataGenerator)(10, 4, True, 5)
    for _ in range(5):
        assert next(ours) == next(theirs)
        assert ours[1] == theirs[1]


def test_no_images_give_empty_batches_and_no_draws():
    both = Both(both_generators(**SMOOTH), images=IMAGES[:0])
    for _ in range(2):
        x, y = both.step(next)
        assert x.shape == (0, 9, 8, 3)
        assert y.shape == (0,)


def test_the_batch_program_makes_the_pictures_and_short_batches_compile_nothing_new():
    it = ImageDataGenerator(**SMOOTH).flow(IMAGES, batch_size=4, seed=1, rng="keras")
    with traces_at_most(1):
        next(it)
    it.image_data_generator.rotation_range = 40
    it.seed = 2
    with traces_at_most(0):
        for _ in range(len(it) + 1):
            next(it)


def test_output_jax_gives_the_same_pictures_on_the_device():
    on_host, on_device = (
        ImageDataGenerator(**SMOOTH).flow(IMAGES, batch_size=4, seed=1, rng="keras", output=output)
        for output in ("numpy", "jax")
    )
    for _ in range(3):
        x, x_device = next(on_host), next(on_device)
        assert isinstance(x_device, jax.Array)
        np.testing.assert_array_equal(x, x_device)


def test_pictures_are_saved_under_the_numbers_that_keras_draws(tmp_path):
    both = Both(both_generators(**SMOOTH, validation_split=0.4), tmp_path, subset="training", save_prefix="a")
    for action in (next, lambda it: it[0], next, next):
        for folder in both.folders:
            shutil.rmtree(folder)
            folder.mkdir()
        both.step(action)
        assert any(both.folders[0].iterdir())
