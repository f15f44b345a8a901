"""Pictures of different sizes for the tests."""

import numpy as np

from jaxiter import Ragged

# Among them a row, a column, a single pixel, and one that is both tall and narrow.
SIZES = [(20, 30), (7, 50), (33, 9), (1, 1), (60, 3), (2, 40), (1, 17), (25, 1), (12, 12), (31, 29), (5, 6), (48, 44)]


def noise(size, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels))
    return values.astype(dtype) if np.dtype(dtype).kind != "f" else (values / 255).astype(dtype)


def pictures_of(sizes=SIZES, channels=3, dtype=np.uint8):
    return [noise(size, channels, dtype, seed) for seed, size in enumerate(sizes)]


def ragged(pictures, gap=0, room=0):
    """One behind the other, with pixels that belong to none between them and behind the last."""
    channels, dtype, parts, starts, end = pictures[0].shape[-1], pictures[0].dtype, [], [], 0
    for picture in pictures:
        starts.append(end)
        parts += [picture.reshape(-1, channels), np.full((gap, channels), 77, dtype)]
        end += picture.shape[0] * picture.shape[1] + gap
    parts.append(np.full((room, channels), 99, dtype))
    return Ragged(np.concatenate(parts), starts, [picture.shape[:2] for picture in pictures])
