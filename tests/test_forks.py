"""In a process forked from one where JAX runs: what needs JAX says so at once, what does not works."""

import io
import json
import os
import select
import signal
import subprocess
import sys
import warnings
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxiter as jx
from jaxiter import keras
from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator, random_rotation

SECONDS = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 10, 3)).astype(np.uint8)


def in_a_fork(calls):
    """What each of the functions does in a forked child: "works", or the error."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)  # of JAX, that this may hang
        child = os.fork()
    if child == 0:
        for name, call in calls.items():
            try:
                call()
                outcome = "works"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            os.write(writing, (json.dumps([name, outcome]) + "\n").encode())
        os._exit(0)
    os.close(writing)
    text = b""
    while select.select([reading], [], [], SECONDS)[0] and (part := os.read(reading, 1 << 16)):
        text += part
    os.kill(child, signal.SIGKILL)  # which may have ended
    os.waitpid(child, 0)
    os.close(reading)
    outcomes = dict(map(json.loads, text.decode().splitlines()))
    return {name: outcomes.get(name, "hangs") for name in calls}


def test_the_core_raises_at_once_and_names_the_remedy(key):
    loader = jx.Loader(IMAGES, batch_size=2, augment=jx.Affine(rotation=0.2))
    resident = jx.Loader(jnp.asarray(IMAGES), batch_size=2)
    images, matrix, affine = jnp.asarray(IMAGES), jx.shift_matrix(1.0, 0.0), jx.Affine(rotation=0.1)
    image, mean, params = images[0], matrix[0], affine.sample(key, (12, 10, 3))
    one, two = jnp.float32(1), jnp.array([0.1, 0.2])
    loader.batch(key, 0, 0)
    calls = {
        "batch": lambda: loader.batch(key, 0, 1),
        "resident batch": lambda: resident.batch(key, 0, 1),
        "a loader of its own": lambda: jx.Loader(IMAGES, batch_size=3).batch(key, 0, 0),
        "a legacy key": lambda: loader.batch(np.array([0, 1], np.uint32), 0, 0),
        "under jit": lambda: jax.jit(lambda step: resident.batch(key, 0, step))(1),
        "epoch": lambda: next(loader.epoch(key, 0)),
        "index": lambda: loader.index(key, 0, 0),
        "mask": lambda: loader.mask(0),
        "step_key": lambda: loader.step_key(key, 0, 0),
        "to_device": lambda: loader.to_device(),
        "stream": lambda: next(jx.stream(loader, key)),
        "scan_epoch": lambda: jx.scan_epoch(lambda carry, batch, step: (carry, None), 0, resident, key, 0),
        "explain": lambda: jx.explain(loader, key, 0, 0),
        "preview": lambda: loader.preview(key),
        "permutation": lambda: jx.permutation(key, 0, 8),
        "shuffled": lambda: jx.shuffled(key, 0, np.arange(3), 8),
        "train_validation_split": lambda: jx.train_validation_split(key, np.arange(10) % 2, 0.2),
        "fit_statistics of JAX's": lambda: jx.fit_statistics(images),
        "affine_warp": lambda: jx.affine_warp(image, matrix),
        "rotation_matrix": lambda: jx.rotation_matrix(0.1),
        "flip_matrix": lambda: jx.flip_matrix(True, False),
        "compose": lambda: jx.compose(matrix, matrix),
        "about_centre": lambda: jx.about_centre(np.eye(3), 3, 4),
        "about_centre of lists": lambda: jx.about_centre(np.eye(3).tolist(), 3, 4),
        "Affine.sample": lambda: affine.sample(key, (12, 10, 3)),
        "Rescale.apply": lambda: jx.Rescale(2.0).apply((), IMAGES[0]),
        "Affine.apply": lambda: affine.apply(params, IMAGES[0]),
        "Chain.apply": lambda: jx.Chain(affine).apply((params,), IMAGES[0]),
        "an array of JAX as a parameter": lambda: jx.Normalize(mean),
        "a range of arrays": lambda: jx.Affine(rotation=(one, one)),
        "a range with an array": lambda: jx.Affine(rotation=(np.float32(1), one)),
        "a shift of an array and a number": lambda: jx.Affine(shift=(np.array([0.1, 0.2]), 0.1)),
        "a shift of an array and a pair": lambda: jx.Affine(shift=(np.array(0.1), (0.1, 0.2))),
        "a shift with an array of JAX": lambda: jx.Affine(shift=(two, 0.1)),
        "Brightness": lambda: jx.Brightness((one, one)),
        "ChannelShift": lambda: jx.ChannelShift((one, one)),
        "Cast.apply": lambda: jx.Cast("uint8").apply((), IMAGES[0]),
        "a JAX key as a seed": lambda: ImageDataGenerator().flow(IMAGES, seed=key),
    }
    outcomes = in_a_fork(calls)
    for name, outcome in outcomes.items():
        assert outcome.startswith("RuntimeError"), (name, outcome)
        assert "was forked from it" in outcome, (name, outcome)
        assert "spawn" in outcome, (name, outcome)


def test_what_needs_no_jax_works():
    generator = ImageDataGenerator(rotation_range=20, brightness_range=(0.5, 1.5), samplewise_center=True)
    flow = {"seed": 3, "shuffle": True}
    expected = next(generator.flow(IMAGES, batch_size=4, **flow))
    centred = ImageDataGenerator(rotation_range=20, featurewise_center=True, zca_whitening=True)

    def batches():
        for size in (4, 1):
            np.testing.assert_allclose(
                next(generator.flow(IMAGES, batch_size=size, **flow)), expected[:size], atol=6e-4
            )

    def goes_on():
        before = generator.flow(IMAGES, batch_size=1, **flow)
        next(before)
        after = generator.flow(IMAGES, batch_size=1, **flow)
        after.set_state(before.get_state())
        np.testing.assert_array_equal(next(after), next(before))

    outcomes = in_a_fork(
        {
            "random_transform": lambda: generator.random_transform(IMAGES[0]),
            "apply_transform": lambda: generator.apply_transform(IMAGES[0], {"theta": 10, "brightness": 0.5}),
            "random_rotation": lambda: random_rotation(IMAGES[0], 10, 0, 1, 2, interpolation_order=3),
            "batches": batches,
            "set_state": goes_on,
            "rng='keras'": lambda: next(generator.flow(IMAGES, batch_size=4, rng="keras", seed=1)),
            "fit": lambda: centred.fit(IMAGES),
            "fit(augment=True)": lambda: centred.fit(IMAGES, augment=True, rounds=2, seed=0),
            "fit_statistics": lambda: jx.fit_statistics(IMAGES),
            "image_grid": lambda: jx.image_grid(IMAGES),
            "Loader": lambda: jx.Loader(IMAGES, batch_size=2, augment=jx.Affine(rotation=0.1)).num_steps,
        }
    )
    assert set(outcomes.values()) == {"works"}, outcomes


def test_jax_arrays_at_keras_face_are_read_without_jax_or_refused():
    """Arithmetic of JAX would wait for ever, and the value of an array that lies on the host can be read."""
    image, images, two, rows = (jnp.asarray(x) for x in (IMAGES[0] / 255, IMAGES, np.ones(2), np.arange(6)))
    three, half, one = jnp.float32(3), jnp.float32(0.5), jnp.int32(1)
    picture, axes, generator = IMAGES[0], (0, 1, 2), ImageDataGenerator(rotation_range=20)
    shared = jax.device_put(image, jax.sharding.NamedSharding(jax.make_mesh((6,), ("i",)), jax.P("i")))
    eye, per_channel = jnp.eye(3), jnp.ones((1, 1, 3))
    of_jax = ImageDataGenerator(
        rotation_range=three, width_shift_range=two, brightness_range=(half, three), rescale=half, cval=one
    )
    centred = ImageDataGenerator(featurewise_center=True)
    centred.mean = per_channel
    whitened = ImageDataGenerator(featurewise_center=True, zca_whitening=True, zca_epsilon=half)

    def with_attributes(**attributes):
        it = generator.flow(IMAGES, np.arange(6), sample_weight=np.ones(6))
        vars(it).update(attributes)
        next(it)

    calls = {
        "apply_affine_transform": lambda: keras.apply_affine_transform(image, three, one, 0, 0, 1, half, *axes),
        "of an array on several devices": lambda: keras.apply_affine_transform(shared, 3, 0, 0, 0, 1, 1, *axes),
        "apply_channel_shift": lambda: keras.apply_channel_shift(image, half, 2),
        "apply_brightness_shift": lambda: keras.apply_brightness_shift(image, half),
        "flip_axis": lambda: keras.flip_axis(image, 0),
        "transform_matrix_offset_center": lambda: keras.transform_matrix_offset_center(eye, one, one),
        "random_rotation": lambda: keras.random_rotation(image, three, *axes),
        "random_shift": lambda: keras.random_shift(image, half, half, *axes),
        "random_shear": lambda: keras.random_shear(image, three, *axes),
        "random_zoom": lambda: keras.random_zoom(image, (half, three), *axes),
        "random_zoom of an array": lambda: keras.random_zoom(image, two, *axes),
        "random_channel_shift": lambda: keras.random_channel_shift(image, three, 2),
        "random_brightness": lambda: keras.random_brightness(image, (half, three)),
        "array_to_img": lambda: keras.array_to_img(image),
        "img_to_array": lambda: keras.img_to_array(image),
        "save_img": lambda: keras.save_img(io.BytesIO(), image, file_format="png"),
        "random_transform": lambda: of_jax.random_transform(image, seed=one),
        "apply_transform": lambda: of_jax.apply_transform(image, {"theta": three, "channel_shift_intensity": half}),
        "standardize": lambda: (of_jax.standardize(image), centred.standardize(picture)),
        "fit": lambda: centred.fit(images, augment=True, seed=one),
        "flow": lambda: next(of_jax.flow((images, [rows]), rows, one, True, rows, one)),
        "rng='keras'": lambda: next(of_jax.flow(IMAGES, seed=one, rng="keras")),
        "by hand": lambda: generator.flow(IMAGES)._get_batches_of_transformed_samples(rows),
        "index": lambda: of_jax.flow(IMAGES, batch_size=2)[one],
        "index_array": lambda: setattr(made := generator.flow(IMAGES), "index_array", rows) or made[0],
        "constructor": lambda: ImageDataGenerator(validation_split=half),
        "y": lambda: with_attributes(y=rows),
        "sample_weight": lambda: with_attributes(sample_weight=rows),
        "x_misc": lambda: with_attributes(x_misc=[rows]),
        "zca_epsilon": lambda: whitened.fit(IMAGES),
    }
    outcomes = in_a_fork(calls)
    assert set(outcomes.values()) == {"works"}, outcomes
    with mock.patch("jaxiter.keras._forked._is_at_hand", return_value=False):  # as of a GPU
        outcomes = in_a_fork(calls)
    for name, outcome in outcomes.items():
        assert outcome.startswith("RuntimeError: JAX was running"), (name, outcome)


def test_output_on_the_device_and_iterators_from_before_the_fork_raise():
    generator = ImageDataGenerator(rotation_range=20)
    before = generator.flow(IMAGES, batch_size=1, seed=0)
    next(before)
    outcomes = in_a_fork(
        {
            "output='jax'": lambda: next(NumpyArrayIterator(IMAGES, None, generator, 1, output="jax")),
            "before the fork": lambda: before[0],
        }
    )
    for name, outcome in outcomes.items():
        assert outcome.startswith("RuntimeError"), (name, outcome)


BEFORE_JAX = """
import multiprocessing
import jax, numpy as np
import jax._src.xla_bridge as bridge
import jaxiter as jx

def work(step):
    return int(jx.Loader(np.arange(8), batch_size=4).batch(jax.random.key(0), 0, step).sum())

if __name__ == "__main__":
    for side in range(20, 26):
        generator = jx.ImageDataGenerator(rotation_range=10, zoom_range=0.1, horizontal_flip=True)
        images = np.ones((3, side, 2 * side, 3), np.float32)
        batches = generator.flow(images, np.arange(3), batch_size=1, seed=0)
        next(batches), batches[1], batches.get_state(), generator.random_transform(images[0])
    assert not bridge.backends_are_initialized()  # so that nothing was compiled either
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert sum(pool.map_async(work, [0, 1]).get(timeout=100)) == 28
"""


def test_pictures_one_by_one_start_no_backend_and_a_child_forked_before_may():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", BEFORE_JAX], check=True, timeout=200, env=environment)


WORKERS = """
import warnings
warnings.simplefilter("ignore")
import keras, numpy as np
import jaxiter as jx

class Pictures(keras.utils.PyDataset):
    def __init__(self, images, generator):
        super().__init__(workers=2, use_multiprocessing=True)
        self.images, self.generator = images, generator
    def __len__(self):
        return 4
    def __getitem__(self, index):
        rows = range(4 * index, 4 * index + 4)
        return np.stack([self.generator.random_transform(self.images[row]) for row in rows]), np.zeros((4, 1))

if __name__ == "__main__":
    images = np.random.default_rng(0).random((16, 12, 10, 3), np.float32)
    generator = jx.ImageDataGenerator(rotation_range=20, zoom_range=0.1, channel_shift_range=0.1)
    next(generator.flow(images, batch_size=8))  # so that JAX runs
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(Pictures(images, generator), epochs=2, verbose=0)
"""


@pytest.mark.slow
def test_fit_of_keras_with_forked_workers():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", WORKERS], check=True, timeout=200, env=environment)


def test_draws_without_a_seed_differ_between_a_parent_and_its_children():
    """Each worker would otherwise show the pictures of all others."""
    generator = ImageDataGenerator(rotation_range=90)
    seen = []
    for _ in range(2):
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
            child = os.fork()
        if child == 0:
            os.write(write, repr(generator.get_random_transform((8, 8, 3))["theta"]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read) as pipe:
            seen.append(float(pipe.read()))
    seen.append(generator.get_random_transform((8, 8, 3))["theta"])
    assert len(set(seen)) == 3
