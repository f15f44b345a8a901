"""ChannelShift and Brightness: one number for a whole image, never clipped, never quantised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Brightness, ChannelShift

IMAGE = np.random.default_rng(0).normal(0, 100, (6, 5, 3)).astype(np.float32)


def draws(transform, count=4000):
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.vmap(lambda key: transform.sample(key, (6, 5, 3)))(keys), np.float64)


@pytest.mark.parametrize(
    ("transform", "low", "high"),
    [
        (ChannelShift(20), -20, 20),
        (ChannelShift((5, 8)), 5, 8),
        (ChannelShift(np.array(20.0)), -20, 20),
        (ChannelShift(jnp.array([5.0, 8.0])), 5, 8),
        (Brightness(0.2), 0.8, 1.2),
        (Brightness(1), 0, 2),
        (Brightness((0.5, 3)), 0.5, 3),
        (Brightness(np.array(0.2)), 0.8, 1.2),
        (Brightness(np.array([0.5, 3.0])), 0.5, 3),
    ],
)
def test_numbers_are_uniform_in_the_range(transform, low, high):
    unit = (np.sort(draws(transform)) - low) / (high - low)
    assert unit[0] >= -1e-6
    assert unit[-1] <= 1 + 1e-6
    assert np.abs(unit - np.linspace(0, 1, len(unit))).max() < 2 / np.sqrt(len(unit))


def test_a_channel_shift_adds_one_number_to_all_channels():
    transform = ChannelShift(50)
    number = transform.sample(jax.random.key(0), IMAGE.shape)
    assert number.shape == ()
    assert np.array_equal(transform.apply(number, IMAGE), IMAGE + np.float32(number))


def test_brightness_multiplies_the_whole_image_by_one_factor():
    transform = Brightness((0.5, 2))
    factor = transform.sample(jax.random.key(0), IMAGE.shape)
    assert factor.shape == ()
    assert np.array_equal(transform.apply(factor, IMAGE), IMAGE * np.float32(factor))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 255.0, -1e6])
def test_brightness_1_is_the_identity_on_any_range(scale):
    """Keras stretches an image to [0, 255] and back through bytes; nothing of the kind happens here."""
    transform = Brightness((1, 1))
    factor = transform.sample(jax.random.key(0), IMAGE.shape)
    assert np.array_equal(transform.apply(factor, IMAGE * np.float32(scale)), IMAGE * np.float32(scale))


def test_nothing_is_clipped():
    white = np.full((1, 1, 1), 250, np.uint8)
    assert Brightness((2, 2)).apply(jnp.float32(2), white).item() == 500
    assert ChannelShift((20, 20)).apply(jnp.float32(20), white).item() == 270
    assert ChannelShift((-300, -300)).apply(jnp.float32(-300), white).item() == -50


@pytest.mark.parametrize("transform", [ChannelShift(1.5), Brightness(0.3)])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("bool", "float32"), ("uint8", "float32"), ("int32", "float32"), ("float16", "float16"), ("bfloat16", "bfloat16")],
)
def test_arithmetic_gives_float32_for_integers_and_else_the_images_own_float(transform, dtype, expected):
    image = jnp.asarray(np.abs(IMAGE) % 100).astype(dtype)
    params = transform.sample(jax.random.key(0), image.shape)
    result = transform.apply(params, image)
    assert result.dtype == jnp.dtype(expected)
    in_float32 = transform.apply(params, image.astype(jnp.float32))
    assert np.array_equal(result, in_float32.astype(expected))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ChannelShift(-1), ValueError, r"range is -1; expected 0 or more: r means \[-r, r\]"),
        (
            lambda: ChannelShift((3, 1)),
            ValueError,
            r"range is \(3, 1\); expected a pair \(low, high\) with low <= high",
        ),
        (lambda: ChannelShift(float("nan")), ValueError, "range is nan; expected a finite number"),
        (lambda: ChannelShift(True), TypeError, "range is True; expected a number"),
        (lambda: ChannelShift((1, 2, 3)), ValueError, r"range is \(1, 2, 3\); expected a number or a pair"),
        (
            lambda: Brightness((-0.1, 1)),
            ValueError,
            r"range is \(-0.1, 1\), which reaches -0.1; expected factors of at",
        ),
        (lambda: Brightness(-0.5), ValueError, r"range is -0.5; expected 0 or more: r means \[1 - r, 1 \+ r\]"),
        (lambda: Brightness((1.2, 0.8)), ValueError, r"range is \(1.2, 0.8\); expected a pair"),
        (lambda: Brightness((0, float("inf"))), ValueError, "range.* inf; expected a finite number"),
        (lambda: Brightness(np.array([-1.0, 1.0])), ValueError, "which reaches -1; expected factors of at least 0"),
        (lambda: Brightness("bright"), TypeError, "range is 'bright'; expected a number"),
    ],
)
def test_bad_input_is_refused_by_name_and_value(make, error, message):
    with pytest.raises(error, match=message):
        make()
