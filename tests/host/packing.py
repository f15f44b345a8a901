"""Packing in tests: without a display, and with an end after some pictures."""

import pytest

from jaxiter import pack
from jaxiter.host._unfinished import Unfinished


def packed(source, file, **settings):
    """The report of a call that shows nothing."""
    return pack(source, file, progress=False, **settings)


def contents(file):
    with open(file, "rb") as opened:
        return opened.read()


class Stopped(BaseException):
    pass


def pack_stopped(monkeypatch, count, source, file, **settings):
    """Packing that ends by an exception once `count` pictures are written."""
    append = Unfinished.append

    def until(self, entry, pixels=None):
        if len(self) == count:
            raise Stopped
        append(self, entry, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "append", until)
        with pytest.raises(Stopped):
            packed(source, file, **settings)
