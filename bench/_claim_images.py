"""How bench/claims.py asks the libraries that augment images: jaxiter, Keras, augmax. One function for each claim.

`batches(seed)` yields (values, ids) without end, random augmentation included. `at(epoch, step)` is one of them.
`parts(n)` is a step of n devices, as {id: value}; `follow()` gives moved images, masks and boxes.
"""

import inspect
import itertools
import json
import pickle
import re
from itertools import islice as take
from types import SimpleNamespace as Library

import numpy as np
from _claim_setting import (
    BATCH,
    LARGE,
    MARKED,
    SIZE,
    STEPS,
    Rows,
    no_such_name,
    pictures,
    python_code,
    under_jit,
    values_of,
    who,
)
from _peers import augmax, jax, jx, keras, optional

adapters, layers = optional("keras.src.trainers.data_adapters"), optional("keras.layers")
jax_keras = optional("jaxiter.keras")

# jaxiter


def jax_loader(batch=BATCH, size=SIZE):
    return jx.Loader((pictures(size), np.arange(size)), batch_size=batch, augment=(jx.Affine(rotation=30), None))


def jax_stream(seed, **options):
    return jx.stream(jax_loader(**options), jax.random.key(seed))


def jax_threads():
    return jx.stream(jx.Loader(Rows(), batch_size=8), jax.random.key(0), num_threads=2)


def jax_epochs():
    loader, key = jax_loader().to_device(), jax.random.key(0)
    epoch_ids = jax.jit(lambda epoch: jx.scan_epoch(lambda carry, batch: (carry, batch[1]), 0, loader, key, epoch)[1])
    return [epoch_ids(0), epoch_ids(1)]


def jax_parts(n):
    mesh = jax.make_mesh((n,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:n])
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with jx.stream(jax_loader(), jax.random.key(0), sharding=sharding, start=(0, 1)) as batches:
        x, ids = next(batches)
    assert len(x.sharding.device_set) == n
    return values_of((x, ids))


def jax_saved():
    batches = jx.stream(jx.Loader(np.zeros((LARGE, 1, 1, 1), np.uint8), batch_size=128), jax.random.key(0))
    list(take(batches, 256))
    return len(json.dumps(batches.get_state()))


def jax_follow():
    images, masks, boxes = MARKED
    data = {"image": images, "mask": masks, "boxes": boxes}
    moves = {"image": jx.Affine(horizontal_flip=1.0), "mask": jx.Mask("image"), "boxes": jx.Boxes("image")}
    moved = jx.Loader(data, batch_size=BATCH, augment=moves).batch(jax.random.key(0), 0, 0)
    return moved["image"], moved["mask"], moved["boxes"][:, 0]


def jax_rand_augment():
    augment = jx.RandAugment()

    def one(key, image):
        return augment.apply(augment.sample(key, image.shape), image)

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), BATCH), np.repeat(pictures(BATCH), 3, -1))


JAXITER = Library(
    modules={"jaxiter": jx, "jax": jax},
    batches=jax_stream,
    at=lambda epoch, step: jax_loader().batch(jax.random.key(0), epoch, step),
    resumed=lambda it, after: after.set_state(it.get_state()) or after,
    jit=lambda: jax.jit(jax_loader().to_device().batch)(jax.random.key(0), 3, 1) and "yes",
    epochs=jax_epochs,
    first=lambda seed: jax_loader().to_device().batch(jax.random.key(seed), 0, 0)[1],
    parts=jax_parts,
    saved=jax_saved,
    follow=lambda: {"masks, boxes": jax_follow()},
    rand_augment=lambda: jax_rand_augment().shape and "yes",
    script=lambda: jax_keras.ImageDataGenerator,
    workers=lambda: [x.item(0) for x in take(jax_threads(), 4)],
    python=lambda images: next(
        jx.stream(jx.Loader(images, batch_size=BATCH, augment=jx.Map(python_code)), jax.random.key(0))
    ),
    files=lambda folder, _: (
        len(jx.Loader(jx.image_folder(folder, size=4), batch_size=2).batch(jax.random.key(0), 0, 0)) == 2 and "images"
    ),
    tfrecord=lambda path: list(jx.stream(jx.Loader(str(path), batch_size=1), jax.random.key(0), num_epochs=1)),
    unknown=lambda stream, batch: list(
        jx.stream(jx.Loader(stream(), batch_size=batch), jax.random.key(0), num_epochs=1)
    ),
    pads=lambda sequences: jx.Loader(sequences, batch_size=4, shuffle=False).batch(jax.random.key(0), 0, 0),
)


# Keras


def keras_flow(seed, batch=BATCH, size=SIZE, **options):
    generator = keras.ImageDataGenerator(**options or {"rotation_range": 30 * (size == SIZE)})
    return generator.flow(pictures(size), np.arange(size), batch_size=batch, seed=seed)


def keras_workers():
    batches = keras_flow(0, preprocessing_function=lambda image: image * 0 + who())
    batches.workers, batches.use_multiprocessing = 2, True  # what model.fit reads
    adapter = adapters.py_dataset_adapter.PyDatasetAdapter(batches)
    return [np.asarray(x).flat[0] for x, _ in take(adapter.get_numpy_iterator(), 4)]


def keras_layer(layer, images):
    """A layer of random augmentation inside `jax.jit`."""
    layer(images, training=True)
    state = [variable.value for variable in layer.non_trainable_variables]
    run = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True)[0])
    return run(state, images).shape == images.shape and "layers"


def keras_parts(_):
    arguments = set(inspect.signature(keras.ImageDataGenerator.flow).parameters)
    assert not re.search("shard|rank|replica|num_parts|device", " ".join(arguments)), "ask it for a part"
    raise LookupError(f"flow has no argument for a part of a batch: {sorted(arguments)}")


def keras_follow():
    images, masks, boxes = MARKED

    def flow(x):
        return next(keras.ImageDataGenerator(horizontal_flip=True).flow(x, batch_size=BATCH, seed=1))

    data = {
        "images": images,
        "segmentation_masks": masks,
        "bounding_boxes": {"boxes": boxes, "labels": np.ones((BATCH, 1))},
    }
    moved = layers.RandomFlip("horizontal", bounding_box_format="xyxy")(data, training=True)
    found = moved["images"], moved["segmentation_masks"], moved["bounding_boxes"]["boxes"][:, 0]
    return {"masks, by the same seed": (flow(images), flow(masks), None), "layers: masks, boxes": found}


KERAS = Library(
    modules={"keras": keras},
    batches=keras_flow,
    at=lambda epoch, step: keras_flow(0)[epoch * STEPS + step],
    resumed=lambda it, after: pickle.loads(pickle.dumps(it)),
    jit=lambda: keras_layer(layers.RandomRotation(0.1), np.ones((BATCH, 6, 6, 3), np.float32)),
    epochs=lambda: under_jit(lambda epoch, step: keras_flow(0)[epoch * STEPS + step]),
    first=lambda seed: keras_flow(seed)[0][1],
    parts=keras_parts,
    follow=keras_follow,
    rand_augment=lambda: keras_layer(layers.RandAugment(seed=0), np.ones((BATCH, 6, 6, 3), np.float32)),
    script=lambda: keras.ImageDataGenerator,
    workers=keras_workers,
    python=lambda images: next(
        keras.ImageDataGenerator(preprocessing_function=python_code).flow(images, batch_size=BATCH)
    ),
    files=lambda folder, _: len(next(keras.ImageDataGenerator().flow_from_directory(folder))[0]) == 2 and "images",
    tfrecord=lambda path: next(keras.ImageDataGenerator().flow(str(path))),
    unknown=lambda stream, batch: list(keras.ImageDataGenerator().flow(stream(), batch_size=batch)),
    pads=lambda sequences: next(keras.ImageDataGenerator().flow(sequences, batch_size=4, shuffle=False)),
    not_asked={"saved": "an iterator cannot be pickled in mid-epoch, and has no state to save"},
)


# augmax


def augmax_batches(seed, batch=BATCH):
    rotate = augmax and jax.jit(jax.vmap(augmax.Rotate()))
    keys = (jax.random.split(jax.random.key(n), batch) for n in itertools.count(seed))
    return ((rotate(key, pictures(batch)), np.arange(batch)) for key in keys)


def augmax_follow():
    kinds = [augmax.InputType.IMAGE, augmax.InputType.MASK]
    flip = jax.vmap(augmax.Chain(augmax.HorizontalFlip(p=0.5), input_types=kinds))
    images, masks = flip(jax.random.split(jax.random.key(0), BATCH), list(MARKED[:2]))
    return {"masks": (images, masks, None)}


AUGMAX = Library(
    modules={"augmax": augmax},
    batches=augmax_batches,
    jit=lambda: next(augmax_batches(0)) and "yes",
    follow=augmax_follow,
    rand_augment=lambda: no_such_name(augmax, "rand_?augment"),
    script=lambda: no_such_name(augmax, "ImageDataGenerator"),
    python=None,
    only=("jit", "untouched", "follow", "rand_augment", "script"),
    not_asked={"": "it augments, and loads nothing"},
)
