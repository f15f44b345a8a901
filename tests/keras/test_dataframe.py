"""Tables of files: pandas' against Keras' own iterator, and tables that need no pandas."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxiter.keras import BatchFromFilesMixin, DataFrameIterator, ImageDataGenerator, Iterator
from jaxiter.keras._table import are_files

from .picture_files import assert_same_batches, made, write, write_classes
from .reference import legacy
from .test_directory import EXTRAS, names
from .test_numpy_iterator import assert_same

pytestmark = pytest.mark.filterwarnings("ignore:Your .PyDataset")

TABLE = {
    "filename": [*("a/0.png", "none.png", "a/1.png", "b/0.png", "b/1.png"),
                 *("b/1.gif", "b/0.png", "a/2.png", "a/3.png", "b/2.png")],
    "class": list("abacbdacab"),
    "pair": list("abaaabbabb"),
    "tags": [["a", "b"], ["a"], ("b",), ["c"], [], ["a"], ["b", "a"], "a", "c", ["c"]],
    "number": np.arange(10) * 2,
    "share": np.linspace(0, 1, 10).astype("float32"),
    "is": [True, False] * 5,
    "vector": [[i, i + 1] for i in range(10)],
}  # fmt: skip
LABELS = ("categorical", "sparse", "binary")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_classes(tmp_path_factory.mktemp("pictures"), {"a": 4, "b": 3})
    write(folder / "b" / "1.gif")
    return folder


def flow(table, folder, generator=None, **options):
    """The iterator, what it printed, and its warnings as text."""
    options = {"target_size": (6, 8), "batch_size": 3, "shuffle": False} | options
    it, printed, told = made(
        lambda: ImageDataGenerator(**generator or {}).flow_from_dataframe(table, folder, **options)
    )
    return it, printed, [str(warning.message) for warning in told]


def test_the_arguments_are_keras_and_then_ours():
    assert names(DataFrameIterator) == names(legacy.DataFrameIterator) + EXTRAS
    theirs = names(legacy.ImageDataGenerator.flow_from_dataframe)
    expected = [*theirs[:-1], ("keep_aspect_ratio", False), *EXTRAS, theirs[-1]]
    assert names(ImageDataGenerator.flow_from_dataframe) == expected
    parameters = inspect.signature(ImageDataGenerator.flow_from_dataframe).parameters
    assert parameters["keep_aspect_ratio"].kind is inspect.Parameter.KEYWORD_ONLY
    assert DataFrameIterator.__bases__ == (BatchFromFilesMixin, Iterator)
    assert DataFrameIterator.allowed_class_modes == legacy.DataFrameIterator.allowed_class_modes


CASES = [
    *({"class_mode": mode, "weight_col": "share"} for mode in ("categorical", "sparse", "input", None)),
    *({"class_mode": mode} for mode in ("categorical", "sparse", "input", None)),
    *({"class_mode": mode, "subset": subset} for mode in ("sparse", "input") for subset in ("training", "validation")),
    {"class_mode": "binary", "y_col": "pair", "weight_col": "number"},
    {"class_mode": "binary", "classes": ["a", "c"]},
    {"class_mode": "categorical", "y_col": "tags"},
    {"class_mode": "categorical", "y_col": "tags", "classes": ["c", "a"]},
    {"class_mode": "categorical", "classes": ["c", "a", "unused", "c"]},
    {"class_mode": "sparse", "classes": "cb"},
    *({"class_mode": "raw", "y_col": column} for column in ("number", "share", "is", "vector")),
    *({"class_mode": "raw", "y_col": ["number", *columns]} for columns in ([], ["share"], ["is"], ["class"])),
    {"class_mode": "raw", "y_col": ["is"]},
    {"class_mode": "raw", "y_col": "share", "subset": "training", "weight_col": "number"},
    {"class_mode": "other", "y_col": "number"},
    {"class_mode": "multi_output", "y_col": ["number", "vector"], "weight_col": "share", "subset": "training"},
    {"class_mode": "multi_output", "y_col": ["class"], "classes": ["a"]},
]  # fmt: skip


@pytest.mark.extras
@pytest.mark.parametrize("validates", [True, False])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_rows_classes_and_batches_are_those_of_keras(folder, case, validates):
    import pandas

    frame, generator = pandas.DataFrame(TABLE, index=range(90, 100)), {"validation_split": 0.3}
    before = frame.copy(deep=True)
    options = {"target_size": (6, 8), "batch_size": 3, "shuffle": False, **CASES[case], "validate_filenames": validates}
    ours, printed, told = flow(frame, folder, generator, **options)
    theirs, expected, keras_told = made(
        lambda: legacy.ImageDataGenerator(**generator).flow_from_dataframe(frame, folder, **options)
    )
    assert frame.equals(before)
    assert printed == expected
    for name in ("filenames", "filepaths", "samples", "n", "directory", "class_indices", "classes", "split"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    kinds = [warning.category for warning in keras_told]
    of_classes = [text for text in told if "do not share their classes" in text]
    assert len(told) - len(of_classes) == len(kinds)
    if validates:
        assert_same_batches(ours, theirs, len(theirs) + 1)
        assert_same(ours[0], theirs[0])
    else:
        index = [row for row, name in enumerate(ours.filenames) if name != "none.png"]
        assert_same(ours._get_batches_of_transformed_samples(index), theirs._get_batches_of_transformed_samples(index))


ERRORS = [
    {"class_mode": "multi_output", "y_col": ("number",)},
    {"class_mode": "sparse", "y_col": "number"},
    {"class_mode": "categorical", "y_col": "number"},
    {"class_mode": "sparse", "y_col": ["class", "pair"]},
    {"class_mode": "categorical", "y_col": ["class"]},
    {"class_mode": "binary"},
    {"class_mode": "binary", "classes": ["a"]},
    {"class_mode": "sparse", "weight_col": "is"},
    {"class_mode": "sparse", "weight_col": "class"},
    {"x_col": "number"},
    *({name: "missing"} for name in ("x_col", "y_col", "weight_col")),
    {"class_mode": "raw", "y_col": "missing"},
    {"class_mode": "raw", "y_col": ["number", "missing"]},
    {"class_mode": "multi_output", "y_col": ["missing"]},
    {"class_mode": "text", "color_mode": "cmyk"},
    {"class_mode": "text", "subset": "test"},
    {"class_mode": "text"},
    {"target_size": None},
    {"subset": "training", "split": None},
]


@pytest.mark.extras
@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors_are_those_of_keras_and_say_more(folder, case):
    import pandas

    options = dict(ERRORS[case])
    generator = {"validation_split": options.pop("split", 0.3)}
    caught = []
    for of in (legacy.ImageDataGenerator, ImageDataGenerator):
        with pytest.raises((TypeError, ValueError, KeyError)) as found:
            made(lambda of=of: of(**generator).flow_from_dataframe(pandas.DataFrame(TABLE), folder, **options))
        caught.append(found)
    assert caught[0].type is caught[1].type
    if caught[0].type is KeyError:
        assert "missing" in str(caught[1].value)
    elif generator["validation_split"] is not None and "target_size" not in options:
        words = str(caught[0].value).split("; expected")[0].split(";expected")[0].rstrip(".")
        assert words in str(caught[1].value)


@pytest.mark.extras
def test_frames_of_polars_and_columns_that_pandas_keeps_its_own_way_work(folder):
    import pandas
    import polars

    plain = {name: values for name, values in TABLE.items() if name != "tags"}
    for options in CASES:
        if options.get("y_col") == "tags" or options["class_mode"] == "other":
            continue
        found, _, _ = flow(polars.DataFrame(plain), folder, {"validation_split": 0.3}, **options)
        expected, _, _ = flow(plain, folder, {"validation_split": 0.3}, **options)
        assert_same_batches(found, expected, 2)
    frame = pandas.DataFrame(plain).convert_dtypes()
    text, _, _ = flow(frame, folder, class_mode="raw", y_col="class")
    assert next(text)[1].dtype == object
    whole, _, _ = flow(frame, folder, class_mode="raw", y_col="number", weight_col="number")
    assert next(whole)[1].dtype == next(whole)[2].dtype == np.int64
    twice = pandas.DataFrame(plain).rename(columns={"pair": "class"})
    with pytest.raises(ValueError, match="several columns 'class'"):
        flow(twice, folder)
    gap = pandas.DataFrame(plain)
    gap.loc[4, "class"] = None
    with pytest.raises(TypeError, match="row 4 holds nan"):
        flow(gap, folder)


def test_a_dict_is_a_table_too(folder):
    table = {name: list(values) for name, values in TABLE.items()}
    it, printed, (told,) = flow(table, folder, weight_col="number", y_col="tags", classes=["b", "a"])
    assert printed == "Found 4 validated image filenames belonging to 2 classes.\n"
    assert (it.filenames, it.classes) == (["a/0.png", "a/1.png", "b/0.png", "a/2.png"], [[1, 0], [0], [0, 1], 1])
    assert (it.num_classes, it.class_indices, it.directory) == (2, {"b": 0, "a": 1}, folder)
    x, y, w = next(it)
    assert (x.shape, y.tolist(), w.tolist()) == ((3, 6, 8, 3), [[1, 1], [1, 0], [1, 1]], [0, 4, 12])
    assert told.startswith(
        'Found 2 invalid image filename(s) in x_col="filename". These filename(s) will be ignored. The first is '
    )
    assert told.endswith("none.png', row 1: there is no such file.")


@pytest.mark.slow
def test_pandas_is_not_imported(folder):
    code = (
        "import sys; sys.modules['pandas'] = None; from jaxiter.keras import DataFrameIterator as D; "
        f"print(len(next(D({{'filename': ['a/0.png'], 'class': ['x']}}, {str(folder)!r}, class_mode='sparse'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.endswith("\n2\n"), done.stderr


def test_other_endings_are_the_reason_that_is_named(folder):
    _, _, (told,) = flow({"filename": ["b/1.gif", "a/0.png"], "class": ["x", "y"]}, folder)
    assert "row 0: it ends in none of png, jpg" in told


@pytest.mark.parametrize("class_mode", ["categorical", "sparse", "raw", "input", None])
@pytest.mark.parametrize("directory", [None, "folder"])
def test_an_empty_table_has_no_files_and_no_directory_means_here(folder, class_mode, directory, monkeypatch):
    monkeypatch.chdir(folder)
    it, printed, told = flow({"filename": [], "class": []}, directory and folder, class_mode=class_mode)
    assert (it.n, it.filenames, told) == (0, [], [])
    assert printed.startswith("Found 0 validated image filenames")
    here, _, _ = flow({"filename": ["a/0.png"], "class": ["x"]}, directory and folder, class_mode="sparse")
    assert (here.directory, next(here)[1].tolist()) == (folder if directory else "", [0])
    if class_mode not in LABELS:
        assert not hasattr(it, "classes")
        assert not hasattr(it, "class_indices")
        assert hasattr(it, "labels") == (class_mode == "raw")


def test_files_that_are_not_validated_fail_in_their_batch(folder):
    it, printed, told = flow(TABLE, folder, validate_filenames=False, y_col="pair", class_mode="binary", batch_size=1)
    assert (it.samples, told) == (10, [])
    assert printed == "Found 10 non-validated image filenames belonging to 2 classes.\n"
    next(it)
    with pytest.raises(FileNotFoundError, match=r"row 1, class 'b'.*none\.png"):
        next(it)
    assert next(it)[1].tolist() == [0]


def test_rows_of_the_table_as_given_decide_what_a_picture_draws(folder):
    generator = {"rotation_range": 40, "validation_split": 0.5}
    options = {"class_mode": "raw", "y_col": "number", "seed": 3, "target_size": (6, 8), "batch_size": 8}
    whole = next(flow(TABLE, folder, generator, **options)[0])
    fewer = {name: [values[i] for i in range(10)] for name, values in TABLE.items()}
    fewer["filename"][0] = fewer["filename"][3] = "gone.png"
    for table, subset in ((fewer, None), (TABLE, "training"), (TABLE, "validation")):
        x, y = next(flow(table, folder, generator, subset=subset, **options)[0])
        assert 0 < len(y) < 8
        rows = [whole[1].tolist().index(number) for number in y]
        np.testing.assert_allclose(x, whole[0][rows], atol=1e-3)


def test_a_frame_that_is_sorted_by_class_warns_where_it_is_split(folder):
    table = {"filename": ["a/0.png", "a/1.png", "b/0.png", "b/1.png"], "class": list("aabb")}
    for subset in ("training", "validation"):
        _, _, (told,) = flow(table, folder, {"validation_split": 0.5}, subset=subset)
        assert "do not share their classes: 'a', 'b'" in told
    table["class"] = list("abab")
    assert flow(table, folder, {"validation_split": 0.5}, subset="training")[2] == []
    assert flow(table, folder, {"validation_split": 0.1}, subset="training")[2] == []  # all


def test_hidden_rows_are_left_out_where_asked(tmp_path):
    write_classes(tmp_path, {"a": 1, ".b": 1})
    write(tmp_path / "a" / ".h.png")
    table = {"filename": ["a/0.png", ".b/0.png", "a/.h.png", "./a/0.png"], "class": list("xyzw")}
    assert flow(table, tmp_path)[0].samples == 4
    for validates in (True, False):
        it, _, told = flow(table, tmp_path, skip_hidden=True, validate_filenames=validates)
        assert (it.filenames, told) == (["a/0.png", "./a/0.png"], [])


def test_too_many_classes_for_a_dtype_are_refused(folder):
    table = {"filename": ["a/0.png"] * 300, "class": [f"{number:03}" for number in range(300)]}
    with pytest.raises(ValueError, match="uint8 holds no more than 256 classes exactly; here are 300"):
        flow(table, folder, {"dtype": "uint8"}, class_mode="sparse")
    flow(table, folder, {"dtype": "uint8"}, class_mode="categorical")


@pytest.mark.parametrize("name", ["has_ext", "sort", "drop_duplicates"])
def test_deprecated_keywords_warn_and_do_nothing(folder, name):
    table = {"filename": ["b/0.png", "a/0.png", "a/0.png"], "class": list("xyx")}
    it, _, told = made(lambda: ImageDataGenerator().flow_from_dataframe(table, folder, **{name: True}))
    assert [(warning.category, warning.filename) for warning in told] == [(DeprecationWarning, __file__)]
    assert name in str(told[0].message)
    assert it.filenames == table["filename"]


def test_an_unknown_keyword_is_refused_and_keep_aspect_ratio_is_passed_on(folder):
    table = {"filename": ["a/0.png"], "class": ["x"]}
    with pytest.raises(TypeError, match="shufle"):
        flow(table, folder, shufle=True)
    wide, squeezed = (flow(table, folder, keep_aspect_ratio=keep, target_size=(4, 9))[0] for keep in (True, False))
    assert wide.keep_aspect_ratio
    assert not np.array_equal(next(wide)[0], next(squeezed)[0])


def test_columns_of_different_length_and_several_columns_of_names_are_refused(folder):
    short = {"filename": ["a/0.png", "a/1.png"], "class": ["x"]}
    for options in (
        {},
        {"class_mode": "raw"},
        {"class_mode": "multi_output", "y_col": ["class"]},
        {"weight_col": "class"},
    ):
        with pytest.raises(ValueError, match="Column 'class' has 1 rows; expected 2"):
            flow(short, folder, **options)
    with pytest.raises(TypeError, match=r"x_col=.* must be strings"):
        flow(TABLE, folder, x_col=["filename", "class"])


def test_a_folder_is_listed_once_and_the_answer_is_that_of_the_system(tmp_path, monkeypatch):
    write_classes(tmp_path, {"a": 30})
    (tmp_path / "a" / "dir.png").mkdir()
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "nowhere.png").symlink_to("missing")
    names = [
        *(f"{number}.png" for number in range(40)),
        "dir.png",
        "link.png",
        "nowhere.png",
        "x/../0.png",
        "",
        "0.png\0",
    ]
    paths = [os.path.join(tmp_path, "a", name) for name in names] + [str(tmp_path / "missing" / "1.png")] * 2
    expected = [path.lower().endswith((".png",)) and os.path.isfile(path) for path in paths]
    assert are_files(paths, (".png",)) == expected
    asked = []
    isfile = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda path: asked.append(path) or isfile(path))
    assert are_files(paths[:30], (".png",)) == [True] * 30
    assert asked == []
