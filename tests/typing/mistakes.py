"""What a checker must refuse: each line that has a comment, with that error, and no other line."""

import io

import jax
import numpy as np

import jaxiter as jx
from jaxiter.keras import ImageDataGenerator, array_to_img, img_to_array, load_img, save_img, smart_resize

Carry = dict[str, jax.Array]


def step(carry: Carry, batch: jax.Array) -> tuple[Carry, jax.Array]:
    return carry, batch.sum()


def mistakes(loader: jx.Loader, key: jax.Array, images: np.ndarray, labels: np.ndarray, photos: jx.ImageFiles) -> None:
    jx.Loader(images)  # call-arg
    jx.Loader(images, batch_size="64")  # arg-type
    jx.Loader(images, 64)  # call-arg
    jx.Loader(images, batch_size=64, shufle=True)  # call-arg
    jx.Loader(images, batch_size=64, remainder="foo")  # arg-type
    loader.batch(key, 0)  # call-arg
    loader.batch(key, 0, "1")  # arg-type
    loader.batch(0, 0, 1)  # arg-type
    loader.replace(batchsize=64)  # call-arg
    loader.replace(shuffle="no")  # arg-type
    loader.replace(remainder="foo")  # arg-type
    loader.size = 3  # misc
    jx.Affine(rotate=10)  # call-arg
    jx.Affine(rotation="10")  # arg-type
    jx.Chain([jx.Affine()])  # arg-type
    jx.Chain(np.flip)  # arg-type
    jx.RandomResizedCrop((1, 2, 3))  # arg-type
    jx.Resize(3, mode="foo")  # arg-type
    jx.Boxes("image", format="foo")  # arg-type
    jx.Points("image", format="xyxy")  # arg-type
    jx.stream(loader, key, epochs=3)  # call-arg
    jx.stream(loader, key, start=3)  # arg-type
    jx.stream(images, key)  # arg-type
    jx.scan_epoch(step, key, loader, key, 0)  # arg-type
    jx.explain(loader, key, 0)  # call-arg
    jx.deterministic()  # call-overload
    jx.image_folder(images)  # arg-type
    jx.image_folder("photos", size="64")  # arg-type
    jx.image_folder("photos", resize="foo")  # arg-type
    jx.image_files(["a.png"], mode="foo")  # arg-type
    jx.pack("photos", "photos.jx")  # arg-type
    jx.pack(photos, "photos.jx", on_error="foo")  # arg-type
    jx.image_grid("photos")  # arg-type
    jx.image_grid(3)  # arg-type
    jx.image_grid(loader.epoch(key, 0))  # arg-type
    jx.train_validation_split(key, labels, "0.2")  # arg-type
    jx.stream(loader, key).position = (0, 0)  # misc
    jx.affinewarp(images, np.eye(3))  # attr-defined
    ImageDataGenerator(rotation=15)  # call-arg
    ImageDataGenerator().flow(images, labels, batchsize=3)  # call-arg
    ImageDataGenerator().flow({"image": images}, labels)  # arg-type
    load_img(3)  # arg-type
    load_img(io.StringIO("photo.png"))  # arg-type
    save_img(3, images[0])  # arg-type
    img_to_array(images[0], dtype=3)  # arg-type
    array_to_img(images[0], dtype=3)  # arg-type
    smart_resize({"image": images}, (8, 8))  # call-overload
