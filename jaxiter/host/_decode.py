"""One picture of a file as an array, by Pillow."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from .._ragged import MOST_SIDE
from .._words import PictureMode, ResizeMode
from ._mask_labels import labels_image, scale_of_labels

MODES = {"L": 1, "RGB": 3, "RGBA": 4, "mask": 1}  # channels of each
RESIZES = ("squash", "crop", "pad")
_SCALE_OF_BYTES = 257  # 255 becomes 65,535
# What Pillow's own reader of EXIF raises for blocks that are broken; such a picture has no orientation.
_BROKEN_EXIF = (SyntaxError, struct.error, KeyError, TypeError, ValueError, ZeroDivisionError, OSError)

File = str | bytes  # a path; or what stands in a file
Box = tuple[float, float, float, float]  # left, top, right, bottom
Size = tuple[int, int]  # (height, width)


class DecodeSettings(NamedTuple):
    """How pictures are brought to arrays."""

    mode: PictureMode
    dtype: np.dtype
    size: Size | None  # None: each keeps its own
    resize: ResizeMode

    @property
    def is_mask(self) -> bool:
        """Whether the numbers are labels, of which none may be mixed or scaled."""
        return self.mode == "mask"

    @property
    def filter(self) -> Image.Resampling:
        return Image.Resampling.NEAREST if self.is_mask else Image.Resampling.BILINEAR


class _Turn(NamedTuple):
    """What an EXIF orientation asks for, and which edges of the stored picture come first then."""

    method: Transpose
    right_first: bool
    bottom_first: bool

    @property
    def swaps(self) -> bool:
        return self.method in (Transpose.TRANSPOSE, Transpose.TRANSVERSE, Transpose.ROTATE_90, Transpose.ROTATE_270)


_TURNS = {
    2: _Turn(Transpose.FLIP_LEFT_RIGHT, True, False),
    3: _Turn(Transpose.ROTATE_180, True, True),
    4: _Turn(Transpose.FLIP_TOP_BOTTOM, False, True),
    5: _Turn(Transpose.TRANSPOSE, False, False),
    6: _Turn(Transpose.ROTATE_270, False, True),
    7: _Turn(Transpose.TRANSVERSE, True, True),
    8: _Turn(Transpose.ROTATE_90, True, False),
}


class _Opened(NamedTuple):
    """A decoded picture, the right way up."""

    image: Image.Image
    box: Box  # the picture in it: the last row and column of a reduced JPEG may be a part of a pixel
    source: Size  # of the picture before it was reduced


def decode_file(file: File, settings: DecodeSettings, shorter_side: int | None = None) -> tuple[np.ndarray, Size]:
    """The picture, (height, width, channels), and the (height, width) that its file has, the right way up.

    Args:
        shorter_side: What the shorter side is brought to where it is longer; only without `settings.size`.

    Raises:
        Exception: Whatever Pillow raises, and ValueError for pictures that these settings cannot take.
    """
    # All readers first, the common ones in front: a thread that looks a format up while another one registers the rare
    # ones finds neither, and takes a TIFF for no picture. Later calls return at once.
    Image.preinit()
    Image.init()
    with opened_file(file) as opened:
        image = Image.open(opened)
        scale = 1
        if settings.is_mask:
            scale = scale_of_labels(image)
        elif settings.dtype == np.uint16:
            _check_depth(image)
        found = _upright(image, settings, shorter_side)
        converted = _converted(found.image, settings, scale)
    if settings.size is not None:
        converted = _resized(converted, found, settings.size, settings)
    elif (size := _reduced_size(found.source, shorter_side)) != found.source:
        converted = converted.resize(size[::-1], settings.filter, box=found.box)
    array = np.asarray(converted)
    if settings.dtype == np.uint16:
        array = _as_uint16(array)
    return array if array.ndim == 3 else array[..., None], found.source


def opened_file(file: File) -> BinaryIO:
    # Pillow would map a file that it opens itself by its path, and die where that shrinks.
    return io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb")


def _upright(image: Image.Image, settings: DecodeSettings, shorter_side: int | None) -> _Opened:
    """Decodes the pixels; a JPEG at the smallest scale, of 1, 1/2, 1/4 and 1/8, that is still large enough."""
    is_jpeg = image.format in ("JPEG", "MPO")
    if not is_jpeg:  # of a PNG the orientation may stand behind the pixels; a TIFF is turned as it is loaded
        image.load()
    turn = _TURNS.get(_orientation(image))
    size = image.size if turn is None or not turn.swaps else image.size[::-1]
    source = (size[1], size[0])
    _check_sides(source, settings, shorter_side)
    box: Box = (0, 0, *image.size)
    needed = _needed(source, settings, shorter_side)
    if is_jpeg and needed is not None:
        drafted = image.draft(None, needed if turn is not None and turn.swaps else needed[::-1])
        box = box if drafted is None else drafted[1]
    image.load()
    if turn is not None:
        box = _turned_box(box, image.size, turn)
        image = image.transpose(turn.method)
    return _Opened(image, box, source)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except _BROKEN_EXIF:
        return 1


def _turned_box(box: Box, size: tuple[int, int], turn: _Turn) -> Box:
    """Where `box` of a stored picture of `size`, (width, height), lies once it is turned."""
    left = size[0] - box[2] if turn.right_first else box[0]
    top = size[1] - box[3] if turn.bottom_first else box[1]
    width, height = box[2] - box[0], box[3] - box[1]
    return (top, left, top + height, left + width) if turn.swaps else (left, top, left + width, top + height)


def _check_sides(source: Size, settings: DecodeSettings, shorter_side: int | None) -> None:
    height, width = _reduced_size(source, shorter_side)
    if settings.size is None and max(height, width) > MOST_SIDE:
        raise ValueError(
            f"it is {height} by {width} pixels; expected sides of at most {MOST_SIDE:,} without size=(height, width)"
        )


def _needed(source: Size, settings: DecodeSettings, shorter_side: int | None) -> Size | None:
    """The least size from which the result can be made without enlarging; None: the whole picture."""
    if settings.size is None:
        return None if shorter_side is None else _reduced_size(source, shorter_side)
    return _contained(source, settings.size) if settings.resize == "pad" else settings.size


def _reduced_size(source: Size, shorter_side: int | None) -> Size:
    """`source` in the same ratio with a shorter side of at most `shorter_side`; never larger."""
    shorter = min(source)
    if shorter_side is None or shorter <= shorter_side:
        return source
    height, width = ((side * shorter_side + shorter // 2) // shorter for side in source)
    return height, width


def _converted(image: Image.Image, settings: DecodeSettings, scale: int) -> Image.Image:
    """The picture in its mode, or its labels; of 16 bits as 32-bit integers, which every release of Pillow resizes."""
    if settings.is_mask:
        return labels_image(image, settings.dtype, scale)
    mode = image.mode
    if mode == "F":
        raise ValueError("it holds floating-point numbers; expected whole ones of 8 or 16 bits")
    if mode.startswith("I"):
        if settings.dtype != np.uint16:
            raise ValueError("it holds more than 8 bits for a pixel; pass mode='L', dtype='uint16' to keep them")
        deep = image.convert("I")
        _check_range(deep)
        return deep
    if settings.mode != "RGBA":
        image.info.pop("transparency", None)  # alpha is dropped; Pillow would warn of some palettes
    return image if mode == settings.mode else image.convert(settings.mode)


def _check_depth(image: Image.Image) -> None:
    """Raises for 16 bits of several channels, before Pillow decodes them to 8."""
    stored = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if ";16" in stored and not image.mode.startswith("I"):
        raise ValueError(
            "it holds channels of 16 bits, of which Pillow reads the upper 8; expected one channel, as only grey "
            "pictures keep 16. Convert it first, or pass dtype='uint8'"
        )


def _check_range(image: Image.Image) -> None:
    """Raises for numbers that 16 bits do not hold, before they are averaged with others to ones that fit."""
    numbers = np.asarray(image)
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most > np.iinfo(np.uint16).max:
        raise ValueError(f"it holds numbers from {least} to {most}; expected those of 16 bits, 0 to 65,535")


def _as_uint16(array: np.ndarray) -> np.ndarray:
    """16 bits as they are; of 8 bits on the scale of 16."""
    if array.dtype == np.uint8:
        return array.astype(np.uint16) * np.uint16(_SCALE_OF_BYTES)
    return array.astype(np.uint16)


def _resized(image: Image.Image, found: _Opened, size: Size, settings: DecodeSettings) -> Image.Image:
    """As Pillow's `resize`, `ImageOps.fit` and `ImageOps.pad` of the whole picture."""
    (height, width), resize = size, settings.resize
    if resize == "squash":
        return image.resize((width, height), settings.filter, box=found.box)
    if resize == "crop":
        return image.resize((width, height), settings.filter, box=_central(found, size))
    inner_height, inner_width = _contained(found.source, size)
    inner = image.resize((inner_width, inner_height), settings.filter, box=found.box)
    if (inner_height, inner_width) == size:
        return inner
    padded = Image.new(image.mode, (width, height))
    padded.paste(inner, (round((width - inner_width) * 0.5), round((height - inner_height) * 0.5)))
    return padded


def _central(found: _Opened, size: Size) -> Box:
    """The largest central part of the ratio of `size`, in pixels of the decoded picture."""
    (height, width), (source_height, source_width) = size, found.source
    ratio, own = width / height, source_width / source_height
    crop_width = ratio * source_height if own > ratio else source_width
    crop_height = source_width / ratio if own < ratio else source_height
    left, top, right, bottom = found.box
    across, down = (right - left) / source_width, (bottom - top) / source_height
    first_x, first_y = (source_width - crop_width) * 0.5, (source_height - crop_height) * 0.5
    return (
        left + first_x * across,
        top + first_y * down,
        min(right, left + (first_x + crop_width) * across),
        min(bottom, top + (first_y + crop_height) * down),
    )


def _contained(source: Size, size: Size) -> Size:
    """The largest size in the ratio of `source` that `size` holds; as Pillow rounds it."""
    (height, width), (source_height, source_width) = size, source
    own, ratio = source_width / source_height, width / height
    if own > ratio:
        return max(1, min(height, round(source_height / source_width * width))), width
    return height, max(1, min(width, round(own * height)))
