"""Folders and lists of pictures as a leaf of the data: what is listed, what a row is, threads that do not matter."""

import os
import pickle
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxiter import Affine, ImageFiles, Loader, Mask, Ragged, Resize, image_files, image_folder, stream

from .pictures import photo, write_folder
from .sources import four_devices

SIZES = [(20 + 3 * number, 41 - 2 * number) for number in range(12)]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos"), SIZES)


def touch(root, *names):
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass


def walked(root):
    """An independent listing of a folder without links: class by class, folder by folder."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(place, name) for name in names if not name.startswith(".")]
    parts = (os.path.relpath(file, root).split(os.sep) for file in found)
    return [os.path.join(root, *part) for part in sorted(parts) if os.path.splitext(part[-1])[1].lower() in SUFFIXES]


def test_a_folder_is_listed_by_class_and_path(tmp_path):
    touch(
        tmp_path, "b/2.jpg", "b/10.JPG", "b/deep/er/1.Png", "b/deep-er/1.png", "b.c/1.webp", "a b/1.TIFF", "a b/x.gif"
    )
    touch(tmp_path, "b/.hidden.png", "b/.ipynb_checkpoints/2.png", ".cache/1.png", "b/notes.txt", "b/jpg", "a/1.jpeg")
    touch(tmp_path, "B/1.bmp", "b/2.tif", b"a/\xe9t\xe9.png", b"\xff/1.jpg", "readme.md")
    source = image_folder(tmp_path)
    assert source.files == walked(str(tmp_path))
    assert source.class_names == ["B", "a", "a b", "b", "b.c", "\udcff"]
    assert source.labels.dtype == np.int32
    for file, label in zip(source.files, source.labels.tolist(), strict=True):
        assert os.path.relpath(file, tmp_path).split(os.sep)[0] == source.class_names[label]
    assert len(source) == len(source.files) == source.shape[0] == 12
    assert image_folder(str(tmp_path)).files == image_folder(os.fsencode(tmp_path)).files == source.files


def test_links_are_followed_once_and_in_no_circle(tmp_path):
    root = tmp_path / "photos"
    touch(root, "z/1.png", "z/in/2.png", "a/1.png", "b/1.png")
    touch(tmp_path, "pool/3.png", "pool/deep/4.png", "other/5.png")
    (root / "a" / "circle").symlink_to(root)
    (root / "a" / "also").symlink_to(root / "z" / "in")  # which is read in its own class
    (root / "a" / "pool").symlink_to(tmp_path / "pool")
    (root / "b" / "pool").symlink_to(tmp_path / "pool" / "deep")  # read for a, which comes first
    (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "b" / "itself").symlink_to(root / "b" / "itself")
    (root / "b" / "itself.png").symlink_to(root / "b" / "itself.png")
    (root / "b" / "same.png").symlink_to(root / "b" / "1.png")  # a link to a file is an example
    (root / "c").symlink_to(tmp_path / "other")
    files = [os.path.relpath(file, root) for file in image_folder(root).files]
    assert files == [
        *("a/1.png", "a/pool/3.png", "a/pool/deep/4.png", "b/1.png", "b/gone.png", "b/itself.png", "b/same.png"),
        *("c/5.png", "z/1.png", "z/in/2.png"),
    ]


def test_a_list_of_files(folder):
    files = image_folder(folder).files[::-1]
    for given in (files, tuple(files), np.array(files), iter(files), [Path(file) for file in files]):
        assert image_files(given).files == files
    assert image_files(files).labels is None
    kinds = [["b", "a"][row % 2] for row in range(12)]
    for labels in (kinds, np.array(kinds), np.array(kinds, object)):
        source = image_files(files, labels=labels)
        assert (source.class_names, source.labels.tolist()) == (["a", "b"], [1, 0] * 6)
        assert source.labels.dtype == np.int32
    for labels in (range(5, 17), np.arange(5, 17, dtype=np.uint64), list(np.arange(5, 17))):  # which stay as they are
        source = image_files(files, labels=labels)
        assert (source.class_names, source.labels.tolist()) == (None, list(range(5, 17)))
        assert source.labels.dtype == np.int32


@pytest.mark.extras
def test_columns_of_a_table(folder):
    import pandas as pd

    files = image_folder(folder).files[::-1]
    table = pd.DataFrame({"file": files, "kind": [["b", "a"][row % 2] for row in range(12)], "number": range(12)})
    table = table.iloc[::-1]  # rows are places and no labels of the index
    source = image_files(table["file"], labels=table["kind"])
    assert source.files == files[::-1]
    assert (source.class_names, source.labels.tolist()) == (["a", "b"], [0, 1] * 6)
    categories = image_files(table["file"], labels=table["kind"].astype("category"))
    assert (categories.class_names, categories.labels.tolist()) == (["a", "b"], [0, 1] * 6)
    assert image_files(table["file"], labels=table["number"]).labels.tolist() == list(range(12))[::-1]
    with pytest.raises(TypeError, match="expected a list of paths, or one column"):
        image_files(table)
    with pytest.raises(TypeError, match=r"labels holds (nan|<NA>) at row 1"):
        image_files(files[:2], labels=pd.Series([1, None], dtype="Int64"))
    with pytest.raises(TypeError, match=r"files\[1\] is (nan|None); expected a path"):
        image_files(pd.Series([files[0], None]))


def test_relative_paths_are_those_of_now(folder, monkeypatch):
    monkeypatch.chdir(folder / "cat")
    source = image_files(["000.png"])
    monkeypatch.chdir("/")
    assert source[0].shape == (*SIZES[0], 3)


def test_rows_are_pictures(folder):
    ragged, fixed = image_folder(folder), image_folder(folder, size=(6, 8), resize="crop", mode="L")
    assert (ragged.shape, ragged.dtype, ragged.size) == ((12, None, None, 3), np.uint8, None)
    assert (fixed.shape, fixed.mode, fixed.size, fixed.resize) == ((12, 6, 8, 1), "L", (6, 8), "crop")
    assert [picture.shape for picture in ragged] == [(*SIZES[int(os.path.basename(f)[:3])], 3) for f in ragged.files]
    rows = np.array([7, 2, 2, -1])
    for index in (rows, rows.tolist(), np.array([7, 2, 2, 11], np.uint8)):
        assert np.array_equal(fixed[index], np.stack([fixed[row] for row in (7, 2, 2, 11)]))
        found = ragged[index]
        assert isinstance(found, list)
        assert all(np.array_equal(one, ragged[row]) for one, row in zip(found, (7, 2, 2, 11), strict=True))
    for row in (-1, np.int32(-5), -12):
        assert np.array_equal(ragged[row], ragged[12 + row])
    assert np.array_equal(fixed[9:], np.stack([fixed[row] for row in (9, 10, 11)]))
    assert fixed[np.array([], np.int64)].shape == (0, 6, 8, 1)
    assert image_folder(folder, size=5).size == (5, 5)
    for index in (12, -13):
        with pytest.raises(IndexError, match="of 12 pictures"):
            ragged[index]
    for index in (np.zeros(12, bool), 1.5, np.zeros((2, 2), int), "x"):
        with pytest.raises(TypeError, match="expected an integer, a slice, or one axis"):
            ragged[index]


def test_a_source_is_pickled_and_says_what_it_is(folder):
    fixed = image_folder(folder, size=(6, 8), resize="pad")
    copy = pickle.loads(pickle.dumps(fixed))
    assert np.array_equal(copy[:], fixed[:])
    assert (copy.files, copy.class_names, copy.labels.tolist()) == (
        fixed.files,
        fixed.class_names,
        fixed.labels.tolist(),
    )
    assert repr(fixed) == "ImageFiles(12 files, 3 classes, 6 by 8, resize='pad', RGB, uint8)"
    assert repr(image_files(fixed.files)) == "ImageFiles(12 files, sizes of their own, RGB, uint8)"


def test_reading_all_is_reading_each(folder, capfd):
    fixed, ragged = image_folder(folder, size=(6, 8)), image_folder(folder)
    assert np.array_equal(fixed.read_all(), fixed[:])
    assert "decoding" in capfd.readouterr().err
    assert np.array_equal(fixed.read_all(progress=False, rows=slice(3, 8)), fixed[3:8])
    pictures = ragged.read_all(progress=False)
    assert capfd.readouterr() == ("", "")
    assert isinstance(pictures, Ragged)
    assert len(pictures.pixels) == sum(height * width for height, width in SIZES)
    for found, expected in zip(pictures[:], ragged, strict=True):
        np.testing.assert_array_equal(found, expected)
    deep = image_folder(folder, mode="L", dtype="uint16").read_all(progress=False)
    assert (deep.dtype, deep.shape) == (np.uint16, (12, None, None, 1))


def test_many_threads_read_what_one_reads(folder):
    source = image_folder(folder)
    expected = source[:]
    found = [None] * 8

    def read(place):
        found[place] = source[:]

    threads = [threading.Thread(target=read, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in [*found, list(source.pictures(num_threads=5))]:
        assert all(map(np.array_equal, one, expected))
    assert all(map(np.array_equal, source.pictures([3, 1, 3]), [expected[3], expected[1], expected[3]]))


@pytest.fixture(scope="module")
def photos_and_loaders(folder):
    photos = image_folder(folder, size=(6, 8), resize="crop")
    settings = {"batch_size": 4, "augment": (Affine(rotation=15), None), "rows": [0, 1, 2, 4, 5, 6, 8, 9, 11]}
    lazy = Loader((photos, photos.labels), **settings)
    return photos, lazy, Loader((photos[:], photos.labels), **settings)


def assert_same(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_stream_over_files_is_that_over_their_array(photos_and_loaders):
    _, lazy, array = photos_and_loaders
    key = jax.random.key(1)
    expected = [array.batch(key, epoch, step) for epoch in range(2) for step in range(2)]
    with stream(lazy, key, num_epochs=2, num_threads=4, prefetch=4) as batches:
        assert_same(list(batches), expected)
    with stream(lazy, key, num_epochs=2) as batches:
        next(batches)
        state = batches.get_state()
    with stream(lazy, key, num_epochs=2) as resumed:
        resumed.set_state(state)
        assert_same(list(resumed), expected[1:])
    with stream(lazy, key, num_epochs=1, sharding=four_devices()) as batches:
        assert_same(list(batches), expected[:2])


def test_to_device_decodes_each_file_once(photos_and_loaders, monkeypatch, capfd):
    photos, lazy, array = photos_and_loaders
    key, read = jax.random.key(1), []
    decode = ImageFiles.decode
    monkeypatch.setattr(ImageFiles, "decode", lambda source, row: read.append(row) or decode(source, row))
    for sharding in (None, four_devices()):
        read.clear()
        resident = lazy.to_device(sharding)
        assert sorted(read) == list(range(12))
        assert "decoding" in capfd.readouterr().err
        assert isinstance(resident.data[0], jax.Array)
        assert_same(resident.data, (photos[:], photos.labels))
        read.clear()
        assert_same(resident.batch(key, 0, 1), array.batch(key, 0, 1))
        assert read == []


def test_a_stream_reads_files_in_several_threads_by_itself(photos_and_loaders, monkeypatch):
    _, lazy, _ = photos_and_loaders
    monkeypatch.setattr("jaxiter.host._prefetch.num_cores", lambda: 2)
    both, decode = threading.Barrier(2, timeout=20), ImageFiles.decode
    met = set()

    def decode_together(source, row):
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait()  # breaks where one thread reads all
        return decode(source, row)

    monkeypatch.setattr(ImageFiles, "decode", decode_together)
    with stream(lazy, jax.random.key(0), num_epochs=1) as batches:
        assert len(list(batches)) == 2
    assert len(met) == 2


def test_a_picture_with_alpha_as_it_is_stored(tmp_path):
    pixels = np.dstack([photo(9, 7), photo(9, 7, 1)[..., 0]])
    Image.fromarray(pixels).save(tmp_path / "1.png")
    assert np.array_equal(image_files([tmp_path / "1.png"], mode="RGBA")[0], pixels)


def test_masks_that_are_read_as_pictures_are_warned_of(tmp_path):
    """Whose labels become others where they are made smaller, or where a palette has colours."""
    images, grey, masks = (
        image_folder(write_folder(tmp_path / name, SIZES[:4], suffixes=[".png"]), mode=mode)
        for name, mode in (("images", "RGB"), ("grey", "L"), ("masks", "mask"))
    )
    augment = (Resize(4), Mask(0))
    with pytest.warns(UserWarning, match=r"data\[1\] follows images as a mask, and its files are read in mode 'L'"):
        Loader((images, grey), batch_size=2, augment=augment)
    with pytest.warns(UserWarning, match="in mode 'RGB'"):
        Loader((images, images), batch_size=2, augment=augment)
    Loader((images, masks), batch_size=2, augment=augment)
