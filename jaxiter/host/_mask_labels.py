"""The labels of a mask: the numbers as they stand in its file, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

# What Pillow calls raw modes: how numbers lie in a file. Grey of 2 and 4 bits it spreads over 0 to 255 as it loads it.
_SPREAD = {"L;2": 85, "L;2R": 85, "L;4": 17, "L;4R": 17}
_BITS = {"1", "1;R", "L", "L;R"}
_INDICES = {"P", "P;R", "P;1", "P;1R", "P;2", "P;2R", "P;2L", "P;4", "P;4R", "P;4L"}
_DEEP = {"I", "I;12"} | {f"I;{bits}{order}" for bits in (16, 32) for order in ("", "B", "L", "N", "R", "S", "BS", "NS")}
_EXACT = _BITS | _INDICES | _DEEP
_INVERTED = {"1;I", "1;IR", "L;I", "L;IR", "L;2I", "L;2IR", "L;4I", "L;4IR"}
_CODECS = ("raw", "zip", "libtiff", "bmp_rle", "tga_rle", "pcx")  # which give the numbers as they are
_LOSSY = ("jpeg", "tiff_jpeg", "webp")  # inside a TIFF
_SAMPLE_FORMAT, _SIGNED = 339, (2,)  # a tag of TIFF, and its value for numbers with a sign


def scale_of_labels(image: Image.Image) -> int:
    """What Pillow multiplies the numbers of a file by. Asked before its pixels are loaded.

    Raises:
        ValueError: For files that do not hold one exact number for each pixel, or in a way that is not known here.
    """
    if image.format in ("JPEG", "MPO") or image.info.get("compression") in _LOSSY:
        raise ValueError("it is a JPEG, which changes the labels of a mask as it is compressed; expected a PNG, say")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise ValueError(f"it holds {image.mode!r} and is read as a mask; expected one whole number for each pixel")
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "L" and tags.get(_SAMPLE_FORMAT) == _SIGNED:
        raise ValueError(
            "it holds numbers of 8 bits with a sign, of which Pillow drops the sign; expected labels from 0"
        )
    stored = {_stored(tile) for tile in getattr(image, "tile", ())}
    if stored & _INVERTED:
        raise ValueError(
            "its numbers are stored with 0 for white, and readers differ in whether they turn them round; expected 0 "
            "for black. Save it as a PNG, and look at its labels"
        )
    if len(stored) != 1 or not stored <= _EXACT | set(_SPREAD):
        raise ValueError(
            f"it is a {image.format} that stores its numbers as {sorted(stored)}, of which it is not known that Pillow "
            "keeps them; expected a PNG, say"
        )
    return _SPREAD.get(stored.pop(), 1)


def _stored(tile: Any) -> str:
    """The raw mode of a part of a picture; of what is not known the name of its codec."""
    codec, args = tile[0], tile[3]
    if codec == "gif":  # indices always
        return "P"
    if codec in ("ppm", "ppm_plain") and args[1:] in ((255,), (65535,)):  # others are spread over one of these
        return str(args[0])
    if codec not in _CODECS:
        return str(codec)
    return str(args if isinstance(args, str) else args[0])


def labels_image(image: Image.Image, dtype: np.dtype, scale: int) -> Image.Image:
    """The numbers of a loaded mask, of a palette the indices; in 8 bits or in 32.

    Args:
        scale: Of `scale_of_labels`.
    """
    labels = np.asarray(image)
    labels = labels if scale == 1 else labels // np.uint8(scale)
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most > np.iinfo(dtype).max:
        remedy = "; pass dtype='uint16'" if least >= 0 and most <= np.iinfo(np.uint16).max else ""
        raise ValueError(f"it holds labels from {least} to {most}; expected those of {dtype}{remedy}")
    return Image.fromarray(labels.astype(np.uint8 if dtype == np.uint8 else np.int32))
