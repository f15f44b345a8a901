"""The gallery: every transform of jaxiter on photographs, with the call that made each picture.

    python docs/gallery.py [FOLDER]                        # pages and pictures, docs/gallery unless told otherwise
    python docs/gallery.py --readme docs/augmentations.jpg  # the picture of the README

Nothing is made by hand: the text of a call is what is evaluated. The site's build calls `make`, with this folder on
`sys.path`. It needs scikit-image and scikit-learn, for the photographs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import PIL
from _gallery_drawing import sheet_of
from _gallery_readme import CAPTION, readme_picture
from _gallery_run import Sheet, tiles_of
from _gallery_sheets import SECTIONS, Section

import jaxiter as jx

HERE = Path(__file__).parent
STAMP = "made.txt"  # of what the folder was made, and the files in it
QUALITY = 80  # of WebP, and of the README's JPEG


class Drawn(NamedTuple):
    """What a page says of a picture."""

    size: tuple[int, int]
    labels: tuple[str, ...]


def make(folder: Path, sections: Sequence[Section] = SECTIONS) -> None:
    """Write all pages and pictures into the folder, unless they are there, made of the same sources."""
    stamp, wanted = folder / STAMP, fingerprint(sections)
    made_of, *files = stamp.read_text().splitlines() if stamp.exists() else [""]
    if made_of == wanted and all((folder / name).exists() for name in files):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in [STAMP, *files]:  # also of sheets that are gone
        (folder / name).unlink(missing_ok=True)
    sheets = [sheet for section in sections for sheet in section.sheets]
    with _quick_compilation(), ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = dict(zip(sheets, pool.map(lambda sheet: write_sheet(folder, sheet), sheets), strict=True))
    pages = {f"{section.name}.md": page_of(section, drawn) for section in sections}
    for name, text in pages.items():
        (folder / name).write_text(text)
    stamp.write_text("\n".join([wanted, *pages, *(sheet.file for sheet in sheets)]) + "\n")


def write_sheet(folder: Path, sheet: Sheet) -> Drawn:
    tiles = tiles_of(sheet)
    picture = sheet_of(tiles, sheet.columns)
    picture.save(folder / sheet.file, quality=QUALITY, method=6)
    return Drawn(picture.size, tuple(tile.label for tile in tiles))


@contextmanager
def _quick_compilation() -> Iterator[None]:
    """Compiling takes most of the time, and each program runs once: XLA leaves LLVM's optimizations out."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def fingerprint(sections: Sequence[Section]) -> str:
    """Of all that the pictures depend on: the library, these scripts, and what compiles, draws and writes."""
    package = Path(jx.__file__).parent
    found = hashlib.sha256(f"{jax.__version__} {PIL.__version__}\n{sections}".encode())
    for root, pattern in ((package, "**/*.py"), (HERE, "*gallery*.py")):
        for path in sorted(root.glob(pattern)):
            found.update(f"\n{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def page_of(section: Section, drawn: dict[Sheet, Drawn]) -> str:
    parts = [f"# {section.title}\n\n{section.text}\n"]
    parts += [_part_of(sheet, drawn[sheet]) for sheet in section.sheets]
    return "\n".join(parts)


def _part_of(sheet: Sheet, drawn: Drawn) -> str:
    width, height = drawn.size
    of = "small squares of photographs" if sheet.photos == ("patches",) else ", ".join(sheet.photos)
    alt = f"{sheet.title}, shown on {of}: {', '.join(dict.fromkeys(drawn.labels))}"
    return f"""\
({target_of(sheet)})=
## {sheet.title}

{sheet.note}

```python
{sheet.source}
```

```{{image}} {sheet.file}
:alt: {alt}
:width: {width}
:height: {height}
:loading: lazy
```
{_weights_of(drawn.labels[len(sheet.photos) :]) if sheet.is_mix else ""}"""


def _weights_of(labels: Sequence[str]) -> str:
    return f"\nThe labels of the mixed pictures, from the left: {'; '.join(labels)}.\n"


def target_of(sheet: Sheet) -> str:
    return f"gallery-{sheet.file.removesuffix('.webp')}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the gallery, or the picture of the README.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "gallery")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="write only this picture")
    arguments = parser.parse_args()
    if arguments.readme is None:
        make(arguments.folder)
        return
    with _quick_compilation():
        readme_picture().save(arguments.readme, quality=QUALITY, optimize=True, progressive=True)
    print(CAPTION)


if __name__ == "__main__":
    main()
