"""What JAX cannot hold, or what is no container of columns, is refused when it comes in: by path and with a remedy."""

import inspect
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental import sparse
from jax.sharding import SingleDeviceSharding

from jaxiter import (
    Affine,
    Loader,
    Normalize,
    explain,
    fit_statistics,
    from_records,
    scan_epoch,
    stream,
    train_validation_split,
)

from ..data import assert_trees_equal, pictures

IMAGES, LABELS = pictures(size=12)
MASKED = np.ma.masked_equal(np.arange(12), 3)


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def on_host(array):
    return jax.device_put(array, SingleDeviceSharding(jax.devices()[0], memory_kind="pinned_host"))


def donated():
    array = jnp.arange(12)
    array.delete()
    return array


def wide():
    with jax.enable_x64(True):
        return jnp.arange(12) + 2**31


class Torch:
    """A tensor, as far as it matters here: a shape, and a dtype that is none of NumPy's."""

    shape, dtype = (12,), object()

    def __getitem__(self, index):
        raise AssertionError("must not be read")


@dataclass
class Example:
    x: int


class Iterable:
    """A PyTorch IterableDataset, which inherits a __getitem__ that only raises."""

    def __iter__(self):
        return iter(())

    def __getitem__(self, index):
        raise NotImplementedError


class Unknown(Torch):
    """A symbolic tensor of Keras."""

    shape, dtype = (None, 3), "float32"


class Endless:
    """One example after the other, by number."""

    def __getitem__(self, index):
        return np.zeros(3)


class Shapeless(Endless):
    dtype = np.dtype(np.float32)


class Frame:
    """A file of several arrays."""

    def keys(self):
        return ["x"]


# name: (a leaf, the error, what its message says after the leaf's path)
LEAVES = {
    "masked": (MASKED, TypeError, r" is a masked array, with 1 values masked.*filled"),
    "masked, no mask": (np.ma.array(np.arange(12)), TypeError, " is a masked array, with 0"),
    "durations": (np.arange(12).astype("m8[s]"), TypeError, r" has dtype timedelta64\[s\].*np\.timedelta64\(1, 's'\)"),
    "times": (np.arange(12).astype("M8[D]"), TypeError, r" has dtype datetime64\[D\].*x\.min\(\)"),
    "long floats": (np.arange(12, dtype=np.longdouble), TypeError, r" has dtype float128.*np\.float32"),
    "long complex": (np.arange(12, dtype=np.clongdouble), TypeError, r" has dtype complex256.*np\.complex64"),
    "wide complex": (np.full(12, 1e300j), ValueError, r" is float64 and holds 1e\+300"),
    "wide integers": (np.arange(12) + 2**31, ValueError, " is int64 and holds 2147483648"),
    "wide on the device": (wide, ValueError, " is int64 and holds 2147483648"),
    "fields": (np.zeros(12, [("x", int)]), TypeError, r"dtype \[\('x', '<i8'\)\].*x\.dtype\.names"),
    "text": (np.array(["a"] * 12), TypeError, r" has dtype <U1.*np\.unique"),
    "text of NumPy 2": (
        np.array(["a"] * 12, np.dtypes.StringDType()),
        TypeError,
        r" has dtype StringDType.*np\.unique",
    ),
    "bytes": (np.array([b"a"] * 12), TypeError, r" has dtype \|S1.*np\.unique"),
    "text objects": (objects(*"abcdefghijkl"), TypeError, r" has dtype object.*np\.unique"),
    "None": (objects(*[None] * 12), TypeError, r" has dtype object.*\(NoneType\)"),
    "numbers as objects": (objects(*range(12)), TypeError, r" has dtype object.*astype\(np\.float32\)"),
    "arrays as objects": (objects(*[np.zeros(3 + i % 2) for i in range(12)]), TypeError, r"\(3,\), \(4,\): bring all"),
    "sparse": (scipy.sparse.csr_array(np.eye(12)), TypeError, r" is a sparse scipy csr_array.*toarray"),
    "sparse without rows": (scipy.sparse.coo_matrix(np.eye(12)), TypeError, " is a sparse scipy coo_matrix"),
    "sparse of JAX": (
        lambda: sparse.BCOO.fromdense(jnp.eye(12)),
        TypeError,
        r" is a sparse jax BCOO.*: x\.todense\(\)\.$",
    ),
    "keys": (lambda: jax.random.split(jax.random.key(0), 12), TypeError, r" holds PRNG keys.*key_data"),
    "memory of the host": (lambda: on_host(np.arange(12)), ValueError, " is in the memory 'pinned_host'; .*device_put"),
    "donated": (donated, ValueError, " is a JAX array that was deleted or donated"),
    "a shape alone": (jax.ShapeDtypeStruct((12,), np.float32), TypeError, r" is a jax ShapeDtypeStruct, .* no rows"),
    "a tensor": (Torch(), TypeError, r" is a tests Torch of dtype .*none of NumPy's.*np\.asarray"),
    "a shape that is not known": (Unknown(), TypeError, r" is a tests Unknown of shape \(None, 3\)"),
    "a source without a shape": (Shapeless(), TypeError, r" is a Shapeless; expected an array .*; it has no shape\."),
    "a source without a length": (
        Endless(),
        TypeError,
        r" is an Endless; .*; it has neither shape .* nor a length\..*len\(\)",
    ),
    "what only iterates": (Iterable(), TypeError, " is an Iterable; it gives its examples one after the other"),
    "a number": (3.5, TypeError, r" is 3\.5; expected .*np\.full"),
    "a scalar": (np.float32(3), ValueError, " is a scalar"),
    "a string": ("cats", TypeError, r" is 'cats'; expected an array of numbers.*np\.unique"),
    "a list of numbers": ([1, 2, 3], TypeError, r" is a list of 3 numbers; expected an array: np\.asarray"),
    "lists of numbers": ([[1, 2], [3, 4]], TypeError, r" is a list of 2 lists of numbers.*np\.asarray"),
    "a list of strings": (["a", "b"], TypeError, r" is a list of 2 strings.*np\.unique"),
    "a set": ({1, 2}, TypeError, " is a set; "),
    "a generator": ((row for row in IMAGES), TypeError, r" is a generator; it gives its examples one after the other"),
    "a map": (map(abs, LABELS), TypeError, r" is a map; it gives .*from_records\(source\)"),
    "values of a dict": ({"a": 1}.values(), TypeError, " is a dict_values; it gives"),
    "a function": (np.flip, TypeError, r"expected an array .*Map\(function\)"),
    "a file of arrays": (Frame(), TypeError, " is a Frame; expected an array, or arrays in a plain dict"),
    "a loader": (lambda: Loader(IMAGES, batch_size=2), TypeError, r" is a Loader; expected arrays: .* its \.data"),
    "a transform": (Affine(rotation=3), TypeError, " is an Affine; expected "),
    "a stream": (lambda: stream(Loader(IMAGES, batch_size=2), jax.random.key(0)), TypeError, " is a Stream; it gives"),
    "a data class": (Example(1), TypeError, r" is an Example; JAX does not know it .*vars\(value\)"),
    "a list of pictures": (
        list(IMAGES),
        ValueError,
        r" is a list of 12 arrays of shape \(6, 5, 3\).*np\.stack\(list\), or from_records\(list\)",
    ),
    "a tuple of pictures": (tuple(IMAGES), ValueError, r" is a tuple of 12 arrays of shape"),
    "pictures on the device": (lambda: list(jnp.asarray(IMAGES)), ValueError, r" is a list of 12 arrays of shape"),
    "a list of examples": (
        [{"image": image, "label": 3} for image in IMAGES],
        ValueError,
        r" is a list of 12 examples of 2 leaves each of shape \(6, 5, 3\), \(\).*Use from_records\(list\)",
    ),
    "eight examples": (
        [(image, 3) for image in IMAGES[:8]],
        ValueError,
        r" is a list of 8 examples of 2 leaves each of shape \(6, 5, 3\), \(\).*Use from_records\(list\)",
    ),
    "two examples of two sizes": (
        [{"x": np.zeros((side, 5, 3)), "y": 3} for side in (4, 5)],
        ValueError,
        r" is a list of 2 examples of 2 leaves each of different shapes .* to one shape, then from_records\(list\);",
    ),
    "paths in the examples": (
        [{"x": IMAGES[0], "path": "a"}] * 12,
        ValueError,
        " is a list of 12 examples of 2 leaves",
    ),
    "nine columns": ([LABELS] * 9, ValueError, r" is a list of 9 arrays of shape \(12,\).*in a dict"),
    "pictures of all sizes": (
        [np.zeros((3 + i, 5, 3), np.uint8) for i in range(2000)],
        ValueError,
        r" is a list of 2000 arrays of different shapes \(\(3, 5, 3\), \(4, 5, 3\), \(5, 5, 3\), \.\.\.\)",
    ),
    "pictures of all widths": (
        [np.zeros((5, 3 + i, 1), np.uint8) for i in range(9)],
        ValueError,
        r" is a list of 9 arrays of different shapes",
    ),
}


def STEP(carry, batch):
    return carry, None


def made(leaf):
    return leaf() if inspect.isfunction(leaf) and leaf.__name__ in ("<lambda>", "donated", "wide") else leaf


@pytest.mark.parametrize(("leaf", "error", "words"), LEAVES.values(), ids=LEAVES)
def test_a_leaf_is_refused_by_path_and_with_a_remedy(leaf, error, words):
    leaf = made(leaf)
    with pytest.raises(error, match=rf"data\['x'\]{words}" if words.startswith(" ") else words) as raised:
        Loader({"image": IMAGES, "x": leaf}, batch_size=4)
    assert len(str(raised.value)) < 700
    with pytest.raises(error, match=words):
        Loader(leaf, batch_size=4)


@pytest.mark.parametrize(("leaf", "error", "words"), LEAVES.values(), ids=LEAVES)
def test_statistics_refuse_what_a_loader_refuses(leaf, error, words):
    with pytest.raises((error, ValueError), match=words.replace(r"; expected arrays: .* its \.data", "")):
        fit_statistics(made(leaf))


def test_lengths_are_named_few_of_many():
    columns = {f"c{i}": np.zeros(12 + (i == 7) + 2 * (i == 9)) for i in range(2000)}
    with pytest.raises(ValueError, match=r"\(data\['c0'\]: 12, data\['c7'\]: 13, data\['c9'\]: 14 and 1,997 more\)"):
        Loader(columns, batch_size=4)


def test_what_is_a_container_of_columns_stays_one(key):
    """A few arrays in a list, many in a dict or a named tuple, and lists of columns of different rank."""
    Columns = namedtuple("Columns", [f"c{i}" for i in range(9)])
    nine = [np.arange(12) + i for i in range(9)]
    mixed = [*nine, IMAGES]
    for data in (nine[:8], dict(enumerate(nine)), Columns(*nine), mixed, [np.zeros((12, i + 1)) for i in range(9)]):
        batch = Loader(data, batch_size=4, shuffle=False).batch(key, 0, 1)
        assert jax.tree.structure(batch) == jax.tree.structure(data)
        np.testing.assert_array_equal(jax.tree.leaves(batch)[1], jax.tree.leaves(data)[1][4:8])


def test_masks_are_lost_nowhere(key):
    """Rows, labels of a split, arrays of a transform, examples of a source."""
    with pytest.raises(TypeError, match="rows is a masked array"):
        Loader(LABELS, batch_size=2, rows=MASKED)
    with pytest.raises(ValueError, match="rows is in the memory 'pinned_host'"):
        Loader(LABELS, batch_size=2, rows=on_host(np.arange(3)))
    with pytest.raises(TypeError, match="rows is a masked array"):
        fit_statistics(IMAGES, rows=MASKED)
    with pytest.raises(TypeError, match="labels is a masked array"):
        train_validation_split(key, MASKED, 0.5)
    with pytest.raises(TypeError, match=r"Normalize\.mean is a masked array"):
        Normalize(MASKED[:3].astype(np.float32), np.ones(3, np.float32))
    with pytest.raises(TypeError, match=r"source\[0\]\['y'\] is a masked array"):
        from_records([{"y": MASKED}] * 4)
    source = [np.zeros(12, int), MASKED]
    with pytest.raises(TypeError, match="example 1 of the source is a masked array"):
        Loader(from_records(source), batch_size=2).batch(key, 0, 0)


def test_a_source_that_returns_masked_rows_is_refused(key):
    """As netCDF4's variables, which return masked arrays whether or not a value is missing."""

    class Variable:
        shape, dtype = (12,), MASKED.dtype

        def __getitem__(self, index):
            return MASKED[index]

    data = Loader(Variable(), batch_size=3, shuffle=False)
    assert data.batch(key, 0, 3).tolist() == [9, 10, 11]
    for read in (lambda: data.batch(key, 0, 1), data.to_device, lambda: explain(data, key, 0, 3)):
        with pytest.raises(ValueError, match="data returned 1 masked values"):
            read()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.arange(3).astype("m8[s]"), r"rows is timedelta64\[s\]\[3\]"),
        (([0, 1], [2]), r"rows is a tuple of 2, .*\.train"),
        ("abc", "rows is 'abc'"),
    ],
)
def test_rows_are_integers(rows, words):
    with pytest.raises(TypeError, match=words):
        Loader(LABELS, batch_size=2, rows=rows)


def test_arrays_of_64_bits_from_an_x64_scope_become_of_32(key):
    with jax.enable_x64(True):
        data = {"label": jnp.arange(12), "x": jnp.linspace(0, 1, 12), "z": jnp.ones((12, 2), np.uint64)}
    loader = Loader(data, batch_size=4, shuffle=False)
    batch = loader.batch(key, 0, 1)
    assert jax.tree.map(lambda leaf: leaf.dtype.name, batch) == {"label": "int32", "x": "float32", "z": "uint32"}
    assert batch["label"].tolist() == [4, 5, 6, 7]
    assert_trees_equal(batch["x"], np.linspace(0, 1, 12)[4:8].astype(np.float32))
    assert explain(loader, key, 0, 3).before["x"].dtype == np.float32
    _, labels = scan_epoch(lambda carry, batch: (carry, batch["label"]), 0, loader, key, 0)
    assert labels.dtype == np.int32


def test_wide_values_of_a_loader_from_an_x64_scope_are_refused_outside_of_it(key):
    with jax.enable_x64(True):
        loader = Loader({"x": jnp.arange(12) + 2**31}, batch_size=4, shuffle=False)
        assert loader.batch(key, 0, 0)["x"].tolist() == (np.arange(4) + 2**31).tolist()
    uses = (
        lambda: loader.batch(key, 0, 0),
        lambda: next(stream(loader, key)),
        lambda: explain(loader, key, 0, 3),
        lambda: scan_epoch(STEP, 0, loader, key, 0),
    )
    for use in uses:
        with pytest.raises(ValueError, match=r"data\['x'\] is int64 and holds 2147483648"):
            use()


def test_without_jit_the_batches_have_the_same_dtypes(key):
    data = (IMAGES, LABELS.astype(np.int64), np.linspace(0, 1, 12))
    for loader in (Loader(data, batch_size=4), Loader(data, batch_size=4).to_device()):
        expected = loader.batch(key, 0, 1)
        with jax.disable_jit():
            found = loader.batch(key, 0, 1)
        assert all(isinstance(leaf, jax.Array) for leaf in found)
        assert_trees_equal(found, expected)


def tables():
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    numbers, pairs = [3, 1, 2, 0], [[3, 4], [1, 2], [5, 6], [7, 8]]
    accepted = {
        "Series": (pd.Series(numbers, index=[9, 8, 7, 6]), numbers),
        "DataFrame": (pd.DataFrame(pairs), pairs),
        "Index": (pd.Index(numbers), numbers),
        "Int64": (pd.array(numbers, dtype="Int64"), numbers),
        "Series of Int64": (pd.Series(numbers, dtype="Int64"), numbers),
        "pandas over Arrow": (pd.Series(numbers, dtype="int64[pyarrow]"), numbers),
        "pandas bool": (pd.array([True, False, True, True], dtype="boolean"), [True, False, True, True]),
        "pandas NaN": (pd.Series([0.5, 1, 2, np.inf]), [0.5, 1, 2, np.inf]),
        "Arrow": (pa.array(numbers), numbers),
        "Arrow in chunks": (pa.chunked_array([numbers[:3], numbers[3:]]), numbers),
        "Arrow bool": (pa.array([True, False, True, True]), [True, False, True, True]),
        "Arrow table": (pa.table({"a": numbers, "b": numbers}), np.stack([numbers, numbers], 1)),
        "Arrow tensors": (pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(pairs)), pairs),
        "Polars": (pl.Series(numbers), numbers),
        "Polars arrays": (pl.Series(pairs, dtype=pl.Array(pl.Int32, 2)), pairs),
        "Polars frame": (pl.DataFrame({"a": numbers, "b": numbers}), np.stack([numbers, numbers], 1)),
    }
    refused = {
        "Categorical": (pd.Categorical(list("abab")), "dtype object.*np.unique"),
        "pandas text": (pd.array(["a"] * 4, dtype="string"), "dtype object.*np.unique"),
        "Series of text": (pd.Series(["a"] * 4), "dtype object.*np.unique"),
        "pandas times": (pd.Series(pd.date_range("2020", periods=4)), r"dtype datetime64"),
        "pandas missing": (pd.Series([1, 2, None, 3], dtype="Int64"), "pandas Series with 1 missing values; .*fillna"),
        "pandas frame with missing": (pd.DataFrame({"a": pd.array([1, 2, None, 3], "Int64")}), "1 missing values"),
        "Arrow missing": (pa.array([1, None, None, 3]), "pyarrow Int64Array with 2 missing values; .*fill_null"),
        "Arrow table with missing": (pa.table({"a": [1, None], "b": [1, 2]}), "1 missing values"),
        "Arrow text": (pa.array(["a"] * 4), "dtype object.*np.unique"),
        "Arrow lists": (pa.array(pairs), r"dtype object.*np\.stack\(list\(np\.asarray\(x\)\)\)"),
        "Arrow lists of lists": (
            pa.array([pairs] * 4),
            r"\(4,\): np\.stack\(\[np\.stack\(row\) for row in np\.asarray",
        ),
        "Arrow decimals": (pa.array([Decimal(1)] * 4), r"\(Decimal\); .* np\.asarray\(x\)\.astype\(np\.float32\)"),
        "Polars missing": (pl.Series([1, None, 2, 3]), "polars Series with 1 missing values"),
        "Polars frame with missing": (pl.DataFrame({"a": [1, None]}), "1 missing values"),
        "Polars text": (pl.Series(["a"] * 4), "dtype .*np.unique"),
        "Polars, not collected": (pl.LazyFrame({"a": numbers}), "is a LazyFrame; expected an array"),
    }
    return accepted, refused


@pytest.mark.extras
def test_columns_of_tables_are_their_numbers(key):
    accepted, refused = tables()
    for name, (table, expected) in accepted.items():
        batch = Loader({"x": table}, batch_size=3, shuffle=False).batch(key, 0, 0)["x"]
        np.testing.assert_array_equal(batch, expected[:3], err_msg=name)
    for table, words in refused.values():
        with pytest.raises((TypeError, ValueError), match=rf"data\['x'\].*{words}"):
            Loader({"x": table}, batch_size=1)


@pytest.mark.extras
def test_what_the_errors_say_of_arrow_works():
    import pyarrow as pa

    pairs = [[3, 4], [1, 2], [5, 6], [7, 8]]
    for x, dense in ((pa.array(pairs), pairs), (pa.chunked_array([pairs]), pairs)):
        np.testing.assert_array_equal(np.stack(list(np.asarray(x))), dense)
    x = pa.array([pairs] * 4)
    np.testing.assert_array_equal(np.stack([np.stack(row) for row in np.asarray(x)]), [pairs] * 4)
    assert np.asarray(pa.array([Decimal("1.5")])).astype(np.float32) == 1.5


def test_no_package_is_imported_for_the_checks():
    with mock.patch.dict("sys.modules", {"pandas": None, "pyarrow": None, "polars": None, "torch": None}):
        Loader({"x": IMAGES, "y": LABELS}, batch_size=4)
