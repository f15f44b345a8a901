"""No test of this folder leaves a thread."""

import pytest

from .sources import stream_threads, wait_for


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    assert wait_for(lambda: not stream_threads())
