"""Files are read in threads, ahead of their batch: which nobody can tell from the batches."""

import copy
import gc
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from jaxiter.keras import ImageDataGenerator
from jaxiter.keras._picture_reader import PictureReader

from .picture_files import assert_same, quiet, write, write_classes

MOVES = {"rotation_range": 30, "zoom_range": 0.3, "horizontal_flip": True}


def flow(folder, generator=MOVES, num_threads=None, **options):
    options = {"target_size": (6, 8), "batch_size": 3, "seed": 4} | options
    it = quiet(lambda: ImageDataGenerator(**generator).flow_from_directory(folder, **options))
    if num_threads is not None:
        it._reader = PictureReader(num_threads)
    return it


@pytest.fixture
def folder(tmp_path):
    return write_classes(tmp_path / "in", {"a": 5, "b": 6})


def reading_threads():
    return {thread for thread in threading.enumerate() if thread.name == "jaxiter-pictures"}


def end(threads):
    """Whether they do, soon."""
    until = time.monotonic() + 20
    while threads & set(threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    return not threads & set(threading.enumerate())


@pytest.mark.parametrize("rng", [None, "keras"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_number_of_threads_changes_nothing(folder, rng, shuffle):
    iterators = [flow(folder, num_threads=number, rng=rng, shuffle=shuffle) for number in (1, 2, 7)]
    for _ in range(9):  # over two ends of an epoch
        first, *others = [next(it) for it in iterators]
        for other in others:
            assert_same(other, first)
    for index in (2, 3, 0, 0, 1, -1, -2):
        first, *others = [it[index] for it in iterators]
        for other in others:
            assert_same(other, first)


def test_the_next_batch_is_read_while_this_one_is_used_and_others_are_not_guessed(folder, monkeypatch):
    read = []
    load = sys.modules["jaxiter.keras._picture_reader"].load_picture

    def note(path, *arguments, **options):
        read.append(os.path.relpath(path, folder))
        return load(path, *arguments, **options)

    monkeypatch.setattr("jaxiter.keras._picture_reader.load_picture", note)

    def read_by(action, count):
        action()
        until = time.monotonic() + 20
        while len(read) < count and time.monotonic() < until:
            time.sleep(0.01)
        found, read[:] = sorted(read), []
        return found

    it = flow(folder, shuffle=False)
    files = it.filenames
    assert read_by(lambda: next(it), 6) == files[:6]
    assert read_by(lambda: next(it), 3) == files[6:9]
    assert read_by(lambda: next(it), 2) == files[9:]
    assert read_by(lambda: next(it), 3) == files[:3]  # of the next epoch
    it.on_epoch_end()
    assert read_by(lambda: it[2], 3) == files[6:9]  # not in the order: nothing is guessed
    assert read_by(lambda: it[1], 3) == files[3:6]
    assert read_by(lambda: it[2], 5) == files[6:]
    it.close()


def test_a_file_is_read_again_where_it_has_changed_since(folder):
    it = flow(folder, {}, shuffle=False)
    next(it)
    time.sleep(0.05)  # in which the next batch is read
    path = folder / it.filenames[4]
    path.unlink()
    Image.new("RGB", (8, 6), (1, 2, 3)).save(path)
    assert next(it)[0][1].reshape(-1, 3).tolist() == [[1, 2, 3]] * 48


BROKEN = {
    "gone": (lambda path: path.unlink(), FileNotFoundError),
    "empty": (lambda path: path.write_bytes(b""), UnidentifiedImageError),
    "text": (lambda path: path.write_text("no picture"), UnidentifiedImageError),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-60]), OSError),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), IsADirectoryError),
    "not a PNG inside": (lambda path: path.write_bytes(path.read_bytes()[:40] + b"xxxx" * 50), OSError),
}


@pytest.mark.parametrize("is_read_ahead", [False, True])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_is_named_and_the_iterator_goes_on(folder, kind, is_read_ahead):
    spoil, error = BROKEN[kind]
    it, whole = flow(folder, shuffle=False), flow(folder, shuffle=False)
    expected = [next(whole) for _ in range(5)]
    if is_read_ahead:
        assert_same(next(it), expected[0])
    spoil(folder / "b" / "0.png")
    if not is_read_ahead:
        assert_same(next(it), expected[0])
    with pytest.raises(error) as caught:
        next(it)
    assert isinstance(caught.value, error)
    for words in (repr(str(folder / "b" / "0.png")), "row 5", "class 'b'"):
        assert words in str(caught.value), words
    assert "0x" not in str(caught.value)
    assert_same(next(it), expected[2])
    assert_same(next(it), expected[3])
    with pytest.raises(error, match="row 5"):
        it[1]
    assert_same(next(it), expected[4])


def test_the_row_of_a_subset_is_that_of_the_whole_listing_and_its_place_is_named_too(folder):
    it = flow(folder, {"validation_split": 0.5}, subset="training", shuffle=False)
    (folder / "b" / "4.png").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape("row 9 (filenames[4]), class 'b'")):
        [next(it) for _ in range(2)]


def test_an_error_that_is_not_of_the_file_stays_what_it_is_with_a_note(folder, monkeypatch):
    it = flow(folder, interpolation="cubic")
    with pytest.raises(ValueError, match="interpolation is 'cubic'") as caught:
        next(it)
    assert "class 'a'" in caught.value.__notes__[0] or "class 'b'" in caught.value.__notes__[0]
    it.interpolation = "nearest"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(Image.DecompressionBombError, match=r"row \d+, class"):
        next(it)


@pytest.mark.parametrize("error", [SyntaxError, EOFError, struct.error])
def test_whatever_pillow_raises_of_a_broken_file_is_an_oserror(folder, monkeypatch, error):
    def fail(*arguments, **options):
        raise error("broken")  # a new one each time: it holds the iterator

    it = flow(folder)
    monkeypatch.setattr("jaxiter.keras._picture_reader.load_picture", fail)
    with pytest.raises(OSError, match=r"row \d+, class '[ab]', cannot be read: .*broken") as caught:
        next(it)
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize(
    ("contents", "words"),
    [(b"", "it is empty, 0 bytes"), (b"hello", r"it is no picture that Pillow knows.*b'hello'")],
)
def test_files_without_a_picture_are_named_in_plain_words(folder, contents, words):
    for name in os.listdir(folder / "a"):
        (folder / "a" / name).write_bytes(contents)
    with pytest.raises(OSError, match=f"row 0, class 'a', cannot be read: {words}.*Repair the file") as caught:
        next(flow(folder, shuffle=False))
    assert "cannot identify" not in str(caught.value)


def test_grey_of_16_bits_is_told_once_naming_the_first_file(tmp_path):
    write_classes(tmp_path, {"a": 4})
    for index in (1, 2):
        Image.fromarray(np.full((6, 8), 1000 * index, np.uint16)).save(tmp_path / "a" / f"{index}.png")
    it = flow(tmp_path, {}, shuffle=False, batch_size=2)
    with pytest.warns(UserWarning, match=r"1\.png.*grayscale") as told:
        x, _ = next(it)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert np.unique(x[1]).tolist() == [255]
    next(it), next(it)  # warnings are errors
    grey = flow(tmp_path, {}, shuffle=False, batch_size=4, color_mode="grayscale")
    assert [np.max(picture) for picture in next(grey)[0]][1:3] == [1000, 2000]


def test_exif_orientation_is_applied_where_asked(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    picture.save(tmp_path / "a" / "1.png", exif=exif)
    options = {"color_mode": "grayscale", "class_mode": None}
    lying, upright = (
        next(flow(tmp_path, {}, exif=exif, target_size=size, **options))
        for exif, size in ((False, (6, 8)), (True, (8, 6)))
    )
    np.testing.assert_array_equal(np.rot90(lying[0], -1), upright[0])


def test_threads_end_when_the_iterator_is_closed_or_collected_and_begin_again(folder):
    before = reading_threads()
    it = flow(folder)
    next(it)
    own = reading_threads() - before
    assert own
    it.close()
    assert end(own)
    expected = flow(folder)
    next(expected)
    assert_same(next(it), next(expected))
    own = reading_threads() - before
    del it, expected
    gc.collect()
    assert end(own)


def test_threads_that_share_an_iterator_see_every_row_once(folder):
    it = flow(folder, {}, class_mode=None, batch_size=2)
    alone = flow(folder, {}, class_mode=None, batch_size=2)
    expected = sorted(x.tobytes() for _ in range(12) for x in next(alone))
    found, lock = [], threading.Lock()

    def take():
        for _ in range(3):
            x = next(it)
            with lock:
                found.extend(picture.tobytes() for picture in x)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == expected


@pytest.mark.parametrize("options", [{}, {"rng": "keras"}, {"seed": None}, {"shuffle": False}])
def test_another_iterator_goes_on_where_the_state_was_taken(folder, options):
    it, other = flow(folder, **options), flow(folder, **options)
    for _ in range(5):
        next(it)
    state = json.loads(json.dumps(it.get_state()))
    copies = [copy.copy(it), pickle.loads(pickle.dumps(it))]
    other.set_state(state)
    expected = [next(it) for _ in range(4)]
    for again in (other, *copies):
        for batch in expected:
            assert_same(next(again), batch)


def test_rows_from_the_end_and_by_hand_are_counted_as_themselves(folder):
    one, other = flow(folder), flow(folder)
    for rows in ([-1, 2, -1], np.array([10, 2])):
        x, _ = one._get_batches_of_transformed_samples(rows)
        y, _ = other._get_batches_of_transformed_samples(np.asarray(rows) % 11)
        assert_same(x, y)
    assert np.abs(x[0] - y[1]).max() > 1
    assert one.get_state() == other.get_state()
    with pytest.raises(IndexError, match="expected places among 11 images"):
        one._get_batches_of_transformed_samples([11])


def test_the_state_of_other_files_is_refused(folder):
    it = flow(folder)
    next(it)
    state = it.get_state()
    (folder / "a" / "0.png").rename(folder / "a" / "z.png")
    with pytest.raises(ValueError, match="files is not the same"):
        flow(folder).set_state(state)


PROGRAM = """
    import gc, os, sys, warnings
    from jaxiter.keras import ImageDataGenerator
    warnings.simplefilter("ignore")
    flow = lambda: ImageDataGenerator(rotation_range=9).flow_from_directory(sys.argv[1], (6, 8), batch_size=3, seed=1)
    it = flow()
    expected = next(it)[0]
    if os.fork() == 0:
        try:
            next(it)
            os._exit(3)
        except RuntimeError as error:
            assert "forked" in str(error)
        own = flow()
        assert abs(next(own)[0] - expected).max() < 1e-2
        next(own)
        it.close()
        own.close()
        del it, own
        gc.collect()
        os._exit(0)  # as workers end; JAX itself does not survive the other way
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    next(it)
    print("done")
"""


@pytest.mark.slow
def test_after_a_fork_nothing_hangs_and_iterators_of_the_child_work(folder):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), folder],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


def test_pictures_need_not_be_paths(folder):
    it = flow(folder, {}, shuffle=False, batch_size=1, class_mode=None)
    expected = next(it)
    file = io.BytesIO((folder / "a" / "0.png").read_bytes())
    it._filepaths[1:4] = [folder / "a" / "0.png", os.fsencode(folder / "a" / "0.png"), file]
    for _ in range(3):
        assert_same(next(it), expected)


def test_files_that_are_added_by_hand_draw_as_rows_after_the_listing(folder):
    it = flow(folder, {"rotation_range": 40, "validation_split": 0.2}, subset="validation", class_mode=None)
    assert it._rows_of(np.array([0, 1])).tolist() == [0, 5]
    it._filepaths += it._filepaths
    assert it._rows_of(np.array([3, 0, 2, 1])).tolist() == [12, 0, 11, 5]
    it.n = 4
    x = next(it)
    assert len({picture.tobytes() for picture in np.concatenate([x, next(it)])}) == 4


def test_an_iterator_prints_what_it_reads(folder):
    assert repr(flow(folder)) == (
        "<DirectoryIterator: 11 examples, pictures rgb[6, 8, 3] from files, batch_size=3, shuffle=True, seed=4, "
        "output='numpy', next is batch 0 of 4>"
    )
    write(folder / "a" / "9.png")
    assert repr(flow(folder, output="jax")).startswith("<DirectoryIterator: 12 examples")
