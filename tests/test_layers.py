"""The rooms of the package and the direction of its imports, read from the source."""

import ast
from pathlib import Path

import pytest

import jaxiter

PACKAGE = Path(jaxiter.__file__).parent
# What each room may import: itself, the key tree below all of them, and what stands here.
MAY_IMPORT = {
    "sampler": set(),
    "augment": set(),
    "loader": {"sampler", "augment"},
    "host": {"loader", "sampler", "augment"},
    "keras": {"host", "loader", "sampler", "augment"},
}
SHARED = {"_checks", "_fusion_barrier", "_host_rows", "_keys", "_state", "_warn"}
RUN_TIME_PACKAGES = {"jax", "numpy", "PIL"}
EXTRAS_OF_THE_DEMONSTRATION = {"flax", "optax", "sklearn"}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    """(level, name) of every import outside `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or node.names[0].name
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for level, name in imports_of(path):
            assert level in (0, 1, 2), f"{path}: import of level {level}"
            first = name.split(".")[0]
            if level == 2:
                assert first in MAY_IMPORT[room] | {
                    "_checks",
                    "_fusion_barrier",
                    "_host_rows",
                    "_keys",
                    "_state",
                    "_warn",
                }, f"{path.relative_to(PACKAGE)} imports {name}"
            if level == 0:
                assert first != "jaxiter", f"{path.relative_to(PACKAGE)} imports {name}; use a relative import"


def test_every_room_exists_and_is_listed():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(MAY_IMPORT)


def test_the_package_needs_nothing_but_its_run_time_packages():
    import sys

    allowed = RUN_TIME_PACKAGES | set(sys.stdlib_module_names)
    for path in modules():
        extras = EXTRAS_OF_THE_DEMONSTRATION if path.name == "__main__.py" else set()
        outside = {name.split(".")[0] for level, name in imports_of(path) if level == 0}
        assert outside <= allowed | extras, f"{path.relative_to(PACKAGE)} imports {outside - allowed - extras}"


def test_no_file_holds_two_ideas():
    long = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
