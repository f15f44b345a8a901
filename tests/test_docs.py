"""What the pages say and a program can check: names, options, defaults, links, files, tables and figures."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import jaxiter as jx

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("reference/*.md"))]
PUBLIC = {name: getattr(jx, name) for name in dir(jx) if not name.startswith("_") and callable(getattr(jx, name))}
# ImageDataGenerator and its like stand on these pages for Keras' own, too, which have other arguments.
KNOWN = {name: it for name, it in PUBLIC.items() if "keras" not in it.__module__}


def code_of(page):
    """Every piece of code of a page: its Python blocks, and its inline code."""
    text = page.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return blocks, re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_options_exist(page):
    """Of every call with keywords, in blocks (`Loader(batch_size=8)`) and inline (`stream(..., start=)`)."""
    blocks, inline = code_of(page)
    for block in blocks:
        for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", None))
            if name in KNOWN:
                assert {word.arg for word in call.keywords} - {None} <= set(inspect.signature(KNOWN[name]).parameters)
    for code in inline:
        for name, arguments in re.findall(r"\b(\w+)\(([^()]*)", code):
            if name in KNOWN:
                assert set(re.findall(r"\b(\w+)=", arguments)) <= set(inspect.signature(KNOWN[name]).parameters), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_exist(page):
    blocks, inline = code_of(page)
    for name in re.findall(r"\b(?:jx|jaxiter)\.([A-Za-z]\w*)", "\n".join([*blocks, *inline])):
        assert hasattr(jx, name), name
    for name in re.findall(r"\b(?:[Ll]oader|resident)\.([a-z]\w*)\(", "\n".join([*blocks, *inline])):
        assert hasattr(jx.Loader, name), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", page.read_text()):
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}, anchor


def test_the_architecture_names_every_file():
    named, folder = set(), ""
    for line in (DOCS / "architecture.md").read_text().split("## Keys")[0].splitlines():
        if line.startswith("| "):
            first, files = line.split("|")[1:3]
            folder = next(iter(re.findall(r"`([\w/]+)/`", first)), folder)
            named |= {(folder.removeprefix("jaxiter"), file) for file in re.findall(r"`(\w+\.py)`", files)}
    package = ROOT / "jaxiter"
    files = {(str(path.parent.relative_to(package)).strip("."), path.name) for path in package.rglob("*.py")}
    assert named == {(where, name) for where, name in files if name not in ("__init__.py", "internal.py")}


def test_a_stream_holds_what_two_pages_say():
    loader = jx.Loader(np.zeros((100, 8, 8, 3), np.uint8), batch_size=10, augment=jx.Rescale(1 / 255))
    for page in (DOCS / "conventions.md", DOCS / "scale.md"):
        batches, rows = (int(n) for n in re.findall(r"`prefetch \+ (\d)`", page.read_text()))
        for prefetch in (0, 1, 5):
            memory = loader.memory(prefetch=prefetch)
            assert (memory.batch, memory.rows) == (10 * 8 * 8 * 3 * 4, 10 * 8 * 8 * 3)
            assert memory.streaming == (prefetch + batches) * memory.batch + (prefetch + rows) * memory.rows


def test_defaults_are_those_of_the_pages():
    loader, stream = (inspect.signature(it).parameters for it in (jx.Loader, jx.stream))
    assert (loader["shuffle"].default, loader["remainder"].default) == (True, "drop")
    assert f"`prefetch={stream['prefetch'].default}` further batches" in (DOCS / "speed.md").read_text()
    assert stream["donate"].default is False


def test_words_for_borders():
    """The table of other libraries' words, by NumPy's pad; the rows of the first table, by its letters."""
    first, second = (DOCS / "conventions.md").read_text().split("Other libraries use other words:")
    words = dict(re.findall(r"^\| ([\w-]+) \|[^|]*\| (\w+) \|", second.split("\n\n## ")[0], re.MULTILINE))
    letters = re.findall(r"^\| ([\w-]+) \| ([a-d ]+)\\\| a b c d \\\| ([a-d ]+)\|", first, re.MULTILINE)
    image = np.float32([[[1], [2], [3], [4]]])
    identity = np.eye(3, dtype=np.float32)
    for mode, before, after in letters:
        left, right = (["abcd".index(letter) + 1 for letter in side.split()] for side in (before, after))
        for side, drawn in ((-len(left), left), (4, right)):
            matrix = identity.copy()
            matrix[1, 2] = side
            drawn_here = jx.affine_warp(image, matrix, fill_mode=mode, order=0)[0, : len(drawn), 0].tolist()
            assert drawn_here == drawn, mode
        if mode in words:
            padded = np.pad([1, 2, 3, 4], 3, mode=words[mode]).tolist()
            assert (padded[3 - len(left) : 3], padded[7 : 7 + len(right)]) == (left, right), mode


def test_the_table_of_the_readme_is_that_of_the_page():
    """`bench/claims.py --readme` prints both."""
    tables = [
        re.search(r"^\| \| jaxiter .*?\n\n", path.read_text(), re.MULTILINE | re.DOTALL)[0]
        for path in (ROOT / "README.md", DOCS / "comparison.md")
    ]
    assert tables[0] == tables[1]
