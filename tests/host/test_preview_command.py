"""`python -m jaxiter preview`: what it says of a folder, the picture, the lines of Python, and wrong calls."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxiter
from jaxiter import image_folder, pack
from jaxiter.__main__ import main
from jaxiter._command_line._pictures import open_pictures
from jaxiter._command_line._survey import described, survey
from jaxiter._command_line._usual import NAMES, augmentation

from .noise_folder import write_folder

SMALL = ["--size", "8", "10", "--rows", "3", "--epochs", "2"]
PLAIN = [*SMALL, "--augment", "none"]  # which compiles in a third of the time


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos")
    return tmp_path / "photos"


def ran(capsys, *arguments):
    """What a call says, line by line; it ends well."""
    assert main(["preview", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def said_of(path):
    """What is said before anything is drawn."""
    pictures = open_pictures(str(path), "RGB", "uint8")
    return list(described(pictures, survey(pictures)))


def drawn_by(lines):
    """The picture that the printed lines of Python make."""
    code = lines[lines.index("in Python:") + 1 :]
    *code, last = [line.removeprefix("  ") for line in code]
    names = {}
    exec("\n".join([*code, f"picture = {last}"]), names)
    return np.asarray(names["picture"])


def test_it_says_what_the_folder_holds(folder, capsys):
    lines = ran(capsys, folder, *PLAIN)
    assert lines[:7] == [
        "7 pictures in 3 classes:",
        "  cat  2",
        "  dog  3",
        "  emu  2",
        "sizes, height x width: smallest 16 x 16, median 33 x 47, largest 37 x 90",
        "every file can be read",
        "shown, from left to right: cat, dog, emu",
    ]
    assert lines[7] == f"originals above what 2 epochs make of them: {Path('jaxiter-preview.png').resolve()}"


@pytest.mark.parametrize(
    "name", ["usual", "none", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rand", "trivial"))]
)
def test_the_picture_is_that_of_the_lines_of_python(folder, capsys, name):
    lines = ran(capsys, folder, *SMALL, "--augment", name, "--seed", 5, "--picture", "look.png")
    picture = np.asarray(Image.open("look.png"))
    np.testing.assert_array_equal(picture, drawn_by(lines))
    assert picture.shape[1] == 3 * (picture.shape[1] // 3 - 2) + 2 + 6  # three columns, with gaps
    ran(capsys, folder, *SMALL, "--augment", name, "--seed", 6, "--picture", "other.png")
    is_same = np.array_equal(picture, np.asarray(Image.open("other.png")))
    assert is_same == (name == "none")


def test_files_that_cannot_be_read_are_named_counted_and_not_shown(folder, capsys):
    (folder / "dog" / "03.png").write_text("no picture")
    whole = (folder / "emu" / "05.png").read_bytes()
    (folder / "emu" / "05.png").write_bytes(whole[: len(whole) // 2])
    lines = ran(capsys, folder, *PLAIN, "--rows", 100)
    assert lines[:4] == [
        "7 pictures in 3 classes:",
        "  cat  2",
        "  dog  3, 1 of which cannot be read",
        "  emu  2, 1 of which cannot be read",
    ]
    # Only of those that can be read: 20 x 30, 41 x 23, 64 x 48, 37 x 90, 33 x 47.
    assert lines[4] == "sizes, height x width: smallest 20 x 30, median 33 x 47, largest 37 x 90"
    assert lines[5] == "2 files cannot be read:"
    assert lines[6].startswith(f"  row 3, {str(folder / 'dog' / '03.png')!r}: it is no picture")
    assert lines[7].startswith(f"  row 5, {str(folder / 'emu' / '05.png')!r}: it is truncated")
    assert lines[8] == "shown, from left to right: cat, cat, dog, dog, emu"
    np.testing.assert_array_equal(np.asarray(Image.open("jaxiter-preview.png")), drawn_by(lines))


def test_a_folder_without_a_good_file_is_no_picture(folder, capsys):
    for path in folder.glob("*/*"):
        path.write_text("no picture")
    assert main(["preview", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert "7 files cannot be read:" in out
    assert "none of the 7 files can be read" in err
    assert not Path("jaxiter-preview.png").exists()


def test_one_of_a_kind_is_said_of_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = write_folder(tmp_path / "photos", [(4, 5)], ["a"])
    lines = ran(capsys, "photos", *PLAIN)
    assert lines[0] == "1 picture in 1 class:"
    assert lines[5].startswith("the original above what 2 epochs make of it: ")
    assert ran(capsys, "photos/a", *PLAIN)[0] == "1 picture, without classes"
    Path(paths[0]).write_text("no picture")
    assert main(["preview", "photos"]) == 1
    assert "the only file cannot be read; no picture was written." in capsys.readouterr().err


def test_one_other_is_said_of_one(tmp_path):
    paths = write_folder(tmp_path / "photos", [(4, 5)] * 41, [f"{number:02}" for number in range(41)])
    for path in paths[:21]:
        Path(path).write_text("no picture")
    lines = said_of(tmp_path / "photos")
    assert lines[21] == "  and 1 other of 1 picture"
    assert lines[-1] == "  and 1 other; jaxiter.check_files(images) lists all"


def test_a_damaged_jpeg_is_found_though_it_is_decoded_smaller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_folder(tmp_path / "photos", [(300, 400)] * 3, ["a", "a", "b"], suffix="jpg")
    data = Path(paths[1]).read_bytes()
    Path(paths[1]).write_bytes(data[: len(data) * 9 // 10])
    lines = said_of("photos")
    assert lines[3:5] == ["sizes, height x width: all 300 x 400", "1 file cannot be read:"]
    assert lines[5].startswith("  row 1, ")


def test_a_side_that_no_picture_of_its_own_size_may_have_is_found(tmp_path):
    write_folder(tmp_path / "photos", [(80, 33_000), (70, 90)], ["a", "a"])  # the first is allowed once it is reduced
    lines = said_of(tmp_path / "photos")
    assert lines[1:4] == [
        "  a  2, 1 of which cannot be read",
        "sizes, height x width: all 70 x 90",
        "1 file cannot be read:",
    ]
    assert "expected sides of at most 32,767" in lines[4]


def test_a_folder_without_classes_is_shown(folder, capsys):
    (folder / "dog" / ".hidden.png").write_text("")
    (folder / "dog" / "notes.txt").write_text("")
    lines = ran(capsys, folder / "dog", *PLAIN)
    assert lines[:2] == [
        "3 pictures, without classes",
        "sizes, height x width: smallest 16 x 16, median 64 x 48, largest 37 x 90",
    ]
    assert "shown" not in " ".join(lines)
    np.testing.assert_array_equal(np.asarray(Image.open("jaxiter-preview.png")), drawn_by(lines))


@pytest.mark.parametrize("size", [None, (20, 30)])
def test_a_packed_file_is_shown(folder, capsys, size):
    (folder / "dog" / "03.png").write_text("no picture")
    pack(image_folder(folder, size=size), "photos.jx", on_error="report", progress=False)
    lines = ran(capsys, "photos.jx", *PLAIN)
    assert lines[:4] == ["6 pictures in 3 classes:", "  cat  2", "  dog  2", "  emu  2"]
    sizes = "all 20 x 30" if size else "smallest 20 x 30, median 50 x 50, largest 37 x 90"
    assert lines[4] == f"sizes, height x width: {sizes}"
    assert lines[5] == "left out when it was packed, as they could not be read: 1 file"
    np.testing.assert_array_equal(np.asarray(Image.open("jaxiter-preview.png")), drawn_by(lines))


def test_many_classes_are_not_all_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{number:02}" for number in range(45)]
    write_folder(tmp_path / "photos", [(4, 5)] * 46, [*names, "22"])
    lines = said_of("photos")
    assert lines[:1] + lines[20:23] == [
        "46 pictures in 45 classes:",
        "  19  1",
        "  and 5 others of 1 to 2 pictures each",
        "  25  1",
    ]
    assert lines[41:43] == ["  44  1", "sizes, height x width: all 4 x 5"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "dtype", "has_colours"),
    [("L", "uint8", True), ("L", "uint16", True), ("RGBA", "uint8", False), ("mask", "uint8", False)],
)
def test_modes_of_pictures(tmp_path, monkeypatch, capsys, mode, dtype, has_colours):
    monkeypatch.chdir(tmp_path)
    values = np.arange(20 * 30).reshape(20, 30) % 7
    pixels = values.astype(np.uint8) if mode == "mask" else (values * 9000).astype(dtype)
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.stack([pixels] * 4, axis=-1) if mode == "RGBA" else pixels).save(f"photos/{name}/1.png")
    arguments = ["photos", *SMALL, "--mode", mode, "--dtype", dtype]
    lines = ran(capsys, *arguments)
    np.testing.assert_array_equal(np.asarray(Image.open("jaxiter-preview.png")), drawn_by(lines))
    assert any("ColorJitter" in line for line in lines) == has_colours
    if (mode, dtype) != ("L", "uint8"):
        assert main(["preview", *arguments, "--augment", "rand"]) == 1
        assert "expected --augment usual or none" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["usual", "none"])
def test_labels_of_masks_are_not_mixed(name):
    transform = augmentation(name, (8, 8), 1, 255, is_mask=True).transform
    image = np.random.default_rng(0).choice(np.uint8([3, 200]), (20, 30, 1))

    def augmented(key):
        return transform.apply(transform.sample(key, image.shape), image)

    results = jax.vmap(augmented)(jax.random.split(jax.random.key(0), 20))
    assert set(np.unique(results)) == {3, 200}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("channels", "most", "is_mask"),
    [(1, 255, False), (3, 255, False), (4, 255, False), (1, 65535, False), (1, 255, True)],
)
def test_an_augmentation_is_what_its_line_makes(name, channels, most, is_mask):
    try:
        found = augmentation(name, (8, 9), channels, most, is_mask=is_mask)
    except ValueError:
        assert name in ("rand", "trivial")
        assert (channels, most, is_mask) not in ((1, 255, False), (3, 255, False))
    else:
        assert repr(eval(found.text, {"jx": jaxiter})) == repr(found.transform)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere' does not exist"),
        (["empty"], "'empty' holds no pictures; expected files that end in .jpg"),
        (["photos/cat/00.png"], "is no packed file: it begins with"),
        (["photos", "--picture", "nowhere/x.png"], "nowhere' is no folder"),
        (["photos", "--picture", "photos/cat/x.png"], "would be one of its pictures"),
        (["photos", "--picture", "photos/../photos/00.png"], "would be one of its pictures"),
    ],
)
def test_what_is_refused_is_said_without_a_traceback(folder, capsys, arguments, words):
    Path("empty").mkdir()
    assert main(["preview", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m jaxiter preview: ")
    assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rows", "0"], "--rows: '0' is no whole number from 1 to 256"),
        (["--rows", "257"], "--rows: '257' is no whole number"),
        (["--epochs", "x"], "--epochs: 'x' is no whole number"),
        (["--size", "224x224", "3"], "--size: '224x224' is no whole number"),
        (["--augment", "strong"], "--augment: invalid choice: 'strong'"),
        (["--picture", "look"], "--picture: 'look' does not end in .png"),
        (["--picture", "look.jpg"], "--picture: 'look.jpg' does not end in .png"),
        (["--seed", "-1"], "--seed: '-1' is no whole number"),
    ],
)
def test_wrong_options_are_refused(folder, capsys, options, words):
    with pytest.raises(SystemExit) as ended:
        main(["preview", str(folder), *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_misspelt_command_is_refused_by_its_name(capsys):
    with pytest.raises(SystemExit):
        main(["previw", "photos"])
    assert re.search(
        r"invalid choice: 'previw' \(choose from '?train'?, '?pack'?, '?preview'?\)", capsys.readouterr().err
    )


@pytest.mark.parametrize("place", [0, 1])
def test_one_number_is_a_square_wherever_it_stands(place, capsys, folder):
    arguments = [str(folder), "--rows", "2", "--augment", "none"]
    arguments[place:place] = ["--size", "9"]
    assert any("jx.Resize((9, 9), " in line for line in ran(capsys, *arguments))


def test_an_interrupt_writes_no_picture(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jaxiter.host._image_files.ImageFiles.decode", interrupted)
        assert main(["preview", str(folder)]) == 130
    assert "no picture was written" in capsys.readouterr().err
    assert not Path("jaxiter-preview.png").exists()


def test_help_lists_the_commands_and_an_example_of_each(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for command in ("train", "pack", "preview"):
        assert re.search(rf"^    {command} +\w+", out, re.MULTILINE), command
    for line in re.findall(r"^  python -m jaxiter (.*?)   ", out, re.MULTILINE):
        assert line.split()[0] in ("--epochs", "pack", "preview")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jaxiter {jaxiter.__version__}\n"


def test_a_process_shows_a_folder_without_other_packages_and_warnings_in_one_line(folder):
    Image.new("RGB", (4, 4)).save(folder / "loose.png")
    program = f"""
import sys
for name in ("flax", "optax", "sklearn", "tqdm"):
    sys.modules[name] = None
from jaxiter.__main__ import main
sys.exit(main(["preview", {str(folder)!r}, *{PLAIN!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0
    assert f"warning: 1 of the pictures lies directly in {str(folder)!r}" in done.stderr.splitlines()[0]
    assert "reading: 7 of 7 images (100%)" in done.stderr
    assert Path("jaxiter-preview.png").exists()
