"""How much does the resident set of a process grow by a loader and its batches?

    python bench/memory.py

Each case runs in a process of its own. bench/run.py prints the same table.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import numpy as np
from _loads import AFFINE, Load, by_batch, by_keras
from _timing import markdown

ON_DEVICE, ON_HOST, KERAS = "jaxiter, to_device()", "jaxiter, host NumPy", "Keras flow"
CASES = (ON_DEVICE, ON_HOST, KERAS)
LOADS = [Load("small", 10_000, 32, 32, AFFINE), Load("large", 2_000, 224, 32, AFFINE)]
NOTE = (
    f"A process for each case, after a warm-up on 64 images that makes the compiler's own memory; small is "
    f"{LOADS[0].num_examples:,} x 32x32x3 and large {LOADS[1].num_examples:,} x 224x224x3 uint8. Held: the growth of "
    "the resident set once the array, the loader and 8 batches are there (on the device, the NumPy array that was "
    "uploaded is gone again). It is the array and a part that does not grow with it: batches of 0.4 MB (small) and "
    "19 MB (large) and, on the device, the program for this number of examples. Peak: the most on the way there."
)


def measure(case: str, load: Load) -> dict[str, int]:
    """Bytes by which the resident set grew, with everything alive that batches are made from."""
    kept = first_batches(case, load._replace(num_examples=64))
    del kept
    gc.collect()
    before = resident_bytes("VmRSS")
    kept = first_batches(case, load)
    gc.collect()
    peak = max(0, resident_bytes("VmHWM") - before)
    array = load.num_examples * load.side**2 * 3
    return {"array": array, "held": resident_bytes("VmRSS") - before, "peak": peak} if kept else {}


def first_batches(case: str, load: Load) -> Callable[[], Any]:
    images = load.images()
    if case == KERAS:
        from keras.src.legacy.preprocessing.image import ImageDataGenerator

        call = by_keras(ImageDataGenerator(**load.keras_arguments), images, load.batch_size)
    else:
        call = by_batch(load.loader(images) if case == ON_HOST else load.loader(images).to_device())
    if case != ON_HOST:
        del images
    for _ in range(min(8, load.num_examples // load.batch_size)):
        assert np.asarray(jax.block_until_ready(call())).std() > 0.1
    return call


def resident_bytes(field: str) -> int:
    """VmHWM and not ru_maxrss, which a process inherits from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def table() -> str:
    rows = [["", "array", "held", "held / array", "peak"]]
    for case, load in itertools.product(CASES, LOADS):
        command = [sys.executable, __file__, case, load.name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        array, held, peak = (json.loads(output)[name] for name in ("array", "held", "peak"))
        sizes = [f"{array / 1e6:,.0f} MB", f"{held / 1e6:,.0f} MB", f"{held / array:.2f}", f"{peak / 1e6:,.0f} MB"]
        rows.append([f"{case}, {load.name}", *sizes])
    return markdown(rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], next(load for load in LOADS if load.name == sys.argv[2]))))
    else:
        print(table())
