"""One picture of a file: sizes, orientations, modes and depths, against Pillow's own way with the whole picture."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxiter import image_files

from .pictures import photo, ramp

BILINEAR = Image.Resampling.BILINEAR
ORIENTATION = 0x0112
SIZES = [(9, 14), (40, 40), (31, 7), (64, 33)]


def saved(tmp_path, image, name="1.png", **settings):
    file = tmp_path / name
    image.save(file, **settings)
    return file


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def decoded(file, shorter_side=None, **settings):
    return image_files([file], **settings).decode(0, shorter_side=shorter_side)


def pillows(image, size, resize):
    size = size[::-1]
    if resize == "squash":
        return image.resize(size, BILINEAR)
    return (ImageOps.fit if resize == "crop" else ImageOps.pad)(image, size, BILINEAR)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_size_gives_the_bytes_of_pillows_resize_of_the_whole_picture(tmp_path, resize, mode):
    for number, source in enumerate([(50, 37), (37, 50), (20, 61), (23, 23), (5, 4)]):
        image = Image.fromarray(photo(*source, number)).convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.fromarray(photo(*source, number + 1)[..., 0]))
        file = saved(tmp_path, image)
        for size in SIZES:
            found, was = decoded(file, size=size, resize=resize, mode=mode)
            assert was == source
            assert found.shape == (*size, len(mode))
            np.testing.assert_array_equal(found.squeeze(), np.asarray(pillows(image, size, resize)))


def test_all_readers_are_registered_before_a_file_is_opened(tmp_path, monkeypatch):
    """Else a thread may take a TIFF for no picture while another one registers them; by Pillow's own mark of it."""
    file, opened, seen = saved(tmp_path, Image.fromarray(photo(4, 5)), "1.tif"), Image.open, []
    monkeypatch.setattr(Image, "_initialized", 0)
    monkeypatch.setattr(Image, "open", lambda opened_file: seen.append(Image._initialized) or opened(opened_file))
    assert decoded(file)[1] == (4, 5)
    assert seen == [2]


def test_without_a_size_a_picture_is_what_its_file_holds(tmp_path):
    pixels = photo(30, 41)
    for name in ("1.png", "1.bmp", "1.tif"):
        found, source = decoded(saved(tmp_path, Image.fromarray(pixels), name))
        assert source == (30, 41)
        np.testing.assert_array_equal(found, pixels)
    file = saved(tmp_path, Image.fromarray(pixels), "1.jpg")
    np.testing.assert_array_equal(decoded(file)[0], np.asarray(Image.open(file)))


@pytest.mark.parametrize("name", ["1.jpg", "1.png", "1.tif", "1.webp"])
def test_orientations_are_applied(tmp_path, name):
    settings = {"lossless": True} if name == "1.webp" else {}
    image = Image.fromarray(photo(24, 40))
    for orientation in range(1, 9):
        file = saved(tmp_path, image, name, exif=turned(orientation), **settings)
        with Image.open(file) as stored:
            expected = np.asarray(ImageOps.exif_transpose(stored))
        found, source = decoded(file)
        assert found.shape[:2] == source == ((24, 40) if orientation < 5 else (40, 24))
        np.testing.assert_array_equal(found, expected)
    # Pinned, as both sides would be wrong alike if Pillow changed: 6 is a picture that has to be turned clockwise.
    file = saved(tmp_path, Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)), exif=turned(6))
    assert decoded(file, mode="L")[0][..., 0].tolist() == [[4, 1], [5, 2], [6, 3]]


def test_an_orientation_that_is_none_and_a_broken_exif_leave_the_picture_as_it_is(tmp_path):
    pixels = photo(8, 12)
    for exif in (turned(9), b"Exif\0\0MM\0\x2a\0\0\xff\xff", b"Exif\0\0no tiff at all"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of the broken one
            np.testing.assert_array_equal(decoded(saved(tmp_path, Image.fromarray(pixels), exif=exif))[0], pixels)


class Resizes:
    """What reaches Pillow's `resize`: the size of the picture and that of the result."""

    def __init__(self, monkeypatch):
        self.seen = []
        real = Image.Image.resize

        def resize(image, size, *arguments, **settings):
            self.seen.append((image.size, size))
            return real(image, size, *arguments, **settings)

        monkeypatch.setattr(Image.Image, "resize", resize)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(tmp_path, monkeypatch, resize, orientation):
    resizes = Resizes(monkeypatch)
    scales = set()
    for source in [(200, 301), (301, 200), (97, 400)]:
        stored = source if orientation == 1 else source[::-1]
        file = saved(tmp_path, Image.fromarray(photo(*stored)), "1.jpg", exif=turned(orientation))
        for size in [(12, 12), (25, 37), (26, 38), (40, 20), (100, 150), (210, 310)]:
            resizes.seen.clear()
            found, was = decoded(file, size=size, resize=resize)
            assert (found.shape[:2], was) == (size, source)
            (width, height), (made_width, made_height) = resizes.seen[0]
            scale = next(s for s in (1, 2, 4, 8) if (-(-source[0] // s), -(-source[1] // s)) == (height, width))
            scales.add(scale)
            if scale > 1:
                assert height >= made_height
                assert width >= made_width
            if scale < 8:  # the next would have been too small
                assert source[0] // (2 * scale) < made_height or source[1] // (2 * scale) < made_width
    assert scales == {1, 2, 4, 8}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_the_whole_one_though_its_last_pixels_are_parts(tmp_path, monkeypatch, orientation):
    """57 columns at 1/8 are 8 pixels, of which the last holds one column; turned, that one comes first."""
    resizes = Resizes(monkeypatch)
    image = Image.fromarray(ramp(139, 57))
    file = saved(tmp_path, image, "1.jpg", quality=100, exif=turned(orientation))
    whole = Image.fromarray(np.asarray(ImageOps.exif_transpose(Image.open(file))))
    for resize in ("squash", "crop", "pad"):
        for size in [(7, 7), (12, 7), (7, 12)]:
            expected = np.asarray(pillows(whole, size, resize), np.float64)
            resizes.seen.clear()
            found = decoded(file, size=size, resize=resize, mode="L")[0][..., 0]
            assert resizes.seen[0][0] != whole.size
            assert np.abs(found - expected).max() < 6  # without the box 30
    resizes.seen.clear()
    found, source = decoded(file, mode="L", shorter_side=7)
    expected = whole.resize(found.shape[1::-1], BILINEAR)
    assert resizes.seen[0][0] != source[::-1]
    assert np.abs(found[..., 0] - np.asarray(expected, np.float64)).max() < 6


def test_a_shorter_side_keeps_the_ratio_and_never_enlarges(tmp_path):
    for name in ("1.png", "1.jpg"):
        for source in [(40, 61), (61, 40), (33, 33), (20, 199)]:
            file = saved(tmp_path, Image.fromarray(photo(*source)), name)
            for shorter_side in (1, 7, 20, 33, 64):
                found, was = decoded(file, shorter_side=shorter_side)
                assert was == source
                scale = min(1, shorter_side / min(source))
                assert min(found.shape[:2]) == min(shorter_side, *source)
                assert np.abs(np.array(found.shape[:2]) - np.array(source) * scale).max() <= 0.5
                if name == "1.png":
                    expected = Image.fromarray(photo(*source)).resize(found.shape[1::-1], BILINEAR)
                    np.testing.assert_array_equal(found, np.asarray(expected))


def palette(*, alpha):
    image = Image.fromarray(photo(12, 17)).quantize(16)
    if alpha:
        image.info["transparency"] = bytes(range(0, 160, 10))
    return image


FILES = {
    "1": lambda: Image.fromarray(photo(12, 17)).convert("1"),
    "L": lambda: Image.fromarray(photo(12, 17)).convert("L"),
    "LA": lambda: Image.fromarray(photo(12, 17)[..., :2], "LA"),
    "P": lambda: palette(alpha=False),
    "P with alpha": lambda: palette(alpha=True),
    "RGB": lambda: Image.fromarray(photo(12, 17)),
    "RGBA": lambda: Image.fromarray(np.dstack([photo(12, 17), photo(12, 17, 1)[..., 0]])),
    "CMYK": lambda: Image.fromarray(photo(12, 17)).convert("CMYK"),
}


@pytest.mark.parametrize("kind", FILES)
def test_modes_are_pillows_conversions_and_alpha_is_dropped(tmp_path, kind):
    image = FILES[kind]()
    settings = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    file = saved(tmp_path, image, "1.tif" if kind == "CMYK" else "1.png", **settings)
    for mode in ("L", "RGB", "RGBA"):
        found, _ = decoded(file, mode=mode)
        whole = image.convert("RGBA") if kind == "P with alpha" else image
        expected = np.asarray(whole.convert(mode)).reshape(found.shape)
        tolerance = 1 if kind == "P with alpha" and mode == "L" else 0  # Pillow rounds the grey of a palette otherwise
        assert np.abs(found.astype(int) - expected).max() <= tolerance


def test_the_first_frame_counts(tmp_path):
    frames = [Image.fromarray(photo(10, 14, number)).quantize(64) for number in range(3)]
    file = saved(tmp_path, frames[0], "1.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(file)[0], np.asarray(frames[0].convert("RGB")))


DEEP = np.arange(600, dtype=np.uint16).reshape(20, 30) * 109


@pytest.mark.parametrize("name", ["1.png", "1.tif"])
def test_sixteen_bits_are_kept_where_asked(tmp_path, name):
    file = saved(tmp_path, Image.fromarray(DEEP), name)
    found, _ = decoded(file, mode="L", dtype="uint16")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], DEEP)
    small, _ = decoded(file, mode="L", dtype="uint16", size=(7, 9))
    expected = np.asarray(Image.fromarray(DEEP.astype(np.float32)).resize((9, 7), BILINEAR))
    assert np.abs(small[..., 0] - expected).max() <= 1
    padded, _ = decoded(file, mode="L", dtype="uint16", size=(30, 30), resize="pad")
    np.testing.assert_array_equal(padded[5:25, :, 0], DEEP)


def test_eight_bits_come_to_the_scale_of_sixteen(tmp_path):
    file = saved(tmp_path, Image.fromarray(np.array([[0, 1, 128, 255]], np.uint8)))
    assert decoded(file, mode="L", dtype="uint16")[0][..., 0].tolist() == [[0, 257, 32896, 65535]]


@pytest.mark.parametrize(
    ("pixels", "settings", "message"),
    [
        (DEEP, {}, "more than 8 bits for a pixel; pass mode='L', dtype='uint16'"),
        (DEEP, {"mode": "L"}, "more than 8 bits"),
        (DEEP.astype(np.int32) * 3, {"mode": "L", "dtype": "uint16"}, "from 0 to 195873; expected those of 16 bits"),
        (DEEP.astype(np.float32), {"mode": "L", "dtype": "uint16"}, "floating-point numbers"),
        (DEEP.astype(np.float32), {}, "floating-point numbers"),
    ],
)
def test_depths_that_would_be_cut_off_are_refused(tmp_path, pixels, settings, message):
    with pytest.raises(OSError, match=message):
        decoded(saved(tmp_path, Image.fromarray(pixels), "1.tif"), **settings)


@pytest.mark.parametrize("settings", [{"size": (1, 1)}, {"size": 2, "resize": "crop"}, {"shorter_side": 1}])
def test_numbers_that_16_bits_do_not_hold_are_refused_though_their_mean_fits(tmp_path, settings):
    file = saved(tmp_path, Image.fromarray(np.tile(np.array([[-70000, 100000]], np.int32), (4, 2))), "1.tif")
    with pytest.raises(OSError, match="from -70000 to 100000; expected those of 16 bits"):
        decoded(file, mode="L", dtype="uint16", **settings)


def png_of_sixteen_bits(pixels):
    """A PNG of (height, width, channels), which Pillow reads and does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_several_channels_of_sixteen_bits_are_their_upper_eight_or_refused(tmp_path, channels):
    pixels = np.random.default_rng(channels).integers(0, 65536, (5, 6, channels))
    (tmp_path / "1.png").write_bytes(png_of_sixteen_bits(pixels))
    mode = {2: "L", 3: "RGB", 4: "RGBA"}[channels]
    found, _ = decoded(tmp_path / "1.png", mode=mode)
    np.testing.assert_array_equal(found, (pixels >> 8)[..., : len(mode)])
    with pytest.raises(OSError, match="channels of 16 bits, of which Pillow reads the upper 8"):
        decoded(tmp_path / "1.png", mode="L", dtype="uint16")


def labels_of(height, width, most=255):
    """Few labels, far apart, in areas of some pixels: what lies between two of them is none."""
    rows, cols = np.arange(height)[:, None] // 5, np.arange(width) // 4
    return np.array([0, 3, 40, most])[(rows + cols) % 4]


def palette_of_colors(labels):
    image = Image.fromarray(labels.astype(np.uint8)).copy()
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    return image


MASKS = {
    "grey": (labels_of(23, 34), "uint8", lambda labels: Image.fromarray(labels.astype(np.uint8))),
    "palette": (labels_of(23, 34), "uint8", palette_of_colors),
    "one bit": (labels_of(23, 34) == 3, "uint8", Image.fromarray),
    "16 bits": (labels_of(23, 34, 65535), "uint16", lambda labels: Image.fromarray(labels.astype(np.uint16))),
    "16 bits for 8": (labels_of(23, 34), "uint8", lambda labels: Image.fromarray(labels.astype(np.uint16))),
    "8 bits for 16": (labels_of(23, 34), "uint16", palette_of_colors),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_holds_the_numbers_of_its_file_at_every_size(tmp_path, kind):
    """Neither the colours of a palette, nor a scale of bits, nor labels mixed; there stands the nearest pixel."""
    labels, dtype, image_of = MASKS[kind]
    file = saved(tmp_path, image_of(labels))

    def check(expected, **settings):
        found, source = decoded(file, mode="mask", dtype=dtype, **settings)
        assert (found.dtype, source) == (dtype, labels.shape)
        np.testing.assert_array_equal(found[..., 0], expected)

    def nearest(height, width):
        rows, cols = ((np.arange(n) + 0.5) * own // n for n, own in zip((height, width), labels.shape, strict=True))
        return labels[rows.astype(int)[:, None], cols.astype(int)]

    check(labels)
    check(nearest(9, 14), size=(9, 14))
    check(nearest(46, 50), size=(46, 50))
    check(nearest(10, 15), shorter_side=10)
    check(labels[:, 6:29], size=23, resize="crop")  # its columns 5.5 to 28.5
    check(np.pad(labels, ((6, 5), (0, 0))), size=34, resize="pad")


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (Image.fromarray(photo(8, 9)), "1.png", "holds 'RGB' and is read as a mask; expected one whole number"),
        (Image.fromarray(photo(8, 9)[..., :2], "LA"), "1.png", "holds 'LA' and is read as a mask"),
        (Image.fromarray(photo(8, 9)).convert("L"), "1.jpg", "a JPEG, which changes the labels"),
        (Image.fromarray(np.float32([[1, 2]])), "1.tif", "holds 'F' and is read as a mask"),
        (Image.fromarray(np.array([[0, 256]], np.uint16)), "1.png", "labels from 0 to 256.*pass dtype='uint16'"),
        (Image.fromarray(np.array([[0, 65536]], np.int32)), "1.tif", "0 to 65536; expected those of uint8[.] check"),
        (Image.fromarray(np.array([[-1, 5]], np.int32)), "1.tif", "labels from -1 to 5; expected those of uint8[.]"),
    ],
)
def test_files_that_hold_no_labels_are_refused_as_masks(tmp_path, image, name, message):
    with pytest.raises(OSError, match=message):
        decoded(saved(tmp_path, image, name), mode="mask")
