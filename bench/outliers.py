"""Crops of pictures of different sizes of which a few are much larger: some at a time, and as if all were as large.

python bench/outliers.py
"""

from __future__ import annotations

import time
from statistics import mean, median

import jax
import numpy as np

from jaxiter import Affine, Chain, Loader, Normalize, Ragged, RandomResizedCrop

USUAL, BATCH_SIZE, ROUNDS = 256, 32, 2
LARGE = [(3000, 4000), (400, 2500), (2000, 300)]
AUGMENT = Chain(RandomResizedCrop(224), Affine(horizontal_flip=True), Normalize(128.0, 64.0))


def pictures(large: list[tuple[int, int]]) -> Ragged:
    random = np.random.default_rng(0)
    sizes = [*zip(random.integers(300, 376, USUAL).tolist(), random.integers(400, 501, USUAL).tolist(), strict=True)]
    counts = np.array([height * width for height, width in [*sizes, *large]])
    pixels = random.integers(0, 256, (counts.sum(), 3), np.uint8)
    return Ragged(pixels, np.cumsum(counts) - counts, [*sizes, *large])


def measure(name: str, images: Ragged) -> None:
    """CPU time an image, over whole epochs."""
    loader = Loader((images,), batch_size=BATCH_SIZE, augment=(AUGMENT,)).to_device()
    key, times = jax.random.key(0), []
    jax.block_until_ready(loader.batch(key, 0, 0))
    for epoch in range(ROUNDS):
        for step in range(len(loader)):
            start = time.process_time()
            jax.block_until_ready(loader.batch(key, epoch, step))
            times.append(1000 * (time.process_time() - start) / BATCH_SIZE)
    print(f"{name}: {median(times):.2f} ms an image, median of batches; {mean(times):.2f} on average")


def main() -> None:
    measure("all of 300 x 400 to 375 x 500", pictures([]))
    mixed = pictures(LARGE)
    measure("with three of up to 3000 x 4000", mixed)
    children, extent = mixed.tree_flatten()
    measure("the same, as if all were as large", Ragged.tree_unflatten(extent._replace(levels=()), children))


if __name__ == "__main__":
    main()
