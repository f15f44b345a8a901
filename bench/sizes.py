"""Pictures of a size each, one after the other: how long beside Keras, how much memory, and how many programs.

    KERAS_BACKEND=jax python bench/sizes.py [PICTURES]

Prints a table in Markdown: milliseconds of CPU for a picture, over so many (200 without PICTURES) of as many sizes
around 100 x 150 x 3. Both go over the same pictures, in turn, three times; the least counts. Nothing is made
beforehand, so that what is compiled for a size would count.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType

import jax.monitoring
import keras.src.legacy.preprocessing.image as of_keras
import numpy as np
from _timing import markdown

import jaxiter.keras as ours

RANGES = {
    **{"rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.2, "shear_range": 0.2},
    **{"zoom_range": 0.2, "horizontal_flip": True},
}
KINDS = ("flow(batch_size=1)", "random_transform", "random_rotation")
compilations: list[str] = []


def walk(keras: ModuleType, pictures: list[np.ndarray], order: int, kind: str) -> float:
    """Milliseconds of CPU for a picture."""
    generator = keras.ImageDataGenerator(**RANGES, interpolation_order=order, dtype=pictures[0].dtype.name)
    start = time.process_time()
    for picture in pictures:
        if kind == KINDS[0]:
            next(generator.flow(picture[None], batch_size=1))
        elif kind == KINDS[1]:
            generator.random_transform(picture)
        else:
            keras.random_rotation(picture, 40, 0, 1, 2, interpolation_order=order)
    return 1e3 * (time.process_time() - start) / len(pictures)


def resident() -> int:
    """Megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20


def main() -> None:
    def count_programs(event: str, *_: object, **__: object) -> None:
        if event.endswith("backend_compile_duration"):
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(count_programs)
    count, rows, memory = int(sys.argv[1]) if len(sys.argv) > 1 else 200, [], []
    random = np.random.default_rng(0)
    sizes = [(75 + i % 50, 125 + i // 50, 3) for i in range(count)]
    for dtype in (np.uint8, np.float32):
        pictures = [random.integers(0, 256, size).astype(dtype) for size in sizes]
        for order in range(6):
            row = [np.dtype(dtype).name, f"{order}"]
            for kind in KINDS:
                rounds = [[walk(keras, pictures, order, kind) for keras in (ours, of_keras)] for _ in range(3)]
                own, theirs = np.min(rounds, axis=0)
                row.append(f"{own:.2f} ms, {own / theirs:.2f} x Keras")
            rows.append(row)
            memory.append(resident())
    print(markdown([["dtype", "order", *KINDS], *rows]))
    print(f"\n{count} sizes, {len(compilations)} compilations. Resident after each row, in MB: {memory}.")


if __name__ == "__main__":
    main()
