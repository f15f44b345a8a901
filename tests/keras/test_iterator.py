import threading

import jax
import numpy as np
import pytest

from jaxiter.keras import Iterator

from .reference import legacy


class Places(Iterator):
    """A batch is the places of its examples."""

    def _get_batches_of_transformed_samples(self, index_array):
        return np.array(index_array)


class KerasPlaces(legacy.Iterator):
    def _get_batches_of_transformed_samples(self, index_array):
        return np.array(index_array)


def counters(it):
    return it.batch_index, it.total_batches_seen, None if it.index_array is None else it.index_array.tolist()


STEPS = {
    "next": next,
    "first": lambda it: it[0],
    "last": lambda it: it[len(it) - 1],
    "before the first": lambda it: it[-1],
    "far before": lambda it: it[-3],
    "reset": lambda it: it.reset(),
    "epoch end": lambda it: it.on_epoch_end(),
    "index generator": lambda it: next(it.index_generator),
    "larger batches": lambda it: setattr(it, "batch_size", 4),
    "another place": lambda it: setattr(it, "batch_index", 1),
}


@pytest.mark.parametrize("walk", range(25))
def test_any_walk_counts_as_keras_counts(walk):
    choose = np.random.RandomState(walk)
    n, batch_size = choose.randint(1, 12), choose.randint(1, 5)
    ours, theirs = Places(n, batch_size, False, None), KerasPlaces(n, batch_size, False, None)
    for _ in range(20):
        name = choose.choice(list(STEPS))
        found, expected = STEPS[name](ours), STEPS[name](theirs)
        assert (found is None) == (expected is None), name
        assert found is None or found.tolist() == expected.tolist(), name
        assert counters(ours) == counters(theirs), name
        assert len(ours) == len(theirs)


def test_an_index_past_the_end_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"batch 3 .* length 3"):
        Places(5, 2, False, None)[3]


@pytest.mark.parametrize("batch_size", [0, 3])
def test_no_examples_give_an_empty_batch(batch_size):
    it = Places(0, batch_size, True, 1)
    assert next(it.index_generator).tolist() == []
    assert next(it).tolist() == []


def test_the_iterator_is_its_own_and_next_is_a_method_too():
    it = Places(5, 2, False, None)
    assert iter(it) is it
    assert it.next().tolist() == [0, 1]
    assert next(it).tolist() == [2, 3]
    assert Iterator.white_list_formats == legacy.Iterator.white_list_formats


def test_a_next_of_ones_own_is_what_iteration_takes():
    class Twice(Places):
        def next(self):
            with self.lock:
                index_array = next(self.index_generator)
            return 2 * self._get_batches_of_transformed_samples(index_array)

    it = Twice(5, 2, False, None)
    assert [next(it).tolist(), it.next().tolist()] == [[0, 2], [4, 6]]
    assert next(iter(it)).tolist() == [8]


def test_the_base_class_names_the_method_that_is_missing():
    with pytest.raises(NotImplementedError, match="_get_batches_of_transformed_samples"):
        next(Iterator(5, 2, False, None))


def test_every_epoch_is_a_permutation_of_its_own():
    it = Places(50, 7, True, 3)
    epochs = [np.concatenate([next(it) for _ in range(len(it))]).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def order(seed):
    return Places(50, 50, True, seed)[0].tolist()


def test_an_integer_seed_its_key_and_its_legacy_key_give_one_order():
    assert order(7) == order(np.int64(7)) == order(jax.random.key(7)) == order(jax.random.PRNGKey(7))


def test_neighbouring_seeds_and_epochs_share_no_order():
    orders = [tuple(order(seed)) for seed in (0, 1, 2, 2**32, 2**32 + 1)]
    second = Places(50, 50, True, 0)
    next(second)
    assert len({*orders, tuple(next(second).tolist())}) == 6


def test_no_seed_gives_another_order_every_time():
    assert order(None) != order(None)


def test_a_seed_may_be_set_later():
    it = Places(50, 50, True, 0)
    it.seed = 7
    assert next(it).tolist() == order(7)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (2**64, ValueError), (0.5, TypeError), ("a", TypeError)])
def test_a_seed_of_another_kind_is_refused(seed, error):
    with pytest.raises(error, match=r"seed is .*expected an integer"):
        Places(5, 2, False, seed)


def test_on_epoch_end_begins_a_new_order_and_keeps_the_position():
    it = Places(40, 4, True, 0)
    next(it)
    before = it.index_array
    it.on_epoch_end()
    assert it.batch_index == 1
    assert not np.array_equal(before, it.index_array)


def test_threads_together_see_every_example_once_in_each_epoch():
    it, seen, guard = Places(100, 3, True, 0), [], threading.Lock()

    def take(count):
        for _ in range(count):
            batch = next(it)
            with guard:
                seen.extend(batch.tolist())

    threads = [threading.Thread(target=take, args=(len(it) // 2,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(list(range(100)) * 2)


def test_whoever_holds_the_lock_may_still_ask_for_a_batch():
    it = Places(5, 2, True, 0)
    with it.lock:
        it.on_epoch_end()
        assert len(it[0]) == 2


@pytest.mark.parametrize("idx", [slice(0, 2), 1.0, None, "1", (0, 1), [0], np.array([0, 1])], ids=repr)
def test_an_index_that_is_no_batch_is_refused_and_counts_nothing(idx):
    it = Places(6, 2, False, 0)
    with pytest.raises(TypeError, match=r"has no batch .*; expected an integer below") as error:
        it[idx]
    assert ("[it[i] for i in range(start, stop)]" in str(error.value)) == isinstance(idx, slice)
    assert it.total_batches_seen == 0
    assert it[np.int64(1)].tolist() == it[True].tolist() == [2, 3]
