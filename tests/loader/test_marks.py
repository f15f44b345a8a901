"""Boxes and points in the pictures of `Loader.preview`, and frames of clips."""

import numpy as np
import pytest

from jaxiter import Affine, Boxes, Chain, Frames, Loader, Mask, Points, RandomCrop, Views, image_grid

GAP, WIDE, SIDE = 2, 8, 64
BLACK = np.zeros((4, SIDE, SIDE, 3), np.uint8)
BOXES = np.tile(np.float32([[10, 6, 30, 40], [-1, -1, -1, -1], [40, 50, 60, 60]]), (4, 1, 1))
POINTS = np.tile(np.float32([[20.0, 12.0]]), (4, 1, 1))
RED, BLUE = (255, 40, 40), (60, 120, 255)


def tile_of(picture, line, column=0):
    """One picture of a preview that has a line for the originals and one for each epoch."""
    top = GAP + line * (SIDE + GAP)
    left = GAP + column * (SIDE + GAP)
    return np.asarray(picture)[top : top + SIDE, left : left + SIDE]


def outline_of(left, top, right, bottom):
    """Where the outermost pixels of a box are, by a loop of its own."""
    found = np.zeros((SIDE, SIDE), bool)
    for row in range(top, bottom):
        for col in range(left, right):
            found[row, col] = row in (top, bottom - 1) or col in (left, right - 1)
    return found


def loader_of(transform, boxes=BOXES, images=BLACK, **options):
    data = {"image": images, "boxes": boxes, "points": POINTS}
    augment = {"image": transform, "boxes": Boxes("image", **options), "points": Points("image")}
    return Loader(data, batch_size=2, augment=augment)


@pytest.mark.parametrize("format", ["xyxy", "xywh", "cxcywh"])
def test_boxes_are_drawn_along_their_outermost_pixels_before_and_after(key, format):
    left, top, right, bottom = np.moveaxis(BOXES, -1, 0)
    boxes = {
        "xyxy": BOXES,
        "xywh": np.stack([left, top, right - left, bottom - top], -1),
        "cxcywh": np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1),
    }[format]
    boxes[:, 1] = -1
    picture = loader_of(Affine(horizontal_flip=1.0), boxes, format=format).preview(key, rows=2, epochs=1)
    for line, edges in enumerate([[(10, 6, 30, 40), (40, 50, 60, 60)], [(34, 6, 54, 40), (4, 50, 24, 60)]]):
        tile = tile_of(picture, line, column=1)
        for colour, own in zip((RED, BLUE), edges, strict=True):  # the third row has the third colour
            found = (tile == colour).all(-1)
            np.testing.assert_array_equal(found[17:], outline_of(*own)[17:])  # below the point
        assert (tile[12, 20 if line == 0 else SIDE - 20] == RED).all()  # the point


def test_rows_that_lack_and_boxes_that_are_gone_are_not_drawn(key):
    far = Affine(shift=((0.9, 0.9), 0), fill_mode="constant")
    marked = loader_of(far, min_visible=0.5).preview(key, rows=1, epochs=1)
    assert not (tile_of(marked, 1) == RED).all(-1)[:, :20].any()
    nothing = Loader(BLACK, batch_size=2).preview(key, rows=1, epochs=1)
    lacks = Loader((BLACK, np.full((4, 2, 4), -1.0)), batch_size=2, augment=(None, Boxes(0)))
    np.testing.assert_array_equal(lacks.preview(key, rows=1, epochs=1), nothing)


def test_every_view_has_its_own_boxes(key):
    """A white square that the box goes around, at another place in each view."""
    images = BLACK.copy()
    images[:, 20:30, 20:30] = 255
    loader = Loader(
        (images, np.tile(np.float32([[19, 19, 31, 31]]), (4, 1, 1))),
        batch_size=2,
        augment=(Views(RandomCrop(SIDE, padding=15), 2), Boxes(0)),
    )
    picture = np.asarray(loader.preview(key, rows=1, epochs=1))
    tops = [GAP, GAP + SIDE + WIDE, 2 * GAP + 2 * SIDE + WIDE]
    corners = []
    for top in tops:
        tile = picture[top : top + SIDE, GAP:-GAP]
        rows, cols = np.nonzero((tile == 255).all(-1))
        around = outline_of(cols.min() - 1, rows.min() - 1, cols.max() + 2, rows.max() + 2)
        np.testing.assert_array_equal((tile == RED).all(-1), around)
        corners.append((rows.min(), cols.min()))
    assert len(set(corners)) == 3


def test_some_frames_of_a_clip_are_below_each_other_with_their_masks(key):
    clips = np.random.default_rng(0).integers(0, 256, (3, 7, SIDE, SIDE, 3)).astype(np.uint8)
    masks = (clips[..., 0] > 99).astype(np.uint8)
    flip = Affine(horizontal_flip=1.0)
    loader = Loader((clips, masks), batch_size=2, augment=(Frames(Chain(flip)), Mask(0)))
    picture = np.asarray(loader.preview(key, rows=[2, 0], epochs=1))
    some = [0, 2, 4, 6]
    lines = [array[[2, 0]][:, frame] for array in (clips, masks[..., None]) for frame in some]
    lines += [line[:, :, ::-1] for line in lines]
    for place, images in enumerate(lines):
        top = GAP + place * (SIDE + GAP) + (place >= 8) * (WIDE - GAP)
        expected = np.asarray(image_grid(images, scale=1))[GAP:-GAP]
        np.testing.assert_array_equal(picture[top : top + SIDE], expected)
