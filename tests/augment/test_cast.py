"""Cast rounds half away from zero and then clips; Map applies a function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Cast, Chain, Loader, Map, Rescale, deterministic

OPTIMIZED = True  # roundings are compared; see ../conftest.py


def cast(dtype, values, of="float32"):
    result = Cast(dtype).apply((), jnp.asarray(values, jnp.dtype(of)))
    assert result.dtype == jnp.dtype(dtype)
    return result.tolist()


@pytest.mark.parametrize("of", ["float32", "float16", "bfloat16"])
def test_halves_are_rounded_away_from_zero(of):
    assert cast("int8", [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], of) == [-3, -2, -1, 1, 2, 3]


def test_values_just_below_a_half_are_rounded_towards_zero():
    """floor(x + 0.5) is 1 here, since the sum rounds up."""
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert cast("int8", [below, -below, 8388607.0]) == [0, 0, 127]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("of", ["float32", "float16", "bfloat16"])
def test_values_beyond_the_range_are_clipped(dtype, of):
    bounds = np.iinfo(dtype)
    infinity = float("inf")
    assert cast(dtype, [-infinity, infinity], of) == [bounds.min, bounds.max]
    if of != "float16":
        assert cast(dtype, [-1e20, 1e20], of) == [bounds.min, bounds.max]


def test_the_ends_of_int32_are_reached_and_not_passed():
    ends = [-(2.0**31), -(2.0**31) + 128, 2.0**31 - 128, 2.0**31, 3e9]
    assert cast("int32", ends) == [-(2**31), -(2**31) + 128, 2**31 - 128, 2**31 - 1, 2**31 - 1]
    assert cast("uint32", [2.0**32 - 256, 2.0**32, -1.0]) == [2**32 - 256, 2**32 - 1, 0]


@pytest.mark.parametrize(
    ("of", "dtype", "values", "expected"),
    [
        ("int32", "uint8", [-1, 0, 255, 256, 70000], [0, 0, 255, 255, 255]),
        ("int16", "int8", [-129, -128, 127, 128], [-128, -128, 127, 127]),
        ("int8", "uint8", [-5, 5], [0, 5]),
        ("int8", "uint32", [-5, 5], [0, 5]),
        ("uint32", "int32", [7, 2**32 - 1], [7, 2**31 - 1]),
        ("uint8", "int16", [0, 255], [0, 255]),
        ("bool", "uint8", [False, True], [0, 1]),
    ],
)
def test_integers_are_clipped_too_and_never_wrap(of, dtype, values, expected):
    assert cast(dtype, values, of) == expected


def test_casting_bytes_to_floats_and_back_is_exact():
    image = np.arange(256, dtype=np.uint8)
    for dtype in ("float32", "float16", "bfloat16", "int16", "uint16", "int32"):
        assert cast("uint8", Cast(dtype).apply((), image), dtype) == list(range(256))


def test_floats_become_the_nearest_value_of_a_shorter_float():
    assert cast("bfloat16", [1.00390625, 3.0]) == [1.0, 3.0]
    assert cast("float16", [1e-9, 0.1]) == [0.0, float(np.float16(0.1))]


def test_the_same_dtype_changes_nothing():
    image = jnp.array([0.1, -7.5, jnp.nan])
    assert np.array_equal(Cast("float32").apply((), image), image, equal_nan=True)


def test_the_dtype_may_be_named_in_any_way():
    assert Cast("uint8") == Cast(np.uint8) == Cast(jnp.uint8) == Cast(np.dtype("uint8"))
    assert Cast("bfloat16") == Cast(jnp.bfloat16)


def test_a_leaf_of_any_rank_may_be_cast():
    assert Cast("int32").apply((), jnp.float32(2.7)).item() == 3


def test_64_bits_are_refused_where_jax_has_none():
    for dtype in ("float64", "int64"):
        with pytest.raises(ValueError, match=rf"Cast\('{dtype}'\) needs 64 bits; set jax_enable_x64"):
            Cast(dtype).apply((), jnp.zeros(3))


def test_64_bits_work_under_x64():
    with jax.enable_x64(True):
        assert Cast("float64").apply((), jnp.zeros(3, jnp.float32)).dtype == jnp.float64
        largest = Cast("int64").apply((), jnp.array([1e30, -1e30, 2.5], jnp.float64))
        assert largest.tolist() == [2**63 - 1, -(2**63), 3]


@pytest.mark.parametrize("dtype", ["complex64", "U5", "no such type", object, None, 8])
def test_what_is_no_real_dtype_is_refused(dtype):
    with pytest.raises(TypeError, match=r"dtype is .*; expected a real dtype, for example 'uint8'"):
        Cast(dtype)


def test_map_applies_its_function_whatever_the_shape():
    assert Map(jnp.sum).apply((), jnp.arange(4)).item() == 6
    assert Map(lambda image: image[:2]).apply((), jnp.zeros((4, 4, 1))).shape == (2, 4, 1)


def test_map_of_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="function is 3; expected a function of one image"):
        Map(3)


class Returns:
    """An own transform that returns what a function does."""

    def __init__(self, function):
        self.function = function

    def sample(self, key, image_shape):
        return jax.random.bits(key)

    def apply(self, params, image):
        return self.function(image)


NO_ARRAYS = {
    "a tuple": (lambda image: (image, image), r"a tuple of 2, .*Return the image alone"),
    "a dict": (lambda image: {"image": image}, "a dict; "),
    "a list of numbers": (lambda image: [1.0, 2.0], "a list of 2"),
    "a key": (lambda image: jax.random.key(0), r"an array key<fry>\[\]"),
    "text": (lambda image: "a", "'a'"),
    "nothing": (lambda image: None, "None"),
    "an array of text": (lambda image: np.array(["a"]), r"an array <U1\[1\]"),
    "an object": (lambda image: object(), "an object; "),
}


# A duck-typed transform returns through the same check: two of the kinds show it.
@pytest.mark.parametrize(
    ("step", "function", "words"),
    [(Map, *case) for case in NO_ARRAYS.values()] + [(Returns, *NO_ARRAYS[name]) for name in ("a tuple", "nothing")],
    ids=[*NO_ARRAYS, "own, a tuple", "own, nothing"],
)
def test_what_is_not_one_array_is_refused_by_the_step_that_returns_it(step, function, words):
    images, key = np.ones((4, 3, 3, 1), np.float32), jax.random.key(0)
    named = "in a Map" if step is Map else r"Returns\.apply"
    for augment in (Chain(step(function)), Chain(step(function), Affine(shift=0.5))):
        for chain in (augment, deterministic(augment)):
            with pytest.raises(TypeError, match=rf"{named} returned {words}"):
                jax.eval_shape(Chain(chain).sample_and_apply, key, images[0])
    with pytest.raises(TypeError, match=rf"{named} returned {words}") as caught:
        Loader(images, batch_size=2, augment=step(function)).batch(key, 0, 0)
    assert any("Raised by step 0 of the transforms of data" in note for note in caught.value.__notes__)


def test_a_number_for_an_image_is_an_array_to_the_steps_after_it():
    assert Chain(Map(lambda image: 2), Rescale(3.0)).sample_and_apply(jax.random.key(0), np.ones(4)) == 6


def test_a_function_of_numpy_in_a_map_is_refused_with_the_ways_out():
    loader = Loader(np.ones((4, 3, 3, 1)), batch_size=2, augment=Map(lambda image: np.clip(np.asarray(image), 0, 1)))
    with pytest.raises(jax.errors.TracerArrayConversionError) as caught:
        loader.batch(jax.random.key(0), 0, 0)
    assert "jax.numpy" in caught.value.__notes__[0]
    assert "preprocessing_function" in caught.value.__notes__[0]


def test_a_mask_cast_to_bool_again_neither_grows_nor_shrinks():
    mask = np.zeros((9, 9, 1), bool)
    mask[3:6, 3:6] = True
    turned = Chain(Affine(rotation=(20, 20)), Cast("bool"))
    found = jax.jit(turned.sample_and_apply)(jax.random.key(0), mask)
    assert found.dtype == np.bool_
    assert found.sum() == 9
