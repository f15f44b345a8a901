"""What XLA makes of a batch for a described GPU, read by bench/gpu_structure.py; no GPU is needed, CUDA wheels are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "bench" / "gpu_structure.py"
# Statements of PTX for each value, and kernels: what is so now (see bench/RESULTS.md), and a tenth more statements, but
# no more than 100 where there are fewer now.
BOUNDS = {
    "W2:256:batch": (97, 17),
    "W2:32:batch": (98, 18),
    "W2:256:scan": (98, 7),
    "W2:256:stream": (97, 4),
    "W2:256:sharded": (98, 15),
    "W2:256:host": (80, 12),
    "W1:1024:batch": (97, 19),
    "W1:128:batch": (100, 16),
    "W1:128:host": (85, 11),
    "W1:128:stream": (100, 2),
    "W1:128:sharded": (174, 15),
    "W3:128:batch": (87, 12),
    "W3c:32:batch": (173, 15),  # one kernel rounds the draws, which a scan makes in a program before
    "W4s:128:batch": (20, 4),
    "W4l:256:batch": (24, 4),
    "W4l:256:stream": (27, 1),
    "W4l:256:scan": (13, 4),
    "W4l:256:sharded": (24, 4),
    "W2/grey:256:batch": (82, 17),
    "W2/rgba:256:batch": (48, 17),
    "W2/bfloat16:256:batch": (98, 17),
    "W2/uint8:256:batch": (100, 17),
    "W2/order0:256:batch": (47, 17),
    "W2/constant:256:batch": (100, 17),
    "W2/reflect:256:batch": (100, 17),
    "W2/mirror:256:batch": (100, 17),
}


@pytest.fixture(scope="module")
def measured():
    """The figures of each program, compiled in one process with a compiler for GPUs."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, str(SCRIPT), "--json", "--programs", *BOUNDS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr[-3000:], pytrace=False)  # where the wheels cannot be had, that says so
    return {f"{one['load']}:{one['batch']}:{one['way']}": one for one in json.loads(done.stdout)}


@pytest.mark.gpu_structure
@pytest.mark.timeout(1800)  # the wheels are fetched, and each program takes some ten seconds
@pytest.mark.parametrize("program", BOUNDS)
def test_a_batch_is_one_kernel_that_makes_nothing_anew_for_every_pixel(measured, program):
    """Order, draws and matrices stand in small kernels; pixels are read where they are stored, and written once."""
    found, (statements, kernels) = measured[program], BOUNDS[program]
    assert found["picture_sized"] == 1, found["pictures"]
    assert found["hashing"] == 0, found["pictures"]
    assert found["statements"] <= statements
    assert found["kernels"] <= kernels
    if program.startswith("W2") and ":256:" in program:  # what each row and each column of an image adds, and no more
        assert found["temporaries"] < 1.2 * 256 * (224 + 224) * 2 * 4
