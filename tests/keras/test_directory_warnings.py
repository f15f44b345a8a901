"""What is repaired in Keras' listing of folders: said in words, or refused."""

import os
import re

import numpy as np
import pytest

from jaxiter.keras import DirectoryIterator, ImageDataGenerator

from .picture_files import made, quiet, write, write_classes


def listed(folder, generator=None, **options):
    """The iterator, and its warnings as text."""
    it, printed, told = made(lambda: ImageDataGenerator(**generator or {}).flow_from_directory(folder, **options))
    assert printed == f"Found {it.samples} images belonging to {it.num_classes} classes.\n"
    assert all(warning.filename == __file__ for warning in told)
    return it, [str(warning.message) for warning in told]


def test_a_folder_that_holds_what_it_should_gives_no_warning(tmp_path):
    it, told = listed(write_classes(tmp_path, {"a": 2, "b": 1}))
    assert (it.samples, told) == (3, [])


def test_classes_without_pictures_are_named_with_the_endings_that_were_found(tmp_path):
    write_classes(tmp_path, {"a": 2})
    for name in ("b/1.gif", "b/2.webp", "b/deep/3.webp", "b/README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    it, (told,) = listed(tmp_path, classes=["a", "b", "missing"])
    assert (it.samples, it.num_classes) == (2, 3)
    for words in (
        "2 have no picture: 'b', 'missing'",
        ".webp (2)",
        ".gif (1)",
        "no ending (1)",
        "jpeg",
        "No folder: 'missing'",
    ):
        assert words in told, words
    _, (told,) = listed(tmp_path, classes=[f"class {number}" for number in range(9)])
    assert "'class 4' and 4 more" in told


@pytest.mark.parametrize("class_mode", ["categorical", None])
def test_pictures_straight_in_the_directory_are_not_found_and_the_warning_says_how(tmp_path, class_mode):
    write(tmp_path / "1.png"), write(tmp_path / "2.png")
    it, (told,) = listed(tmp_path, class_mode=class_mode)
    assert (it.samples, it.num_classes) == (0, 0)
    assert "2 pictures lie straight in it: for these pass classes=['.']" in told
    found, told = listed(tmp_path, class_mode=class_mode, classes=["."])
    assert (found.filenames, told) == (["./1.png", "./2.png"], [])
    (tmp_path / "empty").mkdir()
    _, (told,) = listed(tmp_path, class_mode=class_mode)
    assert "'empty'" in told
    assert "classes=['.']" in told


def test_an_empty_iterator_has_empty_batches(tmp_path):
    it, _ = listed(tmp_path, target_size=(6, 8))
    x, y = next(it)
    assert (x.shape, y.shape) == ((0, 6, 8, 3), (0, 0))
    assert len(it) == 0


def test_an_empty_subset_is_told(tmp_path):
    write_classes(tmp_path, {"a": 2})
    it, (told,) = listed(tmp_path, subset="validation")
    assert it.samples == 0
    assert "subset='validation' holds none of 2 pictures" in told
    _, told = listed(tmp_path, {"validation_split": 0.5}, subset="validation")
    assert not told


def test_hidden_names_count_with_a_warning_or_are_left_out(tmp_path):
    write_classes(tmp_path, {".ipynb_checkpoints": 1, "a": 2})
    write(tmp_path / "a" / ".h.png"), write(tmp_path / "a" / ".git" / "1.png")
    it, (told,) = listed(tmp_path)
    assert it.class_indices == {".ipynb_checkpoints": 0, "a": 1}
    assert it.samples == 5
    for words in ("class '.ipynb_checkpoints'", "2 pictures", "'a/.git/1.png'", "'a/.h.png'", "skip_hidden=True"):
        assert words in told, words
    it, told = listed(tmp_path, skip_hidden=True)
    assert (it.class_indices, it.filenames, told) == ({"a": 0}, ["a/0.png", "a/1.png"], [])
    it, told = listed(tmp_path, skip_hidden=True, classes=["."])
    assert (it.filenames, told) == (["./a/0.png", "./a/1.png"], [])


def test_tiff_files_are_told_once_and_tif_files_not(tmp_path):
    write(tmp_path / "a" / "1.TIFF"), write(tmp_path / "a" / "2.tiff"), write(tmp_path / "b" / "3.tif")
    it, (told,) = listed(tmp_path)
    assert it.samples == 3
    assert '".tiff"' in told
    assert "distortion" in told


@pytest.mark.parametrize("classes", [["a", "b", "a"], ["a", "a/"], ["./a", "a"], ["a/b", "a//b"]])
def test_a_class_that_is_given_twice_is_refused(tmp_path, classes):
    write_classes(tmp_path, {"a": 1, "a/b": 1})
    with pytest.raises(ValueError, match=f"{re.escape(repr(classes[-1]))}, one folder twice"):
        listed(tmp_path, classes=classes)


def test_classes_may_be_nested_and_are_numbered_as_given(tmp_path):
    write_classes(tmp_path, {"a/b": 1, "a/c": 2})
    it, told = listed(tmp_path, classes=["a/c", "a/b/"], class_mode="sparse", shuffle=False)
    assert told == []
    assert it.filenames == ["a/c/0.png", "a/c/1.png", "a/b/0.png"]
    assert next(it)[1].tolist() == [0, 0, 1]


def test_links_in_a_circle_are_entered_once(tmp_path):
    write_classes(tmp_path / "root", {"a": 1, "a/deep": 1, "other": 1})
    write(tmp_path / "outside" / "1.png"), write(tmp_path / "outside" / "in" / "2.png")
    (tmp_path / "root" / "a" / "deep" / "up").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "a" / "deep" / "top").symlink_to(tmp_path)
    (tmp_path / "root" / "a" / "twice").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "a" / "deep" / "twice").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "in" / "back").symlink_to(tmp_path / "root" / "a")
    it, _ = listed(tmp_path / "root", follow_links=True)
    assert it.filenames == [
        *("a/0.png", "a/deep/0.png", "a/deep/twice/1.png", "a/deep/twice/in/2.png"),
        *("a/twice/1.png", "a/twice/in/2.png", "other/0.png"),
    ]


@pytest.mark.parametrize("classes", [None, ["a"]])
def test_what_is_no_directory_is_refused(tmp_path, classes):
    write(tmp_path / "file.png")
    for directory, error in ((tmp_path / "missing", FileNotFoundError), (tmp_path / "file.png", NotADirectoryError)):
        with pytest.raises(error, match=directory.name):
            DirectoryIterator(directory, None, classes=classes)
    for directory in (None, 3, os.fsencode(tmp_path)):
        with pytest.raises(TypeError, match="directory is"):
            DirectoryIterator(directory, None, classes=classes)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    write_classes(tmp_path, {"a": 1, "b": 1})
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="b"):
        DirectoryIterator(tmp_path, None)


REFUSED = [
    ({"target_size": 3}, TypeError, "target_size is 3"),
    ({"color_mode": "cmyk"}, ValueError, 'Invalid color mode: cmyk; expected "rgb", "rgba", or "grayscale"'),
    ({"subset": "test"}, ValueError, "Invalid subset name: test"),
    ({"class_mode": "raw"}, ValueError, "Invalid class_mode: raw; expected one of: None, 'binary', 'categorical'"),
    ({"directory": "missing"}, FileNotFoundError, "missing"),
]


@pytest.mark.parametrize("first", range(len(REFUSED)))
def test_of_several_faults_the_first_of_keras_order_is_named(tmp_path, first):
    options = {"directory": tmp_path}
    for fault, _, _ in REFUSED[first:]:
        options |= fault
    with pytest.raises(REFUSED[first][1], match=re.escape(REFUSED[first][2])):
        ImageDataGenerator().flow_from_directory(**options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"output": "torch"}, ValueError, "output is 'torch'"),
        ({"rng": "numpy"}, ValueError, "rng is 'numpy'"),
        ({"save_to_dir": "missing"}, FileNotFoundError, "os.makedirs"),
        ({"classes": [1]}, TypeError, "classes holds 1, an int"),
        ({"shufle": True}, TypeError, "shufle"),
    ],
)
def test_other_arguments_are_refused_in_words(tmp_path, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        quiet(lambda: ImageDataGenerator().flow_from_directory(write_classes(tmp_path, {"a": 1}), **options))


def test_a_split_of_none_has_no_subset(tmp_path):
    write_classes(tmp_path, {"a": 1})
    with pytest.raises(TypeError, match="validation_split"):
        ImageDataGenerator(validation_split=None).flow_from_directory(tmp_path, subset="training")


@pytest.mark.parametrize(("dtype", "most"), [("uint8", 256), ("int8", 128), ("bool", 2)])
def test_a_dtype_that_cannot_hold_the_class_numbers_is_refused(tmp_path, dtype, most):
    for number in range(most + 1):
        (tmp_path / f"{number:03}").mkdir()
    write(tmp_path / f"{most - 1:03}" / "1.png")
    generator = ImageDataGenerator(dtype=dtype)
    with pytest.raises(ValueError, match=rf"{dtype} holds no more than {most} classes exactly; here are {most + 1}"):
        made(lambda: generator.flow_from_directory(tmp_path, class_mode="sparse"))
    made(lambda: generator.flow_from_directory(tmp_path, class_mode="categorical"))
    (tmp_path / f"{most:03}").rmdir()
    it, _, _ = made(lambda: generator.flow_from_directory(tmp_path, class_mode="sparse"))
    assert next(it)[1].astype(int).tolist() == [most - 1]


def test_rgba_as_jpeg_is_pillows_error(tmp_path):
    write_classes(tmp_path, {"a": 1})
    generator = ImageDataGenerator()
    it = quiet(
        lambda: generator.flow_from_directory(tmp_path, color_mode="rgba", save_to_dir=tmp_path, save_format="jpeg")
    )
    with pytest.raises(OSError, match="cannot write mode RGBA as JPEG"):
        next(it)


def test_saved_files_carry_their_place_in_the_subset(tmp_path):
    write_classes(tmp_path / "in", {"a": 4})
    (tmp_path / "out").mkdir()
    generator = ImageDataGenerator(validation_split=0.5)
    it = quiet(
        lambda: generator.flow_from_directory(
            tmp_path / "in", subset="training", save_to_dir=tmp_path / "out", shuffle=False, target_size=(6, 8)
        )
    )
    next(it)
    assert sorted(name.split("_")[1] for name in os.listdir(tmp_path / "out")) == ["0", "1"]
    assert np.all([0 <= int(name.split("_")[2][:-4]) < 10**7 for name in os.listdir(tmp_path / "out")])
