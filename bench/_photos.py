"""A folder of JPEGs as large as those of ImageNet, made of the photographs that scikit-learn and scikit-image bring."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

QUALITY, NUM_CLASSES = 90, 10
HEIGHT, WIDTH = 375, 500  # about; a third of the pictures stands upright
NAMES = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "retina", "hubble_deep_field", "ihc")


def photographs() -> list[Image.Image]:
    from sklearn.datasets import load_sample_images

    found = [Image.fromarray(image) for image in load_sample_images().images]
    try:
        from skimage import data
    except ImportError:
        return found
    folder = Path(data.__file__).parent
    paths = [path for name in NAMES for path in sorted(folder.glob(f"{name}.*")) if path.suffix in (".png", ".jpg")]
    return found + [Image.open(path).convert("RGB") for path in paths]


def write_photos(folder: Path, count: int) -> None:
    """Patches of the photographs, blown up, in a folder for each class; once, as they are always the same."""
    if folder.is_dir():
        return
    unfinished = folder.with_name("unfinished")
    for number in range(NUM_CLASSES):
        (unfinished / f"class {number}").mkdir(parents=True, exist_ok=True)
    sources = photographs()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda number: write_photo(sources, unfinished, number), range(count)))
    unfinished.rename(folder)


def write_photo(sources: Sequence[Image.Image], folder: Path, number: int) -> None:
    random = np.random.default_rng(number)
    source = sources[number % len(sources)]
    width, height = (round(side * random.uniform(0.85, 1.15)) for side in (WIDTH, HEIGHT))
    if random.random() < 1 / 3:
        width, height = height, width
    scale = random.uniform(0.5, 1.0) * min(source.width / width, source.height / height)
    left, top = (
        random.uniform(0, whole - scale * part) for whole, part in ((source.width, width), (source.height, height))
    )
    box = (left, top, left + scale * width, top + scale * height)
    patch = source.resize((width, height), Image.Resampling.BICUBIC, box=box)
    patch.save(folder / f"class {number % NUM_CLASSES}" / f"{number:05}.jpg", quality=QUALITY)
