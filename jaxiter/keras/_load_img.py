"""Pictures read from files: converted and resized by Pillow, as Keras does."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .._warn import warn


def load_img(
    path: str | bytes | pathlib.Path | io.BytesIO,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
    *,
    grayscale: bool = False,
    exif: bool = False,
) -> Image.Image:
    """A Pillow image read from a file, which is closed again.

    It is converted to color_mode first and resized then. Of several frames or pages the first is read. Alpha is dropped
    for "rgb", so that the colours of transparent pixels show.

    Args:
        path: str, bytes, Path, or a BytesIO.
        color_mode: "rgb", "rgba" or "grayscale"; the last keeps 16 and 32 bits. The others cut such grey off at 255, as
            Keras does, and warn where a value lies beyond.
        target_size: (height, width) to resize to.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos", used if the size differs.
        keep_aspect_ratio: Cut out the largest middle part of the wanted proportions, instead of distorting.
        grayscale: Deprecated, means color_mode="grayscale".
        exif: Turn the picture upright first, as its EXIF orientation says. Photographs of telephones lie on their side
            without; models that were trained with Keras saw them so.

    Raises:
        TypeError: If path is something else. ValueError for an unknown color_mode or interpolation. OSError for a file
            that is missing or no picture.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (6, 4)).save(file, format="png")
        >>> load_img(file, target_size=(8, 8)).size
        (8, 8)
    """
    if grayscale:
        warn("grayscale is deprecated; pass color_mode='grayscale'.")
        color_mode = "grayscale"
    return load_picture(path, color_mode, target_size, interpolation, keep_aspect_ratio, exif=exif, on_cut=warn)


def load_picture(
    path: Any,
    color_mode: str,
    target_size: tuple[int, int] | None,
    interpolation: str,
    keep_aspect_ratio: bool,
    *,
    exif: bool = False,
    on_cut: Callable[[str], Any] | None = None,
) -> Image.Image:
    """The image of `load_img`. Instead of a warning it calls on_cut, in the thread that reads.

    Args:
        on_cut: Called with a sentence where grey values outside 0 ... 255 are cut off. None: no value is looked at.
    """
    if color_mode not in _MODES:
        raise ValueError(f"color_mode is {color_mode!r}; expected 'grayscale', 'rgb' or 'rgba'.")
    img = _opened(path)
    if exif:
        img.load()  # which turns a TIFF by itself, and takes its orientation away
        img = ImageOps.exif_transpose(img)
    if img.mode not in _MODES[color_mode]:
        if on_cut is not None and img.mode in _WIDE_GREY:
            _tell_of_cut(img, path, color_mode, on_cut)
        img = img.convert(_MODES[color_mode][0])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"interpolation is {interpolation!r}; expected one of {', '.join(_INTERPOLATIONS)}.")
    box = _middle(img.size, target_size) if keep_aspect_ratio else None
    return img.resize((target_size[1], target_size[0]), _INTERPOLATIONS[interpolation], box=box)


# Pillow's modes that stay as they are; others are converted to the first.
_MODES = {"grayscale": ("L", "I;16", "I"), "rgb": ("RGB",), "rgba": ("RGBA",)}
_WIDE_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_INTERPOLATIONS = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
}


def _opened(path: Any) -> Image.Image:
    if isinstance(path, io.BytesIO):
        return Image.open(path)
    if not isinstance(path, (str, bytes, pathlib.Path)):
        raise TypeError(f"path is a {type(path).__name__}; expected str, bytes, pathlib.Path or io.BytesIO.")
    with open(os.fspath(path), "rb") as file:
        return Image.open(io.BytesIO(file.read()))


def _tell_of_cut(img: Image.Image, path: Any, color_mode: str, on_cut: Callable[[str], Any]) -> None:
    values = np.asarray(img)
    low, high = values.min(), values.max()
    if low >= 0 and high <= 255:
        return
    remedy = (
        "color_mode='grayscale' keeps them."
        if img.mode in _MODES["grayscale"]
        else "No color_mode keeps them; write the file as a 16-bit PNG, which color_mode='grayscale' keeps."
    )
    name = "The picture" if isinstance(path, io.BytesIO) else f"{os.fsdecode(path)!r}"
    on_cut(
        f"{name} has grey values from {low:g} to {high:g}, and color_mode={color_mode!r} cuts them off at 0 and 255, "
        f"as Keras does. {remedy}"
    )


def _middle(size: tuple[int, int], target_size: tuple[int, int]) -> tuple[int, int, int, int]:
    (width, height), (target_height, target_width) = size, target_size
    crop_height = min(height, width * target_height // target_width)
    crop_width = min(width, height * target_width // target_height)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return left, top, left + crop_width, top + crop_height
