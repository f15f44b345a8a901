"""Batches of JPEGs in a folder by jaxiter and by other libraries: decoded, cropped, flipped, normalised.

    python bench/_file_peers.py NAME FOLDER true|false

runs one of `CASES` for bench/files.py, with or without antialias, in whatever Python has its library; "epochs" prints
what is resident after each of ten.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
from _in_turns import resident_bytes, serve

SIDE, BATCH_SIZE, WORKERS = 224, 64, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
EPOCHS, NUM_EPOCHS = "epochs", 10


class Case(NamedTuple):
    """Where the files are, and how they are resized."""

    folder: Path  # of `photos`, `photos.jx`, `photos.npy`
    antialias: bool

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def files(self) -> list[str]:
        return sorted(map(str, self.photos.glob("*/*.jpg")))


# jaxiter


def ours(case: Case, source: str, *, resident: bool = False) -> Iterator[Any]:
    import jax

    import jaxiter as jx

    crop = jx.RandomResizedCrop(SIDE, antialias=case.antialias)
    normalize = jx.Normalize(np.float32(MEAN) * 255, np.float32(STD) * 255)
    augment = jx.Chain(crop, jx.Affine(horizontal_flip=True), normalize)
    if source == "photos":
        photos: Any = jx.image_folder(case.photos)
        labels: Any = photos.labels
    else:
        photos, labels, _ = jx.open_packed(case.folder / source)
    loader = jx.Loader((photos, labels), batch_size=BATCH_SIZE, augment=(augment, None))
    # As docs/speed.md says of batches of more than some 10 MB.
    batches = jx.stream(loader.to_device() if resident else loader, jax.random.key(0), donate=True)
    return (jax.block_until_ready(images) for images, _ in batches)


def decoded(case: Case) -> Iterator[Any]:
    """Decoding alone, by jaxiter's threads: what all of the time from files is at least."""
    import jaxiter as jx

    source = jx.image_folder(case.photos)
    while True:
        pictures = source.pictures(num_threads=WORKERS)
        for _ in range(len(source) // BATCH_SIZE):
            yield list(itertools.islice(pictures, BATCH_SIZE))
        pictures.close()


def epochs(case: Case, count: int) -> list[int]:
    """The resident set in bytes after each epoch over the files."""
    steps, found = len(case.files) // BATCH_SIZE, []
    batches = ours(case, "photos")
    for _ in range(count):
        check(deque(itertools.islice(batches, steps), maxlen=1).pop())
        found.append(resident_bytes())
    return found


# Others


def by_torch(case: Case) -> Iterator[Any]:
    """Decoded by Pillow and resized as bytes by torch, which takes less time than both by Pillow."""
    import torch
    from _torch_libraries import v2
    from torchvision.datasets import ImageFolder

    crop = v2.RandomResizedCrop(SIDE, scale=AREA, ratio=RATIO, antialias=case.antialias)
    steps = [
        v2.PILToTensor(),
        crop,
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, True),
        v2.Normalize(MEAN, STD),
    ]
    dataset = ImageFolder(case.photos, v2.Compose(steps))
    loader = torch.utils.data.DataLoader(
        dataset, BATCH_SIZE, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    return (images.permute(0, 2, 3, 1) for _ in itertools.count() for images, _ in loader)


def by_grain(case: Case, *, processes: bool = False) -> Iterator[Any]:
    import grain
    from absl import flags

    flags.FLAGS.mark_as_parsed()
    order = grain.MapDataset.source(case.files).seed(0).shuffle().repeat()
    batches = order.random_map(by_pillow).batch(BATCH_SIZE, drop_remainder=True)
    if processes:
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=WORKERS, per_worker_buffer_size=2)
        reads = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        return iter(batches.to_iter_dataset(reads).mp_prefetch(options))
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=WORKERS, prefetch_buffer_size=4)))


def by_pillow(file: str, random: np.random.Generator) -> np.ndarray:
    """One picture as torchvision draws its crop, resized by Pillow, which always takes means where it shrinks."""
    from PIL import Image

    with Image.open(file) as opened:
        image = opened.convert("RGB")
    box = drawn_box(random, image.width, image.height)
    cropped = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))
    if random.random() < 0.5:
        cropped = cropped[:, ::-1]
    return (cropped * np.float32(1 / 255) - np.float32(MEAN)) / np.float32(STD)


def drawn_box(random: np.random.Generator, width: int, height: int) -> tuple[float, float, float, float]:
    for _ in range(10):
        area = width * height * random.uniform(*AREA)
        ratio = np.exp(random.uniform(*np.log(RATIO)))
        across, down = np.sqrt(area * ratio), np.sqrt(area / ratio)
        if across <= width and down <= height:
            left, top = random.uniform(0, width - across), random.uniform(0, height - down)
            return left, top, left + across, top + down
    return 0, 0, width, height


def by_keras(case: Case) -> Iterator[Any]:
    """Squashed and not cropped, which it cannot do; in one thread."""
    os.environ["KERAS_BACKEND"] = "jax"
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        horizontal_flip=True, featurewise_center=True, featurewise_std_normalization=True, dtype="float32"
    )
    generator.mean, generator.std = np.float32(MEAN) * 255, np.float32(STD) * 255
    interpolation = "bilinear" if case.antialias else "nearest"
    flow = generator.flow_from_directory(
        case.photos, (SIDE, SIDE), batch_size=BATCH_SIZE, interpolation=interpolation, seed=0
    )
    # The last batch of an epoch is a short one, and would count as a whole one.
    return (images for images, _ in flow if len(images) == BATCH_SIZE)


def by_tf(case: Case) -> Iterator[Any]:
    """Decodes only the rows and columns of the crop, in one operation."""
    import tensorflow as tf

    mean, std = tf.constant(MEAN) * 255, tf.constant(STD) * 255

    def one(file: Any) -> Any:
        contents = tf.io.read_file(file)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(contents),
            tf.zeros((1, 0, 4)),
            area_range=AREA,
            aspect_ratio_range=RATIO,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(contents, window, channels=3)
        image = tf.image.resize(image, (SIDE, SIDE), antialias=case.antialias)
        return (tf.image.random_flip_left_right(image) - mean) / std

    order = tf.data.Dataset.from_tensor_slices(case.files).shuffle(len(case.files)).repeat()
    images = order.map(one, num_parallel_calls=tf.data.AUTOTUNE)
    return iter(images.batch(BATCH_SIZE, drop_remainder=True).prefetch(tf.data.AUTOTUNE))


CASES: dict[str, Callable[[Case], Iterator[Any]]] = {
    "ours": lambda case: ours(case, "photos"),
    "packed": lambda case: ours(case, "photos.jx"),
    "packed, resident": lambda case: ours(case, "photos.jx", resident=True),
    "packed 256": lambda case: ours(case, "photos-256.jx"),
    "packed 256, resident": lambda case: ours(case, "photos-256.jx", resident=True),
    "array": lambda case: ours(case, "photos.npy"),
    "array, resident": lambda case: ours(case, "photos.npy", resident=True),
    "decoded": decoded,
    "torch": by_torch,
    "grain": by_grain,
    "grain, processes": lambda case: by_grain(case, processes=True),
    "keras": by_keras,
    "tf": by_tf,
}


def check(batch: Any) -> None:
    """Photographs of which a part is cut out, and their pixels normalised."""
    values = np.asarray(batch)
    assert values.shape == (BATCH_SIZE, SIDE, SIDE, 3), values.shape
    assert values.dtype == np.float32, values.dtype
    assert -2.5 < values.min() < values.max() < 3, (values.min(), values.max())
    assert abs(values.mean()) < 1, values.mean()
    assert 0.5 < values.std() < 1.5, values.std()


def main() -> None:
    name, folder, antialias = sys.argv[1:]
    case = Case(Path(folder), json.loads(antialias))
    if name == EPOCHS:
        print(json.dumps(epochs(case, NUM_EPOCHS)))
        return
    batches = CASES[name](case)
    for _ in range(3):
        batch = next(batches)
        if name != "decoded":
            check(batch)
    serve(batches, BATCH_SIZE)


if __name__ == "__main__":
    main()
