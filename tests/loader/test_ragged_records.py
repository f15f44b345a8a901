"""Sources of examples whose pictures have sizes of their own, and pictures of Pillow's in examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxiter import (
    Affine,
    Boxes,
    Chain,
    Loader,
    Mask,
    Ragged,
    RandomResizedCrop,
    Resize,
    explain,
    fit_statistics,
    from_records,
    scan_epoch,
    stream,
)

from ..data import assert_trees_equal
from ..host.sources import four_devices

SIZES = [(5 + row % 4, 9 - row % 3) for row in range(16)]
PICTURES = [np.random.default_rng(row).integers(0, 256, (*size, 3)).astype(np.uint8) for row, size in enumerate(SIZES)]
AUG = Chain(RandomResizedCrop(4, scale=(0.3, 1)), Affine(horizontal_flip=True))
EXAMPLES = [
    {"image": picture, "mask": picture[..., :1] // 64, "label": row, "boxes": np.float32([[0, 0, row % 5 + 1, 3]])}
    for row, picture in enumerate(PICTURES)
]


class Source:
    """Examples one at a time, or many in one call; which were asked for."""

    def __init__(self, examples=EXAMPLES):
        self.examples, self.asked = examples, []

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, row):
        assert type(row) is int
        self.asked.append(row)
        return self.examples[row]


class Together(Source):
    def __getitems__(self, rows):
        return [self[row] for row in rows]


def joined(pictures=PICTURES):
    """The same pictures as one array, by hand."""
    shapes = np.array([picture.shape[:2] for picture in pictures])
    starts = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]])
    return Ragged(np.concatenate([picture.reshape(-1, picture.shape[2]) for picture in pictures]), starts, shapes)


def over_ragged():
    masks = joined([picture[..., :1] // 64 for picture in PICTURES])
    boxes = np.stack([example["boxes"] for example in EXAMPLES])
    return {"image": joined(), "mask": masks, "label": np.arange(16), "boxes": boxes}


AUGMENT = {"image": AUG, "mask": Mask("image"), "label": None, "boxes": Boxes("image")}


@pytest.mark.parametrize("kind", [Source, Together])
def test_columns_give_what_ragged_gives_and_read_an_example_once(kind, key):
    source = kind()
    columns = from_records(source, ragged=["image", "mask"])
    data = Loader(columns, batch_size=6, augment=AUGMENT, remainder="pad")
    expected = Loader(over_ragged(), batch_size=6, augment=AUGMENT, remainder="pad")
    assert source.asked == [0]
    for step in range(3):
        source.asked.clear()
        batch = data.batch(key, 1, step)
        assert source.asked == sorted(set(np.asarray(batch["label"]).tolist()))  # once for all four leaves
        assert_trees_equal(batch, expected.batch(key, 1, step))
    with stream(data, key, num_epochs=2, num_threads=2) as batches:
        for number, batch in enumerate(batches):
            assert_trees_equal(batch, expected.batch(key, *divmod(number, 3)))
    assert number == 5


def test_to_device_reads_an_example_once(key):
    source = Source(EXAMPLES * 40)  # more than two blocks
    data = Loader(from_records(source, ragged=("image", "mask")), batch_size=160, augment=AUGMENT)
    source.asked.clear()
    resident = data.to_device()
    assert source.asked == list(range(640))
    assert_trees_equal(resident.batch(key, 0, 3), data.batch(key, 0, 3))
    image = resident.data["image"]
    np.testing.assert_array_equal(np.asarray(image.shapes), np.array(SIZES * 40))
    np.testing.assert_array_equal(image[619], PICTURES[619 % 16])
    total, _ = scan_epoch(lambda carry, batch: (carry + batch["image"].sum(), None), jnp.float32(0), resident, key, 0)
    expected = sum(float(data.batch(key, 0, step)["image"].sum()) for step in range(4))
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_a_sharded_batch_is_that_of_one_device(key):
    sharding = four_devices()
    data = Loader(from_records(Source(), ragged=["image", "mask"]), batch_size=8, augment=AUGMENT)
    found = data.batch(key, 0, 1, sharding=sharding)
    assert found["image"].sharding.is_equivalent_to(sharding, 4)
    assert_trees_equal(found, data.batch(key, 0, 1))


def test_a_column_is_a_source_by_itself(key):
    images = from_records(Source(), ragged=["image", "mask"])["image"]
    assert (len(images), images.shape, images.dtype) == (16, (16, None, None, 3), np.uint8)
    np.testing.assert_array_equal(images[3], PICTURES[3])
    np.testing.assert_array_equal(images[-1], PICTURES[15])
    for index in (np.array([5, 2, 5]), [5, 2, 5], slice(9, 3, -2)):
        found, rows = images[index], np.arange(16)[index]
        assert isinstance(found, list)
        assert_trees_equal(found, [PICTURES[row] for row in rows])
    assert_trees_equal(tuple(fit_statistics(images))[:2], tuple(fit_statistics(joined()))[:2])
    assert_trees_equal(images.read_all(), joined())
    data = Loader({"x": images}, batch_size=4, augment=AUG)
    np.testing.assert_array_equal(explain(data, key, 0, 7).before["x"], PICTURES[7])
    assert data.preview(key).size[0] > 0


def test_which_leaves_are_named(key):
    pairs = [(example["image"], example["label"]) for example in EXAMPLES]
    images, labels = from_records(pairs, ragged=0)
    assert (images.shape, labels.shape) == ((16, None, None, 3), (16,))
    assert from_records(PICTURES, ragged=True).shape == (16, None, None, 3)
    nested = [{"left": {"image": one}, "right": {"image": one, "n": 3}} for one in PICTURES]
    found = from_records(nested, ragged="image")
    assert found["left"]["image"].shape == found["right"]["image"].shape == (16, None, None, 3)
    grey = from_records([picture[..., 0] for picture in PICTURES], ragged=True)
    np.testing.assert_array_equal(grey[4], PICTURES[4][..., :1])
    assert from_records([{"x": 1}], ragged=False)["x"].shape == from_records([{"x": 1}], ragged=[])["x"].shape == (1,)


MODES = {
    "L": (np.uint8, 1),
    "RGB": (np.uint8, 3),
    "RGBA": (np.uint8, 4),
    "LA": (np.uint8, 2),
    "1": (np.bool_, 1),
    "I;16": (np.uint16, 1),
    "I": (np.int32, 1),
    "F": (np.float32, 1),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_pillow_is_its_array_with_channels(mode):
    dtype, channels = MODES[mode]
    photo = Image.fromarray(PICTURES[0]).convert("L").convert("I") if mode.startswith("I") else None
    picture = (photo or Image.fromarray(PICTURES[0])).convert(mode)
    of_one_size = from_records([{"image": picture, "label": 1}])["image"]
    assert (of_one_size.shape, of_one_size.dtype) == ((1, 5, 9, channels), dtype)
    pixels = [picture.getpixel((col, row)) for row in range(5) for col in range(9)]
    expected = np.array(pixels).reshape(5, 9, channels)
    np.testing.assert_array_equal(of_one_size[0], expected.astype(dtype))
    ragged = from_records([{"image": picture}], ragged="image")["image"]
    np.testing.assert_array_equal(ragged[0], of_one_size[0])


def test_pictures_of_pillow_of_different_sizes_are_those_of_their_arrays(key):
    examples = [{**example, "image": Image.fromarray(example["image"])} for example in EXAMPLES]
    found, expected = (
        Loader(from_records(each, ragged=["image", "mask"]), batch_size=4, augment=AUGMENT)
        for each in (examples, EXAMPLES)
    )
    assert_trees_equal(found.batch(key, 0, 1), expected.batch(key, 0, 1))


@pytest.mark.extras
@pytest.mark.parametrize("settings", [{}, {"type": "numpy"}, {"type": "numpy", "columns": ["grey", "n"]}], ids=str)
def test_a_hugging_face_dataset_is_asked_once_for_a_batch(settings, key, monkeypatch):
    import datasets

    colours, greys = ([Image.fromarray(picture).convert(mode) for picture in PICTURES] for mode in ("RGB", "L"))
    dataset = datasets.Dataset.from_dict({"image": colours, "grey": greys, "n": list(range(16))})
    dataset = dataset.with_format(**settings) if settings else dataset
    names = settings.get("columns", ["image", "grey", "n"])
    columns = from_records(dataset, ragged=[name for name in names if name != "n"])
    assert sorted(columns) == sorted(names)
    augment = {name: None if name == "n" else AUG for name in names}
    data = Loader(columns, batch_size=6, augment=augment)
    calls, read_many = [], datasets.Dataset.__getitems__

    def noted(self, rows):
        calls.append(rows)
        return read_many(self, rows)

    monkeypatch.setattr(datasets.Dataset, "__getitems__", noted)
    batch = data.batch(key, 0, 1)
    assert calls == [sorted(np.asarray(batch["n"]).tolist())]
    grey = joined([np.array(picture)[..., None] for picture in greys])
    arrays = {"image": joined(), "grey": grey, "n": np.arange(16)}
    expected = Loader({name: arrays[name] for name in names}, batch_size=6, augment=augment)
    assert_trees_equal(batch, expected.batch(key, 0, 1))
    assert_trees_equal(data.to_device().batch(key, 1, 0), expected.batch(key, 1, 0))


@pytest.mark.extras
def test_a_hugging_face_dataset_is_data_as_it_is(key):
    import datasets

    dataset = datasets.Dataset.from_dict({"x": [[row, 2.5 * row] for row in range(16)], "n": list(range(16))})
    expected = {"x": np.float32([[row, 2.5 * row] for row in range(16)]), "n": np.arange(16)}
    found = Loader(dataset.with_format("numpy"), batch_size=5).batch(key, 0, 2)
    assert_trees_equal(found, Loader(expected, batch_size=5).batch(key, 0, 2))


def with_one(row, **changed):
    return Source([{**example, **changed} if at == row else example for at, example in enumerate(EXAMPLES)])


RGB = Image.fromarray(PICTURES[0])
WRONG = {
    "another dtype": (PICTURES[0].astype(np.float32), r"holds float32\[5, 9, 3\]; expected uint8\[height, width, 3\]"),
    "other channels": (PICTURES[0][..., :1], r"holds uint8\[5, 9, 1\]; expected uint8\[height, width, 3\]"),
    "grey": (PICTURES[0][..., 0], r"holds uint8\[5, 9\]; expected uint8\[height, width, 3\]"),
    "a mode": (
        RGB.convert("L"),
        r"holds a Pillow image of mode 'L', uint8\[5, 9, 1\]; expected .*picture.convert\('RGB'\)",
    ),
    "a palette": (RGB.convert("P"), r"holds a Pillow image of mode 'P' at \['image'\], whose numbers are no grey"),
    "other colours": (
        RGB.convert("HSV"),
        r"holds a Pillow image of mode 'HSV' at \['image'\], whose numbers are no grey",
    ),
    "no pixels": (PICTURES[0][:0], r"holds a picture of 0 by 9; expected sides of 1"),
    "a side too long": (np.zeros((1, 32768, 3), np.uint8), r"holds a picture of 1 by 32768; expected sides of 1 to"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_picture_unlike_the_first_is_an_error_that_names_its_example(what, key):
    value, words = WRONG[what]
    columns = from_records(with_one(11, image=value), ragged=["image", "mask"])
    data = Loader(columns, batch_size=16, augment=AUGMENT)
    with pytest.raises(ValueError, match=f"^example 11 of the source {words}"):
        data.batch(key, 0, 0)
    with pytest.raises(ValueError, match=r"^example 11 of the source holds"):
        data.to_device()


def test_a_picture_that_cannot_be_read_is_named(key, tmp_path):
    RGB.save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-40])
    with Image.open(tmp_path / "cut.png") as cut:
        data = from_records(with_one(7, image=cut), ragged=["image", "mask"])
        with pytest.raises(OSError, match=r"example 7 of .* a Pillow image at \['image'\] that cannot be read: OSErr"):
            Loader(data, batch_size=16, augment=AUGMENT).batch(key, 0, 0)


def test_of_other_sizes_the_error_says_what_to_write(key):
    data = Loader(from_records(PICTURES[:1] + PICTURES), batch_size=17, augment=AUG)
    with pytest.raises(ValueError, match=r"holds uint8\[6, 8, 3\]; expected uint8\[5, 9, 3\].*from_records.*ragged="):
        data.batch(key, 0, 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PICTURES, r"different sizes make from_records\(list, ragged=\.\.\.\)"),
        ([Image.fromarray(picture) for picture in PICTURES], r"from_records\(pictures, ragged=True\)"),
        (from_records([{"jpg": b"\xff\xd8"}]), r"bytes are decoded by image_files\(list_of_bytes\)"),
    ],
    ids=["arrays", "Pillow's", "bytes"],
)
def test_a_loader_of_pictures_in_a_list_says_what_to_write(data, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Loader(data, batch_size=4)


@pytest.mark.parametrize(
    ("examples", "ragged", "error", "words"),
    [
        (EXAMPLES, "picture", ValueError, "ragged names 'picture'; expected the names of leaves .* 'boxes', 'image'"),
        (EXAMPLES, ["image", 0], ValueError, "ragged names 0; expected the names of leaves"),
        (EXAMPLES, True, ValueError, "ragged is True; expected the names of leaves of an example, of 'boxes'"),
        (PICTURES, "image", ValueError, "ragged names 'image'; expected True, as an example is one leaf"),
        ([(PICTURES[0], 1)], [True], ValueError, "ragged names True; expected the names of leaves"),
        (EXAMPLES, "label", ValueError, r"source\[0\]\['label'\] is int64\[\]; expected a picture"),
        ([np.zeros((0, 4, 3), np.uint8)], True, ValueError, r"source\[0\] is uint8\[0, 4, 3\]; expected a picture"),
        ([np.zeros((4, 4, 3))], True, TypeError, r"source\[0\] has dtype float64; expected uint8"),
        ([np.array([["a"]])], True, TypeError, r"source\[0\] has dtype <U1, which JAX cannot hold"),
        ([RGB.convert("P")], None, ValueError, r"source\[0\] holds a Pillow image of mode 'P', whose numbers"),
    ],
)
def test_what_ragged_may_not_name(examples, ragged, error, words):
    with pytest.raises(error, match=words):
        from_records(examples, ragged=ragged)


def test_a_ragged_column_needs_a_transform_that_fixes_the_size():
    columns = from_records(EXAMPLES, ragged=["image", "mask"])
    with pytest.raises(ValueError, match="data holds pictures of different sizes, and Affine keeps their sizes"):
        Loader(columns["image"], batch_size=4, augment=Affine(horizontal_flip=True))
    images = Loader(columns["image"], batch_size=4, augment=Resize(3)).batch(jax.random.key(0), 0, 0)
    assert images.shape == (4, 3, 3, 3)
