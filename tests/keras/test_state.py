"""Stopped anywhere and set to where it stood, an iterator goes on as if nothing had happened."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, Iterator

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3)).astype(np.uint8)
ROWS = np.arange(7)


def flow(**options):
    generator = ImageDataGenerator(
        rotation_range=20, width_shift_range=0.2, horizontal_flip=True, channel_shift_range=9
    )
    return generator.flow(IMAGES, ROWS, **{"batch_size": 3, "seed": 5, **options})


SO_FAR = {
    "nothing": lambda it: None,
    "one batch": next,
    "an epoch": lambda it: [next(it) for _ in range(3)],
    "an epoch and one": lambda it: [next(it) for _ in range(4)],
    "by index": lambda it: (it[1], it[2]),
    "epoch ended early": lambda it: (next(it), it.on_epoch_end()),
    "as Keras fits": lambda it: (it[0], [it[i] for i in range(3)], it.on_epoch_end(), it[0]),
    "reset": lambda it: (next(it), next(it), it.reset()),
}
OPTIONS = {
    "jaxiter": {},
    "in order": {"shuffle": False},
    "no seed": {"seed": None},
    "key": {"seed": jax.random.key(3)},
    "replayed": {"rng": "keras"},
    "replayed, in order": {"rng": "keras", "shuffle": False},
    "replayed, no seed": {"rng": "keras", "seed": None},
}


def what_follows(it):
    """Batches by iteration, over an end of an epoch, by index, and after an end that the caller makes."""
    found = [next(it) for _ in range(5)] + [it[0]]
    it.on_epoch_end()
    return [*found, it[2], next(it), next(it)]


@pytest.mark.parametrize("so_far", SO_FAR)
@pytest.mark.parametrize("options", OPTIONS)
def test_another_iterator_goes_on_where_the_state_was_taken(so_far, options):
    it, other = flow(**OPTIONS[options]), flow(**OPTIONS[options])
    SO_FAR[so_far](it)
    state = json.loads(json.dumps(it.get_state()))
    next(other)  # wherever that one stands
    other.set_state(state)
    assert other.get_state() == {**state, "seed": it.get_state()["seed"]}
    for (x, y), (other_x, other_y) in zip(what_follows(it), what_follows(other), strict=True):
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)


def test_taking_a_state_changes_nothing():
    it, other = flow(rng="keras"), flow(rng="keras")
    for _ in range(8):
        it.get_state()
        np.testing.assert_array_equal(next(it)[0], next(other)[0])


def test_an_iterator_may_be_set_back():
    it = flow()
    next(it)
    state = it.get_state()
    first = [next(it)[1].tolist() for _ in range(4)]
    it.set_state(state)
    assert [next(it)[1].tolist() for _ in range(4)] == first


@pytest.mark.slow
def test_another_process_goes_on():
    it = flow()
    for _ in range(4):
        next(it)
    code = (
        "import json, sys; from tests.keras.test_state import flow\n"
        "it = flow(); it.set_state(json.loads(sys.argv[1])); print([next(it)[1].tolist() for _ in range(4)])"
    )
    state = json.dumps(it.get_state())
    done = subprocess.run([sys.executable, "-c", code, state], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == str([next(it)[1].tolist() for _ in range(4)])


BAD = {
    "no dict": (lambda state: None, TypeError, "state is None; expected the dict"),
    "batch size": (lambda state: {**state, "batch_size": 4}, ValueError, "batch_size is 4, here 3"),
    "seed": (lambda state: {**state, "seed": 6}, ValueError, "seed is 6, here 5"),
    "images": (lambda state: {**state, "n": 8}, ValueError, "n is 8, here 7"),
    "stream": (lambda state: {**state, "rng": "keras"}, ValueError, "rng is 'keras', here None"),
    "version": (lambda state: {**state, "stream_version": 99}, ValueError, "stream_version is 99"),
    "field": (lambda state: {n: v for n, v in state.items() if n != "epoch"}, ValueError, "state lacks epoch"),
    "count": (lambda state: {**state, "epoch": 1.5}, ValueError, "epoch 1.5; expected a count"),
    "place": (lambda state: {**state, "batch_index": 3}, ValueError, "batch_index 3; expected one of 3 batches"),
}


@pytest.mark.parametrize(("change", "error", "words"), BAD.values(), ids=BAD)
def test_a_state_of_another_iterator_is_refused_and_changes_nothing(change, error, words):
    it, other = flow(), flow()
    next(it), next(other)
    with pytest.raises(error, match=words):
        it.set_state(change(it.get_state()))
    np.testing.assert_array_equal(next(it)[0], next(other)[0])


def test_a_subclass_of_ones_own_has_a_state_too():
    class Places(Iterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return index_array.tolist()

    it, other = (Places(10, 4, True, 2) for _ in range(2))
    for _ in range(5):
        next(it)
    other.set_state(it.get_state())
    assert [next(it) for _ in range(6)] == [next(other) for _ in range(6)]


def test_the_state_of_one_subset_is_refused_by_the_other():
    generator = ImageDataGenerator(validation_split=0.5)
    training, validation = (
        generator.flow(IMAGES[:6], batch_size=2, seed=5, subset=name) for name in ("training", "validation")
    )
    with pytest.raises(ValueError, match="first_row is 3, here 0"):
        validation.set_state(training.get_state())


DAMAGED = {"few words": {"random": ["MT19937", [1, 2], 0, 0, 0.0]}, "no words": {"random": 3}, "order": {"order": [0]}}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_state_of_keras_stream_changes_nothing(name):
    it, other = flow(rng="keras"), flow(rng="keras")
    next(it), next(other)
    with pytest.raises(ValueError, match=r"random is no state of NumPy's stream|order of 1 examples; expected 7"):
        it.set_state({**it.get_state(), **DAMAGED[name]})
    for (x, y), (other_x, other_y) in zip(what_follows(it), what_follows(other), strict=True):
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)
