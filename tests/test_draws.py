"""What every kind draws, as literal values: they change with a new stream version alone, and under no flag of JAX.

A failure here is a breaking change, see CONTRIBUTING.md. `Affine`, `Brightness` and `ChannelShift` are in test_keys.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxiter
from jaxiter import (
    Affine,
    Blur,
    Chain,
    ColorJitter,
    Contrast,
    Cutout,
    Erase,
    Gamma,
    Grayscale,
    Hue,
    Loader,
    Noise,
    OneOf,
    Posterize,
    RandAugment,
    RandomCrop,
    RandomResizedCrop,
    Saturation,
    Sharpness,
    Solarize,
    Sometimes,
    Transform,
    TrivialAugment,
    Views,
    cutmix,
    mixup,
)
from jaxiter._keys import tag

from .test_keys import FLAGS

KEY = jax.random.key(45)
SHAPE = (40, 100, 3)
MOVED = Affine(shift=0.3, whole_pixels=True)
STEPS = {
    "RandomResizedCrop": RandomResizedCrop(32),
    "RandomCrop": RandomCrop(32, padding=4),
    "Contrast": Contrast(0.5),
    "Saturation": Saturation(0.5),
    "Hue": Hue(0.25),
    "Grayscale": Grayscale(0.5),
    "ColorJitter": ColorJitter(0.5, 0.5, 0.5, 0.25),
    "Gamma": Gamma(0.5),
    "Solarize": Solarize((0, 256)),
    "Posterize": Posterize((1, 8)),
    "Sharpness": Sharpness(0.5),
    "Blur": Blur((0.5, 2)),
    "Noise": Noise((1, 20)),
    "Erase": Erase(0.9),
    "Cutout": Cutout(8),
    "Sometimes": Sometimes(0.5, MOVED),
    "OneOf": OneOf(Hue(0.25), Contrast(0.5), MOVED),
    "RandAugment": RandAugment(3, 20),
    "TrivialAugment": TrivialAugment(),
    "Views": Views(MOVED, 2),
}

PINNED = {
    "RandomResizedCrop": [0, 55, 38, 45],
    "RandomCrop": [10, 35],
    "Contrast": [1.170720100402832],
    "Saturation": [1.0787022113800049],
    "Hue": [-0.2400585412979126],
    "Grayscale": [True],
    "ColorJitter": [0.9575672745704651, 1.170720100402832, 1.0787022113800049, -0.2400585412979126],
    "Gamma": [0.7667697072029114],
    "Solarize": [148.510986328125],
    "Posterize": [3],
    "Sharpness": [0.6722416877746582],
    "Blur": [1.0584003925323486],
    "Noise": [11.25761890411377, [3303395199, 2120912070]],
    "Erase": [4, 68, 33, 25],
    "Cutout": [16, 1, 8, 8],
    "Sometimes": [True, 0.0, [-8.0, 25.0], 0.0, [1.0, 1.0], False, False],
    "OneOf": [1, -0.2400585412979126, 1.170720100402832, 0.0, [-8.0, 25.0], 0.0, [1.0, 1.0], False, False],
    "RandAugment": [[5, 13, 2], [0.3490658402442932, 0.0, 0.20000000298023224]],
    "TrivialAugment": [[6], [0.6370000243186951]],
    "Views": [
        [0.0, 0.0],
        [[-9.0, 22.0], [12.0, -28.0]],
        [0.0, 0.0],
        [[1.0, 1.0], [1.0, 1.0]],
        [False, False],
        [False, False],
    ],
}

TAGS = {
    "RandomResizedCrop": 4254247055,
    "RandomCrop": 2302808694,
    "Contrast": 1193267021,
    "Saturation": 1291732564,
    "Hue": 1947145037,
    "Grayscale": 553814114,
    "ColorJitter": 2616098741,
    "Gamma": 231492950,
    "Solarize": 3067160411,
    "Posterize": 4055670801,
    "Sharpness": 147539245,
    "Blur": 1560870581,
    "Noise": 101925948,
    "Erase": 1892397463,
    "Cutout": 2067320978,
    "Sometimes": 3891380543,
    "OneOf": 2360474935,
    "RandAugment": 3489303058,
    "TrivialAugment": 603471013,
    "Views": 4226859546,
}


@jax.jit
def drawn(key):
    """By one program for all kinds."""
    each = {name: step if name == "Views" else Chain(step) for name, step in STEPS.items()}
    return {name: step.sample(key, SHAPE) for name, step in each.items()}


def check_pinned(found):
    assert set(found) == set(PINNED) == set(STEPS)
    for name, expected in PINNED.items():
        for leaf, value in zip(jax.tree.leaves(found[name]), expected, strict=True):
            if jnp.issubdtype(leaf.dtype, np.floating):
                np.testing.assert_allclose(leaf, value, rtol=1e-6, err_msg=name)
            else:
                assert leaf.tolist() == value, name


def test_draws_stay_what_they_are():
    check_pinned(drawn(KEY))


@pytest.mark.slow  # one operation after the other is compiled
def test_draws_are_the_same_without_jit():
    with jax.disable_jit():
        check_pinned(drawn(KEY))


@pytest.mark.parametrize("flag", FLAGS)
def test_no_flag_changes_a_draw_or_its_dtype(flag):
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, drawn(KEY))
    with FLAGS[flag]():
        found = drawn(KEY)
        assert jax.tree.map(lambda leaf: leaf.dtype, found) == dtypes
        check_pinned(found)


def test_tags_stay_what_they_are():
    assert {name: tag(f"kind/{step.kind}/0") for name, step in STEPS.items()} == TAGS


def test_every_kind_that_draws_is_pinned():
    public = [value for value in vars(jaxiter).values() if isinstance(value, type) and issubclass(value, Transform)]
    draws = {step.__name__ for step in public if step.sample is not Transform.sample}
    # A chain gives its steps their keys, frames share the draws of one, and companions draw what an image draws.
    others = {"Affine", "Brightness", "ChannelShift", "Chain", "Frames", "Mask", "Boxes", "Points"}
    assert draws - others == set(STEPS)


def test_kinds_of_one_chain_draw_independently():
    count, names = 4000, [name for name in STEPS if name not in ("Views", "ColorJitter", "Sometimes", "OneOf")]
    chain = Chain(*(STEPS[name] for name in names))
    params = jax.jit(jax.vmap(lambda key: chain.sample(key, SHAPE)))(jax.random.split(KEY, count))
    first = [np.asarray(jax.tree.leaves(own)[0], np.float64).reshape(count, -1)[:, 0] for own in params]
    correlation = np.corrcoef(first) - np.eye(len(names))
    assert np.abs(correlation).max() < 5 / np.sqrt(count)


# What a loader and a batch draw.

WEIGHTS = np.array([1, 0, 2.5, 0.3, 4, 1, 1, 0.2])
PICTURES = np.broadcast_to(np.arange(0, 240, 40, dtype=np.uint8)[:, None, None, None], (6, 4, 5, 1))
LABELS = np.arange(6, dtype=np.int32)


def test_the_order_of_weighted_examples_stays_what_it_is():
    loader = Loader(np.arange(8), batch_size=8, weights=WEIGHTS)
    assert [loader.index(KEY, epoch, 0).tolist() for epoch in (0, 1)] == PINNED_INDEX
    with jax.enable_x64(True):
        assert loader.index(KEY, 0, 0).tolist() == PINNED_INDEX[0]


@pytest.mark.parametrize("flag", [None, "x64", "rbg by default"])
def test_mixed_batches_stay_what_they_are(flag):
    with FLAGS[flag]() if flag else jax.numpy_dtype_promotion("strict"):
        _, soft = mixup(KEY, PICTURES, LABELS, 0.4, num_classes=6)
        pasted, soft_of_pasted = cutmix(KEY, PICTURES, LABELS, num_classes=6)
    np.testing.assert_allclose(np.diag(soft), PINNED_SHARES, rtol=1e-5)
    assert partners(soft) == PINNED_PARTNERS
    own = np.arange(0, 240, 40)[:, None]
    places = [np.flatnonzero(row).tolist() for row in np.asarray(pasted).reshape(6, -1) != own]
    assert [(place[0], len(place)) if place else () for place in places] == PINNED_PASTED
    areas = np.array([len(place) / 20 for place in places])
    np.testing.assert_allclose(1 - np.diag(soft_of_pasted), areas, atol=1e-6)


def partners(soft):
    """Who was mixed in; the example itself where nobody was."""
    others = np.asarray(soft) * (1 - np.eye(6))
    return np.where(others.any(1), others.argmax(1), LABELS).tolist()


PINNED_INDEX = [[4, 6, 4, 0, 2, 4, 2, 4], [5, 4, 7, 3, 2, 2, 4, 4]]
PINNED_SHARES = [
    5.3891981224296615e-05,
    0.003771245712414384,
    0.9982224106788635,
    0.14800810813903809,
    0.00617546821013093,
    1.0,
]
PINNED_PARTNERS = [4, 3, 0, 1, 2, 5]
PINNED_PASTED = [(0, 3), (7, 9), (), (0, 6), (1, 12), ()]
