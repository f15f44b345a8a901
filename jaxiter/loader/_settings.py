"""The settings of a Loader that may be changed afterwards."""

from __future__ import annotations

from typing import TypedDict

from numpy.typing import ArrayLike

from .._words import Remainder
from ._data import PyTree


class Settings(TypedDict, total=False):
    """What `Loader.replace` takes, by name."""

    batch_size: int
    augment: PyTree
    shuffle: bool
    remainder: Remainder
    rows: ArrayLike | None
    weights: ArrayLike | None
