"""Keras 3 does with the iterators what it does with its own legacy ones."""

import sys

import jax
import keras
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, Iterator

from ..data import first
from .reference import legacy

SIZE = 22
rng = np.random.RandomState(0)
IMAGES = rng.randint(0, 256, (SIZE, 4, 4, 1)).astype(np.uint8)
MISC = rng.rand(SIZE, 3).astype(np.float32)
LABELS = np.arange(SIZE, dtype=np.int32) % 3  # of int64 Keras asks JAX, which from 0.11 on warns of it
WEIGHTS = rng.rand(SIZE).astype(np.float32)
ours = sys.modules["jaxiter.keras"]


@pytest.fixture(autouse=True)
def _as_keras_needs_it():
    with jax.numpy_dtype_promotion("standard"):
        yield


def model(outputs=3):
    """A linear classifier with the same weights every time."""
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(outputs, activation="softmax")])
    made.compile(
        keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"], run_eagerly=True
    )
    return made


def two_inputs():
    keras.utils.set_random_seed(0)
    images, misc = keras.Input((4, 4, 1)), keras.Input((3,))
    features = keras.layers.Concatenate()([keras.layers.Flatten()(images), misc])
    made = keras.Model([images, misc], keras.layers.Dense(3, activation="softmax")(features))
    made.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    return made


class Seen(keras.layers.Layer):
    """Writes down what it is given while the model trains."""

    def __init__(self):
        super().__init__()
        self.values = []

    def call(self, x):
        jax.debug.callback(lambda x: self.values.append(x.ravel().astype(int).tolist()), x, ordered=True)
        return x


class Places(Iterator):
    """A batch is the places of its examples, with labels."""

    def _get_batches_of_transformed_samples(self, index_array):
        x = np.array(index_array, np.float32)[:, None]
        return x, 0 * x


def epochs_seen(it, epochs, **options):
    """The batches that a model trains on in each epoch of the second `fit`, when it is built."""
    layer = Seen()
    made = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    made.fit(it, epochs=1, verbose=0, **options)
    jax.effects_barrier()
    layer.values.clear()
    made.fit(it, epochs=epochs, verbose=0, **options)
    jax.effects_barrier()
    count = len(layer.values) // epochs
    return [layer.values[count * epoch : count * (epoch + 1)] for epoch in range(epochs)]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_fit_shows_every_example_once_in_each_epoch_in_a_new_order(workers, shuffle):
    it = Places(100, 3, True, 0, workers=workers)
    orders = [np.concatenate(epoch).tolist() for epoch in epochs_seen(it, 3, shuffle=shuffle)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_the_order_of_fit_without_shuffle_follows_from_the_seed():
    first, second = (epochs_seen(Places(10, 3, True, 5, workers=workers), 2, shuffle=False) for workers in (1, 4))
    assert first == second


def flow(module, generator_options=None, **options):
    """An iterator of ours or of Keras' own, which change nothing but the scale."""
    generator = module.ImageDataGenerator(rescale=1 / 255, **(generator_options or {}))
    x = options.pop("x", IMAGES)
    return generator.flow(x, options.pop("y", LABELS), batch_size=4, shuffle=False, **options)


def halves(module, **options):
    options = {"ignore_class_split": True, **options}
    split = {"validation_split": 0.4}
    return {
        "x": flow(module, split, subset="training", **options),
        "validation_data": flow(module, split, subset="validation", **options),
    }


FITS = {
    "labels": lambda module: {"x": flow(module)},
    "validation": halves,
    "weights": lambda module: {"x": flow(module, sample_weight=WEIGHTS)},
    "class weights": lambda module: {"x": flow(module), "class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    "steps": lambda module: {**halves(module), "steps_per_epoch": 2, "validation_steps": 1},
}


@pytest.mark.parametrize("fit", first(1, FITS))
def test_fit_learns_what_it_learns_from_keras_own_iterator(fit):
    found, expected = (
        model().fit(**FITS[fit](module), epochs=3, shuffle=False, verbose=0).history for module in (ours, legacy)
    )
    assert found.keys() == expected.keys()
    for name in found:
        assert len(found[name]) == 3
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_two_inputs_learn_the_same_too_and_predict_where_there_are_labels():
    results = []
    for module in (ours, legacy):
        made, it = two_inputs(), flow(module, x=[IMAGES, MISC])
        history = made.fit(it, epochs=2, shuffle=False, verbose=0).history
        results.append((history["loss"], made.evaluate(it, verbose=0), made.predict(it, verbose=0)))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("module", [ours, legacy])
def test_keras_takes_a_second_input_without_labels_for_labels(module):
    it, made = flow(module, x=[IMAGES, MISC], y=None), model()
    assert [part.shape for part in it[0]] == [(4, 4, 4, 1), (4, 3)]
    made.compile(loss="mse", run_eagerly=True)
    found, expected = made.evaluate(it, verbose=0), made.evaluate(IMAGES / np.float32(255), MISC, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


def test_predict_keeps_the_order_with_labels_and_without():
    made = model()
    expected = made(IMAGES / np.float32(255))
    for labels in (LABELS, None):
        for workers in (1, 4):
            it = flow(ours, y=labels)
            it.workers = workers
            np.testing.assert_allclose(made.predict(it, verbose=0), expected, atol=1e-6)


def test_evaluate_agrees_with_the_arrays_and_moves_no_position():
    made, it = model(), flow(ours)
    next(it)
    found = made.evaluate(it, verbose=0)
    np.testing.assert_allclose(found, made.evaluate(IMAGES / np.float32(255), LABELS, verbose=0), rtol=1e-5)
    assert it.batch_index == 1


def test_images_on_the_device_train_as_numpy_images_do():
    first, second = (
        model().fit(flow(ours, output=output), validation_data=flow(ours, output=output), shuffle=False, verbose=0)
        for output in ("numpy", "jax")
    )
    assert first.history == second.history


def test_keras_takes_images_alone_as_numpy_arrays_only():
    with pytest.raises(ValueError, match="must return a tuple or a dict"):
        model().predict(flow(ours, y=None, output="jax"), verbose=0)


def test_a_seed_gives_the_same_training_with_augmentation():
    def losses(seed):
        generator = ImageDataGenerator(rotation_range=40, horizontal_flip=True, rescale=1 / 255)
        it = generator.flow(IMAGES, LABELS, batch_size=4, seed=seed)
        return model().fit(it, epochs=3, shuffle=False, verbose=0).history["loss"]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


@pytest.mark.filterwarnings("ignore:Please import .affine_transform")
def test_a_replayed_seed_trains_as_keras_own_iterator_trains():
    def losses(module, **options):
        generator = module.ImageDataGenerator(rotation_range=40, horizontal_flip=True, rescale=1 / 255)
        it = generator.flow(IMAGES, LABELS, batch_size=4, seed=7, **options)
        return model().fit(it, epochs=3, shuffle=False, verbose=0).history["loss"]

    np.testing.assert_allclose(losses(ours, rng="keras"), losses(legacy), rtol=1e-4)
