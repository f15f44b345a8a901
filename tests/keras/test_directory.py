"""Pictures in folders, against Keras' own iterator."""

import inspect
import os

import jax
import numpy as np
import pytest
from PIL import Image

from jaxiter.keras import BatchFromFilesMixin, DirectoryIterator, ImageDataGenerator, Iterator

from .picture_files import assert_same_batches, made, quiet, write, write_classes
from .reference import legacy
from .test_batches import same_but_for_ties
from .test_numpy_iterator import assert_same

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

EXTRAS = [("rng", None), ("output", "numpy"), ("exif", False), ("skip_hidden", False)]
ATTRIBUTES = (
    *("filenames", "filepaths", "class_indices", "num_classes", "samples", "n", "directory", "image_shape"),
    *("target_size", "split", "subset", "color_mode", "class_mode", "interpolation", "keep_aspect_ratio", "dtype"),
    *("data_format", "save_to_dir", "save_prefix", "save_format", "sample_weight"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Classes of every kind: capitals, numbers, folders in folders, one without pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(6):
        write(folder / "cat" / f"{index}.png", size=(5 + index, 8))
    for name in ("z-y/1.png", "z/q/1.bmp", "z/q/b/2.PNG", "z/1.jpg"):
        write(folder / "cat" / name, mode="L")
    for index in (1, 2, 10):
        write(folder / "Dog" / f"{index}.png", mode="RGBA")
    write(folder / "10" / "a.jpeg"), write(folder / "2" / "b.tif"), write(folder / "beside.png")
    (folder / "empty").mkdir()
    (folder / "2" / "notes.txt").write_text("no picture")
    return folder


def both(folder, generator=None, **options):
    """The same iterator from both; what they print is the same."""
    options = {"target_size": (6, 8), "batch_size": 4, "shuffle": False} | options
    of_ours = {name: options.pop(name) for name, _ in EXTRAS if name in options}
    ours, printed, _ = made(
        lambda: ImageDataGenerator(**generator or {}).flow_from_directory(folder, **options, **of_ours)
    )
    theirs, expected, _ = made(
        lambda: legacy.ImageDataGenerator(**generator or {}).flow_from_directory(folder, **options)
    )
    assert printed == expected
    return ours, theirs


def flow(folder, generator=None, **options):
    options = {"target_size": (6, 8), "batch_size": 4} | options
    return quiet(lambda: ImageDataGenerator(**generator or {}).flow_from_directory(folder, **options))


def names(function):
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def test_the_arguments_are_keras_and_then_ours():
    assert names(DirectoryIterator) == names(legacy.DirectoryIterator) + EXTRAS
    ours, theirs = ImageDataGenerator.flow_from_directory, legacy.ImageDataGenerator.flow_from_directory
    assert names(ours) == names(theirs) + EXTRAS
    ours, theirs = BatchFromFilesMixin.set_processing_attrs, legacy.BatchFromFilesMixin.set_processing_attrs
    assert names(ours) == names(theirs)
    assert DirectoryIterator.__bases__ == (BatchFromFilesMixin, Iterator)
    assert DirectoryIterator.allowed_class_modes == legacy.DirectoryIterator.allowed_class_modes


@pytest.mark.filterwarnings("ignore:Of 5 classes")
@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", None])
@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize(
    ("generator", "options"),
    [
        ({"rescale": 1 / 255}, {"interpolation": "bilinear"}),
        ({"data_format": "channels_first", "dtype": "float64"}, {"keep_aspect_ratio": True}),
        ({"dtype": "float16", "samplewise_center": True}, {"classes": ["cat", "missing", "Dog"]}),
        ({"validation_split": 0.3}, {"subset": "training"}),
        ({"validation_split": 0.3}, {"subset": "validation"}),
    ],
)
def test_files_and_batches_are_those_of_keras(folder, class_mode, color_mode, generator, options):
    ours, theirs = both(folder, generator, class_mode=class_mode, color_mode=color_mode, **options)
    for name in ATTRIBUTES:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert_same(ours.classes, theirs.classes)
    assert_same(ours.labels, theirs.labels)
    assert_same(ours[len(theirs) - 1], theirs[len(theirs) - 1])
    assert_same_batches(ours, theirs, len(theirs) + 2)
    assert_same(ours[-1], theirs[-1])


def test_bytes_lose_their_fractions_after_the_generator_as_in_keras(folder):
    ours, theirs = both(folder, {"dtype": "uint8", "rescale": 1 / 255})
    x, y = next(ours)
    assert x.dtype == y.dtype == np.uint8
    assert x.max() <= 1
    assert_same((x, y), next(theirs))
    ours, theirs = both(folder, {"dtype": "uint8", "rescale": 0.3})
    assert_same(next(ours), next(theirs))


def test_what_is_resampled_is_rounded_nowhere_before_it_is_cast(folder):
    """NumPyArrayIterator resamples bytes in their own dtype, which rounds; of files Keras casts the end alone."""
    options = {"classes": ["cat"], "seed": 3, "class_mode": None}
    generator = {"rotation_range": 40, "dtype": "uint8"}
    ours = next(flow(folder, generator, rng="keras", **options))
    theirs = next(both(folder, generator, **options, shuffle=True)[1])
    assert ours.dtype == theirs.dtype == np.uint8
    assert np.mean(ours != theirs) < 0.01


MOVES = {"rotation_range": 30, "width_shift_range": 0.2, "zoom_range": 0.3, "horizontal_flip": True, "shear_range": 9}


@pytest.mark.filterwarnings("ignore:Of 5 classes")
def test_keras_stream_gives_its_order_pictures_and_file_numbers(folder, tmp_path):
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for each in folders:
        each.mkdir()
    options = {"shuffle": True, "seed": 3, "save_prefix": "p", "class_mode": "sparse"}
    ours = flow(folder, MOVES, rng="keras", save_to_dir=folders[0], **options)
    generator = legacy.ImageDataGenerator(**MOVES)
    theirs = quiet(
        lambda: generator.flow_from_directory(
            folder, target_size=(6, 8), batch_size=4, save_to_dir=folders[1], **options
        )
    )
    before = np.random.get_state()[1].tolist()
    found = [next(ours) for _ in range(len(ours) + 2)] + [ours[1]]
    assert np.random.get_state()[1].tolist() == before
    for (x, y), (keras_x, keras_y) in zip(
        found, [next(theirs) for _ in range(len(ours) + 2)] + [theirs[1]], strict=True
    ):
        assert_same(y, keras_y)
        same_but_for_ties(x, keras_x, level=0)
    assert sorted(os.listdir(folders[0])) == sorted(os.listdir(folders[1]))
    assert max(int(name.split("_")[2][:-4]) for name in os.listdir(folders[0])) >= 10**4


@pytest.mark.parametrize(
    "classes",
    [None, [], ["Dog", "cat"], ("cat",), ["."], [""], [".", ""], ["missing", "10"], "2", "2z", ["beside.png"]],
)
@pytest.mark.filterwarnings("ignore:Of [0-9] classes")
def test_given_classes_are_keras(folder, classes):
    ours, theirs = both(folder, classes=classes, class_mode=None)
    for name in ("filenames", "filepaths", "class_indices", "num_classes", "samples"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert_same(ours.classes, theirs.classes)


def test_odd_names_links_and_formats_of_a_subclass_are_keras(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for name in ("ä b/'1\".png", "x.png/2.png", "x.png/xpng", "x.png/.h.png", ".dot/a.JPG", "ünï/🙂.jpeg"):
        write(root / name.replace("xpng", "x.png"))
    os.rename(root / "x.png" / "x.png", root / "x.png" / "xpng")
    os.makedirs(os.fsencode(root) + b"/caf\xe9")
    os.link(root / ".dot" / "a.JPG", os.fsencode(root) + b"/caf\xe9/\xff.jpg")
    write(outside / "1.gif"), write(outside / "deep" / "2.png")
    (root / "linked").symlink_to(outside)
    (root / "x.png" / "link.png").symlink_to(outside / "1.gif")
    (root / "x.png" / "nowhere.png").symlink_to(outside / "missing")
    (root / "x.png" / "loop.png").symlink_to(root / "x.png" / "loop.png")
    (root / "x.png" / "to folder.png").symlink_to(outside)
    for follow_links in (False, True):
        ours, theirs = both(root, follow_links=follow_links, class_mode="sparse")
        for name in ("filenames", "filepaths", "class_indices", "num_classes", "samples"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert_same(ours.classes, theirs.classes)
    readable = [row for row, name in enumerate(ours.filenames) if "nowhere" not in name and "loop" not in name]
    assert_same(
        ours._get_batches_of_transformed_samples(readable), theirs._get_batches_of_transformed_samples(readable)
    )

    class Gifs(DirectoryIterator):
        white_list_formats = ("gif", "webp")

    class KerasGifs(legacy.DirectoryIterator):
        white_list_formats = ("gif", "webp")

    ours, theirs = (
        made(lambda of=of, generator=generator: of(root, generator, target_size=(6, 8), shuffle=False))[0]
        for of, generator in ((Gifs, ImageDataGenerator()), (KerasGifs, legacy.ImageDataGenerator()))
    )
    assert ours.filenames == theirs.filenames == ["linked/1.gif"]
    assert_same(next(ours), next(theirs))


def test_what_a_picture_draws_follows_from_its_place_in_the_whole_listing(tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 3})
    generator = {**MOVES, "validation_split": 0.4}
    options = {"seed": 5, "shuffle": False, "class_mode": None}
    whole = flow(tmp_path, generator, batch_size=8, **options)
    x = next(whole)
    parts = [flow(tmp_path, generator, batch_size=3, subset=subset, **options) for subset in ("validation", "training")]
    assert sorted(parts[0].filenames + parts[1].filenames) == whole.filenames
    for part in parts:
        found = np.concatenate([next(part) for _ in range(len(part))])
        rows = [whole.filenames.index(name) for name in part.filenames]
        np.testing.assert_allclose(found, x[rows], atol=1e-3)
    assert np.abs(x - next(whole)).max() > 1  # the next epoch


def test_twin_folders_move_alike(tmp_path):
    for kind, mode in (("pictures", "RGB"), ("masks", "L")):
        for index in range(6):
            gradient = np.add.outer(np.arange(7) * 9, np.arange(9) * 13).astype(np.uint8)
            path = tmp_path / kind / "all" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(gradient).convert(mode).save(path)
    options = {"class_mode": None, "seed": 1, "target_size": (7, 9)}
    pictures, masks = (
        flow(tmp_path / "pictures", MOVES, **options),
        flow(tmp_path / "masks", MOVES, color_mode="grayscale", **options),
    )
    for _ in range(4):
        np.testing.assert_allclose(next(pictures)[..., :1], next(masks), atol=1e-3)


def test_batches_on_the_device_are_those_of_numpy(folder):
    for dtype in ("float32", "float16"):
        options = {"seed": 2, "class_mode": "input", "classes": ["cat"]}
        on_host, there = (
            flow(folder, {**MOVES, "dtype": dtype}, output=output, **options) for output in ("numpy", "jax")
        )
        (x, again), (y, again_there) = next(on_host), next(there)
        assert isinstance(y, jax.Array)
        assert isinstance(again_there, jax.Array)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(again, again_there)
    x[:] = 0
    assert again.max() > 0


def test_without_a_generator_pictures_come_as_they_are_read(folder):
    ours, theirs = (
        made(lambda of=of: of(folder, None, target_size=(6, 8), shuffle=False, dtype="uint8"))[0]
        for of in (DirectoryIterator, legacy.DirectoryIterator)
    )
    assert_same_batches(ours, theirs, 3)
    with pytest.raises(AttributeError, match="image_data_generator is None"):
        DirectoryIterator(folder, None, subset="training")


def test_what_is_replaced_by_hand_counts_from_the_next_batch_on(folder):
    ours, theirs = both(folder, classes=["cat", "Dog"], class_mode="sparse", batch_size=2)
    changes = [
        lambda it: it._filepaths.reverse(),
        lambda it: setattr(it, "classes", it.classes[::-1].copy()),
        lambda it: (setattr(it, "color_mode", "grayscale"), setattr(it, "image_shape", (6, 8, 1))),
        lambda it: (setattr(it, "target_size", [3, 4]), setattr(it, "image_shape", (3, 4, 1))),
        lambda it: setattr(it, "interpolation", "bicubic"),
        lambda it: setattr(it, "keep_aspect_ratio", True),
        lambda it: setattr(it, "class_mode", "categorical"),
        lambda it: setattr(it, "batch_size", 3),
        lambda it: setattr(it, "color_mode", "rgb") or setattr(it, "image_shape", (2, 3, 4, 3)[1:]),
        lambda it: (
            it._filepaths.extend(it._filepaths[:2]),
            setattr(it, "classes", np.arange(15) % 2),
            setattr(it, "n", 15),
        ),
        lambda it: it.reset(),
    ]
    assert_same_batches(ours, theirs, 1)
    for change in changes:
        for it in (ours, theirs):
            change(it)
        assert_same_batches(ours, theirs, 1)
    assert_same_batches(ours, theirs, 8)
    ours.target_size = (5, 5)
    with pytest.raises(ValueError, match=r"shape \(5, 5, 3\), and image_shape is \(3, 4, 3\)"):
        next(ours)


def own_class(mixin, base, files, generator):
    class Own(mixin, base):
        dtype, class_mode = "float32", "raw"

        def __init__(self):
            self.set_processing_attrs(
                generator, (6, 8), "rgb", "channels_last", None, "", "png", None, "nearest", False
            )
            super().__init__(len(files), 2, False, None)

        filepaths = property(lambda self: files)
        labels = property(lambda self: np.arange(len(files)) * 1.5)
        sample_weight = property(lambda self: np.arange(len(files)))

        def _get_batches_of_transformed_samples(self, index_array):
            return super()._get_batches_of_transformed_samples(index_array[::-1])

    return Own()


def test_a_class_of_ones_own_has_all_of_it(folder):
    files = sorted(folder.glob("Dog/*.png"))
    ours = own_class(BatchFromFilesMixin, Iterator, files, ImageDataGenerator())
    theirs = own_class(legacy.BatchFromFilesMixin, legacy.Iterator, files, legacy.ImageDataGenerator())
    assert_same_batches(ours, theirs, 4)


def test_properties_that_a_class_of_ones_own_lacks_are_named():
    class Own(BatchFromFilesMixin, Iterator):
        pass

    it = Own(3, 1, False, None)
    for name in ("filepaths", "labels", "sample_weight"):
        with pytest.raises(NotImplementedError, match=f"`{name}` property .* in Own"):
            getattr(it, name)


def test_methods_of_a_subclassed_generator_make_the_batches(folder):
    def subclass(base):
        class Brighter(base):
            def get_random_transform(self, img_shape, seed=None):
                return {"tx": 1}

            def standardize(self, x):
                return x + 0.25

        return Brighter()

    ours, theirs = (
        quiet(lambda of=of: subclass(of).flow_from_directory(folder, (6, 8), classes=["Dog"], shuffle=False))
        for of in (ImageDataGenerator, legacy.ImageDataGenerator)
    )
    assert_same(next(ours), next(theirs))
