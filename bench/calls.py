"""How much of jaxiter's own Python runs for one warm batch?

    PYTHONPATH=. python bench/calls.py

Counts the calls of functions that are defined in the package, in the calling thread, with `sys.setprofile`: the
median of the second to the tenth batch of 32 images with labels. What JAX and NumPy call among themselves does not
count.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from _loads import AFFINE, KEY, Load
from _timing import markdown

import jaxiter
from jaxiter import Loader, stream
from jaxiter.keras import ImageDataGenerator

PACKAGE = str(Path(jaxiter.__file__).parent) + os.sep
LOAD = Load("", 640, 32, 32, AFFINE)


def calls(function: Callable[[], Any]) -> int:
    """Of functions defined in jaxiter, generators that go on among them."""
    found = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        found += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(note)
    try:
        made = function()
    finally:
        sys.setprofile(None)
    jax.block_until_ready(made)
    return found


def measure(images: np.ndarray, mapped: np.ndarray) -> dict[str, list[int]]:
    """For each way to a batch the counts of ten batches, one after the other."""
    labels = np.arange(len(images))
    sources = {"NumPy": images, "on the device": jnp.asarray(images), "memmap": mapped}
    loaders = {
        name: Loader((data, labels), batch_size=LOAD.batch_size, augment=(LOAD.augment, None))
        for name, data in sources.items()
    }
    flow = ImageDataGenerator(**LOAD.keras_arguments).flow(images, labels, batch_size=LOAD.batch_size, seed=0)
    found = {f"Loader.batch, {name}": ten(partial(loader.batch, KEY, 0)) for name, loader in loaders.items()}
    found["NumpyArrayIterator[i]"] = ten(flow.__getitem__)
    for name, loader in loaders.items():
        with stream(loader, KEY) as batches:
            found[f"next(stream), {name}"] = ten(lambda _, batches=batches: next(batches))
    return found


def ten(function: Callable[[int], Any]) -> list[int]:
    return [calls(partial(function, step)) for step in range(10)]


def main() -> None:
    images = LOAD.images()
    with tempfile.TemporaryDirectory() as folder:
        mapped = np.memmap(Path(folder, "images"), images.dtype, "w+", shape=images.shape)
        mapped[:] = images
        counts = measure(images, mapped)
    rows = [["calls of jaxiter's functions", "median", "second to tenth batch", "first batch"]]
    for name, found in counts.items():
        span = f"{min(found[1:])} to {max(found[1:])}"
        rows.append([name, f"{statistics.median(found[1:]):.0f}", span, str(found[0])])
    print(markdown(rows))


if __name__ == "__main__":
    main()
