"""The built pages, by the command that the README gives, and files of them as trees."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMAND = "-m sphinx -q -W --keep-going docs build/site"


@pytest.fixture(scope="session")
def site():
    """The folder of the pages. A broken link, an unknown name or a missing picture is an error of the build.

    Sphinx keeps pages that did not change: remove the folder once after names have moved to other pages.
    """
    done = subprocess.run(
        [sys.executable, *COMMAND.split()], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return ROOT / "build" / "site"
