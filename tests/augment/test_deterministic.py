"""What a transform becomes for evaluation: without its random steps, and of the same dtype."""

from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxiter
from jaxiter import Affine, Brightness, Cast, Chain, ChannelShift, Normalize, Rescale, Transform, deterministic

from .test_chain import BYTES, Ducks, Noise, run


def test_deterministic_drops_random_steps_and_keeps_the_rest():
    chain = Chain(Brightness(0.2), Rescale(1 / 255), Noise(1.0), Ducks(), Normalize(0.5), Cast("float16"))
    fixed = deterministic(chain)
    assert np.allclose(
        run(fixed, BYTES), run(Chain(Rescale(1 / 255), Normalize(0.5), Cast("float16")), BYTES), atol=1e-6
    )
    first, second = run(fixed, BYTES, seed=0), run(fixed, BYTES, seed=1)
    assert np.array_equal(first, second)


def test_deterministic_keeps_what_is_a_single_point():
    aug = Affine(zoom=(1.5, 1.5), rotation=10, shift=((0.1, 0.1), 0.2), horizontal_flip=1.0, vertical_flip=True)
    expected = Affine(zoom=(1.5, 1.5), shift=((0.1, 0.1), 0), horizontal_flip=1.0)
    assert np.array_equal(run(deterministic(aug), BYTES), run(expected, BYTES))
    assert np.array_equal(run(deterministic(ChannelShift((7, 7))), BYTES), BYTES + np.float32(7))
    assert np.array_equal(run(deterministic(Brightness((2, 2))), BYTES), BYTES * np.float32(2))


def test_a_flip_that_outlives_a_rotation_only_selects_pixels():
    fixed = deterministic(Affine(rotation=10, horizontal_flip=1.0))
    assert np.array_equal(run(fixed, BYTES), BYTES[:, ::-1].astype(np.float32))
    assert deterministic(fixed) == fixed


@dataclass(frozen=True, eq=False, kw_only=True)
class Transposed(Affine):
    """Another map than the options give, and a field of its own."""

    rows: float = 0.0

    def matrix(self, params, image_shape):
        swap_and_move = jnp.array([[0.0, 1, 0], [1, 0, self.rows], [0, 0, 1]])
        return super().matrix(params, image_shape) @ swap_and_move


class QuarterTurns(Affine):
    """Draws otherwise than the options say."""

    def sample(self, key, image_shape):
        return super().sample(key, image_shape)._replace(rotation=jax.random.choice(key, np.float32([1.57, 3.14])))


@pytest.mark.parametrize("option", [{}, {"horizontal_flip": 1.0}, {"rotation": 30}])
def test_a_subclass_with_another_map_keeps_it_in_evaluation(option):
    square = BYTES[:, :10]
    fixed = deterministic(Transposed(rows=1.0, keep_aspect=True, draws="own", **option))
    assert (type(fixed), fixed.rows, fixed.keep_aspect, fixed.draws) == (Transposed, 1.0, True, "own")
    flipped = square[:, ::-1] if "horizontal_flip" in option else square
    columns = np.minimum(np.arange(10) + 1, 9)
    np.testing.assert_allclose(run(fixed, square), flipped[:, columns].swapaxes(0, 1), atol=1e-3)


def test_a_subclass_that_draws_otherwise_keeps_its_class_in_evaluation():
    random = QuarterTurns(rotation=180, vertical_flip=1.0, keep_aspect=True, draws="own")
    fixed = deterministic(random)
    assert (type(fixed), fixed.keep_aspect, fixed.draws) == (QuarterTurns, True, "own")
    result = run(fixed, BYTES)
    assert result.dtype == run(random, BYTES).dtype == np.float32
    assert np.array_equal(result, BYTES[::-1])


def test_another_option_of_a_transform_for_evaluation_is_checked_and_kept():
    fixed = deterministic(Affine(rotation=10, horizontal_flip=1.0))
    assert replace(fixed, vertical_flip=1.0) == Affine(horizontal_flip=1.0, vertical_flip=1.0)
    assert fixed != Affine(horizontal_flip=1.0)  # which returns bytes


@pytest.mark.parametrize(
    "transform",
    [
        Affine(rotation=10),
        Affine(horizontal_flip=True),
        Affine(shift=0.2, whole_pixels=True),
        Affine(rotation=10, order=0),
        Affine(rotation=np.array(10.0)),
        Affine(rotation=10, horizontal_flip=1.0),
        ChannelShift(5),
        Brightness(0.2),
        Chain(),
        Chain(Affine(vertical_flip=True), Brightness(0.1)),
        Cast("int16"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_training_and_evaluation_see_one_dtype(transform, dtype):
    image = BYTES.astype(dtype)
    assert run(deterministic(transform), image).dtype == run(transform, image).dtype


@pytest.mark.parametrize("nothing", [Chain(), Noise(1.0), Ducks(), Chain(Noise(1.0), Chain(Ducks()))])
def test_what_is_random_and_nothing_else_leaves_the_image_as_it_is(nothing):
    image = BYTES.astype(np.float32)
    assert np.array_equal(run(deterministic(nothing), image), image)


def test_deterministic_is_idempotent():
    once = deterministic(Chain(Affine(zoom=(2, 2), rotation=5), Brightness(0.1), Rescale(2.0)))
    assert deterministic(once) == once


def test_deterministic_of_what_is_no_transform_is_refused():
    with pytest.raises(TypeError, match="3 is no transform"):
        deterministic(3)


# A random step of a user's that holds another transform on a way that is not short.

SCALED = Normalize(100.0, 50.0)


class Added(Transform):
    def sample(self, key, image_shape):
        return jax.random.normal(key)

    def apply(self, params, image):
        return self.start(image) + params

    def start(self, image):
        return image.astype(np.float32)


def helper(image):
    return SCALED.apply((), image)


class ByHelper(Added):
    def apply(self, params, image):
        return helper(image) + params


class ByMethod(Added):
    def start(self, image):
        return jax.vmap(lambda row: helper(row))(image)


class ByBase(ByHelper):
    def apply(self, params, image):
        return super().apply(params, image) * 2


class Made(Added):
    def start(self, image):
        return Normalize(100.0, 50.0).apply((), image)


class MadeByModule(Added):
    def start(self, image):
        return jaxiter.Normalize(100.0, 50.0).apply((), image)


class Imported(Added):
    def start(self, image):
        from jaxiter import Normalize as Scaled

        return Scaled(100.0, 50.0).apply((), image)


class ByObject(Added):
    def start(self, image):
        return Helper().run(image)


class Helper:
    def run(self, image):
        return helper(image)


class Given(Added):
    def __init__(self, function):
        object.__setattr__(self, "function", function)

    def start(self, image):
        return self.function(image)


class InDefault(Added):
    def apply(self, params, image, inner=SCALED):
        return inner.apply((), image) + params


def deep(value, levels):
    return value if levels == 0 else SimpleNamespace(inner=deep(value, levels - 1))


HOLDERS = {
    "a function that apply calls": ByHelper(),
    "a function in jax.vmap in a method": ByMethod(),
    "the apply of a base": ByBase(),
    "made": Made(),
    "made by a name of the module": MadeByModule(),
    "imported inside": Imported(),
    "a method of an object that is made": ByObject(),
    "a function in a field": Given(lambda image: SCALED.apply((), image)),
    "a compiled function in a field": Given(jax.jit(partial(helper))),
    "a callable object in a field": Given(Helper().run),
    "three objects deep": Given(deep(SCALED, 3)),
    "a set": Given({SCALED}),
    "a default": InDefault(),
}


@pytest.mark.parametrize("step", HOLDERS.values(), ids=HOLDERS)
def test_a_transform_that_a_random_step_reaches_is_not_dropped(step):
    with pytest.raises(TypeError, match=r"is random.*holds another transform.*Normalize.*Define without_randomness"):
        deterministic(Chain(step))


class Ordinary(Added):
    """Names its own class and bases, other functions, and an attribute that is a transform of the module elsewhere."""

    def sample(self, key, image_shape):
        return super().sample(key, image_shape) if isinstance(self, Transform) else Ordinary.sample(self, key, ())

    def start(self, image):
        return jaxiter.affine_warp(jnp.clip(image, 0, 1), jaxiter.zoom_matrix(2.0, 2.0)) + len(image.shape)

    def shown(self):
        return SCALED, deterministic

    @property
    def SCALED(self):
        return 3


@pytest.mark.parametrize(
    "step", [Added(), Ordinary(), Given(jnp.sqrt), Given(jax.jit(jax.nn.relu)), Given(deep(3, 30))]
)
def test_an_ordinary_random_step_holds_none(step):
    assert [type(left).__name__ for left in deterministic(Chain(step)).transforms] == ["LeftOut"]
