"""One walk over every built-in transform: shape, dtype, jit, vmap, params, and what stands outside."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxiter
from jaxiter import (
    Affine,
    AutoContrast,
    Blur,
    Boxes,
    Brightness,
    Cast,
    CenterCrop,
    Chain,
    ChannelShift,
    Clip,
    ColorJitter,
    Contrast,
    Cutout,
    Equalize,
    Erase,
    Frames,
    Gamma,
    Grayscale,
    Hue,
    Invert,
    Map,
    Mask,
    Noise,
    Normalize,
    OneOf,
    Points,
    Posterize,
    RandAugment,
    RandomCrop,
    RandomResizedCrop,
    Rescale,
    Resize,
    SamplewiseNormalize,
    Saturation,
    Sharpness,
    Solarize,
    Sometimes,
    Transform,
    TrivialAugment,
    Views,
    Whiten,
    deterministic,
    permutation,
    shuffled,
)

from ..data import WEIGHTS

SHAPE = (6, 7, 3)
FEATURES = int(np.prod(SHAPE))
BATCH = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
KEYS = jax.random.split(jax.random.key(0), 3)

TRANSFORMS = {
    "Affine": Affine(rotation=20, shift=0.2, shear=10, zoom=0.2, horizontal_flip=True, vertical_flip=True),
    "Affine of order 0": Affine(rotation=20, shift=0.2, order=0, fill_mode="wrap"),
    "Affine of order 3": Affine(rotation=20, shift=0.2, order=3, fill_mode="reflect"),
    "Affine of arrays": Affine(rotation=np.array([-5.0, 20.0]), shift=(np.array(0.1), 0.2), fill_mode="constant"),
    "Affine that selects": Affine(shift=0.4, whole_pixels=True, horizontal_flip=0.3, fill_mode="reflect"),
    "CenterCrop": CenterCrop(SHAPE[:2]),
    "RandomCrop": RandomCrop(SHAPE[:2], padding=2, fill_mode="reflect"),
    "RandomResizedCrop": RandomResizedCrop(SHAPE[:2]),
    "Resize": Resize(SHAPE[:2], mode="pad"),
    "ChannelShift": ChannelShift(20),
    "Brightness": Brightness((0.5, 1.5)),
    "Contrast": Contrast(0.5),
    "Saturation": Saturation(0.5),
    "Hue": Hue(0.3),
    "Grayscale": Grayscale(0.5),
    "ColorJitter": ColorJitter(0.3, 0.3, 0.3, 0.1),
    "Gamma": Gamma(0.5),
    "Solarize": Solarize((0, 256)),
    "Posterize": Posterize((1, 8)),
    "Invert": Invert(),
    "AutoContrast": AutoContrast(),
    "Equalize": Equalize(),
    "Sharpness": Sharpness(0.5),
    "Blur": Blur((0.3, 1.0)),
    "Noise": Noise((1, 20)),
    "Clip": Clip(20, 99.5),
    "Erase": Erase(0.9, value=1),
    "Cutout": Cutout(3),
    "Rescale": Rescale(1 / 255),
    "Normalize": Normalize((100.0, 120.0, 110.0), np.array([50.0, 60.0, 55.0])),
    "SamplewiseNormalize": SamplewiseNormalize(),
    "Whiten": Whiten(np.random.default_rng(1).normal(0, 0.1, (FEATURES, FEATURES))),
    "Cast": Cast("int16"),
    "Map": Map(jnp.flipud),
    "Chain": Chain(Affine(rotation=20), Affine(zoom=0.1), Brightness(0.2), Rescale(0.5), Cast("uint8")),
    "Chain()": Chain(),
    "Sometimes": Sometimes(0.5, Chain(Affine(rotation=20), Contrast(0.5))),
    "OneOf": OneOf(Affine(rotation=20), Contrast(0.5), Chain(Affine(zoom=0.2), Cutout(3))),
    "RandAugment": RandAugment(2, 20),
    "TrivialAugment": TrivialAugment(fill_mode="reflect"),
    "deterministic": deterministic(Chain(Affine(rotation=20, vertical_flip=1.0), Brightness(0.2), Normalize(100.0))),
}
KEEPS_BYTES = {"Gamma", "Solarize", "Posterize", "Invert", "AutoContrast", "Equalize"}
OF_BYTES = KEEPS_BYTES | {"RandAugment", "TrivialAugment"}  # which take nothing else
KEEPS = KEEPS_BYTES | {
    "Affine of order 0",
    "Affine that selects",
    "CenterCrop",
    "RandomCrop",
    "Clip",
    "Erase",
    "Cutout",
    "Map",
    "Chain()",
}
CASTS = {"Cast": "int16", "Chain": "uint8"}


def run(transform, key, image):
    return transform.apply(transform.sample(key, image.shape), image)


def test_every_public_transform_takes_part_in_this_walk():
    public = {value for value in vars(jaxiter).values() if isinstance(value, type) and issubclass(value, Transform)}
    # Which have other shapes, or act on no picture of their own: tests of their own.
    others = {Views, Frames, Mask, Boxes, Points}
    assert public - {Transform} - others <= {type(transform) for transform in TRANSFORMS.values()}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for name in TRANSFORMS
        for dtype in ("bool", "uint8", "int32", "float16", "bfloat16", "float32")
        if dtype == "uint8" or name not in OF_BYTES
    ],
)
def test_the_shape_is_kept_and_the_dtype_follows_the_rule(name, dtype):
    image = jnp.asarray(BATCH[0]).astype(dtype)
    result = jax.eval_shape(lambda key: run(TRANSFORMS[name], key, image), KEYS[0])
    own_float = dtype if jnp.issubdtype(jnp.dtype(dtype), np.floating) else "float32"
    expected = CASTS.get(name, dtype if name in KEEPS else own_float)
    assert result.shape == SHAPE
    assert result.dtype == jnp.dtype(expected)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_one_trace_under_jit_and_vmap_serves_every_epoch_and_equals_a_loop(name):
    """Both pure uses, without a Loader: the order of a traced epoch, and a transform under vmap.

    To a unit of a byte's weights along either axis; a cast at the end may round a value near a tie the other way."""
    transform = TRANSFORMS[name]
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def augment(transform, keys, epoch, images):
        rows = shuffled(KEYS[0], epoch, jnp.arange(3), 3)
        return rows, jax.vmap(lambda key, image: run(transform, key, image))(keys, images[rows])

    augment(transform, KEYS[::-1], 0, BATCH)
    rows, results = augment(transform, KEYS, 1, BATCH)
    np.testing.assert_array_equal(rows, permutation(KEYS[0], 1, 3))
    for key, image, result in zip(KEYS, BATCH[np.asarray(rows)], results, strict=True):
        alone = run(transform, key, jnp.asarray(image))
        assert alone.dtype == result.dtype
        difference = np.abs(np.asarray(alone, np.float32) - np.asarray(result, np.float32))
        assert difference.max() <= (1 if name in CASTS else WEIGHTS)
        assert np.mean(difference > WEIGHTS) < 0.02


@pytest.mark.parametrize("name", ["Affine", "Sometimes", "RandAugment", "Map"])
def test_views_and_frames_need_no_loader_either(name):
    """Views are looks with keys of their own, the first with that of the picture; frames share one draw."""
    transform, clip = TRANSFORMS[name], jnp.asarray(BATCH)
    views, frames = Views(transform, 2), Frames(transform)
    looks, moved = jax.jit(lambda key: (run(views, key, clip[0]), run(frames, key, clip)))(KEYS[1])
    alone = [run(transform, KEYS[1], image) for image in clip]
    assert (looks.shape, moved.shape) == ((2, *SHAPE), (3, *SHAPE))
    np.testing.assert_allclose(looks[0], alone[0], atol=WEIGHTS)
    np.testing.assert_allclose(moved, np.stack(alone), atol=WEIGHTS)
    assert np.array_equal(looks[0], looks[1]) == (name == "Map")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_numpy_and_jax_images_give_the_same(name):
    params = TRANSFORMS[name].sample(KEYS[0], SHAPE)
    of_numpy, of_jax = TRANSFORMS[name].apply(params, BATCH[0]), TRANSFORMS[name].apply(params, jnp.asarray(BATCH[0]))
    assert of_numpy.dtype == of_jax.dtype
    assert np.array_equal(of_numpy, of_jax)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_params_are_arrays_and_the_same_for_the_same_key(name):
    transform = TRANSFORMS[name]
    first, second = (jax.tree.leaves(transform.sample(KEYS[0], SHAPE)) for _ in range(2))
    assert all(isinstance(leaf, jax.Array) for leaf in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["Affine", "SamplewiseNormalize", "Whiten", "Chain"])
def test_results_agree_with_x64_on(name):
    augment = jax.jit(lambda key, image: run(TRANSFORMS[name], key, image))
    expected = augment(KEYS[1], BATCH[1])
    with jax.enable_x64(True):
        found = augment(KEYS[1], BATCH[1])
    assert found.dtype == expected.dtype
    difference = np.abs(np.asarray(found, np.float32) - np.asarray(expected, np.float32))
    assert difference.max() <= (1 if name in CASTS else WEIGHTS)
