"""The gallery of docs/gallery.py: it shows every transform, its captions are the calls, and it is made once."""

import ast
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxiter as jx

DOCS = Path(__file__).parent.parent / "docs"
sys.path.append(str(DOCS))
gallery, run, drawing, readme = map(
    importlib.import_module, ("gallery", "_gallery_run", "_gallery_drawing", "_gallery_readme")
)
SHEETS = [sheet for section in gallery.SECTIONS for sheet in section.sheets]
TRANSFORMS = {name for name in jx.__all__ if isinstance(it := getattr(jx, name), type) and issubclass(it, jx.Transform)}


@pytest.fixture
def noise(monkeypatch):
    """In the place of the photographs, which are a package's that the quick tests go without."""
    random = np.random.default_rng(0)

    def pictures(names, width=24):
        return random.integers(0, 256, (len(names), 18, width, 3)).astype(np.uint8)

    def examples(names, width=24):
        return {"image": pictures(names), "mask": random.integers(0, 2, (len(names), 18, 24)).astype(np.uint8)}

    monkeypatch.setattr(run, "photographs", pictures)
    monkeypatch.setattr(run, "examples", examples)
    monkeypatch.setattr(run, "patches", lambda: random.integers(0, 256, (40, 4, 4, 3)).astype(np.uint8))


def sections_of(*sheets):
    return (gallery.Section("some", "Some", "Of the sheets.", sheets),)


INVERT = run.Sheet("Invert", "jx.Invert()", "255 minus every byte.", ("cat", "rocket"))
CLIP = run.Sheet("Clip", "jx.Clip(10, 20)", "Cut off.", ("cat",))


def test_every_transform_has_a_sheet_that_calls_it():
    sheets = {sheet.title: sheet for sheet in SHEETS}
    assert TRANSFORMS - {"Transform"} - set(sheets) == set()
    for name in TRANSFORMS - {"Transform"}:
        called = {node.attr for node in ast.walk(ast.parse(sheets[name].source)) if isinstance(node, ast.Attribute)}
        assert name in called, name


def test_no_two_sheets_have_one_file_or_target():
    assert len({sheet.file for sheet in SHEETS}) == len(SHEETS)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.title)
def test_captions_evaluate(sheet, noise):
    found = run.value_of(sheet.source, run.names_for(sheet))
    if sheet.is_mix:
        assert np.asarray(found[1]).shape == (len(sheet.photos), len(sheet.photos))
    else:
        assert all(isinstance(it, jx.Transform) for it in (found.values() if isinstance(found, dict) else [found]))


def test_pages_show_what_was_evaluated():
    drawn = {sheet: gallery.Drawn((880, 100), ("original",)) for sheet in SHEETS}
    for section in gallery.SECTIONS:
        page = gallery.page_of(section, drawn)
        assert re.findall(r"^```python\n(.*?)\n^```$", page, re.M | re.S) == [sheet.source for sheet in section.sheets]
        assert re.findall(r"^## (.*)$", page, re.M) == [sheet.title for sheet in section.sheets]
        assert re.findall(r"^```{image} (.*)\n:alt: .+\n:width: 880\n:height: 100$", page, re.M) == [
            sheet.file for sheet in section.sheets
        ]


def test_a_sheet_shows_the_originals_and_what_the_transform_makes_of_them(noise, tmp_path):
    originals = run.photographs(("cat", "rocket"))
    run.photographs = lambda names, width=24: originals[: len(names)]  # the fixture puts it back
    tiles = run.tiles_of(INVERT)
    expected = [*originals, *(255 - originals)]
    assert [tile.label for tile in tiles] == ["original", "original", "result", "result"]
    assert all(np.array_equal(tile.picture, image) for tile, image in zip(tiles, expected, strict=True))
    each = run.tiles_of(run.Sheet("Two", "{20: jx.Clip(0, 20), 90: jx.Clip(0, 90)}", "", ("cat",)))
    assert [(tile.label, np.asarray(tile.picture).max()) for tile in each[1:]] == [("20", 20), ("90", 90)]
    erased = run.tiles_of(run.Sheet("Epochs", "jx.Erase(1.0, value=7)", "", ("cat",), draws=3))
    loader = jx.Loader(originals[:1], batch_size=1, augment=jx.Erase(1.0, value=7), shuffle=False)
    for epoch, tile in enumerate(erased[1:]):
        assert tile.label == f"epoch {epoch}"
        assert np.array_equal(tile.picture, loader.batch(run.value_of(run.KEY_SOURCE, {"jax": run.jax}), epoch, 0)[0])


def test_masks_boxes_and_points_are_drawn_where_they_lie():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 30:50] = 1
    boxes, points = np.float32([[4, 8, 24, 38], [-1, -1, -1, -1]]), np.float32([[54, 30], [-1, -1]])
    example = {"image": np.zeros((40, 60, 3), np.uint8), "mask": mask, "boxes": boxes, "points": points}
    pixels = np.asarray(drawing.marked(example))
    is_mask = (pixels[..., 1] > 60) & (pixels[..., 0] < 10)
    assert np.array_equal(is_mask, mask == 1)
    rows, cols = np.nonzero(pixels[..., 0] > 250)  # the box's red, and the white of the point
    in_box = cols < 30
    assert [cols[in_box].min(), rows[in_box].min(), cols[in_box].max(), rows[in_box].max()] == [4, 8, 23, 37]
    assert abs(cols[~in_box].mean() + 0.5 - 54) < 0.6
    assert abs(rows[~in_box].mean() + 0.5 - 30) < 0.6


def test_shares_in_words():
    assert run.in_words(np.float32([0.3, 0.0, 0.7]), ("cat", "rocket", "china")) == "0.70 china, 0.30 cat"


def test_pictures_are_made_once_for_one_state_of_the_sources(noise, tmp_path, monkeypatch):
    made = []
    write = gallery.write_sheet
    monkeypatch.setattr(gallery, "write_sheet", lambda *args: made.append(args[1].title) or write(*args))
    gallery.make(tmp_path, sections_of(INVERT, CLIP))
    assert sorted(made) == ["Clip", "Invert"]
    files = {"some.md", "invert.webp", "clip.webp", gallery.STAMP}
    assert {path.name for path in tmp_path.iterdir()} == files
    gallery.make(tmp_path, sections_of(INVERT, CLIP))
    assert len(made) == 2
    (tmp_path / "clip.webp").unlink()
    gallery.make(tmp_path, sections_of(INVERT, CLIP))  # one is missing
    assert len(made) == 4
    gallery.make(tmp_path, sections_of(INVERT))  # a sheet is gone
    assert len(made) == 5
    assert {path.name for path in tmp_path.iterdir()} == files - {"clip.webp"}


def test_the_fingerprint_changes_with_the_library_and_the_scripts(tmp_path, monkeypatch):
    package, scripts = tmp_path / "jaxiter", tmp_path / "docs"
    for file in (package / "augment" / "_color.py", scripts / "_gallery_run.py"):
        file.parent.mkdir(parents=True)
        file.write_text("a = 1")
    monkeypatch.setattr(gallery.jx, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(gallery, "HERE", scripts)
    found = [gallery.fingerprint(gallery.SECTIONS)]
    for file in (package / "augment" / "_color.py", scripts / "_gallery_run.py"):
        assert gallery.fingerprint(gallery.SECTIONS) == found[-1]
        file.write_text("a = 2")
        found.append(gallery.fingerprint(gallery.SECTIONS))
    assert len(set(found)) == 3


def test_the_picture_of_the_readme_is_there_and_small():
    path = DOCS / "augmentations.jpg"
    assert path.stat().st_size < 350_000
    with Image.open(path) as picture:
        assert picture.width >= 800
    for source in readme.ROWS.values():
        assert f"`{source}`" in readme.CAPTION


@pytest.mark.extras
def test_the_picture_of_the_readme_is_what_the_script_makes():
    """But for what another version of the JPEG library rounds otherwise."""
    with Image.open(DOCS / "augmentations.jpg") as picture:
        kept = np.asarray(picture, np.float32)
    made = np.asarray(readme.readme_picture(), np.float32)
    assert kept.shape == made.shape
    assert np.abs(kept - made).mean() < 6  # JPEG itself makes 3.3, and one mirrored row 23


@pytest.mark.extras
def test_two_runs_give_the_same_bytes(tmp_path):
    section = next(section for section in gallery.SECTIONS if section.name == "mixing")
    for run_of in ("first", "second"):
        gallery.make(tmp_path / run_of, [section])
        run.jax.clear_caches()
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / run_of).iterdir()} for run_of in ("first", "second")
    )
    assert first == second
    assert len(first) == len(section.sheets) + 2  # its page, and the stamp
    with Image.open(tmp_path / "first" / section.sheets[0].file) as picture:
        assert picture.width == drawing.SHEET_WIDTH
