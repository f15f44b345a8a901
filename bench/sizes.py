"""Pictures of a size each, one after the other: how long beside Keras, how much memory, and how many programs.

    KERAS_BACKEND=jax python bench/sizes.py [PICTURES]

Prints a table in Markdown. Each figure is of the whole walk over so many pictures (200 without PICTURES) of as many
sizes around 100 x 150 x 3, uint8 or float32, with nothing made beforehand: what would be compiled counts.
"""

from __future__ import annotations

import resource
import sys
import time
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
compilations: list[str] = []


def walk(keras: ModuleType, pictures: list[np.ndarray], order: int, kind: str) -> float:
    """Seconds for all pictures."""
    generator = keras.ImageDataGenerator(**RANGES, interpolation_order=order, dtype=pictures[0].dtype.name)
    start = time.perf_counter()
    for picture in pictures:
        if kind == "flow":
            next(generator.flow(picture[None], batch_size=1))
        elif kind == "random_transform":
            generator.random_transform(picture)
        else:
            keras.random_rotation(picture, 40, 0, 1, 2, interpolation_order=order)
    return time.perf_counter() - start


def main() -> None:
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compilations.append(event) if event.endswith("backend_compile_duration") else None
    )
    count, rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200, []
    random = np.random.default_rng(0)
    sizes = [(100 + i % 50 - 25, 150 + i // 50 - 2 + i % 7, 3) for i in range(count)]
    memory: list[int] = []
    for dtype in (np.uint8, np.float32):
        pictures = [random.integers(0, 256, size).astype(dtype) for size in sizes]
        for order in range(6):
            row = [np.dtype(dtype).name, f"{order}"]
            for kind in ("flow", "random_transform", "random_rotation"):
                theirs, own = (min(walk(keras, pictures, order, kind) for _ in range(2)) for keras in (of_keras, ours))
                row.append(f"{1e3 * own / count:.2f} ms, {own / theirs:.2f} x Keras")
            rows.append(row)
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(markdown([["dtype", "order", "flow, batch_size=1", "random_transform", "random_rotation"], *rows]))
    print(f"\n{len(compilations)} compilations; the peak of the resident memory grew by", end=" ")
    print(f"{(memory[5] - memory[0]) / 1024:.1f} MB from order 0 to 5 of the first dtype.")


if __name__ == "__main__":
    main()
