"""A batch follows what the generator is set to when it is made, and settings are read anew only if they changed."""

import statistics
import sys

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
OPTIONS = {
    "zoom_range": [0.5, 0.75],
    "brightness_range": [0.5, 1.5],
    "height_shift_range": [1.5, 2.5],
    "width_shift_range": 2.5,
    "featurewise_center": True,
    "rotation_range": 20,
    "cval": 3.0,
    "fill_mode": "constant",
}


def generator_of(mean=0.0):
    generator = ImageDataGenerator(**{name: list(v) if isinstance(v, list) else v for name, v in OPTIONS.items()})
    generator.mean = np.full((1, 1, 3), mean, np.float32)
    return generator


def set_item(name, place, value):
    def change(generator):
        getattr(generator, name)[place] = value

    return change


CHANGES = {
    "a factor in the list of zooms": set_item("zoom_range", 0, 0.25),
    "a factor in the list of brightness": set_item("brightness_range", 1, 3.5),
    "a value to choose from": set_item("height_shift_range", slice(None), [-4.5, 4.5]),
    "a mean in its array": set_item("mean", 0, 77.0),
    "another array": lambda generator: setattr(generator, "mean", np.full((1, 1, 3), 9, np.float32)),
    "a number": lambda generator: setattr(generator, "rotation_range", 90),
    "an integer for an equal float": lambda generator: setattr(generator, "width_shift_range", 2),
    "a border": lambda generator: setattr(generator, "cval", 250.0),
    "a step": lambda generator: setattr(generator, "rescale", 0.5),
}


def test_a_change_between_two_batches_is_followed_by_the_second():
    for name, change in CHANGES.items():
        generator, fresh = generator_of(), generator_of()
        if "integer" in name:
            generator.width_shift_range = fresh.width_shift_range = 2.0
        it, unchanged = (generator_.flow(IMAGES, shuffle=False, seed=1) for generator_ in (generator, fresh))
        it[0], unchanged[0]
        before = unchanged[0].copy()
        change(generator)
        change(fresh)
        anew = fresh.flow(IMAGES, shuffle=False, seed=1)
        anew[0]
        changed = it[0]
        np.testing.assert_array_equal(changed, anew[0], err_msg=name)
        assert not np.array_equal(changed, before), name


def test_one_iterator_may_change_its_images_dtype_and_generator():
    it = ImageDataGenerator(rotation_range=20).flow(IMAGES, shuffle=False, seed=1)
    assert it[0].dtype == np.float32
    it.dtype = "uint8"
    assert it[0].dtype == np.uint8
    it.image_data_generator = ImageDataGenerator()
    np.testing.assert_array_equal(it[0], IMAGES)
    it.x = IMAGES[:, :4]
    assert it[0].shape == (6, 4, 8, 3)


def test_a_missing_statistic_is_warned_of_at_every_batch():
    it = ImageDataGenerator(featurewise_center=True, rotation_range=9).flow(IMAGES, seed=0)
    for _ in range(3):
        with pytest.warns(UserWarning, match="has not been fitted"):
            it[0]


def test_a_warm_batch_takes_few_calls():
    arguments = {"rotation_range": 15, "zoom_range": 0.1, "horizontal_flip": True, "rescale": 1 / 255}
    it = ImageDataGenerator(**arguments).flow(np.repeat(IMAGES, 10, axis=0), np.arange(60), batch_size=6, seed=0)
    counts = []
    for index in range(10):
        names = []

        def count(frame, event, argument, names=names):
            if event == "call" and frame.f_globals.get("__name__", "").partition(".")[0] == "jaxiter":
                names.append(frame.f_code.co_qualname)

        sys.setprofile(count)
        try:
            it[index]
        finally:
            sys.setprofile(None)
        counts.append(len(names))
    assert statistics.median(counts[1:]) <= 43
