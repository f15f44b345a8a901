"""fit_statistics against NumPy in float64, and what it asks of its input."""

import itertools
import sys
from types import SimpleNamespace
from typing import ClassVar

import jax
import numpy as np
import pytest

from jaxiter import Chain, Normalize, Whiten, fit_statistics

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (200, 4, 5, 3)).astype(np.uint8)


class Sliceable:
    """As little as h5py offers: shape, dtype and slices, and it counts how much is read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        block = self.array[rows]
        self.largest = max(self.largest, len(block))
        return block


def assert_numpys(statistics, images):
    exact = np.asarray(images).astype(np.float64)
    assert statistics.mean.dtype == statistics.std.dtype == np.float32
    assert np.allclose(statistics.mean, exact.mean((0, 1, 2)), rtol=1e-6)
    assert np.allclose(statistics.std, exact.std((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.float64, np.bool_])
def test_mean_and_std_are_numpys_per_channel(dtype):
    images = (BYTES > 128) if dtype == np.bool_ else BYTES.astype(dtype)
    assert_numpys(fit_statistics(images), images)


def test_a_large_offset_does_not_cancel():
    """mean(x**2) - mean(x)**2, even in float64, and any sum in float32 lose this spread."""
    images = (1e7 + RANDOM.normal(0, 0.01, (50, 4, 4, 2))).astype(np.float64)
    assert_numpys(fit_statistics(images), images)


def test_bytes_do_not_overflow():
    white = np.full((3000, 8, 8, 1), 255, np.uint8)
    mean, std, _ = fit_statistics(white)
    assert (mean.tolist(), std.tolist()) == ([255.0], [0.0])


def test_blocks_do_not_show(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxiter.augment._statistics._BLOCK_BYTES", 8 * 60 * 7)  # seven images at a time
    images = Sliceable(BYTES)
    statistics = fit_statistics(images, zca=True)
    assert images.largest == 7
    assert_numpys(statistics, BYTES)
    monkeypatch.undo()
    assert np.allclose(statistics.whitening, fit_statistics(BYTES, zca=True).whitening, atol=1e-9)


def test_a_memmap_is_read_in_blocks(tmp_path, monkeypatch):
    path = tmp_path / "images.npy"
    np.save(path, BYTES)
    monkeypatch.setattr("jaxiter.augment._statistics._BLOCK_BYTES", 1)  # one image at a time
    assert_numpys(fit_statistics(np.load(path, mmap_mode="r")), BYTES)


class Indexed(Sliceable):
    def __getitem__(self, rows):
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return self.array[rows]


@pytest.mark.parametrize("source", [np.asarray, Indexed], ids=["array", "array-like"])
@pytest.mark.parametrize("rows", [[199, 3, 77, 3, 0], np.arange(150)[::-1], range(200)], ids=["few", "many", "all"])
def test_rows_choose_the_images_that_count(source, rows, monkeypatch):
    monkeypatch.setattr("jaxiter.augment._statistics._BLOCK_BYTES", 8 * 60 * 2)  # two images at a time
    found = fit_statistics(source(BYTES), rows=rows, zca=True)
    chosen = BYTES[np.asarray(rows)]
    assert_numpys(found, chosen)
    np.testing.assert_allclose(found.whitening, fit_statistics(chosen, zca=True).whitening, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], ValueError, "rows is empty"),
        (np.zeros(0, int), ValueError, "rows is empty"),
        (np.ones(200, bool), TypeError, r"np.flatnonzero\(mask\)"),
        ([[1, 2]], TypeError, r"rows is int64\[1, 2\]"),
        ([0, 200], ValueError, r"rows runs from 0 to 200; expected \[0, 200\)"),
        ([-1], ValueError, r"rows runs from -1 to -1; expected \[0, 200\)"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        fit_statistics(BYTES, rows=rows)


def test_without_zca_there_is_no_whitening():
    assert fit_statistics(BYTES).whitening is None


def correlated(size, shape=(3, 3, 2)):
    features = int(np.prod(shape))
    mixing = RANDOM.normal(0, 1, (features, features))
    return (RANDOM.normal(0, 1, (size, features)) @ mixing + 3).reshape(size, *shape).astype(np.float32)


@pytest.mark.parametrize("size", [500, 18, 7, 2])
def test_whitening_is_zca_by_singular_values(size):
    """U diag(sqrt(size) / (s + epsilon)) U^T, whether there are more images than numbers in one or fewer."""
    images, epsilon = correlated(size), 0.1
    statistics = fit_statistics(images, zca=True, epsilon=epsilon)
    exact = images.astype(np.float64)
    centred = (exact - exact.mean((0, 1, 2))).reshape(size, -1)
    directions, singular, _ = np.linalg.svd(centred.T, full_matrices=False)
    rank = singular > 1e-9 * singular[0]
    directions, singular = directions[:, rank], singular[rank]
    expected = directions @ np.diag(np.sqrt(size) / (singular + epsilon)) @ directions.T
    assert statistics.whitening.dtype == np.float32
    assert np.allclose(statistics.whitening, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_whitened_images_have_the_identity_as_their_second_moment():
    images = correlated(5000)
    mean, _, whitening = fit_statistics(images, zca=True)
    chain = Chain(Normalize(mean), Whiten(whitening))
    white = np.asarray(jax.vmap(lambda image: chain.apply(((), ()), image))(images)).reshape(5000, -1)
    assert np.allclose(white.T @ white / 5000, np.eye(18), atol=1e-3)


def test_a_whitening_beyond_the_allowance_is_refused_with_its_cost():
    images = np.broadcast_to(np.uint8(0), (60_000, 224, 224, 3))
    with pytest.raises(
        ValueError, match=r"150528 x 150528 matrix: about \d+.\d GiB of memory .* max_bytes allows 1.0 GiB"
    ):
        fit_statistics(images, zca=True)


def test_the_remedy_of_the_refusal_works():
    with pytest.raises(ValueError, match="pass max_bytes=") as refused:
        fit_statistics(BYTES, zca=True, max_bytes=1000)
    needed = int(str(refused.value).rpartition("max_bytes=")[2].rstrip("."))
    assert fit_statistics(BYTES, zca=True, max_bytes=needed).whitening.shape == (60, 60)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (5, 0, 4, 1), (5, 4, 4), (4,), (5, 4, 4, 1, 1)])
def test_images_of_another_rank_or_none_at_all_are_refused(shape):
    with pytest.raises(ValueError, match=r"images has shape .*; expected \(size, height, width, channels\)"):
        fit_statistics(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_refused(value):
    images = BYTES.astype(np.float32)
    images[17, 2, 2, 1] = value
    with pytest.raises(ValueError, match=r"images has channel means .*; expected finite pixels"):
        fit_statistics(images)


def test_a_list_of_images_is_refused():
    with pytest.raises(TypeError, match=r"images is a list of 1 lists of numbers; expected an array: np\.asarray"):
        fit_statistics([[1.0]])


class Bar:
    """What of tqdm is used."""

    made: ClassVar[list] = []

    def __init__(self, **settings):
        self.settings, self.done, self.is_closed = settings, [], False
        self.made.append(self)

    def update(self, count):
        self.done.append(count)

    def close(self):
        self.is_closed = True


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr("jaxiter.augment._statistics._BLOCK_BYTES", 8 * 60 * 80)


@pytest.mark.parametrize(("zca", "rows"), [(False, None), (True, None), (True, np.arange(0, 200, 2))])
def test_progress_is_shown_by_tqdm_for_each_pass(monkeypatch, capsys, few_at_a_time, zca, rows):
    monkeypatch.setattr(Bar, "made", [])
    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(auto=SimpleNamespace(tqdm=Bar)))
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Bar))
    statistics = fit_statistics(BYTES, zca=zca, rows=rows, progress=True)
    size, passes = (200, [80, 80, 40]) if rows is None else (100, [80, 20])
    assert [bar.done for bar in Bar.made] == [passes] * (3 if zca else 2)
    assert [bar.settings["desc"] for bar in Bar.made][-1] == (
        "statistics, pass 3 of 3" if zca else "statistics, pass 2 of 2"
    )
    assert all(bar.settings["total"] == size and bar.is_closed for bar in Bar.made)
    assert capsys.readouterr() == ("", "")
    for found, expected in zip(statistics, fit_statistics(BYTES, zca=zca, rows=rows), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_tqdm_progress_is_a_line_on_stderr_that_is_written_anew(monkeypatch, capsys, few_at_a_time):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr("jaxiter._progress.monotonic", itertools.count().__next__)  # a second between two looks
    fit_statistics(BYTES, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    first, second, rest = err.split("\n")
    assert first.split("\r") == [
        "",
        "statistics, pass 1 of 2: 0 of 200 images (0%)",
        "statistics, pass 1 of 2: 80 of 200 images (40%), 80/s, 2 s left",
        "statistics, pass 1 of 2: 160 of 200 images (80%), 80/s, 1 s left",
        "statistics, pass 1 of 2: 200 of 200 images (100%), 67/s".ljust(64),  # spaces cover the longer line before
    ]
    assert second.rstrip().endswith("pass 2 of 2: 200 of 200 images (100%), 67/s")
    assert rest == ""


def test_progress_is_not_shown_unless_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=lambda **_: pytest.fail("a bar was made")))
    fit_statistics(BYTES, zca=True)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(TypeError, match="progress is 1; expected True or False"):
        fit_statistics(BYTES, progress=1)


def test_a_bar_is_closed_where_reading_fails(monkeypatch, capsys):
    class Broken(Sliceable):
        def __getitem__(self, rows):
            raise OSError("no disk")

    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(OSError, match="no disk"):
        fit_statistics(Broken(BYTES), progress=True)
    assert capsys.readouterr().err.endswith("(0%)\n")
