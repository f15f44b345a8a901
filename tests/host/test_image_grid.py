import chex
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Ragged, image_grid

GAP = 2
BATCH = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 3), np.uint8)


def tiles_of(grid, height, width, lines, columns):
    """The images of a grid, cut out again by hand."""
    array = np.asarray(grid)
    chex.assert_shape(array, (lines * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3))
    return [
        [array[top : top + height, left : left + width] for left in range(GAP, array.shape[1], width + GAP)]
        for top in range(GAP, array.shape[0], height + GAP)
    ]


def one_pixel(value, dtype, **options):
    """What a grid makes of a pixel, given by its channels or as one number."""
    value = np.array(value, dtype).reshape(1, 1, 1, -1)
    return np.asarray(image_grid(value, scale=1, **options))[GAP, GAP].tolist()


def test_each_batch_of_a_list_is_a_row():
    tiles = tiles_of(image_grid([BATCH, BATCH[::-1]], scale=1), 3, 6, 2, 5)
    np.testing.assert_array_equal(tiles[0], BATCH)
    np.testing.assert_array_equal(tiles[1], BATCH[::-1])


def test_a_batch_is_wrapped_into_columns_on_white():
    tiles = tiles_of(image_grid(BATCH, columns=2, scale=1), 3, 6, 3, 2)
    np.testing.assert_array_equal([tile for line in tiles for tile in line][:5], BATCH)
    assert (tiles[2][1] == 255).all()


def test_rows_that_are_wrapped_stay_below_each_other():
    tiles = tiles_of(image_grid([BATCH, 255 - BATCH], columns=3, scale=1), 3, 6, 4, 3)
    np.testing.assert_array_equal(tiles[2][0], BATCH[3])
    np.testing.assert_array_equal(tiles[3][1], 255 - BATCH[4])


def test_each_pixel_becomes_a_square():
    tiles = tiles_of(image_grid(BATCH[:1], scale=3), 9, 18, 1, 1)
    np.testing.assert_array_equal(tiles[0][0][1::3, 2::3], BATCH[0])
    assert image_grid(np.zeros((1, 8, 8, 1))).size == (64 + 2 * GAP, 64 + 2 * GAP)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),  # in [0, 1]
        (np.array([0.0, 51.0, 102.0]), [0, 51, 102]),  # in [0, 255]
        (np.array([-2.0, 0.0, 2.0]), [0, 128, 255]),  # from the smallest to the largest
        (np.array([np.nan, 0.2, np.inf]), [0, 51, 255]),
        (np.array([100, 200, 40], np.uint8), [100, 200, 40]),
        (jnp.array([0.0, 0.5, 1.0], jnp.bfloat16), [0, 128, 255]),
        (np.array([300.0, 300.0, 300.0]), [0, 0, 0]),
    ],
)
def test_the_range_is_found(values, expected):
    grid = np.asarray(image_grid(values.reshape(3, 1, 1, 1), scale=1))
    assert grid[GAP, GAP :: 1 + GAP, 0][:3].tolist() == expected


def test_rows_of_one_dtype_have_one_range_and_others_their_own():
    grid = np.asarray(image_grid([np.full((1, 1, 1, 1), value) for value in (1.0, 200.0, np.uint8(100))], scale=1))
    assert grid[GAP :: 1 + GAP, GAP, 0][:3].tolist() == [1, 200, 100]


def test_values_beyond_a_range_are_clipped():
    grid = np.asarray(image_grid(np.array([-9.0, 0.5, 9.0]).reshape(3, 1, 1, 1), range=(0, 1), scale=1))
    assert grid[GAP, GAP :: 1 + GAP, 0][:3].tolist() == [0, 128, 255]


def test_grey_may_have_no_channel_axis_and_rgba_is_blended_on_white():
    grey = BATCH[..., :1]
    np.testing.assert_array_equal(image_grid(grey[..., 0]), image_grid(grey))
    assert one_pixel([200, 100, 0, 255], np.uint8) == [200, 100, 0]
    assert one_pixel([200, 100, 0, 0], np.uint8) == [255, 255, 255]
    assert one_pixel([0.0, 0.5, 1.0, 0.5], np.float32) == [128, 191, 255]


def test_masks_are_drawn_in_colours():
    assert [one_pixel(flag, bool) for flag in (False, True)] == [[0, 0, 0], [255, 255, 255]]
    colours = [one_pixel(label, np.int32) for label in range(32)]
    assert colours[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]  # Pascal VOC's
    assert len(set(map(tuple, colours))) == 32
    assert one_pixel(255, np.uint8) == [255, 255, 255]
    assert one_pixel(16, np.uint8, range=(0, 16)) == [255, 255, 255]


def test_normalised_floats_run_from_the_smallest_to_the_largest():
    """As do few levels: between 0 and 255 they would be a black sheet."""
    values = np.array([-2.5, 0.0, 2.5])
    for images in (values, 4 * values + 10, (values + 2.5) / 99):
        grid = np.asarray(image_grid(images.reshape(3, 1, 1, 1), scale=1))
        assert grid[GAP, GAP :: 1 + GAP, 0][:3].tolist() == [0, 128, 255]


LABELS = np.arange(5)
BOXES = np.zeros((5, 7, 4), np.float32)


@pytest.mark.parametrize(
    "batch",
    [
        (BATCH, LABELS),
        ((BATCH, LABELS), LABELS > 2),  # with_mask
        {"boxes": BOXES, "image": BATCH, "label": LABELS, "points": BOXES[..., :2]},
        (jnp.asarray(BATCH), jnp.zeros((5, 10))),
        [(BATCH, LABELS)],
    ],
)
def test_of_a_batch_the_pictures_are_shown(batch):
    np.testing.assert_array_equal(image_grid(batch, columns=5), image_grid(BATCH, columns=5))


def test_of_a_batch_grey_pictures_without_channels_are_shown_too():
    grey = BATCH[..., 0].repeat(3, axis=2)
    np.testing.assert_array_equal(image_grid((grey, BOXES)), image_grid(grey))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (
            {"image": BATCH, "other": BATCH},
            r"images is a batch with 2 arrays of pictures:\n  images\['image'\]: an array uint8\[5, 3, 6, 3\]\n"
            r"  images\['other'\].*\nExpected one.*image_grid\(\[images\['image'\], images\['other'\]\]\)",
        ),
        ((BATCH, BATCH), r"2 arrays of pictures"),
        (
            (LABELS, BOXES),
            r"without pictures:\n  images\[0\]: an array int64\[5\]\n  images\[1\].*\n.*1, 3 or 4 channels",
        ),
        ((), "without pictures"),
        ([BATCH, {"image": LABELS}], r"images\[1\] is a batch without pictures"),
    ],
)
def test_a_batch_with_no_pictures_or_several_arrays_of_them_is_refused_by_name(batch, words):
    with pytest.raises(ValueError, match=words):
        image_grid(batch)


def test_each_view_is_a_row_below_the_one_before():
    views = np.stack([BATCH, 255 - BATCH], axis=1)
    tiles = tiles_of(image_grid(views, columns=3, scale=1), 3, 6, 4, 3)
    np.testing.assert_array_equal(tiles[1][2], 255 - BATCH[2])
    np.testing.assert_array_equal(tiles[2][1], BATCH[4])
    tiles = tiles_of(image_grid([BATCH, views], scale=1), 3, 6, 3, 5)
    np.testing.assert_array_equal(tiles[0], BATCH)
    np.testing.assert_array_equal(tiles[2], 255 - BATCH)


MASKED = np.ma.masked_equal(np.zeros((1, 2, 2, 1)), 0)
OF_TWO_SIZES = Ragged(np.zeros((10, 1), np.uint8), [0, 6], [(2, 3), (2, 2)])
TWO_SHAPES = [np.zeros((2, 2, 1)), np.zeros((3, 2, 1))]


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        (MASKED, {}, TypeError, "images is a masked array, with 4 values masked.*filled"),
        ([np.zeros((1, 2, 2, 1)), MASKED], {}, TypeError, r"images\[1\] is a masked array"),
        ([[MASKED[0]]], {}, TypeError, r"images\[0\] is a masked array"),
        (np.zeros((1, 2, 2, 1), complex), {}, TypeError, "images has dtype complex128; expected real numbers"),
        (np.zeros((1, 2, 2, 1), [("x", int)]), {}, TypeError, "images has dtype .*x.*; expected real numbers"),
        ([TWO_SHAPES], {}, ValueError, r"images\[0\] is a list of 2, .*another shape; .*np\.stack"),
        (None, {}, TypeError, "images is None; expected an array"),
        (OF_TWO_SIZES, {}, ValueError, r"images are pictures of different sizes; .*preview\(key\)"),
        (BATCH, {"range": 255}, TypeError, r"range is 255; expected two numbers \(low, high\)"),
        (BATCH, {"range": (0, 1, 2)}, TypeError, r"range is \(0, 1, 2\); expected two numbers"),
        (BATCH, {"range": (0, np.nan)}, ValueError, "low < high"),
    ],
)
def test_what_holds_no_plain_numbers_is_refused_in_words(images, options, error, words):
    with pytest.raises(error, match=words):
        image_grid(images, **options)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"images has shape \(1, 2, 2, 2\)"):
        image_grid(np.zeros((1, 2, 2, 2)))
    with pytest.raises(ValueError, match=r"images has shape \(32, 32, 3\).*images\[None\]"):
        image_grid(np.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match=r"\[\(1, 2, 2\), \(2, 2, 2\)\]; expected .* rows of one shape"):
        image_grid([np.zeros((1, 2, 2, 1)), np.zeros((2, 2, 2, 1))])
    with pytest.raises(ValueError, match="at least one image"):
        image_grid(np.zeros((0, 2, 2, 1)))
    with pytest.raises(ValueError, match="low < high"):
        image_grid(np.zeros((1, 2, 2, 1)), range=(1, 1))
    with pytest.raises(ValueError, match="columns is 0; expected 1 or more"):
        image_grid(np.zeros((1, 2, 2, 1)), columns=0)


def test_masks_of_a_batch_are_below_its_images():
    images, masks = BATCH[:3], BATCH[:3, ..., 0] % np.uint8(3)
    expected = image_grid([images, masks[..., None]])
    for batch in (
        {"image": images, "mask": masks, "boxes": np.zeros((3, 5, 4))},
        (images, masks[..., None], np.arange(3)),
    ):
        np.testing.assert_array_equal(image_grid(batch), expected)
    views = {"image": np.stack([images, images], 1), "mask": np.stack([masks, masks], 1)}
    np.testing.assert_array_equal(image_grid(views), image_grid([images, images, masks[..., None], masks[..., None]]))
