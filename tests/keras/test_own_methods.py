"""Methods that a user writes draw from the seed of their iterator, wherever they stand and whoever calls them."""

import warnings
from unittest import mock

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator

from .reference import legacy as keras

IMAGES = np.random.default_rng(0).random((8, 8, 8, 3), np.float32)
ROWS = np.arange(4)


def turned(self, rows):
    return np.stack([self.image_data_generator.random_transform(self.x[row]) for row in rows])


def taken(self):
    return turned(self, next(self.index_generator))


def steps(self):
    while True:
        yield taken(self)


def counted_or_not(self, idx):
    own = turned(self, ROWS + idx)
    return np.concatenate([own, super(type(self), self).__getitem__(idx), turned(self, ROWS)])


BATCH = "_get_batches_of_transformed_samples"
# What is written, and how a batch is asked for.
WAYS = {
    "next": ({"next": taken, "__next__": lambda self: self.next()}, next),
    "next, called by name": ({"next": taken}, lambda it: it.next()),
    "__next__": ({"__next__": taken}, next),
    "__iter__": ({"__iter__": steps}, lambda it: next(iter(it))),
    "a batch by hand": ({BATCH: turned}, lambda it: getattr(it, BATCH)(ROWS)),
    "__getitem__": ({"__getitem__": counted_or_not}, lambda it: it[0]),
}


def on_a_class(methods, base):
    return type("Own", (base,), methods)


def in_a_mixin(methods, base):
    return type("Own", (type("Mixin", (), methods), base), {})


def patched(methods, base):
    cls = type("Own", (base,), {})
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def on_the_object(methods, base):
    def make(*arguments, **options):
        it = base(*arguments, **options)
        for name, method in methods.items():
            setattr(it, name, method.__get__(it))
        return it

    return make


# Python reads __next__, __iter__ and __getitem__ from the class, and never from the object.
PLACES = [(way, place) for way in WAYS for place in (on_a_class, in_a_mixin, patched)]
PLACES += [(way, on_the_object) for way in ("next, called by name", "a batch by hand")]


@pytest.mark.parametrize(("way", "place"), PLACES, ids=lambda value: getattr(value, "__name__", value))
def test_what_methods_of_ones_own_draw_follows_from_the_seed(way, place):
    methods, ask = WAYS[way]
    if place is in_a_mixin:
        methods = {name: method for name, method in methods.items() if method is not counted_or_not}
        methods |= {"__getitem__": taken_by_index} if way == "__getitem__" else {}
    make, generator = place(methods, NumpyArrayIterator), ImageDataGenerator(rotation_range=90)
    one, same, other = (make(IMAGES, None, generator, batch_size=4, seed=seed) for seed in (1, 1, 2))
    batches = [ask(one) for _ in range(5)]
    np.testing.assert_array_equal(batches, [ask(same) for _ in range(5)])
    pictures = [picture.tobytes() for batch in (*batches, ask(other)) for picture in batch]
    assert len(set(pictures)) == len(pictures)


def taken_by_index(self, idx):
    return turned(self, ROWS + idx)


@pytest.mark.parametrize("way", ["next", "__next__", "__iter__"])
def test_with_the_stream_of_keras_they_draw_what_they_draw_there(way):
    methods, ask = WAYS[way]
    options = {"rotation_range": 40, "zoom_range": 0.2}
    mine = on_a_class(methods, NumpyArrayIterator)(
        IMAGES, None, ImageDataGenerator(**options), 3, shuffle=True, seed=1, rng="keras"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = on_a_class(methods, keras.NumpyArrayIterator)(
            IMAGES, None, keras.ImageDataGenerator(**options), 3, shuffle=True, seed=1
        )
        for _ in range(5):
            np.testing.assert_allclose(ask(mine), ask(theirs), atol=1e-4)


def test_an_epochs_draw_follows_from_the_seed_and_what_is_drawn_elsewhere_does_not():
    class Turned(NumpyArrayIterator):
        def _set_index_array(self):
            super()._set_index_array()
            self.angle = self.image_data_generator.get_random_transform((8, 8, 3))["theta"]

    generator = ImageDataGenerator(rotation_range=90)
    one, same = (Turned(IMAGES, None, generator, batch_size=4, seed=1) for _ in range(2))
    angles = []
    for _ in range(3):
        one.on_epoch_end(), same.on_epoch_end()
        assert one.angle == same.angle
        angles.append(one.angle)
    walks = [iter(on_a_class({"__iter__": steps}, NumpyArrayIterator)(IMAGES, None, generator, seed=1)) for _ in "ab"]
    next(walks[0]), next(walks[1])  # generators that stand in the middle leave nothing behind
    angles += [generator.get_random_transform((8, 8, 3))["theta"] for _ in range(2)]
    assert len(set(angles)) == len(angles)


def test_a_batch_stays_what_it_was_beside_other_draws_and_a_mixin_may_be_patched_later():
    class Mixin:
        pass

    class Own(Mixin, NumpyArrayIterator):
        def next(self):
            self.noise = turned(self, [0])
            return super().next()

    generator = ImageDataGenerator(rotation_range=90)
    own, plain = (cls(IMAGES, None, generator, 4, seed=1) for cls in (Own, NumpyArrayIterator))
    for _ in range(3):
        np.testing.assert_array_equal(next(own), next(plain))
    with mock.patch.object(Mixin, "__getitem__", lambda self, idx: idx, create=True):
        assert own[7] == 7


@pytest.mark.parametrize(
    "index_array",
    [np.arange(8) == 3, [3.7, 2.2], ["3"], np.ma.masked_array([1, 2], [False, True]), np.zeros((2, 2), int)],
)
def test_index_arrays_that_are_no_integers_are_refused(index_array):
    it = ImageDataGenerator().flow(np.zeros((8, 4, 4, 1)), np.arange(8), batch_size=4, seed=1)
    with pytest.raises((IndexError, TypeError), match=r"index_array is .*expected"):
        it._get_batches_of_transformed_samples(index_array)
