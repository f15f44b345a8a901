"""Pages that are files elsewhere in the repository: the changelog, figures, and the code that pages link to."""

from __future__ import annotations

import re
from pathlib import Path

import gallery
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
_TEXTS = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "bench/RESULTS.md": "measurements",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([\w./-]+)(#[\w-]+)?\)")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _rewrite_links)
    return {"parallel_read_safe": True}


def _write_pages(app: Sphinx) -> None:
    """Writes them into folders that git ignores, and only where they changed: Sphinx reads anew what is newer."""
    folder = Path(app.srcdir)
    gallery.make(folder / "gallery")
    pages = {folder / "project" / f"{page}.md": _page(ROOT / name) for name, page in _TEXTS.items()}
    for path in _linked_code(folder):
        name = path.relative_to(ROOT)
        pages[folder / "code" / name.with_suffix(".md")] = _page_of_code(name)
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in {*(folder / "project").rglob("*.md"), *(folder / "code").rglob("*.md")} - pages.keys():
        path.unlink()  # of a file that is gone, or linked no more


def _page(path: Path) -> str:
    return _with_links(path.read_text(), path.parent, "../")


def _page_of_code(name: Path) -> str:
    up = "../" * (len(name.parts) + 1)
    return f"---\norphan: true\n---\n# {name}\n\n```{{literalinclude}} {up}{name}\n:language: python\n```\n"


def _linked_code(folder: Path) -> set[Path]:
    texts = [*folder.glob("*.md"), *(ROOT / name for name in _TEXTS)]
    linked = ((path.parent / target).resolve() for path in texts for _, target, _ in _LINK.findall(path.read_text()))
    return {path for path in linked if path.suffix == ".py" and path.is_file()}


def _rewrite_links(app: Sphinx, page: str, source: list[str]) -> None:
    if "/" not in page:
        source[0] = _with_links(source[0], Path(app.srcdir), "")


def _with_links(text: str, folder: Path, to_docs: str) -> str:
    """The text with its links to files of the repository as links to pages; `folder` is where the text lies."""

    def linked(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        page = _page_of((folder / target).resolve())
        if page is None:
            return found[0]
        if words.removeprefix("docs/") in (target, target.removeprefix("docs/")) and target.endswith(".md"):
            words = ""  # Sphinx writes the title of the page or heading
        return f"[{words}]({to_docs}{page}{anchor})"

    return _LINK.sub(linked, text)


def _page_of(path: Path) -> str | None:
    if not path.is_relative_to(ROOT):
        return None
    name = path.relative_to(ROOT)
    if name.as_posix() in _TEXTS:
        return f"project/{_TEXTS[name.as_posix()]}.md"
    if name.as_posix() == "README.md":
        return "index.md"
    if name.parts[0] == "docs":
        return name.relative_to("docs").as_posix()
    if path.suffix == ".py" and path.is_file():
        return f"code/{name.with_suffix('.md')}"
    return None
