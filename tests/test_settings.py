"""Every public call works under each of JAX's settings, and gives the numbers that it gives without."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

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
    Loader,
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
    TrivialAugment,
    Views,
    Whiten,
    about_centre,
    affine_warp,
    compose,
    explain,
    fit_statistics,
    flip_matrix,
    image_grid,
    permutation,
    rotation_matrix,
    scan_epoch,
    shear_matrix,
    shift_matrix,
    shuffled,
    stream,
    train_validation_split,
    zoom_matrix,
)
from jaxiter.keras import ImageDataGenerator, apply_affine_transform

from .data import assert_trees_close, assert_trees_equal, each_once, first, one_suite_later, pictures

SHAPE = (4, 5, 3)
IMAGES, LABELS = pictures(size=8, shape=SHAPE)
KEY, LEGACY = jax.random.key(0), jax.random.PRNGKey(0)


def mesh(kind):
    return jax.make_mesh((4,), ("data",), axis_types=(getattr(AxisType, kind),))


SETTINGS = {
    "guard": lambda: jax.transfer_guard("disallow"),
    "rank": lambda: jax.numpy_rank_promotion("raise"),
    "nans": lambda: jax.debug_nans(True),
    "key reuse": lambda: jax.debug_key_reuse(True),
    "leaks": lambda: jax.checking_leaks(),
    "rbg": lambda: jax.default_prng_impl("rbg"),
    "partitionable": lambda: jax.threefry_partitionable(False),
    "standard promotion": lambda: jax.numpy_dtype_promotion("standard"),
    "mesh": lambda: jax.set_mesh(mesh("Auto")),
    "explicit mesh": lambda: jax.set_mesh(mesh("Explicit")),
    "x64": lambda: jax.enable_x64(True),
    "no jit": lambda: jax.disable_jit(),
}
TO_THE_BIT = [name for name in SETTINGS if name not in ("x64", "no jit")]  # which XLA rounds otherwise

# Steps that between them take every kind of parameter: none, a number, a tuple, an array, a drawn one.
TRANSFORMS = {
    "affine": Affine(rotation=20, shear=10, zoom=0.2, shift=0.1, horizontal_flip=True, fill_mode="constant", cval=7.0),
    "arrays": Affine(rotation=np.array(10, np.float32), shift=np.array([0.1, 0.2], np.float32), order=0),
    "cubic": Affine(rotation=(5, 10), order=3, fill_mode="reflect"),
    "rows": Affine(shift=0.3, vertical_flip=0.5),
    "whole": Affine(shift=0.3, whole_pixels=True, horizontal_flip=True),
    "values": Chain(Brightness(0.2), ChannelShift(np.array([-9, 9], np.float32)), Rescale((1 / 255, 1.0, 2.0))),
    "normalize": Normalize((0.5, 0.4, 0.3), np.array([1, 2, 3], np.float32)),
    "samplewise": Chain(SamplewiseNormalize(), Cast("float16")),
    "whiten": Chain(Whiten(np.eye(60, dtype=np.float32)), Map(jnp.abs), Cast("uint8")),
}
AUGMENT = Chain(Affine(zoom=0.2), Brightness(0.2), Normalize((0.5, 0.4, 0.3)))


@cache
def loader(where, augment=AUGMENT):
    data = Loader((IMAGES, LABELS), batch_size=4, augment=(augment, None))
    shardings = {"resident": None, "every device": P(), "divided": P("data"), "explicit": P("data")}
    if where in ("host", "sharded batches"):
        return data
    spec = shardings[where]
    kind = "Explicit" if where == "explicit" else "Auto"
    return data.to_device(None if spec is None else NamedSharding(mesh(kind), spec))


def options(where):
    return {"sharding": NamedSharding(mesh("Auto"), P("data"))} if where == "sharded batches" else {}


def streamed(where, **arguments):
    with stream(loader(where), KEY, num_epochs=2, **options(where), **arguments) as batches:
        return [jax.tree.map(on_host, batch) for batch in batches]


def step(carry, batch):
    return carry + batch[1].sum(dtype=np.int32), batch[1]


# What is asked of a loader, wherever its data are.
CALLS = {
    "batch": lambda where: loader(where).batch(KEY, 1, np.uint32(1), **options(where)),
    "legacy keys": lambda where: [loader(where).batch(LEGACY, 0, 0), loader(where).batch(np.asarray(LEGACY), 0, 0)],
    "rows": lambda where: loader(where).replace(rows=np.arange(2, 8), remainder="pad").batch(KEY, 0, 1),
    "index": lambda where: [loader(where).index(KEY, 0, step) for step in (0, jnp_one())],
    "mask": lambda where: loader(where).replace(rows=np.arange(3), remainder="pad").mask(0),
    "epoch": lambda where: list(loader(where).replace(remainder="keep", batch_size=5).epoch(KEY, 0)),
    "step_key": lambda where: [loader(where).step_key(key, 0, 1) for key in (KEY, LEGACY)],
    "to_device": lambda where: loader(where).to_device(NamedSharding(mesh("Auto"), P())).data,
    "memory": lambda where: tuple(loader(where).memory()),
    "stream": lambda where: streamed(where),
    "stream in one thread": lambda where: streamed(where, prefetch=0),
    "stream with masks": lambda where: streamed(where, with_mask=True, num_threads=2),
    "scan_epoch": lambda where: scan_epoch(step, np.int32(0), loader(where), KEY, 0),
    "explain": lambda where: tuple(explain(loader(where), KEY, 0, 3)),
}
WHERE = ["host", "resident", "sharded batches", "every device", "divided", "explicit"]


def jnp_one():
    return jax.device_put(np.int32(1))


def matrix():
    steps = rotation_matrix(0.1), shear_matrix(0.1), zoom_matrix(1.1, 1.2), shift_matrix(1, 2), flip_matrix(True, False)
    return about_centre(compose(*steps), 4, 5)


def flow(output="numpy", **arguments):
    generator = ImageDataGenerator(
        **{"rotation_range": 20, "width_shift_range": [1, 2], "zoom_range": 0.1, "channel_shift_range": 9.0}
        | {"brightness_range": (0.5, 1.5), "horizontal_flip": True, "rescale": 1 / 255, "samplewise_center": True},
        **arguments,
    )
    rng = {"rng": "keras"} if output == "replayed" else {"output": output}
    return generator.flow(IMAGES, LABELS, batch_size=5, seed=1, **rng)


def fitted(augment):
    generator = ImageDataGenerator(featurewise_center=True, zca_whitening=augment, rotation_range=10, dtype="float64")
    generator.fit(IMAGES, augment=augment, seed=1)
    batch = next(generator.flow(IMAGES, seed=1, shuffle=False))
    return [generator.mean, batch, generator.standardize(IMAGES[:2].astype(np.float64))]


def alone(name):
    chain = Chain(TRANSFORMS[name])
    return chain.apply(chain.sample(KEY, SHAPE), IMAGES[0])


def explained(name):
    return tuple(explain(loader("host", TRANSFORMS[name]), KEY, 0, 1))


# What needs no loader.
FUNCTIONS = {
    "permutation": lambda: permutation(KEY, 3, 100),
    "shuffled": lambda: shuffled(LEGACY, 3, np.arange(20), 100),
    "split": lambda: [tuple(train_validation_split(key, LABELS % 2, 0.5)) for key in (KEY, LEGACY)],
    "matrices": matrix,
    "affine_warp": lambda: [
        affine_warp(IMAGES[0], np.asarray(MATRIX), order=order, fill_mode=mode, cval=3, size=size)
        for order, mode, size in ((0, "constant", None), (1, "nearest", (3, 6)), (3, "wrap", None))
    ],
    "fit_statistics": lambda: tuple(fit_statistics(IMAGES, zca=True)),
    "image_grid": lambda: [np.asarray(image_grid(images)) for images in (IMAGES, RESIDENT)],
    **{name: (lambda name=name: alone(name)) for name in ("values", "normalize")},
    **{
        f"explain {name}": (lambda name=name: tuple(explain(loader("host", TRANSFORMS[name]), KEY, 0, 1)))
        for name in TRANSFORMS
    },
    "keras": lambda: [next(flow()), flow()[1]],
    "keras, jax": lambda: [next(flow("jax")), flow("jax", dtype="float64")[1]],
    "keras, replayed": lambda: [next(flow("replayed")), flow("replayed")[1]],
    "keras, function": lambda: next(flow(preprocessing_function=np.square)),
    "keras, fit": lambda: [fitted(False), fitted(True)],
    "keras, random_transform": lambda: flow().image_data_generator.random_transform(
        IMAGES[0].astype(np.float32), seed=3
    ),
    "keras, apply": lambda: apply_affine_transform(IMAGES[0], 10, row_axis=0, col_axis=1, channel_axis=2),
}
MATRIX, RESIDENT = np.asarray(matrix()), jnp.asarray(IMAGES)


def on_host(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return jax.device_get(leaf)


@cache
def without(call, *arguments):
    return jax.tree.map(on_host, call(*arguments))


def check(setting, call, *arguments):
    expected = without(call, *arguments)
    with SETTINGS[setting]():
        found = call(*arguments)
    found = jax.tree.map(on_host, found)
    if setting in TO_THE_BIT:
        assert_trees_equal(found, expected)
    else:
        as_arrays = [jax.tree.map(np.asarray, tree) for tree in (found, expected)]  # of numbers, too
        assert_trees_close(*as_arrays, tolerance=1e-4)


# Under which nothing is traced or compiled anew, so that every call is tried in the quick suite.
FREE = ("guard",)


def each_call(**axes):
    """Every call under one setting in the quick suite, every pair in the slow one; there, each once without `jit`."""
    names, params = each_once(setting=[*TO_THE_BIT, "x64"], **axes)
    _, by_hand = each_once(setting=["no jit"], **axes)
    return names, params + one_suite_later(by_hand)


@pytest.mark.parametrize(*each_call(call=CALLS, where=WHERE))
def test_a_loader_gives_the_same_under_every_setting(setting, call, where):
    for name in {setting, *FREE}:
        check(name, CALLS[call], where)


def functions():
    """The transforms that are explained one by one, but the first, come later: each is a program for each setting."""
    dear = [call for call in FUNCTIONS if call.startswith("explain ")][1:]
    names, params = each_call(call=[call for call in FUNCTIONS if call not in dear])
    return names, params + one_suite_later(each_once(setting=SETTINGS, call=dear)[1])


@pytest.mark.parametrize(*functions())
def test_a_function_gives_the_same_under_every_setting(setting, call):
    for name in {setting, *FREE}:
        check(name, FUNCTIONS[call])


BY_ITSELF, CASES = each_once(name=TRANSFORMS, setting=SETTINGS)


@pytest.mark.parametrize(BY_ITSELF, one_suite_later(CASES))  # one operation after the other is compiled
def test_a_transform_by_itself_gives_the_same_under_every_setting(name, setting):
    check(setting, alone, name)


# Three chains that hold every other step between them, what moves with them, looks, and weights: one program.

GEOMETRY = Chain(
    *(RandomResizedCrop((5, 6), fill_mode="constant"), Resize((4, 5), mode="pad"), RandomCrop((4, 5), padding=1)),
    *(CenterCrop((4, 5)), OneOf(Affine(rotation=10), Affine(zoom=0.2)), Sometimes(0.5, Affine(rotation=10))),
)
COLORS = Chain(
    *(ColorJitter(0.3, 0.3, 0.3, 0.1), Grayscale(0.3), Sometimes(0.5, Chain(Contrast(0.2), Saturation(0.2)))),
    *(Sharpness(0.5), Blur((0.3, 1.0)), OneOf(Hue(0.2), Noise(3)), Erase(0.5, value=3), Cutout(2), Clip(0, 255)),
)
TABLES = Chain(
    *(Gamma(0.5), Solarize((0, 256)), Posterize((4, 8)), Invert(), AutoContrast(), Equalize()),
    *(RandAugment(2, 9), Sometimes(0.5, TrivialAugment())),
)
MOVED_ALONG = {
    "image": Chain(GEOMETRY, Normalize((0.5, 0.4, 0.3))),
    "mask": Mask("image", cval=255),
    "boxes": Boxes("image", min_visible=0.3),
    "points": Points("image"),
    "colours": COLORS,
    "tables": TABLES,
    "views": Views(Chain(Affine(shift=0.1), Brightness(0.1)), 2),
    "clip": Frames(Chain(Affine(rotation=12), Contrast(0.2))),
}


@cache
def loader_of_all_steps():
    boxes = np.array([[0, 0, 3, 2], [1, 1, 5, 4], [-1, -1, -1, -1]], np.float32)
    data = dict.fromkeys(MOVED_ALONG, IMAGES) | {
        "mask": IMAGES[..., :1] % np.uint8(5),
        "boxes": np.stack([boxes] * 8),
        "points": np.stack([boxes[:, :2]] * 8),
        "clip": np.stack([IMAGES, IMAGES[::-1]], axis=1),
    }
    return Loader(data, batch_size=4, augment=MOVED_ALONG, weights=np.arange(1, 9))


def all_steps():
    return loader_of_all_steps().batch(KEY, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_catalogue_gives_the_same_under_every_setting(setting):
    """To 2e-6 of the range, as `Contrast` sums over the picture. Ranks are held by test_every_step.py too."""
    expected = without(all_steps)
    for name in {setting, *FREE}:
        with SETTINGS[name]():
            found = all_steps()
        found = jax.tree.map(on_host, found)
        assert_trees_close(found, expected, tolerance=2e-6 if name in TO_THE_BIT else 1e-4)


def one_warp():
    return affine_warp(IMAGES[0], MATRIX, order=0)


def test_without_jit_numpy_arrays_are_taken_for_jaxs():
    check("no jit", one_warp)
    plain = Loader((IMAGES, LABELS.astype(np.int64)), batch_size=4)
    with jax.disable_jit():
        found = plain.batch(KEY, 0, 0)
    assert_trees_equal(found, plain.batch(KEY, 0, 0))


MOVED = jax.devices()[2]


def committed(x):
    return jax.device_put(x, MOVED)


@pytest.mark.parametrize("where", first(2, WHERE))
def test_keys_rows_and_arrays_of_transforms_follow_the_data(where):
    """A checkpoint may have put them on another device."""
    mean = np.array([1, 2, 3], np.float32)
    rows = np.arange(1, 8, dtype=np.int32)
    data = loader(where).replace(augment=(Normalize(mean), None), rows=rows)
    moved = loader(where).replace(augment=(Normalize(committed(mean)), None), rows=committed(rows))
    key = committed(KEY)
    expected = data.batch(KEY, 0, 0)
    assert_trees_equal(moved.batch(key, 0, 0, **options(where)), expected)
    with stream(moved, key, **options(where)) as batches:
        assert_trees_equal(next(batches), expected)
    assert_trees_equal(moved.index(key, 0, 0), data.index(KEY, 0, 0))
    assert_trees_equal(explain(moved, key, 0, 2).after, explain(data, KEY, 0, 2).after)
    if where != "sharded batches":
        assert_trees_equal(scan_epoch(step, np.int32(0), moved, key, 0), scan_epoch(step, np.int32(0), data, KEY, 0))


def test_a_loader_that_is_put_on_a_device_takes_its_transforms_there():
    moved = Loader((IMAGES, LABELS), batch_size=4, augment=(Normalize(committed(np.ones(3, np.float32))), None))
    resident = moved.to_device(jax.devices()[1])
    assert_trees_equal(jax.jit(lambda loader: loader.batch(KEY, 0, 0))(resident), moved.batch(KEY, 0, 0))
    assert {leaf.device for leaf in jax.tree.leaves(resident.batch(KEY, 0, 0))} == {jax.devices()[1]}
