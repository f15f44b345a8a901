"""Tables of files read by Keras and by us: what is printed, kept and given must be the same, bit for bit."""

import importlib
import os

import numpy as np
import pytest

from jaxiter import keras

from .files import ABSENT, Seen, check_equal, check_same_error, check_same_walk, plant
from .reference import legacy

pytestmark = pytest.mark.extras

FILES = (
    *("0.png", "1.png", "2.png", "3.png", "4.bmp", "5.png", "UPPER.PNG", "sub/deep.jpg", "é ü.png", "xpng"),
    *("other.gif", "no.txt"),
)
ROWS = (
    *("3.png", "0.png", "gone.png", "5.png", "no.txt", "UPPER.PNG", "sub/deep.jpg", "0.png", "other.gif"),
    *("é ü.png", "xpng"),
)
LABELS = ("dog", "cat", "cat", "Bee", "dog", "cat", "ant", "dog", "eel", "Bee", "cat")
LISTS = (["a", "b"], ["b"], ["c"], ("b", "a"), "a", ["z"], ["c", "a", "b"], ["a", "a"], [], ["b"], "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = plant(tmp_path_factory.mktemp("table"), FILES)
    os.makedirs(folder / "folder.png")
    return folder


@pytest.fixture
def pandas():
    return importlib.import_module("pandas")  # of [test-all], as the marker says


def columns(**others):
    """Columns of eleven rows, of which three have no picture behind them."""
    n = len(ROWS)
    return {
        "filename": list(ROWS),
        "class": list(LABELS),
        "lists": list(LISTS),
        "two": [LABELS[i] if LABELS[i] in ("dog", "cat") else "dog" for i in range(n)],
        "whole": list(range(n)),
        "half": [i / 2 for i in range(n)],
        "small": np.arange(n, dtype=np.float32),
        "bytes": np.arange(n, dtype=np.uint8),
        "flag": [i % 2 == 0 for i in range(n)],
        "vector": [[i, i + 0.5] for i in range(n)],
        "mixed": ["a", 1] * 5 + [None],
        **others,
    }


def tabled(module, frame, directory, split=0.0, generator=(), **kwargs):
    kwargs = {"target_size": (6, 5), "shuffle": False, "batch_size": 3, **kwargs}
    made = module.ImageDataGenerator(validation_split=split, **dict(generator))
    return Seen(lambda: made.flow_from_dataframe(frame, directory, **kwargs))


def check_same(frame, directory, **kwargs):
    """Returns ours and Keras'; what a table of pandas was before it is after."""
    kept = frame.copy(deep=True)
    ours, theirs = (tabled(module, frame, directory, **kwargs) for module in (keras, legacy))
    check_same_walk(ours, theirs, added=("num_classes",))
    has_classes = kwargs.get("class_mode", "categorical") in ("categorical", "binary", "sparse")
    assert getattr(ours.it, "num_classes", ABSENT) == (len(theirs.it.class_indices) if has_classes else ABSENT)
    assert kept.equals(frame)
    warned = [text for _, text in theirs.warned if "DeprecationWarning" not in text]
    assert [any(text in own for _, own in ours.warned) for text in warned] == [True] * len(warned)
    return ours, theirs


MODES = {
    "categorical": {},
    "categorical, lists": {"y_col": "lists"},
    "sparse": {"class_mode": "sparse"},
    "binary": {"class_mode": "binary", "y_col": "two"},
    "input": {"class_mode": "input"},
    "None": {"class_mode": None},
    "raw": {"class_mode": "raw", "y_col": "half"},
    "raw, float32": {"class_mode": "raw", "y_col": "small"},
    "raw, bytes": {"class_mode": "raw", "y_col": "bytes"},
    "raw, flags": {"class_mode": "raw", "y_col": "flag"},
    "raw, several": {"class_mode": "raw", "y_col": ["half", "whole"]},
    "raw, one in a list": {"class_mode": "raw", "y_col": ["half"]},
    "raw, lists": {"class_mode": "raw", "y_col": "vector"},
    "raw, objects": {"class_mode": "raw", "y_col": "mixed"},
    "multi_output": {"class_mode": "multi_output", "y_col": ["whole", "half", "vector", "class", "bytes"]},
    "multi_output, one": {"class_mode": "multi_output", "y_col": ["small"]},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("validated", [True, False])
def test_every_class_mode_gives_the_lists_and_batches_of_keras(pandas, folder, mode, validated):
    frame = pandas.DataFrame(columns())
    if not validated:
        frame = frame[[os.path.isfile(folder / name) and not name.endswith("txt") for name in ROWS]]
    check_same(frame, os.fspath(folder), validate_filenames=validated, **MODES[mode])


ARGUMENTS = {
    "weights": {"weight_col": "half"},
    "float32 weights": {"weight_col": "small", "class_mode": "sparse"},
    "whole weights": {"weight_col": "whole", "class_mode": "input"},
    "weights of nothing": {"weight_col": "whole", "class_mode": None},
    "weights of several": {"weight_col": "half", "class_mode": "multi_output", "y_col": ["whole", "vector"]},
    "weights of raw": {"weight_col": "half", "class_mode": "raw", "y_col": "whole"},
    "classes": {"classes": ["dog", "ant", "cat"]},
    "a class that nobody has": {"classes": ["dog", "unicorn", "Bee"], "class_mode": "sparse"},
    "classes twice": {"classes": ["dog", "cat", "dog"]},
    "classes of a tuple": {"classes": ("cat", "dog"), "class_mode": "binary"},
    "no classes given": {"classes": []},
    "classes of lists": {"classes": ["b", "c"], "y_col": "lists"},
    "classes, weighted": {"classes": ["cat"], "weight_col": "half"},
    "channels first": {"generator": {"data_format": "channels_first"}},
    "uint8": {"generator": {"dtype": "uint8"}},
    "float16": {"generator": {"dtype": "float16"}, "class_mode": "sparse"},
    "rescaled": {"generator": {"rescale": 1 / 256}, "class_mode": "input"},
    "grey": {"color_mode": "grayscale"},
    "alpha, lanczos": {"color_mode": "rgba", "interpolation": "lanczos"},
    "other columns": {"x_col": "filename", "y_col": "two"},
    "batches of one": {"batch_size": 1},
    "one batch": {"batch_size": 64},
}


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_every_argument_means_what_it_does_in_keras(pandas, folder, name, subset):
    frame = pandas.DataFrame(columns())
    check_same(frame, os.fspath(folder), split=0.3, subset=subset, **ARGUMENTS[name])


@pytest.mark.parametrize("split", [0.0, 0.1, 0.26, 0.5, 0.99])
@pytest.mark.parametrize("class_mode", ["categorical", "raw", "multi_output"])
def test_both_subsets_are_those_of_keras_and_share_no_row(pandas, folder, split, class_mode):
    frame = pandas.DataFrame(columns())
    y_col = ["whole", "class"] if class_mode == "multi_output" else "class"
    arguments = {"split": split, "class_mode": class_mode, "y_col": y_col, "weight_col": "whole"}
    rows = [check_same(frame, os.fspath(folder), subset=s, **arguments)[0].it for s in ("validation", "training", None)]
    parts = [list(map(int, it.sample_weight)) for it in rows]
    assert parts[0] + parts[1] == parts[2]


def test_the_index_of_a_table_does_not_matter(pandas, folder):
    frame = pandas.DataFrame(columns())
    for table in (frame.iloc[::-1], frame.set_index("class", drop=False), frame.sample(frac=1, random_state=3)):
        for mode in ("sparse", "raw"):
            check_same(table, os.fspath(folder), class_mode=mode, weight_col="half", split=0.4, subset="training")


def test_names_may_be_whole_paths_and_the_directory_is_joined_to_others(pandas, folder, monkeypatch):
    absolute = pandas.DataFrame({"filename": [os.fspath(folder / name) for name in ROWS], "class": LABELS})
    check_same(absolute, None)
    check_same(absolute, os.fspath(folder / "sub"))
    check_same(pandas.DataFrame(columns()), folder)
    monkeypatch.chdir(folder)
    check_same(pandas.DataFrame(columns()), None)
    check_same(pandas.DataFrame(columns()), "")
    check_same(pandas.DataFrame({"filename": ["deep.jpg", "../0.png"], "class": ["a", "b"]}), "sub")


def test_text_of_pandas_comes_as_an_array_of_objects(pandas, folder):
    frame = pandas.DataFrame(columns())
    ours, theirs = (tabled(m, frame, os.fspath(folder), class_mode="raw") for m in (keras, legacy))
    assert ours.it.labels.dtype == object
    check_equal(ours.it[0][1], np.asarray(theirs.it[0][1], object))


def test_invalid_rows_are_warned_of_with_their_number_and_the_first_of_them(pandas, folder):
    ours, theirs = check_same(pandas.DataFrame(columns()), os.fspath(folder))
    ((category, expected),) = theirs.warned
    ((own, text),) = ours.warned
    assert own is category is UserWarning
    assert expected in text
    assert "gone.png" in text


def test_the_first_invalid_row_is_told_to_lack_an_ending_that_counts(pandas, folder):
    ours, _ = check_same(pandas.DataFrame({"filename": ["0.png", "no.txt"], "class": ["a", "b"]}), os.fspath(folder))
    ((_, text),) = ours.warned
    for word in ("no.txt", "row 1", "png, jpg, jpeg"):
        assert word in text


@pytest.mark.parametrize("name", ["has_ext", "sort", "drop_duplicates"])
def test_old_words_are_told_to_be_without_effect(pandas, folder, name):
    frame = pandas.DataFrame(columns())[:2]
    check_old = [tabled(module, frame, os.fspath(folder), **{name: True}) for module in (keras, legacy)]
    check_same_walk(*check_old, added=("num_classes",))
    for seen in check_old:
        assert [category for category, text in seen.warned if name in text] == [DeprecationWarning]


def test_the_old_class_mode_other_means_raw(pandas, folder):
    frame = pandas.DataFrame(columns())[:2]
    both = [tabled(module, frame, os.fspath(folder), class_mode="other", y_col="half") for module in (keras, legacy)]
    check_same_walk(*both, added=("num_classes",))
    for seen in both:
        assert [category for category, _ in seen.warned] == [DeprecationWarning]
        assert seen.it.class_mode == "raw"


def test_a_missing_file_that_was_not_looked_for_fails_in_its_batch(pandas, folder):
    frame = pandas.DataFrame({"filename": ["0.png", "gone.png", "1.png"], "class": ["a", "b", "a"]})
    for module in (keras, legacy):
        it = tabled(module, frame, os.fspath(folder), validate_filenames=False, batch_size=1).it
        with pytest.raises(FileNotFoundError, match=r"gone\.png"):
            it[1]
        assert it[2][0].shape == (1, 6, 5, 3)


ERRORS = {
    "no such x_col": ({"x_col": "name"}, KeyError, "name"),
    "no such y_col": ({"y_col": "label"}, KeyError, "label"),
    "no such weight_col": ({"weight_col": "weight"}, KeyError, "weight"),
    "no such one of several": ({"y_col": ["half", "nothing"], "class_mode": "raw"}, KeyError, "nothing"),
    "y_col of several outputs": ({"class_mode": "multi_output"}, TypeError, "must be a list"),
    "a tuple of outputs": ({"class_mode": "multi_output", "y_col": ("half",)}, TypeError, "must be a list"),
    "names that are numbers": ({"x_col": "whole"}, TypeError, "x_col.*whole.*must be strings"),
    "sparse numbers": ({"class_mode": "sparse", "y_col": "whole"}, TypeError, "sparse.*whole.*must be strings"),
    "sparse lists": ({"class_mode": "sparse", "y_col": "lists"}, TypeError, "sparse.*lists.*must be strings"),
    "binary numbers": ({"class_mode": "binary", "y_col": "whole"}, TypeError, "binary.*whole.*must be strings"),
    "binary of five": ({"class_mode": "binary"}, ValueError, "2 classes.*5"),
    "binary of one given": ({"class_mode": "binary", "classes": ["cat"]}, ValueError, "2 classes.*1"),
    "binary of one twice": ({"class_mode": "binary", "classes": ["cat", "cat"]}, ValueError, "2 classes.*1"),
    "categorical numbers": ({"y_col": "whole"}, TypeError, "categorical.*whole.*astype"),
    "categorical of mixed": ({"y_col": "mixed"}, TypeError, "mixed"),
    "weights of text": ({"weight_col": "class"}, TypeError, "weight_col.*class.*must be numeric"),
    "weights of flags": ({"weight_col": "flag"}, TypeError, "weight_col.*flag.*must be numeric"),
    "class mode": ({"class_mode": "words"}, ValueError, "Invalid class_mode.*words.*expected one of"),
    "color mode": ({"color_mode": "bgr"}, ValueError, "Invalid color mode"),
    "subset": ({"subset": "test"}, ValueError, "Invalid subset name.*test"),
    "no split": ({"split": None, "subset": "training"}, TypeError, ""),
    "size": ({"target_size": 3}, TypeError, ""),
    "color mode before class mode": ({"color_mode": "bgr", "class_mode": "words"}, ValueError, "color mode"),
    "class mode before columns": ({"class_mode": "words", "x_col": "name"}, ValueError, "class_mode"),
    "outputs before names": ({"class_mode": "multi_output", "x_col": "whole"}, TypeError, "must be a list"),
    "names before labels": ({"class_mode": "sparse", "x_col": "whole", "y_col": "half"}, TypeError, "x_col"),
    "labels before weights": ({"y_col": "whole", "weight_col": "flag"}, TypeError, "whole"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_keras_refuses_is_refused_in_the_same_order(pandas, folder, name):
    arguments, error, words = ERRORS[name]
    frame = pandas.DataFrame(columns())
    ours, theirs = (tabled(module, frame, os.fspath(folder), **arguments) for module in (keras, legacy))
    check_same_error(ours, theirs, error, words)


@pytest.mark.parametrize("name", [None, np.nan, 3, b"0.png"])
@pytest.mark.parametrize("column", ["filename", "class"])
def test_a_name_or_label_that_is_no_text_is_refused(pandas, folder, name, column):
    values = {"filename": ["0.png", "1.png"], "class": ["a", "b"]}
    frame = pandas.DataFrame({**values, column: pandas.Series(["0.png", name], dtype=object)})
    ours, theirs = (tabled(module, frame, os.fspath(folder)) for module in (keras, legacy))
    check_same_error(ours, theirs, TypeError, column)


@pytest.mark.parametrize("class_mode", ["input", "raw", None])
def test_classes_without_use_are_warned_of(pandas, folder, class_mode):
    frame = pandas.DataFrame(columns())[:2]
    ours, theirs = check_same(frame, os.fspath(folder), class_mode=class_mode, y_col="half", classes=["a"])
    for seen in (ours, theirs):
        assert [category for category, text in seen.warned if "will be ignored" in text] == [UserWarning]
    assert not hasattr(ours.it, "class_indices")
    assert not hasattr(ours.it, "classes")


def test_keep_aspect_ratio_is_honoured_and_unknown_words_are_not_swallowed(pandas, folder):
    frame = pandas.DataFrame({"filename": ["0.png", "1.png"], "class": ["a", "b"]})
    kept = tabled(keras, frame, os.fspath(folder), keep_aspect_ratio=True)
    arguments = {"target_size": (6, 5), "shuffle": False, "keep_aspect_ratio": True}
    generator = legacy.ImageDataGenerator()
    direct = Seen(lambda: legacy.DataFrameIterator(frame, os.fspath(folder), generator, **arguments))
    check_equal(kept.it[0], direct.it[0])
    wrong = tabled(keras, frame, os.fspath(folder), shufle=True)
    assert isinstance(wrong.error, TypeError) or any("shufle" in text for _, text in wrong.warned)


def test_an_empty_table_holds_no_files(pandas, folder):
    frame = pandas.DataFrame({"filename": [], "class": []})
    for class_mode in ("categorical", "raw", None):
        seen = tabled(keras, frame, os.fspath(folder), class_mode=class_mode)
        assert seen.error is None
        assert (seen.it.samples, len(seen.it), seen.it.filenames) == (0, 0, [])
        assert seen.print.startswith("Found 0 validated image filenames")


def test_a_table_that_loses_all_its_rows_holds_no_files(pandas, folder):
    frame = pandas.DataFrame({"filename": ["gone.png", "lost.png"], "class": ["a", "b"]})
    for class_mode in ("categorical", "sparse", "raw", None):
        check_same(frame, os.fspath(folder), class_mode=class_mode)


def test_orders_of_a_seed_are_keras_in_replay(pandas, folder):
    frame = pandas.DataFrame(columns())
    for split, subset in ((0.0, None), (0.3, "training")):
        ours, theirs = (
            tabled(module, frame, os.fspath(folder), split=split, subset=subset, shuffle=True, seed=7, **extra)
            for module, extra in ((keras, {"rng": "keras"}), (legacy, {}))
        )
        check_equal([next(ours.it) for _ in range(9)], [next(theirs.it) for _ in range(9)])


@pytest.mark.parametrize("mode", ["categorical", "categorical, lists", "raw", "raw, several", "multi_output", "None"])
def test_other_tables_are_read_as_those_of_pandas(pandas, folder, mode):
    frame = pandas.DataFrame(columns())
    expected = tabled(keras, frame, os.fspath(folder), weight_col="half", split=0.3, subset="training", **MODES[mode])
    found = tabled(keras, columns(), os.fspath(folder), weight_col="half", split=0.3, subset="training", **MODES[mode])
    check_same_walk(found, expected)
