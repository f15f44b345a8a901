"""No test of this folder leaves a thread; and what the tests of packing have in common."""

import pytest

from jaxiter import ImageFiles

from .noise_folder import write_folder
from .sources import stream_threads, wait_for


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    assert wait_for(lambda: not stream_threads())


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """The rows that are decoded, in the order in which they are begun."""
    rows, decode = [], ImageFiles.decode

    def noted(self, row, *, shorter_side=None):
        rows.append(row)
        return decode(self, row, shorter_side=shorter_side)

    monkeypatch.setattr(ImageFiles, "decode", noted)
    return rows
