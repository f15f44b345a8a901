"""The examples run as they stand, each in a process of its own, and reach what they are for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
pytestmark = [pytest.mark.slow, pytest.mark.extras]
TRAINING = [script for script in EXAMPLES if script.stem.startswith("train_")]
LEAST = {"train_folder": 70}  # percent of ten photos by pieces of places not seen; the others learn digits


def run(script, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=folder, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", TRAINING, ids=lambda script: script.stem)
def test_an_example_learns(script, tmp_path):
    assert float(re.search(r"test accuracy ([\d.]+)%", run(script, tmp_path))[1]) > LEAST.get(script.stem, 95)


def test_killed_twice_and_resumed_the_losses_are_the_same(tmp_path):
    said = run(EXAMPLES[0].with_name("resume.py"), tmp_path).splitlines()
    assert said[:-1] == [
        "killed in step 37",
        "resumed at epoch 1, step 2",
        "killed in step 64",
        "resumed at epoch 2, step 4",
    ]
    assert re.fullmatch(r"112 losses, from 2\.\d+ to 0\.\d+, bit-equal", said[-1])
