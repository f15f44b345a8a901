"""What users write, and the types that a checker finds; the same with jaxtyping and without."""

import io
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import jax
import numpy as np
from PIL import Image

import jaxiter as jx
from jaxiter.keras import (
    DirectoryIterator,
    ImageDataGenerator,
    NumpyArrayIterator,
    array_to_img,
    img_to_array,
    load_img,
    save_img,
    smart_resize,
)

Batch = tuple[jax.Array, jax.Array]


@dataclass(frozen=True)
class Speckles(jx.Transform):
    """A transform of a user's own."""

    rate: float = 0.1

    def sample(self, key: jax.Array, image_shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, image_shape)

    def apply(self, params: jax.Array, image: jax.Array) -> jax.Array:
        return jax.numpy.where(params < self.rate, 0, image)


@dataclass
class Labelled:
    """A batch in a container of a user's own."""

    image: jax.Array
    label: jax.Array


class Brighter(ImageDataGenerator):
    """A subclass with types of its own."""

    def standardize(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return x + 10


class Weighted(DirectoryIterator):
    """An iterator over files with weights."""

    @property
    def sample_weight(self) -> np.ndarray[Any, Any]:
        return np.ones(self.samples)


def halved(image: jax.Array) -> jax.Array:
    return image / 2


def transforms(image: jax.Array, key: jax.Array) -> jx.Transform:
    chain = jx.Chain(
        jx.RandomResizedCrop(224, scale=(0.2, 1)),
        jx.Affine(rotation=10, shift=(0.1, (0, 0.2)), zoom=(0.9, 1.1), horizontal_flip=True, fill_mode="reflect"),
        jx.ColorJitter(0.4, 0.4, (0.5, 1.5), 0.1),
        jx.Sometimes(0.5, jx.OneOf(jx.Blur(1.0), jx.Sharpness(0.5))),
        jx.RandAugment(2, 9),
        jx.Erase(0.5),
        jx.Map(halved),
        Speckles(rate=0.2),
        jx.Normalize([0.5, 0.5, 0.5], np.array([0.2, 0.2, 0.2], np.float32)),
    )
    assert_type(chain, jx.Chain)
    assert_type(chain.transforms, tuple[jx.Transform, ...])
    assert_type(jx.Affine(rotation=10).sample(key, (8, 8, 3)), jx.AffineParams)
    assert_type(chain.is_random, bool)
    assert_type(jx.deterministic(None), None)
    return assert_type(jx.deterministic(chain), jx.Transform)


def loaders(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], key: jax.Array) -> jx.Loader:
    train_rows, validation_rows = assert_type(jx.train_validation_split(key, labels, 0.2), jx.Split)
    loader = jx.Loader(
        {"image": images, "mask": images, "label": labels},
        batch_size=64,
        augment={"image": jx.Affine(rotation=10), "mask": jx.Mask("image", cval=255), "label": None},
        rows=train_rows,
        weights=jx.balanced_weights(labels),
        remainder="pad",
    )
    assert_type(loader.size, int)
    assert_type(len(loader), int)
    assert_type(loader.preview(key, rows=[1, 2], epochs=3), Image.Image)
    assert_type(loader.epoch(key, 0), Iterator[Any])
    assert_type(loader.memory(prefetch=3), jx.MemoryEstimate)
    assert_type(loader.memory().streaming, int)
    assert_type(loader.step_after(640), int)
    loader.replace(remainder=loader.remainder, shuffle=loader.shuffle)
    assert_type(jx.explain(loader, key, 0, np.int32(3)), jx.Explanation)
    assert_type(loader.replace(batch_size=32, rows=validation_rows, weights=None), jx.Loader)
    batch: Batch = loader.batch(key, 3, step=jax.numpy.uint32(1))
    assert_type(batch[0], jax.Array)
    return assert_type(loader.to_device(jax.devices()[0]), jx.Loader)


def trains(loader: jx.Loader, key: jax.Array, params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    def step(params: dict[str, jax.Array], batch: tuple[Batch, jax.Array]) -> tuple[dict[str, jax.Array], jax.Array]:
        (images, _), mask = batch
        return params, (images.mean(axis=(1, 2, 3)) * mask).sum()

    with jx.stream(loader, key, start=(1, 2), num_epochs=10, with_mask=True) as batches:
        assert_type(batches, jx.Stream)
        for batch in batches:
            params, _ = step(params, batch)
        assert_type(batches.position, tuple[int, int])
        assert_type(batches.stats, jx.StreamStats)
        state = batches.get_state()
        assert_type(state["epoch"], int)
        batches.set_state(state)
        batches.set_state({"epoch": 1, "step": 2})  # as it comes from JSON
    found = jx.scan_epoch(step, params, loader, key, 3, with_mask=True)
    assert_type(found, tuple[dict[str, jax.Array], jax.Array])
    return found[0]


def files(folder: str) -> None:
    photos = jx.image_folder(folder, size=(64, 64), mode="L", dtype=np.uint16)
    assert_type(photos, jx.ImageFiles)
    assert_type(photos.class_names, list[str] | None)
    assert_type(photos.shape[0], int)
    assert photos[0].shape == (64, 64, 1)
    for row, path, error in jx.check_files(photos):
        print(row + 1, path.upper(), error.reason.upper())
    report = jx.pack(jx.image_files([folder], labels=["a"]), "photos.jx", shorter_side=None)
    assert_type(report, jx.PackReport)
    images, _, names = jx.open_packed(report.file)
    assert_type(names, list[str] | None)
    if isinstance(images, jx.Ragged):
        assert_type(images[:3], list[Any])
    assert_type(jx.pack(photos, "resized.jx", on_error="report"), jx.PackReport)
    jx.image_files(["b.png"], resize=photos.resize, mode=photos.mode)
    assert_type(jx.fit_statistics(photos, progress=True), jx.Statistics)


def grids(loader: jx.Loader, key: jax.Array, labelled: Labelled, images: np.ndarray[Any, Any]) -> None:
    assert_type(jx.image_grid([np.zeros((2, 8, 8, 3))], columns=2), Image.Image)
    batch: Batch = loader.batch(key, 0, 0)
    jx.image_grid(images)
    jx.image_grid(batch)
    jx.image_grid([batch[0], images])
    jx.image_grid([batch, {"image": images}])
    jx.image_grid([[images[0], images[1]], [images[2], images[3]]])
    jx.image_grid({"image": images, "mask": images > 0}, range=(0, 1))
    jx.image_grid(labelled)
    jx.image_grid([labelled, labelled])


def mixes(key: jax.Array, images: jax.Array, labels: np.ndarray[Any, Any]) -> None:
    for mix in (jx.mixup, jx.cutmix):
        mixed, soft = mix(key, images, labels, 0.2, num_classes=10)
        print(mixed.sum(), soft.sum())
    print(jx.shuffled(key, 0, 5, size=100) + 1, jx.permutation(key, 0, 100)[:3])
    print(
        jx.affine_warp(np.zeros((8, 8, 3)), jx.compose(jx.rotation_matrix(0.1), jx.flip_matrix(True, False)), order=3)
    )


def keras(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
    generator = ImageDataGenerator(rotation_range=15, zoom_range=(0.9, 1.1), validation_split=0.2)
    generator.fit(images, augment=True)
    iterator = generator.flow(images, labels, batch_size=64, seed=0, subset="training", output="jax")
    assert_type(iterator, NumpyArrayIterator)
    x, y = next(iterator)
    generator.flow((images, [labels, labels]), labels)
    generator.flow(jax.numpy.asarray(images), labels.tolist())
    generator.flow([images, images])
    print(generator.standardize(images[0]).shape)
    files = generator.flow_from_directory("photos", class_mode="sparse")
    assert_type(files.sample_weight, np.ndarray | None)
    print(files.labels.shape, x.shape, y.shape, len(iterator), iterator.get_state()["epoch"])


def keras_pictures(file: io.BytesIO, image: np.ndarray[Any, Any], traced: jax.Array) -> jax.Array:
    for path in ("photo.png", b"photo.png", pathlib.Path("photo.png"), file):
        assert_type(load_img(path), Image.Image)
    array = img_to_array(load_img("photo.png"), dtype=np.uint8)
    save_img(file, array, file_format="png")
    save_img(pathlib.Path("photo.png"), [[[0.0], [1.0]]])
    assert_type(array_to_img(traced, dtype="float64"), Image.Image)
    assert_type(smart_resize(image, (8, 8)), np.ndarray)
    assert_type(smart_resize([[[0.0], [1.0]]], [8, 8]), jax.Array)
    return assert_type(smart_resize(traced, (8, 8)), jax.Array)
