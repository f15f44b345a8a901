"""Steps of which an image gets some: the chosen one gives what it gives alone, and nothing else leaves a trace."""

import re
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxiter import (
    Affine,
    AutoContrast,
    Blur,
    Brightness,
    Cast,
    CenterCrop,
    Chain,
    Contrast,
    Cutout,
    Erase,
    Gamma,
    Invert,
    Loader,
    Normalize,
    OneOf,
    RandomCrop,
    RandomResizedCrop,
    Rescale,
    Resize,
    Saturation,
    Solarize,
    Sometimes,
    Transform,
    affine_warp,
)
from jaxiter.augment import _choice

from ..data import WEIGHTS, first, in_turn, photo

KEY = jax.random.key(11)
SHAPE = (12, 14, 3)
IMAGES = np.stack([np.roll(photo(12, 14) // 2 + 20, place, axis=0) for place in range(16)])
KEYS = jax.random.split(KEY, len(IMAGES))


@dataclass(frozen=True, eq=False)
class Speckles(Transform):
    """A user's step."""

    scale: float
    keeps_shape = True
    moves_pixels = False

    def sample(self, key, image_shape):
        return self.scale * jax.random.rademacher(key, image_shape, np.float32)  # whose products are exact

    def apply(self, params, image):
        return image.astype(np.float32) + params


def of_each(transforms):
    """Params and images of all, of one transform or of several by name."""

    def one(key, image):
        def by(transform):
            params = transform.sample(key, image.shape)
            return params, transform.apply(params, image)

        return jax.tree.map(by, transforms, is_leaf=lambda part: isinstance(part, Transform))

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(KEYS, IMAGES))


# Sometimes

STEPS = {
    "a map": Affine(rotation=20, shift=0.1, zoom=0.2, horizontal_flip=True, fill_mode="constant", cval=9),
    "a map of order 0": Affine(rotation=30, order=0, fill_mode="wrap"),
    "a selection": RandomCrop(SHAPE[:2], padding=3, fill_mode="reflect"),
    "a resize": RandomResizedCrop(SHAPE[:2]),
    "colours": Chain(Saturation(0.5), Contrast(0.5)),
    "a factor": Brightness(0.5),
    "tables": Chain(Gamma(0.5), Solarize((50, 200))),
    "what looks at the picture": AutoContrast(),
    "a rectangle": Erase(1.0, value=3),
    "a filter": Blur((0.5, 1.5)),
    "a step of one's own": Speckles(9.0),
    "a chain": Chain(Affine(rotation=20), Contrast(0.5), Cutout(3), Invert()),
}


def test_an_image_is_that_of_the_step_or_to_the_bit_that_which_was_given():
    """And the draws of the step are those that it has without `Sometimes`, whether it acts or not."""
    alone, perhaps = (
        of_each({name: Chain(around(step)) for name, step in STEPS.items()})
        for around in (lambda step: step, lambda step: Sometimes(0.5, step))
    )
    for name, step in STEPS.items():
        (params, expected), ((found,), images) = alone[name], perhaps[name]
        drawn = found.params if isinstance(step, Chain) else (found.params,)
        chex.assert_trees_all_equal(drawn, params)
        assert 3 < found.is_on.sum() < 13
        assert images.dtype == expected.dtype
        np.testing.assert_allclose(
            images[found.is_on], expected[found.is_on], rtol=2e-6 * (images.dtype != np.uint8), err_msg=name
        )
        assert np.array_equal(images[~found.is_on], IMAGES[~found.is_on]), name
        assert not np.array_equal(expected, IMAGES)


def test_the_lowest_and_the_highest_number_that_can_be_drawn_act_as_p_says(monkeypatch):
    for number, expected in ((0.0, [False, True, True]), (1 - 2.0**-24, [False, False, True])):
        monkeypatch.setattr(_choice, "uniforms", lambda key, count, number=number: jnp.full(count, number, np.float32))
        assert [bool(Sometimes(p, Invert()).sample(KEY, SHAPE).is_on) for p in (0, 0.5, 1)] == expected
        assert int(OneOf(*[Invert()] * 3).sample(KEY, SHAPE).choice) == (2 if number else 0)


def test_a_probability_of_1_or_0_is_always_or_never():
    keys = jax.random.split(KEY, 4000)
    for p in (0, 1):
        for given in (p, bool(p), float(p), np.array(float(p))):
            step = Sometimes(given, Brightness(0.5))
            on = np.asarray(jax.vmap(lambda key, step=step: step.sample(key, SHAPE).is_on)(keys))
            assert set(on) == ({True, False} if given is True else {bool(p)})


def test_its_share_is_p_and_another_array_compiles_nothing_new():
    count = 8000

    @jax.jit
    @chex.assert_max_traces(n=1)
    def drawn(step):
        return jax.vmap(lambda key: step.sample(key, SHAPE).is_on)(jax.random.split(KEY, count))

    for p in (0.1, 0.5, 0.95):
        on = np.asarray(drawn(Sometimes(np.array(p, np.float32), Brightness(0.5)))).sum()
        assert stats.binomtest(int(on), count, p).pvalue > 1e-4
        as_number = jax.vmap(lambda key, p=p: Sometimes(p, Invert()).sample(key, SHAPE).is_on)
        assert np.asarray(as_number(jax.random.split(KEY, count))).sum() == on
    assert Sometimes(True, Invert()).p == 0.5
    strengths = jax.vmap(lambda p: drawn.__wrapped__.__wrapped__(Sometimes(p, Invert())).mean())(jnp.linspace(0, 1, 5))
    np.testing.assert_allclose(strengths, np.linspace(0, 1, 5), atol=0.03)


def test_draws_are_independent_of_one_another_and_of_the_steps_beside_them():
    chain = Chain(
        Affine(horizontal_flip=True),
        Sometimes(0.5, Brightness((0, 1))),
        Sometimes(0.5, Invert()),
        OneOf(Invert(), Gamma(1)),
    )
    flips, first, second, one = jax.vmap(lambda key: chain.sample(key, SHAPE))(jax.random.split(KEY, 8000))
    numbers = [flips.horizontal_flip, first.is_on, first.params, second.is_on, one.choice, one.params[1]]
    correlations = np.corrcoef([np.asarray(part, np.float64) for part in numbers])
    assert np.abs(correlations - np.eye(6)).max() < 5 / np.sqrt(8000)


def test_an_image_that_stays_is_not_rounded_by_a_table_that_does_not_act():
    """Tables round floats that were made of bytes, here of up to 367, which would be cut off too."""
    brighter = Brightness((2.5, 2.5))
    ((_, found), images), (either, chosen), (_, stretched) = of_each(
        [Chain(brighter, Sometimes(0.5, Invert())), OneOf(brighter, Invert(), AutoContrast()), AutoContrast()]
    )
    expected = np.where(
        found.is_on[:, None, None, None],
        255 - np.clip(np.floor(IMAGES * np.float32(2.5) + 0.5), 0, 255),
        IMAGES * np.float32(2.5),
    )
    np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert images[~found.is_on].max() > 256
    expected = [IMAGES * np.float32(2.5), 255 - IMAGES, stretched]
    for choice, image, *each in zip(either.choice, chosen, *expected, strict=True):
        np.testing.assert_allclose(image, each[choice], rtol=1e-6)


# OneOf

CHOICES = {
    "maps": (
        Affine(rotation=20, horizontal_flip=True),
        Affine(zoom=0.3),
        RandomCrop(SHAPE[:2], padding=2, fill_mode="nearest"),
    ),
    "maps to another size": (
        RandomResizedCrop((8, 9)),
        Chain(Resize((16, 18)), CenterCrop((8, 9))),
        Chain(RandomCrop((9, 10)), Resize((8, 9))),
    ),
    "maps of several borders": (
        Affine(rotation=20, size=(8, 9), fill_mode="wrap"),
        Chain(Affine(zoom=0.3, order=0, fill_mode="reflect"), RandomCrop((8, 9))),
    ),
    "colours, tables and others": (
        Chain(Contrast(0.5), Saturation(0.5)),
        Gamma(0.5),
        Chain(Affine(rotation=20), Cutout(5), Blur((0.5, 1))),
        AutoContrast(),
        Speckles(5.0),
    ),
    "what leaves the scale before a table": (
        Rescale(1 / 255),
        Invert(),
        Cast("int16"),
        Chain(Brightness(0.5), Gamma(2)),
    ),
    "nested": (Sometimes(0.5, Affine(rotation=20)), OneOf(Invert(), Chain(Saturation(0.5), Erase(1.0)))),
}


@pytest.mark.slow
def test_each_choice_gives_what_that_transform_alone_gives_with_its_params():
    drawn = of_each({name: OneOf(*choices) for name, choices in CHOICES.items()})

    @jax.jit
    @jax.vmap
    def together(drawn, image):
        return {
            name: [step.apply(own, image) for step, own in zip(CHOICES[name], params, strict=True)]
            for name, params in drawn.items()
        }

    alone = jax.tree.map(np.asarray, together({name: params.params for name, (params, _) in drawn.items()}, IMAGES))
    for name, (params, images) in drawn.items():
        assert set(params.choice) == set(range(len(CHOICES[name])))
        for place, choice in enumerate(params.choice):
            np.testing.assert_allclose(
                images[place], alone[name][choice][place], rtol=1e-6, atol=WEIGHTS, err_msg=f"{name} {choice}"
            )


def test_choices_come_equally_often_and_their_steps_draw_as_without_a_choice():
    steps = Affine(rotation=20), Brightness(0.5), Affine(zoom=0.2), Chain(Brightness(0.1), Invert())
    keys = jax.random.split(KEY, 6000)
    (drawn,) = jax.vmap(lambda key: Chain(OneOf(*steps)).sample(key, SHAPE))(keys)
    assert stats.chisquare(np.bincount(drawn.choice, minlength=4)).pvalue > 1e-4
    in_a_chain = jax.vmap(lambda key: Chain(*steps).sample(key, SHAPE))(keys)
    chex.assert_trees_all_equal((*drawn.params[:3], *drawn.params[3]), in_a_chain)


# Beside other steps


def gathers(augment):
    loader = Loader(IMAGES, batch_size=2, augment=augment).to_device()
    text = jax.jit(lambda loader, step: loader.batch(KEY, 0, step)).lower(loader, 0).compile().as_text()
    return len(re.findall(r"= u8\S* gather\(", text))


def test_geometry_inside_is_one_resampling_with_the_steps_beside_it():
    whole = Chain(
        Sometimes(0.5, Affine(rotation=20)),
        OneOf(Affine(zoom=0.2), Affine(shear=10), Chain(Affine(rotation=90), Affine(shift=0.1))),
        OneOf(RandomCrop((10, 9)), CenterCrop((10, 9))),
        Affine(horizontal_flip=True),
        Rescale(1 / 255),
    )
    assert gathers(whole) == gathers(Chain(Affine(rotation=20), Rescale(1 / 255)))

    @jax.jit
    @jax.vmap
    def by_the_matrix(params, image):
        return affine_warp(image, whole.matrix(params, SHAPE), size=(10, 9)) / np.float32(255)

    params, images = of_each(whole)
    np.testing.assert_allclose(images, by_the_matrix(params, IMAGES.astype(np.float32)), atol=1e-4)


def test_colours_inside_are_one_matrix_with_those_beside_them():
    """A matrix of three rows for each image, and no step that makes the pixels anew."""
    chain = Chain(
        Sometimes(0.5, Saturation(0.9)), Brightness(0.5), OneOf(Saturation(0.5), Brightness(0.2)), Normalize(3.0, 7.0)
    )
    params, images = of_each(chain)
    turns = jax.jit(jax.vmap(lambda drawn, image: in_turn(chain, drawn, image)))(params, IMAGES)
    np.testing.assert_allclose(images, turns, rtol=1e-5, atol=1e-4)
    products = re.findall(
        r"dot_general", str(jax.make_jaxpr(chain.apply)(jax.tree.map(lambda leaf: leaf[0], params), IMAGES[0]))
    )
    alone = re.findall(r"dot_general", str(jax.make_jaxpr(Chain(Saturation(0.5)).apply)((np.float32(1),), IMAGES[0])))
    assert len(products) == len(alone)


def test_the_matrix_is_that_of_what_acts():
    chain = Chain(
        Affine(shift=0.1),
        Sometimes(0.5, Affine(rotation=(90, 90))),
        OneOf(Affine(horizontal_flip=1.0), Blur(1), Chain()),
    )
    assert isinstance(chain.matrix(chain.sample(KEY, SHAPE), SHAPE), jax.Array)
    params = jax.jit(jax.vmap(lambda key: chain.sample(key, SHAPE)))(KEYS)
    found = jax.jit(jax.vmap(lambda drawn: chain.matrix(drawn, SHAPE)))(params)
    turn, flip = (
        np.asarray(step.matrix(step.sample(KEY, SHAPE), SHAPE))
        for step in (Affine(rotation=(90, 90)), Affine(horizontal_flip=1.0))
    )
    shift = np.asarray(jax.vmap(lambda drawn: Affine(shift=0.1).matrix(drawn, SHAPE))(params[0]))
    seen = set()
    for own, on, choice, matrix in zip(shift, params[1].is_on, params[2].choice, np.asarray(found), strict=True):
        expected = own @ (turn if on else np.eye(3)) @ (flip if choice == 0 else np.eye(3))
        np.testing.assert_allclose(matrix, expected, atol=1e-5)
        seen.add((bool(on), int(choice)))
    assert len(seen) == 6


@pytest.mark.slow
@pytest.mark.parametrize("size", first(1, [1, 5]))
def test_pixels_are_the_same_bits_in_batches_of_every_size(size):
    augment = Chain(
        Sometimes(0.5, Affine(rotation=20, zoom=0.2)),
        OneOf(Saturation(0.5), Gamma(0.5), Affine(shear=20), Chain(Brightness(0.5), Cutout(4))),
        Sometimes(0.3, Invert()),
        Normalize(100.0, 50.0),
    )

    def batch(size):
        images = np.concatenate([IMAGES] * 4)[:61]
        return Loader(images, batch_size=size, augment=augment, shuffle=False).to_device().batch(KEY, 1, 0)

    assert np.array_equal(batch(size), batch(61)[:size])


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
@pytest.mark.parametrize(
    ("step", "keeps"),
    [
        (Sometimes(0.5, Affine(horizontal_flip=1.0)), True),
        (Sometimes(0.5, Cutout(3)), True),
        (Sometimes(0.5, Affine(rotation=9)), False),
        (OneOf(Affine(horizontal_flip=1.0), Erase(), CenterCrop(SHAPE[:2])), True),
        (OneOf(Affine(horizontal_flip=1.0), Contrast(0.5)), False),
        (OneOf(RandomCrop(5), Chain(Resize(5), Brightness(0.1))), False),
    ],
)
def test_the_dtype_is_that_of_arithmetic_if_any_choice_computes(step, keeps, dtype):
    result = jax.eval_shape(
        lambda image: step.apply(step.sample(KEY, SHAPE), image), jax.ShapeDtypeStruct(SHAPE, dtype)
    )
    assert result.dtype == (dtype if keeps or dtype.startswith("float") else "float32")


def test_a_step_that_always_acts_may_change_the_shape():
    crop = RandomCrop(4)
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    always = Sometimes(1.0, crop)
    params = always.sample(jax.random.key(3), image.shape)
    np.testing.assert_array_equal(always.apply(params, image), crop.apply(params.params, image))
