"""The README's Python runs as it stands, block after block, and its commands name what exists."""

import inspect
import re
from pathlib import Path

import jax
import pytest

from jaxiter import keras

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXTRAS = "flax|optax|equinox|orbax|grain|h5py|tqdm|zarr|tensorstore|datasets|polars|pyarrow|array_record"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def with_blocks(page):
    """The page, marked where its Python needs more than [test]."""
    code = "".join(blocks(page.read_text(), "python"))
    needs_extras = re.search(rf"^ *(from|import) .*(?<![\w.])({EXTRAS})\b", code, re.MULTILINE)
    is_long = page.name in ("from-keras.md", "scale.md", "files.md")
    marks = [pytest.mark.extras] * bool(needs_extras) + [pytest.mark.slow] * is_long
    return pytest.param(page, id=page.name, marks=marks)


@pytest.mark.parametrize("page", [with_blocks(page) for page in PAGES])
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with jax.numpy_dtype_promotion("standard"):  # as a user has it; Optax needs it
        for block in blocks(page.read_text(), "python"):
            exec(compile(block, page.name, "exec"), names)


def test_the_two_commands_stand_in_the_readme():
    commands = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert len([line for line in commands if line.endswith("-m jaxiter")]) == 1
    assert len([line for line in commands if line.endswith("-m pytest")]) == 1


@pytest.mark.parametrize("page", [*PAGES, ROOT / "tests" / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_page_for_keras_names_every_function_method_and_argument():
    page = (ROOT / "docs" / "from-keras.md").read_text()
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)))))
    for cls in (keras.ImageDataGenerator, keras.NumpyArrayIterator, keras.DirectoryIterator, keras.DataFrameIterator):
        methods = dict(inspect.getmembers(cls, inspect.isfunction))
        # Once Keras is there an iterator has methods of its PyDataset, too.
        methods = {name: it for name, it in methods.items() if it.__module__.startswith("jaxiter")}
        public = {name: method for name, method in methods.items() if not name.startswith("_") or name == "__init__"}
        arguments = {name for method in public.values() for name in inspect.signature(method).parameters}
        assert {*public, *arguments} - {"__init__", "self", "args", "kwargs"} <= named
    assert {name for name in vars(keras) if not name.startswith("_")} <= named
