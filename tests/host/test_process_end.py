"""The life of a stream and its process: the end of the interpreter, forks, growth; each in a process of its own."""

import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.timeout(120)


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["", "; gc.collect(); time.sleep(0.05)"])
def test_the_interpreter_ends_well_after_a_loop_that_was_left_early(wait):
    """The stream is dropped, and a thread still runs one of JAX's programs."""
    for _ in range(3):
        done = run(f"""
    import gc, time, jax, numpy as np
    from jaxiter import Loader, stream
    loader = Loader(np.zeros((600, 64, 64, 3), np.uint8), batch_size=128)
    for batch in stream(loader, jax.random.key(0)): break{wait}
    """)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_read_that_hangs_does_not_keep_the_interpreter():
    begun = time.monotonic()
    done = run(f"{BEGIN}\n    source.seconds = 3000\n    next(batches); time.sleep(0.5); print('made')")
    assert done.returncode == 0, done.stderr
    assert "made" in done.stdout
    assert time.monotonic() - begun < 40


FORK = (
    BEGIN
    + """
    import threading, warnings
    warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)  # of JAX, that this may hang
    warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)  # of Python 3.12
    def check_a_child():
        child = os.fork()
        if not child:
            signal.alarm(10)
            try:
                next(batches)
            except RuntimeError as error:
                os._exit(7 if "was forked from it" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
)


@pytest.mark.slow
def test_after_a_fork_while_another_thread_waits_the_child_gets_an_error():
    done = run(
        FORK
        + """
    source.seconds = 0.5
    batches.set_state(batches.get_state())  # nothing is read ahead
    waiting = threading.Thread(target=lambda: next(batches))
    waiting.start()
    time.sleep(0.2)
    check_a_child()
    waiting.join()
    batches.close()
    """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_after_a_fork_the_child_gets_an_error_and_the_parent_goes_on():
    done = run(
        FORK
        + """
    check_a_child()
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


@pytest.mark.slow
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
