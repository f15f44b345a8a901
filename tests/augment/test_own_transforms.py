"""Transforms that users write: known and unknown geometry, evaluation, errors."""

import re
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    Brightness,
    Cast,
    Chain,
    ChannelShift,
    Loader,
    Map,
    Normalize,
    Rescale,
    SamplewiseNormalize,
    Transform,
    Whiten,
    deterministic,
    explain,
)

SHAPE = (4, 6, 1)
BYTES = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
KEY = jax.random.key(0)
DOWN = Affine(shift=((0.5, 0.5), 0), whole_pixels=True)


@dataclass(frozen=True, eq=False)
class Wrapper(Transform):
    inner: Transform

    def sample(self, key, image_shape):
        return self.inner.sample(key, image_shape)

    def apply(self, params, image):
        return self.inner.apply(params, image)


class KnownWrapper(Wrapper):
    def matrix(self, params, image_shape):
        return self.inner.matrix(params, image_shape)

    def without_randomness(self):
        return replace(self, inner=deterministic(self.inner))


class Flip:
    """No Transform; also what a mixin would bring."""

    def sample(self, key, image_shape):
        return jax.random.bernoulli(key)

    def apply(self, params, image):
        return image[:, ::-1]


class FlipWithMatrix(Flip):
    def matrix(self, params, image_shape):
        return jnp.array([[1.0, 0, 0], [0, -1, image_shape[1] - 1], [0, 0, 1]])


class FlippedRescale(Rescale):
    def apply(self, params, image):
        return super().apply(params, image)[:, ::-1]


class MixedRescale(Flip, Rescale):
    pass


class NamedRescale(Rescale):
    pass


class FlippedAffine(Affine):
    def apply(self, params, image):
        return super().apply(params, image)[:, ::-1]


class DarkAffine(Affine):
    def apply(self, params, image):
        return super().apply(params, image) // 2

    def matrix(self, params, image_shape):
        return super().matrix(params, image_shape)


class FlippedChain(Chain):
    def apply(self, params, image):
        return super().apply(params, image)[:, ::-1]


@dataclass(frozen=True, eq=False)
class Noise(Transform):
    def sample(self, key, image_shape):
        return jax.random.normal(key, image_shape)

    def apply(self, params, image):
        return image.astype(np.float32) + params


class QuietNoise(Noise):
    moves_pixels = False


def flip(image):
    return image[:, ::-1]


def chain_matrix(*steps):
    """By both ways to it."""
    chain = Chain(*steps)

    @jax.jit
    def both():
        params, traced, _ = chain.trace(KEY, BYTES)
        return traced, chain.matrix(params, SHAPE)

    traced, found = both()
    if found is None:
        assert traced is None
    else:
        np.testing.assert_array_equal(traced, found)
    return found


UNKNOWN = [
    Wrapper(DOWN),
    Flip(),
    Noise(),
    Map(flip),
    FlippedRescale(1.0),
    MixedRescale(1.0),
    FlippedAffine(),
    FlippedChain(Rescale(1.0)),
    KnownWrapper(Chain(Map(flip))),
]


@pytest.mark.parametrize("step", UNKNOWN, ids=lambda step: type(step).__name__)
def test_no_matrix_is_given_where_the_geometry_of_a_step_is_not_known(step):
    assert chain_matrix(step) is None
    assert chain_matrix(DOWN, step, Rescale(0.5)) is None


@pytest.mark.parametrize(
    "step",
    [
        Brightness(0.2),
        ChannelShift(3),
        Rescale(0.5),
        NamedRescale(0.5),
        Normalize(0.5),
        SamplewiseNormalize(),
        Whiten(np.eye(24)),
        Cast("int16"),
        QuietNoise(),
        deterministic(Noise()),
        deterministic(Brightness(0.2)),
    ],
    ids=lambda step: type(step).__name__,
)
def test_steps_that_move_no_pixel_leave_the_matrix_of_the_others(step):
    np.testing.assert_array_equal(chain_matrix(step, DOWN), [[1, 0, -2], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("step", [KnownWrapper(DOWN), DarkAffine(shift=((0.5, 0.5), 0), order=0)])
def test_a_step_that_knows_its_matrix_is_asked(step):
    np.testing.assert_array_equal(chain_matrix(step), [[1, 0, -2], [0, 1, 0], [0, 0, 1]])


def test_an_object_with_a_matrix_is_asked_too():
    np.testing.assert_array_equal(chain_matrix(FlipWithMatrix()), [[1, 0, 0], [0, -1, 5], [0, 0, 1]])


def test_a_matrix_of_another_shape_is_refused_and_named():
    class Flat(Noise):
        def matrix(self, params, image_shape):
            return np.eye(2)

    with pytest.raises(ValueError, match=r"Flat.matrix returns has shape \(2, 2\); expected \(3, 3\)"):
        Chain(Flat()).matrix((0,), SHAPE)
    with pytest.raises(ValueError, match="params has 1 entries; expected 2"):
        Chain(DOWN, DOWN).matrix((0,), SHAPE)


def test_explain_gives_no_matrix_for_a_bare_transform_and_none_at_its_leaf_of_a_tree():
    images = np.stack([BYTES] * 2)
    assert explain(Loader(images, batch_size=2, augment=Wrapper(DOWN)), KEY, 0, 0).matrix is None
    data, augment = {"image": images, "mask": images}, {"image": Wrapper(DOWN), "mask": DOWN}
    shown = explain(Loader(data, batch_size=2, augment=augment), KEY, 0, 0)
    assert shown.matrix["image"] is None
    np.testing.assert_array_equal(shown.matrix["mask"], [[1, 0, -2], [0, 1, 0], [0, 0, 1]])


def test_a_subclass_of_chain_stays_itself_in_a_loader():
    step = FlippedChain(DOWN, Rescale(0.5))
    loader = Loader(np.stack([BYTES] * 2), batch_size=2, augment=step)
    assert loader.augment == step
    shown = explain(loader, KEY, 0, 0)
    np.testing.assert_array_equal(step.apply(shown.params, shown.before), shown.after)


@pytest.mark.parametrize("step", [FlippedAffine(), FlippedChain(Affine()), MixedRescale(1.0)])
def test_an_overridden_apply_acts_inside_a_chain(step):
    chain = Chain(Affine(horizontal_flip=1.0), step)
    np.testing.assert_array_equal(chain.sample_and_apply(KEY, BYTES), BYTES)
    np.testing.assert_array_equal(chain.apply(chain.sample(KEY, SHAPE), BYTES), BYTES)


def test_a_mixin_that_changes_the_shape_is_seen_by_the_steps_after_it():
    class Crop:
        def apply(self, params, image):
            return image[:2]

    class CroppedRescale(Crop, Rescale):
        pass

    _, affine = Chain(CroppedRescale(1.0), DOWN).sample(KEY, SHAPE)
    assert affine.shift.tolist() == [1.0, 0.0]


# Evaluation.

SHARED = Affine(rotation=10)


class Holder:
    """A wrapper of another make each: in a list, in a slot, in the class, in a closure, as a bound method."""

    def sample(self, key, image_shape):
        return jax.random.bernoulli(key)

    def apply(self, params, image):
        return image[:2]


class InSlot(Holder):
    __slots__ = ("inner",)

    def __init__(self):
        self.inner = SHARED


class InClass(Holder):
    inner = Affine(rotation=10)


class InList(Holder):
    def __init__(self):
        self.steps = {"all": [None, Flip()]}


class Bound(Holder):
    def __init__(self):
        self.function = DOWN.apply


class InPartial(Holder):
    def __init__(self):
        self.function = partial(DOWN.apply)


class Deeper(Holder):
    def __init__(self):
        self.helper = Helper()


class Helper:
    def __init__(self):
        self.inner = SHARED


class Global(Holder):
    def sample(self, key, image_shape):
        return SHARED.sample(key, image_shape)


class Sampled(FlippedChain):
    def sample(self, key, image_shape):
        return super().sample(key, image_shape)


@pytest.mark.parametrize(
    "step",
    [Wrapper(DOWN), InSlot(), InClass(), InList(), Bound(), InPartial(), Deeper(), Global(), Sampled(DOWN)],
    ids=lambda step: type(step).__name__,
)
def test_a_random_step_that_holds_others_is_not_dropped_from_evaluation(step):
    for given in (step, Chain(Rescale(0.5), step), {"image": step, "label": None}):
        with pytest.raises(TypeError, match=rf"{type(step).__name__} is random.*holds another.*without_randomness"):
            deterministic(given)


def test_a_wrapper_that_says_what_is_left_of_it_is_asked():
    fixed = deterministic(Chain(KnownWrapper(Affine(rotation=10, vertical_flip=1.0))))
    expected = BYTES[::-1].astype(np.float32)
    np.testing.assert_array_equal(fixed.sample_and_apply(KEY, BYTES), expected)

    class Duck(Flip):
        def without_randomness(self):
            return Map(flip)

    np.testing.assert_array_equal(deterministic(Duck()).apply((), BYTES), BYTES[:, ::-1])


@dataclass(frozen=True, eq=False)
class Crop(Brightness):
    def apply(self, params, image):
        return super().apply(params, image)[:2]


class DuckCrop(Flip):
    def apply(self, params, image):
        return image[:2]


@pytest.mark.parametrize("step", [Crop(0.2), DuckCrop()])
def test_leaving_out_a_step_that_changes_the_shape_is_refused_where_the_image_is_known(step):
    with pytest.raises(ValueError, match=r"makes \(2, 6, 1\) of .* \(4, 6, 1\), .*Define without_randomness"):
        Chain(deterministic(step)).sample_and_apply(KEY, BYTES)


@pytest.mark.parametrize("step", [Noise(), Chain(Noise(), Cast("int16")), QuietNoise(), Chain(Flip(), DarkAffine())])
def test_evaluation_sees_the_dtype_and_shape_of_training_behind_a_users_step(step):
    training, evaluation = (jax.eval_shape(Chain(t).sample_and_apply, KEY, BYTES) for t in (step, deterministic(step)))
    assert (evaluation.shape, evaluation.dtype) == (training.shape, training.dtype)
    evaluated = jax.jit(Chain(deterministic(step)).sample_and_apply)
    np.testing.assert_array_equal(*(evaluated(key, BYTES) for key in jax.random.split(KEY)))


def test_a_step_whose_sample_draws_nothing_is_not_random():
    class Scaled(Flip):
        def sample(self, key, image_shape):
            return np.float32(image_shape[0])

        def apply(self, params, image):
            return image[:2].astype(np.float32) * params

    np.testing.assert_array_equal(deterministic(Scaled()).apply((), BYTES), BYTES[:2] * np.float32(4))


# Errors.


def test_an_error_names_the_step_and_the_leaf():
    images = np.stack([BYTES] * 2)
    augment = {"image": Chain(DOWN, Rescale(0.5), Map(lambda image: image @ jnp.zeros((5, 5)))), "label": None}
    loader = Loader({"image": images, "label": np.arange(2)}, batch_size=2, augment=augment)
    for looked_at in (lambda: loader.batch(KEY, 0, 0), lambda: explain(loader, KEY, 0, 1), loader.memory):
        with pytest.raises(TypeError) as caught:
            looked_at()
        (note,) = (note for note in caught.value.__notes__ if "Raised by" in note)
        assert note == (
            "Raised by step 2 of the transforms of data['image'], counted from 0: Map, given an image of "
            "float32[4, 6, 1]."
        )


def test_an_error_of_sample_names_the_step_too():
    class Own(Flip):
        def sample(self, key, image_shape):
            return 1 // 0

    with pytest.raises(ZeroDivisionError) as caught:
        Chain(Rescale(1.0), Own()).sample(KEY, SHAPE)
    (note,) = caught.value.__notes__
    assert re.fullmatch(r"Raised by step 1 of a Chain, .*Own, given an image of shape \(4, 6, 1\)\.", note)


@dataclass(frozen=True, eq=False)
class Filled(Transform):
    options: dict

    def apply(self, params, image):
        return image * 0 + self.options["value"]


def test_a_dict_that_is_changed_later_changes_no_transform_that_was_made_of_it():
    options, images = {}, np.ones((2, 3, 3, 1), np.float32)
    for value in (1, 2, 3):
        options["value"] = value
        batch = Loader(images, batch_size=2, augment=Filled(options)).batch(jax.random.key(0), 0, 0)
        assert np.unique(batch).tolist() == [value]


@dataclass(frozen=True, eq=False)
class Gentle(Affine):
    def __init__(self, strength):
        super().__init__(rotation=strength, zoom=(1.5, 1.5))


def test_a_subclass_with_an_init_of_its_own_has_an_evaluation():
    evaluated = deterministic(Gentle(7.0))
    assert (evaluated.rotation, evaluated.zoom) == ((0.0, 0.0), (1.5, 1.5))
    assert Gentle(7.0).rotation == (-7.0, 7.0)
