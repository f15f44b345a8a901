"""Threefry-2x32 with 20 rounds, as one run of vector instructions.

The same function as `jax.extend.random.threefry_2x32`, to which a test holds it. JAX's own is a loop of some forty
small steps on CPU: for the few hundred words of a batch it takes 30 us longer and compiles twice as long.

Reference:
    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry(key: tuple[Any, Any], first: Any, second: Any) -> tuple[Any, Any]:
    """Two uint32 words for each pair of counters; everything is uint32, scalars or arrays of one shape."""
    schedule = (*key, key[0] ^ key[1] ^ _PARITY)
    first, second = first + schedule[0], second + schedule[1]
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            first = first + second
            second = ((second << np.uint32(rotation)) | (second >> np.uint32(32 - rotation))) ^ first
        first, second = first + schedule[group % 3], second + schedule[(group + 1) % 3] + np.uint32(group)
    return first, second
