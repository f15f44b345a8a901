"""Pictures of different sizes, one after the other in one array."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey
from jax.typing import ArrayLike

from ._array_checks import check_array
from ._checks import check_int
from ._describe import described
from ._host_rows import Source, check_length

MOST_SIDE = 2**15 - 1  # pixels: coordinates of pictures whose size is not static have 16 fractional bits
_USUAL, _ABOVE, _LARGER = 0.95, 1.1, 1.25  # a share of pictures; a little more than they have; much more
_FIELDS = ("pixels", "places", "shapes", "source_shapes")
COUNTED = 2**31  # an int32 counts no further
BLOCK = 2**20  # pixels; a place is the number of a block and a pixel in it, each of which an int32 counts


class Sides(NamedTuple):
    """A height and a width."""

    height: int
    width: int


class Extent(NamedTuple):
    """What is static of some pictures, as a program depends on it."""

    most: Sides  # the largest height, and the largest width
    has_room_behind: bool  # behind the last picture are as many pixels as the widest has columns
    levels: tuple[Sides, ...] = ()  # lesser sides that many pictures keep within, rising

    def at(self, level: Sides) -> Extent:
        """Of those pictures that keep within a level."""
        return Extent(level, self.has_room_behind)


@jax.tree_util.register_pytree_with_keys_class
class Ragged:
    """Pictures of different sizes as one array of their pixels: a leaf of a Loader's data.

    A transform that fixes the size has to take it: `RandomResizedCrop`, `Resize`, `Affine(size=)`. Each picture is read
    where it lies, so that no picture is filled up to the size of another.

    Args:
        pixels: (total pixels, channels): the pictures one after the other, each row by row. An array, a memmap, or an
            array on the device. The Loader neither copies nor changes it.
        starts: (n,), the first pixel of each picture, counted in pixels.
        shapes: (n, 2), the height and width of each, from 1 to 32,767.
        source_shapes: (n, 2), the heights and widths before the pictures were made smaller, by which their boxes
            and points are scaled; by default `shapes`.

    Attributes:
        shape: `(n, None, None, channels)`.
        dtype: Of the pixels.

    `ragged[row]` is one picture, (height, width, channels), without a copy where the pixels are NumPy's;
    `ragged[rows]` is a list of them. It is a pytree of its arrays.

    Raises:
        TypeError: If pixels are no array of numbers, or starts or shapes no integers.
        ValueError: For another rank or length, a side out of range, or a picture that ends behind the last pixel.

    Example:
        >>> import numpy as np
        >>> from jaxiter import Ragged
        >>> pixels = np.arange(10, dtype=np.uint8)[:, None]
        >>> pictures = Ragged(pixels, starts=[0, 6], shapes=[(2, 3), (2, 2)])
        >>> len(pictures), pictures.shape, pictures[1][..., 0].tolist()
        (2, (2, None, None, 1), [[6, 7], [8, 9]])
    """

    pixels: Any
    shapes: Any  # int32 (n, 2)
    source_shapes: Any  # int32 (n, 2)
    places: Any  # int32 (n, 2): of the first pixel of each picture its block and its place in it
    extent: Extent
    mode: str | None = None  # how files were read, where they were packed; not a part of the pytree

    def __init__(
        self, pixels: Source, starts: ArrayLike, shapes: ArrayLike, source_shapes: ArrayLike | None = None
    ) -> None:
        check_array("pixels", pixels)
        if len(pixels.shape) != 2:
            raise ValueError(f"pixels has shape {tuple(pixels.shape)}; expected (total pixels, channels).")
        begins = _integers("starts", starts, (None,))
        sizes = _integers("shapes", shapes, (len(begins), 2))
        before = sizes if source_shapes is None else _integers("source_shapes", source_shapes, (len(begins), 2))
        _check_sides("shapes", sizes, MOST_SIDE)
        _check_sides("source_shapes", before, COUNTED - 1)
        _check_inside(begins, sizes, pixels.shape[0])
        if isinstance(pixels, np.ndarray):
            check_length("pixels", pixels)
        most = Sides(*map(int, sizes.max(axis=0)))
        has_room = bool((begins + sizes.prod(axis=1)).max() + most.width <= pixels.shape[0])
        shapes32, before32 = sizes.astype(np.int32), before.astype(np.int32)
        self._set(pixels, places_of(begins), shapes32, before32, Extent(most, has_room, _levels(sizes, most)))

    def _set(self, pixels: Any, places: Any, shapes: Any, source_shapes: Any, extent: Extent) -> None:
        self.pixels, self.places, self.shapes, self.source_shapes = pixels, places, shapes, source_shapes
        self.extent = extent

    def tree_flatten_with_keys(self) -> tuple[list[tuple[GetAttrKey, Any]], Extent]:
        children, extent = self.tree_flatten()
        return list(zip(map(GetAttrKey, _FIELDS), children, strict=True)), extent

    def tree_flatten(self) -> tuple[tuple[Any, ...], Extent]:
        return tuple(getattr(self, name) for name in _FIELDS), self.extent

    @classmethod
    def tree_unflatten(cls, extent: Extent, children: Sequence[Any]) -> Ragged:
        ragged = object.__new__(cls)
        pixels, places, shapes, source_shapes = children
        ragged._set(pixels, places, shapes, source_shapes, extent)
        return ragged

    @property
    def starts(self) -> np.ndarray:
        """The first pixel of each picture, int64 (n,)."""
        blocks, rest = np.asarray(self.places, np.int64).T
        return blocks * BLOCK + rest

    @property
    def shape(self) -> tuple[Any, ...]:
        return (*self.places.shape[:1], None, None, *self.pixels.shape[-1:])

    @property
    def ndim(self) -> int:
        return 4

    @property
    def dtype(self) -> np.dtype:
        return self.pixels.dtype

    def __len__(self) -> int:
        return self.places.shape[0]

    # A picture is an array of NumPy or of JAX, as the pixels are, which no type tells.
    @overload
    def __getitem__(self, row: int | np.integer) -> Any: ...
    @overload
    def __getitem__(self, row: slice | Sequence[int] | np.ndarray | jax.Array) -> list[Any]: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            row = np.arange(len(self))[row]
        if isinstance(row, (np.ndarray, jax.Array, list)) and np.ndim(row) == 1:
            rows = np.asarray(row)
            if rows.dtype.kind not in "iu" and rows.size:  # True is no row 1
                raise TypeError(f"rows is {described(row)}; expected integers. Of booleans take np.flatnonzero(rows).")
            return [self[int(one)] for one in rows]
        row = check_int("row", row, low=-sys.maxsize)
        if not -len(self) <= row < len(self):  # by which a loop over the pictures ends
            raise IndexError(f"row is {row}; expected a row of {len(self)} pictures.")
        start, (height, width) = int(self.starts_of(np.array([row]))[0]), map(int, np.asarray(self.shapes[row]))
        if isinstance(self.pixels, np.ndarray):
            check_length("pixels", self.pixels)
        count, channels = height * width, self.pixels.shape[1]
        if isinstance(self.pixels, jax.Array) and start < COUNTED:  # else every start would be a program of its own
            found = jax.lax.dynamic_slice_in_dim(self.pixels, np.int32(start), count)
        else:
            found = self.pixels[start : start + count]
        return found.reshape(height, width, channels)

    def starts_of(self, rows: np.ndarray) -> np.ndarray:
        """The first pixels of some of the pictures, int64."""
        blocks, rest = np.asarray(self.places[rows], np.int64).T
        return blocks * BLOCK + rest

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "Ragged holds pictures of different sizes, which are no array; its pixels are ragged.pixels, and one "
            "picture is ragged[row]."
        )

    def taken(self, rows: jax.Array) -> Ragged:
        """Some of the pictures, of the same pixels; `rows` are known to exist, and may be traced."""
        places, shapes, source_shapes = (
            jnp.asarray(part).at[rows].get(mode="promise_in_bounds")
            for part in (self.places, self.shapes, self.source_shapes)
        )
        return Ragged.tree_unflatten(self.extent, (self.pixels, places, shapes, source_shapes))

    def __repr__(self) -> str:
        if not hasattr(self.pixels, "dtype"):
            return f"Ragged({self.pixels!r})"
        count, channels = self.shape[0], self.shape[-1]
        total, most = self.pixels.shape[0], self.extent.most
        return (
            f"Ragged({count} pictures of up to {most.height} by {most.width}, {np.dtype(self.dtype)}, "
            f"{channels} {'channel' if channels == 1 else 'channels'}, {total:,} pixels)"
        )


def is_ragged(leaf: object) -> bool:
    """Whether a leaf holds pictures of different sizes: `Ragged`, or a source of such pictures."""
    shape = getattr(leaf, "shape", None)
    return isinstance(leaf, Ragged) or (isinstance(shape, tuple) and len(shape) == 4 and shape[1] is None)


def is_ragged_array(leaf: object) -> TypeGuard[Ragged]:
    """For `is_leaf`: such pictures as one array, a pytree, which in data counts as one leaf."""
    return isinstance(leaf, Ragged)


def places_of(starts: np.ndarray) -> np.ndarray:
    """int32 (n, 2) of pixels counted from the first."""
    return np.stack(np.divmod(np.asarray(starts, np.int64), BLOCK), axis=-1).astype(np.int32)


def _levels(shapes: np.ndarray, most: Sides) -> tuple[Sides, ...]:
    """Where few pictures are much larger than the others: what the others keep within, and something between."""
    usual = np.quantile(shapes, _USUAL, axis=0, method="higher") * _ABOVE
    beyond = float((np.array(most) / usual).max())
    if beyond < _LARGER:
        return ()
    factors = [1.0] if beyond < 2 * _LARGER else [1.0, beyond**0.5]
    return tuple(
        Sides(*(min(side, math.ceil(own * factor)) for side, own in zip(most, usual, strict=True)))
        for factor in factors
    )


def _integers(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} is {described(values)}; expected integers.")
    if found.ndim != len(shape) or any(own not in (None, side) for own, side in zip(shape, found.shape, strict=True)):
        expected = "(n,)" if shape == (None,) else str(shape)
        raise ValueError(f"{name} has shape {found.shape}; expected {expected}, one entry for each picture.")
    if len(found) == 0:
        raise ValueError(f"{name} is empty; expected at least one picture.")
    return found.astype(np.int64)


def _check_sides(name: str, shapes: np.ndarray, most: int) -> None:
    wrong = np.flatnonzero(((shapes < 1) | (shapes > most)).any(axis=1))
    if len(wrong):
        height, width = shapes[wrong[0]]
        raise ValueError(f"{name}[{wrong[0]}] is {height} by {width}; expected sides of 1 to {most:,} pixels.")


def _check_inside(starts: np.ndarray, shapes: np.ndarray, total: int) -> None:
    ends = starts + shapes.prod(axis=1)
    wrong = np.flatnonzero((starts < 0) | (ends > total))
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"picture {row} takes pixels {starts[row]} to {ends[row]}; expected them within the {total} of pixels."
        )
