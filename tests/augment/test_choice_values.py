"""Sometimes and OneOf in evaluation, as values, their pinned draws, and what they refuse."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    Brightness,
    Cast,
    CenterCrop,
    Chain,
    Contrast,
    Cutout,
    Gamma,
    Invert,
    Normalize,
    OneOf,
    RandomCrop,
    Resize,
    Sometimes,
    deterministic,
)

from ..data import photo

KEY = jax.random.key(11)
SHAPE = (12, 14, 3)
IMAGE = photo(12, 14)
KEY_PARAMS = Chain(Brightness(0.5), Sometimes(0.5, Invert())).sample(KEY, SHAPE)


def test_in_evaluation_what_is_always_done_stays_and_the_dtype_is_that_of_training():
    stays = Chain(Affine(zoom=(2, 2)), Affine(rotation=9), Invert())
    assert deterministic(Chain(Sometimes(1, stays))) == Chain(deterministic(stays))
    for step in (
        Sometimes(0.5, Contrast((2, 2))),
        Sometimes(np.array(1.0), Contrast((2, 2))),
        OneOf(Invert(), Brightness((2, 2))),
    ):
        image = deterministic(Chain(step)).apply(((),), IMAGE)
        assert image.dtype == np.float32
        assert np.array_equal(image, IMAGE)
    behind = deterministic(Chain(Brightness(0.5), Sometimes(0.5, Invert()), OneOf(Gamma(0.5), Cast("uint8"))))
    image = behind.apply(((),) * 3, IMAGE)
    assert image.dtype == Chain(Brightness(0.5), Sometimes(0.5, Invert())).apply(KEY_PARAMS, IMAGE).dtype
    assert np.array_equal(image, IMAGE)
    assert deterministic(Sometimes(0.5, Cutout(3))).apply(((),), IMAGE).dtype == np.uint8
    with pytest.raises(ValueError, match=r"OneOf is random and makes \(5, 5, 3\).* Write the transform for evaluation"):
        deterministic(OneOf(RandomCrop(5), Resize(5))).apply(((),), IMAGE)


@pytest.mark.parametrize(
    "step",
    [
        Sometimes(0.25, Chain(Affine(rotation=3), Invert()), draws="some"),
        Sometimes(np.array(0.5), Invert()),
        OneOf(Invert(), Sometimes(0.5, Cutout(2)), draws="one"),
        OneOf(Normalize(np.array([1.0, 2.0, 3.0])), Invert()),
    ],
)
def test_they_are_values_pickled_and_printed_as_they_are_written(step):
    assert pickle.loads(pickle.dumps(step)) == step
    assert jax.tree.map(lambda leaf: leaf, step) == step
    scope = {
        name: globals()[name] for name in ("Affine", "Chain", "Cutout", "Invert", "Normalize", "OneOf", "Sometimes")
    }
    assert eval(repr(step), scope | {"array": np.array}) == step
    assert Sometimes(0.5, Invert()) != Sometimes(0.25, Invert())
    assert OneOf(Invert(), Invert()) != OneOf(Invert())


def test_draws_are_pinned():
    chain = Chain(
        Sometimes(0.5, Invert()), OneOf(*[Invert()] * 1000), Sometimes(0.5, Invert()), OneOf(*[Invert()] * 1000)
    )
    params = jax.vmap(lambda key: chain.sample(key, SHAPE))(jax.random.split(KEY, 16)[:8])
    assert [params[0].is_on.astype(int).tolist(), params[2].is_on.astype(int).tolist()] == PINNED[:2]
    assert [params[1].choice.tolist(), params[3].choice.tolist()] == PINNED[2:]


PINNED = [
    [1, 0, 1, 1, 0, 0, 1, 1],
    [1, 0, 0, 0, 0, 0, 0, 0],
    [299, 46, 130, 310, 751, 334, 958, 218],
    [515, 891, 324, 138, 388, 15, 795, 752],
]

LARGE = np.zeros(SHAPE, np.uint8)


def applied(step):
    return step.apply(step.sample(KEY, SHAPE), LARGE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sometimes(1.5, Invert()), "p is 1.5; expected True, False or a probability"),
        (lambda: Sometimes(-0.1, Invert()), "p is -0.1"),
        (lambda: Sometimes(float("nan"), Invert()), "p .*nan"),
        (lambda: Sometimes(np.array([0.2, 0.4]), Invert()), "p is .*one probability"),
        (lambda: Sometimes("often", Invert()), "p is 'often'"),
        (lambda: Sometimes(0.5, jnp.flipud), r"no transform; .*Map\(function\)"),
        (lambda: OneOf(), "OneOf got no transform; expected at least one"),
        (lambda: OneOf([Invert(), Cutout(2)]), r"no transform; .*of a list give its entries"),
        (lambda: applied(Sometimes(0.5, CenterCrop(5))), "CenterCrop makes 5 by 5 of an image of 12 by 14"),
        (lambda: applied(Sometimes(0.5, Sometimes(0.5, Resize(5)))), r"Resize makes 5 by 5 .*where it does not act"),
        (
            lambda: applied(Sometimes(0.5, OneOf(Resize(5), CenterCrop(5)))),
            "OneOf makes 5 by 5 of an image of 12 by 14",
        ),
        (lambda: applied(OneOf(CenterCrop(5), Resize(6))), r"CenterCrop and Resize makes \(5, 5, 3\) or \(6, 6, 3\)"),
        (
            lambda: applied(OneOf(Chain(Resize(5), Cutout(2)), Invert())),
            r"Chain and Invert makes \(5, 5, 3\) or \(12, 14, 3\)",
        ),
        (
            lambda: Sometimes(0.5, Sometimes(0.5, Invert())).apply(applied_params(), LARGE / 1.0),
            "Invert got an image of float",
        ),
    ],
)
def test_bad_shares_and_shapes_are_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def applied_params():
    return Sometimes(0.5, Sometimes(0.5, Invert())).sample(KEY, SHAPE)
