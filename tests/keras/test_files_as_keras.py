"""Folders walked by Keras and by us: what is printed, listed and read must be the same, bit for bit."""

import gc
import os
import pathlib
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxiter import keras

from .files import Seen, check_equal, check_same_error, check_same_walk, draw, plant
from .reference import legacy

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

NOT_UTF8 = os.fsdecode(b"caf\xe9")
PETS = (
    *("cats/1.png", "cats/10.png", "cats/2.PNG", "cats/b.JPG", "cats/a.jpeg", "cats/xpng", "cats/.h.png", "cats/9.bmp"),
    *("cats/z-y/1.png", "cats/z/q/2.png", "cats/z/1.tif", "cats/x.png/in.ppm", "cats/.hidden/h.png", "cats/z/empty/"),
    *("cats/other.gif", "cats/other.webp", "cats/other.txt", "cats/png/no", "cats/noext"),
    *("Dogs/1.png", "Dogs/2.png", "Dogs/3.png", "Dogs/deep/er/still/1.png", "Dogs/deep/er/0.png"),
    *("10/a.png", "2/a.png", "2/b.png", ".ipynb_checkpoints/c.png", "nothing/", "only.words/readme.txt"),
    *("beside.png", "readme.txt"),
)
ODD = (
    *(f"{NOT_UTF8}/{NOT_UTF8}.png", f"a/{NOT_UTF8}.png", "a/ü.png", "a/日本.PNG", "a/ leading.png", "a/2  3.png"),
    *("a/quo'te.png", 'a/dou"ble.png', "a/new\nline.png", "a/50%.png", "a/{x}.png", "a/[1].png", "a/~.png"),
    *("a/*.png", "a/back\\slash.png", "é/1.png", "b c/1.png", "Z/1.png", "z/1.png", "-/1.png", "_/1.png", "A.B/1.png"),
)
TREES = {
    "pets": PETS,
    "odd": ODD,
    "flat": ("1.png", "2.png", "x.jpg"),
    "flat and deep": ("1.png", "2.png", "deep/3.png", "x.jpg"),
    "tiffs": ("a/1.tiff", "a/2.TIFF", "a/3.tif", "b/1.png"),
    "bare": (),
    "many": tuple(f"{name}/{i}.png" for name, count in (("a", 7), ("b", 1), ("c", 4), ("d", 10)) for i in range(count)),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    for name, names in TREES.items():
        os.makedirs(root / name)
        plant(root / name, names)
    away = plant(root / "away", ("1.png", "deep/2.png", "file.png"))
    linked = plant(root / "linked", ("a/1.png", "a/own/5.png", "b/1.png"))
    os.symlink(away, linked / "class")  # a link may be a class ...
    os.symlink(away, linked / "a" / "into")  # ... and a folder below one is entered only when asked
    os.symlink(away / "file.png", linked / "a" / "link.png")
    os.symlink(linked / "a" / "own", linked / "b" / "sideways")
    os.symlink("missing", linked / "b" / "gone")
    return root


def walked(module, directory, split=0.0, generator=(), **kwargs):
    kwargs = {"target_size": (6, 5), "shuffle": False, "batch_size": 4, **kwargs}
    made = module.ImageDataGenerator(validation_split=split, **dict(generator))
    return Seen(lambda: made.flow_from_directory(directory, **kwargs))


def check_same(directory, **kwargs):
    """Returns ours and Keras'."""
    ours, theirs = (walked(module, directory, **kwargs) for module in (keras, legacy))
    check_same_walk(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("tree", [*TREES, "linked"])
@pytest.mark.parametrize("class_mode", ["categorical", "sparse", "input", None])
def test_every_tree_is_listed_and_read_as_by_keras(trees, tree, class_mode):
    check_same(os.fspath(trees / tree), class_mode=class_mode)


ARGUMENTS = {
    "classes": {"classes": ["cats", "2", "Dogs"]},
    "one class": {"classes": ["Dogs"], "class_mode": "sparse"},
    "classes of a tuple": {"classes": ("Dogs", "10")},
    "no classes given": {"classes": []},
    "a class that is missing": {"classes": ["gone", "cats"]},
    "a class without pictures": {"classes": ["nothing", "only.words"]},
    "a hidden class": {"classes": [".ipynb_checkpoints", "10"]},
    "all as one class": {"classes": ["."], "class_mode": None},
    "all as one class, with labels": {"classes": ["."], "class_mode": "sparse"},
    "letters": {"classes": "2"},
    "binary without two classes": {"class_mode": "binary"},
    "channels first": {"generator": {"data_format": "channels_first"}},
    "grey, channels first": {"generator": {"data_format": "channels_first"}, "color_mode": "grayscale"},
    "uint8": {"generator": {"dtype": "uint8"}, "class_mode": "sparse"},
    "float16": {"generator": {"dtype": "float16"}},
    "float64": {"generator": {"dtype": "float64"}, "class_mode": "input"},
    "bytes of what is rescaled": {"generator": {"dtype": "uint8", "rescale": 1 / 255}},
    "rescaled": {"generator": {"rescale": 1 / 256}, "class_mode": "input"},
    "large batches": {"batch_size": 100},
    "batches of one": {"batch_size": 1, "classes": ["2"]},
    "a list as size": {"target_size": [3, 11]},
    "seed without shuffle": {"seed": 5},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_means_what_it_does_in_keras(trees, name):
    check_same(os.fspath(trees / "pets"), **ARGUMENTS[name])


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"])
@pytest.mark.parametrize("keep_aspect_ratio", [False, True])
def test_pictures_are_converted_and_resized_as_by_keras(trees, color_mode, interpolation, keep_aspect_ratio):
    arguments = {"color_mode": color_mode, "interpolation": interpolation, "keep_aspect_ratio": keep_aspect_ratio}
    check_same(os.fspath(trees / "pets"), classes=["cats"], **arguments)


@pytest.mark.parametrize("split", [0.0, 0.1, 0.25, 0.5, 0.99])
def test_both_subsets_are_those_of_keras_and_share_no_file(trees, split):
    directory = os.fspath(trees / "many")
    listed = check_same(directory, split=split)[0].it.filenames
    parts = [check_same(directory, split=split, subset=subset)[0] for subset in ("training", "validation")]
    names = [name for part in parts for name in part.it.filenames]
    assert sorted(names) == sorted(listed)
    assert parts[0].it.class_indices == parts[1].it.class_indices


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_are_followed_where_keras_follows_them(trees, follow_links):
    ours, _ = check_same(os.fspath(trees / "linked"), follow_links=follow_links)
    assert ("a/into/deep/2.png" in ours.it.filenames) == follow_links
    assert {"a/link.png", "class/deep/2.png"} <= set(ours.it.filenames)


@pytest.mark.parametrize("written", ["{}", "{}/", "{}/../pets", "path"])
def test_paths_are_joined_to_the_directory_as_it_is_written(trees, written):
    directory = trees / "pets" if written == "path" else written.format(trees / "pets")
    ours, theirs = check_same(directory)
    check_equal(ours.it.filepaths, theirs.it.filepaths)
    assert isinstance(ours.it.directory, pathlib.Path if written == "path" else str)


def test_a_relative_directory_stays_relative(trees, monkeypatch):
    monkeypatch.chdir(trees)
    assert check_same("many")[0].it.filepaths[0] == os.path.join("many", "a/0.png")
    monkeypatch.chdir(trees / "many")
    check_same(".")


def test_a_subclass_says_which_endings_count(trees):
    def made(module):
        own = type("Own", (module.DirectoryIterator,), {"white_list_formats": ("gif", "h.png")})
        return Seen(lambda: own(os.fspath(trees / "pets"), module.ImageDataGenerator(), (6, 5), shuffle=False))

    ours = made(keras)
    check_same_walk(ours, made(legacy))
    assert set(ours.it.filenames) == {"cats/other.gif", "cats/.h.png", "cats/.hidden/h.png"}


def test_without_a_generator_pictures_come_as_they_are_read(trees):
    arguments = (os.fspath(trees / "many"), None, (6, 5))
    check_same_walk(
        Seen(lambda: keras.DirectoryIterator(*arguments, shuffle=False)),
        Seen(lambda: legacy.DirectoryIterator(*arguments, shuffle=False)),
    )


def test_orders_of_a_seed_are_keras_in_replay(trees):
    for split, subset in ((0.0, None), (0.3, "training")):
        ours, theirs = (
            walked(module, os.fspath(trees / "many"), split=split, subset=subset, shuffle=True, seed=7, **extra)
            for module, extra in ((keras, {"rng": "keras"}), (legacy, {}))
        )
        check_equal([next(ours.it) for _ in range(9)], [next(theirs.it) for _ in range(9)])


def test_augmented_batches_and_names_of_saved_files_are_keras_in_replay(trees, tmp_path):
    generator = {"rotation_range": 30, "zoom_range": 0.2, "width_shift_range": 0.2, "horizontal_flip": True}
    arguments = {"generator": generator, "shuffle": True, "seed": 3, "class_mode": "sparse", "save_prefix": "saved"}
    its = []
    for module, extra in ((keras, {"rng": "keras"}), (legacy, {})):
        folder = tmp_path / module.__name__
        folder.mkdir()
        its.append(walked(module, os.fspath(trees / "many"), save_to_dir=folder, **arguments, **extra).it)
    for _ in range(7):  # into the second epoch
        (found, found_labels), (expected, expected_labels) = next(its[0]), next(its[1])
        check_equal(found_labels, expected_labels)
        np.testing.assert_allclose(found, expected, rtol=0, atol=255e-4)
    saved = [sorted(os.listdir(it.save_to_dir)) for it in its]
    assert saved[0] == saved[1]


BY_HAND = {
    "filepaths": lambda it: setattr(it, "_filepaths", it._filepaths[::-1]),
    "classes": lambda it: setattr(it, "classes", it.classes[::-1]),
    "class_mode": lambda it: setattr(it, "class_mode", "categorical"),
    "size": lambda it: (setattr(it, "target_size", (4, 8)), setattr(it, "image_shape", (4, 8, 3))),
    "color": lambda it: (setattr(it, "color_mode", "grayscale"), setattr(it, "image_shape", (6, 5, 1))),
    "interpolation": lambda it: setattr(it, "interpolation", "lanczos"),
    "proportions": lambda it: setattr(it, "keep_aspect_ratio", True),
    "batch_size": lambda it: setattr(it, "batch_size", 5),
    "n": lambda it: setattr(it, "n", 7),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_changed_by_hand_counts_from_the_next_batch_on(trees, name):
    batches = []
    for module in (keras, legacy):
        seen = walked(module, os.fspath(trees / "many"), class_mode="sparse")
        seen.batches()
        BY_HAND[name](seen.it)
        batches.append(seen.batches())
    check_equal(*batches)


def test_a_circle_of_links_is_walked_once(tmp_path):
    plant(tmp_path, ("a/1.png", "a/deep/2.png"))
    os.symlink(tmp_path / "a", tmp_path / "a" / "deep" / "up")
    os.symlink("itself", tmp_path / "a" / "itself")
    it = walked(keras, os.fspath(tmp_path), follow_links=True).it
    assert it.filenames == ["a/1.png", "a/deep/2.png"]


def test_a_class_given_twice_is_refused_and_a_nested_one_works(trees):
    for classes in (["cats", "cats"], ["Dogs", "cats", "Dogs"]):
        error = walked(keras, os.fspath(trees / "pets"), classes=classes).error
        assert isinstance(error, ValueError)
        assert classes[0] in str(error)
    nested = walked(keras, os.fspath(trees / "pets"), classes=["cats/z", "Dogs"], class_mode="sparse").it
    assert nested.class_indices == {"cats/z": 0, "Dogs": 1}
    assert nested.filenames[:2] == ["cats/z/1.tif", "cats/z/q/2.png"]
    assert nested[0][1].tolist() == [0, 0, 1, 1]


def test_too_many_classes_for_a_dtype_are_refused(tmp_path):
    for i in range(257):
        os.makedirs(tmp_path / str(i))
    for class_mode, is_refused in (("sparse", True), ("categorical", False), (None, False)):
        error = walked(keras, os.fspath(tmp_path), generator={"dtype": "uint8"}, class_mode=class_mode).error
        assert isinstance(error, ValueError) == is_refused
        assert not is_refused or ("uint8" in str(error) and "257" in str(error))


def test_hidden_names_and_exif_are_looked_at_where_asked(trees, tmp_path):
    it = walked(keras, os.fspath(trees / "pets"), skip_hidden=True).it
    assert ".ipynb_checkpoints" not in it.class_indices
    assert not [name for name in it.filenames if "/." in name or name.startswith(".")]
    assert len(it.filenames) == len(walked(legacy, os.fspath(trees / "pets")).it.filenames) - 3
    exif = Image.Exif()
    exif[274] = 3  # upside down
    (tmp_path / "a").mkdir()
    draw(0).save(tmp_path / "a" / "1.png", exif=exif)
    arguments = {"target_size": draw(0).size[::-1], "class_mode": None}
    plain, upright = (walked(keras, os.fspath(tmp_path), exif=asked, **arguments).it[0] for asked in (False, True))
    assert np.array_equal(upright, plain[:, ::-1, ::-1])
    assert np.array_equal(plain[0], np.asarray(draw(0)))


def test_tiff_files_are_warned_of(trees):
    ours, theirs = check_same(os.fspath(trees / "tiffs"))
    for seen in (ours, theirs):
        assert any(
            category is UserWarning and ".tiff" in text and "distortion" in text for category, text in seen.warned
        )


def test_nothing_is_warned_of_where_nothing_is_odd(trees):
    ours, theirs = check_same(os.fspath(trees / "many"), class_mode="sparse")
    assert not ours.warned
    assert not theirs.warned


WARNED = {
    "hidden": ("pets", {}, r"\.ipynb_checkpoints"),
    "hidden remedy": ("pets", {}, "skip_hidden=True"),
    "empty": ("pets", {}, "nothing"),
    "other endings": ("pets", {"classes": ["only.words", "2"]}, "only.words"),
    "missing": ("pets", {"classes": ["gone", "2"]}, "gone"),
    "flat": ("flat", {"class_mode": None}, r"""classes=\[["']\.["']\]"""),
    "bare": ("bare", {}, "bare.*no folders"),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_keras_says_by_a_print_alone_is_warned_of(trees, name):
    tree, arguments, words = WARNED[name]
    ours, theirs = check_same(os.fspath(trees / tree), **arguments)
    assert not theirs.warned
    assert all(category is UserWarning for category, _ in ours.warned)
    assert any(re.search(words, text) for _, text in ours.warned), ours.warned


def test_wide_grey_warns_once_and_names_the_first_file(tmp_path):
    plant(tmp_path, ("a/1.png", "b/1.png"))
    for name in ("a/2.png", "a/3.png", "b/0.png"):
        Image.fromarray(np.full((6, 5), 4000, np.uint16)).save(tmp_path / name)
    it = walked(keras, os.fspath(tmp_path), batch_size=2).it
    seen = Seen(lambda: [it[i] for i in (0, 1, 2, 0, 1, 2)])
    ((category, text),) = seen.warned
    assert category is UserWarning
    assert os.path.join("a", "2.png") in text
    assert "color_mode='grayscale'" in text
    theirs = walked(legacy, os.fspath(tmp_path), batch_size=2)
    check_equal(seen.it[:3], theirs.batches())
    ours, _ = check_same(os.fspath(tmp_path), color_mode="grayscale")
    assert not Seen(lambda: ours.it[0]).warned


ERRORS = {
    "no size": ({"target_size": None}, TypeError, ""),
    "a number as size": ({"target_size": 5}, TypeError, ""),
    "color mode": ({"color_mode": "bgr"}, ValueError, "Invalid color mode.*bgr.*rgb.*rgba.*grayscale"),
    "subset": ({"subset": "test"}, ValueError, "Invalid subset name.*test.*training.*validation"),
    "class mode": (
        {"class_mode": "multi_output"},
        ValueError,
        "Invalid class_mode.*multi_output.*expected one of.*sparse",
    ),
    "raw": ({"class_mode": "raw"}, ValueError, "Invalid class_mode.*raw"),
    "missing": ({"directory": "missing"}, FileNotFoundError, "missing"),
    "a file": ({"directory": "pets/beside.png"}, NotADirectoryError, "beside.png"),
    "None": ({"directory": None}, TypeError, ""),
    "no split": ({"split": None, "subset": "training"}, TypeError, ""),
    "a word too many": ({"shufle": True}, TypeError, "shufle"),
    "size first": ({"target_size": None, "color_mode": "bgr"}, TypeError, ""),
    "color mode before subset": ({"color_mode": "bgr", "subset": "test"}, ValueError, "color mode"),
    "subset before class mode": ({"subset": "test", "class_mode": "raw"}, ValueError, "subset"),
    "class mode before files": ({"class_mode": "raw", "directory": "missing"}, ValueError, "class_mode"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_keras_refuses_is_refused_in_the_same_order(trees, name):
    arguments, error, words = ERRORS[name]
    arguments = {"directory": "pets", **arguments}
    if arguments["directory"] is not None:
        arguments["directory"] = os.fspath(trees / arguments["directory"])
    ours, theirs = (walked(module, **arguments) for module in (keras, legacy))
    check_same_error(ours, theirs, error, words)
    del theirs
    with warnings.catch_warnings():  # Keras leaves a pool of threads behind, which complains when it is collected
        warnings.simplefilter("ignore")
        gc.collect()


def test_an_unknown_interpolation_is_found_when_a_picture_is_resized(trees):
    for size, is_resized in (((6, 5), True), ((7, 9), False)):
        for module in (keras, legacy):
            it = walked(module, os.fspath(trees / "many"), interpolation="cubic", target_size=size, batch_size=1).it
            if not is_resized:
                assert it[0][0].shape == (1, 7, 9, 3)  # of the first picture's own size
                continue
            with pytest.raises(ValueError, match=r"cubic.*nearest.*lanczos"):
                it[0]


@pytest.mark.parametrize("name", ["empty", "text", "cut", "gone"])
def test_a_file_that_cannot_be_read_is_an_oserror_in_its_batch_alone(tmp_path, name):
    plant(tmp_path, [f"{kind}/{i}.png" for kind in "ab" for i in range(4)])
    path = tmp_path / "b" / "1.png"
    both = [walked(module, os.fspath(tmp_path), batch_size=2).it for module in (keras, legacy)]
    if name == "gone":
        path.unlink()
    elif name == "cut":
        draw(1).convert("RGB").resize((60, 60)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.write_bytes(b"" if name == "empty" else b"no picture")
    for it in both:
        check_equal(it[0], both[1][0])
        error = Seen(lambda: it[2]).error  # noqa: B023 (called at once)
        assert isinstance(error, OSError), repr(error)
        check_equal(it[3], both[1][3])
        if it is both[0]:
            assert os.fspath(path) in str(error)
            assert re.search(r"\b5\b", str(error).replace(os.fspath(path), ""))  # its row
            assert "'b'" in str(error)
