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


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_shape_is_kept_and_the_dtype_follows_the_rule(name):
    params = jax.eval_shape(lambda key: TRANSFORMS[name].sample(key, SHAPE), KEYS[0])
    others = () if name in OF_BYTES else ("bool", "int32", "float16", "bfloat16", "float32")
    for dtype in ("uint8", *others):
        result = jax.eval_shape(TRANSFORMS[name].apply, params, jax.ShapeDtypeStruct(SHAPE, dtype))
        own_float = dtype if jnp.issubdtype(jnp.dtype(dtype), np.floating) else "float32"
        expected = CASTS.get(name, dtype if name in KEEPS else own_float)
        assert result.shape == SHAPE
        assert result.dtype == jnp.dtype(expected), dtype


@pytest.fixture(scope="module")
def loops():
    """What each transform makes of each picture by itself."""
    images = [jnp.asarray(image) for image in BATCH]
    return {
        name: [run(transform, key, image) for key, image in zip(KEYS, images, strict=True)]
        for name, transform in TRANSFORMS.items()
    }


def test_one_trace_under_jit_and_vmap_serves_every_epoch_and_equals_a_loop(loops):
    """Both pure uses, without a Loader: the order of a traced epoch, and transforms under vmap.

    To a unit of a byte's weights along either axis; a cast at the end may round a value near a tie the other way."""

    @jax.jit
    @chex.assert_max_traces(n=1)
    def augment(transforms, keys, epoch, images):
        rows = shuffled(KEYS[0], epoch, jnp.arange(3), 3)

        def one(key, image):
            return {name: run(transform, key, image) for name, transform in transforms.items()}

        return rows, jax.vmap(one)(keys[rows], images[rows])

    augment(TRANSFORMS, KEYS[::-1], 0, BATCH)
    rows, results = augment(TRANSFORMS, KEYS, 1, BATCH)
    np.testing.assert_array_equal(rows, permutation(KEYS[0], 1, 3))
    for name, images in results.items():
        alone = np.stack([loops[name][row] for row in np.asarray(rows)])
        assert alone.dtype == images.dtype, name
        difference = np.abs(alone.astype(np.float32) - np.asarray(images, np.float32))
        assert difference.max() <= (1 if name in CASTS else WEIGHTS), name
        assert np.mean(difference > WEIGHTS) < 0.02, name


@pytest.mark.slow
def test_views_and_frames_need_no_loader_either():
    """Views are looks with keys of their own, the first with that of the picture; frames share one draw."""
    clip, names = jnp.asarray(BATCH), ("Affine", "Sometimes", "Map")
    steps = {name: (TRANSFORMS[name], Views(TRANSFORMS[name], 2), Frames(TRANSFORMS[name])) for name in names}

    @jax.jit
    def looked(key):
        return {
            name: ([run(step, key, image) for image in clip], run(views, key, clip[0]), run(frames, key, clip))
            for name, (step, views, frames) in steps.items()
        }

    for name, (alone, looks, moved) in looked(KEYS[1]).items():
        assert (looks.shape, moved.shape) == ((2, *SHAPE), (3, *SHAPE))
        np.testing.assert_allclose(looks[0], alone[0], atol=WEIGHTS, err_msg=name)
        np.testing.assert_allclose(moved, np.stack(alone), atol=WEIGHTS, err_msg=name)
        assert np.array_equal(looks[0], looks[1]) == (name == "Map")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_numpy_images_give_the_same_and_params_are_arrays_and_the_same_for_the_same_key(name, loops):
    transform, image = TRANSFORMS[name], BATCH[0]
    params, again = (transform.sample(KEYS[0], SHAPE) for _ in range(2))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))
    chex.assert_trees_all_equal(params, again)
    found = transform.apply(params, image)
    assert found.dtype == loops[name][0].dtype
    assert np.array_equal(found, loops[name][0])


@pytest.mark.slow
def test_results_agree_with_x64_on():
    names = ("Affine", "SamplewiseNormalize", "Whiten", "Chain")
    augment = jax.jit(lambda key, image: {name: run(TRANSFORMS[name], key, image) for name in names})
    expected = augment(KEYS[1], BATCH[1])
    with jax.enable_x64(True):
        found = augment(KEYS[1], BATCH[1])
    for name in names:
        assert found[name].dtype == expected[name].dtype
        difference = np.abs(np.asarray(found[name], np.float32) - np.asarray(expected[name], np.float32))
        assert difference.max() <= (1 if name in CASTS else WEIGHTS), name
