"""Threads that read ahead, before and after their end; batches over several devices start in order."""

import threading
from concurrent.futures import Future

import pytest

from jaxiter.host._prefetch import Pending, Pool, finish_in_order
from jaxiter.host._thread_settings import ThreadSettings

from .sources import stream_threads, wait_for

pytestmark = pytest.mark.timeout(60)


def test_tasks_are_done_in_no_more_threads_than_were_asked_for():
    pool, seen = Pool(2, "jaxiter-test"), []
    futures = [
        pool.submit(lambda number=number: seen.append(threading.current_thread()) or number) for number in range(50)
    ]
    assert [future.result(20) for future in futures] == list(range(50))
    assert len(set(seen)) <= 2
    pool.close()
    assert not stream_threads()


def test_after_its_end_a_pool_cancels_what_it_is_asked_for_and_starts_no_thread(monkeypatch):
    pool = Pool(2, "jaxiter-test")
    pool.close()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread was started"))
    assert pool.submit(int).cancelled()


def test_a_signal_that_closes_in_the_midst_of_a_submit_leaves_no_task_waiting(monkeypatch):
    pool = Pool(1, "jaxiter-test")
    start = pool._add_thread

    def start_and_close():
        start()
        pool.close()

    monkeypatch.setattr(pool, "_add_thread", start_and_close)
    assert pool.submit(int).cancelled()
    assert wait_for(lambda: not stream_threads())


def test_tasks_in_line_are_cancelled_by_the_end_and_those_under_way_are_waited_for():
    pool, begun, release = Pool(1, "jaxiter-test"), threading.Event(), threading.Event()
    under_way = pool.submit(lambda: begun.set() or release.wait(20))
    in_line = pool.submit(int)
    assert begun.wait(20)
    pool.cancel()
    assert in_line.cancelled()
    release.set()
    pool.close()
    assert under_way.result(0) is True
    assert not stream_threads()


def pending(started, name, rows=None, starts_early=True):
    future = Future()
    if rows is not None:
        future.set_result(rows)
    return Pending(
        (0, 0), ThreadSettings.current(), future, lambda read: started.append(name), starts_early=starts_early
    )


def test_no_batch_is_started_before_one_ahead_of_it():
    started = []
    finish_in_order([pending(started, "a", "rows"), pending(started, "b"), pending(started, "c", "rows")])
    assert started == ["a"]


def test_all_that_have_been_read_are_started_in_order_and_once():
    started = []
    batches = [pending(started, name, "rows") for name in "abc"]
    for _ in range(2):
        finish_in_order(batches)
    assert started == ["a", "b", "c"]


def test_with_several_processes_none_is_started_before_it_is_asked_for():
    """Which rows have been read differs between them, and so would the order of their programs."""
    started = []
    batches = [pending(started, name, "rows", starts_early=False) for name in "ab"]
    finish_in_order(batches)
    assert started == []
    batches[0].result()
    assert started == ["a"]


@pytest.mark.parametrize("fails", ["read", "start"])
def test_an_error_is_raised_when_its_batch_is_asked_for(fails):
    future, started = Future(), []
    if fails == "read":
        future.set_exception(ZeroDivisionError())
    else:
        future.set_result("rows")
    failing = Pending((0, 0), ThreadSettings.current(), future, lambda read: 1 // 0, starts_early=True)
    finish_in_order([failing, pending(started, "b", "rows")])
    assert started == []
    with pytest.raises(ZeroDivisionError):
        failing.result()
