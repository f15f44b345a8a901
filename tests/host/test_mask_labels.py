"""Labels of masks whose numbers take few bits, or lie in a file in rare ways: as stored, or refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxiter import image_files

LABELS = np.random.default_rng(0).integers(0, 4, (7, 13))  # whose last byte of a row is not full
LABELS[0, :4] = range(4)


def packed_bits(numbers, bits):
    """Each row from the upper bit on; it ends with a whole byte."""
    as_bits = (numbers[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(as_bits.reshape(len(numbers), -1).astype(np.uint8), axis=1)


def write_png(file, numbers, bits, color_type=0):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = numbers.shape
    rows = b"".join(b"\0" + row.tobytes() for row in packed_bits(numbers, bits))
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if color_type == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + palette
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def write_tiff(file, numbers, bits, photometric=1, order="<", sample_format=1):
    height, width = numbers.shape
    pixels = packed_bits(numbers, bits).tobytes() if bits <= 8 else numbers.astype(f"{order}u2").tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    tags += [(279, len(pixels)), (339, sample_format)]
    pixels += bytes(len(pixels) % 2)
    begin = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(pixels))
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    file.write_bytes(begin + pixels + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))


def write_pgm(file, numbers, most):
    file.write_bytes(b"P5 %d %d %d\n" % (numbers.shape[1], numbers.shape[0], most) + numbers.astype(np.uint8).tobytes())


def read(file, **settings):
    return image_files([file], mode="mask", **settings)[0][..., 0]


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("color_type", [0, 3])
def test_a_png_of_few_bits_holds_the_labels_that_were_written(tmp_path, bits, color_type):
    """Pillow spreads grey ones over 0 to 255: 3 of 2 bits becomes 255, and 3 of 4 bits 51."""
    labels = {1: LABELS % 2, 2: LABELS, 4: LABELS * 5}[bits]
    write_png(tmp_path / "1.png", labels, bits, color_type)
    np.testing.assert_array_equal(read(tmp_path / "1.png"), labels)
    np.testing.assert_array_equal(read(tmp_path / "1.png", dtype="uint16"), labels)
    np.testing.assert_array_equal(read(tmp_path / "1.png", size=labels.shape, resize="crop"), labels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_tiff_of_few_bits_or_of_16_holds_the_labels_that_were_written(tmp_path, bits, order):
    labels = LABELS % 2 if bits == 1 else LABELS * 20000 if bits == 16 else LABELS
    write_tiff(tmp_path / "1.tif", labels, bits, order=order)
    np.testing.assert_array_equal(read(tmp_path / "1.tif", dtype="uint16"), labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_numbers_with_0_for_white_are_refused(tmp_path, bits):
    write_tiff(tmp_path / "1.tif", LABELS % 2, bits, photometric=0)
    with pytest.raises(OSError, match=r"stored with 0 for white.*expected 0 for black"):
        read(tmp_path / "1.tif")


def test_numbers_that_pillow_changes_are_refused(tmp_path):
    write_tiff(tmp_path / "signed.tif", np.full((2, 4), 255), 8, sample_format=2)  # -1
    with pytest.raises(OSError, match="8 bits with a sign"):
        read(tmp_path / "signed.tif")
    write_pgm(tmp_path / "1.pgm", LABELS, most=3)
    with pytest.raises(OSError, match=r"a PPM that stores its numbers as \['ppm'\]"):
        read(tmp_path / "1.pgm")
    write_pgm(tmp_path / "1.pgm", LABELS, most=255)
    np.testing.assert_array_equal(read(tmp_path / "1.pgm"), LABELS)
    Image.fromarray(np.uint8(LABELS)).save(tmp_path / "jpeg.tif", compression="jpeg")
    with pytest.raises(OSError, match="it is a JPEG"):
        read(tmp_path / "jpeg.tif")


@pytest.mark.parametrize("name", ["1.bmp", "1.gif", "1.tga", "1.pcx"])
def test_other_formats_that_keep_numbers_are_read(tmp_path, name):
    picture = Image.fromarray(np.uint8(LABELS))
    picture.save(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), LABELS)
