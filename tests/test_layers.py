"""The subpackages and the direction of their imports, read from the source; those under TYPE_CHECKING count too."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import jaxiter

PACKAGE = Path(jaxiter.__file__).parent
# What each subpackage may import beside itself and the private modules next to them all.
MAY_IMPORT = {
    "sampler": set(),
    "augment": set(),
    "loader": {"sampler", "augment"},
    "host": {"loader", "sampler", "augment"},
    "keras": {"host", "loader", "sampler", "augment"},
    "_command_line": {"host", "loader", "sampler", "augment"},
}
RUN_TIME_PACKAGES = {"jax", "numpy", "PIL", *sys.stdlib_module_names}
EXTRAS = {
    "jaxiter._train_digits": {"flax", "optax", "sklearn"},
    "jaxiter._progress": {"tqdm"},
}  # used where they are there


def name_of(path, package=PACKAGE):
    """`jaxiter.augment._affine`, or `jaxiter.augment` for its __init__.py."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(package=PACKAGE):
    return {name_of(path, package): path for path in sorted(package.rglob("*.py"))}


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(name, modules, for_types=True):
    """Full names of the modules that a module imports anywhere in its source.

    Args:
        modules: The path of every module of the package, by its name.
        for_types: Whether imports that only type checkers follow count.
    """
    parents = name.split(".") if modules[name].stem == "__init__" else name.split(".")[:-1]
    nodes = [ast.parse(modules[name].read_text())]
    for node in nodes:
        skipped = node.body if is_for_types(node) and not for_types else []
        nodes.extend(child for child in ast.iter_child_nodes(node) if child not in skipped)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from {inner if (inner := f"{base}.{alias.name}") in modules else base for alias in node.names}


def cycle_in(modules):
    """Modules that import each other in a ring, or an empty list."""
    graph = {name: {target for target in imports_of(name, modules) if target in modules} for name in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def may_import(name, target):
    """Whether a module of the package may import another one of it."""
    of, to = name.split(".")[1:], target.split(".")[1:]
    if name in ("jaxiter", "jaxiter.__main__", "jaxiter._train_digits"):
        return to[1:] in ([], ["internal"])
    if not to:
        return False
    if to[0] not in MAY_IMPORT or of[0] == to[0]:  # the private modules below all, or the same subpackage
        return True
    return to[0] in MAY_IMPORT.get(of[0], ()) and to[1:] in ([], ["internal"])


MODULES = sources()


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way_and_by_public_names_or_through_internal(name):
    targets = {target for target in imports_of(name, MODULES) if target.split(".")[0] == "jaxiter"}
    assert {target for target in targets if target not in MODULES} == set()
    assert {target for target in targets if not may_import(name, target)} == set()


def test_no_modules_import_each_other_in_a_ring():
    assert cycle_in(MODULES) == []


def test_every_subpackage_is_listed():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(MAY_IMPORT)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_needs_nothing_but_the_run_time_packages(name):
    allowed = RUN_TIME_PACKAGES | EXTRAS.get(name, set()) | {"jaxiter"}
    assert {target.split(".")[0] for target in imports_of(name, MODULES, for_types=False)} <= allowed
    assert {target.split(".")[0] for target in imports_of(name, MODULES)} <= allowed | {"jaxtyping"}


# The tests above see what they are for.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from .b import c", {"jaxiter.augment.warp.b"}),
        ("from . import b", {"jaxiter.augment.warp.b"}),
        ("from .. import b", {"jaxiter.augment"}),
        ("from ..._keys import words", {"jaxiter._keys"}),
        ("from ...loader import internal, Loader", {"jaxiter.loader.internal", "jaxiter.loader"}),
        ("if TYPE_CHECKING:\n    from .b import c", {"jaxiter.augment.warp.b"}),
        ("def f():\n    import numpy.random", {"numpy.random"}),
    ],
)
def test_imports_are_read(text, expected, tmp_path):
    files = ["augment/warp/a", "augment/warp/b", "augment/__init__", "_keys", "loader/__init__", "loader/internal"]
    for file in files:
        path = tmp_path / "jaxiter" / f"{file}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if file.endswith("a") else "")
    modules = sources(tmp_path / "jaxiter")
    assert set(imports_of("jaxiter.augment.warp.a", modules)) == expected
    for_running = set(imports_of("jaxiter.augment.warp.a", modules, for_types=False))
    assert for_running == (set() if "TYPE_CHECKING" in text else expected)


def test_a_ring_is_found_also_where_only_types_close_it(tmp_path):
    for name, target in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.py").write_text(f"if TYPE_CHECKING:\n    from .{target} import x")
    assert {name.split(".")[1] for name in cycle_in(sources(tmp_path))} == {"a", "b", "c"}
    (tmp_path / "c.py").write_text("")
    assert cycle_in(sources(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "target", "allowed"),
    [
        ("jaxiter.loader._loader", "jaxiter.augment", True),
        ("jaxiter.loader._loader", "jaxiter.augment.internal", True),
        ("jaxiter.loader._loader", "jaxiter.augment._chain", False),
        ("jaxiter.augment._warp.border", "jaxiter.augment._grid", True),
        ("jaxiter.augment._warp.border", "jaxiter._keys", True),
        ("jaxiter.augment._chain", "jaxiter.loader", False),
        ("jaxiter.augment._chain", "jaxiter", False),
        ("jaxiter._keys", "jaxiter._checks", True),
        ("jaxiter._keys", "jaxiter.augment", False),
        ("jaxiter", "jaxiter.augment", True),
        ("jaxiter.__main__", "jaxiter", True),
    ],
)
def test_who_may_import_whom(name, target, allowed):
    assert may_import(name, target) == allowed
