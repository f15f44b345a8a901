"""Batches over several devices: whose rows have come are started, one after the other and not ahead of one another."""

from concurrent.futures import Future

from jaxiter.host._making import Placed, start_those_read


def placed(started, name, rows=None, may_start_early=True):
    future = Future()
    if rows is not None:
        future.set_result(rows)
    return Placed(future, lambda read: started.append(name), may_start_early)


def test_no_batch_is_started_ahead_of_one_before_it():
    started = []
    start_those_read([placed(started, "a", "rows"), placed(started, "b"), placed(started, "c", "rows")])
    assert started == ["a"]


def test_all_that_have_come_are_started_in_order_and_once():
    started = []
    begun = [placed(started, name, "rows") for name in "abc"]
    for _ in range(2):
        start_those_read(begun)
    assert started == ["a", "b", "c"]


def test_with_several_processes_none_is_started_before_it_is_asked_for():
    """Whose rows have come differs between them, and so would the order of their programs."""
    started = []
    begun = [placed(started, name, "rows", may_start_early=False) for name in "ab"]
    start_those_read(begun)
    assert started == []
    begun[0].result()
    assert started == ["a"]


def test_an_error_in_starting_comes_when_its_batch_is_asked_for():
    failing = Placed(Future(), lambda read: 1 // 0, True)
    failing._rows.set_result("rows")
    started = []
    start_those_read([failing, placed(started, "b", "rows")])
    assert started == []
