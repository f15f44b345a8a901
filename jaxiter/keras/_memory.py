"""Memory that NumPy and JAX share, so that a batch is copied neither on its way in nor on its way out."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

_ALIGNMENT = 64  # bytes: what XLA:CPU asks of memory that it has not allocated itself


def to_numpy(batch: Any, count: int) -> np.ndarray:
    """The first `count` images of a batch that nobody else holds, writable; on CPU in the memory where they are."""
    if not isinstance(batch, jax.Array):
        return batch[:count]
    # A copy costs as much as a tenth of the augmentation, in fresh pages even more.
    is_plain = np.dtype(batch.dtype).kind in "biuf" and batch.size and batch.is_fully_addressable
    if is_plain and len(batch.devices()) == 1 and next(iter(batch.devices())).platform == "cpu":
        return np.asarray(_Memory(batch))[:count]
    return np.array(np.asarray(batch)[:count])


def taken(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`images[rows]`, where a program on the CPU may read it as it is."""
    if images.dtype.kind not in "biuf":
        return np.take(images, rows, axis=0)
    shape = (len(rows), *images.shape[1:])
    num_bytes = int(np.prod(shape)) * images.dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    aligned = memory[start : start + num_bytes].view(images.dtype).reshape(shape)
    # The rows are known to exist; "raise", which looks, takes a copy for it.
    return np.take(images, rows, axis=0, out=aligned, mode="clip")


class _Memory:
    """What NumPy asks for to lay an array over memory; NumPy keeps this object, and it the memory."""

    def __init__(self, array: jax.Array):
        array.block_until_ready()
        self.array = array
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "typestr": np.dtype(array.dtype).str,
            "data": (array.unsafe_buffer_pointer(), False),
        }
