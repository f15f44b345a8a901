"""Folders of small pictures, and both iterators over them."""

import contextlib
import io
import warnings

import numpy as np
from PIL import Image

from .test_numpy_iterator import assert_same

CHANNELS = {"L": (), "RGB": (3,), "RGBA": (4,)}


def write(path, size=(7, 9), mode="RGB", seed=0):
    """A picture of noise, of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng([seed, *map(ord, path.name)]).integers(0, 256, (*size, *CHANNELS[mode]))
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def write_classes(folder, counts, **options):
    """`counts`: how many pictures each class has."""
    for number, (name, count) in enumerate(counts.items()):
        for index in range(count):
            write(folder / name / f"{index}.png", seed=number, **options)
    return folder


def made(make):
    """What `make` returns, what it prints, and its warnings."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        it = make()
    return it, printed.getvalue(), told


def quiet(make):
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


def assert_same_batches(ours, theirs, number):
    for _ in range(number):
        assert_same(next(ours), next(theirs))
