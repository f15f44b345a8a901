"""Whatever draws while a batch is made follows from the seed of its iterator, and from no other."""

import numpy as np
import pytest

from jaxiter import keras
from jaxiter.keras import ImageDataGenerator, Iterator

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


def noisy(**options):
    """Pictures that a function of the user's changes at random, in the order of the array."""

    def function(image):
        return keras.random_channel_shift(keras.random_brightness(image, (0.5, 1.5)), 50, channel_axis=2)

    return ImageDataGenerator(preprocessing_function=function).flow(IMAGES, shuffle=False, **options)


def test_functions_that_draw_follow_the_seed_epoch_and_row():
    first, again, other = (next(noisy(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    for row in range(len(IMAGES)):
        assert not np.array_equal(first[row], other[row])
    halves = noisy(seed=1, batch_size=3)
    np.testing.assert_array_equal(np.concatenate([next(halves), next(halves)]), first)
    assert not np.array_equal(np.concatenate([next(halves), next(halves)]), first)
    same = ImageDataGenerator(preprocessing_function=lambda x: keras.random_channel_shift(x, 50, 2))
    rows = next(same.flow(np.repeat(IMAGES[:1], 6, axis=0), seed=1))
    assert len(np.unique(rows[:, 0, 0, 0])) > 1


class Drawn(Iterator):
    """A batch is what the generator and a function draw for each of its examples."""

    def _get_batches_of_transformed_samples(self, index_array):
        generator = ImageDataGenerator(rotation_range=90)
        angles = [generator.get_random_transform((4, 4, 3))["theta"] for _ in index_array]
        return [*angles, keras.random_brightness(np.full((1, 1, 1), 100.0), (0, 2)).item()]


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_iterator_of_ones_own_draws_from_its_seed(shuffle):
    def epochs(seed):
        it = Drawn(6, 2, shuffle, seed)
        return [next(it) for _ in range(6)]

    assert epochs(1) == epochs(1)
    drawn = [angle for batch in epochs(1) + epochs(2) for angle in batch[:-1]]
    assert len(set(drawn)) == len(drawn) == 24


def by_hand(it):
    return it._get_batches_of_transformed_samples(np.arange(3))


@pytest.mark.parametrize("rng", [None, "keras"])
@pytest.mark.parametrize("make", [next, by_hand], ids=["next", "by hand"])
def test_a_batch_made_of_another_iterators_batch_leaves_both_streams_alone(rng, make):
    def flow(cls=ImageDataGenerator, seed=1, **options):
        return cls(rotation_range=90, **options).flow(IMAGES, batch_size=3, seed=seed, rng=rng)

    inner, alone = flow(seed=7), flow(seed=7)
    next(inner), next(alone)  # a stream that was seeded
    batches = []

    class Nested(ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            batches.append(make(inner))
            return super().apply_transform(x, transform_parameters)

    class Same(ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            return super().apply_transform(x, transform_parameters)

    outer, expected = flow(Nested), flow(Same)
    for _ in range(3):
        np.testing.assert_array_equal(next(outer), next(expected))
    for batch in batches:
        np.testing.assert_array_equal(batch, make(alone))


def test_an_iterator_may_ask_itself_for_a_batch_while_it_makes_one():
    class Twice(ImageDataGenerator):
        asked = False

        def apply_transform(self, x, transform_parameters):
            if not self.asked:
                self.asked = True
                it[1]
            return super().apply_transform(x, transform_parameters)

    it = Twice(rotation_range=90).flow(IMAGES, batch_size=3, shuffle=False, seed=1)
    other = ImageDataGenerator(rotation_range=90).flow(IMAGES, batch_size=3, shuffle=False, seed=1)
    np.testing.assert_allclose(it[0], other[0], atol=1e-2)
