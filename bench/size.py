"""How large is the package, and how much of its annotations is `Any`?

    python bench/size.py [PATH]

Prints lines and files of a package (this checkout's `jaxiter` without PATH) and of each folder in it, and the share of
annotations (of parameters, results and fields) that name `Any` anywhere, or an alias that is nothing else (`X = Any`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from _timing import markdown


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation


def aliases_of_any(trees: Iterable[ast.Module]) -> set[str]:
    """`Any`, and the names that modules give to it alone."""
    names = {"Any"}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and getattr(node.value, "id", None) == "Any":
                names |= {target.id for target in getattr(node, "targets", [getattr(node, "target", None)])}
    return names


def names_any(annotation: ast.expr, names: set[str]) -> bool:
    return any(
        getattr(node, "id", None) in names or getattr(node, "attr", None) == "Any" for node in ast.walk(annotation)
    )


def main() -> None:
    package = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "jaxiter")
    sizes: dict[str, list[int]] = {}
    texts = {path: path.read_text() for path in sorted(package.rglob("*.py"))}
    names = aliases_of_any(map(ast.parse, texts.values()))
    for path, text in texts.items():
        found = list(annotations(ast.parse(text)))
        inside = path.relative_to(package).parts
        counts = len(text.splitlines()), 1, len(found), sum(names_any(annotation, names) for annotation in found)
        for folder in ("all", inside[0] if len(inside) > 1 else "."):
            sizes[folder] = [a + b for a, b in zip(sizes.get(folder, [0] * 4), counts, strict=True)]
    rows = [["", "lines", "files", "annotations", "that name Any"]]
    for folder, (lines, files, total, vague) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        rows.append([folder, f"{lines:,}", f"{files}", f"{total:,}", f"{vague / max(1, total):.0%}"])
    print(markdown(rows))


if __name__ == "__main__":
    main()
