"""Loaders over pictures of different sizes: wherever they lie and however they are asked for, the same batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import (
    Affine,
    Boxes,
    Brightness,
    Chain,
    Loader,
    Mask,
    Points,
    Ragged,
    RandomResizedCrop,
    Resize,
    Views,
    explain,
    scan_epoch,
    stream,
)
from jaxiter import _ragged_rows as ragged_rows
from jaxiter.augment._warp import _ragged_image as ragged_image
from jaxiter.loader.internal import read_batch, spec_of

from ..data import assert_trees_close, assert_trees_equal, compilations
from ..ragged_data import SIZES, noise, pictures_of, ragged

PICTURES = pictures_of()
MASKS = [picture[..., :1] % np.uint8(5) for picture in PICTURES]
BOXES = np.array([[(0, 0, width, height), (0.0, 0.0, width / 2, height / 3)] for height, width in SIZES], np.float32)
AUGMENT = {
    "image": Chain(RandomResizedCrop((6, 8)), Affine(horizontal_flip=True)),
    "mask": Mask("image"),
    "boxes": Boxes("image", min_visible=0.2),
    "label": None,
}
# Along any map, with views; a program of several seconds more.
WITH_VIEWS = AUGMENT | {
    "grey": Views(Chain(Affine(rotation=20, shift=0.1, size=(7, 5), fill_mode="reflect"), Brightness(0.2)), 2),
    "points": Points("grey"),
}


def data_of(pictures=PICTURES, gap=0, room=0):
    pictures = list(pictures)
    return {
        "image": ragged(pictures, gap, room),
        "mask": ragged([picture[..., :1] % np.uint8(5) for picture in pictures], gap, room),
        "boxes": BOXES,
        "label": np.arange(len(pictures)),
    }


def with_views(pictures=PICTURES):
    return data_of(pictures) | {"grey": ragged([picture[..., 1:2] for picture in pictures]), "points": BOXES[..., :2]}


def loader(data=None, **options):
    return Loader(data_of() if data is None else data, **{"batch_size": 4, "augment": AUGMENT, **options})


class Decoded:
    """A source that makes its pictures when they are asked for, as files do."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pictures):
        self.pictures, self.asked = pictures, []
        self.shape = (len(pictures), None, None, pictures[0].shape[-1])

    def __getitem__(self, rows):
        self.asked.append(rows.tolist())
        return [self.pictures[row].copy() for row in rows]

    def read_all(self):
        return ragged(self.pictures)


@pytest.fixture(scope="module")
def batches():
    """All batches of epoch 0, from the host."""
    return list(loader().epoch(jax.random.key(0), 0))


def test_the_batches_have_the_size_of_the_transform(batches):
    shapes = {name: leaf.shape for name, leaf in batches[0].items()}
    assert shapes == {"image": (4, 6, 8, 3), "mask": (4, 6, 8, 1), "boxes": (4, 2, 4), "label": (4,)}
    assert sorted(np.concatenate([batch["label"] for batch in batches]).tolist()) == list(range(12))
    assert len({batch["image"].tobytes() for batch in map(jax.device_get, batches)}) == 3


def test_on_the_device(batches, key):
    resident = loader().to_device()
    assert isinstance(resident.data["image"], Ragged)
    assert isinstance(resident.data["image"].pixels, jax.Array)
    assert_trees_equal(list(resident.epoch(key, 0)), batches)


def test_within_a_scan_and_under_jit(batches, key):
    resident = loader().to_device()
    _, found = scan_epoch(lambda carry, batch: (carry, batch), 0, resident, key, 0)
    for step, batch in enumerate(batches):
        assert_trees_equal(jax.tree.map(lambda leaf, step=step: leaf[step], found), batch)
    assert_trees_equal(jax.jit(lambda loader, step: loader.batch(key, 0, step))(resident, 2), batches[2])


def test_in_a_stream_that_goes_on(batches, key):
    with stream(loader(), key, start=(0, 1), num_epochs=1, num_threads=2) as found:
        assert_trees_equal(list(found), batches[1:])


def test_divided_among_devices(batches, key):
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), P("data"))
    batch = loader().batch(key, 0, 1, sharding=sharding)
    assert_trees_equal(batch, batches[1])
    assert batch["image"].sharding.is_equivalent_to(sharding, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_divided_in_other_ways(key, kind):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,))
    here = Loader(with_views(), batch_size=4, augment=WITH_VIEWS)
    expected = here.batch(key, 0, 1)
    assert expected["grey"].shape == (4, 2, 7, 5, 1)
    assert expected["points"].shape == (4, 2, 2, 2)
    sharding = NamedSharding(mesh, P("data"))
    everywhere = here.to_device(NamedSharding(mesh, P()))
    assert_trees_equal(everywhere.batch(key, 0, 1, sharding=sharding), expected)
    two = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind,) * 2)
    assert_trees_equal(here.batch(key, 0, 1, sharding=NamedSharding(two, P("data"))), expected)


def each_of(batch, size):
    return [jax.tree.map(lambda leaf, place=place: leaf[place], batch) for place in range(size)]


def test_whatever_the_batch_size(batches, key):
    each = [one for batch in loader(batch_size=1).epoch(key, 0) for one in each_of(batch, 1)]
    assert_trees_equal(each, [one for batch in batches for one in each_of(batch, 4)])


def test_rows_keep_their_pictures(batches, key):
    rows = np.array([11, 3, 7, 0])
    batch = loader(rows=rows, shuffle=False).batch(key, 0, 0)
    by_row = {int(one["label"]): one for b in batches for one in each_of(b, 4)}
    assert_trees_equal(each_of(batch, 4), [by_row[row] for row in rows.tolist()])


def test_explained(batches, key):
    """Each picture as the batch shows it, and its map in its own pixels."""
    for data in (loader(), loader().to_device()):
        for one in each_of(batches[0], 4):
            row = int(one["label"])
            found = explain(data, key, 0, row)
            assert_trees_equal(found.before["image"], PICTURES[row])
            assert_trees_equal(found.after, one)
            assert found.params["image"][0].height <= SIZES[row][0]
            # The corners of the result lie in the picture.
            corners = found.matrix["image"] @ np.array([[-0.5, 5.5], [-0.5, 7.5], [1, 1]], np.float32)
            edges = np.array(SIZES[row])[:, None] - 0.5
            assert (corners[:2] >= -0.5 - 1e-3).all()
            assert (corners[:2] <= edges + 1e-3).all()


IMAGES_ALONE = {"image": AUGMENT["image"]}


def images_of(batches):
    return [one["image"] for batch in batches for one in each_of(batch, 4)]


# Among many small ones some that are much larger, so that a program does for some at a time.
AMONG_LARGE = [*PICTURES, *[noise((20, 20))] * 240, noise((300, 90)), noise((70, 200))]


@pytest.mark.parametrize(
    ("pictures", "gap", "room"),
    [(PICTURES, 0, 0), ([*PICTURES, noise((90, 110))], 13, 0), (PICTURES, 0, 500), (AMONG_LARGE, 0, 0)],
)
def test_a_picture_does_not_depend_on_its_place(batches, key, pictures, gap, room):
    """What lies beside it, and how much behind it, changes how it is read, and never what is read."""
    data = {"image": ragged(pictures, gap, room)}
    assert len(data["image"].extent.levels) == (2 if pictures is AMONG_LARGE else 0)
    rows = np.concatenate([batch["label"] for batch in batches])
    found = Loader(data, batch_size=12, augment=IMAGES_ALONE, rows=rows, shuffle=False).to_device()
    without_room = Loader(data, batch_size=12, augment=IMAGES_ALONE, rows=rows, shuffle=False)
    without_room = jax.jit(lambda loader: loader.batch(key, 0, 0)["image"])(jax.device_put(without_room))
    assert_trees_equal(list(found.batch(key, 0, 0)["image"]), images_of(batches))
    assert_trees_equal(list(without_room), images_of(batches))


@pytest.mark.parametrize("pixels_are_counted", [True, False])
def test_places_beyond_what_an_int32_counts(batches, key, monkeypatch, pixels_are_counted):
    """Where an int32 does not count the values, or not the pixels: with limits that small data pass."""
    before = sum(height * width for height, width in SIZES[:-1])
    pictures = ragged(PICTURES, gap=(2**20 - 1000 - before) // 11)  # the last one over the edge of a block
    assert 2**20 - 2000 < pictures.starts[-1] < 2**20 < pictures.pixels.shape[0]
    limit = pictures.pixels.shape[0] + 100_000 if pixels_are_counted else 1000
    for module in (ragged_image, ragged_rows):
        monkeypatch.setattr(module, "COUNTED", limit)
    rows = np.concatenate([batch["label"] for batch in batches])
    # Of a size of its own, as a program is kept for each.
    size = 12 - pixels_are_counted
    data = Loader({"image": pictures}, batch_size=size, augment=IMAGES_ALONE, rows=rows, shuffle=False).to_device()
    assert_trees_equal(list(data.batch(key, 0, 0)["image"]), images_of(batches)[:size])


def test_pictures_beyond_two_gigabytes_on_the_host(batches, key):
    """Whose pages are never touched but where pictures lie."""
    pixels = np.zeros((2**31 + 2**20, 3), np.uint8)
    starts = 2**31 - 3 + np.cumsum([0] + [height * width for height, width in SIZES[:-1]])
    for start, picture in zip(starts, PICTURES, strict=True):
        pixels[start : start + picture.shape[0] * picture.shape[1]] = picture.reshape(-1, 3)
    found = Loader({"image": Ragged(pixels, starts, SIZES)}, batch_size=12, augment=IMAGES_ALONE)
    assert_trees_equal(list(found.batch(key, 0, 0)["image"]), images_of(batches))


def test_one_program_for_all_sizes(key):
    sizes = np.random.default_rng(0).integers(1, 60, (500, 2)).tolist()
    pictures = [np.full((height, width, 1), row % 256, np.uint8) for row, (height, width) in enumerate(sizes)]
    data = Loader((ragged(pictures), np.arange(500)), batch_size=20, augment=(RandomResizedCrop(4), None))
    data.batch(key, 0, 0)
    with compilations() as names:
        for images, labels in data.epoch(key, 1):
            # Of one grey level each: whatever is read beside a picture would show.
            assert (np.asarray(images) == (np.asarray(labels) % 256)[:, None, None, None]).all()
    assert names == []


def test_behind_the_last_picture_of_a_batch_is_room_for_a_line(key):
    """Where the pictures fill a power of two, too."""
    spec = spec_of(Loader(Decoded([noise((16, 16))] * 64), batch_size=4, augment=Resize(8)))
    staged = read_batch(spec, key, 0, 0).leaves[0]
    assert staged.extent.has_room_behind
    assert staged.pixels.shape[0] >= 4 * 16 * 16 + 16


def test_few_programs_for_pictures_that_are_read_one_by_one(key):
    """Whose sizes are not known before: the largest so far stand for the smaller ones that follow."""
    sizes = np.random.default_rng(0).integers(10, 60, (160, 2)).tolist()
    data = Loader(Decoded([noise(size, 1) for size in sizes]), batch_size=8, augment=RandomResizedCrop(4))
    list(data.epoch(key, 0))
    with compilations() as names:
        for epoch in (1, 2):
            list(data.epoch(key, epoch))
    assert len(names) <= 2


def test_only_the_pictures_of_the_batch_travel(key):
    spec = spec_of(Loader(ragged([noise((50, 60))] * 64), batch_size=4, augment=Resize(8)))
    staged = read_batch(spec, key, 0, 0).leaves[0]
    used = 4 * 50 * 60
    assert staged.pixels.shape[0] == 2 ** int(np.ceil(np.log2(used * 1.1)))
    assert len(staged) == 4


class TestSource:
    """Pictures that are read when they are needed, whose sizes are not known before."""

    def test_it_is_read_once_for_each_batch_in_rising_order(self, batches, key):
        images, masks = Decoded(PICTURES), Decoded(MASKS)
        data = loader(data_of() | {"image": images, "mask": masks})
        for step, batch in enumerate(batches):
            assert_trees_equal(data.batch(key, 0, step), batch)
            assert images.asked[-1] == masks.asked[-1] == sorted(batch["label"].tolist())

    @pytest.mark.parametrize("body", [{"__eq__": lambda self, other: True, "__hash__": None}, {"__slots__": ("only",)}])
    def test_it_needs_no_hash_and_no_weak_reference(self, key, body):
        def read(self, rows):
            return [PICTURES[row] for row in rows]

        fields = {"dtype": np.dtype(np.uint8), "shape": (12, None, None, 3), "__getitem__": read}
        source = type("Plain", (), fields | body)()
        assert Loader(source, batch_size=4, augment=Resize(4)).batch(key, 0, 0).shape == (4, 4, 4, 3)

    def test_it_may_be_read_whole(self, batches, key):
        assert_trees_equal(loader(data_of() | {"image": Decoded(PICTURES)}).to_device().batch(key, 0, 1), batches[1])

    @pytest.mark.parametrize(
        ("found", "said"),
        [
            (lambda rows: np.zeros((4, 5, 5, 3)), "returned ndarray for 4 rows; expected a list of pictures"),
            (lambda rows: [noise((5, 5))] * 3, "returned list for 4 rows"),
            (lambda rows: [noise((5, 5), 1)] * 4, r"uint8\(5, 5, 1\); expected uint8 of \(height, width, 3\)"),
            (lambda rows: [noise((5, 5), 3, np.float32)] * 4, r"float32\(5, 5, 3\); expected uint8"),
            (lambda rows: [noise((5, 5))[0]] * 4, r"uint8\(5, 3\)"),
            (lambda rows: [np.zeros((0, 5, 3), np.uint8)] * 4, "is 0 by 5; expected sides of 1 to 32,767"),
        ],
    )
    def test_other_results_are_refused(self, key, found, said):
        source = Decoded(PICTURES)
        source.__class__ = type("Wrong", (Decoded,), {"__getitem__": lambda self, rows: found(rows)})
        with pytest.raises(ValueError, match=said):
            Loader(source, batch_size=4, augment=Resize(4)).batch(key, 0, 0)


def test_masks_of_another_size_are_refused(key):
    wrong = [*MASKS[:5], MASKS[5].transpose(1, 0, 2), *MASKS[6:]]
    said = r"data\['mask'\] is 40 by 2 in row 5, and data\['image'\], which it follows, 2 by 40; expected masks of"
    augment = {"image": Resize(4), "mask": Mask("image")}
    with pytest.raises(ValueError, match=said):
        Loader({"image": ragged(PICTURES), "mask": ragged(wrong)}, batch_size=12, augment=augment)
    later = Loader({"image": Decoded(PICTURES), "mask": Decoded(wrong)}, batch_size=12, augment=augment)
    for call in (
        lambda: later.batch(key, 0, 0),
        lambda: later.to_device(),
        lambda: explain(later, key, 0, 5),
        lambda: later.preview(key, rows=[3, 5]),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(ValueError, match="are not both pictures of different sizes"):
        Loader({"image": ragged(PICTURES), "mask": np.zeros((12, 8, 8))}, batch_size=12, augment=augment)


@pytest.mark.slow
def test_as_an_array_of_pictures_of_one_size(key):
    """Masks, boxes and points too; on the usual paths to the bit, along any map to the general one's tolerance."""
    images = np.stack([noise((20, 30), seed=seed) for seed in range(12)])
    plain = {
        **{"image": images, "grey": images[..., 1:2], "mask": images[..., :1] % np.uint8(5)},
        **{"boxes": np.minimum(BOXES, 20), "points": BOXES[..., :2], "label": np.arange(12)},
    }
    data = with_views(images) | {"boxes": plain["boxes"]}
    found, expected = (Loader(data, batch_size=4, augment=WITH_VIEWS).batch(key, 1, 2) for data in (data, plain))
    for name in ("image", "mask", "label"):
        assert_trees_equal(found[name], expected[name])
    for name in ("boxes", "points", "grey"):
        assert_trees_close(found[name], expected[name], tolerance=1e-4)


@pytest.mark.parametrize("put", [np.asarray, jnp.asarray])
def test_memory_is_estimated(put):
    data = ragged(PICTURES)
    pixels = data.pixels.nbytes
    estimate = Loader(jax.tree.map(put, data), batch_size=6, augment=Resize(4)).memory()
    assert estimate.batch == 6 * 4 * 4 * 3 * 4
    assert (estimate.upload, estimate.rows) == ((pixels, pixels // 2) if put is np.asarray else (0, 0))
    assert Loader(data, batch_size=6, augment=RandomResizedCrop(4)).to_device().memory().upload == 0


def test_memory_of_pictures_that_are_read_one_by_one_is_estimated_by_some():
    same = Loader(Decoded([noise((10, 20))] * 50), batch_size=5, augment=Resize(4)).memory()
    assert (same.upload, same.rows) == (50 * 600, 5 * 600)


def test_it_is_not_divided():
    mesh = jax.make_mesh((4,), ("data",))
    with pytest.raises(ValueError, match="pictures of different sizes, which are not divided among devices"):
        loader().to_device(NamedSharding(mesh, P("data")))


@pytest.mark.slow
def test_a_few_large_pictures_change_nothing_wherever_they_lie(key):
    """Divided among devices and in a scan: some at a time, and as if all were as large."""
    images = ragged(AMONG_LARGE)
    children, extent = images.tree_flatten()
    together = Ragged.tree_unflatten(extent._replace(levels=()), children)
    rows = np.array([252, 0, 1, 253, *range(2, 14)])

    def loader_of(images):
        augment = Views(RandomResizedCrop(6), 2)
        return Loader(images, batch_size=8, augment=augment, rows=rows, shuffle=False)

    expected = [loader_of(together).batch(key, 0, step) for step in (0, 1)]
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), P("data"))
    assert_trees_equal(loader_of(images).batch(key, 0, 0, sharding=sharding), expected[0])
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, loader_of(images).to_device(), key, 0)
    assert_trees_equal(jax.tree.map(lambda leaf: leaf[1], scanned), expected[1])
