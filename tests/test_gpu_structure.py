"""What XLA makes of a batch for a described GPU, read by bench/gpu_structure.py; no GPU is needed, CUDA wheels are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "bench" / "gpu_structure.py"
# Statements of PTX for each value: what it took when the order was made once (see bench/RESULTS.md), and a tenth.
BOUNDS = {
    "W2:256:batch": 79,
    "W2:32:batch": 92,
    "W2:256:scan": 76,
    "W2:256:sharded": 92,
    "W1:1024:batch": 85,
    "W1:128:batch": 107,
    "W1:128:host": 107,
    "W1:128:stream": 107,
    "W1:128:scan": 115,
    "W3:128:batch": 72,
    "W3c:32:batch": 164,
    "W4s:128:batch": 20,
    "W1:128:sharded": 163,
    "W4l:256:batch": 25,
    "W4l:256:stream": 25,
    "W4l:256:scan": 13,
    "W4l:256:sharded": 25,
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
def test_order_draws_and_matrices_are_not_made_anew_for_every_pixel(measured, program):
    found = measured[program]
    assert found["picture_sized"] > 0
    assert found["hashing"] == 0, found["pictures"]
    assert found["statements"] <= BOUNDS[program]
