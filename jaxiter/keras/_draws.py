"""Parameters from the iterator's own stream for whoever asks the generator's method for them, image by image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._keys import Key
from ._config import RANGES, snapshot_ranges
from ._params import RandomTransform, Source
from ._sample import sample_params, uniform_blocks

_SETTINGS = (*RANGES, "horizontal_flip", "vertical_flip", "row_axis", "col_axis")


class Place(NamedTuple):
    """Where in the stream a batch is: what its images draw follows from this alone."""

    key: Key
    epoch: int
    rows: np.ndarray  # each image's row in the whole array

    def filled_up_rows(self, length: int) -> np.ndarray:
        """The rows for a program that is compiled for so many, the missing ones 0."""
        rows = np.zeros(max(length, len(self.rows)), np.uint32)
        rows[: len(self.rows)] = self.rows
        return rows


class Draws:
    """What the images of one batch draw: first the parameters of the compiled batch, then others for each call.

    They are made for all images at once when the first asks, and again if the generator is set otherwise by then.

    Args:
        length: Of the batches for which the draws are compiled.
        first_call: 1 where the compiled batch has taken the first parameters already.
    """

    def __init__(self, place: Place, length: int, first_call: int = 0):
        self._place = place
        self._rows = place.filled_up_rows(length)
        self._calls = [first_call] * len(place.rows)
        self._blocks: dict[int, np.ndarray] = {}
        self._known: dict[Any, list[RandomTransform]] = {}

    def source(self, position: int) -> Source:
        """Parameters for the image at this place of the batch, others with every call."""

        def drawn(generator: Any, img_shape: Any) -> RandomTransform:
            call = self._calls[position]
            self._calls[position] += 1
            settings = (call, tuple(img_shape), *(_frozen(getattr(generator, name)) for name in _SETTINGS))
            if settings not in self._known:
                self._known[settings] = self._transforms(generator, tuple(img_shape), call)
            return dict(self._known[settings][position])

        return drawn

    def _transforms(self, generator: Any, img_shape: tuple[int, ...], call: int) -> list[RandomTransform]:
        if call not in self._blocks:
            epoch = np.uint32(self._place.epoch)
            self._blocks[call] = np.asarray(uniform_blocks(self._place.key, epoch, np.uint32(call), self._rows)).T
        kinds, ranges = snapshot_ranges(generator, img_shape)
        params = sample_params(np, kinds, ranges, self._blocks[call])._asdict()
        columns = {
            name: np.broadcast_to(values, self._rows.shape).astype(np.float64) for name, values in params.items()
        }
        columns |= {name: np.rad2deg(columns[name]) for name in ("theta", "shear")}
        columns |= {name: columns[name] != 0 for name in ("flip_horizontal", "flip_vertical")}
        absent: RandomTransform = {}
        if generator.channel_shift_range == 0:
            absent["channel_shift_intensity"] = None
        if generator.brightness_range is None:
            absent["brightness"] = None
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) | absent for row in rows]


def _frozen(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
