"""Packing files: what lies in the file, what an interrupted run leaves, and what is refused."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from PIL import Image

from jaxiter import ImageFiles, PackReport, Ragged, from_records, image_files, image_folder, open_packed, pack
from jaxiter.host._pack import _Target
from jaxiter.host._unfinished import Unfinished

from .noise_folder import CLASSES, SIZES, write_folder


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """The rows that are decoded, in the order in which they are begun."""
    rows, decode = [], ImageFiles.decode

    def noted(self, row, *, shorter_side=None):
        rows.append(row)
        return decode(self, row, shorter_side=shorter_side)

    monkeypatch.setattr(ImageFiles, "decode", noted)
    return rows


def packed(source, file, **settings):
    """The report of a call that shows nothing."""
    return pack(source, file, progress=False, **settings)


def contents(file):
    with open(file, "rb") as opened:
        return opened.read()


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


# Interrupted runs.


class Stopped(BaseException):
    pass


def pack_stopped(monkeypatch, count, source, file, **settings):
    """Packing that ends by an exception once `count` pictures are written."""
    append = Unfinished.append

    def until(self, entry, pixels=None):
        if len(self) == count:
            raise Stopped
        append(self, entry, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "append", until)
        with pytest.raises(Stopped):
            packed(source, file, **settings)


def nothing(part, journal):
    pass


def pixels_are_missing(part, journal):
    os.truncate(part, os.path.getsize(part) - 100)


def all_pixels_are_missing(part, journal):
    os.remove(part)


def pixels_are_zeros(part, journal):
    size = os.path.getsize(part)
    os.truncate(part, size - 500)
    os.truncate(part, size)


def a_line_is_half_written(part, journal):
    os.truncate(journal, os.path.getsize(journal) - 3)


def a_line_is_no_json(part, journal):
    with open(journal, "ab") as file:
        file.write(bytes(40) + b"\n")


def pixels_have_no_line_yet(part, journal):
    with open(part, "ab") as file:
        file.write(b"the next picture, or a part of it")


def the_journal_is_empty(part, journal):
    os.truncate(journal, 0)


def the_header_was_written(part, journal):
    with open(os.path.join(os.path.dirname(part), "whole"), "rb") as whole, open(part, "r+b") as file:
        file.write(whole.read(128))


LEFT = [
    nothing,
    pixels_are_missing,
    all_pixels_are_missing,
    pixels_are_zeros,
    a_line_is_half_written,
    a_line_is_no_json,
    pixels_have_no_line_yet,
    the_journal_is_empty,
    the_header_was_written,
]


@pytest.mark.parametrize("size", [None, (6, 8)])
@pytest.mark.parametrize("left", LEFT)
def test_whatever_a_run_left_the_next_one_ends_with_the_same_bytes(folder, tmp_path, monkeypatch, size, left):
    source, file = image_folder(folder, size=size), tmp_path / "photos.jx"
    expected = contents(packed(source, tmp_path / "whole").file)
    pack_stopped(monkeypatch, 4, source, file)
    assert not file.exists()
    left(f"{file}.part", f"{file}.part.journal")
    pack_stopped(monkeypatch, 5, source, file)
    assert len(contents(f"{file}.part.journal").splitlines()) == 6  # the first is of the sources
    with pytest.raises(ValueError, match=r"is unfinished|pickled"):
        open_packed(f"{file}.part") if size is None else np.load(f"{file}.part")
    assert packed(source, file) == PackReport(str(file), len(SIZES), [])
    assert contents(file) == expected
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


def test_what_is_done_is_not_decoded_again(folder, tmp_path, monkeypatch, decoded):
    source, file = image_folder(folder), tmp_path / "photos.jx"
    for count in (2, 5):
        pack_stopped(monkeypatch, count, source, file)
        with pytest.raises(ValueError, match="is unfinished"):
            open_packed(f"{file}.part")
    decoded.clear()
    packed(source, file)
    assert sorted(decoded) == [5, 6]


PROGRAM = """
    import os, signal, sys
    from jaxiter import image_folder, pack
    from jaxiter.host import _claim, _unfinished
    folder, file, when, size = sys.argv[1:]

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    link, remove = os.link, os.remove
    if when == "while it decodes":
        append = _unfinished.Unfinished.append
        _unfinished.Unfinished.append = lambda self, *new: killed() if len(self) == 5 else append(self, *new)
    elif when == "before it has its name":
        _claim.os.link = lambda part, path: killed() if path == file else link(part, path)
    else:
        _claim.os.remove = lambda path: killed() if path == file + ".part" else remove(path)
    pack(image_folder(folder, size=int(size) or None), file, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 8])
@pytest.mark.parametrize("when", ["while it decodes", "before it has its name", "once it has its name"])
def test_a_killed_run_leaves_no_part_of_a_file_that_opens(folder, tmp_path, decoded, when, size):
    source, file = image_folder(folder, size=size or None), tmp_path / "photos.jx"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), folder, file, when, str(size)]
    done = subprocess.run(command, timeout=100, check=False)
    assert done.returncode == -9
    assert file.exists() == (when == "once it has its name")
    expected = contents(packed(source, tmp_path / "whole").file)
    if file.exists():
        assert contents(file) == expected
    decoded.clear()
    packed(source, file)
    assert contents(file) == expected
    assert len(decoded) == (2 if when == "while it decodes" else 0)


@pytest.mark.slow
def test_a_finished_file_that_was_moved_is_not_written_to(folder, tmp_path):
    """A call that is killed before it removes the first name leaves two names of one file."""
    source, file = image_folder(folder), tmp_path / "photos.jx"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), folder, file, "once it has its name", "0"]
    assert subprocess.run(command, timeout=100, check=False).returncode == -9
    os.rename(file, tmp_path / "moved")
    expected = contents(tmp_path / "moved")
    pack_stopped(pytest.MonkeyPatch(), 3, source, file)
    assert contents(tmp_path / "moved") == expected
    packed(source, file)
    assert contents(file) == contents(tmp_path / "moved") == expected


# Others who write at the same place.


def appearing(monkeypatch, file, said=b"of someone else"):
    """Another file of that name is there as soon as the third picture was written."""
    append = Unfinished.append

    def meanwhile(self, entry, pixels=None):
        append(self, entry, pixels)
        if len(self) == 3:
            file.write_bytes(said)

    monkeypatch.setattr(Unfinished, "append", meanwhile)


def without_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("size", [None, (6, 8)])
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(folder, tmp_path, monkeypatch, decoded, size, links):
    source, file = image_folder(folder, size=size), tmp_path / "photos.jx"
    expected = contents(packed(source, tmp_path / "whole").file)
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    with monkeypatch.context() as patch:
        appearing(patch, file)
        with pytest.raises(FileExistsError, match=r"photos.jx' appeared while .* Nothing is overwritten: remove it"):
            packed(source, file)
    assert contents(file) == b"of someone else"
    assert not os.path.exists(f"{file}.json")
    os.remove(file)
    decoded.clear()
    packed(source, file)
    assert decoded == []
    assert contents(file) == expected
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


def test_a_file_that_another_process_finished_meanwhile_is_taken(folder, tmp_path, monkeypatch, decoded):
    """Between the first look for it and the lock."""
    source, file = image_folder(folder), tmp_path / "photos.jx"
    looked, finished = [], _Target.finished

    def look(self, fingerprint):
        found = finished(self, fingerprint)
        if not looked:
            looked.append(found)
            packed(source, file)
            decoded.clear()
        return found

    monkeypatch.setattr(_Target, "finished", look)
    assert packed(source, file) == PackReport(str(file), len(SIZES), [])
    assert (looked, decoded) == ([None], [])
    assert sorted(os.listdir(tmp_path)) == ["photos", "photos.jx"]


PACKERS = """
    import os, sys
    from jaxiter import image_folder, pack
    source = image_folder(sys.argv[1], size=int(sys.argv[3]) or None)
    for number in range(40):
        while True:
            try:
                pack(source, f"{sys.argv[2]}{number}", progress=False, num_threads=1)
            except ValueError as error:
                assert "another process packs to" in str(error), error
            else:
                break
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 8])
def test_two_packers_at_once_make_whole_files_and_leave_nothing(folder, tmp_path, size):
    (tmp_path / "out").mkdir()
    expected = contents(packed(image_folder(folder, size=size or None), tmp_path / "whole").file)
    command = [sys.executable, "-c", textwrap.dedent(PACKERS), folder, tmp_path / "out" / "x", str(size)]
    packers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for packer in packers:
        _, said = packer.communicate(timeout=200)
        assert (packer.returncode, said) == (0, "")
    assert all(contents(tmp_path / "out" / f"x{number}") == expected for number in range(40))
    assert not [name for name in os.listdir(tmp_path / "out") if ".part" in name]


def test_unfinished_work_of_other_settings_or_sources_is_left_alone(folder, tmp_path, monkeypatch, decoded):
    source, file = image_folder(folder), tmp_path / "photos.jx"
    pack_stopped(monkeypatch, 4, source, file, shorter_side=20)
    part, journal = f"{file}.part", f"{file}.part.journal"
    before = contents(part), contents(journal)
    words = r"photos.jx.part' is unfinished work of a call with {}.* start anew, remove .*\.part' and .*\.part.journal'"
    with pytest.raises(ValueError, match=words.format("shorter_side=20 where this call has 30")):
        packed(source, file, shorter_side=30)
    with pytest.raises(ValueError, match=words.format("other labels or class names")):
        packed(image_files(source.files), file, shorter_side=20)
    with pytest.raises(ValueError, match=words.format(r".*size=None where this call has \[8, 8\]")):
        packed(image_folder(folder, size=8), file)
    assert (contents(part), contents(journal)) == before
    decoded.clear()
    packed(source, file, shorter_side=20)  # as before, which goes on
    assert sorted(decoded) == [4, 5, 6]


def test_where_nothing_is_lost_other_settings_start_anew(folder, tmp_path, monkeypatch):
    source, file = image_folder(folder), tmp_path / "photos.jx"
    expected = contents(packed(source, tmp_path / "whole", shorter_side=30).file)
    for name, count in [("no pictures yet", 0), ("a journal alone", 3)]:
        pack_stopped(monkeypatch, count, source, file, shorter_side=20)
        if count:
            os.remove(f"{file}.part")
        assert contents(packed(source, file, shorter_side=30).file) == expected, name
        os.remove(file)
    pack_stopped(monkeypatch, 4, source, file, shorter_side=20)
    os.remove(f"{file}.part")
    os.remove(f"{file}.part.journal")  # as the error says
    assert contents(packed(source, file, shorter_side=30).file) == expected


def test_a_file_in_the_way_that_is_not_of_pack_is_left_alone(folder, tmp_path):
    (tmp_path / "photos.jx.part").write_text("a download")
    with pytest.raises(ValueError, match=r"photos.jx.part' is not of jaxiter.pack.*expected that name to be free"):
        packed(image_folder(folder), tmp_path / "photos.jx")
    (tmp_path / "photos.npy.json").write_text("{}")
    with pytest.raises(ValueError, match=r"photos.npy.json' is not of jaxiter.pack"):
        packed(image_folder(folder, size=4), tmp_path / "photos.npy")
    assert sorted(os.listdir(tmp_path)) == ["photos", "photos.jx.part", "photos.npy.json"]
    assert (tmp_path / "photos.jx.part").read_text() == "a download"


def test_one_process_writes_at_a_time(folder, tmp_path, monkeypatch):
    source, file = image_folder(folder), tmp_path / "photos.jx"
    refused, append = [], Unfinished.append

    def meanwhile(self, entry, pixels=None):
        if not refused:
            with pytest.raises(ValueError, match=r"another process packs to .* now") as caught:
                packed(source, file)
            refused.append(caught.value)
        append(self, entry, pixels)

    monkeypatch.setattr(Unfinished, "append", meanwhile)
    packed(source, file)
    assert refused
    assert contents(file) == contents(packed(source, tmp_path / "whole").file)


# A file that is there already.


def test_the_same_call_again_decodes_nothing(folder, tmp_path, decoded):
    first = packed(image_folder(folder), tmp_path / "photos.jx")
    decoded.clear()
    assert packed(image_folder(folder), tmp_path / "photos.jx", num_threads=3) == first
    assert decoded == []


def test_a_folder_that_was_moved_is_the_same(folder, tmp_path, decoded):
    packed(image_folder(folder), tmp_path / "photos.jx")
    decoded.clear()
    shutil.move(folder, tmp_path / "moved")
    packed(image_folder(tmp_path / "moved"), tmp_path / "photos.jx")
    assert decoded == []


def test_files_of_another_folder_at_the_same_place_are_not(tmp_path):
    for name in ("a", "b"):
        write_folder(tmp_path / name / "photos", seed=ord(name))
    packed(image_folder(tmp_path / "a" / "photos"), tmp_path / "photos.jx")
    with pytest.raises(ValueError, match="was packed with files that were written anew since"):
        packed(image_folder(tmp_path / "b" / "photos"), tmp_path / "photos.jx")


def touched(folder):
    os.utime(folder / "dog" / "03.png", ns=(1, 1))
    return image_folder(folder)


def with_one_less(folder):
    os.remove(folder / "dog" / "03.png")
    return image_folder(folder)


def renamed(folder):
    os.rename(folder / "dog" / "03.png", folder / "dog" / "033.png")
    return image_folder(folder)


def of_another_class(folder):
    source = image_folder(folder)
    return image_files(source.files, labels=["ant", *CLASSES[1:]])


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        (image_folder, {"shorter_side": 100}, "shorter_side=256 where this call has 100"),
        (image_folder, {"shorter_side": None}, "shorter_side=256 where this call has None"),
        (lambda folder: image_folder(folder, mode="L"), {}, "mode='RGB' where this call has 'L'"),
        (touched, {}, "files that were written anew since"),
        (with_one_less, {}, "another number of files"),
        (renamed, {}, "files of other names"),
        (of_another_class, {}, "other labels or class names"),
    ],
)
def test_other_sources_or_settings_are_refused_by_name(folder, tmp_path, source, settings, words):
    file = packed(image_folder(folder), tmp_path / "photos.jx").file
    before = contents(file)
    with pytest.raises(ValueError, match=f"was packed with .*{words}.*Nothing is overwritten"):
        packed(source(folder), file, **settings)
    assert contents(file) == before


def test_another_size_is_refused_and_so_is_a_file_of_the_other_kind(folder, tmp_path):
    packed(image_folder(folder, size=8), tmp_path / "photos.npy")
    with pytest.raises(ValueError, match=r"size=\[8, 8\] where this call has \[9, 9\]"):
        packed(image_folder(folder, size=9), tmp_path / "photos.npy")
    with pytest.raises(ValueError, match=r"resize='squash' where this call has 'crop'"):
        packed(image_folder(folder, size=8, resize="crop"), tmp_path / "photos.npy")
    with pytest.raises(ValueError, match=r"is no packed file.*Nothing is overwritten"):
        packed(image_folder(folder), tmp_path / "photos.npy")


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


@pytest.fixture
def ten(tmp_path):
    """Paths of ten pictures, and what is in them."""
    paths = write_folder(tmp_path / "photos", [(40 + n, 70 - 2 * n) for n in range(10)], ["a"] * 4 + ["b"] * 6)
    return paths, [contents(path) for path in paths]


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("size", [None, (6, 8)])
@pytest.mark.parametrize("bad", [[0], [4], [9], [2, 3, 7]])
def test_mended_files_alone_are_decoded_again(ten, tmp_path, decoded, size, bad):
    """And the file is that of a run in which all was well."""
    paths, whole = ten
    source, file = image_folder(tmp_path / "photos", size=size), tmp_path / "photos.jx"
    for row in bad:
        os.truncate(paths[row], 300)
    with pytest.raises(OSError, match=rf"{len(bad)} of 10 (.|\n)*mend them and call pack again, which decodes these"):
        packed(source, file)
    for row in bad:
        write(paths[row], whole[row])
    decoded.clear()
    assert packed(source, file) == PackReport(str(file), 10, [])
    assert sorted(decoded) == bad
    assert contents(file) == contents(packed(source, tmp_path / "whole").file)
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


@pytest.mark.parametrize("size", [None, (6, 8)])
def test_over_several_runs_only_what_changed_is_decoded(ten, tmp_path, monkeypatch, decoded, size):
    paths, whole = ten
    source, file = image_folder(tmp_path / "photos", size=size), tmp_path / "photos.jx"
    os.truncate(paths[1], 300)
    pack_stopped(monkeypatch, 7, source, file)
    write(paths[1], whole[1])
    write(paths[3], whole[8])  # another picture than before
    decoded.clear()
    pack_stopped(monkeypatch, 8, source, file)
    assert {1, 3, 7} <= set(decoded) <= {1, 3, 7, 8, 9}  # threads are ahead
    write(paths[3], whole[5])
    os.truncate(paths[6], 300)
    decoded.clear()
    with pytest.raises(OSError, match="1 of 10"):
        packed(source, file)
    assert sorted(decoded) == [3, 6, 8, 9]
    decoded.clear()
    assert [row for row, *_ in packed(source, file, on_error="report").left_out] == [6]
    assert decoded == [6]
    assert contents(file) == contents(packed(source, tmp_path / "whole", on_error="report").file)


def test_pictures_that_are_put_in_order_are_kept_where_that_is_interrupted(ten, tmp_path, monkeypatch, decoded):
    paths, whole = ten
    source, file = image_folder(tmp_path / "photos"), tmp_path / "photos.jx"
    os.truncate(paths[2], 300)
    with pytest.raises(OSError, match="1 of 10"):
        packed(source, file)
    write(paths[2], whole[2])

    def stopped(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)  # of the file in order
        with pytest.raises(Stopped):
            packed(source, file)
    decoded.clear()
    with monkeypatch.context() as patch:
        patch.setattr("jaxiter.host._unfinished.give_name", stopped)
        with pytest.raises(Stopped):
            packed(source, file)
    packed(source, file)
    assert decoded == []
    assert contents(file) == contents(packed(source, tmp_path / "whole").file)
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


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


# Full disks.


@pytest.mark.parametrize("size", [None, (200, 200)])
@pytest.mark.parametrize("share", [0, 0.0001, 0.3, 0.9, 0.9999])
def test_a_full_disk_says_so_and_leaves_nothing(folder, tmp_path, share, size):
    """Here a limit on the length of a file, which writing meets alike; Python ignores its signal."""
    source = image_folder(folder, size=size)
    length = int(share * os.path.getsize(packed(source, tmp_path / "whole").file))
    before = sorted(os.listdir(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, limits[1]))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            packed(source, tmp_path / "photos.jx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert "photos.jx' was not written" in caught.value.__notes__[0]
    assert sorted(os.listdir(tmp_path)) == before
    packed(source, tmp_path / "photos.jx")
    assert contents(tmp_path / "photos.jx") == contents(tmp_path / "whole")


@pytest.mark.parametrize(("size", "which"), [(None, 1), (None, 2), (8, 1), (8, 3)])  # call 2 is of the folder
def test_a_disk_that_is_full_at_the_end_leaves_nothing(folder, tmp_path, monkeypatch, size, which):
    calls, before = [], sorted(os.listdir(tmp_path))

    def full(_):
        calls.append(1)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            packed(image_folder(folder, size=size), tmp_path / "photos.jx")
    assert sorted(os.listdir(tmp_path)) == before


def test_room_for_pictures_of_one_size_is_looked_at_first(folder, tmp_path, monkeypatch, decoded):
    usage = shutil.disk_usage(tmp_path)
    needed = len(SIZES) * 100 * 90 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(OSError, match=f"needs {needed:,} more bytes, and its disk has {needed - 1:,} free") as caught:
        packed(image_folder(folder, size=(100, 90)), tmp_path / "photos.npy")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["photos"]
    assert decoded == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    packed(image_folder(folder, size=(100, 90)), tmp_path / "photos.npy")


def test_too_little_room_for_many_pictures_is_warned_of(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxiter.host._pack._MANY", 5)
    monkeypatch.setattr("jaxiter.host._pack._JUDGED", 7)
    source = image_folder(folder)
    needed = 3 * sum(height * width for height, width in SIZES)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    packed(source, tmp_path / "enough")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.warns(UserWarning, match=f"needs about {needed:,} more bytes, judged by 7 pictures"):
        packed(source, tmp_path / "too little")


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
