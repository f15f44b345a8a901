"""Run a few lines against jaxiter and its neighbours for each claim of the README's table, and print the table.

A function is a claim; bench/_peers.py says how each library is asked. "-": does not apply. Whatever a library refused
is listed below the table, so that a "no" can be read. Run it with whatever is installed:

    pip install grain augmax keras scipy tensorflow-cpu torch && python bench/claims.py
"""

import importlib.metadata
import io
import os
import random
import sys
import tempfile
import threading
import warnings
from contextlib import redirect_stdout
from itertools import islice as take
from pathlib import Path

import numpy as np
from _peers import EPOCHS, LIBRARIES, SIZE, STEPS, torch, tracked
from PIL import Image

SEEDS = range(9)


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
    print("\nRefused:\n", *refused, "\nVersions:", sep="\n")
    for package in sorted({package for library in LIBRARIES.values() for package in library.modules}):
        try:
            print(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            print(package, "not installed")


if __name__ == "__main__":
    main()
