"""Pictures of different sizes, each resized where it lies, beside Pillow's resizing of each alone."""

import jax
import numpy as np
import pytest
from PIL import Image

from jaxiter import Loader, Ragged, Resize
from jaxiter._ragged_rows import stage

SHAPES = [(1, 1), (2, 30), (30, 2), (7, 3), (40, 33), (12, 38), (40, 2)]  # the last ends where the pixels do, or before
SIZE = 10  # of which the widest has 3.8 times as many columns: 8 taps, more than the narrowest has


def pictures(channels):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*shape, channels), dtype=np.uint8) for shape in SHAPES]


def by_pillow(picture):
    planes = [Image.fromarray(plane) for plane in np.moveaxis(picture, -1, 0)]
    return np.stack([np.asarray(plane.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for plane in planes], axis=-1)


@pytest.mark.parametrize("room", [0, 38])
def test_each_picture_is_resized_as_pillow_does_wherever_it_lies(key, room):
    found = pictures(3)
    counts = [height * width for height, width in SHAPES]
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in found] + [np.full((room, 3), 255, np.uint8)])
    ragged = Ragged(pixels, np.cumsum([0, *counts[:-1]]), SHAPES)
    assert ragged.extent.has_room_behind == (room > 0)
    loader = Loader(
        jax.tree.map(jax.numpy.asarray, ragged), batch_size=len(SHAPES), shuffle=False, augment=Resize(SIZE)
    )
    batch = np.asarray(loader.batch(key, 0, 0))
    for resized, picture in zip(batch, found, strict=True):
        assert np.abs(resized - by_pillow(picture)).max() <= 1.01  # Pillow rounds to bytes after each axis


class Pictures:
    """A source whose sizes are not known before it is read."""

    def __init__(self, shapes):
        self.shapes, self.shape, self.dtype = shapes, (len(shapes), None, None, 1), np.dtype(np.uint8)

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, rows):
        return [np.zeros((*self.shapes[row], 1), np.uint8) for row in rows]


def test_few_programs_serve_pictures_whose_sizes_are_not_known_before():
    """A program depends on the largest sides of a batch: at most a quarter more, and four for each doubling."""
    sides = np.arange(1, 500)
    source = Pictures([(side, 1) for side in sides])
    extents = [stage("pictures", source, np.array([row]), 1)[0].extent.most.height for row in range(len(sides))]
    assert (extents >= sides).all()
    assert (extents <= np.ceil(1.25 * sides)).all()
    assert len(set(extents)) <= 4 * np.log2(500)
