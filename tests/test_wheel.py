"""The wheel and the sdist: what is in them, and that the wheel works where it is installed alone."""

import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import jaxiter

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.extras]
VERSION = jaxiter.__version__
PROGRAM = f"""
import sys, pathlib, numpy as np, jax, jaxiter as jx, jaxiter.keras
assert pathlib.Path(jx.__file__).is_relative_to(sys.prefix), jx.__file__
assert jx.__version__ == {VERSION!r}
images = np.arange(10 * 8 * 8 * 3, dtype=np.uint8).reshape(10, 8, 8, 3)
loader = jx.Loader((images, np.arange(10)), batch_size=4, augment=(jx.Affine(rotation=10), None))
with jx.stream(loader, jax.random.key(0), num_epochs=1) as batches:
    assert [(x.shape, y.shape) for x, y in batches] == [((4, 8, 8, 3), (4,))] * 2
epoch = loader.replace(batch_size=5).epoch(jax.random.key(0), 0)
print(sorted(np.concatenate([y for _, y in epoch]).tolist()))
"""


def ran(*command, cwd):
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(source, target, kind):
    ran(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=source)
    (file,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def contents(wheel):
    """The bytes of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(wheel):
    package = {path for path in (ROOT / "jaxiter").rglob("*") if path.suffix == ".py" or path.name == "py.typed"}
    info = f"jaxiter-{VERSION}.dist-info"
    found = contents(wheel)
    expected = {path.relative_to(ROOT).as_posix() for path in package}
    assert "jaxiter/py.typed" in expected
    expected |= {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert set(found) == expected
    assert found[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert b"Root-Is-Purelib: true" in found[f"{info}/WHEEL"]
    metadata = found[f"{info}/METADATA"].decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in (
        f"Version: {VERSION}",
        "License-Expression: Apache-2.0",
        f"Requires-Python: {project['requires-python']}",
    ):
        assert line in metadata.splitlines()
    for name in project["dependencies"]:
        assert f"Requires-Dist: {name}" in metadata.splitlines()


def test_the_sdist_builds_the_same_wheel_and_holds_the_tests(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("tests/test_wheel.py", "docs/conventions.md", "bench/run.py", "CHANGELOG.md", "LICENSE", "README.md"):
        assert (source / name).is_file(), name
    assert contents(built(source, tmp_path / "again", "wheel")) == contents(wheel)


def test_the_wheel_works_where_it_is_installed_alone(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    ran(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=tmp_path
    )
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # JAX and the other packages are those of this environment. A path in a .pth comes last, and
    # its own .pth do not count.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    assert ran(python, "-I", "-c", PROGRAM, cwd=tmp_path) == f"{list(range(10))}\n"
    out = ran(python, "-I", "-m", "jaxiter", "--help", cwd=tmp_path)
    assert out.startswith("usage: python -m jaxiter")
