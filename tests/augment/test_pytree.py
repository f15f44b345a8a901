"""A transform is a pytree: arrays are leaves and are traced, everything else is static and compared by value."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Cast, Chain, ChannelShift, Map, Normalize, Rescale, Transform, Whiten

SHAPE = (4, 5, 3)
IMAGE = jnp.asarray(np.random.default_rng(0).random(SHAPE, np.float32))
MEAN = np.array([0.1, 0.2, 0.3])


@dataclass(frozen=True, eq=False)
class Setting(Transform):
    value: object

    def apply(self, params, image):
        return image


def trace(*transforms, at_most):
    """Traces a step that takes the transform as an argument, and fails if one program does not serve enough of them."""
    chex.clear_trace_counter()  # which goes by the name of the function

    @jax.jit
    @chex.assert_max_traces(n=at_most)
    def step(transform, key, image):
        return transform.apply(transform.sample(key, image.shape), image)

    for transform in transforms:
        jax.eval_shape(step, transform, jax.random.key(0), IMAGE)  # traces as a call does, without compiling


# One trace for equal configs.

EQUAL = [
    (Affine(rotation=15), Affine(rotation=15.0), Affine(rotation=(-15, 15)), Affine(rotation=[-15.0, np.float64(15)])),
    (Affine(horizontal_flip=True), Affine(horizontal_flip=0.5)),
    (Affine(shift=0.1), Affine(shift=(0.1, 0.1)), Affine(shift=((-0.1, 0.1), 0.1))),
    (Brightness(0.25), Brightness((0.75, 1.25))),
    (Normalize((0.5, 0.5, 0.5), 2.0), Normalize([0.5, 0.5, 0.5], 2.0)),
    (Cast("uint8"), Cast(np.uint8)),
    (Chain(Affine(zoom=0.1), Rescale(2.0)), Chain(Chain(Affine(zoom=0.1)), Rescale(2.0))),
    (Setting([1, [2, 3]]), Setting((1, (2, 3)))),
]


@pytest.mark.parametrize("equal", EQUAL)
def test_equal_configs_share_one_trace(equal):
    trace(*equal, at_most=1)
    assert all(other == equal[0] and hash(other) == hash(equal[0]) for other in equal)


DIFFERENT = [
    (Affine(horizontal_flip=True), Affine(horizontal_flip=1.0)),
    (Affine(rotation=15), Affine(rotation=16)),
    (Affine(rotation=15), Affine(rotation=15, fill_mode="wrap")),
    (Affine(rotation=15), Affine(rotation=15, draws="pose")),
    (Setting(True), Setting(1), Setting(1.0)),
    (Setting((1, True)), Setting((1, 1))),
    (Brightness(0.1), ChannelShift((0.9, 1.1))),
    (Chain(Rescale(2.0)), Chain(Rescale(2.0), Rescale(2.0)), Rescale(2.0)),
    (Normalize(0.5), Normalize(np.array(0.5, np.float32))),
]


@pytest.mark.parametrize("different", DIFFERENT)
def test_different_configs_are_traced_apart(different):
    with pytest.raises(AssertionError, match="traced"):
        trace(*different, at_most=len(different) - 1)
    assert len(set(different)) == len(different)


def test_another_value_of_an_array_shares_the_trace_and_changes_the_result():
    first, second = Normalize(MEAN, MEAN), Normalize(2 * MEAN, MEAN)
    trace(first, second, at_most=1)
    step = jax.jit(lambda transform, image: transform.apply((), image))
    assert np.allclose(step(first, IMAGE) - step(second, IMAGE), 1, atol=1e-5)
    trace(*(Affine(rotation=np.array(degrees)) for degrees in (1.0, 2.0, 3.0)), at_most=1)
    trace(*(Chain(Brightness(np.array([0.9, top])), Rescale(2.0)) for top in (1.0, 2.0)), at_most=1)


def test_map_is_static_by_identity():
    assert Map(jnp.abs) == Map(jnp.abs)
    assert Map(jnp.abs) != Map(jnp.sqrt)
    trace(Map(jnp.abs), Map(jnp.abs), at_most=1)


# Leaves.


@pytest.mark.parametrize(
    ("transform", "num_leaves"),
    [
        (Affine(rotation=15, horizontal_flip=True), 0),
        (Affine(rotation=np.array(15.0), zoom=np.array([0.9, 1.1])), 2),
        (Affine(shift=(np.array(0.1), 0.2)), 1),
        (Normalize((0.1, 0.2), 1.0), 0),
        (Normalize(MEAN, MEAN), 2),
        (Normalize(np.float32(0.1)), 0),
        (Chain(Normalize(MEAN), Affine(), Brightness(jnp.array(0.1))), 2),
        (Chain(), 0),
        (Setting({"a": np.zeros(2), "b": np.zeros(3)}), 2),
    ],
)
def test_arrays_are_leaves_and_numbers_are_not(transform, num_leaves):
    assert len(jax.tree.leaves(transform)) == num_leaves


def test_leaves_are_named_by_their_fields():
    paths = jax.tree_util.tree_leaves_with_path(Chain(Rescale(2.0), Normalize(MEAN, MEAN)))
    assert [jax.tree_util.keystr(path) for path, _ in paths] == [".transforms[1].mean", ".transforms[1].std"]


@pytest.mark.parametrize(
    "transform",
    [
        Normalize(MEAN, MEAN),
        Affine(rotation=np.array(5.0)),
        Whiten(np.eye(3)),
        Chain(Normalize(MEAN), Brightness(MEAN[:2])),
    ],
)
def test_any_leaf_at_all_may_stand_in_the_tree(transform):
    """JAX itself unflattens with None, object() and tracers, which no check of values may see."""
    leaves, structure = jax.tree.flatten(transform)
    for leaf in (None, object(), "x", -1.0, jax.ShapeDtypeStruct((7,), np.float32)):
        rebuilt = jax.tree.unflatten(structure, [leaf] * len(leaves))
        if leaf is not None:
            assert jax.tree.leaves(rebuilt) == [leaf] * len(leaves)
            assert jax.tree.structure(rebuilt) == structure


def test_flattening_and_unflattening_gives_an_equal_transform():
    for transform in (*EQUAL[0], Chain(Normalize(MEAN), Affine(rotation=MEAN[:2])), Chain()):
        assert jax.tree.unflatten(*reversed(jax.tree.flatten(transform))) == transform
        assert jax.tree.map(lambda leaf: leaf, transform) == transform


# Arrays are traced: strengths may be mapped over and differentiated.


def test_a_strength_may_be_mapped_over():
    theta = jax.vmap(lambda degrees: Affine(rotation=degrees).sample(jax.random.key(0), SHAPE).rotation)
    one = float(Affine(rotation=1.0).sample(jax.random.key(0), SHAPE).rotation)
    assert np.allclose(theta(jnp.array([0.0, 1.0, 20.0])), [0, one, 20 * one], atol=1e-6)


def test_transforms_may_be_stacked_and_mapped_over():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(Normalize(MEAN * i, MEAN) for i in range(3)))
    mapped = jax.vmap(lambda transform: transform.apply((), IMAGE))(stacked)
    assert np.allclose(mapped, [Normalize(MEAN * i, MEAN).apply((), IMAGE) for i in range(3)], atol=1e-5)


def test_a_brightness_range_may_be_differentiated():
    key = jax.random.key(0)
    drawn = Brightness((0.0, 1.0)).sample(key, SHAPE)  # the uniform number itself

    def total(bounds):
        transform = Brightness(bounds)
        return transform.apply(transform.sample(key, SHAPE), IMAGE).sum()

    assert np.allclose(
        jax.grad(total)(jnp.array([0.8, 1.2])), [(1 - drawn) * IMAGE.sum(), drawn * IMAGE.sum()], rtol=1e-5
    )


def test_a_mean_may_be_differentiated():
    gradient = jax.grad(lambda mean: Normalize(mean, 2.0).apply((), IMAGE).sum())(jnp.asarray(MEAN))
    assert np.allclose(gradient, -20 / 2)


def test_a_traced_range_passes_the_checks():
    bad = jax.jit(
        lambda r: Affine(rotation=r, zoom=(r, 2 * r), horizontal_flip=r).sample(jax.random.key(0), SHAPE).rotation
    )
    assert np.isfinite(bad(0.5))


# Frozen values.


def test_arrays_are_copied_when_the_transform_is_made():
    mean = MEAN.copy()
    transforms = Normalize(mean), Brightness(mean[1:]), Affine(zoom=mean[1:]), Setting([mean]), Rescale(mean)
    kept = [np.array(jax.tree.leaves(transform)[0]) for transform in transforms]
    mean[:] = 100
    for transform, value in zip(transforms, kept, strict=True):
        assert np.array_equal(jax.tree.leaves(transform)[0], value), transform


def test_kept_arrays_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        Normalize(MEAN).mean[0] = 5


def test_a_transform_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Affine(rotation=5).rotation = 10


def test_transforms_with_arrays_are_compared_by_value_and_can_be_hashed():
    assert Normalize(MEAN) == Normalize(MEAN.copy())
    assert Normalize(MEAN) != Normalize(2 * MEAN)
    assert Normalize(MEAN) != Normalize(MEAN.astype(np.float32))
    assert Normalize(MEAN) != Normalize(MEAN[:2])
    assert {Normalize(MEAN): 1, Chain(Normalize(MEAN)): 2}[Normalize(MEAN)] == 1
    assert Normalize(MEAN) != MEAN.tolist()


@pytest.mark.parametrize(
    "transform", [Affine(rotation=15, zoom=np.array(0.1)), Chain(Normalize(MEAN), Brightness(0.2))]
)
def test_transforms_survive_copying_and_pickling(transform):
    assert copy.deepcopy(transform) == transform
    assert pickle.loads(pickle.dumps(transform)) == transform


def test_replace_changes_one_field_and_checks_it():
    assert replace(Normalize(MEAN, 2.0), std=3.0) == Normalize(MEAN, 3.0)
    with pytest.raises(ValueError, match="std is 0"):
        replace(Normalize(MEAN, 2.0), std=0)


def test_the_repr_of_a_static_transform_makes_it_again():
    chain = Chain(
        Affine(rotation=15, shift=(0.1, 0.2), zoom=0.1, horizontal_flip=True), Brightness(0.1), Rescale(1 / 255)
    )
    assert eval(repr(chain)) == chain


@pytest.mark.slow
@pytest.mark.parametrize("option", ["rotation", "shift", "shear", "zoom"])
def test_the_strength_of_a_geometric_option_has_a_gradient(option):
    rows, cols = np.mgrid[0:16, 0:16].astype(np.float32)
    image = jnp.asarray((np.sin(rows / 3) + np.cos(cols / 2))[..., None])

    @jax.jit
    def brightness_of_a_corner(strength):
        aug = Affine(**{option: strength})
        return aug.apply(aug.sample(jax.random.key(3), image.shape), image)[:5, :5].sum()

    at, step = jnp.float32(0.2), np.float32(1e-3)
    slope = jax.grad(brightness_of_a_corner)(at)
    found = (brightness_of_a_corner(at + step) - brightness_of_a_corner(at - step)) / (2 * step)
    assert abs(float(slope)) > 1e-3
    np.testing.assert_allclose(slope, found, rtol=0.1, atol=1e-2)


def test_jax_arrays_are_copied_too():
    mean = jnp.ones(3)
    normalize = Normalize(mean)
    mean.delete()
    assert normalize.apply((), jnp.ones((1, 1, 3))).sum() == 0


def test_a_transform_in_use_cannot_be_changed():
    class Plain(Transform):
        def __init__(self, level):
            self.level = level
            self.level = level + 1  # not in use yet

        def apply(self, params, image):
            return image * 0 + self.level

    plain = Plain(1.0)
    jitted = jax.jit(lambda transform, image: transform.apply((), image))
    assert jitted(plain, jnp.ones((1, 1, 1))).item() == 2
    with pytest.raises(AttributeError, match="in use and cannot be changed; make another one with the level"):
        plain.level = 9.0
