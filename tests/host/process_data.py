"""What the processes of test_processes share, and the test itself."""

import numpy as np

from jaxiter import Affine, Chain, Loader, Ragged, RandomResizedCrop, Rescale

DEVICES = 4  # of all processes together
SIZE, BATCH_SIZE = 52, 8
KEY = 7


def data():
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (SIZE, 6, 5, 3)).astype(np.uint8)
    return images, np.arange(SIZE, dtype=np.int32)


def loader(images, labels, **options):
    augment = Chain(Affine(rotation=20, shift=0.1, horizontal_flip=True), Rescale(1 / 255))
    return Loader((images, labels), batch_size=BATCH_SIZE, augment=(augment, None), remainder="pad", **options)


def ragged_loader():
    """Pictures of which few are large, so that one process needs a larger buffer for its part than another."""
    sides = np.where(np.arange(SIZE) % 7 == 0, 60, 5)
    counts = sides**2
    pixels = np.random.default_rng(1).integers(0, 256, (counts.sum(), 1)).astype(np.uint8)
    pictures = Ragged(pixels, np.cumsum(counts) - counts, np.stack([sides, sides], axis=1))
    augment = RandomResizedCrop(6)
    return Loader((pictures, np.arange(SIZE)), batch_size=BATCH_SIZE, augment=(augment, None), remainder="pad")
