"""Chain: steps in turn, adjacent Affines as one resampling, and draws that no insertion moves."""

from dataclasses import dataclass

import chex
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
    Map,
    Normalize,
    Rescale,
    Transform,
    affine_warp,
    compose,
)

SHAPE = (10, 14, 3)
BYTES = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
TURN = Affine(rotation=30)


@dataclass(frozen=True, eq=False)
class Noise(Transform):
    """A user's random step, as the docstring of Transform shows it."""

    scale: float

    def sample(self, key, image_shape):
        return self.scale * jax.random.normal(key, image_shape)

    def apply(self, params, image):
        return image + params


@dataclass(frozen=True, eq=False)
class Invert(Transform):
    def apply(self, params, image):
        return 255 - image


class Ducks:
    """No Transform at all, only the two functions."""

    def sample(self, key, image_shape):
        return jax.random.uniform(key, (), minval=10.0, maxval=20.0)

    def apply(self, params, image):
        return image + params


def sample(transform, seed=0, shape=SHAPE):
    return transform.sample(jax.random.key(seed), shape)


def run(transform, image, seed=0):
    return transform.apply(sample(transform, seed, image.shape), image)


# Structure.


@pytest.mark.parametrize("empty", [Chain(), Chain(Chain(), Chain(Chain()))])
def test_an_empty_chain_is_the_identity(empty):
    assert sample(empty) == ()
    assert empty == Chain()
    result = run(empty, BYTES)
    assert result.dtype == np.uint8
    assert np.array_equal(result, BYTES)


def test_chains_flatten():
    a, b, c = Rescale(2.0), Brightness(0.1), Normalize(1.0)
    assert Chain(a, Chain(b, Chain(c))) == Chain(Chain(a, b), c) == Chain(a, b, c)
    assert Chain(a, Chain(b, c)).transforms == (a, b, c)


def test_steps_act_in_the_order_named():
    image = jnp.ones(SHAPE)
    assert (np.asarray(run(Chain(Rescale(2.0), Normalize(1.0)), image)) == 1).all()
    assert (np.asarray(run(Chain(Normalize(1.0), Rescale(2.0)), image)) == 0).all()


def test_a_chain_is_its_steps_one_by_one():
    chain = Chain(Brightness(0.5), TURN, ChannelShift(10), Cast("uint8"))
    params = sample(chain)
    image = BYTES
    for step, drawn in zip(chain.transforms, params, strict=True):
        image = step.apply(drawn, jnp.asarray(image))
    found = np.asarray(chain.apply(params, BYTES)).astype(int)
    assert np.abs(found - np.asarray(image)).max() <= 1


def test_only_the_cast_at_the_end_rounds():
    chain = Chain(Rescale(0.1), Rescale(10.0), Cast("uint8"))
    assert np.array_equal(run(chain, BYTES), BYTES)


# Fusing.


def test_adjacent_affines_are_one_resampling_along_the_product_of_their_matrices():
    steps = Affine(rotation=40, fill_mode="reflect"), Affine(zoom=0.4, shift=0.2, fill_mode="reflect")
    chain = Chain(*steps)
    params = sample(chain)
    matrix = compose(*(step.matrix(drawn, SHAPE) for step, drawn in zip(steps, params, strict=True)))
    expected = affine_warp(BYTES.astype(np.float32), matrix, fill_mode="reflect")
    assert np.allclose(chain.apply(params, BYTES), expected, atol=1e-3)
    assert np.allclose(chain.matrix(params, SHAPE), matrix, atol=1e-6)
    second = steps[1].apply(params[1], steps[0].apply(params[0], BYTES))
    assert np.abs(np.asarray(second) - expected).max() > 10  # two resamplings blur


def test_turning_and_turning_back_is_the_identity_where_fused():
    there, back = Affine(rotation=(33, 33)), Affine(rotation=(-33, -33))
    assert np.allclose(run(Chain(there, back), BYTES), BYTES, atol=0.01)
    apart = run(Chain(there, Rescale(1.0), back), BYTES)
    assert np.abs(np.asarray(apart) - BYTES).max() > 10


@pytest.mark.parametrize("other", [{"fill_mode": "wrap"}, {"cval": 1.0}, {"order": 0}])
def test_affines_of_other_sampling_do_not_fuse(other):
    there, back = Affine(rotation=(33, 33)), Affine(rotation=(-33, -33), **other)
    chain = Chain(there, back)
    params = sample(chain)
    expected = back.apply(params[1], there.apply(params[0], BYTES))
    assert np.allclose(chain.apply(params, BYTES), expected, atol=1e-3)
    assert np.abs(np.asarray(expected) - BYTES).max() > 10


def test_flips_fused_with_whole_pixel_shifts_still_keep_bytes():
    chain = Chain(Affine(horizontal_flip=1.0), Affine(shift=((0.2, 0.2), 0), whole_pixels=True))
    result = run(chain, BYTES)
    assert result.dtype == np.uint8
    assert np.array_equal(result[2:], BYTES[:-2, ::-1])


def test_affines_that_are_off_drop_out_of_the_fusion():
    chain = Chain(Affine(fill_mode="nearest"), Affine(horizontal_flip=1.0))
    assert np.array_equal(run(chain, BYTES), BYTES[:, ::-1])


# Draws.


def test_inserting_another_kind_moves_no_draw():
    alone = sample(Chain(TURN, ChannelShift(5)))
    for chain, places in [
        (Chain(Brightness(0.2), TURN, ChannelShift(5)), (1, 2)),
        (Chain(TURN, Noise(1.0), Rescale(2.0), ChannelShift(5)), (0, 3)),
        (Chain(ChannelShift(5), TURN), (1, 0)),
    ]:
        drawn = sample(chain)
        chex.assert_trees_all_equal(alone, tuple(drawn[place] for place in places), strict=True)


def test_two_of_a_kind_draw_apart_and_the_first_as_if_alone():
    first, second = sample(Chain(TURN, TURN))
    assert float(first.rotation) != float(second.rotation)
    chex.assert_trees_all_equal((first,), sample(Chain(TURN)), strict=True)
    thetas = jax.vmap(lambda key: Chain(TURN, TURN).sample(key, SHAPE))(jax.random.split(jax.random.key(0), 2000))
    assert abs(np.corrcoef(thetas[0].rotation, thetas[1].rotation)[0, 1]) < 5 / np.sqrt(2000)


def test_kinds_of_the_same_block_length_draw_apart():
    shift, bright = sample(Chain(ChannelShift((0, 1)), Brightness((0, 1))))
    assert float(shift) != float(bright)


def test_steps_of_one_stream_draw_alike_wherever_they_stand():
    named = Affine(rotation=30, draws="pose")
    drawn = sample(Chain(TURN, named, Brightness(0.1), named))
    chex.assert_trees_all_equal(drawn[1], drawn[3], strict=True)
    chex.assert_trees_all_equal((drawn[1],), sample(Chain(named)), strict=True)
    assert float(drawn[0].rotation) != float(drawn[1].rotation)
    other = sample(Chain(Affine(rotation=30, draws="other")))[0]
    assert float(other.rotation) != float(drawn[1].rotation)


def test_a_stream_is_not_the_kind_of_the_same_name():
    assert float(sample(Chain(Affine(rotation=30, draws="Affine")))[0].rotation) != float(
        sample(Chain(TURN))[0].rotation
    )


def test_a_chain_accepts_both_spellings_of_a_key():
    legacy = Chain(TURN).sample(jax.random.PRNGKey(0), SHAPE)
    chex.assert_trees_all_equal(legacy, sample(Chain(TURN)), strict=True)


ONE_PASS = {
    "empty": Chain(),
    "fused": Chain(TURN, Affine(zoom=0.2), Brightness(0.2), Affine(shift=0.1, fill_mode="wrap"), Cast("uint8")),
    "shapes": Chain(
        Map(lambda image: image[:4]), Affine(shift=0.3, whole_pixels=True), Map(jnp.transpose), Brightness(0.1)
    ),
    "own steps": Chain(Cast("float32"), Ducks(), Map(lambda image: image[:5, ::2]), Noise(3.0)),
}


@pytest.mark.parametrize("name", ONE_PASS)
def test_sampling_and_applying_in_one_pass_is_sampling_and_then_applying(name):
    chain, key = ONE_PASS[name], jax.random.key(6)
    found, expected = chain.sample_and_apply(key, BYTES), chain.apply(chain.sample(key, SHAPE), BYTES)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    params, matrix, after = chain.trace(key, BYTES)
    chex.assert_trees_all_equal(tuple(params), chain.sample(key, SHAPE), strict=True)
    np.testing.assert_array_equal(matrix, chain.matrix(tuple(params), SHAPE))
    np.testing.assert_array_equal(after, expected)


# Steps of the user's own.


@pytest.mark.parametrize("own", [Noise(2.0), Ducks()])
def test_a_users_random_step_works_under_jit_and_vmap(own):
    chain = Chain(Affine(horizontal_flip=1.0), Cast("float32"), own)
    keys = jax.random.split(jax.random.key(0), 3)
    images = np.stack([BYTES] * 3)
    batch = jax.jit(jax.vmap(lambda key, image: chain.apply(chain.sample(key, SHAPE), image)))(keys, images)
    for key, result in zip(keys, batch, strict=True):
        expected = chain.apply(chain.sample(key, SHAPE), BYTES)
        assert np.allclose(result, expected, atol=1e-4)
        difference = np.asarray(result) - BYTES[:, ::-1]
        assert 0 < np.abs(difference).max() < 25
    assert not np.allclose(batch[0], batch[1])


def test_a_users_step_without_draws_needs_apply_only():
    chain = Chain(Invert(), Cast("uint8"))
    assert sample(chain) == ((), ())
    assert np.array_equal(run(chain, BYTES), 255 - BYTES)


def test_a_step_that_changes_the_shape_is_seen_by_the_steps_after_it():
    crop = Map(lambda image: image[:4, :6])
    chain = Chain(crop, Affine(shift=((0.5, 0.5), (0.5, 0.5))), Noise(1.0))
    _, affine, noise = sample(chain)
    assert affine.shift.tolist() == [2.0, 3.0]
    assert noise.shape == (4, 6, 3)
    assert run(chain, BYTES).shape == (4, 6, 3)


@dataclass(frozen=True, eq=False)
class Crop(Brightness):
    """Inherits from a transform that keeps the shape, and does not."""

    def apply(self, params, image):
        return super().apply(params, image)[:4, :6]


def test_a_subclass_of_a_built_in_step_may_change_the_shape():
    _, affine = sample(Chain(Crop(0.1), Affine(shift=((0.5, 0.5), (0.5, 0.5)))))
    assert affine.shift.tolist() == [2.0, 3.0]


class Down(Transform):
    """A user's step whose geometry is known."""

    def apply(self, params, image):
        return jnp.roll(image, 2, axis=0)

    def matrix(self, params, image_shape):
        return jnp.array([[1.0, 0, -2], [0, 1, 0], [0, 0, 1]])


def test_the_matrix_of_a_users_step_is_part_of_the_chains():
    chain = Chain(Affine(horizontal_flip=1.0), Down(), Affine(shift=((0, 0), (0.5, 0.5))))
    params, matrix, _ = chain.trace(jax.random.key(0), BYTES)
    down, right = np.eye(3), np.eye(3)
    down[0, 2], right[1, 2] = -2, -7
    expected = np.diag([1.0, -1, 1]) + 13 * np.outer([0, 1, 0], [0, 0, 1])  # a flip about the centre of 14 columns
    np.testing.assert_allclose(matrix, expected @ down @ right, atol=1e-5)
    np.testing.assert_array_equal(chain.matrix(params, SHAPE), matrix)


def test_what_is_no_transform_is_refused_with_a_remedy():
    with pytest.raises(TypeError, match=r"is no transform; expected sample.*wrap a function in Map\(function\)"):
        Chain(TURN, np.sqrt)
    with pytest.raises(TypeError, match=r"3 is no transform; .* see jaxiter.Transform"):
        Chain(3)
    with pytest.raises(TypeError, match="is no transform"):
        Chain(Affine)


def test_a_chain_cannot_be_changed():
    with pytest.raises(AttributeError, match="A Chain cannot be changed"):
        Chain(TURN).transforms = ()
