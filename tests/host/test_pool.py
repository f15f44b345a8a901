"""A pool by itself: what it owes to those who ask it, before and after its end."""

import threading

import pytest

from jaxiter.host._pool import Pool

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


def test_a_signal_that_closes_in_the_midst_of_a_submit_leaves_nobody_waiting(monkeypatch):
    pool = Pool(1, "jaxiter-test")
    start = pool._start_a_thread

    def start_and_close():
        start()
        pool.close()

    monkeypatch.setattr(pool, "_start_a_thread", start_and_close)
    assert pool.submit(int).cancelled()
    assert wait_for(lambda: not stream_threads())


def test_tasks_in_line_are_cancelled_by_the_end_and_those_under_way_are_waited_for():
    pool, begun, release = Pool(1, "jaxiter-test"), threading.Event(), threading.Event()
    under_way = pool.submit(lambda: begun.set() or release.wait(20))
    in_line = pool.submit(int)
    assert begun.wait(20)
    pool.abandon()
    assert in_line.cancelled()
    release.set()
    pool.close()
    assert under_way.result(0) is True
    assert not stream_threads()
