"""Memory that NumPy and JAX share, so that a batch is not copied on its way out."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def to_numpy(batch: Any, count: int) -> np.ndarray:
    """The first `count` images of a batch that nobody else holds, writable; on CPU in the memory where they are."""
    if not isinstance(batch, jax.Array):
        return batch[:count]
    # A copy costs as much as a tenth of the augmentation, in fresh pages even more.
    is_plain = np.dtype(batch.dtype).kind in "biuf" and batch.size and batch.is_fully_addressable
    if is_plain and len(batch.devices()) == 1 and next(iter(batch.devices())).platform == "cpu":
        return np.asarray(_Memory(batch))[:count]
    return np.array(np.asarray(batch)[:count])


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
