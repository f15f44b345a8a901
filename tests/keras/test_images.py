import io

import numpy as np
import pytest
from PIL import Image

from jaxiter.keras import array_to_img, img_to_array, load_img, save_img

from .reference import image_utils
from .test_generator import pictures


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("top", [0.9, 255, 300])
def test_a_picture_of_an_array_is_keras(scale, data_format, channels, top):
    shape = (channels, 5, 6) if data_format == "channels_first" else (5, 6, channels)
    x = pictures(shape) / 255 * top
    if top > 255 and not scale and channels > 1:
        x = np.clip(x, 0, 255)
    kept = x.copy()
    found, expected = array_to_img(x, data_format, scale), image_utils.array_to_img(x, data_format, scale)
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert np.array_equal(found, expected)
    assert np.array_equal(x, kept)


@pytest.mark.parametrize(
    ("shape", "data_format", "word"),
    [((4, 4), None, "rank 3"), ((4, 4, 3), "last", "data_format"), ((4, 4, 2), None, "Unsupported channel number: 2")],
)
def test_arrays_that_are_no_pictures_are_refused(shape, data_format, word):
    with pytest.raises(ValueError, match=word):
        array_to_img(np.zeros(shape), data_format)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I"])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", [None, "uint8", "float64"])
def test_an_array_of_a_picture_is_keras(mode, data_format, dtype):
    picture = Image.fromarray(pictures((5, 6, 3), dtype=np.uint8)).convert("L" if mode == "I" else mode).convert(mode)
    found, expected = (f(picture, data_format, dtype) for f in (img_to_array, image_utils.img_to_array))
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_an_array_of_another_rank_is_no_picture():
    with pytest.raises(ValueError, match="Unsupported image shape"):
        img_to_array(np.zeros(4))
    with pytest.raises(ValueError, match="data_format"):
        img_to_array(np.zeros((4, 4)), "last")


def test_a_saved_picture_is_read_back_from_anything_that_names_it(tmp_path):
    x, path = pictures((5, 6, 3)), tmp_path / "picture.png"
    save_img(path, x, scale=False)
    for source in (path, str(path), str(path).encode(), io.BytesIO(path.read_bytes())):
        assert np.array_equal(img_to_array(load_img(source)), np.floor(x))
    with pytest.raises(TypeError, match="path is a int"):
        load_img(3)


@pytest.mark.parametrize("name", ["a.jpg", "b.jpeg"])
def test_alpha_is_dropped_with_a_warning_where_the_file_has_none(tmp_path, name):
    with pytest.warns(UserWarning, match="RGBA"):
        save_img(str(tmp_path / name), pictures((5, 6, 4)))
    assert load_img(tmp_path / name).mode == "RGB"
    with pytest.warns(UserWarning, match="RGBA"):
        save_img(io.BytesIO(), pictures((5, 6, 4)), file_format="jpg")


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I"])
@pytest.mark.parametrize("keep_aspect_ratio", [False, True])
def test_loading_converts_crops_and_resizes_as_keras_does(tmp_path, color_mode, mode, keep_aspect_ratio):
    path, picture = tmp_path / "picture.tiff", Image.fromarray(pictures((20, 33, 3), dtype=np.uint8))
    picture.convert("L").convert("I").save(path) if mode == "I" else picture.convert(mode).save(path)
    for target_size in (None, (20, 33), (8, 8), (40, 10)):
        for interpolation in ("nearest", "bilinear", "lanczos"):
            arguments = (color_mode, target_size, interpolation, keep_aspect_ratio)
            found, expected = load_img(path, *arguments), image_utils.load_img(path, *arguments)
            assert found.mode == expected.mode
            assert np.array_equal(found, expected)


def test_unknown_words_are_refused_with_those_that_are_known(tmp_path):
    path = tmp_path / "picture.png"
    save_img(path, pictures((5, 6, 3)))
    with pytest.raises(ValueError, match=r"grayscale.*rgb.*rgba"):
        load_img(path, color_mode="cmyk")
    assert load_img(path, target_size=(5, 6), interpolation="unknown").size == (6, 5)
    with pytest.raises(ValueError, match=r"nearest.*lanczos"):
        load_img(path, target_size=(4, 4), interpolation="unknown")


def test_the_old_word_for_grey_pictures_still_works_and_warns(tmp_path):
    path = tmp_path / "picture.png"
    save_img(path, pictures((5, 6, 3)))
    with pytest.warns(UserWarning, match="color_mode='grayscale'"):
        assert load_img(path, grayscale=True).mode == "L"
