"""A Keras script before it moves, with one import line changed, and over a Loader: accuracy and images a second.

KERAS_BACKEND=jax python bench/keras_steps.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from sklearn.datasets import load_digits

import jaxiter as jx
from jaxiter.keras import ImageDataGenerator

SEEDS, EPOCHS, BATCH = range(3), 15, 32
OPTIONS: dict[str, Any] = {
    "rotation_range": 10,
    "width_shift_range": 0.05,
    "height_shift_range": 0.05,
    "zoom_range": 0.1,
    "fill_mode": "constant",
}
AUGMENT = jx.Chain(jx.Affine(rotation=10, shift=0.05, zoom=0.1, fill_mode="constant"), jx.Rescale(1 / 16))


def digits() -> tuple[np.ndarray, ...]:
    found = load_digits()
    order = np.random.RandomState(0).permutation(len(found.target))
    images, labels = found.images.astype(np.uint8)[order, ..., None], found.target[order].astype(np.int32)
    # Whole batches alone, so that all three train on the same number of images in an epoch: 1,408.
    return images[:1408], labels[:1408], images[-360:], labels[-360:]


def network() -> keras.Model:
    model = keras.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def of_keras(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    return KerasGenerator(**OPTIONS, rescale=1 / 16).flow(x, y, batch_size=BATCH, seed=seed)


def one_line(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    return ImageDataGenerator(**OPTIONS, rescale=1 / 16).flow(x, y, batch_size=BATCH, seed=seed)


def of_loader(x: np.ndarray, y: np.ndarray, seed: int) -> Iterator[Any]:
    loader = jx.Loader((x, y), batch_size=BATCH, augment=AUGMENT).to_device()
    return (batch for batch in jx.stream(loader, jax.random.key(seed)))


def run(data: Callable[..., Any], seed: int) -> tuple[float, float]:
    """Test accuracy, and images a second of all epochs but the first, in which Keras compiles."""
    keras.utils.set_random_seed(seed)
    x, y, x_test, y_test = digits()
    model, batches, steps = network(), data(x, y, seed), len(x) // BATCH
    more = {"steps_per_epoch": steps} if data is of_loader else {}
    model.fit(batches, epochs=1, shuffle=False, verbose=0, **more)
    start = time.perf_counter()
    model.fit(batches, initial_epoch=1, epochs=EPOCHS, shuffle=False, verbose=0, **more)
    speed = (EPOCHS - 1) * steps * BATCH / (time.perf_counter() - start)
    return model.evaluate(x_test / np.float32(16), y_test, verbose=0)[1], speed


def main() -> None:
    forms = {"Keras' own generator": of_keras, "one import line": one_line, "fit over a Loader": of_loader}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for seed in SEEDS:  # in turns, so that what else runs on the machine falls on all
        for name, data in forms.items():
            found[name].append(run(data, seed))
    for name, runs in found.items():
        accuracy, speed = np.array(runs).T
        print(f"{name}: accuracy {accuracy.mean():.1%} ({', '.join(f'{a:.1%}' for a in accuracy)}), ", end="")
        print(f"{np.median(speed):,.0f} images/s ({speed.min():,.0f} to {speed.max():,.0f})")


if __name__ == "__main__":
    main()
