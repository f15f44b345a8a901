"""Steps of bytes: Pillow's definitions to the bit, one table for several, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from PIL import Image, ImageOps
from scipy import stats

from jaxiter import AutoContrast, Cast, Chain, Equalize, Gamma, Invert, Posterize, Solarize, deterministic
from jaxiter.augment._tables import apply_tables

from ..data import photo

KEY = jax.random.key(5)
EVERY = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
PHOTO = photo(40, 50)


def by_pillow(function, image, *arguments):
    """Of each channel by itself, any number of them."""
    channels = [function(Image.fromarray(image[..., k]), *arguments) for k in range(image.shape[-1])]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def pictures_of_all_kinds(count, shape):
    """Narrow and wide, flat and two-valued, steep and even distributions, other ones in every channel."""
    random, made = np.random.default_rng(0), []
    for _ in range(count):
        channels = []
        for _ in range(shape[-1]):
            low, high = np.sort(random.integers(0, 256, 2))
            kinds = (
                lambda low=low: np.full(shape[:2], low),
                lambda low=low, high=high: random.choice([low, high], shape[:2], p=[0.9, 0.1]),
                lambda low=low, high=high: random.integers(low, high + 1, shape[:2]),
                lambda: np.clip(random.normal(random.uniform(0, 255), random.uniform(1, 90), shape[:2]), 0, 255),
                lambda low=low, high=high: low + (high - low) * random.uniform(0, 1, shape[:2]) ** 4,
            )
            channels.append(kinds[random.integers(len(kinds))]().astype(np.uint8))
        made.append(np.stack(channels, axis=-1))
    return np.stack(made)


# Each by itself


@pytest.mark.parametrize(
    ("step", "function"), [(AutoContrast(), ImageOps.autocontrast), (Equalize(), ImageOps.equalize)]
)
def test_what_looks_at_the_whole_picture_is_pillows_to_the_bit(step, function):
    together = jax.jit(jax.vmap(lambda image: step.apply((), image)))
    for shape in ((20, 31, 3), (4, 5, 2)):
        images = pictures_of_all_kinds(300, shape)
        for image, found in zip(images, np.asarray(together(images)), strict=True):
            assert np.array_equal(found, by_pillow(function, image))


def test_every_stretch_has_pillows_roundings():
    """Its float64 falls short of a whole number in 12,094 of 2,828,800 cases, mostly of the highest byte."""
    low, high = (ends[::4] for ends in np.triu_indices(256, 1))
    images = np.clip(np.arange(256)[None], low[:, None], high[:, None]).astype(np.uint8)[:, None, :, None]
    found = np.asarray(jax.jit(jax.vmap(lambda image: AutoContrast().apply((), image)))(images))[:, 0]
    images = images[:, 0]
    scale = 255.0 / (high - low)[:, None]
    expected = (images[..., 0] * scale + -low[:, None] * scale).astype(int)
    assert np.array_equal(found[..., 0], expected)
    assert np.sum(expected != (images[..., 0] - low[:, None]) * 255 // (high - low)[:, None]) > 2_000
    for place in np.random.default_rng(0).integers(0, len(images), 100):  # and this is what Pillow does
        assert np.array_equal(found[place, None], by_pillow(ImageOps.autocontrast, images[place, None]))


def test_formulas_are_pillows():
    for threshold in (0, 1, 128, 255, 256):
        found = Solarize(threshold).apply(jnp.float32(threshold), EVERY)
        assert np.array_equal(found, by_pillow(ImageOps.solarize, EVERY, threshold))
    for bits in range(1, 9):
        assert np.array_equal(Posterize(bits).apply(jnp.int32(bits), EVERY), by_pillow(ImageOps.posterize, EVERY, bits))
    assert np.array_equal(Invert().apply((), EVERY), by_pillow(ImageOps.invert, EVERY))
    assert np.array_equal(Solarize(0.5).apply(jnp.float32(127.5), EVERY), by_pillow(ImageOps.solarize, EVERY, 128))


def test_gamma_is_a_power_rounded_half_away_and_the_same_bits_in_batches_of_every_size():
    gammas = np.concatenate([np.random.default_rng(0).uniform(0, 4, 300), [0, 1, 0.5, 2, 40, 1e4]]).astype(np.float32)
    batched = jax.jit(jax.vmap(lambda gamma: Gamma(1).apply(gamma, EVERY)))
    found = np.asarray(batched(gammas))
    exact = 255 * (EVERY / 255.0) ** gammas.astype(np.float64)[:, None, None, None]
    is_tie = np.abs(exact % 1 - 0.5) < 1e-4
    assert is_tie.mean() < 1e-3
    assert np.array_equal(found[~is_tie], np.floor(exact + 0.5)[~is_tie])
    assert np.array_equal(found[301], EVERY)  # gamma 1
    assert (found[300] == 255).all()  # gamma 0, of which torchvision makes white of black, too
    assert np.array_equal(np.concatenate([batched(gammas[place : place + 1]) for place in range(40)]), found[:40])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(7,), (1, 1, 1), (1, 2, 3), (0, 4, 3), (2, 3, 5, 3)])
def test_leaves_of_any_rank_keep_their_shape_and_type(shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    for step in (Gamma((2, 2)), Solarize(99), Posterize(3), Invert(), AutoContrast(), Equalize()):
        if step.takes_any_rank or len(shape) == 3:
            found = step.apply(step.sample(KEY, shape), image)
            assert (found.shape, found.dtype) == (shape, np.uint8)
        else:
            with pytest.raises(ValueError, match=r"expected \(height, width, channels\)"):
                step.apply((), image)


# Together

GROUPS = {
    "no look at the picture": (Gamma((2, 2)), Solarize((90, 90)), Posterize(3)),
    "formulas": (Invert(), Solarize(100), Posterize(3)),
    "its extremes": (Gamma((0.5, 0.5)), Invert(), AutoContrast(), Posterize(4), Solarize(99)),
    "a second look": (Solarize(100), AutoContrast(), Posterize(5), Solarize(90), Gamma((2, 2)), AutoContrast()),
    "a histogram": (Solarize(100), AutoContrast(), Equalize(), Invert(), AutoContrast()),
    "a histogram twice": (Equalize(), Solarize(90), Equalize()),
}


@pytest.mark.parametrize("name", GROUPS)
def test_several_tables_give_what_they_give_in_turn(name):
    pairs = [(step, step.sample(KEY, PHOTO.shape)) for step in GROUPS[name]]
    for image in pictures_of_all_kinds(12, (20, 31, 3)):
        expected = image
        for step, params in pairs:
            expected = step.apply(params, expected)
        assert np.array_equal(apply_tables(pairs, image), expected)


@pytest.mark.parametrize(
    ("name", "lookups", "histograms"),
    [
        ("no look at the picture", 1, 0),
        ("formulas", 0, 0),
        ("its extremes", 1, 0),
        ("a second look", 2, 0),
        ("a histogram", 1, 1),
        ("a histogram twice", 1, 1),
    ],
)
def test_pixels_are_looked_up_and_counted_as_seldom_as_can_be(name, lookups, histograms):
    pairs = [(step, step.sample(KEY, PHOTO.shape)) for step in GROUPS[name]]
    traced = jax.make_jaxpr(lambda image: apply_tables(pairs, image))(PHOTO)

    def equations(program):
        for equation in program.eqns:
            yield equation
            for inner in jaxprs_in_params(equation.params):
                yield from equations(inner)

    found = {
        id(equation): equation for equation in equations(traced.jaxpr)
    }.values()  # a barrier has it for each platform
    num_lookups = sum(each.primitive.name == "gather" and each.outvars[0].aval.shape == PHOTO.shape for each in found)
    counted = [each.invars[2].aval.size for each in found if each.primitive.name == "scatter-add"]
    assert (num_lookups, counted.count(PHOTO.size)) == (lookups, histograms)


# Draws, evaluation and errors


def drawn(step, count=4000):
    return np.asarray(jax.vmap(lambda key: step.sample(key, PHOTO.shape))(jax.random.split(KEY, count)))


@pytest.mark.parametrize(
    ("step", "low", "high"),
    [
        (Gamma(0.5), 0.5, 1.5),
        (Gamma(3), 0, 4),
        (Gamma((0.2, 0.4)), 0.2, 0.4),
        (Gamma(jnp.array([0.2, 0.4])), 0.2, 0.4),
        (Solarize((0, 256)), 0, 256),
        (Solarize(np.array([20.0, 30.0])), 20, 30),
    ],
)
def test_numbers_are_uniform_in_the_range(step, low, high):
    assert stats.kstest((drawn(step) - low) / (high - low), "uniform").pvalue > 1e-4


def test_a_number_is_itself_and_both_ends_of_a_pair_of_bits_are_drawn():
    assert set(drawn(Solarize(77), 9)) == {77}
    assert set(drawn(Solarize(np.array(77.0)), 9)) == {77}
    assert set(drawn(Posterize(3), 9)) == {3}
    assert stats.chisquare(np.bincount(drawn(Posterize((3, 6))))[3:]).pvalue > 1e-4
    assert drawn(Posterize((3, 6))).dtype == np.int32


def test_in_evaluation_what_is_random_goes_and_the_rest_stays():
    kept = (Gamma((2, 2)), Solarize(9), Posterize(3), Invert(), AutoContrast(), Equalize())
    random = (Gamma(0.2), Solarize((0, 9)), Solarize(np.array(9.0)), Posterize((1, 2)))
    assert deterministic(Chain(*random, *kept)) == Chain(*kept)


def test_draws_are_pinned():
    chain = Chain(Gamma(0.5), Solarize((0, 256)), Posterize((1, 8)), Invert(), AutoContrast(), Equalize())
    found = [np.asarray(leaf).item() for leaf in jax.tree.leaves(chain.sample(KEY, PHOTO.shape))]
    np.testing.assert_allclose(found, PINNED, rtol=1e-6)


PINNED = [0.7578360438346863, 74.24728393554688, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Invert().apply((), PHOTO / 255),
            r'Invert got an image of float32; expected uint8.* Put Cast\("uint8"\)',
        ),
        (lambda: Equalize().apply((), PHOTO.astype(np.int32)), "Equalize got an image of int32"),
        (lambda: AutoContrast().apply((), PHOTO > 9), "AutoContrast got an image of bool"),
        (lambda: Invert().apply((), np.uint8(3)), "at least one axis"),
        (lambda: Gamma(-1), "range is -1"),
        (lambda: Solarize(257), "threshold is 257; expected numbers from 0 to 256"),
        (lambda: Solarize((-1, 3)), r"threshold is \(-1, 3\); expected numbers from 0 to 256"),
        (lambda: Solarize((3, 1)), "expected a pair"),
        (lambda: Posterize(0), "bits is 0; expected a whole number from 1 to 8, or a pair"),
        (lambda: Posterize((1, 9)), "bits is 9; expected a whole number"),
        (lambda: Posterize((5, 3)), r"bits is \(5, 3\); expected a pair"),
        (lambda: Posterize(2.5), "bits is 2.5; expected a whole number"),
        (lambda: Posterize(np.array([1, 2])), "bits is .*; expected a whole number"),
        (lambda: Posterize((1, 2, 3)), "bits is .*; expected a whole number"),
    ],
)
def test_other_pictures_and_ranges_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_floats_are_taken_behind_a_cast():
    assert np.array_equal(Chain(Cast("uint8"), Invert()).apply(((), ()), PHOTO / 1.0), 255 - PHOTO)
