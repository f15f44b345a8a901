"""The pictures of `Loader.preview` against explain, Pillow and image_grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxiter import (
    Affine,
    Chain,
    Loader,
    Map,
    Normalize,
    RandomResizedCrop,
    Rescale,
    explain,
    from_records,
    image_grid,
)

from ..data import each_once, pictures

GAP, WIDE = 2, 8
RANDOM = np.random.default_rng(0)
PHOTOS = RANDOM.integers(0, 256, (9, 32, 48, 3), np.uint8)
LABELS = np.arange(9)
MOVES = Affine(shift=0.2, horizontal_flip=True)


def loader_of(images=PHOTOS, augment=MOVES, **options):
    return Loader((images, LABELS), batch_size=3, augment=augment, **options)


def lines_of(picture, heights, gaps=None):
    """The lines of a preview, cut out again by hand, one array each."""
    array, top, lines = np.asarray(picture), 0, []
    for height, gap in zip(heights, gaps or [GAP] * len(heights), strict=True):
        assert (array[top : top + gap] == 255).all()
        lines.append(array[top + gap : top + gap + height])
        top += gap + height
    assert array.shape[0] == top + GAP
    return lines


def test_originals_stand_above_what_explain_says_of_each_epoch(key):
    """Whose rows, epochs and order are others if any of them is exchanged."""
    rows, epochs, loader = [4, 0, 7], [6, 1], loader_of(augment=Chain(MOVES, Rescale(1 / 255)))
    after = [np.stack([explain(loader, key, epoch, row).after[0] for row in rows]) for epoch in epochs]
    expected = image_grid([PHOTOS[rows], *after], range=None, scale=1)
    found = loader.preview(key, rows=rows, epochs=epochs)
    assert found.mode == "RGB"
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(expected, int), atol=1)


@pytest.mark.parametrize("where", ["memmap", "source", "device", "records"])
def test_it_is_the_same_wherever_the_data_are(key, where, tmp_path):
    data = (PHOTOS, LABELS)
    if where == "memmap":
        np.save(tmp_path / "x.npy", PHOTOS)
        data = (np.load(tmp_path / "x.npy", mmap_mode="r"), LABELS)
    elif where == "source":
        data = (_Source(PHOTOS), LABELS)
    elif where == "device":
        data = (jnp.asarray(PHOTOS), LABELS)
    elif where == "records":
        data = from_records(list(zip(PHOTOS, LABELS, strict=True)))
    found = Loader(data, batch_size=3, augment=(MOVES, None)).preview(key, rows=3, epochs=2)
    np.testing.assert_array_equal(found, loader_of().preview(key, rows=3, epochs=2))


class _Source:
    """As little as h5py offers."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows):
        assert (np.diff(rows) > 0).all()
        return self.array[rows]


def test_a_number_of_rows_is_spread_over_those_that_are_visited(key):
    loader = loader_of(augment=None)
    np.testing.assert_array_equal(loader.preview(key, rows=3), loader.preview(key, rows=[0, 4, 8]))
    some = loader_of(augment=None, rows=np.array([5, 2, 8, 1, 7]))
    np.testing.assert_array_equal(some.preview(key, rows=3), loader.preview(key, rows=[5, 8, 7]))
    assert loader.preview(key, rows=50).size == loader.preview(key, rows=np.arange(9)).size


def test_a_row_that_is_visited_twice_is_shown_as_two_pictures(key):
    loader = loader_of(rows=np.array([5, 5, 5]))
    after = [explain(loader, key, 0, 5, showing=showing).after[0] for showing in range(3)]
    expected = image_grid([PHOTOS[[5, 5, 5]], np.stack(after)], scale=1)
    np.testing.assert_allclose(np.asarray(loader.preview(key, epochs=1), int), np.asarray(expected, int), atol=1)


def test_bytes_and_normalised_floats_are_both_seen(key):
    """One range for both would draw either as a black sheet."""
    normalize = Normalize(np.float32([120, 110, 100]), np.float32([60, 61, 62]))
    picture = loader_of(augment=Chain(RandomResizedCrop((32, 48), scale=(0.9, 1)), normalize)).preview(key, rows=9)
    for line in lines_of(picture, [32] * 4):
        assert np.percentile(line, 5) < 40
        assert np.percentile(line, 95) > 215


def test_few_grey_levels_are_no_black_sheet_and_no_mask(key):
    """The scanned digits are bytes up to 16, which image_grid takes for labels."""
    digits = RANDOM.integers(0, 17, (9, 16, 16, 1)).astype(np.uint8)
    for augment in (None, Affine(horizontal_flip=True), Affine(shift=0.1), Rescale(1 / 16)):
        for line in lines_of(loader_of(digits, augment).preview(key, epochs=2), [64] * 3):
            assert (line[..., 0] == line[..., 1]).all()
            assert line.max() == 255
            assert line[line < 255].min() == 0


def test_a_mask_stands_below_its_image(key):
    masks = (PHOTOS[..., :1] > 99) + np.uint8(1)
    augment = {"image": MOVES, "mask": Affine(shift=0.2, horizontal_flip=True, order=0), "box": None}
    loader = Loader({"image": PHOTOS, "mask": masks, "box": np.zeros((9, 5, 4))}, batch_size=3, augment=augment)
    lines = lines_of(loader.preview(key, rows=[3, 1], epochs=2), [32] * 6, [GAP, GAP, WIDE, GAP, WIDE, GAP])
    after = [np.stack([explain(loader, key, epoch, row).after["mask"] for row in (3, 1)]) for epoch in range(2)]
    for line, expected in zip(lines[1::2], [masks[[3, 1]], *after], strict=True):
        np.testing.assert_array_equal(line, np.asarray(image_grid(expected, scale=1))[GAP:-GAP])
    np.testing.assert_array_equal(lines[0], np.asarray(image_grid(PHOTOS[[3, 1]], scale=1))[GAP:-GAP])


def test_originals_of_another_size_are_as_wide_as_the_results(key):
    loader = loader_of(augment=RandomResizedCrop(24))
    before, *_ = lines_of(loader.preview(key, rows=[2], epochs=2), [48, 72, 72])
    expected = Image.fromarray(PHOTOS[2]).resize((72, 48), Image.Resampling.BOX)
    np.testing.assert_array_equal(before[:, GAP:-GAP], expected)
    high = Loader(RANDOM.random((2, 90, 10, 1)), batch_size=1, augment=RandomResizedCrop(64))
    before, _ = lines_of(high.preview(key, epochs=1), [128, 64])
    assert (before[:, GAP : GAP + 20] == 255).all()  # narrow: twice as high as the results, and in the middle


def test_large_pictures_are_reduced_and_many_go_below(key):
    assert Loader(np.zeros((1, 600, 300, 1)), batch_size=1).preview(key, epochs=1).size == (132, 518)
    many = Loader(np.zeros((20, 64, 64, 1)), batch_size=1).preview(key, rows=20, epochs=1)
    assert many.size == (16 * 66 + GAP, 4 * 66 + GAP + WIDE - GAP)


def _two_views(image):
    return jnp.stack([image, 255 - image])


def _two_channels(image):
    return image[..., :2]


def _first_three(image):
    return image[..., :3]


def test_views_are_below_each_other(key):
    picture = loader_of(augment=Map(_two_views)).preview(key, rows=[3, 5], epochs=1)
    expected = [PHOTOS[[3, 5]], PHOTOS[[3, 5]], 255 - PHOTOS[[3, 5]]]
    for line, images in zip(lines_of(picture, [32] * 3, [GAP, WIDE, GAP]), expected, strict=True):
        np.testing.assert_array_equal(line, np.asarray(image_grid(images, scale=1))[GAP:-GAP])


def test_results_are_shown_where_the_originals_cannot_be(key):
    many = np.concatenate([PHOTOS, PHOTOS], axis=3)
    picture = Loader(many, batch_size=3, augment=Map(_first_three)).preview(key, rows=2, epochs=2)
    assert len(lines_of(picture, [32] * 2)) == 2


@pytest.mark.parametrize(
    ("data", "augment", "words"),
    [
        (LABELS, None, r"data: int64\[9\]\nExpected an array \(size, height, width, channels\)"),
        (
            {"image": PHOTOS},
            {"image": Map(_two_channels)},
            r"image_grid\(loader.batch\(key, 0, 0\)\['image'\]\[..., :3",
        ),
        ((PHOTOS[..., 0], LABELS), None, r"grey pictures a channel axis, x\[..., None\]"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_what_to_write(key, data, augment, words):
    with pytest.raises(ValueError, match=words):
        Loader(data, batch_size=3, augment=augment).preview(key)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rows": 0}, ValueError, "rows is 0; expected at least 1"),
        ({"rows": [9]}, ValueError, r"rows runs from 9 to 9; expected \[0, 9\), the rows of the data"),
        ({"rows": []}, ValueError, "rows is empty"),
        ({"rows": 2.0}, TypeError, "rows is 2.0; expected a number of rows, or their numbers in a sequence"),
        ({"epochs": 0}, ValueError, "epochs is 0; expected at least 1"),
        ({"epochs": ()}, ValueError, "epochs is empty; expected at least one"),
        ({"epochs": [0, -1]}, ValueError, r"epochs\[1\] is -1"),
        ({"epochs": None}, TypeError, "epochs is None; expected a number of epochs"),
    ],
)
def test_rows_and_epochs_that_are_not_there_are_refused(key, options, error, words):
    with pytest.raises(error, match=words):
        loader_of().preview(key, **options)


@pytest.mark.parametrize(*each_once(spec=[jax.P(), jax.P("data"), None], kind=["Auto", "Explicit"]))
def test_it_is_the_same_on_several_devices(key, spec, kind):
    kinds = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((3,), ("data",), axis_types=kinds, devices=jax.devices()[:3])
    loader = loader_of(rows=np.array([7, 2, 5]))
    where = jax.devices()[1] if spec is None else jax.sharding.NamedSharding(mesh, spec)
    found = loader.to_device(where).preview(key, epochs=2)
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(loader.preview(key, epochs=2), int), atol=1)


SETTINGS = {
    "guard": lambda: jax.transfer_guard("disallow"),
    "rank": lambda: jax.numpy_rank_promotion("raise"),
    "x64": lambda: jax.enable_x64(True),
    "nans": lambda: jax.debug_nans(True),
}


@pytest.mark.parametrize(*each_once(setting=SETTINGS, is_resident=[False, True]))
def test_it_is_the_same_under_every_setting(key, setting, is_resident):
    loader = loader_of().to_device() if is_resident else loader_of()
    expected = loader.preview(key, rows=3, epochs=2)
    with SETTINGS[setting]():
        found = loader.preview(key, rows=3, epochs=2)
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(expected, int), atol=1)


def test_under_jit_it_says_where_it_works(key):
    loader = loader_of().to_device()
    for call in (lambda key, loader: loader.preview(key), lambda key, loader: loader.preview(jax.random.key(0))):
        with pytest.raises(TypeError, match="preview was called under jit or vmap"):
            jax.jit(call)(key, loader)
    with pytest.raises(TypeError, match="preview was called under jit or vmap"):
        jax.jit(loader.preview)(key)


def test_one_program_serves_all_rows_and_epochs(key):
    """Several would take as many seconds."""
    images, _ = pictures()
    traced = []

    def counted(image):
        traced.append(image.shape)
        return image

    loader = Loader(images, batch_size=4, augment=Map(counted))
    loader.preview(key, rows=5, epochs=1)
    after_first = len(traced)
    loader.preview(key, rows=[3, 1, 2, 0, 7], epochs=range(4, 9))
    assert len(traced) == after_first
