"""What goes wrong around a stream: nothing is lost, nothing is repeated, nothing is left running."""

import os
import threading
import time

import jax
import numpy as np
import pytest

from jaxiter import Loader, from_records, stream

from ..data import loader
from .sources import Source, four_devices

pytestmark = pytest.mark.timeout(120)


class Own(Exception):
    def __init__(self, code, detail):
        super().__init__(code, detail)


def raising(error):
    def fault(rows):
        raise error

    return fault


FAULTS = {
    "raising": (raising(OSError(5, "gone")), OSError, "gone"),
    "an error of its own": (raising(Own(1, "x")), Own, r"\(1, 'x'\)"),
    "too few rows": (lambda rows: rows[:-1], ValueError, r"data returned shape \(3, 2\) for 4 rows; expected \(4, 2\)"),
    "another shape": (lambda rows: rows[:, :1], ValueError, r"data returned shape \(4, 1\)"),
    "another dtype": (lambda rows: rows.astype(np.float64), ValueError, "data returned float64 .*; expected float32"),
    "a loop's end": (raising(StopIteration()), RuntimeError, r"StopIteration, at position \(0, 2\)"),
}


@pytest.mark.parametrize("options", [{"prefetch": 0}, {}, {"prefetch": 9}, {"num_threads": 4, "prefetch": 4}])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_source_is_an_error_at_its_batch_and_goes_on_once_mended(key, fault, sharded, options):
    broken, kind, words = FAULTS[fault]
    source = Source(broken)
    sharding = four_devices() if sharded else None
    made = stream(Loader(source, batch_size=4, shuffle=False), key, num_epochs=1, sharding=sharding, **options)
    with made as batches:
        seen = [next(batches).tolist() for _ in range(2)]
        for _ in range(2):  # asked again, it says so again
            with pytest.raises(kind, match=words) as caught:
                next(batches)
            assert batches.position == (0, 2)
        error = caught.value.__cause__ or caught.value
        assert "jaxiter: reading batch 2 of epoch 0, rows 8, 9, 10, 11" in error.__notes__
        source.broken = False
        seen += [batch.tolist() for batch in batches]
    assert seen == [[[row, row] for row in range(first, first + 4)] for first in range(0, 24, 4)]


def test_the_sources_own_error_arrives_itself(key):
    error = Own(3, "the same object")
    with stream(Loader(Source(raising(error)), batch_size=12, shuffle=False), key) as batches:
        with pytest.raises(Own) as caught:
            next(batches)
        assert caught.value is error
        assert caught.value.args == (3, "the same object")


def test_an_error_that_takes_no_note_arrives_without_one(key):
    class Closed(Exception):
        def add_note(self, note):
            raise TypeError("no notes")

    error = Closed("mine")
    with stream(Loader(Source(raising(error)), batch_size=12, shuffle=False), key) as batches:
        with pytest.raises(Closed, match="mine") as caught:
            next(batches)
        assert caught.value is error


def test_records_that_change_are_an_error(key):
    records = [{"x": np.zeros(2, np.float32), "y": i} for i in range(12)]
    records[7] = {"x": np.zeros(3, np.float32), "y": 7}
    batches = stream(Loader(from_records(records), batch_size=4, shuffle=False), key)
    next(batches)
    with pytest.raises(ValueError, match=r"example 7 of the source holds float32\[3\]; expected float32\[2\]"):
        next(batches)
    records[7] = {"z": 1}
    with pytest.raises(ValueError, match="example 7 of the source is PyTreeDef"):
        next(batches)
    batches.close()


def test_a_memmap_that_was_truncated_is_an_error_and_the_process_lives(key, tmp_path):
    path = tmp_path / "rows"
    array = np.memmap(path, np.int32, "w+", shape=(40, 1000))
    array[:] = np.arange(40)[:, None]
    array.flush()
    batches = stream(Loader(np.memmap(path, np.int32, "r", shape=(40, 1000)), batch_size=4, shuffle=False), key)
    assert next(batches)[:, 0].tolist() == [0, 1, 2, 3]
    content = path.read_bytes()
    os.truncate(path, 60_000)
    with pytest.raises(OSError, match=r"rows, which has 60000 bytes now; expected at least 160000"):
        list(zip(batches, range(9), strict=False))
    position = batches.position
    assert position[1] <= 4  # one taken, two read ahead
    with open(path, "r+b") as file:
        file.write(content)
    assert next(batches)[:, 0].tolist() == [4 * position[1] + i for i in range(4)]
    batches.close()


def test_a_slow_source_is_waited_for_and_read_by_several_threads(key):
    at_once, most = [0], [0]
    guard = threading.Lock()

    class Slow(Source):
        def __getitem__(self, index):
            with guard:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.02)
            with guard:
                at_once[0] -= 1
            return np.stack([index, index], 1).astype(np.float32)

    expected = list(range(0, 24, 4))
    for num_threads, bound in [(None, 1), (3, 3)]:
        most[0] = 0
        data = Loader(Slow(None), batch_size=4, shuffle=False)
        with stream(data, key, num_epochs=1, prefetch=6, num_threads=num_threads) as batches:
            assert [int(batch[0, 0]) for batch in batches] == expected
        assert most[0] == bound  # sources that are not known to bear several threads get one


def test_a_slow_consumer_holds_the_readers_back(key):
    source = Source(None)
    source.broken = False
    with stream(Loader(source, batch_size=2), key, prefetch=3, num_threads=3) as batches:
        for taken in range(1, 8):
            next(batches)
            time.sleep(0.02)
            assert len(source.asked) == taken + 3


def test_device_put_that_fails_is_an_error_at_its_batch(key, monkeypatch):
    data, sharding = loader(batch_size=8), four_devices()
    expected = [data.batch(key, 0, step) for step in range(2)]
    working = jax.make_array_from_callback
    fails = [False]

    def failing(*arguments, **options):
        if fails[0]:
            raise RuntimeError("RESOURCE_EXHAUSTED: no memory")
        return working(*arguments, **options)

    monkeypatch.setattr(jax, "make_array_from_callback", failing)
    with stream(data, key, sharding=sharding, num_epochs=1) as batches:
        np.testing.assert_array_equal(next(batches)[1], expected[0][1])
        batches.set_state(batches.get_state())  # what was read ahead is dropped
        fails[0] = True
        with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
            next(batches)
        assert batches.position == (0, 1)
        fails[0] = False
        np.testing.assert_array_equal(next(batches)[1], expected[1][1])
