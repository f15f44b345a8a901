"""What the resident set of a process grows by, each case in a process of its own."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _contestants import AUGMENT, KERAS_ARGUMENTS, LegacyGenerator, WorkLoad, by_batch, by_keras
from _timing import markdown

from jaxiter import Loader

ON_DEVICE, ON_HOST, KERAS = "jaxiter, to_device()", "jaxiter, host NumPy", "Keras flow"
CASES = (ON_DEVICE, ON_HOST, KERAS)
LOADS = [WorkLoad("small", 10_000, 32, 32), WorkLoad("large", 2_000, 224, 32)]
NOTE = (
    f"A process for each case, after a warm-up on 64 images that makes the compiler's own memory; small is "
    f"{LOADS[0].num_examples:,} x 32x32x3 and large {LOADS[1].num_examples:,} x 224x224x3 uint8. Held: the growth of "
    "the resident set once the array, the loader and 8 batches are there (on the device, the NumPy array that was "
    "uploaded is gone again). It is the array and a part that does not grow with it: batches of 0.4 MB (small) and "
    "19 MB (large) and, on the device, the program for this number of examples. Peak: the most on the way there."
)


def measure(case: str, load: WorkLoad) -> dict[str, int]:
    """Bytes by which the resident set grew, with everything alive that batches are made from."""
    kept = _first_batches(case, load._replace(num_examples=64))
    del kept
    gc.collect()
    before = _resident_bytes("VmRSS")
    kept = _first_batches(case, load)
    gc.collect()
    array = load.num_examples * load.side**2 * 3
    peak = max(0, _resident_bytes("VmHWM") - before)
    return {"array": array, "held": _resident_bytes("VmRSS") - before, "peak": peak} if kept else {}


def _first_batches(case: str, load: WorkLoad) -> Any:
    images = load.images()
    if case == KERAS:
        call = by_keras(LegacyGenerator(**KERAS_ARGUMENTS), images, load.batch_size)
    else:
        loader = Loader(images, batch_size=load.batch_size, augment=AUGMENT)
        call = by_batch(loader if case == ON_HOST else loader.to_device())
    if case != ON_HOST:
        del images
    for _ in range(min(8, load.num_examples // load.batch_size)):
        assert np.asarray(jax.block_until_ready(call())).std() > 0.1
    return call


def _resident_bytes(field: str) -> int:
    """VmHWM and not ru_maxrss, which a process inherits from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def memory_table(script: str) -> str:
    rows = [["", "array", "held", "held / array", "peak"]]
    for case, number in itertools.product(range(len(CASES)), range(len(LOADS))):
        command = [sys.executable, script, "--memory", str(case), str(number)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        array, held, peak = (json.loads(output)[name] for name in ("array", "held", "peak"))
        sizes = [f"{array / 1e6:,.0f} MB", f"{held / 1e6:,.0f} MB", f"{held / array:.2f}", f"{peak / 1e6:,.0f} MB"]
        rows.append([f"{CASES[case]}, {LOADS[number].name}", *sizes])
    return markdown(rows)
