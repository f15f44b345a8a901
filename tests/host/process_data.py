"""What the processes of test_processes share, and the test itself."""

import numpy as np

from jaxiter import Affine, Chain, Loader, Rescale

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
