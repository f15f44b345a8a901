"""Where `python -m jaxiter preview` writes: what it did not write itself stays as it is, and is refused at once."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from jaxiter import ImageFiles, Loader, image_folder, pack
from jaxiter.__main__ import main

from .noise_folder import write_folder

PLAIN = ["--size", "8", "--rows", "2", "--augment", "none"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", [(20, 30), (41, 23), (16, 16)], ["a", "a", "b"])
    return Path("photos")


def tree():
    """Every file below the working folder with what is in it, and where links lead."""
    paths = [Path(folder) / name for folder, folders, files in os.walk(".") for name in [*folders, *files]]
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in paths
    }


def refusal(capsys, monkeypatch, *arguments):
    """Why a call is refused: before anything is decoded or printed, and with every file as it was."""

    def decode(*_, **__):
        raise AssertionError("a picture was decoded")

    before = tree()
    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "decode", decode)
        assert main(["preview", *map(str, arguments), *PLAIN]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert tree() == before
    assert err.startswith("python -m jaxiter preview: --picture ")
    return err


def draw(*arguments):
    assert main(["preview", *map(str, arguments), *PLAIN]) == 0


@pytest.mark.parametrize("shown", ["q.png", "link.jx"])
@pytest.mark.parametrize("place", ["q.png", "./q.png", "link.png", "hard.png"])
def test_the_packed_file_that_is_shown_stays(photos, capsys, monkeypatch, shown, place):
    pack(image_folder(photos), "q.png", progress=False)
    os.symlink("q.png", "link.jx")
    os.symlink("q.png", "link.png")
    os.link("q.png", "hard.png")
    assert "is the packed file that is shown" in refusal(capsys, monkeypatch, shown, "--picture", place)


@pytest.mark.parametrize("ending", [".json", ".part", ".part.journal"])
def test_what_pack_wrote_beside_it_stays(photos, capsys, monkeypatch, ending):
    pack(image_folder(photos, size=(9, 9)), "q.npy", progress=False)
    os.symlink(f"q.npy{ending}", "link.png")  # of .part and .part.journal as they may come to be
    assert f"'q.npy{ending}', which is a file of pack" in refusal(capsys, monkeypatch, "q.npy", "--picture", "link.png")
    if ending == ".json":
        os.link("q.npy.json", "hard.png")
        assert "which is a file of pack" in refusal(capsys, monkeypatch, "q.npy", "--picture", "hard.png")


def test_a_picture_that_a_linked_class_holds_stays(photos, capsys, monkeypatch):
    os.makedirs("sl/photos")
    os.rename("photos", "sl/real")
    os.symlink("../real/a", "sl/photos/a")
    err = refusal(capsys, monkeypatch, "sl/photos", "--picture", "sl/real/a/00.png")
    assert "is the file of " in err
    assert "sl/photos/a/00.png', one of the pictures that are shown" in err
    for place in ("sl/real/a/new.png", "sl/photos/a/new.png", "sl/real/../real/a/new.png"):
        err = refusal(capsys, monkeypatch, "sl/photos", "--picture", place)
        assert "sl/photos/a' and would be one of its pictures" in err
    draw("sl/photos", "--picture", "sl/real/b/new.png")  # which is no class of sl/photos


def test_a_folder_that_a_link_within_a_class_leads_to_gets_no_picture(photos, capsys, monkeypatch):
    os.makedirs("elsewhere/deep/deeper")
    os.rename("photos/a/01.png", "elsewhere/deep/01.png")
    os.symlink("../../elsewhere", "photos/a/more")
    for place in ("elsewhere/new.png", "elsewhere/deep/new.png", "elsewhere/deep/deeper/new.png"):
        assert "would be one of its pictures" in refusal(capsys, monkeypatch, photos, "--picture", place)


@pytest.mark.parametrize("shown", ["photos", "photos/a"])
def test_a_picture_of_another_name_stays_though_preview_wrote_it(photos, capsys, monkeypatch, shown):
    for name in ("soft.png", "hard.png"):
        draw(photos, "--picture", name)
    os.symlink("../../soft.png", "photos/a/soft.png")
    os.link("hard.png", "photos/a/hard.png")
    os.symlink("../../later.png", "photos/a/later.png")
    capsys.readouterr()
    for name in ("soft.png", "hard.png", "later.png"):
        assert "one of the pictures that are shown" in refusal(capsys, monkeypatch, shown, "--picture", name)


def other_files():
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "another program")
    image = Image.new("RGB", (9, 9))
    yield "photo", lambda path: image.save(path)
    yield "text", lambda path: image.save(path, pnginfo=text)
    yield "empty", lambda path: Path(path).write_bytes(b"")
    yield "no_png", lambda path: Path(path).write_bytes(b"a note on: tEXtSoftware\0jaxiter preview")
    yield "packed", lambda path: pack(image_folder("photos"), path, progress=False)


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in other_files()])
@pytest.mark.parametrize("place", ["other.png", "link.png", "jaxiter-preview.png"])
def test_a_file_that_preview_did_not_write_stays(photos, capsys, monkeypatch, write, place):
    write("other.png" if place == "link.png" else place)
    if place == "link.png":
        os.symlink("other.png", place)
    options = [] if place == "jaxiter-preview.png" else ["--picture", place]
    assert f"{place} is there already, and was not written by preview" in refusal(capsys, monkeypatch, photos, *options)


def test_a_picture_of_preview_is_overwritten(photos):
    draw("photos/a", "--picture", "look.PNG")
    first = Path("look.PNG").read_bytes()
    assert Image.open("look.PNG").text == {"Software": "jaxiter preview"}
    os.symlink("look.PNG", "link.png")
    draw("photos/b", "--picture", "link.png")
    assert os.readlink("link.png") == "look.PNG"
    assert Path("look.PNG").read_bytes() != first
    draw("photos/a", "--picture", "look.PNG")
    assert Path("look.PNG").read_bytes() == first


def test_a_file_that_appears_while_pictures_are_decoded_stays(photos, capsys, monkeypatch):
    drawn = Loader.preview

    def preview(*arguments, **options):
        Path("look.png").write_text("mine")
        return drawn(*arguments, **options)

    monkeypatch.setattr(Loader, "preview", preview)
    assert main(["preview", "photos", "--picture", "look.png", *PLAIN]) == 1
    assert "was not written by preview" in capsys.readouterr().err
    assert Path("look.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/proc/x.png", "/proc/x.png cannot be written (No such file or directory); expected another place"),
        ("nowhere/x.png", "nowhere' is no folder; expected one that is there"),
        ("photos/a/00.png/x.png", "00.png' is no folder"),
        ("folder.png", "folder.png is there already, and no file"),
        ("pipe.png", "pipe.png is there already, and no file"),
        ("loop.png", "loop.png cannot be written (Too many levels of symbolic links)"),
        ("away.png", "nowhere' is no folder"),
        ("x" * 300 + ".png", ".png cannot be written (File name too long)"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_at_once(photos, capsys, monkeypatch, place, words):
    os.mkdir("folder.png")
    os.symlink("loop.png", "loop.png")
    os.symlink("nowhere/x.png", "away.png")
    if place == "pipe.png":
        os.mkfifo(place)
    assert words in refusal(capsys, monkeypatch, photos, "--picture", place)


@contextmanager
def without_rights_of_root():
    """Nothing is kept from root: as root the block runs as nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("locked", ["folder", "folder/look.png"])
def test_a_place_without_permission_is_refused_at_once(open_folder, capsys, monkeypatch, locked):
    monkeypatch.chdir(open_folder)
    write_folder(open_folder / "photos")
    photos = Path("photos")
    os.mkdir("folder")
    draw(photos, "--picture", "folder/look.png")
    capsys.readouterr()
    os.chmod(locked, 0o555)
    place = "folder/new.png" if locked == "folder" else locked
    try:
        with without_rights_of_root():
            said = refusal(capsys, monkeypatch, photos, "--picture", place)
    finally:
        os.chmod(locked, 0o700)
    assert "cannot be written (Permission denied)" in said
