"""Packing files: what lies in the file, and which files and arguments are refused."""

import errno
import json
import os
import re
import time

import numpy as np
import pytest
from PIL import Image

from jaxiter import ImageFiles, PackReport, Ragged, from_records, image_files, image_folder, open_packed, pack
from jaxiter.host._unfinished import Unfinished

from .noise_folder import SIZES, write_folder
from .packing import contents, packed


def reduced(size, side):
    """Its shorter side is `side`; the other is rounded, half up."""
    shorter = min(size)
    return size if shorter <= side else tuple(int(np.floor(length * side / shorter + 0.5)) for length in size)


# What lies in the file.


@pytest.mark.parametrize("side", [1, 17, 30, 41, None])
def test_pictures_are_those_of_pillow_reduced_and_never_enlarged(folder, tmp_path, side):
    source = image_folder(folder)
    report = packed(source, tmp_path / "photos.jx", shorter_side=side)
    assert report == PackReport(str(tmp_path / "photos.jx"), len(SIZES), [])
    images, labels, class_names = open_packed(report.file)
    np.testing.assert_array_equal(images.source_shapes, SIZES)
    np.testing.assert_array_equal(labels, source.labels)
    assert class_names == source.class_names
    for row, (path, size) in enumerate(zip(source.files, SIZES, strict=True)):
        height, width = size if side is None else reduced(size, side)
        whole = Image.open(path)
        expected = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(images[row], expected)


def test_sizes_before_packing_are_those_of_the_picture_the_right_way_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    images, labels, class_names = open_packed(
        packed(image_files([tmp_path / "turned.jpg"]), tmp_path / "x", shorter_side=10).file
    )
    assert (images.shapes.tolist(), images.source_shapes.tolist()) == ([[20, 10]], [[40, 20]])
    assert (labels, class_names) == (None, None)


@pytest.mark.parametrize(("mode", "dtype", "channels"), [("L", "uint8", 1), ("L", "uint16", 1), ("RGBA", "uint8", 4)])
def test_modes_and_dtypes_are_kept(tmp_path, mode, dtype, channels):
    numbers = np.random.default_rng(0).integers(0, 65536, (12, 9), np.uint16)
    picture = numbers if dtype == "uint16" else (numbers >> 8).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "one.png")
    source = image_files([tmp_path / "one.png"], labels=[7], mode=mode, dtype=dtype)
    images, labels, _ = open_packed(packed(source, tmp_path / "one.jx").file)
    assert (images.dtype, images.shape, labels.tolist()) == (np.dtype(dtype), (1, None, None, channels), [7])
    assert images.mode == mode
    np.testing.assert_array_equal(images[0][..., 0], picture)
    np.testing.assert_array_equal(images[0], source[0])


@pytest.mark.parametrize("size", [None, (6, 8)])
def test_no_byte_depends_on_threads_or_on_which_is_done_first(folder, tmp_path, monkeypatch, size):
    source = image_folder(folder, size=size)
    expected = contents(packed(source, tmp_path / "one", num_threads=1).file)
    decode = ImageFiles.decode

    def slow(self, row, *, shorter_side=None):
        time.sleep(0.02 if row % 3 == 0 else 0)
        return decode(self, row, shorter_side=shorter_side)

    monkeypatch.setattr(ImageFiles, "decode", slow)
    for num_threads in (2, 5, None):
        file = packed(source, tmp_path / str(num_threads), num_threads=num_threads).file
        assert contents(file) == expected


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_of_one_size_the_file_is_that_of_np_save(folder, tmp_path, resize):
    source = image_folder(folder, size=(6, 8), resize=resize)
    report = packed(source, tmp_path / "photos.npy")
    np.save(tmp_path / "expected.npy", source[:])
    assert contents(report.file) == contents(tmp_path / "expected.npy")
    assert isinstance(np.load(report.file, mmap_mode="r"), np.memmap)
    said = json.loads(contents(report.file + ".json"))
    assert (said["labels"], said["class_names"]) == (source.labels.tolist(), source.class_names)
    assert said["made_of"]["resize"] == resize
    assert sorted(os.listdir(tmp_path)) == ["expected.npy", "photos", "photos.npy", "photos.npy.json"]


def test_few_pictures_wait_to_be_written(tmp_path, monkeypatch, decoded):
    write_folder(tmp_path / "photos", sizes=[(4, 4)] * 60, classes=["a"] * 60)
    waiting, append = [], Unfinished.append

    def slowly(self, entry, pixels=None):
        time.sleep(0.002)
        waiting.append(len(decoded) - len(self))
        append(self, entry, pixels)

    monkeypatch.setattr(Unfinished, "append", slowly)
    packed(image_folder(tmp_path / "photos"), tmp_path / "x", num_threads=2)
    assert 2 <= max(waiting) <= 12


def test_how_far_it_is_shows_on_stderr_where_asked(folder, tmp_path, capfd):
    pack(image_folder(folder), tmp_path / "x", progress=False)
    assert capfd.readouterr() == ("", "")
    pack(image_folder(folder), tmp_path / "photos.jx")
    out, err = capfd.readouterr()
    assert out == ""
    assert "packing photos.jx" in err
    assert "7/7" in err or "7 of 7" in err


# Bad files.


@pytest.fixture
def broken(folder):
    """Rows 1 and 4 cannot be read."""
    (folder / "cat" / "01.png").write_bytes(b"")
    with open(folder / "dog" / "04.png", "r+b") as file:
        file.truncate(300)
    return folder


def test_one_error_names_all_bad_files_and_nothing_is_made(broken, tmp_path):
    with pytest.raises(OSError, match=r"2 of 7 files cannot be read, and .*photos.jx' was not made") as caught:
        packed(image_folder(broken), tmp_path / "photos.jx")
    for row, name, reason in [(1, "cat/01.png", "empty"), (4, "dog/04.png", "truncated")]:
        assert re.search(f"row {row}, .*{name}.*{reason}", str(caught.value))
    assert "on_error='report'" in str(caught.value)
    assert not (tmp_path / "photos.jx").exists()


@pytest.mark.parametrize("size", [None, (6, 8)])
def test_bad_files_are_left_out_and_reported(broken, tmp_path, size):
    source = image_folder(broken, size=size)
    report = packed(source, tmp_path / "photos.jx", on_error="report")
    rows = [0, 2, 3, 5, 6]
    assert report.num_examples == 5
    assert [(row, path) for row, path, _ in report.left_out] == [(row, source.files[row]) for row in (1, 4)]
    images, labels, class_names = open_packed(report.file)
    np.testing.assert_array_equal(labels, source.labels[rows])
    assert class_names == source.class_names
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(images[place], source[row])
    again = packed(source, tmp_path / "photos.jx", on_error="report")
    assert [(row, path, str(error)) for row, path, error in again.left_out] == [
        (row, path, str(error)) for row, path, error in report.left_out
    ]
    for row, _, error in again.left_out:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            source[row]
        assert (str(error), type(error), error.row) == (str(caught.value), type(caught.value), row)
    with pytest.raises(OSError, match=r"2 of 7 files cannot be read, and .*photos.jx' was packed without them"):
        packed(source, tmp_path / "photos.jx")


def test_after_an_error_no_good_file_is_decoded_again(broken, tmp_path, decoded):
    with pytest.raises(OSError, match="2 of 7"):
        packed(image_folder(broken), tmp_path / "photos.jx")
    decoded.clear()
    packed(image_folder(broken), tmp_path / "photos.jx", on_error="report")
    assert decoded == [1, 4]
    expected = packed(image_folder(broken), tmp_path / "whole", on_error="report").file
    assert contents(tmp_path / "photos.jx") == contents(expected)


def test_a_file_that_can_be_read_later_is_taken_in(folder, tmp_path, monkeypatch):
    """As after a chmod, which leaves the times of the file."""
    source, file = image_folder(folder), tmp_path / "photos.jx"
    with monkeypatch.context() as patch:
        patch.setattr("jaxiter.host._image_files.decode_file", refusing(source.files[2], source.files[5]))
        with pytest.raises(OSError, match="2 of 7"):
            packed(source, file)
    packed(source, file)
    assert contents(file) == contents(packed(source, tmp_path / "whole").file)


def refusing(*files):
    from jaxiter.host._decode import decode_file

    def decode(file, settings, shorter_side=None):
        if file in files:
            raise PermissionError(errno.EACCES, "Permission denied")
        return decode_file(file, settings, shorter_side)

    return decode


def test_files_none_of_which_can_be_read_make_no_file(tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(OSError, match="1 of 1 files cannot be read") as caught:
        packed(image_files([tmp_path / "bad.png"]), tmp_path / "x", on_error="report")
    assert "on_error" not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_a_file_that_is_gone_is_named(folder, tmp_path):
    source = image_folder(folder)
    os.remove(source.files[3])
    with pytest.raises(OSError, match=r"1 of 7 .*\n.*row 3, .*03.png.*not there"):
        packed(source, tmp_path / "x")


def test_files_that_change_meanwhile_make_no_file(folder, tmp_path, monkeypatch):
    source, decode = image_folder(folder), ImageFiles.decode

    def touching(self, row, *, shorter_side=None):
        os.utime(self.files[5], ns=(row, row))
        return decode(self, row, shorter_side=shorter_side)

    monkeypatch.setattr(ImageFiles, "decode", touching)
    with pytest.raises(OSError, match=r"1 of 7 files changed while they were packed, first .*05.png") as caught:
        packed(source, tmp_path / "photos.jx")
    assert "Call pack again once they stay as they are" in str(caught.value)
    assert not (tmp_path / "photos.jx").exists()


def test_names_that_are_no_text_are_packed(tmp_path):
    os.mkdir(os.fsencode(tmp_path / "photos"))
    os.mkdir(os.fsencode(tmp_path / "photos") + b"/caf\xe9")
    with open(os.fsencode(tmp_path / "photos") + b"/caf\xe9/\xff.png", "wb") as file:
        Image.new("RGB", (4, 4)).save(file, "PNG")
    with open(os.fsencode(tmp_path / "photos") + b"/caf\xe9/\xfe.png", "wb") as file:
        file.write(b"")
    source = image_folder(tmp_path / "photos")
    report = packed(source, tmp_path / "x", on_error="report")
    assert [path for _, path, _ in report.left_out] == source.files[:1]
    assert open_packed(report.file).class_names == source.class_names == ["caf\udce9"]


# Arguments.


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"shorter_side": 0}, ValueError, "shorter_side is 0; expected a number of pixels, or None"),
        ({"shorter_side": 20.0}, TypeError, r"shorter_side is 20\.0"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"on_error": "skip"}, ValueError, "on_error is 'skip'; expected 'raise' or 'report'"),
        ({"progress": 1}, TypeError, "progress is 1"),
    ],
)
def test_wrong_settings_are_refused(folder, tmp_path, settings, error, words):
    with pytest.raises(error, match=words):
        pack(image_folder(folder), tmp_path / "x", **settings)
    assert os.listdir(tmp_path) == ["photos"]


def test_wrong_sources_and_places_are_refused(folder, tmp_path):
    source = image_folder(folder)
    with pytest.raises(TypeError, match=r"expected jaxiter.image_folder\(...\)"):
        pack(str(folder), tmp_path / "x")
    with pytest.raises(TypeError, match="file is 5; expected the path of the file to make"):
        pack(source, 5)
    records = from_records([{"image": np.zeros((4, 5 + row, 3), np.uint8)} for row in range(2)], ragged="image")
    sources = {
        r"a Ragged; .*np.savez\(file, pixels=source.pixels": Ragged(np.zeros((6, 3), np.uint8), [0], [(2, 3)]),
        r"an array uint8\[2, 4, 4, 3\]; .*np.save\(file, source\)": np.zeros((2, 4, 4, 3), np.uint8),
        r"a RaggedColumn; .*to_device\(\).*image_files\(list_of_them": records["image"],
        r"a dict; .*to_device\(\)": records,
        r"Of the path of a folder make image_folder\(path\)": folder,
    }
    for words, given in sources.items():
        with pytest.raises(TypeError, match=words):
            pack(given, tmp_path / "x")
    with pytest.raises(ValueError, match=r"shorter_side is 20, and the source has size=\(4, 4\)"):
        pack(image_folder(folder, size=4), tmp_path / "x", shorter_side=20)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        pack(source, tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        pack(source, tmp_path / "nowhere" / "x")
