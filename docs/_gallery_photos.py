"""The photographs of the gallery, which scikit-image and scikit-learn bring, and what stands on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

HEIGHT, WIDTH = 162, 216
PATCH, STEP = 16, 6  # of the small pictures that are whitened
FRAMES = 4
NUM_BOXES, NUM_POINTS = 3, 3

Box = tuple[float, float, float, float]

# The file, and the part of it that is shown, of one ratio: left, top, right, bottom in its pixels.
PARTS: dict[str, tuple[str, Box]] = {
    "astronaut": ("astronaut.png", (0, 0, 512, 384)),
    "cat": ("chelsea.png", (40, 0, 440, 300)),
    "coffee": ("coffee.png", (40, 0, 573, 400)),
    "rocket": ("rocket.jpg", (35, 0, 604, 427)),
    "china": ("china.jpg", (0, 0, 569, 427)),
    "flower": ("flower.jpg", (50, 0, 619, 427)),
}
NAMES = tuple(PARTS)


class Shapes(NamedTuple):
    """What stands on a photograph, in pixels of one of WIDTH x HEIGHT, set by hand."""

    boxes: Sequence[Box]
    points: Sequence[tuple[float, float]]
    outline: Sequence[tuple[float, float]] = ()  # of the mask; where it is empty the mask is a colour's


_PERSON = [
    (12, 162), (18, 130), (32, 112), (46, 100), (46, 82), (58, 68), (74, 64), (66, 46), (66, 24), (80, 9), (98, 6),
    (116, 13), (126, 30), (125, 46), (112, 56), (109, 76), (124, 84), (128, 100), (142, 112), (153, 132),
    (152, 150), (134, 162),
]  # fmt: skip
_CUP = [
    (15, 86), (18, 70), (30, 54), (54, 40), (57, 26), (68, 14), (86, 8), (102, 6), (122, 9), (138, 17), (147, 30),
    (149, 40), (164, 53), (174, 70), (178, 88), (175, 106), (166, 124), (152, 139), (134, 150), (112, 155),
    (88, 154), (64, 146), (44, 133), (27, 114), (18, 99),
]  # fmt: skip
_HEAD = [
    (10, 54), (22, 22), (34, 0), (178, 0), (184, 28), (176, 54), (176, 84), (164, 108), (146, 128), (136, 144),
    (116, 150), (90, 146), (58, 136), (32, 116), (14, 88),
]  # fmt: skip
_ROCKET = [(103, 154), (103, 80), (104, 58), (106, 50), (109, 47), (112, 50), (114, 58), (115, 80), (114, 154)]

SHAPES = {
    "astronaut": Shapes([(75, 22, 109, 78), (149, 0, 193, 121)], [(81.6, 43.3), (99.4, 43.8), (91.5, 62)], _PERSON),
    "cat": Shapes([(51, 46, 94, 80), (137, 60, 164, 90)], [(71.5, 61), (150, 74.5), (119, 128)], _HEAD),
    "coffee": Shapes([(54, 6, 150, 116), (116, 94, 150, 134)], [(72, 106), (153, 29)], _CUP),
    "rocket": Shapes([(101, 46, 117, 155)], [(109, 48)], _ROCKET),
    "china": Shapes([(24, 10, 135, 156)], [(77.5, 11)], [(24, 10), (135, 10), (135, 156), (24, 156)]),
    "flower": Shapes([(45, 32, 151, 136)], [(97, 84)]),
}


def _path_of(file: str) -> Path:
    if file in ("china.jpg", "flower.jpg"):
        from sklearn import datasets

        return Path(datasets.__file__).parent / "images" / file
    from skimage import data

    return Path(data.__file__).parent / file


@cache
def photograph(name: str, width: int = WIDTH, part: Box | None = None) -> np.ndarray:
    """A photograph, or another part of its file, (height, width, 3) bytes."""
    file, whole = PARTS[name]
    size = (width, round(width * HEIGHT / WIDTH))
    with Image.open(_path_of(file)) as image:
        smaller = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=part or whole)
    return np.asarray(smaller)


def photographs(names: Sequence[str] = NAMES, width: int = WIDTH) -> np.ndarray:
    return np.stack([photograph(name, width) for name in names])


def patches() -> np.ndarray:
    """All small squares of the photographs, (n, PATCH, PATCH, 3); those of one photograph follow each other."""
    windows = np.lib.stride_tricks.sliding_window_view(photographs(), (PATCH, PATCH), axis=(1, 2))
    return np.moveaxis(windows[:, ::STEP, ::STEP], 3, -1).reshape(-1, PATCH, PATCH, 3)


def clip() -> np.ndarray:
    """Frames of a camera that moves over a photograph, (FRAMES, height, width, 3)."""
    lefts = np.linspace(0, 170, FRAMES)
    return np.stack([photograph("china", WIDTH, (left, 60, left + 469, 411.75)) for left in lefts.tolist()])


def mask_of(name: str, width: int = WIDTH) -> np.ndarray:
    """1 on the thing itself, else 0: what the outline holds, or what is orange."""
    outline, scale = SHAPES[name].outline, width / WIDTH
    if outline:
        canvas = Image.new("L", (width, round(width * HEIGHT / WIDTH)))
        ImageDraw.Draw(canvas).polygon([(x * scale, y * scale) for x, y in outline], fill=1)
        return np.asarray(canvas)
    red, _, blue = np.moveaxis(photograph(name, width).astype(int), -1, 0)
    is_orange = (red > 90) & (red - blue > 40)
    return is_orange.astype(np.uint8)


def _filled(rows: Sequence[Sequence[float]], count: int, scale: float) -> np.ndarray:
    """So many rows; those that are missing are -1."""
    numbers = np.array(rows, np.float32) * np.float32(scale)
    return np.pad(numbers, ((0, count - len(rows)), (0, 0)), constant_values=-1)


def examples(names: Sequence[str], width: int = WIDTH) -> dict[str, np.ndarray]:
    """Data for a loader: photographs, and their masks, boxes and points."""
    scale = width / WIDTH
    return {
        "image": photographs(names, width),
        "mask": np.stack([mask_of(name, width) for name in names]),
        "boxes": np.stack([_filled(SHAPES[name].boxes, NUM_BOXES, scale) for name in names]),
        "points": np.stack([_filled(SHAPES[name].points, NUM_POINTS, scale) for name in names]),
    }
