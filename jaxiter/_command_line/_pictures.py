"""What `preview` shows: a folder with or without classes, or a file of `pack`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._ragged import Ragged
from .._words import PictureMode
from ..host import ImageFiles, image_files, image_folder, open_packed
from ..host.internal import SUFFIXES, packed_metadata

if TYPE_CHECKING:
    from jaxtyping import Int32


class Pictures(NamedTuple):
    """Pictures as data of a Loader, and the lines of Python that make them."""

    images: ImageFiles | Ragged | np.ndarray
    labels: Int32[np.ndarray, " n"] | None
    class_names: list[str] | None
    mode: str
    left_out: int  # files that `pack` left out
    lines: list[str]  # which end with the names `images` and, where there are any, `labels`

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.images.dtype)


def open_pictures(path: str, mode: PictureMode, dtype: str) -> Pictures:
    """The pictures of a folder, or of a packed file.

    Args:
        mode, dtype: As for `image_folder`; a packed file has its own.

    Raises:
        OSError, ValueError: If there are none, in words.
    """
    if os.path.isfile(path):
        return _packed(path)
    settings = "".join(
        f", {name}={value!r}"
        for name, value, usual in (("mode", mode, "RGB"), ("dtype", dtype, "uint8"))
        if value != usual
    )
    files = _files_without_classes(path)
    if files:
        endings = "(" + ", ".join(f'"{suffix}"' for suffix in SUFFIXES) + ")"
        lines = [
            "import os",
            f"folder, endings = {path!r}, {endings}",
            "names = sorted(name for name in os.listdir(folder) if name.lower().endswith(endings) and name[0] != '.')",
            f"images = jx.image_files([os.path.join(folder, name) for name in names]{settings})",
        ]
        return Pictures(image_files(files, mode=mode, dtype=dtype), None, None, mode, 0, lines)
    images = image_folder(path, mode=mode, dtype=dtype)
    lines = [f"images = jx.image_folder({path!r}{settings})", "labels = images.labels"]
    return Pictures(images, images.labels, images.class_names, mode, 0, lines)


def _packed(path: str) -> Pictures:
    try:
        images, labels, class_names = open_packed(path)
    except ValueError as error:
        error.add_note("preview shows a folder of pictures, or a file of python -m jaxiter pack.")
        raise
    metadata = packed_metadata(path)
    lines = [f"images, labels, class_names = jx.open_packed({path!r})"]
    return Pictures(images, labels, class_names, metadata["made_of"]["mode"], len(metadata["left_out"]), lines)


def _files_without_classes(path: str) -> list[str]:
    """The pictures directly in a folder that holds no other folder; elsewhere none.

    Raises:
        ValueError: If there are neither.
    """
    if not os.path.isdir(path):
        return []
    with os.scandir(path) as found:
        entries = [entry for entry in found if not entry.name.startswith(".")]
    if any(entry.is_dir() for entry in entries):
        return []
    names = sorted(entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES))
    if not names:
        raise ValueError(
            f"{path!r} holds no pictures; expected files that end in {', '.join(SUFFIXES)}, or a folder of them for "
            "each class."
        )
    return [os.path.join(path, name) for name in names]
