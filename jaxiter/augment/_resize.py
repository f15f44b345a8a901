"""Pictures, and windows of them, brought to another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_flag
from .._keys import Key, uniforms
from .._transfers import transfers
from .._words import ResizeMode
from ._crop import Size, central_place, random_place
from ._geometric import Geometric, Sampling
from ._rounded import rounded
from ._transform import Params, Transform, frozen_value
from ._warp import MatrixBounds, Window, as_image_size, check_image_shape, check_sampling, is_static, matrix_bounds
from ._windows import ATTEMPTS, first_fit, rising_pair

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int32

MODES = ("squash", "crop", "pad")
_NUM_SLOTS = 2 * ATTEMPTS + 2  # area and ratio of each attempt, then row and column


class WindowParams(NamedTuple):
    """The window that is brought to the size of the result, in pixels of the picture."""

    top: Int32[Array, ""]
    left: Int32[Array, ""]
    height: Int32[Array, ""]
    width: Int32[Array, ""]


class _Placed(NamedTuple):
    """Along an axis first pixel and length of a window, and first pixel and length of what becomes of it."""

    first: Any  # float, or a float32 that is traced
    length: Any
    start: Any
    count: Any


class _Resized(Geometric):
    """What both share: a window of the picture becomes an area of the result."""

    size: Size
    antialias: bool
    order: int
    cval: float

    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_image_size("size", self.size))
        object.__setattr__(self, "cval", frozen_value(self.cval))
        check_sampling(self._border[0], self.order, self.cval)
        if check_flag("antialias", self.antialias) and self.order != 1:
            raise ValueError(
                f"antialias is True and order is {self.order}; expected order=1, whose triangle it widens. Pass "
                "antialias=False with another order."
            )
        super().__post_init__()

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return cast("tuple[int, int]", self.size)  # as `__post_init__` left it

    @property
    def _border(self) -> tuple[str, float]:
        raise NotImplementedError

    @property
    def interpolates(self) -> bool:
        return self.order != 0

    @property
    def looks_outside(self) -> bool:
        return True

    @property
    def sampling(self) -> Sampling:
        return Sampling(self._border, self.order, self.antialias)


@dataclass(frozen=True, eq=False)
class Resize(_Resized):
    """The picture at another size: stretched, cut or padded to it.

    Args:
        size: (height, width) of the result, or one number for a square, unlike torchvision's, where it is the shorter
            side.
        mode: What becomes of another ratio of height to width. "squash" stretches the picture, "crop" takes the largest
            central window of the ratio, "pad" leaves `cval` around the whole picture, which is in the middle.
        antialias: Pixels of a picture that shrinks are averaged, with Pillow's triangle; False mixes two along each
            axis. Both read nothing beyond the window.
        cval: What "pad" adds.
        order: As in `affine_warp`. Another one than 1 needs antialias=False, and 0 keeps the dtype.

    Returns (apply):
        An image of this size: float32 or its own float dtype, not rounded; with order 0 of the same dtype.

    Raises:
        ValueError: If size is no pair of positive integers, for an unknown mode or order, or antialias with another
            order than 1.

    Source:
        Pillow's `resize` with BILINEAR, and the windows of `ImageOps.fit` for "crop" and of `ImageOps.pad` for "pad",
        without their rounding. Of "crop" Pillow reads pixels beyond the window too, which shows along its edges.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Resize
        >>> image = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])[..., None]
        >>> Resize(1).apply((), image).tolist(), Resize((1, 2), antialias=False).apply((), image)[..., 0].tolist()
        ([[[2.0]]], [[0.0, 4.0]])
    """

    size: Size
    mode: ResizeMode = field(default="squash", kw_only=True)
    antialias: bool = field(default=True, kw_only=True)
    cval: float = field(default=0.0, kw_only=True)
    order: int = field(default=1, kw_only=True)

    kind: ClassVar[str] = "Resize"

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; expected one of {', '.join(map(repr, MODES))}.")
        super().__post_init__()

    @transfers
    def matrix(self, params: Params, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        matrix: list[list[Any]] = np.eye(3, dtype=np.float32).tolist()
        for axis, (first, length, start, count) in enumerate(self._placed(image_shape)):
            factor = length / count
            matrix[axis][axis], matrix[axis][2] = factor, first - 0.5 - _product(factor, start - 0.5)
        return jnp.stack([jnp.stack([jnp.asarray(entry, np.float32) for entry in row]) for row in matrix])

    def windows(self, params: Params, image_shape: Sequence[int]) -> tuple[Window, Window]:
        rows, cols = (Window(first - 0.5, first + length - 0.5) for first, length, *_ in self._placed(image_shape))
        return rows, cols

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds:
        factors = [length / count for _, length, _, count in self._placed(image_shape)]
        return matrix_bounds(np.diag(factors), np.array(factors) / 2)  # "pad" may be half a pixel off the middle

    def bounds_up_to(self, image_shape: Sequence[int]) -> MatrixBounds:
        if self.mode != "pad":
            return self.bounds(image_shape)
        # The shorter side of a long picture is rounded, at most from 1.5 to 1.
        most = 1.5 * max(side / own for side, own in zip(image_shape[:2], self.out_size((0, 0)), strict=True))
        return matrix_bounds(np.eye(2) * most, (most / 2, most / 2))

    @property
    def _border(self) -> tuple[str, float]:
        return ("constant", self.cval) if self.mode == "pad" else ("nearest", 0.0)

    def _placed(self, image_shape: Sequence[int]) -> list[_Placed]:
        check_image_shape("image_shape", image_shape)
        (height, width), size = image_shape[:2], self.out_size((0, 0))
        if isinstance(height, jax.Array) and isinstance(width, jax.Array):
            return _placed_of_traced((height, width), size, self.mode)
        ratios = height / size[0], width / size[1]
        if self.mode == "pad":
            sides = [
                min(own, max(1, round(side / max(ratios)))) for side, own in zip((height, width), size, strict=True)
            ]
            return [
                _Placed(0, side, central_place(own, new), new)
                for side, own, new in zip((height, width), size, sides, strict=True)
            ]
        shares = ratios if self.mode == "squash" else (min(ratios), min(ratios))
        lengths = [own * share for own, share in zip(size, shares, strict=True)]
        return [
            _Placed((side - length) / 2, length, 0, own)
            for side, length, own in zip((height, width), lengths, size, strict=True)
        ]


def _placed_of_traced(sides: Sequence[Any], size: tuple[int, int], mode: str) -> list[_Placed]:
    """In float32, where every product is rounded before it is added."""
    lengths, own = [side.astype(np.float32) for side in sides], np.array(size, np.float32)
    ratios = [length / count for length, count in zip(lengths, own, strict=True)]
    none, half = jnp.float32(0), np.float32(0.5)
    if mode == "pad":
        most = jnp.maximum(*ratios)
        counts = [
            jnp.clip(jnp.round(length / most), np.float32(1), count) for length, count in zip(lengths, own, strict=True)
        ]
        return [
            _Placed(none, length, jnp.round((count - new) * half), new)
            for length, count, new in zip(lengths, own, counts, strict=True)
        ]
    if mode == "crop":
        least = jnp.minimum(*ratios)
        kept = [
            jnp.where(ratio == least, length, jnp.minimum(rounded(least * count), length))
            for ratio, length, count in zip(ratios, lengths, own, strict=True)
        ]
    else:
        kept = lengths
    return [
        _Placed((length - part) * half, part, none, jnp.asarray(count))
        for length, part, count in zip(lengths, kept, own, strict=True)
    ]


def _product(factor: Any, other: Any) -> Any:
    return rounded(factor * other) if isinstance(factor, jax.Array) else factor * other


@dataclass(frozen=True, eq=False)
class RandomResizedCrop(_Resized):
    """A window of random area and ratio, at a random place, brought to one size.

    An area and a ratio are drawn until a window of them fits into the picture, ten times at most; then it is the
    largest central window whose ratio is in the range.

    Args:
        size: (height, width) of the result, or one number for a square.
        scale: Area of the window as a share of the picture's, (low, high) with 0 < low <= high.
        ratio: Width over height, (low, high); it is drawn evenly on a scale of logarithms.
        antialias: Pixels of a window that shrinks are averaged, with Pillow's triangle; False mixes two along each
            axis. Both read nothing beyond the window.
        fill_mode, cval: Borders of the steps beside it that look outside, which have to have the same.
        order: As in `affine_warp`. Another one than 1 needs antialias=False, and 0 keeps the dtype.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        An image of this size: float32 or its own float dtype, not rounded; with order 0 of the same dtype. Params are
        `top`, `left`, `height`, `width` of the window in pixels, int32.

    Next to steps that select whole pixels it stays one resampling. So it does with antialias=False next to any
    `Affine`; with antialias=True an `Affine` that turns, shears, zooms or shifts by parts of pixels is a second one.

    Raises:
        ValueError: If size is no pair of positive integers, scale or ratio no rising pair above 0, or for an unknown
            fill_mode or order, or antialias with another order than 1.

    Source:
        Szegedy et al., "Going Deeper with Convolutions", 2015, in the form of torchvision's RandomResizedCrop.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import RandomResizedCrop
        >>> crop = RandomResizedCrop(8, scale=(0.25, 0.25), ratio=(1, 1))
        >>> params = crop.sample(jax.random.key(0), (32, 32, 3))
        >>> int(params.height), int(params.width), crop.apply(params, jnp.zeros((32, 32, 3), jnp.uint8)).shape
        (16, 16, (8, 8, 3))
    """

    size: Size
    scale: tuple[float, float] = field(default=(0.08, 1.0), kw_only=True)
    ratio: tuple[float, float] = field(default=(3 / 4, 4 / 3), kw_only=True)
    antialias: bool = field(default=True, kw_only=True)
    fill_mode: str = field(default="nearest", kw_only=True)
    cval: float = field(default=0.0, kw_only=True)
    order: int = field(default=1, kw_only=True)
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "RandomResizedCrop"

    def __post_init__(self) -> None:
        for name in ("scale", "ratio"):
            object.__setattr__(self, name, rising_pair(name, getattr(self, name)))
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> WindowParams:
        check_image_shape("image_shape", image_shape)
        height, width = image_shape[:2]
        drawn, most = uniforms(key, _NUM_SLOTS), (height, width)
        central = self._central(height, width)
        found, one_fits = first_fit(drawn, most, height * width, self.scale, self.ratio, otherwise=central)
        rests = (jnp.asarray(side, np.int32) - own for side, own in zip(most, found, strict=True))
        top, left = (
            jnp.where(one_fits, random_place(drawn[2 * ATTEMPTS + axis], rest + np.int32(1)), rest // np.int32(2))
            for axis, rest in enumerate(rests)
        )
        return WindowParams(top, left, found[0], found[1])

    @transfers
    def matrix(self, params: WindowParams, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        size = self.out_size((0, 0))
        top, left, height, width = (jnp.asarray(part, np.float32) for part in params)
        rows, cols = (length / np.float32(own) for length, own in zip((height, width), size, strict=True))
        half, none, one = np.float32(0.5), jnp.float32(0), jnp.float32(1)
        # Edges meet edges, half a pixel before the centres; half a number is exact.
        starts = (first - half + factor * half for first, factor in ((top, rows), (left, cols)))
        down, right = starts
        return jnp.stack([jnp.stack(row) for row in ((rows, none, down), (none, cols, right), (none, none, one))])

    def windows(self, params: WindowParams, image_shape: Sequence[int]) -> tuple[Window, Window]:
        top, left, height, width = (jnp.asarray(part, np.float32) for part in params)
        half = np.float32(0.5)
        return Window(top - half, top + height - half), Window(left - half, left + width - half)

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        if type(self).matrix is not RandomResizedCrop.matrix:
            return None
        sides = np.array(image_shape[:2])
        return matrix_bounds(np.diag(sides / self.out_size((0, 0))), sides / 2)  # of any window in the picture

    def without_randomness(self) -> Transform:
        """The largest central window of the ratio of the result."""
        return Resize(self.size, mode="crop", antialias=self.antialias, order=self.order)

    @property
    def _border(self) -> tuple[str, float]:
        return self.fill_mode, self.cval

    def _central(self, height: Any, width: Any) -> tuple[Any, Any]:
        """Height and width of the largest window whose ratio is in the range."""
        low, high = self.ratio
        if not is_static((height, width)):
            return _central_of_traced(height, width, low, high)
        if width / height < low:
            return max(1, min(height, round(width / low))), width
        return (height, max(1, min(width, round(height * high)))) if width / height > high else (height, width)


def _central_of_traced(height: jax.Array, width: jax.Array, low: float, high: float) -> tuple[jax.Array, jax.Array]:
    rows, cols = (side.astype(np.float32) for side in (height, width))
    found, one = cols / rows, np.int32(1)
    lower = jnp.clip(jnp.round(cols / np.float32(low)).astype(np.int32), one, height)
    narrower = jnp.clip(jnp.round(rounded(rows * np.float32(high))).astype(np.int32), one, width)
    return jnp.where(found < low, lower, height), jnp.where(found > high, narrower, width)
