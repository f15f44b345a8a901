"""How each library of bench/claims.py is asked. `batches` yield (values, ids) for ever, random augmentation included;
the other functions serve one claim each."""

import importlib
import itertools
import os
import pickle
import tempfile
import threading
from types import SimpleNamespace as Library

import numpy as np

os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
SIZE, BATCH, STEPS, EPOCHS = 64, 8, 8, 4
take = itertools.islice
tracked = []  # (process, thread) of every read that this process sees


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


jax, jx, grain, tf, torch, augmax = map(optional, ["jax", "jaxiter", "grain", "tensorflow", "torch", "augmax"])
keras, adapters = optional("keras.src.legacy.preprocessing.image"), optional("keras.src.trainers.data_adapters")
records, flags = optional("array_record.python.array_record_module"), optional("absl.flags")


def who(*_):
    tracked.append((os.getpid(), threading.get_ident()))
    return np.float32(os.getpid())


def pictures(size):
    side = 6 if size == SIZE else 1
    return np.random.default_rng(0).integers(0, 256, (size, side, side, 1), dtype=np.uint8)


class Rows:  # an array-like, or a map-style dataset
    shape, dtype = (SIZE, 2, 2, 1), np.dtype(np.float32)

    def __init__(self, size=SIZE, read=None):
        self.size, self.read = size, read

    def __len__(self):
        return self.size

    def __getitem__(self, rows):
        return (self.read(), rows) if self.read else np.full((len(rows), 2, 2, 1), who())


def jax_loader(batch=BATCH, size=SIZE):
    return jx.Loader((pictures(size), np.arange(size)), batch_size=batch, augment=(jx.Affine(rotation=30), None))


def jax_stream(seed, **options):
    return jx.stream(jax_loader(**options), jax.random.key(seed))


def keras_flow(seed, batch=BATCH, size=SIZE, **options):
    generator = keras.ImageDataGenerator(**options or {"rotation_range": 30 * (size == SIZE)})
    return generator.flow(pictures(size), np.arange(size), batch_size=batch, seed=seed)


def jax_threads():
    return jx.stream(jx.Loader(Rows(), batch_size=8), jax.random.key(0), num_threads=2)


def keras_workers():
    batches = keras_flow(0, preprocessing_function=lambda image: image * 0 + who())
    batches.workers, batches.use_multiprocessing = 2, True  # what model.fit reads
    adapter = adapters.py_dataset_adapter.PyDatasetAdapter(batches)
    return [np.asarray(x).flat[0] for x, _ in take(adapter.get_numpy_iterator(), 4)]


def grain_dataset(seed, batch=BATCH, size=SIZE, direct=False):
    order = grain.MapDataset.range(size).seed(seed).shuffle(seed=seed if direct else None).repeat()
    return order.random_map(lambda row, rng: (rng.random(), row)).batch(batch)


def grain_workers():
    flags.FLAGS.mark_as_parsed()
    dataset = grain.MapDataset.range(SIZE).map(who).batch(4).to_iter_dataset()
    return [x[0] for x in dataset.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=2))]


def grain_files(folder, paths):
    for writer in (records.ArrayRecordWriter(path, "group_size:1") for path in paths):
        writer.write(b"picture"), writer.close()
    return list(grain.sources.ArrayRecordDataSource(paths)) == [b"picture"] * 2 and "records"


def tf_order(seed, size=SIZE):
    return tf.data.Dataset.range(size).shuffle(size, seed=seed).repeat(EPOCHS)


def tf_dataset(seed, batch=BATCH, size=SIZE):
    counted = tf.data.Dataset.zip(tf.data.Dataset.counter(), tf_order(seed, size))
    return counted.map(lambda n, row: (tf.random.stateless_uniform((), (seed, n)), row)).batch(batch)


def tf_resumed(it, after):
    with tempfile.TemporaryDirectory() as folder:
        tf.train.Checkpoint(it=after).restore(tf.train.Checkpoint(it=it).save(folder + "/it"))
        return after


def tf_files(folder, paths):
    images = tf.data.Dataset.list_files(f"{folder}/*/*.png").map(lambda path: tf.io.decode_png(tf.io.read_file(path)))
    for writer in map(tf.io.TFRecordWriter, paths):
        writer.write(b"picture"), writer.close()
    return len(list(images)) == len(list(tf.data.TFRecordDataset(paths))) == 2 and "images, records"


def torch_loader(seed, batch=BATCH, size=SIZE, read=lambda: torch.rand(()), default=False, **options):
    generator = None if default else torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(Rows(size, read), batch, shuffle=True, generator=generator, **options)


def torch_files(folder, _):
    steps, tools = torch.utils.data.datapipes.iter, torch.utils.data.datapipes.utils.decoder
    opened = steps.FileOpener(steps.FileLister(str(folder), recursive=True, masks="*.png"), mode="rb")
    return len(list(steps.RoutedDecoder(opened, tools.imagehandler("torch")))) == 2 and "images (deprecated)"


def augmax_batches(seed, batch=BATCH):
    rotate = augmax and jax.jit(jax.vmap(augmax.Rotate()))
    keys = (jax.random.split(jax.random.key(n), batch) for n in itertools.count(seed))
    return ((rotate(key, pictures(batch)), np.arange(batch)) for key in keys)


STILL = {"read": lambda: 0.0}  # nothing random but the order
OR_NOT = {"without workers": {}, "with workers": {"num_workers": 2}}
LIBRARIES = {
    "jaxiter": Library(
        modules={"jaxiter": jx, "jax": jax},
        batches=jax_stream,
        at=lambda epoch, step: jax_loader().batch(jax.random.key(0), epoch, step),
        resumed=lambda it, after: after.set_state(it.get_state()) or after,
        jit=lambda: jax.jit(jax_loader().to_device().batch)(jax.random.key(0), 3, 1),
        workers=lambda: [x.item(0) for x in take(jax_threads(), 4)],
        files=lambda folder, _: jx.Loader(np.array([str(folder)]), batch_size=1),
    ),
    "Keras": Library(
        modules={"keras": keras},
        batches=keras_flow,
        at=lambda epoch, step: keras_flow(0)[epoch * STEPS + step],
        resumed=lambda it, after: pickle.loads(pickle.dumps(it)),
        jit=lambda: jax.jit(keras.ImageDataGenerator(rotation_range=30).random_transform)(np.ones((6, 6, 1))),
        workers=keras_workers,
        files=lambda folder, _: len(next(keras.ImageDataGenerator().flow_from_directory(folder))[0]) == 2 and "images",
    ),
    "Grain": Library(
        modules={"grain": grain, "array_record": records},
        batches=lambda seed, **options: iter(grain_dataset(seed, **options).to_iter_dataset()),
        at=lambda epoch, step: grain_dataset(0)[epoch * STEPS + step],
        resumed=lambda it, after: after.set_state(it.get_state()) or after,
        workers=grain_workers,
        files=grain_files,
        variants={"orders": {"with `.seed(s)`": {}, "with `.shuffle(seed=s)`": {"direct": True}}},
    ),
    "tf.data": Library(
        modules={"tensorflow-cpu": tf},
        batches=lambda seed, **options: iter(tf_dataset(seed, **options)),
        at=lambda epoch, step: tf.data.experimental.at(tf_order(0).batch(BATCH), epoch * STEPS + step),
        resumed=tf_resumed,
        jit=lambda: jax.jit(tf.image.random_flip_left_right)(np.ones((6, 6, 1))),
        workers=lambda: list(tf.data.Dataset.range(SIZE).map(lambda n: tf.numpy_function(who, [n], tf.float32), 4)),
        files=tf_files,
    ),
    "torch DataLoader": Library(
        modules={"torch": torch},
        batches=lambda seed, **options: itertools.chain.from_iterable(itertools.repeat(torch_loader(seed, **options))),
        at=lambda epoch, step: torch_loader(0)[epoch * STEPS + step],
        resumed=lambda it, after: pickle.loads(pickle.dumps(iter(torch_loader(0)))),
        workers=lambda: [x[0] for x, _ in torch_loader(0, read=who, num_workers=2)],
        files=torch_files,
        variants={
            **{
                "between": OR_NOT,
                "meanwhile": OR_NOT,
                "batch_size": OR_NOT,
                "orders": {"": STILL},
                "halves": {"": STILL},
            },
            "untouched": {"by default": STILL | {"default": True}, "with `generator=`": STILL},
        },
    ),
    "augmax": Library(
        modules={"augmax": augmax},
        batches=augmax_batches,
        jit=lambda: next(augmax_batches(0)),
        only=("jit", "untouched"),
    ),
}
