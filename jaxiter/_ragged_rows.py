"""Pictures of different sizes on the host: reading some of them, and laying them one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ._host_rows import aligned_empty, announced, check_length, native
from ._ragged import BLOCK, COUNTED, MOST_SIDE, Extent, Ragged, Sides, places_of

_LEVELS = 768, 2048  # sides of pictures that are read one by one, whose usual sizes are not known
_BITS = 3  # of a side, counted from the highest, that are kept where pictures are staged
# Of each source that is read one by one the largest sides and buffer so far: a program for these does for all that are
# smaller, where one for each batch would go on compiling for epochs. No number depends on it.
_found: WeakKeyDictionary[Any, tuple[Sides, int]] = WeakKeyDictionary()
_SPREAD = 1.1  # times the pixels that a batch has on average: few have more
_GROWTH = 1.25  # of the memory for pictures whose number of pixels is not known before


class Joining:
    """Pictures one after the other in one array, which grows, without a second copy of all of them."""

    def __init__(self, channels: int, dtype: np.dtype):
        self._channels, self._shapes, self._end = channels, list[tuple[int, ...]](), 0
        self._values = np.empty(0, dtype.newbyteorder("="))

    def add(self, picture: np.ndarray) -> None:
        begin, self._end = self._end, self._end + picture.size
        if self._end > self._values.size:
            self._values.resize(int(self._end * _GROWTH), refcheck=False)
        self._values[begin : self._end] = picture.reshape(-1)
        self._shapes.append(picture.shape[:2])

    def whole(self) -> Ragged:
        self._values.resize(self._end, refcheck=False)
        shapes = np.array(self._shapes, np.int64)
        ends = np.cumsum(shapes.prod(axis=1))
        return Ragged(self._values.reshape(-1, self._channels), ends - shapes.prod(axis=1), shapes)


def stage(name: str, source: Any, rows: np.ndarray, num_groups: int, room_of: np.ndarray | None = None) -> list[Ragged]:
    """Rows of a source of pictures, as so many groups of equal length, each with pixels of its own.

    Args:
        source: `Ragged`, or what has `shape` (n, None, None, channels), `dtype`, and gives for an array of rows a list
            of pictures.
        room_of: The rows of one group on each line, of those that other processes read, whose buffers are as large.

    Raises:
        ValueError: If a source returns something else than one picture for each row. OSError: As for `read_rows`.
    """
    groups = np.split(rows, num_groups)
    if isinstance(source, Ragged):
        shapes = np.asarray(source.shapes)[rows].astype(np.int64)
        with announced(name, source.pixels, source.starts_of(rows), shapes.prod(axis=1)):
            return _staged_groups(source, [_pictures_of(source, group) for group in groups], groups, room_of)
    pictures = dict(zip(*_read_list(name, source, np.unique(rows)), strict=True))
    return _staged_groups(source, [[pictures[row] for row in group.tolist()] for group in groups], groups, room_of)


def stage_all(name: str, source: Any) -> Ragged:
    """All pictures, to be put on a device: the pixels copied as they are, with the length of a row behind the last."""
    if not isinstance(source, Ragged):
        source = source.read_all()
        if source.extent.has_room_behind and source.pixels.shape[0] < COUNTED:
            return source
    if isinstance(source.pixels, np.ndarray):
        check_length(name, source.pixels)
    total, width = source.pixels.shape[0], source.extent.most.width
    needed = total if source.extent.has_room_behind else total + width
    if needed >= COUNTED:
        needed += -needed % BLOCK
    pixels = aligned_empty((needed, source.pixels.shape[1]), np.dtype(source.dtype).newbyteorder("="))
    for start in range(0, total, BLOCK):
        pixels[start : min(start + BLOCK, total)] = source.pixels[start : start + BLOCK]
    pixels[total:] = 0
    children = pixels, *(np.array(part) for part in (source.places, source.shapes, source.source_shapes))
    return Ragged.tree_unflatten(source.extent._replace(has_room_behind=True), children)


def _pictures_of(source: Ragged, rows: np.ndarray) -> list[np.ndarray]:
    """As `source[rows]`, of a file that has been found to be long enough, without looking again for each picture."""
    if not isinstance(source.pixels, np.ndarray):
        return list(source[rows])
    pixels = np.asarray(source.pixels)  # a view of a memmap takes several times as long to make
    places = zip(source.starts_of(rows).tolist(), np.asarray(source.shapes)[rows].tolist(), strict=True)
    return [pixels[start : start + height * width].reshape(height, width, -1) for start, (height, width) in places]


def _staged_groups(
    source: Any, groups: Sequence[Sequence[np.ndarray]], rows: Sequence[np.ndarray], room_of: np.ndarray | None
) -> list[Ragged]:
    extent = _extent_for(source, [picture for group in groups for picture in group])
    counts = [sum(picture.shape[0] * picture.shape[1] for picture in group) for group in groups]
    if room_of is not None and isinstance(source, Ragged):
        counts += np.asarray(source.shapes, np.int64)[room_of].prod(axis=-1).sum(axis=-1).tolist()
    room = _room_for(source, extent, counts, len(groups[0]))
    before = [np.asarray(source.source_shapes)[own] if isinstance(source, Ragged) else None for own in rows]
    return [_staged(group, shapes, extent, room) for group, shapes in zip(groups, before, strict=True)]


def _read_list(name: str, source: Any, unique: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    found = source[unique]
    if not isinstance(found, (list, tuple)) or len(found) != len(unique):
        raise ValueError(f"{name} returned {type(found).__name__} for {len(unique)} rows; expected a list of pictures.")
    for row, picture in zip(unique.tolist(), found, strict=True):
        _check_picture(f"{name}[{row}]", picture, source)
    return unique.tolist(), [native(picture) for picture in found]


def _check_picture(name: str, picture: Any, source: Any) -> None:
    shape, dtype = getattr(picture, "shape", None), getattr(picture, "dtype", None)
    channels = source.shape[-1]
    if shape is None or len(shape) != 3 or shape[-1] != channels or dtype != source.dtype:
        raise ValueError(f"{name} is {dtype}{shape}; expected {source.dtype} of (height, width, {channels}).")
    if not 1 <= min(shape[:2]) <= max(shape[:2]) <= MOST_SIDE:
        raise ValueError(f"{name} is {shape[0]} by {shape[1]}; expected sides of 1 to {MOST_SIDE:,} pixels.")


def _extent_for(source: Any, pictures: Sequence[np.ndarray]) -> Extent:
    """Of pictures that are staged: of the whole source if it is known, so that one program does for all batches."""
    if isinstance(source, Ragged):
        return source.extent._replace(has_room_behind=True)
    sides = (max(picture.shape[axis] for picture in pictures) for axis in range(2))
    before = _known(source)[0]
    most = Sides(*(max(_step_above(side), known) for side, known in zip(sides, before, strict=True)))
    levels = tuple(Sides(side, side) for side in _LEVELS if side < max(most))
    return Extent(most, has_room_behind=True, levels=levels)


def _room_for(source: Any, extent: Extent, counts: Sequence[int], batch_size: int) -> int:
    """Pixels of a buffer for one batch, one of a few sizes: a power of two.

    Args:
        counts: Pixels of each buffer that is to have this size.
        batch_size: Pictures in each.
    """
    needed = max(counts) + extent.most.width
    if isinstance(source, Ragged):
        mean = np.asarray(source.shapes, np.int64).prod(axis=1).mean()
        needed = max(needed, math.ceil(_SPREAD * batch_size * mean))
        return 1 << (needed - 1).bit_length()
    room = max(1 << (needed - 1).bit_length(), _known(source)[1])
    with suppress(TypeError):
        _found[source] = extent.most, room
    return room


def _known(source: Any) -> tuple[Sides, int]:
    """The largest sides and buffer that a source has had; of one that cannot be looked up, as it has no hash, none."""
    try:
        return _found.get(source, (Sides(1, 1), 1))
    except TypeError:
        return Sides(1, 1), 1


def _staged(pictures: Sequence[np.ndarray], source_shapes: np.ndarray | None, extent: Extent, room: int) -> Ragged:
    """Pictures copied one behind the other, in memory that XLA:CPU takes over without a copy; the end is unused."""
    channels = pictures[0].shape[-1]
    pixels = aligned_empty((room, channels), pictures[0].dtype.newbyteorder("="))
    shapes = np.array([picture.shape[:2] for picture in pictures], np.int64)
    ends = np.cumsum(shapes.prod(axis=1))
    starts = ends - shapes.prod(axis=1)
    for start, end, picture in zip(starts.tolist(), ends.tolist(), pictures, strict=True):
        pixels[start:end] = picture.reshape(-1, channels)
    before = shapes if source_shapes is None else source_shapes
    children = pixels, places_of(starts), shapes.astype(np.int32), before.astype(np.int32)
    return Ragged.tree_unflatten(extent, children)


def _step_above(side: int) -> int:
    """The next of 1 to 8, 10, 12, 14, 16, 20, 24, 28, 32 ...: a wider line is more work, another one a program more."""
    step = 1 << max(0, (side - 1).bit_length() - _BITS)
    return min(-(-side // step) * step, MOST_SIDE)
