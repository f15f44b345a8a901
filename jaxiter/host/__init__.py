"""Threads, prefetch, files: everything with effects that is not Keras'."""

from .._image_grid import image_grid as image_grid
from ._image_files import ImageFiles as ImageFiles
from ._image_folder import check_files as check_files
from ._image_folder import image_files as image_files
from ._image_folder import image_folder as image_folder
from ._pack import PackReport as PackReport
from ._pack import pack as pack
from ._packed_file import open_packed as open_packed
from ._stream import Stream as Stream
from ._stream import stream as stream
from ._stream_stats import StreamStats as StreamStats
