"""How iterators and generators print."""

import copy

import jax
import numpy as np

from jaxiter.keras import ImageDataGenerator, Iterator

IMAGES = np.zeros((10, 8, 8, 3), np.uint8)


def test_a_generator_names_the_settings_that_were_given():
    generator = ImageDataGenerator(
        rotation_range=15, zoom_range=0.1, rescale=0.5, preprocessing_function=np.square, validation_split=0.2
    )
    assert repr(generator) == (
        "ImageDataGenerator(rotation_range=15, zoom_range=[0.9, 1.1], rescale=0.5, preprocessing_function=square, "
        "validation_split=0.2)"
    )
    assert repr(ImageDataGenerator()) == repr(ImageDataGenerator(zoom_range=0, shear_range=0)) == "ImageDataGenerator()"


def test_what_was_set_or_fitted_since_is_printed_and_arrays_by_their_shape():
    generator = ImageDataGenerator(width_shift_range=np.array([1, 2]), height_shift_range=[jax.numpy.ones(1)])
    generator.horizontal_flip = True
    generator.dtype = np.float64
    assert repr(generator) == (
        "ImageDataGenerator(width_shift_range=an array int64[2], height_shift_range=a list of 1, the first of which is "
        "an array float32[1], horizontal_flip=True, dtype=float64)"
    )


def test_an_iterator_names_its_images_and_its_place():
    it = ImageDataGenerator().flow(IMAGES, np.arange(10), batch_size=4, seed=3)
    settings = "10 examples, images float32[8, 8, 3], batch_size=4, shuffle=True, seed=3, output='numpy'"
    assert repr(it) == f"<NumpyArrayIterator: {settings}, next is batch 0 of 3>"
    next(it)
    before = it.get_state()
    assert repr(it) == f"<NumpyArrayIterator: {settings}, next is batch 1 of 3>"
    assert it.get_state() == before
    assert repr(copy.copy(it)) == repr(it)
    next(it), next(it)
    assert repr(it).endswith("next is batch 0 of 3>")


def test_an_iterator_prints_whatever_a_subclass_left_out_or_a_user_has_set():
    class Own(Iterator):
        def __init__(self):
            self.n = 5

    assert repr(Own()).endswith("Own: 5 examples>")
    assert "seed=an array key<fry>[]" in repr(Iterator(3, 2, False, jax.random.key(1)))
    assert repr(Iterator(0, 1, True, None, rng=None)) == "<Iterator: 0 examples, batch_size=1, shuffle=True, seed=None>"
    replayed = ImageDataGenerator().flow(IMAGES, seed=1, rng="keras")
    replayed.x = list(IMAGES)
    assert "images" not in repr(replayed)
    assert "rng='keras'" in repr(replayed)
