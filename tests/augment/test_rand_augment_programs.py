"""RandAugment and TrivialAugment in batches, scans, views, choices and maps; what they take, and what they refuse."""

import pickle
from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import (
    Affine,
    Brightness,
    Chain,
    Loader,
    OneOf,
    RandAugment,
    RandomCrop,
    Sometimes,
    TrivialAugment,
    Views,
    deterministic,
    explain,
    scan_epoch,
)
from jaxiter.augment._operations import OPERATIONS

from ..data import first
from .test_rand_augment import APPLIED, COLORS, KEY, NUM_OPS, PHOTO, SHAPE, TOGETHER, in_numbers

# In programs of every kind.

IMAGES = np.stack([np.roll(PHOTO[:8, :9], 7 * number) + np.uint8(number) for number in range(61)])
STEPS = Chain(
    RandomCrop((8, 9), padding=2, fill_mode="reflect"),
    Affine(horizontal_flip=True),
    Sometimes(0.8, RandAugment(2, 20)),
)


def loader_of(augment, size=61, **options):
    return Loader(IMAGES, batch_size=size, augment=augment, shuffle=False, remainder="pad", **options).to_device()


@pytest.fixture(scope="module")
def expected():
    """One program for all pictures."""
    return np.asarray(loader_of(STEPS).batch(KEY, 1, 0))


@pytest.mark.parametrize("size", first(1, [1, 5]))
def test_bits_do_not_depend_on_the_size_of_the_batch(size, expected):
    assert np.array_equal(expected, np.round(expected))
    assert len({image.tobytes() for image in expected}) > 50
    for step in (0, 1, 12):
        rows = (step * size + np.arange(size)) % 61
        assert np.array_equal(loader_of(STEPS, size).batch(KEY, 1, step), expected[rows])


@pytest.mark.slow  # four programs
def test_bits_are_the_same_in_a_scan_over_devices_and_in_explain(expected):
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, loader_of(STEPS, 4), KEY, 1)
    assert np.array_equal(scanned.reshape(-1, *IMAGES.shape[1:])[:61], expected)
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), P("data"))
    assert np.array_equal(loader_of(STEPS, 8).batch(KEY, 1, 3, sharding=sharding), expected[24:32])
    for row in (0, 3):
        assert np.array_equal(explain(loader_of(STEPS), KEY, 1, row).after, expected[row])


@pytest.mark.slow
def test_bits_are_the_same_in_views_and_choices_around_it_give_what_it_gives(expected):
    """All in one program. Two maps, one within the other, are one batch for the operations that look at a picture."""
    step = RandAugment(2, 20)
    augment = {
        "views": Views(STEPS, 2),
        "plain": step,
        "always": Sometimes(np.array(1, np.float32), step),
        "never": Sometimes(np.array(0, np.float32), step),
        "either": OneOf(step, RandAugment(1, 0)),
    }
    loader = Loader(dict.fromkeys(augment, IMAGES), batch_size=5, augment=augment, shuffle=False).to_device()
    found = jax.tree.map(np.asarray, loader.batch(KEY, 1, 0))
    views = found["views"]
    assert np.array_equal(views[:, 0], expected[:5])
    assert not (views[:, 1] == views[:, 0]).all((1, 2, 3)).any()
    assert np.array_equal(found["always"], found["plain"])
    assert np.array_equal(found["never"], IMAGES[:5])
    of_first = (found["either"] == found["plain"]).all((1, 2, 3))
    assert 0 < of_first.sum() < 5


@pytest.mark.slow
def test_maps_in_maps_and_a_picture_that_several_share_are_one_batch():
    step = RandAugment(NUM_OPS, 20)
    drawn = jax.vmap(partial(step.sample, image_shape=SHAPE))(jax.random.split(KEY, TOGETHER))
    images = np.stack([np.roll(PHOTO, 5 * number, axis=1) for number in range(4)])
    expected = np.asarray(APPLIED(drawn, images.repeat(5, axis=0)))
    params = jax.tree.map(lambda leaf: leaf.reshape(4, 5, -1), drawn)
    found = jax.jit(jax.vmap(jax.vmap(step.apply, (0, None))))(params, images)
    assert np.array_equal(found.reshape(expected.shape), expected)


# What it takes and refuses.


@pytest.mark.parametrize("shape", [(1, 1, 3), (0, 4, 1)])
def test_tiny_pictures_keep_their_shape(shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    step = RandAugment(1, 30)
    keys = jax.random.split(KEY, 200)
    params, found = jax.jit(jax.vmap(lambda key: (drawn := step.sample(key, shape), step.apply(drawn, image))))(keys)
    assert (found.shape, found.dtype) == ((200, *shape), np.float32)
    if shape == (1, 1, 3):  # no map but a shift, no neighbours, no range: colours alone
        for operation, strength, result in zip(*map(np.asarray, params), np.asarray(found), strict=True):
            name = OPERATIONS[operation[0]]
            exact = in_numbers(name, strength[0], image) if name in COLORS and name != "Equalize" else image
            assert np.abs(result - np.clip(exact, 0, 255)).max() <= 0.54, name


BYTES = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandAugment(0), "num_ops is 0; expected 1 or more"),
        (lambda: RandAugment(2, 31), r"magnitude is 31; expected a bin in \[0, 30\]"),
        (lambda: RandAugment(2, -1), r"magnitude is -1; expected a bin in \[0, 30\]"),
        (lambda: RandAugment(2, 9.5), "magnitude is 9.5; expected an integer"),
        (lambda: RandAugment(fill_mode="edge"), "fill_mode is 'edge'; expected one of"),
        (lambda: RandAugment(cval=256), "cval is 256, which uint8 cannot hold"),
        (lambda: TrivialAugment(cval=(0, -1, 0)), "cval is -1, which uint8 cannot hold"),
        (lambda: TrivialAugment(order=6), "order is 6; expected a spline order"),
        (lambda: TrivialAugment().sample(KEY, (4, 5)), "image_shape has shape"),
        *[
            (
                lambda step=step, channels=channels: Chain(step).sample_and_apply(
                    KEY, BYTES[..., :1].repeat(channels, 2)
                ),
                rf"(Rand|Trivial)Augment got an image of shape \(4, 5, {channels}\); expected 1 or 3 channels",
            )
            for step in (RandAugment(1), TrivialAugment())
            for channels in (2, 4)
        ],
        *[
            (
                lambda step=step: Chain(step).sample_and_apply(KEY, BYTES.astype(np.float32)),
                r"got an image of float32; expected uint8.*Put Cast\(\"uint8\"\) before it",
            )
            for step in (RandAugment(1), Sometimes(0.5, TrivialAugment()), OneOf(RandAugment(1), TrivialAugment()))
        ],
    ],
)
def test_what_is_no_picture_of_bytes_and_no_strength_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("step", [RandAugment(3, 12, cval=7.0), TrivialAugment(fill_mode="wrap", order=0, draws="own")])
def test_evaluation_keeps_the_dtype_and_copies_are_equal(step):
    found = Chain(deterministic(step)).sample_and_apply(KEY, PHOTO)
    assert found.dtype == np.float32
    assert np.array_equal(found, PHOTO)
    assert pickle.loads(pickle.dumps(step)) == step
    names = {"RandAugment": RandAugment, "TrivialAugment": TrivialAugment}
    assert eval(repr(step), names) == step


@pytest.mark.slow
def test_no_derivative_passes_its_roundings():
    chain = Chain(Brightness(0.2), RandAugment(1, 9))

    def total(params):
        return chain.apply(params, PHOTO[:4, :4]).sum()

    brightness, drawn = chain.sample(KEY, (4, 4, 3))
    found = jax.grad(lambda brightness: total((brightness, drawn)))(brightness)
    assert found == 0
