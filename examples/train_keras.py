"""A Keras script as it was written for tf.keras, trained on JAX: one import line is new. Needs jaxiter[examples]."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from jaxiter.keras import ImageDataGenerator  # was: from tensorflow.keras.preprocessing.image import ...

keras.utils.set_random_seed(0)
digits = load_digits()
order = np.random.RandomState(0).permutation(len(digits.target))
images, labels = digits.images.astype(np.uint8)[order, ..., None], digits.target[order].astype(np.int32)
x_train, y_train, x_test, y_test = images[:-360], labels[:-360], images[-360:], labels[-360:]

augmented = ImageDataGenerator(
    rotation_range=10,
    width_shift_range=0.05,
    height_shift_range=0.05,
    zoom_range=0.1,
    fill_mode="constant",
    rescale=1 / 16,
    validation_split=0.2,
)
plain = ImageDataGenerator(rescale=1 / 16, validation_split=0.2)
train = augmented.flow(x_train, y_train, batch_size=32, subset="training", seed=0)
validation = plain.flow(x_train, y_train, batch_size=256, subset="validation", shuffle=False)
test = plain.flow(x_test, y_test, batch_size=256, shuffle=False)

model = keras.Sequential(
    [
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, padding="same", strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train, validation_data=validation, epochs=25, verbose=2)

loss, accuracy = model.evaluate(test, verbose=0)
print(f"test accuracy {accuracy:.1%}")

predicted = model.predict(plain.flow(x_test, shuffle=False), verbose=0).argmax(-1)
wrong = np.flatnonzero(predicted != y_test)
print(f"{len(wrong)} of {len(y_test)} misread:", ", ".join(f"{y_test[i]} as {predicted[i]}" for i in wrong))
