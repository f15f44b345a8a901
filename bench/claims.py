"""Run a few lines against jaxiter and its neighbours for each claim of docs/comparison.md, and print its table.

A function is a claim; bench/_claim_*.py say how each library is asked. "-": cannot be asked, and why stands
below the table. So does whatever a library refused, so that a "no" can be read. Run it with whatever is installed:

    pip install -e '.[peers]' && python bench/claims.py

datarax 0.1.17 needs Python 3.12 and a newer JAX than TensorFlow and torch bear, and so an environment of its own:

    pip install -e . datarax && python bench/claims.py --only datarax

`--readme` prints the short table, `--only datarax,Grain` some columns.
"""

import argparse
import io
import os
import random
import sys
import tempfile
import threading
import warnings
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice as take
from pathlib import Path

import numpy as np
from _claim_datarax import DATARAX
from _claim_images import AUGMAX, JAXITER, KERAS
from _claim_loaders import GRAIN, TF, TORCH
from _claim_setting import BATCH, EPOCHS, LARGE, MARKED, SIZE, STEPS, tracked, values_of
from _peers import jax, torch
from _timing import versions
from PIL import Image

LIBRARIES = {
    "jaxiter": JAXITER,
    "Keras": KERAS,
    "Grain": GRAIN,
    "datarax": DATARAX,
    "tf.data": TF,
    "torch DataLoader": TORCH,
    "augmax": AUGMAX,
}
SEEDS = range(9)

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
        return {row: value for made in batches for row, value in values_of(made).items()}

    return fates(8) == fates(16)


def halves(library, **options):
    """How far the counts of the lower half spread over 512 batches of 128, against a true shuffle's 5.65."""
    batches = take(library.batches(0, batch=128, size=65536, **options), 512)
    deviation = np.std([(arrays(batch)[1] < 32768).sum() for batch in batches])
    return f"{'yes' if 5 < deviation < 6.3 else 'no'} ({deviation:.1f})"


def once(library, **options):
    """Every epoch shows every example once."""
    ids = np.concatenate([arrays(batch)[1] for batch in take(library.batches(0, **options), EPOCHS * STEPS)])
    return all(sorted(epoch) == list(range(SIZE)) for epoch in ids.reshape(EPOCHS, SIZE).tolist())


def direct(library):
    *_, expected = take(library.batches(0), 3 * STEPS + 2)
    return same(library.at(3, 1), expected)


def resumes(library):
    it = library.batches(0)
    list(take(it, 11))
    after = library.resumed(it, library.batches(0))
    return all(map(same, list(take(it, 5)), list(take(after, 5))))


def saved(library):
    size = library.saved()
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"


def parts(library, **options):
    """The second step of an epoch, whole and in four parts."""
    whole, divided = library.parts(1, **options), library.parts(4, **options)
    return len(whole) == BATCH and whole == divided


def program(library):
    """Two epochs through one compiled function of the epoch are what the batches show."""
    expected = np.concatenate([arrays(batch)[1] for batch in take(library.batches(0), 2 * STEPS)])
    return np.array_equal(np.concatenate([np.asarray(ids).ravel() for ids in library.epochs()]), expected)


def vmapped(library):
    """The first batches of four seeds under one `jax.vmap` are those of each."""
    expected = [np.asarray(library.first(seed)) for seed in range(4)]
    assert len({ids.tobytes() for ids in expected}) == 4
    return np.array_equal(jax.jit(jax.vmap(library.first))(jax.numpy.arange(4)), expected)


def jit(library):
    return library.jit()


def extent(image):
    rows, cols = np.nonzero(np.asarray(image)[..., 0] > 0.5)
    return [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]


def follow(library):
    """Of pictures that are turned or flipped: whether mask and box lie where the picture's rectangle lies then."""
    found = []
    for word, (images, masks, boxes) in library.follow().items():
        moved = any(extent(image) != extent(before) for image, before in zip(images, MARKED[0], strict=True))
        fits = np.array_equal(np.asarray(masks) > 0.5, np.asarray(images) > 0.5)
        if boxes is not None:
            fits = fits and np.array_equal(boxes, [extent(image) for image in images])
        found += [word] * (moved and fits)
    return "; ".join(found) or False


def rand_augment(library):
    return library.rand_augment()


def script(library):
    """A script of Keras, with another import."""
    generator = library.script()(rotation_range=30, rescale=1 / 255, validation_split=0.25)
    flow = generator.flow(np.ones((SIZE, 6, 6, 1)), np.arange(SIZE) % 2, batch_size=BATCH, seed=0, subset="training")
    x, y = next(flow)
    return len(flow) == 6 and (x.shape, x.dtype, y.shape) == ((BATCH, 6, 6, 1), np.float32, (BATCH,))


def python(library):
    values = np.asarray(library.python(np.ones((BATCH, 2, 2, 1), np.float32)))
    return len(set(values[:, 0, 0, 0].tolist())) == BATCH


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


def checksum(data):
    """CRC-32C, masked as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def tfrecord(library):
    with tempfile.TemporaryDirectory() as folder:
        data, length = b"picture", (7).to_bytes(8, "little")
        (path := Path(folder) / "a.tfrecord").write_bytes(length + checksum(length) + data + checksum(data))
        return library.tfrecord(path) == [data]


def unknown(library):
    found = library.unknown(lambda: (np.float32(n) for n in range(20)), 5)
    return np.array_equal(np.concatenate([np.asarray(batch) for batch in found]), np.arange(20))


def pads(library):
    lengths = [3, 5, 2, 4]
    expected = [[*range(1, length + 1)] + [0] * (5 - length) for length in lengths]
    return np.array_equal(np.asarray(library.pads([np.arange(1, length + 1) for length in lengths])), expected)


CLAIMS = {
    once: "every epoch shows each example once",
    orders: "no epoch of one seed is an epoch of another (seeds 0 to 8, epochs 0 to 3, 8 batches an epoch)",
    halves: "lower half of 65,536 examples spread over batches of 128 as by chance (deviation 5.6)",
    direct: "any batch of any epoch directly, without making those before it",
    between: "same seed, same batches, though other code draws from NumPy's (torch's) global state between two batches",
    meanwhile: "... or does so while a batch is made, as another thread may",
    untouched: "the global random state of Python, NumPy and torch is left untouched",
    batch_size: "what an image becomes does not depend on the batch size",
    parts: "... nor on whether a batch is made whole or in 4 parts (devices, or shards in one process)",
    resumes: "position saved in mid-epoch and resumed exactly",
    saved: f"size of a saved position in mid-epoch, {LARGE:,} examples shuffled",
    program: "orders of epochs are made inside one compiled JAX program, so that an epoch of training can be one",
    vmapped: "orders of several seeds under one `jax.vmap`, for many runs at once",
    jit: "its own augmentation runs inside `jax.jit`",
    rand_augment: "its own RandAugment does",
    follow: "its own augmentation moves masks and boxes with their image",
    script: "a script for `ImageDataGenerator.flow` runs, but for the import",
    workers: "workers that load: processes or threads",
    python: "augments by any Python code, such as OpenCV's or albumentations'",
    files: "reads many files as one data set",
    tfrecord: "reads TFRecord",
    unknown: "reads streams of unknown length",
    pads: "pads sequences to the longest of their batch (some by a function that you pass)",
}
SHORT = {
    direct: "any batch of any epoch directly",
    parts: "same pictures whether a batch is made whole or in 4 parts (devices or shards)",
    program: "a whole epoch, its order included, as one compiled JAX program",
    vmapped: "many runs under one `jax.vmap`",
    rand_augment: "RandAugment inside `jax.jit`",
    follow: "masks and boxes move with their image",
    script: "a script for `ImageDataGenerator.flow` runs, but for the import",
    python: "augments by any Python code",
    unknown: "reads streams of unknown length",
}
ASKED = {direct: "at", resumes: "resumed", program: "epochs", vmapped: "first"}


def cell(library, claim, refusals):
    """Yes, no, a word, or the variants for which the answer is yes."""
    if None in library.modules.values():
        return "not installed"
    needed = ASKED.get(claim, claim.__name__ if claim.__name__ in vars(library) else "batches")
    not_asked = getattr(library, "not_asked", {})
    if {needed, claim.__name__} & {*not_asked} or claim.__name__ not in getattr(library, "only", claim.__name__):
        return "-"
    answers = {}
    for variant, options in getattr(library, "variants", {}).get(claim.__name__, {"": {}}).items():
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # Keras counts its files aloud
                answers[variant] = claim(library, **options)
        except Exception as error:
            answers[variant] = False
            refusals.append(f"{type(error).__name__}: {' '.join(str(error).split('}}')[-1].split())[:110]}")
    if len(set(answers.values())) > 1:
        return ", ".join(variant for variant, answer in answers.items() if answer)
    return {True: "yes", False: "no"}.get(answer := next(iter(answers.values())), answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="the short table")
    parser.add_argument("--only", help="names of columns, with commas")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    refused, not_asked = [], []
    names = arguments.only.split(",") if arguments.only else list(LIBRARIES)
    libraries = {name: LIBRARIES[name] for name in names}
    print("|", *libraries, sep=" | ", end=" |\n|---" + "|---" * len(libraries) + "|\n")
    for claim, wording in (SHORT if arguments.readme else CLAIMS).items():
        print("|", wording, end="", flush=True)
        for name, library in libraries.items():
            print(" |", cell(library, claim, refusals := []), end="", flush=True)
            refused += [f"- {name}, {claim.__name__}: {text}" for text in refusals]
        print(" |")
    for name, library in libraries.items():
        reasons = getattr(library, "not_asked", {})
        not_asked += [f"- {name}{', ' * bool(asked)}{asked}: {why}" for asked, why in reasons.items()]
    packages = sorted({package for library in libraries.values() for package in library.modules})
    installed = versions(packages)
    print("\nNot asked:\n", *not_asked, "\nRefused:\n", *refused, "\nVersions:", sep="\n")
    print(*(f"{package} {installed.get(package, 'not installed')}" for package in packages), sep="\n")


if __name__ == "__main__":
    main()
