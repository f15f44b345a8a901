"""What becomes of boxes that are cut off or have no area, and of rows that an example lacks."""

import jax
import numpy as np
import pytest

from jaxiter import Affine, Boxes, Cast, CenterCrop, Chain, Loader, Mask, Points, RandomCrop

KEY = jax.random.key(5)


@pytest.mark.parametrize(
    "transform",
    [
        Chain(Affine(zoom=(2.0, 2.0)), Cast("float32"), Affine(zoom=(0.5, 0.5), fill_mode="constant")),
        Chain(CenterCrop(20), RandomCrop(28, padding=4)),
    ],
    ids=["two resamplings", "padding of what was cut out"],
)
def test_what_one_step_cut_off_does_not_come_back_into_a_box(transform):
    """Each box against the pixels of its object, which lie in a mask of their own."""
    corners = np.random.default_rng(0).integers(0, 20, (60, 2))
    boxes = np.concatenate([corners, corners + 12], axis=1).astype(np.float32)[:, None]
    masks = np.zeros((60, 32, 32), np.uint8)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + 12, x : x + 12] = 1
    data = (np.zeros((60, 32, 32, 1), np.uint8), masks, boxes)
    batch = Loader(data, batch_size=60, augment=(transform, Mask(0, cval=0), Boxes(0))).batch(KEY, 0, 0)
    for mask, box in zip(*map(np.asarray, batch[1:]), strict=True):
        rows, cols = np.nonzero(mask)
        expected = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1] if len(rows) else [-1] * 4
        np.testing.assert_allclose(box[0], expected, atol=0.51)  # half a pixel, where the map divides one


def test_a_box_that_is_reversed_is_none_whatever_acts():
    data = (np.zeros((2, 8, 8, 1), np.uint8), np.full((2, 1, 4), [6, 6, 2, 2], np.float32))
    for transform in (Affine(horizontal_flip=1.0), None):
        with pytest.warns(UserWarning, match="whose right edge is left of their left one"):
            loader = Loader(data, batch_size=2, augment=(transform, Boxes(0)))
        assert (loader.batch(KEY, 0, 0)[1] == -1).all()


def test_points_that_an_example_lacks_stay_so():
    points = np.tile(np.float32([[4, 4], [-1, -1], [-1, 3]]), (2, 1, 1))
    data = (np.zeros((2, 8, 16, 1), np.uint8), points)
    batch = Loader(data, batch_size=2, augment=(Affine(horizontal_flip=1.0), Points(0))).batch(KEY, 0, 0)
    np.testing.assert_array_equal(batch[1][0], [[12, 4], [-1, -1], [17, 3]])
