"""Run a few lines against jaxiter and its neighbours for each claim of the README's table, and print the table.

A function is a claim. "-": does not apply. Whatever a library refused
is listed below the table, so that a "no" can be read. Run it with whatever is installed:

    pip install grain augmax keras scipy tensorflow-cpu torch && python bench/claims.py
"""

import io
import itertools
import os
import pickle
import random
import sys
import tempfile
import threading
import warnings
from contextlib import redirect_stdout
from itertools import islice as take
from pathlib import Path
from types import SimpleNamespace as Library

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
from _peers import augmax, grain, jax, jx, keras, optional, tf, torch
from _timing import versions
from PIL import Image

adapters = optional("keras.src.trainers.data_adapters")
records, flags = optional("array_record.python.array_record_module"), optional("absl.flags")

# How each library is asked: `batches` yield (values, ids) without end, random augmentation included; the other
# functions serve one claim each.

SIZE, BATCH, STEPS, EPOCHS = 64, 8, 8, 4
SEEDS = range(9)
tracked = []  # (process, thread) of every read that this process sees


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


def jax_files(folder, _):
    loader = jx.Loader(jx.image_folder(folder, size=4), batch_size=2)
    return len(loader.batch(jax.random.key(0), 0, 0)) == 2 and "images"


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
        files=jax_files,
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


# The claims


def arrays(batch):
    return [np.asarray(leaf) for leaf in batch]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


def seeded(library, draw=None, **options):
    """The first epoch and a half of seed 0, everything global seeded too, and `draw()` called after every batch."""
    np.random.seed(0), random.seed(0), torch and torch.manual_seed(0)
    return [(arrays(batch), draw and draw())[0] for batch in take(library.batches(0, **options), 12)]


def draw():
    np.random.rand(), torch and torch.rand(())


def between(library, **options):
    return all(map(same, seeded(library, **options), seeded(library, draw, **options)))


def meanwhile(library, **options):
    """Draws at every call and return inside the making of a batch: what another thread may do, without the chance."""
    alone, process = seeded(library, **options), os.getpid()
    sys.setprofile(lambda *_: os.getpid() == process and draw())
    try:
        return all(map(same, alone, seeded(library, **options)))
    finally:
        sys.setprofile(None)


def states():
    return [random.getstate(), np.random.get_state()[1:3], torch and torch.get_rng_state().tolist()]


def untouched(library, **options):
    np.random.seed(0), random.seed(0), torch and torch.manual_seed(0)
    before = repr(states())
    list(take(library.batches(0, **options), 12))
    return repr(states()) == before


def orders(library, **options):
    """No epoch of one seed is an epoch of another seed, nor of its own."""
    seen = set()
    for seed in SEEDS:
        ids = np.concatenate([arrays(batch)[1] for batch in take(library.batches(seed, **options), EPOCHS * STEPS)])
        seen |= {tuple(epoch) for epoch in ids.reshape(EPOCHS, SIZE).tolist()}
    return len(seen) == len(SEEDS) * EPOCHS


def batch_size(library, **options):
    def fates(batch):
        batches = seeded(library, batch=batch, **options)[: SIZE // batch]
        return {int(row): x.tobytes() for values, rows in batches for x, row in zip(values, rows, strict=True)}

    return fates(8) == fates(16)


def halves(library, **options):
    """How far the counts of the lower half spread over 512 batches of 128, against a true shuffle's 5.65."""
    batches = take(library.batches(0, batch=128, size=65536, **options), 512)
    deviation = np.std([(arrays(batch)[1] < 32768).sum() for batch in batches])
    return f"{'yes' if 5 < deviation < 6.3 else 'no'} ({deviation:.1f})"


def direct(library):
    *_, expected = take(library.batches(0), 3 * STEPS + 2)
    return same(library.at(3, 1), expected)


def resumes(library):
    it = library.batches(0)
    list(take(it, 11))
    after = library.resumed(it, library.batches(0))
    return all(map(same, list(take(it, 5)), list(take(after, 5))))


def jit(library):
    return library.jit() is not None


def workers(library):
    tracked.clear()
    processes = {int(value) for value in library.workers()} - {os.getpid()}
    threads = {thread for _, thread in tracked} - {threading.get_ident()}
    return "processes" if processes else "threads" if len(threads) > 1 else "one thread" if threads else False


def files(library):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "b"):
            (Path(folder) / f"class {name}").mkdir()
            Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(f"{folder}/class {name}/picture.png")
        return library.files(Path(folder), [f"{folder}/a", f"{folder}/b"])


CLAIMS = {
    direct: "any batch of any epoch directly, without making those before it",
    between: "same seed, same batches, though other code draws from NumPy's (torch's) global state between two batches",
    meanwhile: "... or does so while a batch is made, as another thread may",
    untouched: "the global random state of Python, NumPy and torch is left untouched",
    orders: "no epoch of one seed is an epoch of another (seeds 0 to 8, epochs 0 to 3, 8 batches an epoch)",
    halves: "lower half of 65,536 examples spread over batches of 128 as by chance (deviation 5.6)",
    batch_size: "what an image becomes does not depend on the batch size",
    jit: "its augmentation runs inside `jax.jit`",
    resumes: "position saved in mid-epoch and resumed exactly",
    workers: "workers that load: processes or threads",
    files: "reads many files as one data set",
}

ASKED = {direct: "at", resumes: "resumed", jit: "jit", workers: "workers", files: "files"}


def cell(library, claim, refusals):
    """Yes, no, a word, or the variants for which the answer is yes."""
    if None in library.modules.values():
        return "not installed"
    if not hasattr(library, ASKED.get(claim, "batches")) or claim.__name__ not in getattr(
        library, "only", claim.__name__
    ):
        return "-"
    answers = {}
    for variant, options in getattr(library, "variants", {}).get(claim.__name__, {"": {}}).items():
        try:
            with redirect_stdout(io.StringIO()):  # Keras counts its files aloud
                answers[variant] = claim(library, **options)
        except Exception as error:
            answers[variant] = False
            refusals.append(f"{type(error).__name__}: {' '.join(str(error).split('}}')[-1].split())[:110]}")
    if len(set(answers.values())) > 1:
        return ", ".join(variant for variant, answer in answers.items() if answer)
    return {True: "yes", False: "no"}.get(answer := next(iter(answers.values())), answer)


def main():
    warnings.simplefilter("ignore")
    refused = []
    print("|", *LIBRARIES, sep=" | ", end=" |\n|---" + "|---" * len(LIBRARIES) + "|\n")
    for claim, wording in CLAIMS.items():
        print("|", wording, end="", flush=True)
        for name, library in LIBRARIES.items():
            print(" |", cell(library, claim, refusals := []), end="", flush=True)
            refused += [f"- {name}, {claim.__name__}: {text}" for text in refusals]
        print(" |")
    packages = sorted({package for library in LIBRARIES.values() for package in library.modules})
    installed = versions(packages)
    print("\nRefused:\n", *refused, "\nVersions:", sep="\n")
    print(*(f"{package} {installed.get(package, 'not installed')}" for package in packages), sep="\n")


if __name__ == "__main__":
    main()
