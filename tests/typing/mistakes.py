"""What a checker must refuse: each line that has a comment, with that error, and no other line."""

import jax
import numpy as np

import jaxiter as jx
from jaxiter.keras import ImageDataGenerator

Carry = dict[str, jax.Array]


def step(carry: Carry, batch: jax.Array) -> tuple[Carry, jax.Array]:
    return carry, batch.sum()


def mistakes(loader: jx.Loader, key: jax.Array, images: np.ndarray, labels: np.ndarray) -> None:
    jx.Loader(images)  # call-arg
    jx.Loader(images, batch_size="64")  # arg-type
    jx.Loader(images, 64)  # call-arg
    jx.Loader(images, batch_size=64, shufle=True)  # call-arg
    loader.batch(key, 0)  # call-arg
    loader.batch(key, 0, "1")  # arg-type
    loader.batch(0, 0, 1)  # arg-type
    loader.replace(batchsize=64)  # call-arg
    loader.replace(shuffle="no")  # arg-type
    loader.size = 3  # misc
    jx.Affine(rotate=10)  # call-arg
    jx.Affine(rotation="10")  # arg-type
    jx.Chain([jx.Affine()])  # arg-type
    jx.Chain(np.flip)  # arg-type
    jx.RandomResizedCrop((1, 2, 3))  # arg-type
    jx.stream(loader, key, epochs=3)  # call-arg
    jx.stream(loader, key, start=3)  # arg-type
    jx.stream(images, key)  # arg-type
    jx.scan_epoch(step, key, loader, key, 0)  # arg-type
    jx.explain(loader, key, 0)  # call-arg
    jx.deterministic()  # call-overload
    jx.image_folder(images)  # arg-type
    jx.image_folder("photos", size="64")  # arg-type
    jx.pack("photos", "photos.jx")  # arg-type
    jx.train_validation_split(key, labels, "0.2")  # arg-type
    jx.stream(loader, key).position = (0, 0)  # misc
    jx.affinewarp(images, np.eye(3))  # attr-defined
    ImageDataGenerator(rotation=15)  # call-arg
    ImageDataGenerator().flow(images, labels, batchsize=3)  # call-arg
