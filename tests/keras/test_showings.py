"""Every look at an image is another picture: it follows from key, epoch, row and how often the row was taken before."""

import json
import threading

import numpy as np
import pytest

from jaxiter import keras
from jaxiter.keras import ImageDataGenerator, Iterator, NumpyArrayIterator

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
ROWS = np.arange(8)
GENERATOR = ImageDataGenerator(rotation_range=40, horizontal_flip=True, brightness_range=(0.5, 1.5))
OPTIONS = {"batch_size": 4, "seed": 1}


def flow(cls=NumpyArrayIterator, **options):
    return cls(IMAGES, ROWS, GENERATOR, **{**OPTIONS, **options})


class OwnOrder(NumpyArrayIterator):
    def _set_index_array(self):
        self.index_array = np.array([3, 3, 1, 7, 0, 2, 3, 1])


class CountedOrder(NumpyArrayIterator):
    def _set_index_array(self):
        super()._set_index_array()
        self.index_array = np.array([3, 3, 1, 7, 0, 2, 3, 1])


class OwnWalk(NumpyArrayIterator):
    def _flow_index(self):
        while True:
            yield [5, 5, 6, 5]


class OwnIndex(NumpyArrayIterator):
    def __getitem__(self, idx):
        return self._get_batches_of_transformed_samples(np.arange(idx, idx + 4))


class OwnNext(NumpyArrayIterator):
    def next(self):
        with self.lock:
            rows = next(self.index_generator)
        return self._get_batches_of_transformed_samples(rows)


class OwnRows(NumpyArrayIterator):
    """Takes other rows than it is asked for, twice."""

    def _get_batches_of_transformed_samples(self, index_array):
        rows = np.full_like(index_array, 2)
        first, second = (super(OwnRows, self)._get_batches_of_transformed_samples(rows) for _ in range(2))
        return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


class Outer(Iterator):
    """A batch is one of another iterator, which is asked by index."""

    def __init__(self):
        super().__init__(8, 4, False, 3)
        self.inner = flow()

    def _get_batches_of_transformed_samples(self, index_array):
        return self.inner[0]


def by_hand(it):
    it.index_array = np.array([0, 1, 1, 0, 2, 2, 2, 2])
    return it[1]


ALL = (next, lambda it: it[1], next, lambda it: it[1], next)
WAYS = {
    "an order of its own": (lambda: flow(OwnOrder), ALL),
    "an order of its own, epochs counted": (lambda: flow(CountedOrder), ALL),
    "a walk of its own": (lambda: flow(OwnWalk), (next,) * 4),
    "an index of its own": (lambda: flow(OwnIndex), (lambda it: it[0], lambda it: it[2], lambda it: it[0])),
    "a next of its own": (lambda: flow(OwnNext), (next,) * 6),
    "rows of its own": (lambda: flow(OwnRows), ALL),
    "one batch again and again": (flow, (lambda it: it[0],) * 5),
    "direct calls": (flow, (lambda it: it._get_batches_of_transformed_samples([1, 1, -1, 7]),) * 3),
    "an order set by hand": (flow, (by_hand, by_hand, next, next)),
    "another iterator's batches": (Outer, (next,) * 4),
    "iterated, indexed and ended": (flow, (*ALL, lambda it: (it.on_epoch_end(), it[0])[1], lambda it: it[0])),
    "shuffled": (lambda: flow(shuffle=True), ALL),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_look_is_another_picture_and_two_iterators_driven_alike_agree(way):
    make, actions = WAYS[way]
    one, other = make(), make()
    seen = []
    for action in actions:
        (x, y), (other_x, other_y) = action(one), action(other)
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)
        seen += [picture.tobytes() for picture in x]
    assert len(set(seen)) == len(seen)


def looks_at(it, row, count):
    return [it._get_batches_of_transformed_samples([row])[0][0] for _ in range(count)]


def test_a_look_depends_on_row_and_showing_and_on_nothing_else():
    expected = looks_at(flow(), 5, 3)
    together = flow()._get_batches_of_transformed_samples([5, 1, 5, 5])[0]
    np.testing.assert_array_equal(together[[0, 2, 3]], expected)
    among_others = flow(batch_size=8)
    among_others[0]
    np.testing.assert_array_equal(among_others._get_batches_of_transformed_samples([5, 4])[0][0], expected[1])
    # In a subset the same row has another place.
    generator = ImageDataGenerator(rotation_range=40, horizontal_flip=True, brightness_range=(0.5, 1.5))
    generator._validation_split = 0.25
    subset = NumpyArrayIterator(IMAGES, None, generator, 4, seed=1, subset="training")
    np.testing.assert_array_equal([subset._get_batches_of_transformed_samples([3])[0] for _ in range(3)], expected)


def test_a_first_look_is_the_same_in_every_order_and_beside_any_others():
    whole = flow(batch_size=8)[0][0]
    mixed, shuffled = flow(), flow(shuffle=True)
    for row in (6, 0, 3):
        mixed._get_batches_of_transformed_samples([2, 2])
        np.testing.assert_array_equal(looks_at(mixed, row, 1)[0], whole[row])
    for x, y in (next(shuffled), next(shuffled)):
        np.testing.assert_array_equal(x, whole[y])


def test_a_new_epoch_counts_anew():
    it, again = flow(), flow()
    it.on_epoch_end()
    again.on_epoch_end()
    looks_at(it, 5, 3)
    it.on_epoch_end()
    again.on_epoch_end()
    np.testing.assert_array_equal(looks_at(it, 5, 2), looks_at(again, 5, 2))


@pytest.mark.parametrize("cls", [OwnOrder, CountedOrder])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_order_of_ones_own_is_resumed(cls, count):
    it, other = flow(cls), flow(cls)
    for _ in range(count):
        next(it)
    other.set_state(json.loads(json.dumps(it.get_state())))
    for _ in range(3):
        (x, y), (other_x, other_y) = next(it), next(other)
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_array_equal(x, other_x)


SO_FAR = {
    "nothing but a look": lambda it: it._get_batches_of_transformed_samples([7, 1]),
    "one batch twice": lambda it: (it[1], it[1]),
    "iterated, then looked at": lambda it: (next(it), it[0], it[1]),
    "rows by hand": lambda it: it._get_batches_of_transformed_samples([7, 7, 0, 7]),
    "an epoch and a look": lambda it: (next(it), next(it), it[1]),
    "an epoch ended by the caller": lambda it: (it[0], it[0], it.on_epoch_end(), it[1]),
}


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_counts_are_resumed(shuffle):
    for name, so_far in SO_FAR.items():
        it, other = flow(shuffle=shuffle), flow(shuffle=shuffle)
        so_far(it)
        state = json.loads(json.dumps(it.get_state()))
        other.set_state(state)
        assert other.get_state() == state, name
        for action in (lambda it: it[1], lambda it: looks_at(it, 7, 1)[0], *ALL):
            np.testing.assert_array_equal(action(it)[0], action(other)[0], err_msg=name)


def test_a_state_is_small_where_rows_were_taken_in_order():
    size = 5000
    it = NumpyArrayIterator(np.zeros((size, 1, 1, 1), np.uint8), None, ImageDataGenerator(), 100, shuffle=True, seed=0)
    for _ in range(30):
        next(it)
    assert len(json.dumps(it.get_state())) < 600
    for _ in range(20):
        next(it)
    assert len(json.dumps(it.get_state())) < 600
    it[7]
    assert len(json.dumps(it.get_state())) < 2600


@pytest.mark.parametrize(
    "showings", [{"in_order": 1}, {"in_order": -1, "others": []}, {"in_order": 0, "others": [[1, 2, 3]]}, None, 3]
)
def test_damaged_counts_are_refused(showings):
    it = flow()
    with pytest.raises(ValueError, match="state holds showings"):
        it.set_state({**it.get_state(), "showings": showings})


def test_threads_share_the_counts():
    it, seen, lock = flow(), [], threading.Lock()

    def look():
        for _ in range(10):
            x = it[0][0]
            with lock:
                seen.extend(picture.tobytes() for picture in x)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == len(seen) == 160


class OwnBatches(Iterator):
    """Draws as people do who copied Keras' loop to change it."""

    def __init__(self, seed):
        super().__init__(8, 4, False, seed)

    def _get_batches_of_transformed_samples(self, index_array):
        image = np.full((1, 1, 3), 100.0)
        angles = [GENERATOR.get_random_transform((8, 8, 3))["theta"] for _ in index_array]
        noise = [keras.random_channel_shift(image, 50, 2)[0, 0, 0], GENERATOR.random_transform(image).sum()]
        return [*angles, *noise]


class OwnBatchesAndIndex(OwnBatches):
    def __getitem__(self, idx):
        return self._get_batches_of_transformed_samples(np.arange(4 * idx, 4 * idx + 4))


class OwnBatchesAndNext(OwnBatches):
    def next(self):
        return self._get_batches_of_transformed_samples(next(self.index_generator))


@pytest.mark.parametrize("cls", [OwnBatches, OwnBatchesAndIndex, OwnBatchesAndNext])
def test_what_a_subclass_draws_in_batches_of_its_own_follows_the_seed(cls):
    drawn = {}
    for seed in (1, 2):
        one, other = cls(seed), cls(seed)
        drawn[seed] = [action(one) for action in ALL]
        assert drawn[seed] == [action(other) for action in ALL]
    angles = [angle for batches in drawn.values() for batch in batches for angle in batch[:4]]
    assert len(set(angles)) == len(angles)


class WithoutInit(Iterator):
    """Sets the documented attributes itself."""

    def __init__(self, n, batch_size, seed=None, lock=threading.RLock):
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, seed is not None, seed
        self.batch_index, self.total_batches_seen, self.index_array = 0, 0, None
        self.lock = lock()
        self.index_generator = self._flow_index()

    def _get_batches_of_transformed_samples(self, index_array):
        return index_array.tolist(), GENERATOR.get_random_transform((8, 8, 3))["theta"]


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_a_subclass_may_set_the_attributes_itself(lock):
    it = WithoutInit(5, 2, lock=lock)
    assert [next(it)[0] for _ in range(4)] == [[0, 1], [2, 3], [4], [0, 1]]
    assert (it[1][0], len(it), it.rng) == ([2, 3], 3, None)
    it.on_epoch_end()
    it.reset()
    one, other = WithoutInit(5, 2, 4, lock), WithoutInit(5, 2, 4, lock)
    drawn = [next(one) for _ in range(6)]
    assert drawn == [next(other) for _ in range(6)]
    assert sorted(row for rows, _ in drawn[:3] for row in rows) == [0, 1, 2, 3, 4]
    assert len({angle for _, angle in drawn}) == 6
    another = WithoutInit(5, 2, 4, lock)
    another.set_state(json.loads(json.dumps(one.get_state())))
    assert next(another) == next(one)


def test_rows_that_are_no_numbers_are_counted_too():
    class Files(Iterator):
        def _set_index_array(self):
            self.index_array = np.array(["a", "b", "a", "c"])

        def _get_batches_of_transformed_samples(self, index_array):
            return tuple(GENERATOR.get_random_transform((8, 8, 3))["theta"] for _ in index_array)

    it, other = (Files(4, 2, False, 1) for _ in range(2))
    seen = [next(it) for _ in range(8)]
    assert len(set(seen)) == 8
    assert seen == [next(other) for _ in range(8)]
