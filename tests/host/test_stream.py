"""The shell that counts and works ahead."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Loader, stream

from ..data import assert_trees_close, assert_trees_equal, loader, pictures
from .sources import stream_threads


@pytest.mark.parametrize("prefetch", [0, 1, 5, 100])
@pytest.mark.parametrize("resident", [True, False])
def test_a_stream_is_the_loaders_batches_in_order(key, prefetch, resident):
    data = loader().to_device() if resident else loader()
    expected = [batch for epoch in range(3) for batch in data.epoch(key, epoch)]
    assert_trees_equal(list(stream(data, key, num_epochs=3, prefetch=prefetch)), expected)
    assert not stream_threads()


def test_it_resumes_from_every_position(key):
    data = loader()
    whole = list(stream(data, key, num_epochs=2))
    for taken in range(len(whole) + 1):
        first = stream(data, key, num_epochs=2)
        for _ in range(taken):
            next(first)
        position = first.position
        first.close()
        assert position == divmod(taken, len(data))
        assert_trees_equal(list(stream(data, key, start=position, num_epochs=2)), whole[taken:])


def test_the_last_step_and_the_next_epoch_are_one_place(key):
    data = loader()
    a, b = (next(stream(data, key, start=start)) for start in [(1, len(data)), (2, 0)])
    assert_trees_equal(a, b)
    assert stream(data, key, start=(1, len(data))).position == (2, 0)


def test_num_epochs_is_counted_from_zero_whatever_the_start(key):
    data = loader()
    assert len(list(stream(data, key, start=(2, 3), num_epochs=3))) == 2
    assert list(stream(data, key, start=(3, 0), num_epochs=3)) == []
    assert list(stream(data, key, num_epochs=0)) == []


def test_it_prints_where_it_stands(key):
    batches = stream(loader(), key, num_epochs=2, prefetch=1)
    next(batches)
    assert repr(batches) == "<jaxiter stream: at epoch 0, step 1 of 5, num_epochs=2, batch_size=4, prefetch=1>"
    batches.close()
    assert "closed, at epoch 0, step 1" in repr(batches)


def test_it_never_ends_without_num_epochs(key):
    with stream(loader(), key) as batches:
        for _ in range(3 * 5 + 2):
            next(batches)
        assert batches.position == (3, 2)


def test_positions_count_batches_returned_not_those_made_ahead(key):
    with stream(loader(), key, prefetch=4) as batches:
        assert batches.position == (0, 0)
        next(batches)
        assert batches.position == (0, 1)
        assert type(batches.position) is tuple


def test_state_round_trips_through_json(key):
    data = loader()
    with stream(data, key) as batches:
        for _ in range(7):
            next(batches)
        state = json.loads(json.dumps(batches.get_state()))
        expected = next(batches)
    with stream(data, key) as again:
        next(again)
        again.set_state(state)
        assert_trees_equal(next(again), expected)


def test_a_state_of_another_stream_is_refused_by_field_and_changes_nothing(key):
    with stream(loader(), key) as batches:
        next(batches)
        state = stream(loader(batch_size=5, shuffle=False), key).get_state()
        with pytest.raises(ValueError, match=r"batch_size is 5, here 4; shuffle is False, here True"):
            batches.set_state(state)
        with pytest.raises(TypeError, match="state is None; expected the dict"):
            batches.set_state(None)
        with pytest.raises(ValueError, match="state lacks step"):
            batches.set_state({name: value for name, value in state.items() if name != "step"})
        assert batches.position == (0, 1)


def test_a_state_of_another_key_or_of_other_rows_is_refused_and_one_without_them_is_not(key):
    """Both spellings of a key are one, and all rows in a row are all of them."""
    rows = np.arange(22)

    def made(rows=None, key=key):
        return stream(loader(rows=rows) if rows is not None else loader(), key, start=(1, 2))

    state = made(rows[::-1]).get_state()
    again = made(jnp.asarray(rows[::-1]), jax.random.key_data(key))
    again.set_state({**state, "step": 4})
    assert again.position == (1, 4)
    with pytest.raises(ValueError, match=r"iterator: rows is not the same \(digest '[0-9a-f]{16}', here 'all'\)\."):
        made(rows).set_state(state)
    with pytest.raises(ValueError, match=r"key is not the same \(digest .* with the same key"):
        made(rows[::-1], jax.random.key(8)).set_state(state)
    assert made(np.arange(23)).get_state() == made().get_state()
    older = {name: value for name, value in state.items() if name not in ("key", "rows")}
    made(rows, jax.random.key(8)).set_state(older)


def test_with_mask_comes_beside_the_batch(key):
    data = loader(remainder="pad")
    pairs = list(stream(data, key, num_epochs=1, with_mask=True))
    assert sum(int(mask.sum()) for _, mask in pairs) == 23
    assert_trees_equal([batch for batch, _ in pairs], list(data.epoch(key, 0)))


def test_a_batch_that_is_kept_short_streams(key):
    assert [len(y) for _, y in stream(loader(remainder="keep"), key, num_epochs=1)] == [4, 4, 4, 4, 4, 3]


def test_closing_ends_the_thread_and_may_be_repeated(key):
    batches = stream(loader(), key)
    next(batches)
    assert stream_threads()
    batches.close()
    batches.close()
    assert not stream_threads()
    with pytest.raises(ValueError, match=r"closed; it stopped at position \(0, 1\).*start=\(0, 1\)"):
        next(batches)


def test_leaving_the_with_block_by_an_error_ends_the_thread(key):
    def use():
        with stream(loader(), key) as batches:
            raise KeyError(next(batches)[1].shape)

    with pytest.raises(KeyError, match="4"):
        use()
    assert not stream_threads()


def test_an_exhausted_stream_stays_exhausted(key):
    batches = stream(loader(), key, num_epochs=1)
    assert len(list(batches)) == 5
    assert not stream_threads()
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)
    assert batches.position == (1, 0)


def test_the_thread_ends_with_the_last_batch_asked_for_or_not(key):
    batches = stream(loader(), key, num_epochs=1)
    for _ in range(5):
        next(batches)
    assert not stream_threads()


def test_two_streams_at_once_do_not_disturb_each_other(key):
    data = loader()
    with stream(data, key) as a, stream(data, jax.random.key(1)) as b:
        for step in range(5):
            assert_trees_equal(next(a), data.batch(key, 0, step))
            assert_trees_equal(next(b), data.batch(jax.random.key(1), 0, step))


class Faulty:
    """An array whose row 9 cannot be read while `broken`."""

    shape, dtype = (12, 2), np.dtype(np.float32)

    def __init__(self):
        self.broken, self.error = True, OSError("row 9 is gone")

    def __getitem__(self, index):
        if self.broken and 9 in index:
            raise self.error
        return np.stack([index, index], 1).astype(np.float32)


@pytest.mark.parametrize("prefetch", [0, 2, 9])
def test_an_error_of_the_source_comes_at_its_batch_and_loses_nothing(key, prefetch):
    source = Faulty()
    with stream(Loader(source, batch_size=4, shuffle=False), key, num_epochs=1, prefetch=prefetch) as batches:
        assert next(batches)[0].tolist() == [0, 0]
        assert next(batches)[0].tolist() == [4, 4]
        with pytest.raises(OSError, match="row 9 is gone") as caught:
            next(batches)
        assert caught.value is source.error
        assert batches.position == (0, 2)
        source.broken = False
        assert next(batches)[0].tolist() == [8, 8]
        assert list(batches) == []


def test_no_more_than_prefetch_batches_are_made_ahead(key):
    read = []

    class Counting(Faulty):
        def __getitem__(self, index):
            read.append(len(index))
            return np.zeros((len(index), 2), np.float32)

    class Long(Counting):
        shape = (4000, 2)

    with stream(Loader(Long(), batch_size=4), key, prefetch=3) as batches:
        for taken in range(1, 20):
            next(batches)
            assert len(read) <= taken + 3


def test_the_worker_follows_the_callers_settings(key):
    data = Loader(np.arange(6, dtype=np.float64) + 1e-12, batch_size=3)
    with jax.enable_x64(True):
        expected = data.batch(key, 0, 0)
        assert expected.dtype == np.float64
        with stream(data, key) as batches:
            assert_trees_equal(next(batches), expected)


@pytest.mark.parametrize("options", [{"prefetch": 0}, {}, {"num_threads": 2}])
def test_batches_are_made_on_the_default_device_wherever_their_rows_are_found(key, options, monkeypatch):
    """Rows are found on a CPU, so as not to wait for a GPU; here on the second of several CPU devices."""
    monkeypatch.setattr(jax, "local_devices", lambda backend=None: jax.devices()[1:])
    for device in (None, jax.devices()[3]):
        with jax.default_device(device), stream(loader(), key, num_epochs=1, **options) as batches:
            for step, batch in enumerate(batches):
                assert {leaf.device for leaf in jax.tree.leaves(batch)} == {device or jax.devices()[0]}
                assert_trees_close(batch, loader().batch(key, 0, step))


def test_an_epoch_fits_in_a_stream_of_many_batches(key):
    images, labels = pictures(size=500, shape=(2, 2, 1))
    with stream(Loader((images, labels), batch_size=1), key, num_epochs=1, prefetch=8) as batches:
        assert sorted(int(y[0]) for _, y in batches) == list(range(500))


def test_a_stream_that_was_closed_stays_closed_at_its_end_too(key):
    batches = stream(loader(), key, num_epochs=1)
    state = batches.get_state()
    assert len(list(batches)) == 5
    batches.close()
    assert list(batches) == []
    with pytest.raises(ValueError, match="the stream is closed"):
        batches.set_state(state)
    assert not stream_threads()


def test_an_ended_stream_may_be_set_back_while_it_is_open(key):
    with stream(loader(), key, num_epochs=1) as batches:
        state = batches.get_state()
        first = list(batches)
        batches.set_state(state)
        assert_trees_equal(list(batches), first)


def test_epochs_end_where_their_numbers_do(key):
    batches = stream(loader(), key, start=(2**32 - 1, 3))
    assert len(list(batches)) == 2


def test_no_more_batches_are_counted_than_there_are(key, monkeypatch):
    """Of four batches in all no thousand can be ahead."""
    monkeypatch.setattr("jaxiter.loader._memory.free_bytes", lambda device: 50_000)
    assert len(list(stream(loader(), key, prefetch=1000, num_epochs=1))) == 5
    with pytest.raises(ValueError, match="a stream with prefetch=1000 needs"):
        stream(loader(), key, prefetch=1000)


def test_places_may_be_numbers_as_checkpoints_give_them(key):
    state = {**stream(loader(), key).get_state(), "epoch": np.array(1), "step": jnp.asarray(2)}
    with stream(loader(), key) as batches:
        batches.set_state(state)
        assert batches.position == (1, 2)
        with pytest.raises(ValueError, match=r"state\[0\] is -1"):
            batches.set_state({**state, "epoch": -1})


BAD_INPUT = {
    "start": ({"start": 3}, TypeError, r"start is 3; expected \(epoch, step\)"),
    "start step": ({"start": (0, 6)}, ValueError, r"start is \(0, 6\).*at most 5"),
    "start negative": ({"start": (-1, 0)}, ValueError, r"start\[0\] is -1"),
    "start float": ({"start": (0, 1.0)}, TypeError, r"start\[1\] is 1.0"),
    "num_epochs": ({"num_epochs": -1}, ValueError, "num_epochs is -1"),
    "prefetch": ({"prefetch": -1}, ValueError, "prefetch is -1"),
    "num_threads": ({"num_threads": 0}, ValueError, "num_threads is 0; expected at least 1"),
    "prefetch None": ({"prefetch": None}, TypeError, "prefetch is None"),
    "key": ({"key": 0}, TypeError, "key is 0; expected a PRNG key"),
    "loader": ({"loader": [1, 2]}, TypeError, "loader is a list of 2.*; expected a jaxiter.Loader"),
    "state": ({"start": None}, TypeError, "start is None"),
    "sharding": ({"sharding": "data"}, ValueError, "sharding is 'data'"),
}


@pytest.mark.parametrize(("options", "error", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused(key, options, error, words):
    arguments = {"loader": loader(), "key": key, **options}
    with pytest.raises(error, match=words):
        stream(arguments.pop("loader"), arguments.pop("key"), **arguments)


def test_a_sharding_that_does_not_divide_the_batch_is_refused(key):
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
    with pytest.raises(ValueError, match="does not divide batch_size 4"):
        stream(loader(), key, sharding=sharding)
    with pytest.raises(ValueError, match="remainder='pad'"):
        stream(loader(remainder="keep", batch_size=8), key, sharding=sharding)


def test_resident_batches_are_under_way_before_they_are_asked_for(key):
    data = loader().to_device()
    with stream(data, key, prefetch=2) as batches:
        next(batches)
        assert len(batches._pending) == 2
        assert all(isinstance(leaf, jnp.ndarray) for leaf in jax.tree.leaves(batches._pending[0].result()))
