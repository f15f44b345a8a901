"""Programs of users under `mypy --strict`: with the types that they were promised, and with mistakes that are found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.extras]  # mypy reads the types of JAX and NumPy, half a minute
CONFIG = "[mypy]\nstrict = True\n"
WITHOUT_JAXTYPING = "[mypy-jaxtyping.*]\nfollow_imports = skip\n"  # anything, as where it is not installed


def errors_in(folder, config, *names):
    """{(file, line): codes}, and the whole output."""
    (folder / "mypy.ini").write_text(config)
    files = [f"tests/typing/{name}.py" for name in names]
    command = ["mypy", "--config-file", folder / "mypy.ini", "--cache-dir", folder / "cache", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, "-m", *command, *files], capture_output=True, text=True, timeout=280, check=False, cwd=ROOT
    )
    assert done.stderr == ""
    found = {}
    for file, line, code in re.findall(r"^([\w/.]+):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE):
        found.setdefault((file, int(line)), []).append(code)
    return {place: sorted(codes) for place, codes in found.items()}, done.stdout


def test_types_are_those_of_the_programs_and_every_mistake_is_found(tmp_path):
    mistakes = (ROOT / "tests/typing/mistakes.py").read_text().splitlines()
    expected = {
        ("tests/typing/mistakes.py", number): sorted(line.split("  # ")[1].split(", "))
        for number, line in enumerate(mistakes, 1)
        if "  # " in line
    }
    found, output = errors_in(tmp_path, CONFIG, "user", "shaped", "mistakes")
    assert found == expected, output


def test_a_user_without_jaxtyping_gets_no_errors(tmp_path):
    found, output = errors_in(tmp_path, CONFIG + WITHOUT_JAXTYPING, "user")
    assert found == {}, output


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "jaxiter" / "py.typed").read_bytes() == b""


def test_types_say_what_runs():
    """mypy's stubtest imports the package and compares names, arguments and defaults with their types."""
    command = ["mypy.stubtest", "jaxiter", "--concise", "--ignore-missing-stub", "--mypy-config-file", "pyproject.toml"]
    allowed = ["--allowlist", "tests/typing/stubtest_allowlist.txt"]
    done = subprocess.run(
        [sys.executable, "-m", *command, *allowed], capture_output=True, text=True, timeout=280, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
