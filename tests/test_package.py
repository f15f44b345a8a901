"""What importing the package does, and the habits of its public names."""

import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxiter
import jaxiter.keras
from jaxiter import Transform

PUBLIC = sorted(
    name for name in vars(jaxiter) if not name.startswith("_") and not inspect.ismodule(vars(jaxiter)[name])
)
IMPORT = """
import random, sys, warnings
import numpy as np
warnings.simplefilter("error")
before = np.random.get_state()[1].tolist(), random.getstate()
import jaxiter, jaxiter.keras
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "a backend was started"
assert (np.random.get_state()[1].tolist(), random.getstate()) == before, "random state was touched"
extras = set("flax optax sklearn keras scipy tensorflow torch grain orbax chex jaxtyping tqdm".split())
imported = extras & {name.split(".")[0] for name in set(sys.modules) - before_modules}
assert not imported, imported
"""


def test_importing_starts_no_backend_prints_nothing_and_imports_no_extra():
    # JAX itself may import SciPy where that is installed; what counts is what jaxiter adds.
    program = "import sys, jax, jax.numpy, jax.extend.random\nbefore_modules = set(sys.modules)\n" + IMPORT
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_names_what_is_public_and_the_version_is_that_of_the_project():
    assert jaxiter.__all__ == PUBLIC
    assert jaxiter.__version__ == importlib.metadata.version("jaxiter")


def test_the_version_stands_in_one_place_and_the_changelog_begins_with_it():
    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "jaxiter/__init__.py"}
    first = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first[1] == jaxiter.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", jaxiter.__version__)
    stating = [
        path.relative_to(root).as_posix()
        for path in [*root.glob("*.toml"), *root.glob("jaxiter/**/*.py"), *root.glob("docs/*.py")]
        if re.search(rf"""["']{re.escape(jaxiter.__version__)}["']""", path.read_text())
    ]
    assert stating == ["jaxiter/__init__.py"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    thing = getattr(jaxiter, name)
    assert thing.__doc__, name
    if inspect.isfunction(thing):
        assert ">>>" in thing.__doc__ or name in (
            "flip_matrix",
            "shear_matrix",
            "shift_matrix",
            "zoom_matrix",
            "about_centre",
        )


def documented():
    """Every public name, and the public methods and properties that the package itself defines."""
    keras = {f"keras.{name}": thing for name, thing in vars(jaxiter.keras).items() if callable(thing)}
    for name, thing in ({name: getattr(jaxiter, name) for name in PUBLIC} | keras).items():
        yield name, thing
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{attribute}", value


def misprints(doc):
    """What `help` would show and the author did not mean: a stray statement, lines out of line."""
    first, *lines = doc.splitlines()
    if not first or first[0].isspace():
        yield "the first line is empty or indented"
    after_header = False
    for line in filter(str.strip, lines):
        indentation = len(line) - len(line.lstrip())
        is_header = re.fullmatch(r"\s*(Args|Raises|Returns|Example|Reference)( \(\w+\))?:", line) is not None
        if re.match(r"(from|import) [\w.]", line):
            yield f"a stray import: {line!r}"
        if indentation % 4 or (is_header and indentation) or (after_header and indentation != 4):
            yield f"an indentation of {indentation}: {line!r}"
        after_header = is_header


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in documented()])
def test_help_shows_what_its_author_meant(name, thing):
    doc = inspect.getdoc(thing)
    if doc is not None:
        assert list(misprints(doc)) == []


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(jaxiter, name))])
def test_help_says_what_stands_in_a_tuple_that_comes_back(name):
    function = getattr(jaxiter, name)
    kind = function.__globals__.get(inspect.signature(function).return_annotation)
    if inspect.isclass(kind) and issubclass(kind, tuple):
        returns = re.search(r"\nReturns:\n((?: {4}.*\n)+)", inspect.getdoc(function))
        assert returns, name
        assert all(field in returns[1] for field in kind._fields)


# How many arguments stand before the star in the design; the rest is given by keyword.
BY_POSITION = {
    "ChannelShift": 1,
    "Brightness": 1,
    "Rescale": 1,
    "Normalize": 2,
    "Whiten": 1,
    "Cast": 1,
    "Map": 1,
    "CenterCrop": 1,
    "RandomCrop": 1,
    "RandomResizedCrop": 1,
    "Resize": 1,
    "Contrast": 1,
    "Saturation": 1,
    "Hue": 1,
    "Grayscale": 1,
    "ColorJitter": 4,
    "Clip": 2,
    "Gamma": 1,
    "Solarize": 1,
    "Posterize": 1,
    "Sharpness": 1,
    "Blur": 1,
    "Noise": 1,
    "Erase": 4,
    "Cutout": 2,
    "Sometimes": 2,
    "RandAugment": 2,
    "Views": 2,
    "Frames": 1,
    "Mask": 1,
    "Boxes": 1,
    "Points": 1,
    "shuffled": 4,
    "permutation": 3,
    "train_validation_split": 3,
    "balanced_weights": 2,
    "deterministic": 1,
    "affine_warp": 2,
    "fit_statistics": 1,
    "Loader": 1,
    "scan_epoch": 5,
    "stream": 2,
    "from_records": 1,
    "explain": 4,
    "image_grid": 1,
    "image_folder": 1,
    "image_files": 1,
    "check_files": 1,
    "pack": 2,
    "open_packed": 1,
}
TRANSFORMS = [name for name, thing in vars(jaxiter).items() if inspect.isclass(thing) and issubclass(thing, Transform)]


@pytest.mark.parametrize("name", sorted({*BY_POSITION, *TRANSFORMS} - {"Transform"}))
def test_options_are_given_by_keyword(name):
    parameters = inspect.signature(getattr(jaxiter, name)).parameters.values()
    assert sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters) == BY_POSITION.get(
        name, 0
    )


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(jaxiter, name))])
def test_a_key_comes_first_or_right_after_what_is_acted_on(name):
    parameters = list(inspect.signature(getattr(jaxiter, name)).parameters)
    if "key" in parameters:
        acted_on = {"loader", "step_fn", "carry"}
        assert set(parameters[: parameters.index("key")]) <= acted_on
    for before, after in [("key", "epoch"), ("epoch", "step")]:
        if before in parameters and after in parameters:
            assert parameters.index(after) == parameters.index(before) + 1
