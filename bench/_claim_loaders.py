"""How bench/claims.py asks the libraries that load: Grain, tf.data, torch. Functions as in _claim_images.py."""

import itertools
import json
import pickle
import tempfile
from itertools import islice as take
from pathlib import Path
from types import SimpleNamespace as Library

import numpy as np
from _claim_setting import (
    BATCH,
    EPOCHS,
    LARGE,
    MARKED,
    SIZE,
    STEPS,
    Rows,
    no_such_name,
    python_code,
    under_jit,
    values_of,
    who,
)
from _peers import grain, jax, optional, tf, torch

records, flags = optional("array_record.python.array_record_module"), optional("absl.flags")

# Grain


def grain_dataset(seed, batch=BATCH, size=SIZE, direct=False, part=slice(None)):
    order = grain.MapDataset.range(size).seed(seed).shuffle(seed=seed if direct else None).repeat()
    return order.random_map(lambda row, rng: (rng.random(), row))[part].batch(batch)


def grain_workers():
    flags.FLAGS.mark_as_parsed()
    dataset = grain.MapDataset.range(SIZE).map(who).batch(4).to_iter_dataset()
    return [x[0] for x in dataset.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=2))]


def grain_files(folder, paths):
    for writer in (records.ArrayRecordWriter(path, "group_size:1") for path in paths):
        writer.write(b"picture"), writer.close()
    return list(grain.sources.ArrayRecordDataSource(paths)) == [b"picture"] * 2 and "records"


def grain_saved():
    it = iter(grain_dataset(0, batch=128, size=LARGE).to_iter_dataset())
    list(take(it, 256))
    return len(json.dumps(it.get_state()))


def grain_stream(stream, batch):
    class Iterator(grain.DatasetIterator):
        def __init__(self):
            super().__init__()
            self.numbers = stream()

        def __next__(self):
            return next(self.numbers)

        def get_state(self):
            return {}

        def set_state(self, state):
            pass

    class Stream(grain.IterDataset):
        def __iter__(self):
            return Iterator()

    return list(Stream().batch(batch))


def grain_pads(sequences):
    def whole(rows):
        return np.stack([np.pad(row, (0, max(map(len, rows)) - len(row))) for row in rows])

    return grain.MapDataset.source(sequences).batch(4, batch_fn=whole)[0]


NO_IMAGES = {"jit": "it has no operations on images", "follow": "the same", "rand_augment": "the same"}
GRAIN = Library(
    modules={"grain": grain, "array_record": records},
    batches=lambda seed, **options: iter(grain_dataset(seed, **options).to_iter_dataset()),
    at=lambda epoch, step: grain_dataset(0)[epoch * STEPS + step],
    resumed=lambda it, after: after.set_state(it.get_state()) or after,
    epochs=lambda: under_jit(lambda epoch, step: grain_dataset(0)[epoch * STEPS + step]),
    first=lambda seed: grain_dataset(seed)[0][1],
    parts=lambda n: {
        row: value
        for part in range(n)
        for row, value in values_of(grain_dataset(0, BATCH // n, part=slice(part, None, n))[1]).items()
    },
    saved=grain_saved,
    script=lambda: no_such_name(grain, "ImageDataGenerator"),
    workers=grain_workers,
    python=lambda images: grain.MapDataset.source(images).map(python_code).batch(BATCH)[0],
    files=grain_files,
    tfrecord=lambda path: list(grain.experimental.TFRecordIterDataset(str(path))),
    unknown=grain_stream,
    pads=grain_pads,
    variants={"orders": {"with `.seed(s)`": {}, "with `.shuffle(seed=s)`": {"direct": True}}},
    not_asked=NO_IMAGES,
)


# tf.data


def tf_order(seed, size=SIZE):
    return tf.data.Dataset.range(size).shuffle(size, seed=seed).repeat(EPOCHS)


def tf_dataset(seed, batch=BATCH, size=SIZE, parts=1, part=0):
    counted = tf.data.Dataset.zip(tf.data.Dataset.counter(), tf_order(seed, size))
    drawn = counted.map(lambda n, row: (tf.random.stateless_uniform((), (seed, n)), row))
    return drawn.shard(parts, part).batch(batch)


def tf_save(it, folder):
    return tf.train.Checkpoint(it=it).save(folder + "/it")


def tf_resumed(it, after):
    with tempfile.TemporaryDirectory() as folder:
        tf.train.Checkpoint(it=after).restore(tf_save(it, folder))
        return after


def tf_saved():
    it = iter(tf_dataset(0, batch=128, size=LARGE))
    list(take(it, 256))
    with tempfile.TemporaryDirectory() as folder:
        tf_save(it, folder)
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def tf_files(folder, paths):
    images = tf.data.Dataset.list_files(f"{folder}/*/*.png").map(lambda path: tf.io.decode_png(tf.io.read_file(path)))
    for writer in map(tf.io.TFRecordWriter, paths):
        writer.write(b"picture"), writer.close()
    return len(list(images)) == len(list(tf.data.TFRecordDataset(paths))) == 2 and "images, records"


def tf_follow():
    def flip(images):
        return np.stack([tf.image.stateless_random_flip_left_right(x, (0, n)) for n, x in enumerate(images)])

    return {"masks, by the same seed": (flip(MARKED[0]), flip(MARKED[1]), None)}


def tf_stream(stream, batch):
    return list(tf.data.Dataset.from_generator(stream, output_signature=tf.TensorSpec((), tf.float32)).batch(batch))


def tf_pads(sequences):
    signature = tf.TensorSpec((None,), tf.int64)
    return next(iter(tf.data.Dataset.from_generator(lambda: sequences, output_signature=signature).padded_batch(4)))


TF = Library(
    modules={"tensorflow": tf},
    batches=lambda seed, **options: iter(tf_dataset(seed, **options)),
    at=lambda epoch, step: tf.data.experimental.at(tf_order(0).batch(BATCH), epoch * STEPS + step),
    resumed=tf_resumed,
    jit=lambda: jax.jit(tf.image.random_flip_left_right)(np.ones((6, 6, 1))) is not None,
    epochs=lambda: under_jit(lambda epoch, step: next(iter(tf_dataset(0).skip(epoch * STEPS + step)))),
    first=lambda seed: np.asarray(next(iter(tf_dataset(seed)))[1]),
    parts=lambda n: {
        row: value
        for part in range(n)
        for row, value in values_of(list(take(tf_dataset(0, BATCH // n, parts=n, part=part), 2))[1]).items()
    },
    saved=tf_saved,
    follow=tf_follow,
    rand_augment=lambda: no_such_name(tf, "rand_?augment"),
    script=lambda: no_such_name(tf, "ImageDataGenerator"),
    workers=lambda: list(tf.data.Dataset.range(SIZE).map(lambda n: tf.numpy_function(who, [n], tf.float32), 4)),
    python=lambda images: next(
        iter(
            tf.data.Dataset.from_tensor_slices(images)
            .map(lambda image: tf.numpy_function(python_code, [image], tf.float32))
            .batch(BATCH)
        )
    ),
    files=tf_files,
    tfrecord=lambda path: [record.numpy() for record in tf.data.TFRecordDataset(str(path))],
    unknown=tf_stream,
    pads=tf_pads,
)


# torch DataLoader


def torch_loader(seed, batch=BATCH, size=SIZE, read=lambda: torch.rand(()), default=False, **options):
    generator = None if default else torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(Rows(size, read), batch, shuffle=True, generator=generator, **options)


def torch_parts(n, read=lambda: torch.rand(())):
    found = {}
    for part in range(n):
        torch.manual_seed(0)
        sampler = torch.utils.data.DistributedSampler(range(SIZE), n, part, seed=0)
        loader = torch.utils.data.DataLoader(Rows(SIZE, read), BATCH // n, sampler=sampler)
        found |= values_of(list(take(loader, 2))[1])
    return found


def torch_files(folder, _):
    steps, tools = torch.utils.data.datapipes.iter, torch.utils.data.datapipes.utils.decoder
    opened = steps.FileOpener(steps.FileLister(str(folder), recursive=True, masks="*.png"), mode="rb")
    return len(list(steps.RoutedDecoder(opened, tools.imagehandler("torch")))) == 2 and "images (deprecated)"


def torch_stream(stream, batch):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return stream()

    return list(torch.utils.data.DataLoader(Stream(), batch))


def torch_pads(sequences):
    def whole(rows):
        return torch.nn.utils.rnn.pad_sequence(list(map(torch.as_tensor, rows)), batch_first=True)

    return next(iter(torch.utils.data.DataLoader(sequences, 4, collate_fn=whole)))


class PythonRows:
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return python_code(self.images[row])


STILL = {"read": lambda: 0.0}  # nothing random but the order
OR_NOT = {"without workers": {}, "with workers": {"num_workers": 2}}
NO_AUGMENTATION = "it has no augmentation; torchvision, a package of its own, has transforms"
TORCH = Library(
    modules={"torch": torch},
    batches=lambda seed, **options: itertools.chain.from_iterable(itertools.repeat(torch_loader(seed, **options))),
    at=lambda epoch, step: torch_loader(0)[epoch * STEPS + step],
    resumed=lambda it, after: pickle.loads(pickle.dumps(iter(torch_loader(0)))),
    epochs=lambda: under_jit(lambda epoch, step: next(itertools.islice(torch_loader(epoch), step, None))),
    first=lambda seed: next(iter(torch_loader(seed)))[1].numpy(),
    parts=torch_parts,
    script=lambda: no_such_name(torch, "ImageDataGenerator"),
    workers=lambda: [x[0] for x, _ in torch_loader(0, read=who, num_workers=2)],
    python=lambda images: next(iter(torch.utils.data.DataLoader(PythonRows(images), BATCH))),
    files=torch_files,
    tfrecord=lambda path: no_such_name(torch, "tf_?record"),
    unknown=torch_stream,
    pads=torch_pads,
    variants={
        **{"between": OR_NOT, "meanwhile": OR_NOT, "batch_size": OR_NOT},
        **{"orders": {"": STILL}, "halves": {"": STILL}, "once": {"": STILL}},
        "parts": {"the examples, not their draws": STILL, "": {}},
        "untouched": {"by default": STILL | {"default": True}, "with `generator=`": STILL},
    },
    not_asked={
        **dict.fromkeys(("jit", "follow", "rand_augment"), NO_AUGMENTATION),
        "saved": "an iterator cannot be pickled in mid-epoch; torchdata's StatefulDataLoader is a package of its own",
    },
)
