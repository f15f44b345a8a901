"""Masks, boxes and points move as the pixels of the image that they follow."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import ndimage

from jaxiter import (
    Affine,
    Blur,
    Boxes,
    CenterCrop,
    Chain,
    Frames,
    Loader,
    Mask,
    OneOf,
    Points,
    RandAugment,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Saturation,
    Sometimes,
    Transform,
    Views,
    deterministic,
    explain,
    scan_epoch,
    stream,
)

from ..data import assert_trees_equal, photo

KEY = jax.random.key(5)
RANDOM = np.random.default_rng(0)
FILL_MODES = ("nearest", "constant", "reflect", "mirror", "wrap", "grid-wrap")
FOLLOW = {"mask": Mask("image"), "boxes": Boxes("image"), "points": Points("image")}


def boxes_in(count, height, width):
    """(count, 6, 4) of which the last two lack."""
    x, y = (np.sort(RANDOM.uniform(0, side, (count, 6, 2)), axis=-1) for side in (width, height))
    boxes = np.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1).astype(np.float32)
    boxes[:, 4:] = -1
    return boxes


def small(size=8, height=12, width=15):
    """Pictures, masks of five labels, boxes and points."""
    return {
        "image": np.stack([np.roll(photo(height, width), place, axis=0) for place in range(size)]),
        "mask": RANDOM.integers(0, 5, (size, height, width)).astype(np.uint8),
        "boxes": boxes_in(size, height, width),
        "points": RANDOM.uniform(0, height, (size, 3, 2)).astype(np.float32),
    }


# Coordinates


def moved_points(points, matrix):
    """In float64, by the inverse of a map of pixel centres, output to source."""
    forward = np.linalg.inv(np.asarray(matrix, np.float64))
    rows_cols = points[..., ::-1].astype(np.float64) - 0.5
    return (rows_cols @ forward[:2, :2].T + forward[:2, 2])[..., ::-1] + 0.5


def bounds_of(box, matrix):
    (left, top), (right, bottom) = box
    corners = moved_points(np.array([(x, y) for x in (left, right) for y in (top, bottom)]), matrix)
    return np.stack([corners.min(0), corners.max(0)])


def moved_box(box, matrix, steps, min_visible):
    """The bounds after the whole map, of which each resampling leaves what its picture holds."""
    if (box == -1).all():
        return box
    whole, seen = bounds_of(box.reshape(2, 2), matrix), box.reshape(2, 2)
    for own, size in steps:
        seen = np.clip(bounds_of(seen, own), 0, size[::-1])
    seen = np.stack([np.maximum(seen[0], whole[0]), np.minimum(seen[1], whole[1])])
    area = np.prod(np.maximum(seen[1] - seen[0], 0))
    return seen.ravel() if area > 0 and area >= min_visible * np.prod(whole[1] - whole[0]) else np.full(4, -1.0)


@dataclass(frozen=True, eq=False)
class Turned(Transform):
    """A user's quarter turn."""

    def apply(self, params, image):
        return jnp.rot90(image)

    def matrix(self, params, image_shape):
        return jnp.array([[0, 1, 0], [-1, 0, image_shape[1] - 1], [0, 0, 1]], np.float32)


A_MAP = Affine(rotation=40, shift=0.2, shear=20, zoom=0.3, horizontal_flip=True, vertical_flip=True)
MAPS = {  # and the sizes that they give
    "a map": (A_MAP, (224, 224)),
    "a map to another size": (Affine(zoom=0.2, shift=0.3, size=(180, 250), fill_mode="wrap"), (180, 250)),
    "a crop and a flip": (Chain(RandomResizedCrop(160), Affine(horizontal_flip=True)), (160, 160)),
    "a crop of what is padded": (RandomCrop((200, 210), padding=12, fill_mode="reflect"), (200, 210)),
    "sizes": (Chain(Resize((300, 200), mode="pad"), Resize((150, 180), mode="crop"), Resize(99)), (99, 99)),
    "several borders": (
        Chain(
            CenterCrop(200),
            Affine(rotation=20, fill_mode="reflect"),
            Affine(zoom=0.2, fill_mode="constant"),
            Blur(1),
            RandomCrop(150, padding=4),
        ),
        (150, 150),
    ),
    "choices": (
        Chain(
            Sometimes(0.5, Affine(zoom=0.3)),
            OneOf(Affine(shift=0.2), Chain(Affine(zoom=0.2), Saturation(0.5))),
            OneOf(Resize(190), RandomCrop(190)),
        ),
        (190, 190),
    ),
    "the papers' steps": (RandAugment(3, 25), (224, 224)),
    "a step of one's own": (Chain(Affine(zoom=0.2), Turned(), RandomCrop((200, 180))), (200, 180)),
}


def test_boxes_and_points_move_by_the_inverse_of_the_matrix():
    """To 1e-3 pixels, at 224; min_visible leaves out some of them. One program for all maps, without the pictures."""
    shape, boxes, points = (224, 224, 3), boxes_in(6, 224, 224), RANDOM.uniform(-20, 244, (6, 5, 2)).astype(np.float32)

    sizes = {}

    def of_each(key, boxes, points):
        found = {}
        for name, (step, _) in MAPS.items():
            chain = Chain(step)
            moves = chain.steps.moves(key, shape)
            of_boxes, of_points = Boxes("image", min_visible=0.4), Points("image")
            each = [
                leaf.follow(numbers, moves, shape[:2]) for leaf, numbers in ((of_boxes, boxes), (of_points, points))
            ]
            found[name] = chain.matrix(chain.sample(key, shape), shape), *each, list(moves.matrices)
            sizes[name] = [mover.after for mover in moves.movers]
        return found

    moved = jax.tree.map(np.asarray, jax.jit(jax.vmap(of_each))(jax.random.split(KEY, 6), boxes, points))
    for name, (matrices, moved_boxes, moved_to, own) in moved.items():
        assert sizes[name][-1] == MAPS[name][1]
        kept = 0
        for row, matrix in enumerate(matrices):
            expected = moved_points(points[row], matrix)
            np.testing.assert_allclose(moved_to[row], expected, rtol=0, atol=1e-3, err_msg=name)
            steps = [(part[row], size) for part, size in zip(own, sizes[name], strict=True)]
            expected = np.array([moved_box(box, matrix, steps, 0.4) for box in boxes[row]])
            np.testing.assert_allclose(moved_boxes[row], expected, rtol=0, atol=1e-3, err_msg=name)
            kept += (expected[:, 0] >= 0).sum()
            assert not np.allclose(matrix, np.eye(3)) or name in ("choices", "the papers' steps")
        assert 6 < kept <= 24, name
        assert moved_boxes.dtype == moved_to.dtype == np.float32


def test_a_box_bounds_the_pixels_of_its_object():
    """Found in the pixels of a mask that holds the rectangle, and in no matrix: a pixel is seen if its centre is."""
    boxes = np.array([[[4, 3, 12, 9]], [[1, 1, 6, 7]], [[8, 6, 19, 15]], [[1, 9, 19, 11]]], np.float32)
    rows, cols = np.arange(16)[:, None] + 0.5, np.arange(20)[None] + 0.5
    masks = np.stack([(rows > t) & (rows < b) & (cols > left) & (cols < r) for left, t, r, b in boxes[:, 0]])
    augment = Chain(
        RandomCrop((14, 18)),
        Resize((42, 54), antialias=False),
        Affine(rotation=(90, 90), zoom=0.3, shift=0.1, horizontal_flip=True),
    )
    data = {"image": np.zeros((4, 16, 20, 1), np.uint8), "mask": masks, "boxes": boxes}
    follow = {"mask": Mask("image", cval=0), "boxes": Boxes("image")}
    batch = Loader(data, batch_size=4, augment={"image": augment, **follow}, shuffle=False).batch(KEY, 0, 0)
    assert batch["mask"].dtype == bool
    for mask, box in zip(np.asarray(batch["mask"]), np.asarray(batch["boxes"][:, 0]), strict=True):
        (top, bottom), (left, right) = ((where.min(), where.max() + 1) for where in np.nonzero(mask))
        np.testing.assert_allclose(box, [left, top, right, bottom], atol=0.51)


DOWN = Affine(shift=((0.5, 0.5), 0), whole_pixels=True)  # by 4 of 8 rows
GIVEN = [
    (2, 1, 6, 5),  # of which a quarter is moved out
    (0, 5, 3, 8),  # and all of this one
    (-1, -1, -1, -1),
    (3, 1, 3, 6),
    (-2, -4, 4, 2),  # and of this one a part is outside on the left
    (np.nan, 0, 1, 1),
]
LACKS = [-1, -1, -1, -1]


LEFT = [
    ({}, [[2, 5, 6, 8], LACKS, LACKS, LACKS, [0, 0, 4, 6], LACKS]),
    ({"min_visible": 0.75}, [[2, 5, 6, 8], LACKS, LACKS, LACKS, LACKS, LACKS]),
    ({"min_visible": 0.76}, [LACKS] * 6),
    ({"clip": False}, [[2, 5, 6, 9], [0, 9, 3, 12], LACKS, LACKS, [-2, 0, 4, 6], LACKS]),
    ({"clip": False, "min_visible": 0.7}, [[2, 5, 6, 9], LACKS, LACKS, LACKS, LACKS, LACKS]),
]


def test_what_is_left_of_a_box():
    boxes = np.array([GIVEN] * 2, np.float32)
    augment = [Boxes(0, **options) for options, _ in LEFT]
    loader = Loader((np.zeros((2, 8, 10, 1), np.uint8), *[boxes] * 5), batch_size=2, augment=(DOWN, *augment))
    for (options, expected), found in zip(LEFT, loader.batch(KEY, 0, 0)[1:], strict=True):
        np.testing.assert_allclose(found[0], expected, atol=1e-6, err_msg=str(options))


def test_a_row_that_lacks_stays_so_where_the_map_would_bring_it_into_the_picture():
    images, lacks = np.zeros((2, 8, 10, 1), np.uint8), np.full((2, 3, 4), -1, np.int32)
    follow = [Boxes(0, format=format, clip=False) for format in ("xyxy", "xywh", "cxcywh")]
    augment = (Affine(shift=(0.5, 0.5), vertical_flip=True, order=0), *follow)
    _, *found = Loader((images, *[lacks] * 3), batch_size=2, augment=augment).batch(KEY, 0, 0)
    assert (np.stack(found) == -1).all()


def as_edges(numbers, format):
    a, b, c, d = np.moveaxis(np.asarray(numbers, np.float64), -1, 0)
    edges = {"xyxy": (a, b, c, d), "xywh": (a, b, a + c, b + d), "cxcywh": (a - c / 2, b - d / 2, a + c / 2, b + d / 2)}
    return np.stack(edges[format], axis=-1)


def test_formats_agree_and_whole_numbers_become_floats():
    data = small()
    edges = np.round(data["boxes"])
    left, top, right, bottom = np.moveaxis(edges, -1, 0)
    given = {
        "xyxy": edges.astype(np.int16),
        "xywh": np.stack([left, top, right - left, bottom - top], axis=-1),
        "cxcywh": np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=-1),
    }
    for name in ("xywh", "cxcywh"):
        given[name][:, 4:] = -1
    augment = {name: Boxes("image", format=name, min_visible=0.9) for name in given}
    augment |= {"image": Affine(shift=0.3, zoom=0.4, vertical_flip=True, order=0)}
    batch = Loader({"image": data["image"], **given}, batch_size=8, augment=augment).batch(KEY, 0, 0)
    lacks = np.asarray(batch["xyxy"])[..., 0] == -1
    assert 16 < int(lacks.sum()) < 40
    for name in given:
        assert batch[name].dtype == np.float32
        assert (np.asarray(batch[name])[lacks] == -1).all()
        np.testing.assert_allclose(as_edges(batch[name], name)[~lacks], np.asarray(batch["xyxy"])[~lacks], atol=1e-4)


# Masks


def test_a_mask_is_scipys_of_order_0_with_the_borders_of_the_image_or_its_own():
    """Away from ties between two pixels. With cval what lies outside is that, whatever the image shows there."""
    masks, ignored = RANDOM.integers(0, 5, (8, 12, 15)).astype(np.uint8), RANDOM.integers(0, 200, (8, 12, 15, 2))
    ignored = ignored.astype(np.int16)
    options = {"rotation": 180, "shift": 0.3, "zoom": 0.4, "size": (14, 13), "cval": 7}
    chains = {mode: Chain(Affine(fill_mode=mode, **options)) for mode in FILL_MODES}

    def of_each(key, mask, labels):
        inside, outside = (Mask("image", cval=cval).of_leaf("a leaf", 0, has_frames=False) for cval in (None, -5))
        found = {}
        for mode, chain in chains.items():
            moves = chain.steps.moves(key, (12, 15, 3))
            found[mode] = inside.follow(mask, moves, (12, 15)), outside.follow(labels, moves, (12, 15))
        return chain.matrix(chain.sample(key, (12, 15, 3)), (12, 15, 3)), found

    matrices, found = jax.tree.map(np.asarray, jax.jit(jax.vmap(of_each))(jax.random.split(KEY, 8), masks, ignored))
    for row, matrix in enumerate(matrices.astype(np.float64)):
        source = np.einsum("ij,jrc->irc", matrix[:2], np.stack([*np.mgrid[:14, :13], np.ones((14, 13))]))
        is_tie, last = np.abs(source % 1 - 0.5) < 1e-3, np.array([11, 14])[:, None, None]
        clear = ~(is_tie | (np.abs(source) < 1e-3) | (np.abs(source - last) < 1e-3)).any(0)
        assert clear.mean() > 0.9
        by_scipy = partial(
            ndimage.affine_transform, matrix=matrix[:2, :2], offset=matrix[:2, 2], output_shape=(14, 13), order=0
        )
        own = np.stack([by_scipy(ignored[row, ..., k], mode="constant", cval=-5) for k in range(2)], axis=-1)
        for mode in FILL_MODES:
            mask, labels = (leaf[row] for leaf in found[mode])
            assert (mask.dtype, labels.dtype) == (np.uint8, np.int16)
            assert np.array_equal(mask[clear], by_scipy(masks[row], mode=mode, cval=7)[clear]), mode
            assert np.array_equal(labels[clear], own[clear]), mode
            assert set(np.unique(labels)) <= {-5, *np.unique(ignored[row])}


def test_a_mask_of_the_picture_itself_is_the_picture():
    """Where the image only selects pixels, in several steps with borders of their own."""
    augment = Chain(
        RandomCrop(10, padding=3, fill_mode="mirror"), Affine(vertical_flip=True), RandomCrop(12, padding=2, cval=9)
    )
    images = small()["image"]
    loader = Loader(
        {"image": images, "again": images}, batch_size=8, augment={"image": augment, "again": Mask("image")}
    )
    batch = loader.batch(KEY, 0, 0)
    assert np.array_equal(batch["image"], batch["again"])
    assert (np.asarray(batch["again"])[:, 0, 0] == 9).any()


# Whatever way a batch is made

AUGMENT = Chain(Affine(horizontal_flip=True), RandomCrop(9))


@pytest.mark.slow
def test_they_are_the_same_whatever_way_a_batch_is_made(tmp_path):
    data = small(16)
    loader = Loader(data, batch_size=8, augment={"image": AUGMENT, **FOLLOW})
    resident, expected = loader.to_device(), loader.batch(KEY, 2, 1)
    assert_trees_equal(resident.batch(KEY, 2, 1), expected)
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, resident, KEY, 2)
    assert_trees_equal(jax.tree.map(lambda leaf: leaf[1], scanned), expected)
    with stream(loader, KEY, start=(2, 1)) as batches:
        assert_trees_equal(next(batches), expected)
    sharding = NamedSharding(jax.make_mesh((4,), ("data",), devices=jax.devices()[:4]), P("data"))
    assert_trees_equal(resident.batch(KEY, 2, 1, sharding=sharding), expected)
    mapped = {}
    for name, leaf in data.items():
        np.save(tmp_path / f"{name}.npy", leaf)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    assert_trees_equal(Loader(mapped, batch_size=8, augment=loader.augment).batch(KEY, 2, 1), expected)
    row = int(loader.index(KEY, 2, 1)[3])
    matrix, after = explain(resident, KEY, 2, row)[1::2]
    assert np.array_equal(after["mask"], expected["mask"][3])
    np.testing.assert_allclose(after["boxes"], expected["boxes"][3], atol=1e-4)
    np.testing.assert_allclose(after["points"], moved_points(data["points"][row], matrix["image"]), atol=1e-4)


@pytest.mark.slow
def test_they_are_the_same_in_a_tuple_and_deeper_in_a_tree():
    """And of an example without boxes there are none."""
    data = small()
    names = ("mask", "image", "points", "boxes")
    nested = {"a": data, "label": np.arange(8), "b": tuple(data[name] for name in names)}
    nested["none"] = [data["image"], data["boxes"][:, :0], data["points"][:, :0], data["boxes"][:, 0]]
    augment = {"a": {"image": AUGMENT, **FOLLOW}, "label": None, "b": (Mask(1), AUGMENT, Points(1), Boxes(1))}
    augment["none"] = [AUGMENT, Boxes(0), Points(0), Boxes(0)]
    batch = Loader(nested, batch_size=8, augment=augment).batch(KEY, 0, 0)
    assert_trees_equal(dict(zip(names, batch["b"], strict=True)), batch["a"])
    _, boxes, points, one = batch["none"]
    assert (boxes.shape, points.shape, one.shape) == ((8, 0, 4), (8, 0, 2), (8, 4))
    assert np.array_equal(one, batch["a"]["boxes"][:, 0])


def test_in_evaluation_they_follow_what_is_left():
    data = small()
    augment = deterministic({"image": Chain(RandomCrop((8, 9)), Affine(rotation=20)), **FOLLOW})
    assert {name: augment[name] for name in FOLLOW} == FOLLOW
    batch = Loader(data, batch_size=8, augment=augment, shuffle=False).batch(KEY, 0, 0)
    assert np.array_equal(batch["mask"], data["mask"][:, 2:10, 3:12])
    np.testing.assert_allclose(batch["points"], data["points"] - [3, 2], atol=1e-5)
    still = Loader(data, batch_size=8, augment={"image": None, **FOLLOW}, shuffle=False).batch(KEY, 0, 0)
    assert_trees_equal(still, data)


def test_views_are_followed_and_frames_share_one_move():
    """Views are those of an example that is shown again; every frame is moved as if it were the only one."""
    data = small(4)
    backwards = {name: leaf[::-1] if name in ("image", "mask") else leaf for name, leaf in data.items()}
    augment = {"image": AUGMENT, **FOLLOW}
    expected = Loader(
        (data, backwards), batch_size=8, augment=(augment, augment), rows=np.repeat(np.arange(4), 2), shuffle=False
    ).batch(KEY, 0, 0)
    clips = {name: np.stack([data[name], backwards[name]], axis=1) for name in ("image", "mask")}
    augment = tuple({"image": look, **FOLLOW} for look in (Views(AUGMENT, 2), Views(Frames(AUGMENT), 2)))
    batch = Loader((data, data | clips), batch_size=4, augment=augment, shuffle=False).batch(KEY, 0, 0)
    views, frames = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(8, *leaf.shape[2:]), batch)
    for name, leaf in expected[0].items():
        np.testing.assert_allclose(views[name], leaf, rtol=1e-6, atol=1e-4, err_msg=name)
        each = np.moveaxis(frames[name], 1, 0) if name in clips else frames[name][None]
        for frame, alone in zip(each, expected, strict=False):
            np.testing.assert_allclose(frame, alone[name], rtol=1e-6, atol=1e-4, err_msg=name)
