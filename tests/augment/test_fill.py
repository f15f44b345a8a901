"""cval: outside of an image stands the value itself, or it is refused where the dtype cannot hold it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    Brightness,
    Cast,
    Chain,
    Loader,
    Map,
    Rescale,
    affine_warp,
    deterministic,
    shift_matrix,
)

KEY = jax.random.key(0)


def moved(cval, order=0, **options):
    return Affine(shift=((0.5, 0.5), 0), order=order, fill_mode="constant", cval=cval, **options)


def warped(dtype, cval, order=0):
    image = jnp.ones((2, 2, 1), dtype)
    return affine_warp(image, shift_matrix(1, 0), fill_mode="constant", cval=cval, order=order)[0, 0, 0]


HELD = [
    ("uint8", 255),
    ("uint8", 255.0),
    ("int8", -128),
    ("int16", -32768),
    ("int32", 2**24 + 1),
    ("int32", -(2**31)),
    ("uint32", 2**32 - 1),
    ("bool", 1),
    ("float16", 2048),
    ("float16", -0.5),
    ("bfloat16", 255),
    ("float32", 2**24),
    ("float32", -1e30),
]
REFUSED = [
    ("uint8", -1),
    ("uint8", 256),
    ("uint8", 0.5),
    ("int8", 255),
    ("int32", 2**31),
    ("uint32", -1),
    ("uint32", 2**32),
    ("bool", 2),
    ("bool", 0.5),
    ("float16", 2049),
    ("float16", 70000.0),
    ("bfloat16", 257),
    ("float32", 2**24 + 1),
    ("float32", 1e39),
]


def test_what_the_dtype_holds_comes_out_as_it_is():
    """In one program, along a matrix alone and as a step that draws."""

    @jax.jit
    def filled(images):
        alone = [warped(dtype, cval) for dtype, cval in HELD]
        chains = [Chain(moved(cval)) for _, cval in HELD]
        return alone, [c.sample_and_apply(KEY, image)[0, 0, 0] for c, image in zip(chains, images, strict=True)]

    for results in filled([jnp.ones((2, 2, 1), dtype) for dtype, _ in HELD]):
        for (dtype, cval), result in zip(HELD, results, strict=True):
            assert result.dtype == jnp.dtype(dtype)
            expected = cval if jnp.issubdtype(dtype, np.integer) else jnp.asarray(cval, dtype).item()
            assert result.item() == expected, (dtype, cval)


@pytest.mark.parametrize(("dtype", "cval"), REFUSED)
def test_what_the_dtype_cannot_hold_is_refused(dtype, cval):
    message = r"cval is .*(cannot hold; expected a whole number|expected a number that it holds)"
    with pytest.raises(ValueError, match=message):
        warped(dtype, cval)
    image = jnp.ones((2, 2, 1), dtype)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(Chain(moved(cval)).sample_and_apply, KEY, image)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: moved(cval).apply(moved(cval).sample(KEY, image.shape), image))


@pytest.mark.parametrize(
    ("dtype", "cval", "expected"), [("uint8", 0.5, 1), ("uint8", 254.6, 255), ("int8", -2.5, -3), ("bool", 0.4, 0)]
)
def test_where_pixels_are_rounded_so_is_cval(dtype, cval, expected):
    assert warped(dtype, cval, order=1).item() == expected


@pytest.mark.parametrize(("dtype", "cval"), [("uint8", 255.5), ("uint8", -1), ("bool", 1.5), ("int32", 2**24 + 1)])
def test_interpolated_integers_are_not_clipped_to_another_label(dtype, cval):
    with pytest.raises(ValueError, match="cval is"):
        warped(dtype, cval, order=1)


def test_in_double_precision_cval_is_not_rounded_to_single():
    with jax.enable_x64(True):
        assert warped("float64", 0.1, order=1).item() == 0.1
        assert warped("int64", 2**53 + 1).item() == 2**53 + 1


def test_whole_numbers_beyond_float_are_kept_or_refused():
    """Order 1 computes in float32; a traced value keeps the digits of its own dtype."""
    wide = 2**53 + 1
    with jax.enable_x64(True):
        for order in (1, 3):
            with pytest.raises(ValueError, match=f"cval is {wide}, of which float32 makes .* order=0"):
                warped("int64", wide, order=order)
        assert warped("int64", 2**40, order=1).item() == 2**40
        traced = jax.jit(lambda first, second: (warped("int32", first), warped("int64", second)))
        assert [int(x) for x in traced(jnp.int64(2**24 + 1), jnp.float64(2**40 + 1))] == [2**24 + 1, 2**40 + 1]


@pytest.mark.parametrize(
    ("dtype", "cval", "words"),
    [
        ("uint8", np.float32(0.1), r'cval is 0\.1, which .*Cast\("float32"\)'),
        ("uint8", 0.1 + 0.2, r'cval is 0\.30000000000000004, which .*Cast\("float32"\)'),
        ("uint8", 300, r'cval is 300, which .*Cast\("int32"\)'),
        ("int32", 2**32 - 1, r'which int32 cannot hold.*Cast\("uint32"\)'),
        ("int32", 2**40 + 1, r"to 2147483647\.$"),
        ("bool", 0.5, "from 0 to 1\\.$"),
        ("float16", 2049, r'of which float16 makes 2048; .*Cast\("float32"\)'),
    ],
)
def test_only_a_dtype_that_holds_it_is_named(dtype, cval, words):
    with pytest.raises(ValueError, match=words):
        warped(dtype, cval)


def test_masked_values_are_refused_in_words():
    image = np.ones((2, 2, 1), np.uint8)
    masked = np.ma.masked_equal(image, 1)
    for call, name in [
        (lambda: affine_warp(masked, np.eye(3)), "image"),
        (lambda: affine_warp(image, np.ma.masked_equal(np.eye(3), 0)), "matrix"),
        (lambda: affine_warp(image, np.eye(3), fill_mode="constant", cval=np.ma.masked), "cval"),
        (lambda: Chain(Rescale(2.0)).sample_and_apply(KEY, masked), "image"),
        (lambda: Rescale(2.0).apply((), masked), "image"),
    ]:
        with pytest.raises(TypeError, match=f"{name} is a masked array, .*filled"):
            call()


def test_other_fill_modes_have_no_cval():
    image = jnp.ones((2, 2, 1), np.uint8)
    assert affine_warp(image, shift_matrix(1, 0), cval=-1, order=0).dtype == np.uint8
    assert Chain(Affine(shift=0.2, order=0, cval=-1)).sample_and_apply(KEY, image).dtype == np.uint8


def test_flips_alone_never_need_it():
    image = jnp.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    flip = Affine(vertical_flip=1.0, fill_mode="constant", cval=-1)
    np.testing.assert_array_equal(Chain(flip).sample_and_apply(KEY, image), image[::-1])


IMAGES = np.ones((2, 2, 2, 1), np.uint8)


@pytest.mark.parametrize(
    "augment",
    [
        moved(-1),
        Chain(Affine(vertical_flip=1.0), moved(-1)),
        Chain(Cast("int32"), Cast("uint8"), moved(-1)),
        moved(-1, order=1, whole_pixels=True),
        deterministic(moved(-1, vertical_flip=1.0)),
        Chain(Rescale(1 / 255), moved(2**24 + 1)),
    ],
    ids=str,
)
def test_a_loader_refuses_it_by_leaf_path_when_it_is_made(augment):
    data = {"image": IMAGES, "mask": IMAGES}
    with pytest.raises(ValueError, match=r"transform of data\['mask'\] does not fit its dtype: cval is"):
        Loader(data, batch_size=2, augment={"image": None, "mask": augment})
    loader = Loader(data, batch_size=2)
    with pytest.raises(ValueError, match=r"transform of data\['mask'\] does not fit its dtype: cval is"):
        loader.replace(augment={"image": None, "mask": augment})


def test_64_bit_labels_are_looked_at_as_the_32_bits_that_jax_makes_of_them():
    masks = np.ones((2, 2, 2, 1), np.int64)
    with pytest.raises(ValueError, match="int32 cannot hold"):
        Loader(masks, batch_size=2, augment=moved(2**31))
    batch = Loader(masks, batch_size=2, augment=moved(-(2**31))).batch(KEY, 0, 0)
    assert np.unique(batch).tolist() == [-(2**31), 1]


@pytest.mark.parametrize(
    "steps", [(Cast("int32"), moved(-1)), (Rescale(1 / 255), moved(-1)), (Brightness(0.1), moved(-1))]
)
def test_the_dtype_that_reaches_the_step_counts(steps):
    assert -1 in np.unique(Loader(IMAGES, batch_size=2, augment=Chain(*steps)).batch(KEY, 0, 0))


def test_behind_a_function_it_is_refused_at_the_first_batch():
    loader = Loader(IMAGES, batch_size=2, augment=Chain(Map(jnp.flipud), moved(-1)))
    with pytest.raises(ValueError, match="uint8 cannot hold") as caught:
        loader.batch(KEY, 0, 0)
    assert "step 1 of the transforms of data" in caught.value.__notes__[0]


def test_evaluation_fills_as_training_does_where_a_float_comes_out():
    training = Affine(rotation=10, shift=((0.5, 0.5), 0), whole_pixels=True, fill_mode="constant", cval=-1)
    fixed = Loader(IMAGES, batch_size=2, augment=deterministic(training)).batch(KEY, 0, 0)
    assert np.unique(fixed).tolist() == [-1.0, 1.0]


def test_one_number_for_each_channel():
    image = jnp.ones((2, 2, 3), np.uint8)
    found = affine_warp(image, shift_matrix(1, 0), fill_mode="constant", cval=np.array([1, 2, 255]), order=0)
    assert found[0, 0].tolist() == [1, 2, 255]
    with pytest.raises(ValueError, match="cval is 256"):
        affine_warp(image, shift_matrix(1, 0), fill_mode="constant", cval=np.array([1, 2, 256]), order=0)
    with pytest.raises(ValueError, match=r"cval has shape \(2,\); expected a number, or one for each of 3 channels"):
        affine_warp(image, shift_matrix(1, 0), fill_mode="constant", cval=(1, 2))


def test_a_numpy_scalar_is_a_number():
    assert warped("uint8", IMAGES.max()).item() == 1
    assert moved(np.int64(-1)) == moved(-1)
