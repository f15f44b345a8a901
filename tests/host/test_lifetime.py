"""The life of a stream within a process: threads, interrupts, closing, dropping."""

import gc
import signal
import sys
import threading
import time
import weakref

import jax
import numpy as np
import pytest

from jaxiter import Loader, stream

from ..data import assert_trees_equal, loader
from .sources import Source, four_devices, stream_threads, wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def interrupts():
    """As a shell starts a program; one that is started in the background ignores the keyboard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_from_the_keyboard_loses_no_batch(key):
    class Slow(Source):
        def __getitem__(self, index):
            time.sleep(0.2)
            return np.stack([index, index], 1).astype(np.float32)

    with stream(Loader(Slow(None), batch_size=4, shuffle=False), key, num_epochs=1) as batches:
        seen = [int(next(batches)[0, 0])]
        timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            next(batches)  # reads for a fifth of a second
        timer.join()
        assert batches.position == (0, 1)
        assert seen + [int(batch[0, 0]) for batch in batches] == list(range(0, 24, 4))


def interrupted_at(line_number, call):
    """Whether an interrupt came in `call`: before the line of jaxiter's host modules that is run as the given one."""
    lines = [0]

    def trace(frame, event, argument):
        if "host" not in frame.f_code.co_filename or "jaxiter" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == line_number:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"prefetch": 0}, {"sharding": four_devices()}, {"resident": True}], ids=str)
def test_an_interrupt_at_any_line_leaves_each_place_its_own_batch(key, options):
    data = loader(size=40, shuffle=False)
    data = data.to_device() if "resident" in options else data
    with stream(data, key, **{name: value for name, value in options.items() if name != "resident"}) as batches:
        next(batches)
        too_late = 0
        for line_number in range(1, 1000):
            while not all(pending.done() for pending in batches._pending):
                time.sleep(0.001)
            before = batches.position
            came = interrupted_at(line_number, lambda: next(batches))
            place = batches.position
            assert place in (before, (before[0] + (before[1] + 1) // 10, (before[1] + 1) % 10))
            too_late += came and place != before
            assert int(next(batches)[1][0]) == 4 * place[1]
            if not came:
                break
    assert 20 < line_number < 999
    # An interrupt in the very last lines comes after the position has moved; nothing is done there.
    assert too_late <= 4


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"prefetch": 1, "num_threads": 1}, {"prefetch": 3, "num_threads": 2}], ids=str)
def test_an_interrupt_while_the_first_threads_start_leaves_a_stream_that_goes_on_and_ends(key, options):
    data = loader(size=40, shuffle=False)
    for line_number in range(1, 1000):
        batches = stream(data, key, **options)
        came = interrupted_at(line_number, lambda batches=batches: next(batches))
        place = batches.position
        assert int(next(batches)[1][0]) == 4 * place[1]
        batches.close()
        if not came:
            break
    assert 20 < line_number < 999
    assert wait_for(lambda: not stream_threads())


def test_a_thread_that_the_system_refuses_is_an_error_and_started_later(key, monkeypatch):
    start, refused = threading.Thread.start, []

    def refuse(thread):
        refused.append(thread)
        raise RuntimeError("can't start new thread")

    with stream(loader(size=40, shuffle=False), key, prefetch=1) as batches:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            next(batches)
        monkeypatch.setattr(threading.Thread, "start", start)
        assert len(refused) == 1
        assert int(next(batches)[1][0]) == 0
    assert wait_for(lambda: not stream_threads())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"num_threads": 2}, {"sharding": four_devices(), "prefetch": 4}], ids=str)
def test_closing_from_another_thread_at_any_time_is_an_error_that_says_so_and_leaves_no_thread(key, options):
    data, errors = loader(size=4000), []

    def take(batches):
        try:
            for _ in batches:
                pass
        except BaseException as error:
            errors.append(error)

    for trial in range(100):
        batches = stream(data, key, **options)
        taker = threading.Thread(target=take, args=(batches,))
        taker.start()
        time.sleep(0.0003 * (trial % 20))
        batches.close()
        taker.join(20)
        assert not taker.is_alive()
    assert {(type(error), "the stream is closed" in str(error)) for error in errors} == {(ValueError, True)}
    assert len(errors) == 100
    assert wait_for(lambda: not stream_threads())


@pytest.mark.parametrize("options", [{}, {"prefetch": 0}, {"num_threads": 3, "prefetch": 5}])
def test_threads_that_share_a_stream_get_every_batch_once_between_them(key, options):
    class Slow(Source):
        shape = (400, 2)

        def __getitem__(self, index):
            time.sleep(0.001)
            return np.stack([index, index], 1).astype(np.float32)

    seen = []
    with stream(Loader(Slow(None), batch_size=4, shuffle=False), key, num_epochs=1, **options) as batches:
        takers = [threading.Thread(target=lambda: seen.extend(int(b[0, 0]) for b in batches)) for _ in range(4)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
    assert sorted(seen) == list(range(0, 400, 4))


def test_who_waits_while_another_thread_closes_gets_an_error_that_says_so(key):
    class Slow(Source):
        def __getitem__(self, index):
            time.sleep(0.3)
            return np.stack([index, index], 1).astype(np.float32)

    batches, errors = stream(Loader(Slow(None), batch_size=4), key, prefetch=3), []

    def take():
        try:
            for _ in batches:
                pass
        except ValueError as error:
            errors.append(str(error))

    taker = threading.Thread(target=take)
    taker.start()
    time.sleep(0.1)
    batches.close()
    taker.join()
    assert "the stream is closed" in errors[0]


def test_closing_waits_for_a_read_that_hangs_but_not_for_ever(key, monkeypatch):
    monkeypatch.setattr("jaxiter.host._prefetch._PATIENCE", 0.2)
    release = threading.Event()

    class Hanging(Source):
        def __getitem__(self, index):
            release.wait(60)
            return np.stack([index, index], 1).astype(np.float32)

    batches = stream(Loader(Hanging(None), batch_size=4), key)
    errors = []

    def take():
        try:
            next(batches)
        except ValueError as error:
            errors.append(str(error))

    taker = threading.Thread(target=take)
    taker.start()
    time.sleep(0.1)
    begun = time.monotonic()
    batches.close()
    assert time.monotonic() - begun < 5
    assert stream_threads()
    release.set()  # and the thread is gone with its read
    taker.join()
    assert "the stream is closed" in errors[0]


def test_abandoned_streams_are_collected_with_their_threads(key):
    batches = stream(loader(), key, prefetch=4, num_threads=2)
    for _ in batches:
        break
    dropped = weakref.ref(batches)
    del batches
    gc.collect()
    assert dropped() is None
    assert wait_for(lambda: not stream_threads())


def test_a_stream_dropped_within_a_cycle_is_collected(key):
    class Holder:
        pass

    holder = Holder()
    holder.holder, holder.batches = holder, stream(loader(), key)
    next(holder.batches)
    del holder
    gc.collect()
    assert wait_for(lambda: not stream_threads())


def test_many_streams_one_after_the_other_leave_nothing(key):
    data = loader()
    for seed in range(30):
        batches = stream(data, jax.random.key(seed), num_threads=2)
        assert_trees_equal(next(batches), data.batch(jax.random.key(seed), 0, 0))
    del batches
    gc.collect()
    assert wait_for(lambda: not stream_threads())
