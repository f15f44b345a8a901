"""How large is the package, and how much of its annotations is `Any`?

    python bench/size.py [PATH]

Prints lines and files of a package (this checkout's `jaxiter` without PATH) and of each folder in it, and the share of
annotations (of parameters, results and fields) that name `Any` anywhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from _timing import markdown


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation


def names_any(annotation: ast.expr) -> bool:
    return any(
        getattr(node, "id", None) == "Any" or getattr(node, "attr", None) == "Any" for node in ast.walk(annotation)
    )


def main() -> None:
    package = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "jaxiter")
    sizes: dict[str, list[int]] = {}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text()
        found = list(annotations(ast.parse(text)))
        inside = path.relative_to(package).parts
        counts = len(text.splitlines()), 1, len(found), sum(map(names_any, found))
        for folder in ("all", inside[0] if len(inside) > 1 else "."):
            sizes[folder] = [a + b for a, b in zip(sizes.get(folder, [0] * 4), counts, strict=True)]
    rows = [["", "lines", "files", "annotations", "that name Any"]]
    for folder, (lines, files, total, vague) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        rows.append([folder, f"{lines:,}", f"{files}", f"{total:,}", f"{vague / max(1, total):.0%}"])
    print(markdown(rows))


if __name__ == "__main__":
    main()
