"""The packed file: pictures of different sizes with their labels, in one file that opens as a memmap.

Numbers are little-endian. The file begins with a header, which ends with a checksum of itself. Pixels begin at byte
65,536, which starts a page on every system: the pictures one after the other, each row by row. At the next multiple of
64 bytes follow the tables, int32: shapes (n, 2), source_shapes (n, 2), and labels (n,) where there are any. Then come
the metadata, JSON: the class names, what was left out, and what the file was made of. The file ends there. The header
is written last, so that an unfinished file does not open.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import IO, Any, NamedTuple

import numpy as np

from .._ragged import Ragged
from ._sized_file import NPY_MAGIC, read_sized

VERSION = 1
PIXELS_AT = 65536
_MAGIC = b"\x93JAXITER"
_FIELDS = struct.Struct("<8s4I5Q16s")  # of _Header
_HEADER = struct.Struct(f"{_FIELDS.size}s16s")  # and the checksum of these
_ALIGNMENT = 64
_REMEDY = "Copy it again from where it was whole, or pack it anew."


class _Header(NamedTuple):
    """The fields at the begin of a file, in their order there; lengths and places in bytes."""

    magic: bytes
    version: int
    channels: int
    item_size: int  # of one channel of a pixel: 1 or 2
    has_labels: int
    num_examples: int
    num_pixels: int
    tables_at: int
    metadata_length: int
    length: int  # of the file
    checksum: bytes  # of tables and metadata


class Packed(NamedTuple):
    """What `open_packed` returns.

    images: `Ragged` over a memmap; of pictures of one size the memmap itself, (n, height, width, channels).
    labels: int32 (n,), or None.
    class_names: The name of each class, or None.
    """

    images: Ragged | np.ndarray
    labels: np.ndarray | None
    class_names: list[str] | None


class Pictures(NamedTuple):
    """What a file says of its pictures beside their pixels."""

    shapes: np.ndarray  # int32 (n, 2)
    source_shapes: np.ndarray
    labels: np.ndarray | None
    metadata: dict[str, Any]


def open_packed(file: str | os.PathLike) -> Packed:
    """The pictures, labels and class names of a file that `pack` made.

    The pixels stay in the file until they are read, however many there are. Tables of sizes and labels, 20 bytes for
    each picture, are read and checked.

    Args:
        file: A packed file, or the .npy file of pictures of one size with its .json file beside it.

    Returns:
        `(images, labels, class_names)`: a `Ragged` over a memmap, int32 labels, and the name of each class; both are
        None where the source had none. Of pictures of one size the images are a memmap (n, height, width, channels).

    Raises:
        FileNotFoundError: If it is not there, or `pack` has not finished it.
        ValueError: If the file is no packed file, not finished, of another version, cut short or damaged.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from jaxiter import image_files, open_packed, pack
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "grey.png")
        ...     Image.fromarray(np.full((20, 30), 7, np.uint8)).save(path)
        ...     report = pack(image_files([path], labels=[3]), os.path.join(folder, "one.jx"), progress=False)
        ...     images, labels, class_names = open_packed(report.file)
        ...     print(images, labels, images[0][0, 0])
        Ragged(1 pictures of up to 20 by 30, uint8, 3 channels, 600 pixels) [3] [7 7 7]
    """
    path = os.fsdecode(file)
    _check_is_there(path)
    with open(path, "rb") as stream:
        if stream.read(len(NPY_MAGIC)) == NPY_MAGIC:
            return Packed(*read_sized(path)[:3])
        header = _read_header(path, stream)
        pictures = _read_pictures(path, stream, header)
    pixels = np.memmap(path, f"<u{header.item_size}", "r", PIXELS_AT, (header.num_pixels, header.channels))
    counts = pictures.shapes.astype(np.int64).prod(axis=1)
    ragged = Ragged(pixels, np.cumsum(counts) - counts, pictures.shapes, pictures.source_shapes)
    ragged.mode = pictures.metadata["made_of"]["mode"]
    return Packed(ragged, pictures.labels, pictures.metadata["class_names"])


def _check_is_there(path: str) -> None:
    if os.path.lexists(path):
        return
    if os.path.exists(f"{path}.part"):
        raise FileNotFoundError(
            f"{path!r} is not finished: {path + '.part'!r} is what there is of it. Call jaxiter.pack again with the "
            "same sources and settings: it goes on from there."
        )
    raise FileNotFoundError(f"{path!r} does not exist (the working folder is {os.getcwd()!r}); jaxiter.pack makes one.")


def read_metadata(path: str) -> tuple[int, dict[str, Any]]:
    """How many pictures a packed file holds, and its metadata; errors as for `open_packed`."""
    with open(path, "rb") as stream:
        pictures = _read_pictures(path, stream, _read_header(path, stream))
    return len(pictures.shapes), pictures.metadata


def packed_metadata(path: str) -> dict[str, Any]:
    """What either kind of packed file says of itself; errors as for `open_packed`."""
    with open(path, "rb") as stream:
        is_sized = stream.read(len(NPY_MAGIC)) == NPY_MAGIC
    return read_sized(path)[3] if is_sized else read_metadata(path)[1]


def write_tables(stream: IO[bytes], channels: int, dtype: np.dtype, pictures: Pictures) -> None:
    """Finishes a file that has its pixels: what follows them, and then the header."""
    num_pixels = int(pictures.shapes.astype(np.int64).prod(axis=1).sum())
    end = PIXELS_AT + num_pixels * channels * dtype.itemsize
    tables_at = -(-end // _ALIGNMENT) * _ALIGNMENT
    tables = [pictures.shapes, pictures.source_shapes]
    tables += [] if pictures.labels is None else [pictures.labels]
    metadata = json.dumps(pictures.metadata).encode()
    text = b"".join(np.ascontiguousarray(table, "<i4").tobytes() for table in tables) + metadata
    stream.truncate(end)
    stream.seek(tables_at)
    stream.write(text)
    stream.flush()
    os.fsync(stream.fileno())  # before the header, by which it opens
    fields = _FIELDS.pack(
        *_Header(
            magic=_MAGIC,
            version=VERSION,
            channels=channels,
            item_size=dtype.itemsize,
            has_labels=int(pictures.labels is not None),
            num_examples=len(pictures.shapes),
            num_pixels=num_pixels,
            tables_at=tables_at,
            metadata_length=len(metadata),
            length=tables_at + len(text),
            checksum=_checksum(text),
        )
    )
    stream.seek(0)
    stream.write(_HEADER.pack(fields, _checksum(fields)))


def _read_header(path: str, stream: IO[bytes]) -> _Header:
    """The header, checked, and the length of the file by it."""
    stream.seek(0)
    found = stream.read(_HEADER.size)
    if found and not any(found):
        raise ValueError(f"{path!r} is unfinished, or no packed file; call jaxiter.pack again with the same sources.")
    if not found or not found.startswith(_MAGIC[: len(found)]):
        raise ValueError(f"{path!r} is no packed file: it begins with {found[:8]!r}; expected a file of jaxiter.pack.")
    size = os.fstat(stream.fileno()).st_size
    if len(found) < _HEADER.size:
        raise ValueError(f"{path!r} was cut short: it has {size} bytes. {_REMEDY}")
    fields, checksum = _HEADER.unpack(found)
    header = _Header(*_FIELDS.unpack(fields))
    if checksum != _checksum(fields):
        raise ValueError(f"{path!r} has a damaged header: its checksum is another. {_REMEDY}")
    if header.version != VERSION:
        raise ValueError(
            f"{path!r} is a packed file of version {header.version}; expected version {VERSION}. Pack it anew."
        )
    if size != header.length:
        what = "was cut short" if size < header.length else "has grown"
        raise ValueError(f"{path!r} {what}: it has {size:,} bytes; expected {header.length:,}. {_REMEDY}")
    return header


def _read_pictures(path: str, stream: IO[bytes], header: _Header) -> Pictures:
    stream.seek(header.tables_at)
    text = stream.read(header.length - header.tables_at)
    if _checksum(text) != header.checksum:
        raise ValueError(f"{path!r} has damaged tables: their checksum is another. {_REMEDY}")
    count = header.num_examples
    numbers = np.frombuffer(text, "<i4", (5 if header.has_labels else 4) * count).astype(np.int32)
    shapes, source_shapes, labels = np.split(numbers, [2 * count, 4 * count])
    metadata = json.loads(text[len(text) - header.metadata_length :])
    pairs = (shapes.reshape(-1, 2), source_shapes.reshape(-1, 2))
    return Pictures(*pairs, labels if header.has_labels else None, metadata)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
