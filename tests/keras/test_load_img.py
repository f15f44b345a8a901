"""Files of every kind that Pillow tells apart, read as Keras reads them."""

import io
import itertools
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxiter.keras import img_to_array, load_img
from jaxiter.keras._load_img import load_picture

from .reference import image_utils
from .test_generator import pictures

COLOR_MODES = ("rgb", "rgba", "grayscale")
BYTES = pictures((12, 17, 3), dtype=np.uint8)
WIDE = np.linspace(0, 65535, 12 * 17).reshape(12, 17).astype(np.uint16)


def palette(transparency):
    img = Image.fromarray(BYTES).quantize(7)
    img.info["transparency"] = transparency
    return img


def with_transparent_color():
    img = Image.fromarray(BYTES)
    img.info["transparency"] = tuple(map(int, BYTES[0, 0]))
    return img


def alpha(mode):
    img = Image.fromarray(BYTES).convert(mode)
    img.putalpha(Image.fromarray(BYTES[:, :, 0]))
    return img


# Name of the file -> the image, and what its mode is when it is opened again.
FILES = {
    "grey.png": (Image.fromarray(BYTES[:, :, 0]), "L"),
    "grey.jpg": (Image.fromarray(BYTES[:, :, 0]), "L"),
    "color.png": (Image.fromarray(BYTES), "RGB"),
    "color.jpg": (Image.fromarray(BYTES), "RGB"),
    "color.bmp": (Image.fromarray(BYTES), "RGB"),
    "color.webp": (Image.fromarray(BYTES), "RGB"),
    "alpha.png": (alpha("RGB"), "RGBA"),
    "grey_alpha.png": (alpha("L"), "LA"),
    "color_that_is_transparent.png": (with_transparent_color(), "RGB"),
    "palette.png": (Image.fromarray(BYTES).quantize(7), "P"),
    "palette_one_transparent.png": (palette(2), "P"),
    "palette_with_alphas.png": (palette(bytes([0, 40, 80, 120, 160, 200, 255])), "P"),
    "palette.gif": (Image.fromarray(BYTES).quantize(7), "P"),
    "one_bit.png": (Image.fromarray(BYTES[:, :, 0]).convert("1"), "1"),
    "cmyk.jpg": (Image.fromarray(BYTES).convert("CMYK"), "CMYK"),
    "cmyk.tiff": (Image.fromarray(BYTES).convert("CMYK"), "CMYK"),
    "wide.png": (Image.fromarray(WIDE), "I;16"),
    "wide.tiff": (Image.fromarray(WIDE), "I;16"),
    "wide.jp2": (Image.fromarray(WIDE), "I;16"),
    "signed.tiff": (Image.fromarray(WIDE.astype(np.int32) - 30000), "I"),
    "float.tiff": (Image.fromarray(WIDE.astype(np.float32) / 100), "F"),
    "byte_order.tiff": (Image.frombytes("I;16B", (17, 12), WIDE.astype(">u2").tobytes()), "I;16B"),
    "holds_few_bits.png": (Image.fromarray(BYTES[:, :, 0].astype(np.uint16)), "I;16"),
    "holds_few_bits.tiff": (Image.fromarray(BYTES[:, :, 0].astype(np.float32)), "F"),
}
CUT_IN_COLOR = {"wide.png", "wide.tiff", "wide.jp2", "signed.tiff", "float.tiff", "byte_order.tiff"}
CUT_IN_GREY = {"float.tiff", "byte_order.tiff"}  # whose modes Keras converts to "L"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, (img, mode) in FILES.items():
        img.save(folder / name)
        with Image.open(folder / name) as saved:
            assert saved.mode == mode, name
    return folder


def told(function, *args, **kwargs):
    """What a call returns, and the words of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = function(*args, **kwargs)
    assert all(warning.category is UserWarning for warning in caught)
    return found, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_is_converted_and_resized_as_keras_does(folder, name):
    for color_mode, target_size, keep in itertools.product(COLOR_MODES, (None, (7, 23), (24, 8)), (False, True)):
        for interpolation in ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"):
            arguments = (folder / name, color_mode, target_size, interpolation, keep)
            found, words = told(load_img, *arguments)
            expected, of_pillow = told(image_utils.load_img, *arguments)
            assert found.mode == expected.mode
            assert np.array_equal(img_to_array(found), image_utils.img_to_array(expected)), arguments
            assert len(words) - len(of_pillow) == (name in (CUT_IN_GREY if color_mode == "grayscale" else CUT_IN_COLOR))


def test_wide_grey_keeps_its_values(folder):
    for name in ("wide.png", "wide.tiff", "wide.jp2"):
        assert np.array_equal(img_to_array(load_img(folder / name, "grayscale"))[:, :, 0], WIDE)


def test_values_that_are_cut_are_told_with_file_range_and_remedy(folder):
    _, (words,) = told(load_img, folder / "wide.png")
    assert repr(os.fspath(folder / "wide.png")) in words
    assert "from 0 to 65535" in words
    assert "color_mode='grayscale' keeps them" in words
    _, (words,) = told(load_img, os.fsencode(folder / "float.tiff"), "grayscale")
    assert repr(os.fspath(folder / "float.tiff")) in words
    assert "No color_mode keeps them" in words
    assert "16-bit PNG" in words
    _, (words,) = told(load_img, io.BytesIO((folder / "signed.tiff").read_bytes()))
    assert "from -30000 to 35535" in words


@pytest.mark.parametrize(
    ("values", "is_told"), [([0, 255], False), ([0, 256], True), ([-1, 255], True), ([0, np.nan], True)]
)
def test_only_values_outside_of_a_byte_are_told_of(values, is_told):
    file = io.BytesIO()
    Image.fromarray(np.float32([values])).save(file, "tiff")
    assert bool(told(load_img, file)[1]) == is_told


def test_who_reads_many_files_is_told_instead_of_warned(folder):
    told_of = []
    arguments = ("rgb", (4, 4), "nearest", False)
    for name in ("color.png", "wide.png", "wide.tiff"):
        _, words = told(load_picture, folder / name, *arguments, on_cut=told_of.append)
        assert not words
    assert ["wide.png" in words for words in told_of] == [True, False]
    assert "wide.tiff" in told_of[1]
    assert not told(load_picture, folder / "wide.png", *arguments)[1]


def test_of_several_frames_or_pages_the_first_is_read(tmp_path):
    frames = [Image.fromarray(np.full((4, 5, 3), level, np.uint8)) for level in (10, 90, 200)]
    for name in ("a.gif", "a.tiff", "a.webp"):
        lossless = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **lossless)
        with Image.open(tmp_path / name) as saved:
            assert saved.n_frames == 3
        assert np.array_equal(load_img(tmp_path / name), image_utils.load_img(tmp_path / name))
        assert np.array_equal(load_img(tmp_path / name), frames[0])


# What a camera did to the upright picture (EXIF 2.32, tag 274): where its rows and columns start.
LAID_DOWN = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("orientation", LAID_DOWN)
@pytest.mark.parametrize("form", ["png", "tiff", "webp"])
@pytest.mark.parametrize("color_mode", COLOR_MODES)
def test_exif_turns_a_picture_upright_and_only_where_asked(orientation, form, color_mode):
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    laid = Image.fromarray(np.ascontiguousarray(LAID_DOWN[orientation](BYTES)))
    laid.save(file, form, exif=exif, **({"lossless": True} if form == "webp" else {}))
    upright = Image.fromarray(BYTES).convert({"grayscale": "L"}.get(color_mode, color_mode.upper()))
    assert np.array_equal(load_img(file, color_mode, exif=True), upright)
    assert np.array_equal(load_img(file, color_mode), image_utils.load_img(file, color_mode))
    if form != "tiff":  # which Pillow always turns
        assert load_img(file, color_mode).size == laid.size


@pytest.mark.parametrize("keep", [False, True])
def test_a_picture_is_turned_before_it_is_cropped_resized_and_converted(keep):
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    Image.fromarray(np.ascontiguousarray(LAID_DOWN[6](WIDE))).save(file, "png", exif=exif)
    arguments = ("grayscale", (6, 6), "bilinear", keep)
    upright = io.BytesIO()
    Image.fromarray(WIDE).save(upright, "png")
    assert np.array_equal(load_img(file, *arguments, exif=True), image_utils.load_img(upright, *arguments))
    assert not np.array_equal(load_img(file, *arguments, exif=True), load_img(file, *arguments))


def test_a_damaged_exif_turns_nothing():
    for damaged in (b"Exif\0\0garbage!", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0"):
        file = io.BytesIO()
        Image.fromarray(BYTES).save(file, "jpeg", exif=damaged)
        assert np.array_equal(told(load_img, file, exif=True)[0], told(image_utils.load_img, file)[0])


def test_a_file_that_is_cut_short_missing_or_no_picture_is_an_oserror_as_in_keras(folder, tmp_path):
    whole = (folder / "color.jpg").read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2], None):
        path = tmp_path / "a.jpg"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        for module in (load_img, image_utils.load_img):
            with pytest.raises(OSError, match=r"(?i)a\.jpg|cannot identify|truncated"):
                module(path, target_size=(3, 3))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="the system does not list open files")
def test_the_file_is_closed_at_once(folder):
    before = len(os.listdir("/proc/self/fd"))
    kept = [load_img(folder / name) for name in ("color.png", "palette.gif", "grey.jpg")]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(img.size == (17, 12) for img in kept)
