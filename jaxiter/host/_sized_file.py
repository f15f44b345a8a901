"""Packed pictures of one size: a plain .npy file, and beside it a .json file of labels, class names and sources."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import numpy as np

NPY_MAGIC = b"\x93NUMPY"
VERSION = 1
_WHAT = "pictures of one size"


def npy_header(num_examples: int, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What `np.save` writes before the pixels: of one length for every number of examples."""
    header = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (num_examples, *shape)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def side_text(num_examples: int, labels: np.ndarray | None, metadata: dict[str, Any]) -> bytes:
    """The contents of the .json file."""
    fields = {"jaxiter": _WHAT, "version": VERSION, "num_examples": num_examples}
    return json.dumps({**fields, "labels": None if labels is None else labels.tolist(), **metadata}).encode()


def read_sized(path: str) -> tuple[np.ndarray, np.ndarray | None, list[str] | None, dict[str, Any]]:
    """The pictures as a memmap, labels, class names, and all that the .json file says.

    Raises:
        ValueError: If the .npy file was cut short, or the two are not of one call of `pack`.
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
    if len(images) != said["num_examples"]:
        raise ValueError(
            f"{path!r} holds {len(images)} pictures and {beside!r} tells of {said['num_examples']}; expected both "
            "files of one call of jaxiter.pack."
        )
    labels = None if said["labels"] is None else np.array(said["labels"], np.int32)
    return images, labels, said["class_names"], said


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
