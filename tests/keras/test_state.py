"""Stopped anywhere and set to where it stood, an iterator goes on as if nothing had happened."""

import copy
import json
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, Iterator, NumpyArrayIterator

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
    "key": (lambda state: {**state, "key": [0, 6]}, ValueError, r"key \[0, 6\], here \[0, 5\]"),
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


class NoEpochs(NumpyArrayIterator):
    """An order of one's own that the base class knows nothing of."""

    def _set_index_array(self):
        self.index_array = np.random.default_rng(self.total_batches_seen).permutation(7)


class Angles(NumpyArrayIterator):
    """Draws something for an epoch."""

    def _set_index_array(self):
        super()._set_index_array()
        self.angle = self.image_data_generator.get_random_transform((6, 5, 3))["theta"]


@pytest.mark.parametrize("cls", [NoEpochs, Angles])
def test_a_subclass_with_an_order_of_its_own_goes_on(cls):
    it, other = (cls(IMAGES, ROWS, ImageDataGenerator(rotation_range=30), 3, seed=5) for _ in range(2))
    for _ in range(5):
        next(it)
    it[1], other[1]
    other.set_state(it.get_state())
    assert vars(it).get("angle") == vars(other).get("angle")
    for (x, y), (other_x, other_y) in zip(what_follows(it), what_follows(other), strict=True):
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)


def test_an_epoch_that_was_never_counted_cannot_be_taken_back():
    it = NoEpochs(IMAGES, ROWS, ImageDataGenerator(), 3, seed=5)
    next(it)
    state = it.get_state()
    with pytest.raises(ValueError, match=r"epoch -2; .* does not call super"):
        it.set_state({**state, "epoch": state["epoch"] - 1})


def test_a_damaged_key_without_a_seed_changes_nothing():
    it = flow(seed=None)
    next(it)
    state = it.get_state()
    for key in (3, "key", [1], [1, -2], [1, 2.5]):
        with pytest.raises(ValueError, match="state holds the key"):
            it.set_state({**state, "key": key})
    assert it.get_state() == state


def test_examples_with_names_go_on_with_other_pictures():
    class Named(Iterator):
        def _get_batches_of_transformed_samples(self, index_array):
            generator = ImageDataGenerator(rotation_range=90)
            return [generator.get_random_transform((4, 4, 3))["theta"] for _ in index_array]

    for names in (["a", "b", "c", "b"], [[1, 2], [3, 4], [1, 2], [5, 6]], [-1, -2, -1, -4]):
        it, other = (Named(4, 2, True, 5) for _ in range(2))
        it.index_array = other.index_array = np.array(names)
        seen = [it[0], it[1]]
        other[1], other[0]
        other.set_state(json.loads(json.dumps(it.get_state())))
        following = it[0], it[0]
        assert following == (other[0], other[0])
        assert not {*following[0], *following[1]} & {*seen[0], *seen[1]}
    state = it.get_state()
    with pytest.raises(ValueError, match="state holds showings"):
        it.set_state({**state, "showings": {**state["showings"], "names": {"a": -1}}})


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


COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda it: pickle.loads(pickle.dumps(it))}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("options", OPTIONS)
def test_a_copy_goes_on_by_itself(way, options):
    it, same = flow(**OPTIONS[options]), flow(**OPTIONS[options])
    next(it), it[1]
    other = COPIES[way](it)
    same.set_state(it.get_state())
    assert type(other) is type(it)
    for found in (other, it):
        for (x, y), (other_x, other_y) in zip(what_follows(found), what_follows(COPIES["copy"](same)), strict=True):
            np.testing.assert_array_equal(y, other_y)
            np.testing.assert_array_equal(x, other_x)
