"""Rescale, Normalize, SamplewiseNormalize and Whiten against NumPy in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Cast, Normalize, Rescale, SamplewiseNormalize, Whiten

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (6, 5, 3)).astype(np.uint8)
EXACT = BYTES.astype(np.float64)
MEAN, STD = np.array([100.0, 120.0, 90.0]), np.array([50.0, 60.0, 70.0])
MATRIX = RANDOM.normal(0, 0.1, (90, 90))


def samplewise(x, center=True, std=True, epsilon=1e-6):
    return (x - x.mean() if center else x) / (x.std() + epsilon if std else 1)


CASES = {
    "rescale": (Rescale(1 / 255), EXACT / 255),
    "rescale by channel": (Rescale(np.array([1.0, 2.0, 3.0])), EXACT * [1, 2, 3]),
    "normalize": (Normalize(100, 50), (EXACT - 100) / 50),
    "normalize by tuples": (Normalize(tuple(MEAN), tuple(STD)), (EXACT - MEAN) / STD),
    "normalize by arrays": (Normalize(MEAN, STD), (EXACT - MEAN) / STD),
    "normalize by a mean image": (Normalize(EXACT / 2), EXACT / 2),
    "samplewise": (SamplewiseNormalize(), samplewise(EXACT)),
    "samplewise centred": (SamplewiseNormalize(std=False), samplewise(EXACT, std=False)),
    "samplewise scaled": (SamplewiseNormalize(center=False), samplewise(EXACT, center=False)),
    "samplewise off": (SamplewiseNormalize(center=False, std=False), EXACT),
    "samplewise with a large epsilon": (SamplewiseNormalize(epsilon=10.0), samplewise(EXACT, epsilon=10)),
    "whiten": (Whiten(MATRIX), (EXACT.ravel() @ MATRIX).reshape(EXACT.shape)),
}


@pytest.mark.parametrize("case", CASES)
def test_bytes_become_the_float32_that_numpy_finds(case):
    transform, expected = CASES[case]
    found = transform.apply((), jnp.asarray(BYTES))
    assert found.dtype == jnp.float32
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_floats_keep_their_dtype_and_are_rounded_once(case, dtype):
    transform, _ = CASES[case]
    image = jnp.asarray(BYTES).astype(dtype)
    found = transform.apply((), image)
    assert found.dtype == jnp.dtype(dtype)
    expected = transform.apply((), image.astype(jnp.float32)).astype(dtype)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("case", CASES)
def test_float64_is_computed_in_float64(case):
    transform, expected = CASES[case]
    with jax.enable_x64(True):
        found = np.asarray(transform.apply((), jnp.asarray(EXACT)))
    assert found.dtype == np.float64
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-11)


def test_a_constant_image_is_normalised_to_zero_and_stays_finite():
    found = SamplewiseNormalize().apply((), jnp.full((4, 4, 1), 200, jnp.uint8))
    assert (np.asarray(found) == 0).all()


def test_samplewise_statistics_of_a_bright_image_do_not_cancel():
    """mean(x**2) - mean(x)**2 in float32 loses everything here."""
    image = np.float32(10_000) + RANDOM.normal(0, 1, (32, 32, 3)).astype(np.float32)
    found = np.asarray(SamplewiseNormalize().apply((), image))
    assert abs(found.mean()) < 0.01
    assert abs(found.std() - 1) < 0.01


def test_whitening_takes_the_image_as_a_row_to_the_left_of_the_matrix():
    """A matrix that is not symmetric tells the two sides apart."""
    matrix = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert Whiten(matrix).apply((), jnp.array([[[3.0], [5.0]]])).ravel().tolist() == [0.0, 3.0]


class Stored:
    """An array of another package, as TensorStore's."""

    shape, dtype = (3,), np.dtype(np.float32)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Rescale(float("nan")), ValueError, "factor is nan; expected a finite number"),
        (lambda: Rescale(np.array([1, np.inf])), ValueError, "factor holds NaN or infinity"),
        (lambda: Rescale("1/255"), TypeError, "factor is '1/255'; expected a number"),
        (lambda: Rescale(True), TypeError, "factor is True; expected a number"),
        (lambda: Normalize(0.5, 0), ValueError, r"std is 0; expected numbers above 0.*std \+ 1e-6"),
        (lambda: Normalize(0.5, (1, -1)), ValueError, r"std is \(1, -1\); expected numbers above 0"),
        (lambda: Normalize(0.5, np.array([1.0, 0.0])), ValueError, "std is .*; expected numbers above 0"),
        (lambda: Normalize((0.5, float("nan"))), ValueError, "mean is nan; expected a finite number"),
        (lambda: Normalize(None), TypeError, "mean is None; expected a number"),
        (lambda: SamplewiseNormalize(epsilon=0), ValueError, "epsilon is 0; expected a number above 0"),
        (lambda: SamplewiseNormalize(epsilon=float("inf")), ValueError, "epsilon is inf; expected a finite number"),
        (lambda: Normalize(np.array([[1, 2], [3, np.nan]])), ValueError, r"mean holds .*, first nan at \(1, 1\)"),
        (lambda: Normalize(0.5, np.zeros((40, 40, 3))), ValueError, r"std is of shape \(40, 40, 3\) and reaches 0\.0;"),
        (lambda: Normalize(()), ValueError, r"mean is \(\), which holds no numbers"),
        (lambda: Normalize(0.5, np.zeros(0)), ValueError, r"std has shape \(0,\) and holds no numbers"),
        (lambda: Normalize(((1, 2), (3,))), ValueError, r"mean is \(\(1, 2\), \(3,\)\); expected .*of one length"),
        (lambda: Normalize(Stored()), TypeError, r"mean is a Stored, which is no array .*np\.asarray"),
        (lambda: Normalize(object()), TypeError, "mean is an object; expected a number"),
        (lambda: Normalize(1j), TypeError, "mean is 1j; expected a number.*Complex"),
        (lambda: Whiten(Stored()), TypeError, r"matrix is a Stored; expected a square array.*np\.asarray"),
        (lambda: Cast("uint8").apply((), np.ones((1, 1, 1), complex)), TypeError, "is given complex.*expected real"),
        (lambda: Whiten(np.zeros((2, 3))), ValueError, r"matrix has shape \(2, 3\); expected a square array"),
        (lambda: Whiten(np.full((2, 2), np.nan)), ValueError, "matrix holds NaN or infinity"),
        (lambda: Whiten(None), ValueError, r"matrix has shape \(\); expected a square array"),
    ],
)
def test_bad_input_is_refused_by_name_and_value(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_whitening_of_another_image_shape_is_refused():
    with pytest.raises(ValueError, match=r"matrix is \(90, 90\) and an image of shape \(4, 4, 3\) has 48 numbers"):
        Whiten(MATRIX).apply((), jnp.zeros((4, 4, 3)))


@pytest.mark.parametrize("step", [Normalize((1.0, 2.0, 3.0)), Normalize(0.0, np.ones(3)), Rescale(np.ones(3))])
def test_parameters_for_three_channels_do_not_make_three_channels_of_one(step):
    with pytest.raises(ValueError, match=r"has shape \(3,\) and the image \(4, 4, 1\)"):
        step.apply((), jnp.ones((4, 4, 1)))


@pytest.mark.parametrize("flag", ["center", "std"])
def test_flags_are_flags(flag):
    with pytest.raises(TypeError, match=f"{flag} is 'no'; expected True or False"):
        SamplewiseNormalize(**{flag: "no"})


@pytest.mark.parametrize("shape", [(9, 7, 3), (33, 31, 3), (28, 28, 1)])
def test_images_of_one_whole_level_become_zero(shape):
    images = np.stack([np.full(shape, level, np.uint8) for level in (0, 1, 7, 200, 254, 255)])
    assert not np.asarray(jax.jit(jax.vmap(partial(SamplewiseNormalize().apply, ())))(images)).any()


def test_the_gradient_of_centring_takes_the_mean_away_also_where_it_is_zero():
    gradient = jax.grad(lambda image: SamplewiseNormalize(std=False).apply((), image)[0, 0, 0])(np.zeros((2, 2, 1)))
    assert gradient.ravel().tolist() == [0.75, -0.25, -0.25, -0.25]


@pytest.mark.parametrize("center", [True, False])
def test_the_gradient_of_a_blank_image_is_finite(center):
    """Of what is centred it is that of (x - mean) / epsilon: moving one pixel moves the mean too."""
    step = SamplewiseNormalize(center=center, epsilon=0.5)
    for blank in (jnp.zeros((2, 2, 1)), jnp.full((2, 2, 1), 7.0)):
        slope = jax.jacobian(lambda x: step.apply((), x).ravel())(blank).reshape(4, 4)
        np.testing.assert_allclose(slope, (np.eye(4) - center * np.full((4, 4), 0.25)) / 0.5, atol=1e-6)
