"""The packed file: what its bytes mean, and what does not open."""

import hashlib
import json
import os
import re
import struct

import numpy as np
import pytest
from PIL import Image

from jaxiter import Ragged, image_files, image_folder, open_packed, pack

from .noise_folder import CLASSES, SIZES, write_folder

HEADER = struct.Struct("<8s4I5Q16s16s")  # as the docstring of _packed_file.py says it


@pytest.fixture
def packed(tmp_path):
    write_folder(tmp_path / "photos")
    return pack(image_folder(tmp_path / "photos"), tmp_path / "photos.jx", shorter_side=30, progress=False).file


@pytest.fixture
def sized(tmp_path):
    write_folder(tmp_path / "photos")
    return pack(image_folder(tmp_path / "photos", size=(6, 8)), tmp_path / "photos.npy", progress=False).file


def changed(path, place, values):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(values)


def flipped(path, place):
    with open(path, "rb") as file:
        file.seek(place)
        old = file.read(1)
    changed(path, place, bytes([old[0] ^ 0x10]))
    return old


def test_its_bytes_are_what_the_format_says(packed):
    images, labels, class_names = open_packed(packed)
    with open(packed, "rb") as file:
        contents = file.read()
    magic, version, channels, item, has_labels, count, pixels, tables_at, extra, length, tables_sum, header_sum = (
        HEADER.unpack_from(contents)
    )
    assert (magic, version, channels, item, has_labels) == (b"\x93JAXITER", 1, 3, 1, 1)
    assert (count, length) == (len(SIZES), len(contents))
    assert header_sum == hashlib.blake2b(contents[: HEADER.size - 16], digest_size=16).digest()
    assert tables_sum == hashlib.blake2b(contents[tables_at:], digest_size=16).digest()
    assert tables_at % 64 == 0
    shapes, sources = np.frombuffer(contents, "<i4", 4 * count, tables_at).reshape(2, count, 2)
    np.testing.assert_array_equal(sources, SIZES)
    np.testing.assert_array_equal(np.frombuffer(contents, "<i4", count, tables_at + 16 * count), labels)
    metadata = json.loads(contents[length - extra :])
    assert metadata["class_names"] == class_names == ["cat", "dog", "emu"]
    start = 65536
    for row, (height, width) in enumerate(shapes.tolist()):
        own = np.frombuffer(contents, np.uint8, height * width * 3, start).reshape(height, width, 3)
        np.testing.assert_array_equal(images[row], own)
        start += own.size
    assert start == 65536 + 3 * pixels <= tables_at


def test_the_format_of_version_1_stays(tmp_path):
    paths = []
    for number, size in enumerate([(2, 3), (4, 5)]):
        paths.append(str(tmp_path / f"{number}.bmp"))
        Image.fromarray(np.arange(np.prod(size) * 3, dtype=np.uint8).reshape(*size, 3)).save(paths[-1])
        os.utime(paths[-1], ns=(10**18, 10**18))
    report = pack(image_files(paths, labels=["x", "ü"]), tmp_path / "two.jx", progress=False)
    with open(report.file, "rb") as file:
        contents = file.read()
    assert hashlib.sha256(contents).hexdigest() == "29c9dad5235bfcad22cd29628bc67da43dada4be8902f41aa28fdc0652bf16a4"


def test_it_opens_as_a_ragged_memmap_and_a_tuple(packed):
    found = open_packed(packed)
    images, labels, class_names = found
    assert isinstance(images, Ragged)
    assert isinstance(images.pixels, np.memmap)
    assert images.pixels.flags.writeable is False
    assert images.pixels.offset % 65536 == 0
    assert labels.dtype == np.int32
    assert (labels.tolist(), class_names) == ([0, 0, 1, 1, 1, 2, 2], sorted(set(CLASSES)))
    assert (found.images, found.class_names) == (images, class_names)
    np.testing.assert_array_equal(images.source_shapes, SIZES)


def test_pixels_are_not_read_when_it_opens(packed):
    before = open_packed(packed).images[0].copy()
    flipped(packed, 65536)
    assert (open_packed(packed).images[0] != before).sum() == 1


def test_every_damaged_byte_of_header_and_tables_is_found(packed):
    with open(packed, "rb") as file:
        tables_at, end = HEADER.unpack(file.read(HEADER.size))[7], os.path.getsize(packed)
    for place in [*range(HEADER.size), *range(tables_at, end, 7), end - 1]:
        old = flipped(packed, place)
        with pytest.raises(ValueError, match=r"no packed file|damaged (header|tables)"):
            open_packed(packed)
        changed(packed, place, old)
    open_packed(packed)


@pytest.mark.parametrize("kept", [1, 7, 8, HEADER.size - 1, HEADER.size, 65536, 66000, -1])
def test_a_file_that_was_cut_short_says_so(packed, kept):
    os.truncate(packed, kept % os.path.getsize(packed))
    with pytest.raises(ValueError, match="was cut short"):
        open_packed(packed)


def test_a_file_that_has_grown_says_so(packed):
    with open(packed, "ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="has grown"):
        open_packed(packed)


def test_another_version_is_named(packed):
    with open(packed, "rb") as file:
        fields = file.read(HEADER.size - 16)
    fields = fields[:8] + struct.pack("<I", 2) + fields[12:]
    changed(packed, 0, fields + hashlib.blake2b(fields, digest_size=16).digest())
    with pytest.raises(ValueError, match="of version 2; expected version 1"):
        open_packed(packed)


@pytest.mark.parametrize(
    ("contents", "words"),
    [(b"", "no packed file"), (b"hello, I am a text", "no packed file"), (bytes(70000), "is unfinished")],
)
def test_what_is_no_packed_file_is_named(tmp_path, contents, words):
    path = tmp_path / "other"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{words}"):
        open_packed(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"nothing.jx' does not exist .the working folder is '{os.getcwd()}'"):
        open_packed(tmp_path / "nothing.jx")
    (tmp_path / "begun.jx.part").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"begun.jx' is not finished: .*begun.jx.part' .*pack again with the same"
    ):
        open_packed(tmp_path / "begun.jx")


def test_pictures_of_one_size_open_too(sized, tmp_path):
    images, labels, class_names = open_packed(sized)
    assert isinstance(images, np.memmap)
    np.testing.assert_array_equal(images, image_folder(tmp_path / "photos", size=(6, 8))[:])
    assert labels.dtype == np.int32
    assert (labels.tolist(), class_names) == ([0, 0, 1, 1, 1, 2, 2], ["cat", "dog", "emu"])


def without_side(path):
    os.remove(path + ".json")


def with_other_text(path):
    with open(path + ".json", "w") as file:
        file.write('{"a": 1}')


def with_part_of_it(path):
    os.truncate(path + ".json", 40)


def with_fewer_pictures(path):
    np.save(path, np.load(path)[:-1])


def cut_short(path):
    os.truncate(path, os.path.getsize(path) - 1)


def grown(path):
    with open(path, "ab") as file:
        file.write(b"more")


def with_other_sides(path):
    np.save(path, np.load(path).swapaxes(1, 2))


def with_signs(path):
    np.save(path, np.load(path).view(np.int8))


def of_another_pack(path):
    np.save(path, np.load(path)[::-1])


def of_an_older_version(path):
    with open(path + ".json", "r+b") as file:
        said = json.load(file)
        file.seek(0)
        file.write(json.dumps(said | {"version": 1}).encode())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_side, "has no .* beside it"),
        (with_other_text, "is damaged, or of another version, or not of jaxiter.pack"),
        (with_part_of_it, "is damaged, or of another version, or not of jaxiter.pack"),
        (with_fewer_pictures, "holds 6 pictures and .* tells of 7"),
        (cut_short, "was cut short"),
        (grown, r"has 1,140 bytes and .* tells of 1,136"),
        (with_other_sides, r"shape \(8, 6, 3\) and .* tells of \(6, 8, 3\)"),
        (with_signs, r"numbers of type '\|i1' and .* tells of '\|u1'"),
        (of_another_pack, "holds some pictures and .* tells of others"),
        (of_an_older_version, "of another version"),
    ],
)
def test_damaged_pictures_of_one_size_are_refused(sized, damage, words):
    damage(sized)
    with pytest.raises(ValueError, match=words):
        open_packed(sized)


def test_pixels_and_labels_of_two_packs_with_the_same_count_do_not_open_together(tmp_path):
    files = []
    for seed in range(2):
        write_folder(tmp_path / f"{seed}", seed=seed)
        source = image_folder(tmp_path / f"{seed}", size=(6, 8))
        files.append(pack(source, tmp_path / f"{seed}.npy", progress=False).file)
    os.replace(files[1], files[0])
    with pytest.raises(ValueError, match="expected both files of one call"):
        open_packed(files[0])
    with pytest.raises(ValueError, match=r"expected both files of one call.*Nothing is overwritten"):
        pack(image_folder(tmp_path / "0", size=(6, 8)), files[0], progress=False)


def test_of_many_pictures_pack_compares_all(tmp_path):
    write_folder(tmp_path / "photos", [(4, 4)] * 40, ["a"] * 40)
    source = image_folder(tmp_path / "photos", size=(4, 4))
    file = pack(source, tmp_path / "photos.npy", progress=False).file
    images = np.load(file)
    for row in range(40):
        np.save(file, np.where(np.arange(40)[:, None, None, None] == row, images ^ 1, images))
        with pytest.raises(ValueError, match=r"holds some pictures and .* tells of others"):
            pack(source, file, progress=False)
    for row in (0, 39):
        np.save(file, np.where(np.arange(40)[:, None, None, None] == row, images ^ 1, images))
        with pytest.raises(ValueError, match="holds some pictures"):
            open_packed(file)
