"""What is said of files, folders and labels that cannot be used."""

import os
import pickle
import warnings

import jax
import numpy as np
import pytest
from PIL import Image

from jaxiter import Loader, check_files, image_files, image_folder, scan_epoch, stream

from .pictures import photo, write_folder
from .test_image_files import touch


def broken(root):
    """A folder with good and bad files; returns what must be said of each bad one, by its row."""
    write_folder(root, [(20, 30)] * 4, classes=("good",))
    (root / "bad").mkdir()
    whole = (root / "good" / "001.jpg").read_bytes()
    contents = {
        "0.png": (b"", "it is empty, 0 bytes"),
        "1.png": (
            b"some text, really",
            "no picture that Pillow knows, though its name ends in '.png'; it begins with b'some",
        ),
        "2.jpg": (whole[: len(whole) // 2], "it is truncated"),
        "3.png": ((root / "good" / "000.png").read_bytes()[:200], "it is truncated"),
        "4.jpg": ((root / "good" / "000.png").read_bytes(), None),  # a PNG, which is read
    }
    for name, (content, _) in contents.items():
        (root / "bad" / name).write_bytes(content)
    (root / "bad" / "5.png").symlink_to(root / "nowhere.png")
    return [said for _, said in contents.values()] + ["it is not there"]


@pytest.mark.parametrize("settings", [{}, {"size": (4, 4)}])
def test_all_bad_files_are_listed_with_what_is_wrong(tmp_path, settings, capfd):
    said = broken(tmp_path)
    source = image_folder(tmp_path, **settings)
    found = check_files(source)
    assert "checking" in capfd.readouterr().err
    assert [row for row, _, _ in found] == [row for row, words in enumerate(said) if words is not None]
    for row, path, error in found:
        assert path == source.files[row] == error.file
        assert error.row == row
        assert said[row] in error.reason
        with pytest.raises(OSError, match=rf"{path}' \(row {row}, class 'bad'\) cannot be read: ") as raised:
            source[row]
        assert said[row] in str(raised.value)
        assert "check_files(source) lists all" in str(raised.value)
        copy = pickle.loads(pickle.dumps(error))  # as a process pool would send it
        assert (str(copy), copy.row, copy.reason) == (str(error), row, error.reason)
    assert source[4].shape[:2] == (20, 30) if not settings else (4, 4)
    assert len(check_files(source, num_threads=1, progress=False)) == len(found)
    assert capfd.readouterr() == ("", "")


def test_a_stream_raises_at_the_batch_of_the_bad_file_and_goes_on(tmp_path):
    broken(tmp_path)
    photos = image_folder(tmp_path, size=(4, 4))
    loader = Loader((photos, photos.labels), batch_size=2, shuffle=False, rows=[6, 7, 8, 1, 9, 4])
    with stream(loader, jax.random.key(0), num_epochs=1) as batches:
        assert next(batches)[1].tolist() == [1, 1]
        with pytest.raises(OSError, match=r"1\.png' \(row 1, class 'bad'\) cannot be read"):
            next(batches)
        assert batches.position == (0, 1)
    with pytest.raises(OSError, match="cannot be read"):
        loader.to_device()


def test_the_place_of_a_file_without_class_names(tmp_path):
    touch(tmp_path, "1.png")
    for labels, place in [(None, "row 0"), ([7], "row 0, class '7'")]:
        with pytest.raises(OSError, match=rf"\({place}\) cannot be read: it is empty"):
            image_files([tmp_path / "1.png"], labels=labels)[0]


def test_pillows_limit_of_pixels_is_respected(tmp_path, monkeypatch):
    Image.fromarray(photo(20, 30)).save(tmp_path / "1.png")
    source = image_files([tmp_path / "1.png"])
    words = "more pixels than Pillow takes for safe, PIL.Image.MAX_IMAGE_PIXELS = "
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(OSError, match=f"{words}299 .*Set a larger limit"):
        source[0]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # Pillow warns up to twice its limit
    with pytest.raises(OSError, match=f"{words}300"):
        source[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert source[0].shape == (20, 30, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert source[0].shape == (20, 30, 3)


def test_pillows_setting_for_truncated_files_is_respected(tmp_path, monkeypatch):
    Image.fromarray(photo(64, 64)).save(tmp_path / "1.jpg", quality=100)
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:-99])
    source = image_files([tmp_path / "1.jpg"])
    with pytest.raises(OSError, match="LOAD_TRUNCATED_IMAGES"):
        source[0]
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    assert source[0].shape == (64, 64, 3)


def test_sides_that_no_ragged_picture_may_have(tmp_path):
    Image.new("L", (2**15, 1)).save(tmp_path / "1.png")
    Image.new("L", (2, 2**15)).save(tmp_path / "2.png")
    source = image_files([tmp_path / "1.png", tmp_path / "2.png"], mode="L")
    with pytest.raises(OSError, match="it is 1 by 32768 pixels; expected sides of at most 32,767"):
        source[0]
    with pytest.raises(OSError, match="it is 32768 by 2 pixels"):
        source[1]
    assert source.decode(1, shorter_side=1)[0].shape == (16384, 1, 1)
    assert image_files(source.files, mode="L", size=(3, 4))[:].shape == (2, 3, 4, 1)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    Image.fromarray(photo(4, 4)).save(tmp_path / "1.png")

    def refuse(file, mode):
        raise PermissionError(13, "Permission denied", file)

    monkeypatch.setattr("jaxiter.host._decode.open", refuse, raising=False)  # a superuser may read all
    with pytest.raises(OSError, match=r"this process may not read it \(Permission denied\)"):
        image_files([tmp_path / "1.png"])[0]


def test_a_file_that_is_gone_and_one_that_is_a_folder(tmp_path):
    Image.fromarray(photo(4, 4)).save(tmp_path / "1.png")
    (tmp_path / "2.png").mkdir()
    source = image_files([tmp_path / "1.png", tmp_path / "2.png"])
    os.remove(tmp_path / "1.png")
    for row, words in enumerate(["it is not there; it has gone since", "it is a folder"]):
        with pytest.raises(OSError, match=words):
            source[row]


def test_a_link_to_itself_is_one_that_leads_nowhere(tmp_path):
    (tmp_path / "1.png").symlink_to(tmp_path / "1.png")
    Image.fromarray(photo(8, 8)).save(tmp_path / "2.png")
    with pytest.raises(OSError, match=r"it is not there.*a link that leads nowhere"):
        image_files([tmp_path / "2.png", tmp_path / "1.png"])[1]


def test_a_scan_over_files_says_what_reads_them(tmp_path):
    Image.fromarray(photo(8, 8)).save(tmp_path / "1.png")
    loader = Loader(image_files([tmp_path / "1.png"], size=4), batch_size=1)
    with pytest.raises(TypeError, match=r"data is an ImageFiles, which .* loader.to_device\(\), which reads it once"):
        scan_epoch(lambda carry, batch: (carry, None), 0, loader, jax.random.key(0), 0)


def test_folders_that_are_no_classes(tmp_path):
    touch(tmp_path, "flat/1.png", "flat/2.png", "holes/a/1.png", "holes/b/notes.txt", "holes/c/.x.png", "file.png")
    with pytest.raises(FileNotFoundError, match="nothing' does not exist"):
        image_folder(tmp_path / "nothing")
    with pytest.raises(NotADirectoryError, match=r"file.png' is no folder; expected"):
        image_folder(tmp_path / "file.png")
    with pytest.raises(ValueError, match=r"flat' has no folders, and 2 pictures; .*image_files\(list_of_files"):
        image_folder(tmp_path / "flat")
    with pytest.raises(ValueError, match=r"2 of 3 class folders in .* hold no pictures of their own: 'b', 'c';"):
        image_folder(tmp_path / "holes")
    touch(tmp_path, "loose/a/1.png", "loose/1.png")
    with pytest.warns(UserWarning, match="1 of the pictures lies directly in .*; left out") as warned:
        assert len(image_folder(tmp_path / "loose")) == 1
    assert warned[0].filename == __file__
    touch(tmp_path, "loose/2.png")
    with pytest.warns(UserWarning, match="2 of the pictures lie directly in .*; left out"):
        image_folder(tmp_path / "loose")
    touch(tmp_path, "single/1.png")
    with pytest.raises(ValueError, match="single' has no folders, and 1 picture; expected"):
        image_folder(tmp_path / "single")


def test_parts_of_the_data_that_are_taken_for_classes(tmp_path):
    touch(tmp_path, "split/train/cat/1.png", "split/train/dog/1.png", "split/test/cat/1.png", "split/test/dog/1.png")
    with pytest.warns(UserWarning, match="None of them holds a picture itself") as warned:
        assert image_folder(tmp_path / "split").class_names == ["test", "train"]
    (message,) = (str(warning.message) for warning in warned)
    assert "are its folders 'test', 'train'. None" in message
    assert "in 'train' 'cat', 'dog'. If those are the classes, use" in message
    assert f"image_folder({str(tmp_path / 'split' / 'train')!r})" in message
    assert len(image_folder(tmp_path / "split" / "train")) == 2
    touch(tmp_path, "split/train/1.png")  # one class that holds a picture itself is one that is meant
    assert image_folder(tmp_path / "split").class_names == ["test", "train"]


def test_pictures_of_other_endings_are_counted(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.JFIF", "a/3.jfif", "a/deep/4.ppm", "b/1.jpg", "b/2.heic", "3.avif", "a/.5.ppm")
    touch(tmp_path, "a/notes.txt", "a/README", "b/labels.csv", "b/2.json", "b/3.npy", "b/4.h5", "b/5.pdf", "b/6.mpg")
    with pytest.warns(UserWarning, match="5 files below ") as warned:
        assert len(image_folder(tmp_path)) == 2
    (message,) = (str(warning.message) for warning in warned)
    assert "and left out: 1 .avif, 1 .heic, 2 .jfif, 1 .ppm. Those that end in .jpg, " in message
    assert "are pictures by their endings" in message
    for name in ("a/2.JFIF", "a/3.jfif", "a/deep/4.ppm", "b/2.heic"):
        os.remove(tmp_path / name)
    with pytest.warns(UserWarning, match="1 file below .* is a picture by its ending, and left out: 1 .avif"):
        image_folder(tmp_path)
    os.remove(tmp_path / "3.avif")
    assert len(image_folder(tmp_path)) == 2  # what is left is no picture, and no warning


@pytest.mark.extras
def test_columns_of_pandas_in_another_order_are_no_pair(tmp_path):
    import pandas as pd

    touch(tmp_path, "1.png", "2.png", "3.png")
    paths = [str(tmp_path / f"{number}.png") for number in (1, 2, 3)]
    table = pd.DataFrame({"path": paths, "name": ["a", "b", "c"]})
    other = table.iloc[[2, 0, 1]]
    with pytest.raises(ValueError, match=r"indexes that differ, .* paired by position; .* labels.to_numpy\(\)"):
        image_files(other["path"], labels=table["name"])
    assert image_files(other["path"], labels=other["name"]).labels.tolist() == [2, 0, 1]
    assert image_files(other["path"], labels=table["name"].to_numpy()).labels.tolist() == [0, 1, 2]
    assert image_files(other["path"].tolist(), labels=table["name"]).labels.tolist() == [0, 1, 2]
    assert image_files(other["path"], labels=["a", "b", "c"]).labels.tolist() == [0, 1, 2]


def test_a_class_that_is_only_a_link_to_another(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=r"no pictures of their own: 'b'; .* counts for that class alone"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"size": (4,)}, ValueError, r"size is \(4,\); expected \(height, width\)"),
        ({"size": (4, 0)}, ValueError, "size is 0; expected sides of at least 1"),
        ({"size": "4"}, TypeError, "size is '4'"),
        ({"resize": "fit"}, ValueError, "resize is 'fit'; expected one of 'squash', 'crop', 'pad'"),
        ({"mode": "HSV"}, ValueError, "mode is 'HSV'; expected one of 'L', 'RGB', 'RGBA'"),
        ({"dtype": "float32"}, ValueError, "dtype is float32; expected 'uint8'"),
        ({"dtype": "uint16"}, ValueError, "dtype is uint16 and mode is 'RGB'; expected mode='L'"),
        ({"dtype": "pixels"}, TypeError, "dtype is 'pixels'; expected 'uint8'"),
    ],
)
def test_settings_are_checked_when_a_source_is_made(tmp_path, settings, error, message):
    touch(tmp_path, "a/1.png")
    for make, given in ((image_folder, tmp_path), (image_files, [tmp_path / "a" / "1.png"])):
        with pytest.raises(error, match=message):
            make(given, **settings)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ("photos", TypeError, r"files is 'photos', one path; expected a list of files.*image_folder\(path\)"),
        ([], ValueError, "files is empty"),
        (7, TypeError, "files is 7; expected a list of paths"),
        ({"a": "1.png"}, TypeError, "files is a dict; expected a list of paths"),
        ([1.5], TypeError, r"files\[0\] is 1.5; expected a path"),
        (["{}/1.png", None], TypeError, r"files\[1\] is None; expected a path, .*entry\['bytes'\] or entry\['path'\]"),
        (["nowhere/1.png"], FileNotFoundError, r"files\[0\] is '.*nowhere/1.png', which is not there.*working folder"),
        (np.array([["1.png", "2.png"]]), TypeError, "expected a list of paths, or one column"),
    ],
)
def test_files_that_are_none(tmp_path, files, error, message):
    touch(tmp_path, "1.png")
    if isinstance(files, list):
        files = [file.format(tmp_path) if isinstance(file, str) else file for file in files]
    with pytest.raises(error, match=message):
        image_files(files)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([1], ValueError, "labels has length 1, and there are 2 files; expected one label for each file"),
        (3, ValueError, "there are 2 files"),
        (["a", None], TypeError, "labels holds None at row 1; expected an integer for each file, or text"),
        ([1, np.nan], TypeError, "labels holds nan at row 1"),
        (["a", float("nan")], TypeError, "labels holds nan at row 1"),
        (["a", 1], TypeError, "labels holds both text and integers"),
        (np.array([1, np.nan]), TypeError, "labels holds nan at row 1"),
        ([0.5, 1.5], TypeError, "labels holds 0.5 at row 0"),
        (np.array(["a", 1], object), TypeError, "labels holds both text and integers"),
        ([[1, 0], [0, 1]], TypeError, r"expected an integer for each file.*Loader\(\(photos, targets\)"),
        ([0, 2**31], ValueError, "runs from 0 to 2147483648; expected integers of 32 bits"),
    ],
)
def test_labels_that_are_none(tmp_path, labels, error, message):
    touch(tmp_path, "1.png", "2.png")
    with pytest.raises(error, match=message):
        image_files([tmp_path / "1.png", tmp_path / "2.png"], labels=labels)


def test_a_shorter_side_beside_a_size_and_rows_that_are_not_there(tmp_path):
    Image.fromarray(photo(8, 8)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="expected only one of both"):
        image_files([tmp_path / "1.png"], size=4).decode(0, shorter_side=4)
    with pytest.raises(ValueError, match="shorter_side is 0"):
        image_files([tmp_path / "1.png"]).decode(0, shorter_side=0)
    with pytest.raises(ValueError, match="row is 1; expected a row of 1 pictures"):
        image_files([tmp_path / "1.png"]).decode(1)
    for index in (1, -2, [0, 1], np.array([-2])):
        with pytest.raises(IndexError, match=r"row (1|-2) of 1 pictures; expected one in \[0, 1\)"):
            image_files([tmp_path / "1.png"])[index]
    with pytest.raises(TypeError, match=r"source is .*; expected what image_folder or image_files returns"):
        check_files([str(tmp_path / "1.png")])
