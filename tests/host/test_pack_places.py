"""Where a packed file is written: others who write there, what is there already, and full disks."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import textwrap

import pytest

from jaxiter import PackReport, image_files, image_folder
from jaxiter.host._pack import _Target
from jaxiter.host._unfinished import Unfinished

from .noise_folder import CLASSES, SIZES, write_folder
from .packing import contents, pack_stopped, packed

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
