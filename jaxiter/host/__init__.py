"""Threads, prefetch, files: everything with effects that is not Keras'."""

from .._image_grid import image_grid as image_grid
from ._stream import Stream as Stream
from ._stream import stream as stream
from ._stream_stats import StreamStats as StreamStats
