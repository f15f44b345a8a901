"""Every built-in transform again: copies, evaluation, identity parameters and derivatives."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxiter
from jaxiter import (
    Affine,
    Blur,
    Boxes,
    Brightness,
    CenterCrop,
    Chain,
    ChannelShift,
    Clip,
    ColorJitter,
    Contrast,
    Cutout,
    Erase,
    Frames,
    Gamma,
    Grayscale,
    Hue,
    Mask,
    Noise,
    Normalize,
    OneOf,
    Points,
    Posterize,
    RandomCrop,
    RandomResizedCrop,
    Rescale,
    Resize,
    Saturation,
    Sharpness,
    Solarize,
    Sometimes,
    Views,
    deterministic,
)

from .test_common import BATCH, KEYS, OF_BYTES, SHAPE, TRANSFORMS, run

IMAGE = BATCH[0]
AROUND = {
    "Views": Views(Affine(rotation=20), 2),
    "Frames": Frames(Contrast(0.5)),
    "Mask": Mask("image", cval=255),
    "Boxes": Boxes("image", format="xywh", min_visible=0.3),
    "Points": Points(0),
}
HOLD_ARRAYS = {
    "Affine of arrays",
    "Normalize",
    "Whiten",
    "Map",
    "Cast",
    "Chain",
    "deterministic",
}  # or types: no text to type


@pytest.mark.parametrize("name", [*TRANSFORMS, *AROUND])
def test_copies_by_pickle_and_by_repr_are_equal(name):
    transform = (TRANSFORMS | AROUND)[name]
    assert pickle.loads(pickle.dumps(transform)) == transform
    if name not in HOLD_ARRAYS:
        copy = eval(repr(transform), vars(jaxiter))
        assert copy == transform or (name == "ColorJitter" and Chain(copy) == Chain(transform))  # shown as its steps


# In evaluation.

STAYS = {
    *("CenterCrop", "Resize", "Invert", "AutoContrast", "Equalize", "Clip", "Rescale", "Normalize", "Whiten", "Cast"),
    *("SamplewiseNormalize", "Map", "Chain()", "deterministic"),
}
BECOMES = {
    "RandomCrop": CenterCrop(SHAPE[:2]),
    "RandomResizedCrop": Resize(SHAPE[:2], mode="crop"),
    "Chain": TRANSFORMS["Chain"].transforms[-2:],
}
OTHER = {
    "Affine of a point": (Affine(zoom=(2, 2), rotation=10), Affine(zoom=(2, 2))),
    "RandomResizedCrop": (RandomResizedCrop(3, antialias=False), Resize(3, mode="crop", antialias=False)),
    "RandomCrop": (RandomCrop(4, padding=2), CenterCrop(4)),
    "Contrast": (Contrast((0.5, 0.5)), Contrast((0.5, 0.5))),
    "Gamma": (Gamma((2, 2)), Gamma((2, 2))),
    "Solarize": (Solarize(100), Solarize(100)),
    "Grayscale": (Grayscale(1), Grayscale(1)),
    "Sometimes": (Sometimes(1, Chain(Clip(20, 90), Affine(rotation=3))), Chain(Clip(20, 90), Rescale(1.0))),
    "OneOf": (OneOf(Grayscale(1), Grayscale(1)), Rescale(1.0)),
    "Views": (Views(Chain(Hue(0.1), Clip(20, 90)), 2), Views(Chain(Rescale(1.0), Clip(20, 90)), 2)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_evaluation_keeps_the_dtype_and_what_is_not_random(name):
    """Random steps are left out: but for their dtype they give the picture."""
    transform = TRANSFORMS[name]
    fixed = deterministic(transform)
    found = run(fixed, KEYS[0], IMAGE)
    assert found.dtype == jax.eval_shape(lambda: run(transform, KEYS[0], jnp.asarray(IMAGE))).dtype
    assert deterministic(fixed) == fixed
    if name in STAYS:
        expected = run(transform, KEYS[0], IMAGE)
    else:
        steps = BECOMES.get(name, ())
        chain = Chain(*steps) if isinstance(steps, tuple) else Chain(steps)
        expected = run(chain, KEYS[0], IMAGE)
    assert np.array_equal(found, np.asarray(expected, found.dtype))


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_evaluation_of_ranges_of_a_point_and_of_wrappers(name):
    transform, expected = OTHER[name]
    found, expected = (np.asarray(run(step, KEYS[0], IMAGE)) for step in (deterministic(transform), expected))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), atol=1e-4)


# Without effect.

IDENTITIES = {
    "Affine": Affine(rotation=(0, 0), zoom=(1, 1), shear=(0, 0), shift=0),
    "RandomResizedCrop": RandomResizedCrop(SHAPE[:2], scale=(1, 1), ratio=(7 / 6, 7 / 6)),
    "RandomCrop": RandomCrop(SHAPE[:2]),
    "CenterCrop": CenterCrop(SHAPE[:2]),
    "Resize": Resize(SHAPE[:2]),
    "ChannelShift": ChannelShift((0, 0)),
    "Brightness": Brightness((1, 1)),
    "Contrast": Contrast((1, 1)),
    "Saturation": Saturation((1, 1)),
    "Hue": Hue((0, 0)),
    "Grayscale": Grayscale(0),
    "ColorJitter": ColorJitter(),
    "Gamma": Gamma((1, 1)),
    "Solarize": Solarize(256),
    "Posterize": Posterize(8),
    "Sharpness": Sharpness((1, 1)),
    "Blur": Blur(0),
    "Noise": Noise(0),
    "Clip": Clip(0, 255),
    "Erase": Erase(0),
    "Rescale": Rescale(1.0),
    "Normalize": Normalize(0.0, 1.0),
    "Sometimes": Sometimes(0, Chain(Hue(0.3), Affine(shift=0.5, whole_pixels=True), Sharpness(0.5), Cutout(3))),
    "OneOf": OneOf(Brightness((1, 1)), Grayscale(0)),
}
ROUNDED = {"Hue"}  # quotients, to a unit of the last place


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_parameters_give_the_picture(name):
    for key in KEYS[:2]:
        found = run(IDENTITIES[name], key, IMAGE)
        if name in ROUNDED:
            np.testing.assert_allclose(found, IMAGE, rtol=3e-7, atol=2e-5)
        else:
            assert np.array_equal(found, IMAGE)


# Derivatives.

FLOATING = [name for name in TRANSFORMS if name not in OF_BYTES | {"Cast", "Chain"}]


@jax.jit
def slopes(params, image):
    """By the pixels, of every step that takes floats, in one program."""

    def weighed(image, name):
        found = TRANSFORMS[name].apply(params[name], image)
        return (found * np.cos(np.arange(found.size, dtype=np.float32)).reshape(found.shape)).sum()

    return {name: jax.grad(weighed)(image, name) for name in FLOATING}


@pytest.mark.slow
def test_derivatives_are_finite_also_of_flat_black_and_white_pictures():
    params = {name: TRANSFORMS[name].sample(KEYS[0], SHAPE) for name in FLOATING}
    grey = np.repeat(IMAGE[..., :1], 3, axis=-1)
    for image in (IMAGE, grey, np.zeros_like(IMAGE), np.full_like(IMAGE, 255)):
        for name, slope in slopes(params, image.astype(np.float32)).items():
            assert np.isfinite(slope).all(), name
            assert np.any(slope) or name == "Clip", name


# Ranks, which JAX may be told not to promote: traced alone, as nothing else depends on it.


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_step_relies_on_the_promotion_of_ranks(name):
    with jax.numpy_rank_promotion("raise"):
        images = [IMAGE] if name in OF_BYTES else [IMAGE, IMAGE.astype(np.float32)]
        for image in images:
            found = jax.eval_shape(lambda key, image: run(TRANSFORMS[name], key, image), KEYS[0], image)
            assert found.shape == SHAPE


@pytest.mark.parametrize("mix", [jaxiter.mixup, jaxiter.cutmix])
def test_no_mixing_relies_on_the_promotion_of_ranks(mix):
    with jax.numpy_rank_promotion("raise"):
        _, soft = jax.eval_shape(lambda images: mix(KEYS[0], images, np.arange(3), num_classes=5), BATCH)
    assert soft.shape == (3, 5)
