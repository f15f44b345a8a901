"""The fourteen operations of RandAugment and TrivialAugment, and how strong they get."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int32

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
NUM_BINS = 31


class Drawn(NamedTuple):
    """What an image gets, one operation after the other."""

    operation: Int32[Array, " num_ops"]  # its number in OPERATIONS
    strength: Float[Array, " num_ops"]  # tangent, pixels, radians, factor, bits that are kept, or level


class Space(NamedTuple):
    """How strong an operation is at the last of the bins; at the first it does nothing."""

    shear: float  # pixels to the side for each pixel down
    shift: tuple[float, float]  # a share of the side, and pixels
    rotation: float  # degrees
    factor: float  # what is added to 1, or taken from it
    lost_bits: int


RAND_AUGMENT = Space(0.3, (150 / 331, 0), 30, 0.9, 4)
TRIVIAL_AUGMENT = Space(0.99, (0, 32), 135, 0.99, 6)


@lru_cache(maxsize=64)
def strengths(space: Space, height: int, width: int) -> Float[np.ndarray, "sign operations bins"]:
    """What each operation makes of each bin, for either sign, see `Drawn.strength`."""
    bins, last = np.arange(NUM_BINS), NUM_BINS - 1
    share = bins / last
    # The product first, as a share that is rounded falls short of whole pixels: 54 for 55 at a side of 331.
    down, right = (np.trunc((space.shift[0] * side + space.shift[1]) * bins / last) for side in (height, width))
    found = np.zeros((2, len(OPERATIONS), NUM_BINS))
    for which, sign in enumerate((1, -1)):
        each = {
            "ShearX": sign * space.shear * share,
            "ShearY": sign * space.shear * share,
            "TranslateX": sign * right,
            "TranslateY": sign * down,
            "Rotate": sign * np.deg2rad(space.rotation) * share,
            **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 1 + sign * space.factor * share),
            "Posterize": 8 - np.round(space.lost_bits * share),
            "Solarize": 255 * (1 - share),
        }
        for name, values in each.items():
            found[which, NUMBER[name]] = values
    return found.astype(np.float32)
