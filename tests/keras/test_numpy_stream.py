"""The replayed stream itself: threads, epochs that end while a batch is made, and the seeds that it takes."""

import threading

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator

from .reference import legacy
from .test_replay import IMAGES, ROWS, SMOOTH, Both, both_generators, exactly_smooth, global_stream

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)


class Paused(ImageDataGenerator):
    """Waits for others before each image is changed."""

    barrier = threading.Barrier(4)

    def apply_transform(self, x, transform_parameters):
        try:
            self.barrier.wait(timeout=0.02)
        except threading.BrokenBarrierError:
            self.barrier.reset()
        return super().apply_transform(x, transform_parameters)


@pytest.mark.parametrize("cls", [ImageDataGenerator, Paused])
def test_threads_together_get_the_batches_that_one_alone_gets(cls):
    one = ImageDataGenerator(**SMOOTH).flow(IMAGES, ROWS, batch_size=2, seed=3, rng="keras")
    expected = [next(one) for _ in range(24)]
    it, found, guard = cls(**SMOOTH).flow(IMAGES, ROWS, batch_size=2, seed=3, rng="keras"), [], threading.Lock()

    def take():
        for _ in range(6):
            batch = next(it)
            with guard:
                found.append(batch)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(expected)
    for x, y in expected:  # in whatever order they were finished
        assert any(y.tolist() == rows.tolist() and np.abs(x - images).max() < 1e-2 for images, rows in found)


def test_an_epoch_that_another_thread_ends_leaves_the_batch_in_the_making_alone():
    it = NumpyArrayIterator(IMAGES, None, ImageDataGenerator(**SMOOTH), shuffle=True, seed=3, rng="keras")
    expected = next(it)

    class Interrupted(NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            thread = threading.Thread(target=self.on_epoch_end)
            thread.start()
            thread.join()
            return super()._get_batches_of_transformed_samples(index_array)

    it = Interrupted(IMAGES, None, ImageDataGenerator(**SMOOTH), shuffle=True, seed=3, rng="keras")
    assert np.array_equal(next(it), expected)


def test_an_epoch_that_ends_in_the_making_of_a_batch_draws_where_keras_draws():
    def ending(base):
        class Ending(base):
            def _get_batches_of_transformed_samples(self, index_array):
                self.on_epoch_end()
                return super()._get_batches_of_transformed_samples(index_array)

        return Ending

    ours, theirs = both_generators(**SMOOTH)
    ours = ending(NumpyArrayIterator)(IMAGES, ROWS, ours, 4, shuffle=True, seed=3, rng="keras")
    theirs = ending(legacy.NumpyArrayIterator)(IMAGES, ROWS, theirs, 4, shuffle=True, seed=3)
    for _ in range(4):
        (x, rows), (expected, expected_rows) = next(ours), next(theirs)
        assert rows.tolist() == expected_rows.tolist()
        exactly_smooth(x, expected)
        ours.on_epoch_end()
        theirs.on_epoch_end()
        assert ours.index_array.tolist() == theirs.index_array.tolist()


def test_without_a_seed_batches_differ_every_time_and_between_threads():
    before = global_stream()
    generator = ImageDataGenerator(rotation_range=90)
    same = np.repeat(IMAGES[:1], 8, axis=0)
    batches = [next(generator.flow(same, rng="keras")) for _ in range(2)]
    it = generator.flow(same, rng="keras", batch_size=2)
    threads = [threading.Thread(target=lambda: batches.append(next(it))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = np.concatenate(batches)
    assert len(np.unique(seen.reshape(len(seen), -1), axis=0)) == len(seen) == 24
    assert global_stream() == before


def test_rng_can_be_read():
    generator = ImageDataGenerator()
    assert generator.flow(IMAGES, rng="keras").rng == "keras"
    assert generator.flow(IMAGES).rng is None


@pytest.mark.parametrize(
    "rng",
    ["numpy", "Keras", 3, np.arange(3), np.random.RandomState(0)],
    ids=["name", "capitals", "number", "array", "state"],
)
def test_another_rng_is_refused(rng):
    with pytest.raises(ValueError, match=r"rng is .*expected None, .* or 'keras'"):
        ImageDataGenerator().flow(IMAGES, rng=rng)


@pytest.mark.parametrize("seed", [-1, 2**32, np.int64(-5)])
def test_seeds_that_numpy_refuses_are_refused_at_the_door(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed}; rng='keras' takes an integer in \[0, 2\*\*32\), or None"):
        ImageDataGenerator().flow(IMAGES, seed=seed, rng="keras")


@pytest.mark.parametrize("seed", [0.5, "a", np.arange(2)], ids=repr)
def test_seeds_that_are_no_integers_are_refused(seed):
    with pytest.raises(TypeError, match=r"seed is .*takes an integer"):
        ImageDataGenerator().flow(IMAGES, seed=seed, rng="keras")


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_key_is_no_seed_for_keras_at_the_door_and_later(make):
    with pytest.raises(ValueError, match=r"takes an integer .* A JAX key goes with jaxiter's own stream, rng=None"):
        ImageDataGenerator().flow(IMAGES, seed=make(0), rng="keras")
    it = ImageDataGenerator().flow(IMAGES, seed=0, rng="keras")
    it.seed = make(0)
    with pytest.raises(ValueError, match="A JAX key goes with"):
        it[0]


def test_a_seed_that_passes_the_end_by_counting_fails_where_keras_fails():
    both = Both(both_generators(), seed=2**32 - 2)
    both.step(next)
    both.step(next)
    with pytest.raises(ValueError, match="Seed must be between"):
        next(both.theirs)
    with pytest.raises(ValueError, match=r"seed is 4294967294, and 2 batches were seen; .* \[0, 2\*\*32\)"):
        next(both.ours)


def test_a_seed_of_few_bits_wraps_around_as_in_keras():
    both = Both(both_generators(**SMOOTH), seed=np.uint8(254), close=exactly_smooth)
    both.step(next)
    both.step(next)
    with pytest.warns(RuntimeWarning, match="overflow"):
        both.step(next)
