"""What the tests of streams share: a source that goes wrong, and what must not be left running."""

import threading
import time

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


class Source:
    """Rows of numbers that go wrong at row 9 in a way of one's own, until mended."""

    shape, dtype = (24, 2), np.dtype(np.float32)

    def __init__(self, fault):
        self.fault, self.broken, self.asked = fault, True, []

    def __getitem__(self, index):
        self.asked.append(index.tolist())
        rows = np.stack([index, index], 1).astype(np.float32)
        return self.fault(rows) if self.broken and 9 in index else rows


def four_devices():
    return NamedSharding(Mesh(np.array(jax.devices()[:4]), ("data",)), P("data"))


def stream_threads():
    """Those of streams, and not of Keras' iterators that other tests may still hold."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("jaxiter") and thread.name != "jaxiter-pictures"
    ]


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()
