"""Threads, prefetch, files: everything with effects that is not Keras'."""

from ._preview import contact_sheet as contact_sheet
from ._save import save_whole as save_whole
from ._stream import Stream as Stream
from ._stream import stream as stream
