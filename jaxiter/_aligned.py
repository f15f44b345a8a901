"""Host memory that XLA:CPU takes over as it is, without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: what XLA:CPU asks of memory that it has not allocated itself


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    dtype = np.dtype(dtype)
    num_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT  # `memory.ctypes` takes three times as long
    return memory[start : start + num_bytes].view(dtype).reshape(shape)


def aligned_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]`; the rows are known to exist."""
    if not (array.flags.c_contiguous and array.flags.aligned):
        return array[rows]  # np.take would copy all of the array first
    if array.dtype.kind not in "biuf":
        return array.take(rows, axis=0)
    # mode="raise", which looks whether they do, takes a copy for it.
    return array.take(rows, axis=0, out=aligned_empty((len(rows), *array.shape[1:]), array.dtype), mode="clip")
