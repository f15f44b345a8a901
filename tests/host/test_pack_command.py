"""`python -m jaxiter pack`, and the demonstration that the command line runs by default."""

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jaxiter import image_folder, open_packed, pack
from jaxiter.__main__ import main

from .noise_folder import SIZES, write_folder


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "photos")
    return tmp_path / "photos"


def written(path):
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    ("options", "source", "settings"),
    [
        ([], {}, {}),
        (["--shorter-side", "20", "--threads", "3"], {}, {"shorter_side": 20}),
        (
            ["--shorter-side", "full", "--mode", "L", "--dtype", "uint16"],
            {"mode": "L", "dtype": "uint16"},
            {"shorter_side": None},
        ),
        (["--size", "6", "8", "--resize", "crop"], {"size": (6, 8), "resize": "crop"}, {}),
        (["--size", "7"], {"size": 7}, {}),
        (["--size=7", "--mode", "L"], {"size": 7, "mode": "L"}, {}),
    ],
)
def test_it_writes_what_the_function_writes(folder, tmp_path, capsys, options, source, settings):
    assert main(["pack", str(folder), str(tmp_path / "command"), *options]) == 0
    pack(image_folder(folder, **source), tmp_path / "function", **settings, progress=False)
    assert written(tmp_path / "command") == written(tmp_path / "function")
    size = os.path.getsize(tmp_path / "command")
    assert capsys.readouterr().out == f"7 pictures in {str(tmp_path / 'command')!r}, {size:,} bytes\n"


def test_bad_files_are_named_and_left_out_where_asked(folder, tmp_path, capsys):
    (folder / "dog" / "03.png").write_text("no picture")
    command = ["pack", str(folder), str(tmp_path / "photos.jx")]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 7 files cannot be read" in err
    assert "03.png" in err
    assert "Leave them out by --on-error report; or mend them and call pack again" in err
    assert main([*command, "--on-error", "report"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"left out: row 3, {str(folder / 'dog' / '03.png')!r}: it is no picture")
    assert last.startswith("6 pictures in ")
    np.testing.assert_array_equal(open_packed(command[-1]).images.source_shapes, np.delete(SIZES, 3, axis=0))


def test_one_picture_is_said_of_one(tmp_path, capsys):
    write_folder(tmp_path / "photos", [(4, 5)], ["a"])
    assert main(["pack", str(tmp_path / "photos"), str(tmp_path / "photos.jx")]) == 0
    assert capsys.readouterr().out.startswith("1 picture in ")


def test_what_is_refused_is_said_without_a_traceback(folder, tmp_path, capsys):
    file, sized = str(tmp_path / "x size=3"), str(tmp_path / "begun")  # a name is no option
    assert main(["pack", str(folder), file, "--shorter-side", "full"]) == 0
    (folder / "cat" / "00.png").rename(tmp_path / "away.png")
    (folder / "cat" / "00.png").write_text("no picture")
    assert main(["pack", str(folder), sized]) == 1
    (tmp_path / "away.png").rename(folder / "cat" / "00.png")
    refused = {
        "x size=3' was packed with --shorter-side full where this command has --shorter-side 256.": [str(folder), file],
        "--mode RGB where this command has --mode L; ": [str(folder), file, "--mode", "L"],
        "no --size where this command has --size 4 5; ": [str(folder), sized, "--size", "4", "5"],
        "; expected --mode L or ": [str(folder), file, "--dtype", "uint16"],
        "pack in Python what is made by jaxiter.image_files(": [str(folder / "cat"), file],
        "nowhere' does not exist": [str(tmp_path / "nowhere"), file],
    }
    capsys.readouterr()
    for words, arguments in refused.items():
        assert main(["pack", *arguments]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("python -m jaxiter pack: ")
        assert words in line


def test_one_number_is_a_square_wherever_it_stands(folder, tmp_path):
    pack(image_folder(folder, size=7), tmp_path / "function", progress=False)
    for name, place in (("first", 0), ("between", 1), ("last", 2)):
        arguments = [str(folder), str(tmp_path / name)]
        arguments[place:place] = ["--size", "7"]
        assert main(["pack", *arguments]) == 0
        assert written(tmp_path / name) == written(tmp_path / "function")


def test_a_size_beside_a_shorter_side_is_refused(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["pack", str(folder), str(tmp_path / "x"), "--size", "4", "--shorter-side", "9"])
    assert "--shorter-side: not allowed with argument --size" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--threads", "0"], ["--shorter-side", "-5"], ["--size", "0"], ["--size", "x"], ["--mode", "CMYK"]],
)
def test_wrong_options_are_refused(folder, tmp_path, capsys, options):
    with pytest.raises(SystemExit) as ended:
        main(["pack", str(folder), str(tmp_path / "x"), *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(folder, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jaxiter.host._unfinished.Unfinished.append", interrupted)
        assert main(["pack", str(folder), str(tmp_path / "x")]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["train", "pack"]),
        (["pack"], ["--shorter-side", "FOLDER", "of one number a square"]),
        (["train"], ["--epochs"]),
    ],
)
def test_help_is_shown(capsys, command, words):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(" ".join(["usage: python -m jaxiter", *command]))
    for word in words:
        assert word in out


@pytest.fixture
def trained(monkeypatch):
    """With what the demonstration is called."""
    calls = []
    module = types.ModuleType("jaxiter._train_digits")
    module.train = lambda *arguments: calls.append(arguments)
    monkeypatch.setitem(sys.modules, "jaxiter._train_digits", module)
    return calls


@pytest.mark.parametrize("command", [[], ["train"]])
def test_the_demonstration_is_the_default(trained, command):
    assert main(command) == 0
    assert main([*command, "--epochs", "3", "--seed", "5", "--picture", "p.png"]) == 0
    assert trained == [(60, 0, Path("jaxiter-digits.png")), (3, 5, Path("p.png"))]


def test_packing_needs_none_of_the_packages_of_the_demonstration(folder, tmp_path):
    program = f"""
import sys
for name in ("flax", "optax", "sklearn", "tqdm"):
    sys.modules[name] = None
from jaxiter.__main__ import main
assert main(["pack", {str(folder)!r}, {str(tmp_path / "x")!r}]) == 0
main([])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout[:11]) == (1, "7 pictures ")
    assert "packing x: 7 of 7 images (100%)" in done.stderr
    assert "pip install 'jaxiter[demo]'" in done.stderr
