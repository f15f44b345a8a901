"""Packing that was interrupted, or ended by bad files that were mended then, is gone on with."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxiter import PackReport, image_folder, open_packed

from .noise_folder import SIZES, write_folder
from .packing import Stopped, contents, pack_stopped, packed

# Interrupted runs.


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
def test_a_finished_file_that_was_moved_is_not_written_to(folder, tmp_path, monkeypatch):
    """A call that is killed before it removes the first name leaves two names of one file."""
    source, file = image_folder(folder), tmp_path / "photos.jx"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), folder, file, "once it has its name", "0"]
    assert subprocess.run(command, timeout=100, check=False).returncode == -9
    os.rename(file, tmp_path / "moved")
    expected = contents(tmp_path / "moved")
    pack_stopped(monkeypatch, 3, source, file)
    assert contents(tmp_path / "moved") == expected
    packed(source, file)
    assert contents(file) == contents(tmp_path / "moved") == expected


# Files that are mended or changed.


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
