"""What is refused when a Loader is made or called, with what was got, what was expected and what to do."""

import jax
import numpy as np
import pytest

from jaxiter import Affine, Loader, deterministic, from_records, scan_epoch

from ..data import AUGMENT, loader, pictures

IMAGES, LABELS = pictures()
BAD_INPUT = {
    "lengths differ": ((IMAGES, LABELS[:-1]), {}, ValueError, r"data\[1\]: 22.*one entry for each example"),
    "no arrays": ((), {}, ValueError, "holds no arrays"),
    "no examples": (IMAGES[:0], {}, ValueError, "no examples"),
    "a list of labels": ((IMAGES, [1, 2]), {}, TypeError, r"data\[1\] is a list of 2 numbers; .*np\.asarray"),
    "a scalar": (np.array(3), {}, ValueError, "data is a scalar"),
    "strings": ((IMAGES, np.array(["a"] * 23)), {}, TypeError, r"data\[1\] has dtype <U1.*np.unique"),
    "objects": (np.array([None] * 3), {}, TypeError, "dtype object"),
    "wide labels": ({"y": np.array([1, 2**31])}, {}, ValueError, r"data\['y'\] is int64 and holds 2147483648"),
    "unsigned labels": (np.array([1, 2**63], np.uint64), {}, ValueError, "holds 9223372036854775808"),
    "batch_size 0": (IMAGES, {"batch_size": 0}, ValueError, "batch_size is 0; expected at least 1"),
    "batch_size 2.0": (IMAGES, {"batch_size": 2.0}, TypeError, "batch_size is 2.0"),
    "batch_size True": (IMAGES, {"batch_size": True}, TypeError, "batch_size is True"),
    "remainder": (IMAGES, {"remainder": "cut"}, ValueError, "'cut'; expected one of 'drop', 'pad', 'keep'"),
    "shuffle key": (IMAGES, {"shuffle": 3}, TypeError, "shuffle is 3"),
    "drop too few": (IMAGES, {"batch_size": 24}, ValueError, "23 examples and batch_size is 24.*'pad' or 'keep'"),
    "rows out": (IMAGES, {"rows": [0, 23]}, ValueError, r"from 0 to 23; expected \[0, 23\)"),
    "rows negative": (IMAGES, {"rows": [-1, 2]}, ValueError, "from -1 to 2"),
    "rows empty": (IMAGES, {"rows": np.array([], int)}, ValueError, "rows is empty"),
    "rows mask": (IMAGES, {"rows": LABELS > 3}, TypeError, "np.flatnonzero"),
    "rows float": (IMAGES, {"rows": [0.5]}, TypeError, "float64"),
    "grey": (IMAGES[..., 0], {"augment": AUGMENT}, ValueError, r"no leaf of rank 4(.|\n)*x\[..., None\]"),
    "grey by prefix": (
        (IMAGES[..., 0], LABELS),
        {"augment": (AUGMENT, None)},
        ValueError,
        r"data\[0\] has shape \(23, 6, 5\)(.|\n)*x\[..., None\]",
    ),
    "two pictures": (
        {"a": IMAGES, "b": IMAGES},
        {"augment": AUGMENT},
        ValueError,
        r"2 leaves of rank 4(.|\n)*data\['b'\](.|\n)*augment=\{'a': transform, 'b': None\}",
    ),
    "prefix too long": ((IMAGES, LABELS), {"augment": (AUGMENT, None, None)}, ValueError, "augment does not fit"),
    "prefix of names": (
        {"x": IMAGES},
        {"augment": {"image": AUGMENT}},
        ValueError,
        r"data\['x'\]: uint8\[23, 6, 5, 3\]",
    ),
    "a long number": (np.array([1e300, 1.0]), {}, ValueError, "data is float64 and holds 1e[+]300"),
    "complex pictures": (
        {"x": IMAGES * 1j},
        {"augment": {"x": AUGMENT}},
        TypeError,
        r"data\['x'\] has dtype complex128",
    ),
    "keys of two kinds": (
        (LABELS, {1: IMAGES, "a": IMAGES}),
        {},
        TypeError,
        r"data\[1\] is a dict with the keys 1, 'a', of the kinds int, str; expected keys of one kind",
    ),
    "keys of examples": ([{1: 3, "a": 4}] * 23, {}, TypeError, r"data\[0\] is a dict with the keys 1, 'a'"),
    "keys of augment": (IMAGES, {"augment": {1: AUGMENT, "a": None}}, TypeError, "augment is a dict with the keys 1"),
    "a list of steps": ((IMAGES, LABELS), {"augment": [AUGMENT, AUGMENT]}, ValueError, r"Chain\(\*steps\)"),
    "no transform": (IMAGES, {"augment": 3}, TypeError, "expected a transform or None|Expected a transform or None"),
    "a class": (IMAGES, {"augment": Affine}, TypeError, "no transform"),
    "a function": ((IMAGES, LABELS), {"augment": (np.sqrt, None)}, TypeError, "transform or None"),
}


@pytest.mark.parametrize(("data", "options", "error", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused(data, options, error, words):
    with pytest.raises(error, match=words):
        Loader(data, **{"batch_size": 2, **options})


def test_keys_of_two_kinds_are_refused_in_a_source_and_in_deterministic():
    with pytest.raises(TypeError, match=r"source\[0\]\['x'\] is a dict with the keys None, 'a', 'b', \.\.\., of the"):
        from_records([{"x": {None: 1, "a": 2, "b": 3, "c": 4}}])
    with pytest.raises(TypeError, match="transform is a dict with the keys 1, 'a'"):
        deterministic({1: AUGMENT, "a": None})


def test_places_outside_the_stream_are_refused(key):
    data = loader()
    for call in (data.batch, data.index, data.step_key):
        with pytest.raises(ValueError, match=r"step is 5; expected a step in \[0, 5\)"):
            call(key, 0, 5)
        with pytest.raises(ValueError, match=r"step is -1; expected a step in \[0, 5\)"):
            call(key, 0, -1)
        with pytest.raises(ValueError, match=r"epoch is -1; expected an integer in \[0, 2\*\*32\)"):
            call(key, -1, 0)
        with pytest.raises(ValueError, match="epoch is 4294967296"):
            call(key, 2**32, 0)
        with pytest.raises(TypeError, match=r"step is 1\.5; expected an integer"):
            call(key, 0, 1.5)
        with pytest.raises(TypeError, match="key is 7; expected a PRNG key"):
            call(7, 0, 0)
        with pytest.raises(TypeError, match=r"rbg.*expected threefry2x32"):
            call(jax.random.key(0, impl="rbg"), 0, 0)
        with pytest.raises(TypeError, match=r"shape \(4,\)"):
            call(jax.random.PRNGKey(0, impl="rbg"), 0, 0)
        with pytest.raises(TypeError, match=r"shape \(2,\); expected one key"):
            call(jax.random.split(key), 0, 0)


def test_keep_refuses_a_traced_step_and_a_scan_and_names_pad(key):
    data = loader(remainder="keep").to_device()
    with pytest.raises(ValueError, match="remainder='pad'"):
        jax.jit(lambda step: data.batch(key, 0, step))(1)
    with pytest.raises(ValueError, match="remainder='pad'"):
        scan_epoch(lambda carry, batch: (carry, None), 0, data, key, 0)


def test_a_traced_step_over_arrays_on_the_host_is_refused(key):
    data = loader()
    with pytest.raises(TypeError, match="to_device"):
        jax.jit(lambda step: data.batch(key, 0, step))(1)


def test_a_scan_refuses_to_read_a_memmap_whole(key, tmp_path):
    on_disk = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(8, 2, 2, 1))
    with pytest.raises(TypeError, match="to_device"):
        scan_epoch(lambda carry, batch: (carry, None), 0, Loader(on_disk, batch_size=2), key, 0)


def test_a_memmaps_wide_integers_are_refused_when_they_are_read(key, tmp_path):
    on_disk = np.memmap(tmp_path / "y", np.int64, "w+", shape=(4,))
    on_disk[:] = [0, 1, 2**40, 3]
    data = Loader(on_disk, batch_size=2, shuffle=False)
    assert data.batch(key, 0, 0).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"data is int64 and holds 1099511627776"):
        data.batch(key, 0, 1)


def test_an_array_like_that_returns_too_few_rows_is_named(key):
    class Short:
        shape, dtype = (6, 2), np.dtype(np.float32)

        def __getitem__(self, index):
            return np.zeros((len(index) - 1, 2), np.float32)

    with pytest.raises(ValueError, match=r"data returned shape \(2, 2\) for 3 rows"):
        Loader(Short(), batch_size=3).batch(key, 0, 0)


def test_iterating_a_loader_says_what_to_use():
    with pytest.raises(TypeError, match="stream"):
        iter(loader())


def test_a_loader_cannot_be_changed():
    with pytest.raises(AttributeError, match="another one with the batch_size"):
        loader().batch_size = 3


class _Series:
    """A pandas Series, as far as it matters here: indexing by label."""

    shape, dtype, iloc = (4,), np.dtype(np.int64), None

    def __getitem__(self, index):
        raise AssertionError("must not be read")


def test_a_pandas_series_is_refused_because_it_looks_up_labels():
    with pytest.raises(TypeError, match=r"data\[1\] is a pandas _Series.*to_numpy"):
        Loader((np.zeros(4), _Series()), batch_size=2)


def test_pictures_that_look_channels_first_are_warned_of():
    pictures_first = np.zeros((4, 3, 32, 32), np.uint8)
    with pytest.warns(UserWarning, match=r"data has shape \(4, 3, 32, 32\).*transpose\(0, 2, 3, 1\)"):
        Loader(pictures_first, batch_size=2, augment=AUGMENT)
    Loader(pictures_first, batch_size=2)  # without a transform the axes mean nothing


def test_a_list_of_pictures_is_to_be_stacked():
    with pytest.raises(ValueError, match=r"data has 5 leaves of shape \(6, 7, 3\), .* Use np\.stack\(pictures\)"):
        Loader([np.zeros((6, 7, 3), np.uint8)] * 5, batch_size=2, augment=Affine(rotation=5))
