"""Pictures beside each other with a word below each, and masks, boxes and points drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import jaxiter as jx

SHEET_WIDTH, GAP = 880, 4
FONT_SIZE, LABEL_HEIGHT = 22, 30  # which are read on a telephone's screen, too
INK, PAPER = (30, 30, 30), (255, 255, 255)
BOX_COLOURS = ((255, 64, 64), (64, 160, 255), (255, 220, 0))
POINT_COLOUR, MASK_COLOUR = (255, 255, 255), (0, 230, 160)
MASK_SHARE = 0.33

Range = tuple[float, float]


class Tile(NamedTuple):
    picture: Image.Image
    label: str = ""


def picture_of(image: Any, range: Range = (0, 255)) -> Image.Image:
    """An image of any numbers, of which those of the range are shown; others are black or white."""
    framed = jx.image_grid(np.asarray(image)[None], scale=1, range=range)
    height, width = image.shape[:2]
    margin = (framed.width - width) // 2
    return framed.crop((margin, margin, margin + width, margin + height))


def marked(example: Mapping[str, Any]) -> Image.Image:
    """The picture of an example with what it has of a mask, boxes and points."""
    picture = picture_of(example["image"])
    if "mask" in example:
        picture = _tinted(picture, np.asarray(example["mask"]) == 1)
    draw = ImageDraw.Draw(picture)
    for number, (left, top, right, bottom) in enumerate(np.asarray(example.get("boxes", ())).tolist()):
        if left != -1:
            colour = BOX_COLOURS[number % len(BOX_COLOURS)]
            draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
    for x, y in np.asarray(example.get("points", ())).tolist():
        if (x, y) != (-1, -1):
            draw.ellipse((x - 4, y - 4, x + 3, y + 3), fill=POINT_COLOUR, outline=(0, 0, 0))
    return picture


def _tinted(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    """With colour on the mask, and its edge in full colour."""
    pixels, colour = np.asarray(picture).astype(np.float32), np.float32(MASK_COLOUR)
    tinted = pixels + np.float32(MASK_SHARE) * (colour - pixels)
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    found = np.where(mask[..., None], tinted, pixels)
    found[mask & ~inside] = colour
    return Image.fromarray(found.round().astype(np.uint8))


def sheet_of(tiles: Sequence[Tile], columns: int, width: int = SHEET_WIDTH) -> Image.Image:
    """Lines of tiles on white, each in the middle of its cell; small pictures are enlarged by whole numbers."""
    cell = (width - (columns + 1) * GAP) // columns
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    fitted = [[Tile(_fitted(tile.picture, cell), tile.label) for tile in line] for line in lines]
    heights = [max(tile.picture.height for tile in line) for line in fitted]
    label_heights = [LABEL_HEIGHT if any(tile.label for tile in line) else 0 for line in fitted]
    sheet = Image.new("RGB", (width, GAP + sum(heights) + sum(label_heights) + GAP * len(lines)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    top = GAP
    for line, height, label_height in zip(fitted, heights, label_heights, strict=True):
        for column, (picture, label) in enumerate(line):
            left = GAP + column * (cell + GAP)
            sheet.paste(picture, (left + (cell - picture.width) // 2, top + (height - picture.height) // 2))
            draw.text((left + cell // 2, top + height + label_height // 2), label, INK, font, anchor="mm")
        top += height + label_height + GAP
    return sheet


def _fitted(picture: Image.Image, cell: int) -> Image.Image:
    """Small pictures of whole squares, larger ones reduced to the cell."""
    factor = cell // picture.width
    if factor >= 2 and picture.width <= 48:
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST)
    if picture.width <= cell:
        return picture
    return picture.resize((cell, round(picture.height * cell / picture.width)), Image.Resampling.LANCZOS)
