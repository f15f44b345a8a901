"""docs/speed.png from bench/results.json: images a second over those of Keras, at four sizes.

    python bench/plot.py

`bench/run.py --write` does it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from _loads import FACE, STREAM
from _peers import KERAS
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parent / "docs" / "speed.png"
PANELS = {
    "28x28x1": "28 x 28 x 1, batches of 128",
    "W1": "32 x 32 x 3, batches of 128 (W1)",
    "96x96x3": "96 x 96 x 3, batches of 64",
    "W2": "224 x 224 x 3, batches of 32 (W2)",
}
NAMES = {
    STREAM: "jaxiter stream",
    FACE: "jaxiter.keras flow",
    "JAX map_coordinates, jit + vmap": "JAX map_coordinates",
    "OpenCV warpAffine, 2 threads": "OpenCV",
    "torch grid_sample, 2 threads": "torch grid_sample",
    "Grain with OpenCV inside, 2 threads": "Grain with OpenCV",
    "tf.data, one projective op per batch": "tf.data",
    "tf.data, one projective op per image": "tf.data",
    KERAS: "Keras",
}
SCALE = 2  # pixels of the picture for one of its units
WIDTH, PANEL, NAME, BAR, TITLE = 460, 210, 150, 14, 36
OURS, THEIRS, INK = "#1f5fa8", "#b9bec6", "#22262b"


def bars(rates: dict[str, dict[str, float]]) -> Iterator[tuple[str, float, tuple[float, float], bool]]:
    """Name, times Keras, the range of it, and whether it is ours; the fastest first."""
    keras = rates[KERAS]["median"]
    for row in sorted(rates.keys() & NAMES.keys(), key=lambda row: -rates[row]["median"]):
        median, low, high = (rates[row][key] / keras for key in ("median", "low", "high"))
        yield NAMES[row], median, (low, high), row in (STREAM, FACE)


def draw(tables: dict[str, dict[str, dict[str, float]]]) -> Image.Image:
    columns = 2
    height = PANEL * -(-len(PANELS) // columns) + TITLE
    picture = Image.new("RGB", (WIDTH * columns * SCALE, height * SCALE), "white")
    pen = ImageDraw.Draw(picture)

    def text(x: float, y: float, words: str, size: int = 11, anchor: str = "lm") -> None:
        font = ImageFont.load_default(size * SCALE)
        pen.text((x * SCALE, y * SCALE), words, fill=INK, font=font, anchor=anchor)

    text(NAME, 16, "Images a second, times those of Keras (blue: jaxiter; lines: range of the rounds)", 13)
    for place, (name, title) in enumerate(PANELS.items()):
        left, top = place % columns * WIDTH, place // columns * PANEL + TITLE + 10
        found = list(bars(tables[name]))
        unit = (WIDTH - NAME - 60) / max(high for _, _, (_, high), _ in found)
        text(left + NAME, top, title, 13)
        for number, (words, times, (low, high), is_ours) in enumerate(found):
            y = top + 22 + number * (BAR + 7)
            text(left + NAME - 8, y, words, anchor="rm")
            start, end = (left + NAME) * SCALE, (left + NAME + times * unit) * SCALE
            pen.rectangle((start, (y - BAR / 2) * SCALE, end, (y + BAR / 2) * SCALE), fill=OURS if is_ours else THEIRS)
            ends = ((left + NAME + end * unit) * SCALE for end in (low, high))
            pen.line([(x, y * SCALE) for x in ends], fill=INK, width=SCALE)
            text(left + NAME + max(times, high) * unit + 5, y, f"{times:.0f}" if times >= 10 else f"{times:.1f}")
    return picture


def main() -> None:
    draw(json.loads((HERE / "results.json").read_text())["tables"]).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
