"""What goes wrong around a stream: nothing is lost, nothing is repeated, nothing is left running."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Loader, from_records, stream

from ..data import assert_trees_equal, loader
from .test_stream import stream_threads

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    assert wait_for(lambda: not stream_threads())


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


class Source:
    """Rows of numbers that go wrong at row 9 in a way of one's own, until mended."""

    shape, dtype = (24, 2), np.dtype(np.float32)

    def __init__(self, fault):
        self.fault, self.broken, self.asked = fault, True, []

    def __getitem__(self, index):
        self.asked.append(index.tolist())
        rows = np.stack([index, index], 1).astype(np.float32)
        return self.fault(rows) if self.broken and 9 in index else rows


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


def all_eight():
    return NamedSharding(Mesh(np.array(jax.devices()[:4]), ("data",)), P("data"))


@pytest.mark.parametrize("options", [{"prefetch": 0}, {}, {"prefetch": 9}, {"num_threads": 4, "prefetch": 4}])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_source_is_told_at_its_batch_and_goes_on_once_mended(key, fault, sharded, options):
    broken, kind, words = FAULTS[fault]
    source = Source(broken)
    sharding = all_eight() if sharded else None
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


def test_records_that_change_are_told(key):
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


def test_a_memmap_that_was_truncated_is_told_and_the_process_lives(key, tmp_path):
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


def test_device_put_that_fails_is_told_at_its_batch(key, monkeypatch):
    data, sharding = loader(batch_size=8), all_eight()
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
        batches.set_state(batches.get_state())  # what was read ahead is let go
        fails[0] = True
        with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
            next(batches)
        assert batches.position == (0, 1)
        fails[0] = False
        np.testing.assert_array_equal(next(batches)[1], expected[1][1])


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


@pytest.mark.parametrize("options", [{}, {"prefetch": 0}, {"sharding": all_eight()}, {"resident": True}], ids=str)
def test_an_interrupt_at_any_line_leaves_each_place_its_own_batch(key, options):
    data = loader(size=40, shuffle=False)
    data = data.to_device() if options.pop("resident", False) else data
    with stream(data, key, **options) as batches:
        next(batches)
        for line_number in range(1, 1000):
            before = batches.position
            came = interrupted_at(line_number, lambda: next(batches))
            place = batches.position
            # An interrupt in the very last line is one after the batch was handed over.
            assert place in (before, (before[0] + (before[1] + 1) // 10, (before[1] + 1) % 10))
            assert int(next(batches)[1][0]) == 4 * place[1]
            if not came:
                break
    assert 20 < line_number < 999


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


def test_who_waits_while_another_thread_closes_is_told_so(key):
    class Slow(Source):
        def __getitem__(self, index):
            time.sleep(0.3)
            return np.stack([index, index], 1).astype(np.float32)

    batches, told = stream(Loader(Slow(None), batch_size=4), key, prefetch=3), []

    def take():
        try:
            for _ in batches:
                pass
        except ValueError as error:
            told.append(str(error))

    taker = threading.Thread(target=take)
    taker.start()
    time.sleep(0.1)
    batches.close()
    taker.join()
    assert "the stream is closed" in told[0]


def test_closing_waits_for_a_read_that_hangs_but_not_for_ever(key, monkeypatch):
    monkeypatch.setattr("jaxiter.host._pool._PATIENCE", 0.2)
    release = threading.Event()

    class Hanging(Source):
        def __getitem__(self, index):
            release.wait(60)
            return np.stack([index, index], 1).astype(np.float32)

    batches = stream(Loader(Hanging(None), batch_size=4), key)
    told = []

    def take():
        with contextlib.suppress(ValueError):
            told.append(next(batches))

    taker = threading.Thread(target=take)
    taker.start()
    time.sleep(0.1)
    begun = time.monotonic()
    batches.close()
    assert time.monotonic() - begun < 5
    assert stream_threads()
    release.set()  # and the thread is gone with its read
    taker.join()
    assert told == []


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


def run(code, **options):
    """In a process of its own, where JAX must not have been started by pytest."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


BEGIN = """
    import os, signal, time, jax, numpy as np
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from jaxiter import Loader, stream
    class Slow:
        shape, dtype, seconds = (4000, 2), np.dtype(np.float32), 0.0
        def __getitem__(self, index):
            time.sleep(self.seconds)
            return np.zeros((len(index), 2), np.float32)
    source = Slow()
    batches = stream(Loader(source, batch_size=4), jax.random.key(0), prefetch=50, num_threads=2)
    next(batches)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.3])
@pytest.mark.parametrize("end", ["pass", "raise KeyError('mine')", "raise SystemExit(3)", "os.kill(os.getpid(), 2)"])
def test_the_interpreter_ends_at_once_with_a_stream_open(seconds, end):
    begun = time.monotonic()
    done = run(f"{BEGIN}\n    source.seconds = {seconds}\n    next(batches); next(batches)\n    {end}")
    assert time.monotonic() - begun < 30  # fifty reads ahead would be 15 seconds of sleep and more
    expected = {"pass": (0, ""), "raise KeyError('mine')": (1, "KeyError: 'mine'"), "raise SystemExit(3)": (3, "")}
    code, words = expected.get(end, (-2, "KeyboardInterrupt"))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert words or not done.stderr


def test_a_read_that_hangs_does_not_keep_the_interpreter():
    begun = time.monotonic()
    done = run(f"{BEGIN}\n    source.seconds = 3000\n    next(batches); time.sleep(0.5); print('made')")
    assert done.returncode == 0, done.stderr
    assert "made" in done.stdout
    assert time.monotonic() - begun < 40


def test_after_a_fork_the_child_is_told_and_the_parent_goes_on():
    done = run(
        BEGIN.replace("import os,", "import warnings; warnings.simplefilter('ignore'); import os,")
        + """
    child = os.fork()
    if not child:
        try:
            next(batches)
        except RuntimeError as error:
            os._exit(7 if "was forked from it" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    child = os.fork()
    if not child:
        batches.close()
        del batches
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    for _ in range(20):
        next(batches)
    batches.close()
    print(batches.position)
    """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(0, 21)"


def test_ten_thousand_batches_leave_no_growth():
    """Resident memory over 10,000 batches; a batch that were kept would be 50 kB each."""
    done = run("""
        import gc, jax, numpy as np
        from jaxiter import Loader, stream
        def resident():
            gc.collect()
            return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
        loader = Loader(np.zeros((2000, 32, 32, 3), np.float32), batch_size=4)
        with stream(loader, jax.random.key(0), num_threads=2) as batches:
            for number, batch in enumerate(batches):
                if number == 2_000: before = resident()
                if number == 12_000: break
            print(resident() - before, flush=True)
    """)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30
