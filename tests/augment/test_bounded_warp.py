"""Where bounds on the matrix are known a faster program warps: it must not show in the pixels."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Cast, Chain, ChannelShift, Loader, Normalize, Rescale, rotation_matrix
from jaxiter.augment._warp import _affine_warp
from jaxiter.augment._warp._affine_warp import resample_on_host
from jaxiter.loader._program import resident_batch
from jaxiter.loader.internal import spec_of

from ..data import compilations, each_once, first

FILL_MODES = ("nearest", "constant", "reflect", "mirror", "wrap", "grid-wrap")
# Weights of bytes have 16 bits: where two coordinates differ by a rounding, one unit along either axis.
TOLERANCE = {"uint8": 2 * 2.0**-16 * 255 + 1e-4, "float32": 1e-5 * 255}
CONFIGS = {
    "full": Affine(rotation=15, shift=0.1, shear=10, zoom=0.1, horizontal_flip=True),
    "far": Affine(rotation=180, shift=1.0, shear=60, zoom=(0.3, 3.0), horizontal_flip=True, vertical_flip=True),
    "axis-aligned": Affine(shift=0.3, zoom=0.4, horizontal_flip=True, vertical_flip=True),
    "whole": Affine(shift=0.9, whole_pixels=True, horizontal_flip=True, vertical_flip=True),
}
SHAPES = [(8, 8, 3), (7, 12, 1), (11, 5, 4), (1, 6, 2), (6, 1, 1), (70, 66, 3)]


def bounded_and_general(key, affine, shape, dtype=np.uint8, count=12):
    """Drawn and applied in one pass, with bounds; and along the same matrices in NumPy, without."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(dtype)
    keys, chain = jax.random.split(key, count), Chain(affine)

    @jax.jit
    @jax.vmap
    def drawn(key, image):
        return chain.sample_and_apply(key, image), affine.matrix(chain.sample(key, shape)[0], shape)

    bounded, matrices = drawn(keys, images)
    order = 0 if affine.whole_pixels else affine.order
    sampling = {"fill_mode": affine.fill_mode, "cval": affine.cval, "order": order}
    general = [resample_on_host(*pair, **sampling) for pair in zip(images, np.asarray(matrices), strict=True)]
    return np.asarray(bounded, np.float64), np.asarray(general, np.float64)


@pytest.mark.parametrize(*each_once(name=CONFIGS, fill_mode=FILL_MODES, shape=SHAPES))
def test_the_bounded_warp_gives_the_pixels_of_the_general_one(key, name, fill_mode, shape):
    bounded, general = bounded_and_general(key, replace(CONFIGS[name], fill_mode=fill_mode, cval=7.0), shape)
    np.testing.assert_allclose(bounded, general, rtol=0, atol=TOLERANCE["uint8"])


SHIFTS = {
    "shift": Affine(shift=0.3, horizontal_flip=True, vertical_flip=True),
    "whole": Affine(shift=0.3, whole_pixels=True, horizontal_flip=True, vertical_flip=True),
    "order 0": Affine(shift=0.3, order=0, horizontal_flip=True),
    "flips": Affine(horizontal_flip=True, vertical_flip=True),
    # Single points reach the end of the padding, to either side.
    "left": Affine(shift=((0.1, 0.1), (-0.4, -0.4)), horizontal_flip=True),
    "right": Affine(shift=((-0.1, -0.1), (0.4, 0.4)), horizontal_flip=True),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    *each_once(name=SHIFTS, fill_mode=FILL_MODES, dtype=["uint8", "float32"], shape=[(9, 35, 3), (40, 70, 1)])
)
def test_rows_read_as_stretches_are_those_read_pixel_by_pixel(key, name, fill_mode, dtype, shape):
    transform = replace(SHIFTS[name], fill_mode=fill_mode, cval=7.0)
    bounded, general = bounded_and_general(key, transform, shape, dtype)
    np.testing.assert_allclose(bounded, general, rtol=0, atol=TOLERANCE[str(np.dtype(dtype))])


def test_two_shifts_in_a_row_reach_as_far_as_both(key):
    twice = Chain(Affine(shift=((0, 0), (0.2, 0.2))), Affine(shift=((0, 0), (0.25, 0.25)), horizontal_flip=True))
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 40, 3), np.uint8)
    keys = jax.random.split(key, 12)
    bounded = jax.jit(jax.vmap(twice.sample_and_apply))(keys, images)
    general = jax.jit(jax.vmap(lambda key, image: twice.apply(twice.sample(key, image.shape), image)))(keys, images)
    np.testing.assert_allclose(bounded, general, rtol=0, atol=TOLERANCE["uint8"])


def test_gradients_go_through_stretches(key):
    chain = Chain(Affine(shift=0.2, horizontal_flip=True, fill_mode="reflect"))
    image = np.random.default_rng(0).random((6, 30, 3), np.float32)

    @jax.jit
    @jax.grad
    def gradients(images):
        bounded = chain.sample_and_apply(key, images[0])
        general = chain.apply(chain.sample(key, image.shape), images[1])
        return (bounded**2).sum() + (general**2).sum()

    np.testing.assert_allclose(*gradients([image, image]), atol=1e-5)


@pytest.mark.parametrize("fill_mode", first(2, ["reflect", "constant", "nearest", "wrap"]))
def test_at_order_0_the_same_pixels_are_taken_but_for_ties(key, fill_mode):
    bounded, general = bounded_and_general(key, replace(CONFIGS["far"], fill_mode=fill_mode, order=0), (30, 21, 3))
    assert (bounded != general).mean() < 1e-3


def test_params_of_ones_own_may_lie_beyond_the_ranges(key):
    """The bounds of these ranges have no room for such a shift: within them the picture would be another one."""
    affine = Affine(rotation=1.0, shift=1.0, fill_mode="reflect")
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 1), np.uint8)
    params = affine.sample(key, image.shape)
    params = params._replace(rotation=np.float32(0), shift=np.float32([180, 0]))  # ten periods of 18 rows
    np.testing.assert_allclose(affine.apply(params, image), image, atol=1e-3)
    np.testing.assert_allclose(Chain(affine).apply((params,), image), image, atol=1e-3)


class Far(Affine):
    def sample(self, key, image_shape):
        return super().sample(key, image_shape)._replace(shift=np.float32([40.3, 90.6]))


class Turned(Affine):
    def matrix(self, params, image_shape):
        return rotation_matrix(np.pi / 4)


@pytest.mark.parametrize("transform", [Far(rotation=1.0, shift=0.01), Far(shift=0.1, whole_pixels=True), Turned()])
@pytest.mark.parametrize("fill_mode", first(1, ["wrap", "nearest", "constant", "reflect", "mirror", "grid-wrap"]))
def test_a_subclass_that_draws_otherwise_is_not_bounded_by_its_ranges(key, transform, fill_mode):
    bounded, general = bounded_and_general(key, replace(transform, fill_mode=fill_mode), (6, 7, 3))
    np.testing.assert_allclose(bounded, general, rtol=0, atol=TOLERANCE["uint8"])


def test_the_way_is_chosen_by_the_config(key, monkeypatch):
    taken = []
    for name in ("whole_coordinates", "bounded_coordinates", "shift_rows", "source_coordinates"):
        function = getattr(_affine_warp, name)
        monkeypatch.setattr(_affine_warp, name, lambda *a, n=name, f=function, **k: taken.append(n) or f(*a, **k))
    expected = {
        CONFIGS["whole"]: ["whole_coordinates"],
        Affine(shift=np.float32(0.9), whole_pixels=True): ["whole_coordinates"],  # whatever range it becomes
        # On CPU the first; the other stands for the other devices.
        Affine(horizontal_flip=True): ["shift_rows", "whole_coordinates"],
        Affine(shift=0.2): ["shift_rows", "bounded_coordinates"],
        Affine(shift=0.2, fill_mode="wrap"): ["bounded_coordinates"],
        Affine(shift=0.9): ["bounded_coordinates"],  # rows would be lengthened to three times their length
        CONFIGS["axis-aligned"]: ["bounded_coordinates"],
        CONFIGS["full"]: ["bounded_coordinates"],
        Affine(rotation=15, order=0): ["bounded_coordinates"],
        Affine(rotation=15, order=3): ["source_coordinates"],
        Affine(rotation=np.float32([1, 15])): ["source_coordinates"],  # traced: it may become any range
    }
    for place, affine in enumerate(expected):
        image = np.zeros((6, 32 + place, 3), np.uint8)  # a shape that no other test compiled for
        jax.eval_shape(Chain(affine).sample_and_apply, key, image)
        assert list(dict.fromkeys(taken)) == expected[affine], affine
        taken.clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", first(2, ["shift", "whole", "flips", "order 0"]))
def test_calls_without_jit_compile_once(key, name):
    chain, image = Chain(SHIFTS[name]), np.zeros((6, 40, 3), np.float32)
    mapped = jax.vmap(chain.sample_and_apply)
    keys, images = jax.random.split(key, 3), np.zeros((3, 6, 40, 3), np.float32)
    others = list(keys)  # a program of its own
    for _ in range(2):
        jax.block_until_ready((chain.sample_and_apply(key, image), mapped(keys, images)))
    with compilations() as compiled:
        for other in others:
            jax.block_until_ready((chain.sample_and_apply(other, image), mapped(keys, images)))
    assert not compiled


STEPS = ChannelShift(20.0), Brightness(0.2), Rescale(1 / 255), Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
GATHERS = {
    "nothing": (Rescale(1 / 255), 1),  # the rows of the batch
    "flips": (SHIFTS["flips"], 2),  # and one pixel for each
    "whole": (CONFIGS["whole"], 2),
    "axis-aligned": (CONFIGS["axis-aligned"], 5),  # and four
    "shift": (Affine(shift=0.2, horizontal_flip=True), 5),  # and four stretches for each row
    "full": (Chain(CONFIGS["full"], Rescale(1 / 255)), 5),
    "order 0": (Affine(rotation=15, order=0), 2),
    **{f"all, {dtype}": (Chain(CONFIGS["full"], *STEPS, Cast(dtype)), 5) for dtype in ("float32", "bfloat16", "uint8")},
    "all, float16": (Chain(CONFIGS["full"], *STEPS, Cast("float16")), 5),
}
TYPICAL = {"nothing", "flips", "shift", "order 0", "all, float32"}
SIZE, BATCH, SHAPE = 1009, 4, (9, 8, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", first(5, sorted(GATHERS, key=lambda name: name not in TYPICAL)))
def test_a_batch_is_one_pass_over_bytes(key, name):
    """No array of the data's size but the data, one of the batch's in floats, and no more gathers than needed."""
    augment, num_gathers = GATHERS[name]
    loader = Loader(np.zeros((SIZE, *SHAPE), np.uint8), batch_size=BATCH, augment=augment).to_device()
    spec, place = spec_of(loader), np.zeros(3, np.uint32)
    lowered = resident_batch.lower(spec.program, spec.leaves, spec.chain_leaves, spec.visited, key, place)
    text = lowered.compile().as_text()
    gathers = [line for line in text.splitlines() if " gather(" in line]
    assert len(gathers) == num_gathers
    assert all("= u8[" in line for line in gathers), gathers
    made = list(stored_arrays(text))
    assert [entry for entry in made if entry[1][:1] == (SIZE,) or np.prod(entry[1]) >= SIZE * np.prod(SHAPE)] == []
    floats = [entry for entry in made if entry[0] != "u8" and np.prod(entry[1]) == BATCH * np.prod(SHAPE)]
    assert len(floats) <= 1, floats


def stored_arrays(text):
    """(dtype, shape, operation) of every array that a compiled program computes and keeps, outside of its fusions.

    Left out: what only names memory, and the zeros of a conditional's branch that never runs.
    """
    names = {"parameter", "bitcast", "tuple", "get-tuple-element", "conditional", "constant", "broadcast"}
    fused = False
    for line in text.splitlines():
        if line.endswith("{"):
            # Whole computations inside a fusion or wrapped around one instruction keep nothing by themselves.
            fused = line.lstrip("%").startswith(("fused", "wrapped", "parallel_fused"))
        found = re.match(r"\s+(?:ROOT )?%?\S+ = (\w+)\[([\d,]*)\]\S* ([\w-]+)\(", line)
        if found and not fused and found[3] not in names and "calls=%wrapped_broadcast" not in line:
            yield found[1], tuple(int(side) for side in found[2].split(",") if side), found[3]


def test_what_a_program_stores_is_found(key):
    """The test above would see a copy of the data, and a picture in floats before the last."""
    data = np.zeros((SIZE, *SHAPE), np.uint8)

    @jax.jit
    def copied(data, row):
        changed = data ^ np.uint8(1)
        floats = jax.lax.dynamic_slice_in_dim(changed, row, BATCH).astype(np.float32)
        return changed, floats, floats * 2

    made = list(stored_arrays(copied.lower(data, 0).compile().as_text()))
    assert any(shape == (SIZE, *SHAPE) for _, shape, _ in made)
    assert sum(np.prod(shape) == BATCH * np.prod(SHAPE) for dtype, shape, _ in made if dtype == "f32") >= 2
