"""The picture of the README: photographs above what jaxiter makes of them.

The calls that made it are those of `ROWS`, each at the first epoch of `jax.random.key(0)`.
"""

from __future__ import annotations

import jax
from _gallery_drawing import FONT_SIZE, GAP, INK, PAPER, marked
from _gallery_photos import HEIGHT, WIDTH, examples
from _gallery_run import KEY_SOURCE, value_of
from PIL import Image, ImageDraw, ImageFont

import jaxiter as jx

NAMES = ("astronaut", "cat", "coffee", "rocket")  # in the public domain or CC0, all four
TILE_WIDTH, HEAD = 296, 34
TILE_HEIGHT = round(TILE_WIDTH * HEIGHT / WIDTH)
CROP = f"jx.RandomResizedCrop(({TILE_HEIGHT}, {TILE_WIDTH}), scale=(0.3, 0.8))"

# What stands above a row, and the source of its transforms, by leaf.
ROWS = {
    "RandomResizedCrop, Affine, ColorJitter": (
        f'{{"image": jx.Chain({CROP}, jx.Affine(horizontal_flip=True, rotation=15), '
        "jx.ColorJitter(0.3, 0.3, 0.4, 0.1))}"
    ),
    "RandAugment, three operations": '{"image": jx.RandAugment(num_ops=3, magnitude=9)}',
    "Affine, with Mask, Boxes and Points": (
        '{"image": jx.Affine(rotation=25, shift=0.1, zoom=0.2, horizontal_flip=True), '
        '"mask": jx.Mask("image", cval=0), "boxes": jx.Boxes("image"), "points": jx.Points("image")}'
    ),
}
CAPTION = "Photographs, and below them what one epoch makes of each: " + "; ".join(
    f"`{source}`" for source in ROWS.values()
)


def readme_picture() -> Image.Image:
    data = examples(NAMES, TILE_WIDTH)
    rows = [[Image.fromarray(image) for image in data["image"]]]
    for source in ROWS.values():
        augment = value_of(source, {"jx": jx})
        leaves = {name: leaf for name, leaf in data.items() if name in augment}
        loader = jx.Loader(leaves, batch_size=len(NAMES), augment=augment, shuffle=False)
        batch = jax.device_get(loader.batch(value_of(KEY_SOURCE, {"jax": jax}), 0, 0))
        rows.append([marked(jax.tree.map(lambda leaf, row=row: leaf[row], batch)) for row in range(len(NAMES))])
    return _below_each_other(["Photographs", *ROWS], rows)


def _below_each_other(titles: list[str], rows: list[list[Image.Image]]) -> Image.Image:
    """Rows of pictures, each below its title."""
    width = len(NAMES) * (TILE_WIDTH + GAP) + GAP
    canvas = Image.new("RGB", (width, len(rows) * (HEAD + TILE_HEIGHT) + GAP), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT_SIZE)
    for line, (title, pictures) in enumerate(zip(titles, rows, strict=True)):
        top = line * (HEAD + TILE_HEIGHT)
        draw.text((GAP, top + HEAD // 2), title, INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            canvas.paste(picture, (GAP + column * (TILE_WIDTH + GAP), top + HEAD))
    return canvas
