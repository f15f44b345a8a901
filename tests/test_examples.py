"""The examples run as they stand, each in a process of its own, and reach what they are for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_learns_the_digits(script, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"test accuracy ([\d.]+)%", done.stdout)[1]) > 95


def test_there_is_an_example_for_every_client():
    assert [script.stem for script in EXAMPLES] == [
        "train_equinox",
        "train_flax",
        "train_flax_keras_iterator",
        "train_keras",
    ]
