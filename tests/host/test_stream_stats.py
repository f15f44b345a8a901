"""What a stream says of its speed and of what is left of it."""

import operator
import time

import numpy as np
import pytest

from jaxiter import Loader, StreamStats, stream

from ..data import loader
from .sources import stream_threads


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("jaxiter.host._stream.perf_counter", lambda: self.now)

    def take(self, batches, waits, works):
        """So many batches, each of which takes `waits` seconds to come and then `works` to be used."""
        fetch, taken = type(batches)._next, []
        for wait, work in zip(waits, works, strict=True):

            def slow(stream, began, wait=wait):
                self.now += wait
                return fetch(stream, began)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(batches), "_next", slow)
                taken.append(next(batches))
            self.now += work
        return taken


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_images_and_waiting_are_counted_from_the_first_batch_to_the_last(key, clock, remainder):
    """The first wait compiles, and the work after the last batch is not over: neither is counted."""
    batches = stream(loader(remainder=remainder), key, num_epochs=3, with_mask=True, prefetch=1)
    assert batches.stats == StreamStats(0, 0.0, 0.0)
    taken = clock.take(batches, [50.0], [2.0])
    assert batches.stats == StreamStats(1, 0.0, 0.0)
    taken += clock.take(batches, [1.0, 2.0, 3.0] * 4, [3.0, 0.0, 5.0] * 4)
    elapsed, waited = 2.0 + 4 * 14.0 - 5.0, 4 * 6.0
    images = sum(int(mask.sum()) for _, mask in taken[1:])
    assert batches.stats.batches == 13
    assert batches.stats.images_per_second == pytest.approx(images / elapsed)
    assert batches.stats.waiting == pytest.approx(waited / elapsed)


def test_the_share_of_waiting_is_that_of_a_slow_source_and_of_a_slow_loop(key):
    class Slow:
        shape, dtype = (400, 2), np.dtype(np.float32)

        def __getitem__(self, rows):
            time.sleep(0.01)
            return np.zeros((len(rows), 2), np.float32)

    with stream(Loader(Slow(), batch_size=4), key, prefetch=0) as batches:
        for _ in range(10):
            next(batches)
        assert 0.5 < batches.stats.waiting <= 1
        assert batches.stats.images_per_second < 400
    with stream(Loader(np.zeros((400, 2)), batch_size=4), key) as batches:
        for _ in range(10):
            next(batches)
            time.sleep(0.01)
        assert 0 <= batches.stats.waiting < 0.5


def test_a_state_begins_them_anew_and_close_and_the_end_keep_them(key, clock):
    batches = stream(loader(), key, num_epochs=2)
    clock.take(batches, [1.0] * 4, [1.0] * 4)
    before, state = batches.stats, batches.get_state()
    assert before.batches == 4
    batches.close()
    assert batches.stats == before
    with pytest.raises(ValueError, match="is closed"):
        next(batches)
    assert batches.stats == before
    batches = stream(loader(), key, num_epochs=2)
    clock.take(batches, [1.0] * 7, [1.0] * 7)
    batches.set_state(state)
    assert batches.stats == StreamStats(0, 0.0, 0.0)
    assert len(clock.take(batches, [1.0] * 6, [1.0] * 6)) == 6
    at_the_end = batches.stats
    assert at_the_end == StreamStats(6, 4 / 2.0, 0.5)
    assert next(batches, None) is None
    assert batches.stats == at_the_end


def test_a_batch_that_could_not_be_read_is_not_counted(key):
    class Broken:
        shape, dtype, fails = (8, 2), np.dtype(np.float32), False

        def __getitem__(self, rows):
            if self.fails:
                raise OSError("no disk")
            return np.zeros((len(rows), 2), np.float32)

    source = Broken()
    batches = stream(Loader(source, batch_size=2), key, prefetch=0, num_epochs=2)
    next(batches)
    source.fails = True
    with pytest.raises(OSError, match="no disk"):
        next(batches)
    assert (batches.stats.batches, len(batches)) == (1, 7)
    source.fails = False
    assert len(list(batches)) == 7
    assert batches.stats.batches == 8


def test_they_read_well():
    stats = StreamStats(812, 12300.12345, 0.031249)
    assert repr(stats) == "StreamStats(batches=812, images_per_second=12300.1, waiting=0.031)"
    assert StreamStats(**stats._asdict()) == stats


@pytest.mark.parametrize(("start", "num_epochs"), [((0, 0), 3), ((1, 2), 3), ((2, 5), 3), ((3, 0), 3), ((0, 0), 0)])
def test_the_length_is_how_many_batches_are_left(key, start, num_epochs):
    batches = stream(loader(), key, start=start, num_epochs=num_epochs)
    left = len(batches)
    for _ in batches:
        left -= 1
        assert len(batches) == left
    assert left == len(batches) == 0
    assert batches  # an iterator, not an empty list
    batches.close()
    assert batches
    assert not stream_threads()


def test_a_progress_bar_finds_the_total_before_the_first_batch(key):
    """As tqdm does: it asks for the length, and goes without where that is a TypeError."""

    def total_of(iterable):
        try:
            return len(iterable)
        except (TypeError, AttributeError):
            return None

    batches = stream(loader(), key, start=(1, 1), num_epochs=2)
    assert total_of(batches) == sum(1 for _ in batches) == 4
    with stream(loader(), key) as endless:
        assert total_of(endless) is None


def test_an_endless_stream_has_no_length_and_works_as_before(key):
    with stream(loader(), key) as batches:
        with pytest.raises(TypeError, match=r"never ends, num_epochs=None.*num_epochs=\.\.\."):
            len(batches)
        assert batches
        assert operator.length_hint(batches, 7) == 7
        assert len(list(zip(batches, range(7), strict=False))) == 7  # which asks for none
        assert [position for position, _ in enumerate(zip(range(3), batches, strict=False))] == [0, 1, 2]


def test_lists_and_tuples_of_a_stream_are_complete(key):
    """`list` takes the length for a hint of how much there is."""
    for start in ((0, 0), (1, 3)):
        batches = stream(loader(), key, start=start, num_epochs=2)
        expected = len(batches)
        assert len(list(batches)) == expected
        assert tuple(batches) == ()


def test_a_stream_prints_its_speed_once_it_has_one(key, clock):
    batches = stream(loader(), key, num_epochs=2, prefetch=1)
    clock.take(batches, [1.0, 0.001, 0.001], [0.0, 0.0, 0.0])
    assert repr(batches) == (
        "<jaxiter stream: at epoch 0, step 3 of 5, num_epochs=2, batch_size=4, prefetch=1; 4,000 images/s, 100% of the "
        "time waiting>"
    )
    batches.close()
    assert repr(batches).startswith("<jaxiter stream: closed, at epoch 0, step 3")
