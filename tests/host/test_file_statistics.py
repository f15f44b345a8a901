"""fit_statistics of pictures in files and of Ragged, against NumPy in float64."""

import sys

import jax
import numpy as np
import pytest
from PIL import Image

from jaxiter import Ragged, fit_statistics, image_folder

from .pictures import write_folder

SIZES = [(20 + 3 * number, 41 - 2 * number) for number in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos"), SIZES)


def assert_numpys(statistics, pictures):
    pixels = np.concatenate([np.asarray(picture).reshape(-1, picture.shape[2]) for picture in pictures])
    pixels = pixels.astype(np.float64)
    assert statistics.mean.dtype == statistics.std.dtype == np.float32
    assert np.array_equal(statistics.mean, pixels.mean(axis=0).astype(np.float32))
    assert np.allclose(statistics.std, pixels.std(axis=0), rtol=1e-7)


@pytest.mark.parametrize("settings", [{}, {"size": (9, 7)}, {"mode": "L", "dtype": "uint16"}])
def test_every_pixel_counts_as_much_whichever_picture_it_is_of(folder, settings):
    source = image_folder(folder, **settings)
    rows = np.array([7, 2, 2, 0, 11])
    for images in (source, source.read_all(progress=False)):
        assert_numpys(fit_statistics(images), [source[row] for row in range(12)])
        assert_numpys(fit_statistics(images, rows=rows), [source[row] for row in rows])


def test_pictures_on_the_device_and_of_floats(folder):
    ragged = image_folder(folder).read_all(progress=False)
    pixels = (ragged.pixels / 255).astype(np.float32)
    floats = Ragged(pixels, ragged.starts, ragged.shapes)
    assert_numpys(fit_statistics(jax.device_put(ragged)), ragged[:])
    found = fit_statistics(floats)
    exact = pixels.astype(np.float64)
    assert np.allclose(found.mean, exact.mean(axis=0), rtol=1e-6)
    assert np.allclose(found.std, exact.std(axis=0), rtol=1e-6)
    pixels[5, 1] = np.nan
    with pytest.raises(ValueError, match="expected finite pixels"):
        fit_statistics(Ragged(pixels, ragged.starts, ragged.shapes))


def test_sums_of_sixteen_bits_do_not_wrap(tmp_path):
    """A square of 65,535 fills 32 bits, and 20 rows of them need more."""
    (tmp_path / "a").mkdir()
    for number in range(3):
        Image.fromarray(np.full((200, 30), 65535 - number, np.uint16)).save(tmp_path / "a" / f"{number}.png")
    mean, std, _ = fit_statistics(image_folder(tmp_path, mode="L", dtype="uint16"))
    assert mean.tolist() == [65534.0]
    assert std.tolist() == [np.float32(np.sqrt(2 / 3))]


def test_a_constant_colour_has_no_spread(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (37, 41), (255, 77, 3)).save(tmp_path / "a" / "1.png")
    mean, std, _ = fit_statistics(image_folder(tmp_path))
    assert (mean.tolist(), std.tolist()) == ([255, 77, 3], [0, 0, 0])


def test_whitening_needs_one_size(folder):
    fixed = image_folder(folder, size=(3, 2))
    found, expected = fit_statistics(fixed, zca=True), fit_statistics(fixed[:], zca=True)
    assert np.allclose(found.whitening, expected.whitening, rtol=1e-5, atol=1e-6)
    for images in (image_folder(folder), image_folder(folder).read_all(progress=False)):
        with pytest.raises(ValueError, match=r"zca=True for pictures of different sizes; .*size=\(32, 32\)"):
            fit_statistics(images, zca=True)


def test_files_are_read_once_and_progress_says_so(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    source, read = image_folder(folder), []
    decode = type(source).decode
    monkeypatch.setattr(type(source), "decode", lambda source, row: read.append(row) or decode(source, row))
    fit_statistics(source, rows=[1, 5], progress=True)
    assert sorted(read) == [1, 5]
    assert "statistics, pass 1 of 1: 2 of 2 images (100%)" in capsys.readouterr().err


def test_a_bad_file_is_named(folder, tmp_path):
    write_folder(tmp_path, SIZES[:2], classes=("cat",))
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(OSError, match=r"1.png' \(row 2, class 'cat'\) cannot be read: it is empty"):
        fit_statistics(image_folder(tmp_path))
    with pytest.raises(ValueError, match="rows runs from 0 to 12"):
        fit_statistics(image_folder(folder), rows=[0, 12])
