"""Pictures as bytes in the place of files: `image_files` and `pack` of what tars, tables and data sets hold."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from jaxiter import Loader, check_files, image_files, open_packed, pack, stream
from jaxiter.host._file_errors import ImageFileError

from ..data import assert_trees_equal
from .pictures import write_folder

SIZES = [(14 + 3 * row, 30 - 2 * row) for row in range(8)]
LABELS = [row % 3 for row in range(8)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("photos"), SIZES)
    return [str(file) for file in sorted(root.rglob("*.*g"), key=lambda file: file.name)]


@pytest.fixture(scope="module")
def contents(files):
    return [Path(file).read_bytes() for file in files]


@pytest.mark.parametrize("settings", [{}, {"size": (6, 5), "resize": "crop"}, {"mode": "L", "size": 7}], ids=str)
def test_bytes_are_what_stands_in_the_files(settings, files, contents, key):
    expected, found = (image_files(each, labels=LABELS, **settings) for each in (files, contents))
    assert (found.shape, len(found), found.files) == (expected.shape, 8, contents)
    assert_trees_equal([found[row] for row in range(8)], [expected[row] for row in range(8)])
    assert_trees_equal(found[np.array([3, 1, 3])], expected[np.array([3, 1, 3])])
    assert_trees_equal(pickle.loads(pickle.dumps(found))[5], expected[5])
    assert_trees_equal(found.read_all(progress=False), expected.read_all(progress=False))
    if settings:
        with stream(Loader((found, found.labels), batch_size=3), key, num_epochs=1, num_threads=3) as batches:
            assert_trees_equal(list(batches), list(Loader((expected, expected.labels), batch_size=3).epoch(key, 0)))


def test_bytes_beside_paths(files, contents):
    mixed = image_files([contents[0], files[1], Path(files[2]), bytearray(contents[3]), memoryview(contents[4])])
    assert_trees_equal(mixed[:], image_files(files[:5])[:])
    assert [type(file) for file in mixed.files] == [bytes, str, str, bytes, bytes]


def test_lists_of_bytes(contents):
    array = np.empty(8, object)
    array[:] = contents
    for given in (tuple(contents), iter(contents), array):
        assert image_files(given).files == contents


@pytest.mark.extras
def test_columns_of_tables(files, contents):
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    for column in (
        pd.DataFrame({"jpg": contents})["jpg"],
        pl.DataFrame({"jpg": contents})["jpg"],
        pa.table({"jpg": contents})["jpg"],
        pa.array(contents, pa.large_binary()),
        pd.Series(contents, dtype=pd.ArrowDtype(pa.binary())),
    ):
        assert image_files(column).files == contents
    for column in (pa.array(files), pa.table({"file": files})["file"], pl.Series(files)):
        assert image_files(column).files == files
    with pytest.raises(TypeError, match=r"files\[1\] is None; expected a path, or the bytes of a picture"):
        image_files(pa.array([contents[0], None]))


BAD = {
    "nothing": (b"", "it is empty, 0 bytes"),
    "text": (b"some text, really", "it is no picture that Pillow knows; it begins with b'some text, reall'"),
    "cut": (None, "it is truncated: "),
}


@pytest.mark.parametrize("what", BAD)
def test_an_error_names_row_class_and_number_of_bytes(what, contents, tmp_path):
    given, reason = BAD[what]
    given = contents[0][:-100] if given is None else given
    source = image_files([contents[0], contents[1], given, contents[3]], labels=["cat", "cat", "dog", "cat"])
    name = f"<{len(given):,} bytes>"
    with pytest.raises(ImageFileError, match=f"^{name} \\(row 2, class 'dog'\\) cannot be read: {reason}") as caught:
        source[2]
    assert (caught.value.file, caught.value.row) == (name, 2)
    assert [(row, path) for row, path, _ in check_files(source, progress=False)] == [(2, name)]
    report = pack(source, tmp_path / "some.jx", on_error="report", progress=False)
    assert (report.num_examples, [(row, path) for row, path, _ in report.left_out]) == (3, [(2, name)])
    with pytest.raises(OSError, match=f"row 2, '{name}': {reason}"):
        pack(source, tmp_path / "all.jx", progress=False)


@pytest.mark.parametrize("settings", [{}, {"size": (6, 5)}], ids=str)
def test_a_packed_file_of_bytes_holds_that_of_files(settings, files, contents, tmp_path, monkeypatch):
    packed = [
        pack(image_files(each, labels=LABELS, **settings), tmp_path / f"{number}.jx", progress=False)
        for number, each in enumerate((files, contents))
    ]
    of_files, of_bytes = (open_packed(report.file) for report in packed)
    assert_trees_equal(of_bytes.images[:], of_files.images[:])
    np.testing.assert_array_equal(of_bytes.labels, LABELS)
    decoded = []
    monkeypatch.setattr("jaxiter.host._pack._decoded", lambda *given: decoded.append(given))
    again = pack(image_files(list(contents), labels=LABELS, **settings), tmp_path / "1.jx", progress=False)
    assert (again, decoded) == (packed[1], [])


def test_a_packed_file_of_other_bytes_is_another(contents, tmp_path):
    pack(image_files(contents), tmp_path / "a.jx", progress=False)
    changed = [*contents[:-1], contents[-1][:-1] + b"\0"]  # of the same length
    for other in (contents[::-1], changed):
        with pytest.raises(ValueError, match=r"packed with files that were written anew since .*, or other bytes"):
            pack(image_files(other), tmp_path / "a.jx", progress=False)
    with pytest.raises(ValueError, match="packed with another number of files"):
        pack(image_files(contents[:-1]), tmp_path / "a.jx", progress=False)


def test_a_run_over_bytes_that_was_interrupted_is_gone_on_with(contents, tmp_path, monkeypatch):
    pack(image_files(contents), tmp_path / "whole.jx", progress=False)
    decode, rows = image_files(contents).decode, []

    def stops(self, row, **settings):
        rows.append(row)
        if row == 5 and rows.count(5) == 1:
            raise KeyboardInterrupt
        return decode(row, **settings)

    monkeypatch.setattr("jaxiter.ImageFiles.decode", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(image_files(contents), tmp_path / "a.jx", num_threads=1, progress=False)
    first = rows.copy()
    pack(image_files(contents), tmp_path / "a.jx", num_threads=1, progress=False)
    assert rows[len(first)] > 0  # not from the beginning
    assert (tmp_path / "a.jx").read_bytes() == (tmp_path / "whole.jx").read_bytes()


def test_what_is_no_list_of_bytes(files, contents, tmp_path):
    refused = {
        r"files\[0\] is .*, the path of a file as bytes; .*: os.fsdecode\(path\)": [os.fsencode(files[0])],
        "files is a bytes of length .*, one picture; expected a list of files": contents[0],
        r"files\[0\] is of a NumPy array of bytes, which drops zeros": np.array(contents[:1]),
        r"files\[1\] is .*BytesIO; expected a path, .*file\.read\(\)": [contents[0], io.BytesIO(contents[0])],
        r"files\[0\] is a dict; expected a path, .*entry\['bytes'\] or entry\['path'\]": [{"bytes": contents[0]}],
    }
    for words, given in refused.items():
        with pytest.raises(TypeError, match=words):
            image_files(given)
