"""What all libraries of bench/claims.py are asked about: pictures, sizes, and who reads. Import it before JAX."""

import os
import random
import re
import threading
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"

import numpy as np

SIZE, BATCH, STEPS, EPOCHS, LARGE = 64, 8, 8, 4, 65_536
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


def values_of(batch):
    """{id: value} of a batch, in bytes."""
    return {int(row): np.asarray(x).tobytes() for x, row in zip(*map(np.asarray, batch), strict=True)}


def under_jit(at):
    """The ids of epochs 0 and 1 from `at(epoch, step)`, as one compiled program."""
    import jax

    epoch_ids = jax.jit(lambda epoch: jax.numpy.stack([at(epoch, step)[1] for step in range(STEPS)]))
    return [epoch_ids(0), epoch_ids(1)]


def no_such_name(package, pattern):
    """Says that no class or function of the package is named so, by its source; one that is must be asked instead."""
    for file in Path(package.__file__).parent.rglob("*.py"):
        found = re.search(rf"^ *(class|def) (\w*({pattern})\w*)", file.read_text(errors="replace"), re.MULTILINE | re.I)
        assert found is None, f"{file} defines {found and found[2]}: write code that asks it"
    raise LookupError(f"no class or function of {package.__name__} is named {pattern}")


def python_code(image):
    """An augmentation that no compiler sees into: NumPy, and Python's own random numbers."""
    return np.asarray(image) * np.float32(random.random())


def marked():
    """Pictures with a rectangle in each, its mask and its box (x0, y0, x1, y1)."""
    images, boxes = np.zeros((BATCH, 8, 8, 1), np.float32), np.zeros((BATCH, 1, 4), np.float32)
    for n in range(BATCH):
        left, top = n % 4, n % 3
        images[n, top : top + 2, left : left + 3] = 1
        boxes[n, 0] = left, top, left + 3, top + 2
    return images, images.astype(np.uint8), boxes


MARKED = marked()
