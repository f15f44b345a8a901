"""The examples run as they stand, each in a process of its own, and reach what they are for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
pytestmark = [pytest.mark.slow, pytest.mark.extras]
TRAINING = [script for script in EXAMPLES if script.stem.startswith("train_")]
# Percent. Three tell ten photos by pieces of places not seen, one finds coins; the others learn digits.
LEAST = {"train_folder": 70, "train_seeds": 65, "train_views": 64, "train_masks": 90}


def run(script, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},  # as users have it
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_seeds(said):
    """Seeds differ, and one alone comes to what it does among others."""
    alone = float(re.search(r"accuracy ([\d.]+)%", said)[1])
    each = [float(share) for share in re.findall(r"([\d.]+)%", re.search(r"accuracy of each: (.*)", said)[1])]
    assert len(each) == 8
    assert len(set(each)) > 4
    assert abs(each[0] - alone) < 1


def check_views(said):
    """Better than the same networks before training, and than pixels; the loss says that the two views differ.

    The accuracy does not: two equal views reach nearly as much, with a loss of 1.6 and not of 3.3.
    """
    last_losses = [float(loss) for loss in re.findall(r"to ([\d.]+)$", said, re.MULTILINE)]
    assert len(last_losses) == 3
    assert all(2.5 < loss < 4 for loss in last_losses)
    raw, before, after = (float(share) for share in re.findall(r"(?:pixels|network|accuracy) ([\d.]+)%", said))
    assert raw < before < after - 2


CHECKS = {"train_seeds": check_seeds, "train_views": check_views}


@pytest.mark.parametrize("script", TRAINING, ids=lambda script: script.stem)
def test_an_example_learns(script, tmp_path):
    said = run(script, tmp_path)
    assert float(re.search(r"test (?:accuracy|IoU) ([\d.]+)%", said)[1]) > LEAST.get(script.stem, 95)
    CHECKS.get(script.stem, str)(said)


def test_a_folder_of_your_own_is_what_train_folder_trains_on(tmp_path):
    """Two colours. Those of `test/` lie in each other's folder: who tests on `train/` is right there."""
    random = np.random.default_rng(0)
    red, blue = (200, 60, 60), (60, 60, 200)
    for part, count, colours in (("train", 12, (red, blue)), ("test", 3, (blue, red))):
        for name, colour in zip(("red", "blue"), colours, strict=True):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.normal(colour, 10, (110 + number, 140 - number, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    said = run(EXAMPLES[0].with_name("train_folder.py"), tmp_path, str(tmp_path))
    assert said.startswith("Ragged(24 pictures ")
    assert " of blue, red\n" in said
    assert float(re.search(r"test accuracy ([\d.]+)%", said)[1]) == 0


def test_killed_twice_and_resumed_the_losses_are_the_same(tmp_path):
    said = run(EXAMPLES[0].with_name("resume.py"), tmp_path).splitlines()
    assert said[:-1] == [
        "killed in step 37",
        "resumed at epoch 1, step 2",
        "killed in step 64",
        "resumed at epoch 2, step 4",
    ]
    assert re.fullmatch(r"112 losses, from 2\.\d+ to 0\.\d+, bit-equal", said[-1])
