"""Boxes and points, which move with an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_flag
from ._companions import Companion
from ._matrix import compose
from ._rounded import rounded
from ._run import Moves

if TYPE_CHECKING:
    from jax.typing import DTypeLike
    from jaxtyping import Array, Bool, Float

Numbers = TypeVar("Numbers", jax.Array, np.ndarray)
Box = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # left, top, right, bottom
PlacedBy = Sequence[tuple["jax.Array | None", tuple[int, int]]]
FORMATS = ("xyxy", "xywh", "cxcywh")


class Places(Companion):
    """What boxes and points share: coordinates (x, y) in pixels from the upper left corner of the picture."""

    num_numbers: ClassVar[int]
    holds_places: ClassVar[bool] = True

    def check_fits(self, shape: Sequence[int], dtype: DTypeLike, image_shape: Sequence[int]) -> None:
        name, count = type(self).__qualname__, self.num_numbers
        if len(shape) < 1 or shape[-1] != count:
            raise ValueError(
                f"{self.leaf} has examples of shape {tuple(shape)} and {name}; expected (..., {count}), for example "
                f"({'K' if len(shape) < 2 else shape[0]}, {count}) with as many rows for every example, those that an "
                "example lacks filled with -1."
            )
        if not jnp.issubdtype(dtype, np.floating) and not jnp.issubdtype(dtype, np.integer):
            raise TypeError(f"{self.leaf} has dtype {dtype} and {name}; expected numbers, in pixels.")

    def follow(self, example: Any, moves: Moves, size: tuple[int, int]) -> jax.Array:
        steps = [(_inverse(matrix), mover.after) for matrix, mover in zip(*moves, strict=True)]
        return self._placed(example.astype(np.float32), steps or [(None, size)])

    def as_edges(self, places: Float[np.ndarray, "... numbers"]) -> Float[np.ndarray, "... numbers"]:
        """To be drawn: (left, top, right, bottom), or (x, y); NaN where a row lacks."""
        raise NotImplementedError

    def _placed(self, places: jax.Array, steps: PlacedBy) -> jax.Array:
        """After each map, source to output, in a picture of that size; None is the identity."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Boxes(Places):
    """Boxes that move with an image; those of which too little is left become -1.

    The corners are moved, and the box of them is taken; it is clipped to the picture, and to what steps before left of
    the picture where they are a resampling of their own. A box of which too little is
    left is -1 in all four numbers, and so is a row that was -1 before, so that examples may have any number of boxes.

    Args:
        of: The leaf that they follow, by its key or its place in a tuple.
        format: "xyxy" for (left, top, right, bottom), "xywh" for (left, top, width, height), "cxcywh" for the centre
            and (width, height).
        clip: Cut off what lies outside the picture.
        min_visible: The least share of the area of the moved box that has to lie inside the picture, in [0, 1]. A box
            without area is never kept.

    Coordinates are edges, in pixels: the pixel in column c reaches from c to c + 1, so that a box of the whole picture
    is (0, 0, width, height). A leaf (n, ..., K, 4) of any numbers comes out as float32.

    Raises:
        ValueError: For an unknown format, or min_visible outside [0, 1]; when the loader is made, if no leaf has this
            name, or the last axis is not 4.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Boxes, Loader
        >>> data = {"image": np.zeros((4, 8, 10, 3), np.uint8), "boxes": np.full((4, 1, 4), (0, 0, 4, 2))}
        >>> loader = Loader(data, batch_size=2, augment={"image": Affine(horizontal_flip=1.0), "boxes": Boxes("image")})
        >>> loader.batch(jax.random.key(0), 0, 0)["boxes"][0].tolist()
        [[6.0, 0.0, 10.0, 2.0]]
    """

    of: str | int
    format: Literal["xyxy", "xywh", "cxcywh"] = field(default="xyxy", kw_only=True)
    clip: bool = field(default=True, kw_only=True)
    min_visible: float = field(default=0.0, kw_only=True)

    kind: ClassVar[str] = "Boxes"
    num_numbers: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if not isinstance(self.format, str) or self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}; expected one of {', '.join(map(repr, FORMATS))}.")
        object.__setattr__(self, "clip", check_flag("clip", self.clip))
        check_finite("min_visible", self.min_visible)
        if isinstance(self.min_visible, (tuple, list)) or not 0 <= self.min_visible <= 1:
            raise ValueError(f"min_visible is {self.min_visible!r}; expected a share of the area, in [0, 1].")
        super().__post_init__()

    def as_edges(self, places: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "... 4"]:
        is_row = (places != -1).any(-1, keepdims=True)
        return np.where(is_row, np.stack(_edges(places, self.format), axis=-1), np.nan)

    def _placed(self, places: jax.Array, steps: PlacedBy) -> jax.Array:
        given = _edges(places, self.format)
        is_row = (places != np.float32(-1)).any(-1) & _has_area(given)
        forwards = [forward for forward, _ in steps if forward is not None]
        whole = _bounds(given, compose(*forwards[::-1])) if forwards else given
        seen = given  # of which each resampling leaves what its picture holds
        for forward, size in steps:
            seen = _clipped(seen if forward is None else _bounds(seen, forward), size)
        seen = _common(seen, whole)  # bounds of bounds are too wide where both maps turn
        found = seen if self.clip else whole
        is_kept = is_row & _has_area(found) & (_area(seen) >= np.float32(self.min_visible) * _area(whole))
        return jnp.where(is_kept[..., None], jnp.stack(_numbers(*found, self.format), axis=-1), np.float32(-1))


@dataclass(frozen=True, eq=False)
class Points(Places):
    """Points that move with an image; outside the picture they keep the place that they were moved to.

    Args:
        of: The leaf that they follow, by its key or its place in a tuple.
        format: "xy", the only one: (column, row).

    Coordinates are edges, in pixels: the centre of the pixel in row r and column c is (c + 0.5, r + 0.5). A leaf
    (n, ..., K, 2) of any numbers comes out as float32. A row of -1, which an example lacks, stays one; NaN stays NaN.

    Raises:
        ValueError: For an unknown format; when the loader is made, if no leaf has this name, or the last axis is not 2.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Loader, Points
        >>> data = {"image": np.zeros((4, 8, 10, 3), np.uint8), "points": np.full((4, 1, 2), (2.5, 0.5))}
        >>> loader = Loader(data, batch_size=2, augment={"image": Affine(vertical_flip=1.0), "points": Points("image")})
        >>> loader.batch(jax.random.key(0), 0, 0)["points"][0].tolist()
        [[2.5, 7.5]]
    """

    of: str | int
    format: Literal["xy"] = field(default="xy", kw_only=True)

    kind: ClassVar[str] = "Points"
    num_numbers: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.format != "xy":
            raise ValueError(f"format is {self.format!r}; expected 'xy', the column and the row.")
        super().__post_init__()

    def as_edges(self, places: Float[np.ndarray, "... 2"]) -> Float[np.ndarray, "... 2"]:
        return np.where((places != -1).any(-1, keepdims=True), places, np.nan)

    def _placed(self, places: jax.Array, steps: PlacedBy) -> jax.Array:
        forwards = [forward for forward, _ in steps if forward is not None]
        if not forwards:
            return places
        forward = compose(*forwards[::-1])
        is_row = (places != np.float32(-1)).any(-1, keepdims=True)
        return jnp.where(is_row, jnp.stack(_moved(places[..., 0], places[..., 1], forward), axis=-1), np.float32(-1))


def _inverse(matrix: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """Of a map of the plane, whose last row is (0, 0, 1)."""
    (a, b, down), (c, d, right) = ([matrix[i, j] for j in range(3)] for i in range(2))
    determinant = rounded(a * d) - rounded(b * c)
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    down, right = -(rounded(a * down) + rounded(b * right)), -(rounded(c * down) + rounded(d * right))
    none, one = jnp.zeros_like(a), jnp.ones_like(a)
    return jnp.stack([jnp.stack(row) for row in ((a, b, down), (c, d, right), (none, none, one))])


def _moved(x: jax.Array, y: jax.Array, forward: Float[Array, "3 3"]) -> tuple[jax.Array, jax.Array]:
    """Places (x, y), from the upper left corner, after a map of (row, col), from the centre of the first pixel."""
    half = np.float32(0.5)
    row, col = y - half, x - half
    rows, cols = (
        (rounded(forward[axis, 0] * row) + rounded(forward[axis, 1] * col)) + forward[axis, 2] for axis in range(2)
    )
    return cols + half, rows + half


def _bounds(box: Box, forward: Float[Array, "3 3"]) -> Box:
    """Of the corners after a map."""
    left, top, right, bottom = box
    corners = [_moved(x, y, forward) for x in (left, right) for y in (top, bottom)]
    xs, ys = (jnp.stack(axis) for axis in zip(*corners, strict=True))
    return xs.min(0), ys.min(0), xs.max(0), ys.max(0)


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    (left, top, right, bottom), (height, width), none = box, map(np.float32, size), np.float32(0)
    (left, right), (top, bottom) = (
        (jnp.clip(low, none, side), jnp.clip(high, none, side))
        for low, high, side in ((left, right, width), (top, bottom, height))
    )
    return left, top, right, bottom


def _common(box: Box, other: Box) -> Box:
    """What both hold; without area if that is nothing."""
    left, top = (jnp.maximum(box[edge], other[edge]) for edge in (0, 1))
    right, bottom = (jnp.minimum(box[edge], other[edge]) for edge in (2, 3))
    return left, top, jnp.maximum(left, right), jnp.maximum(top, bottom)


def _has_area(box: Box) -> Bool[Array, ...]:
    left, top, right, bottom = box
    return (right > left) & (bottom > top)


def _area(box: Box) -> jax.Array:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _edges(places: Numbers, format: str) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Left, top, right, bottom."""
    first, second, third, fourth = (places[..., number] for number in range(4))
    if format == "xyxy":
        return first, second, third, fourth
    if format == "cxcywh":
        first, second = first - third / 2, second - fourth / 2
    return first, second, first + third, second + fourth


def _numbers(
    left: jax.Array, top: jax.Array, right: jax.Array, bottom: jax.Array, format: str
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    if format == "xyxy":
        return left, top, right, bottom
    width, height = right - left, bottom - top
    if format == "xywh":
        return left, top, width, height
    return left + width / 2, top + height / 2, width, height
