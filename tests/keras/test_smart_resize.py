"""smart_resize beside Keras 3's."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter.keras import smart_resize

from ..data import compilations
from .reference import image_utils
from .test_generator import pictures

METHODS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
FORMATS = ("channels_last", "channels_first")


def close(found, expected, x):
    """Equal to 1e-5 of the range; where the dtype is coarser, to its last digit."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    found, expected = (np.asarray(a).astype(np.float64) for a in (found, expected))
    digits = jnp.finfo(x.dtype).eps if jnp.issubdtype(x.dtype, np.floating) else 0
    span = float(np.max(x)) - float(np.min(x)) or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=max(1e-5, 2 * float(digits)) * max(span, 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_every_size_rank_and_format_is_keras(method, data_format, batch):
    for (rows, columns), size in (((7, 12), (5, 5)), ((7, 12), (7, 12)), ((10, 3), (16, 13)), ((10, 10), (5, 20))):
        x = pictures((*batch, rows, columns, 2) if data_format == "channels_last" else (*batch, 2, rows, columns))
        kept = x.copy()
        found = smart_resize(x, size, method, data_format)
        assert type(found) is np.ndarray
        close(found, image_utils.smart_resize(x, size, method, data_format), x)
        assert np.array_equal(x, kept)
        assert not np.shares_memory(found, x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "float16", "bfloat16", "float32"])
def test_every_dtype_is_keras(method, dtype):
    x = (pictures((7, 12, 2)) // (1 if dtype != "bool" else 128)).astype(jnp.dtype(dtype))
    for size in ((5, 4), (7, 12)):
        close(smart_resize(x, size, method), image_utils.smart_resize(x, size, method), x)


def test_float64_keeps_its_digits_and_long_integers_their_values():
    x = pictures((7, 12, 2)).astype(np.float64) * (1 + 2.0**-40)
    for method in METHODS:
        found = smart_resize(x, (5, 4), method)
        assert found.dtype == np.float64
        close(found.astype(np.float32), smart_resize(x.astype(np.float32), (5, 4), method), x)
    assert np.array_equal(smart_resize(x, (7, 12)), x)
    large = np.full((3, 3, 1), 2**40 + 1)
    assert (smart_resize(large, (5, 5), "nearest") == 2**40 + 1).all()


def test_an_axis_that_keeps_its_size_mixes_nothing():
    x = pictures((7, 12, 2))
    x[3, 4] = np.nan
    for method in METHODS:
        found = np.isnan(smart_resize(x, (7, 11), method))
        assert found[3].any()
        assert found.sum() == found[3].sum()


def test_what_is_no_numpy_array_becomes_an_array_of_jax_on_its_device():
    x = pictures((7, 12, 2))
    device = jax.devices()[1]
    for given in (x.tolist(), jnp.asarray(x), jax.device_put(x, device)):
        found, expected = smart_resize(given, (5, 4)), image_utils.smart_resize(given, (5, 4))
        assert isinstance(found, jax.Array)
        close(found, expected, x)
    assert found.devices() == {device}


@pytest.mark.parametrize("method", METHODS)
def test_it_works_under_jit(method):
    x = pictures((7, 12, 2), dtype=np.uint8)
    found = jax.jit(lambda x: smart_resize(x, (5, 4), method))(x)
    assert isinstance(found, jax.Array)
    close(found, smart_resize(x, (5, 4), method), x)


def test_no_size_compiles_a_program():
    with compilations() as compiled:
        for side, method in itertools.product(range(3, 40, 5), METHODS):
            x = pictures((side, side + 3, 3))
            smart_resize(x, (11, side), method)
            smart_resize(jax.device_put(x), (11, side), method)
    assert not compiled


def test_signature_and_ignored_words_are_keras():
    found, expected = (inspect.signature(f).parameters for f in (smart_resize, image_utils.smart_resize))
    for name in list(expected)[:-1]:
        assert (found[name].kind, found[name].default) == (expected[name].kind, expected[name].default)
    x = pictures((7, 12, 2))
    assert np.array_equal(smart_resize(x, [5, np.int64(4)], backend_module=None), smart_resize(x, (5, 4)))


X = np.zeros((7, 12, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "named", "error", "words"),
    [
        ((X[0], (3, 3)), {}, ValueError, r"\(12, 3\).*rank"),
        ((np.zeros((1, 1, 7, 12, 3)), (3, 3)), {}, ValueError, r"\(1, 1, 7, 12, 3\).*rank"),
        ((X, (3,)), {}, ValueError, r"size.*\(3,\)"),
        ((X, (3, 3, 3)), {}, ValueError, r"size.*\(3, 3, 3\)"),
        ((X, (3, 3), "area"), {}, ValueError, "interpolation.*area.*bilinear, nearest, bicubic, lanczos3, lanczos5"),
        ((X, (3, 3), "nearest", "last"), {}, ValueError, "data_format.*last"),
        ((X, 3), {}, TypeError, "len"),
        ((X, (3.5, 3)), {}, TypeError, r"size\[0\] is 3.5"),
        ((X, (3, 3)), {"preserve_aspect_ratio": True}, TypeError, "preserve_aspect_ratio"),
    ],
)
def test_what_keras_refuses_is_refused_as_there(arguments, named, error, words):
    for function in (smart_resize, image_utils.smart_resize):
        with pytest.raises(error, match=words if function is smart_resize else None):
            function(*arguments, **named)


@pytest.mark.parametrize(
    ("x", "size", "error", "words"),
    [
        (X, (3, 0), ValueError, r"size\[1\] is 0"),
        (X, (-3, 3), ValueError, r"size\[0\] is -3"),
        (X[:0], (3, 3), ValueError, r"\(0, 12, 3\).*one pixel"),
        (np.full((7, 12, 3), "a"), (3, 3), TypeError, "dtype <U1"),
        (np.full((7, 12, 3), None), (3, 3), TypeError, "dtype object"),
    ],
)
def test_what_fails_somewhere_in_keras_is_refused_in_words(x, size, error, words):
    with pytest.raises(error, match=words):
        smart_resize(x, size)
