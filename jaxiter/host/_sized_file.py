"""Packed pictures of one size: a plain .npy file, and beside it a .json file of labels, class names and sources.

The .json file tells which .npy file it belongs to: by its length, shape and dtype, a checksum of all pictures, and
those of some, which are read whenever it opens.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from typing import Any

import numpy as np

NPY_MAGIC = b"\x93NUMPY"
VERSION = 2
_WHAT = "pictures of one size"
_SAMPLED = 16  # pictures that are compared at opening


def npy_header(num_examples: int, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What `np.save` writes before the pixels: of one length for every number of examples."""
    header = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (num_examples, *shape)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def side_text(
    shape: tuple[int, ...],
    dtype: np.dtype,
    checksums: np.ndarray,
    labels: np.ndarray | None,
    metadata: dict[str, Any],
) -> bytes:
    """The contents of the .json file.

    Args:
        shape, dtype: Of one picture.
        checksums: CRC-32 of each picture, (n,).
    """
    count = len(checksums)
    pixels_at, picture_bytes = len(npy_header(count, shape, dtype)), int(np.prod(shape)) * dtype.itemsize
    fields = {
        "jaxiter": _WHAT,
        "version": VERSION,
        "shape": [count, *shape],
        "dtype": np.lib.format.dtype_to_descr(dtype),
        "length": pixels_at + count * picture_bytes,
        "checksum": _checksum_of_all(checksums),
        "checksums_of_some": checksums[_some(count)].tolist(),
        "labels": None if labels is None else labels.tolist(),
    }
    return json.dumps({**fields, **metadata}).encode()


def read_sized(
    path: str, *, check_all: bool = False
) -> tuple[np.ndarray, np.ndarray | None, list[str] | None, dict[str, Any]]:
    """The pictures as a memmap, labels, class names, and all that the .json file says.

    Args:
        check_all: Read and compare all pictures, not a few of them.

    Raises:
        ValueError: If the .npy file was cut short or has grown, or the two are not of one call of `pack`.
    """
    beside = side_path(path)
    if not os.path.exists(beside):
        raise ValueError(
            f"{path!r} has no {beside!r} beside it, where jaxiter.pack writes labels and class names; expected both "
            "files together. Pixels alone are opened by np.load(..., mmap_mode='r')."
        )
    said = _said(beside)
    if said is None or said["version"] != VERSION:
        raise ValueError(f"{beside!r} is damaged, or of another version, or not of jaxiter.pack; pack anew.")
    try:
        images = np.load(path, mmap_mode="r")
    except ValueError as error:
        raise ValueError(f"{path!r} was cut short, or is damaged: {error}. Copy it again, or pack anew.") from None
    if differs := _difference(images, os.path.getsize(path), said, check_all):
        raise ValueError(
            f"{path!r} {differs[0]} and {beside!r} tells of {differs[1]}; expected both files of one call of "
            "jaxiter.pack, as they were then. Copy both again, or pack anew."
        )
    labels = None if said["labels"] is None else np.array(said["labels"], np.int32)
    return images, labels, said["class_names"], said


def _difference(images: np.ndarray, length: int, said: dict[str, Any], check_all: bool) -> tuple[str, str] | None:
    """What is in the .npy file, and what the .json file says instead; None if they agree."""
    count, *shape = said["shape"]
    if len(images) != count:
        return f"holds {len(images)} pictures", f"{count}"
    if list(images.shape[1:]) != shape:
        return f"holds pictures of shape {images.shape[1:]}", f"{tuple(shape)}"
    if (descr := np.lib.format.dtype_to_descr(images.dtype)) != said["dtype"]:
        return f"holds numbers of type {descr!r}", f"{said['dtype']!r}"
    if length != said["length"]:
        return f"has {length:,} bytes", f"{said['length']:,}"
    if _checksums(images, _some(count)).tolist() != said["checksums_of_some"]:
        return "holds some pictures", "others, by their checksums"
    if check_all and _checksum_of_all(_checksums(images, np.arange(count))) != said["checksum"]:
        return "holds some pictures", "others, by their checksums"
    return None


def _checksums(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.array([zlib.crc32(np.ascontiguousarray(images[row]).data) for row in rows], np.int64)


def _checksum_of_all(checksums: np.ndarray) -> int:
    return zlib.crc32(checksums.astype("<u4").tobytes())


def _some(count: int) -> np.ndarray:
    """Rows of pictures that stand for all: the first, the last and some between."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).round().astype(np.int64))


def is_side(path: str) -> bool:
    """Whether `pack` wrote this .json file."""
    return _said(path) is not None


def _said(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as stream:
            said = json.load(stream)
    except ValueError:  # no JSON, or no text
        return None
    return said if isinstance(said, dict) and said.get("jaxiter") == _WHAT else None


def side_path(path: str | os.PathLike) -> str:
    return os.fsdecode(path) + ".json"
