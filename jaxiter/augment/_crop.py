"""Crops: a window of the picture, pixel for pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

from .._checks import check_int, is_integer
from .._describe import described
from .._keys import Key, uniforms
from .._transfers import transfers
from ._geometric import Geometric, Sampling
from ._matrix import shift_matrix
from ._transform import Params, Transform, frozen_value
from ._warp import MatrixBounds, as_image_size, check_image_shape, check_sampling, matrix_bounds

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int32

Size = int | tuple[int, int]
_NUM_SLOTS = 2  # row and column


class CropParams(NamedTuple):
    """The first row and column of a window; below 0 in the padding."""

    top: Int32[Array, ""]
    left: Int32[Array, ""]


def random_place(drawn: Float[Array, ""], count: Int32[Array, ""] | int) -> Int32[Array, ""]:
    """One of `count` places, `drawn` being uniform in [0, 1)."""
    places = jnp.asarray(count, np.int32)
    # A product may round up to the count itself.
    return jnp.minimum((drawn * places.astype(np.float32)).astype(np.int32), places - np.int32(1))


def central_place(size: int, own: int) -> int:
    """Where a central window begins: half of what is left, rounded to even as torchvision does."""
    return round((size - own) / 2)


class _Crop(Geometric):
    """What crops share: they select, and so keep the dtype."""

    size: Size
    padding: Size = 0
    fill_mode: str = "constant"
    cval: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_image_size("size", self.size))
        super().__post_init__()

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return cast("tuple[int, int]", self.size)  # as `__post_init__` left it

    def check_takes_any_size(self) -> None:
        raise ValueError(
            f"{self.name_in_errors} takes no picture that is smaller than its window, and of pictures of different "
            f'sizes some may be; expected Resize({self.size}, mode="crop") in its place, or Resize to a larger size '
            "before it."
        )

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        sides = zip(image_shape[:2], self.out_size((0, 0)), self._padding, strict=True)
        return matrix_bounds(np.eye(2), [abs(side - own) / 2 + more + 0.5 for side, own, more in sides], is_whole=True)

    @property
    def interpolates(self) -> bool:
        return False

    @property
    def looks_outside(self) -> bool:
        return any(self._padding)

    @property
    def pads(self) -> bool:
        return self.looks_outside

    @property
    def sampling(self) -> Sampling:
        return Sampling((self.fill_mode, self.cval) if self.looks_outside else None)

    @property
    def _padding(self) -> tuple[int, int]:
        return (self.padding, self.padding) if isinstance(self.padding, int) else self.padding

    def _places(self, image_shape: Sequence[int]) -> tuple[int, int]:
        """How many places there are for the window."""
        check_image_shape("image_shape", image_shape)
        height, width = image_shape[:2]
        (rows, cols), own = self._padding, self.out_size((height, width))
        if own[0] > height + 2 * rows or own[1] > width + 2 * cols:
            padded = f", {height + 2 * rows} by {width + 2 * cols} with its padding" if self.looks_outside else ""
            more = "more padding=, " if "padding" in vars(self) else ""
            raise ValueError(
                f"size is {own[0]} by {own[1]}, larger than an image of {height} by {width}{padded}. Use Resize({own}) "
                f"before it, {more}or Affine(size={own}, whole_pixels=True), which adds to the canvas around the "
                "picture."
            )
        return height + 2 * rows - own[0] + 1, width + 2 * cols - own[1] + 1


class _Central(_Crop):
    """The window in the middle; it draws nothing."""

    @transfers
    def matrix(self, params: Params, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        places = zip(self._places(image_shape), self._padding, strict=True)
        top, left = (central_place(count, 1) - more for count, more in places)
        return shift_matrix(-top, -left)


@dataclass(frozen=True, eq=False)
class CenterCrop(_Central):
    """The central window of the picture; where what is left over is odd, half of it is rounded to even.

    Args:
        size: (height, width) of the result, or one number for a square; at most that of the picture.

    Returns (apply):
        An image of this size, of the same dtype.

    Raises:
        ValueError: If size is no pair of positive integers; when applied, if the picture is smaller.

    Source:
        torchvision's CenterCrop, of pictures that are large enough.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import CenterCrop
        >>> CenterCrop(2).apply((), jnp.arange(16).reshape(4, 4, 1))[..., 0].tolist()
        [[5, 6], [9, 10]]
    """

    size: Size

    kind: ClassVar[str] = "CenterCrop"


@dataclass(frozen=True, eq=False)
class PaddedCenterCrop(_Central):
    """A `RandomCrop` in evaluation: the central window of the padded picture."""

    size: Size
    padding: Size
    fill_mode: str
    cval: float

    kind: ClassVar[str] = "PaddedCenterCrop"


@dataclass(frozen=True, eq=False)
class RandomCrop(_Crop):
    """A window of the picture at a random place, pixel for pixel.

    Args:
        size: (height, width) of the result, or one number for a square; at most that of the padded picture.
        padding: Pixels added on each side first, one number or (rows, columns).
        fill_mode, cval: What they hold, as in `affine_warp`; the dtype of the image has to hold cval.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        An image of this size, of the same dtype. Params are `top` and `left`, int32: where the window begins, counted
        in pixels of the picture, so below 0 in the padding.

    Raises:
        ValueError: If size is no pair of positive integers, padding is negative, or the fill_mode is unknown; when
            applied, if the padded picture is smaller.

    Source:
        The crop of 32 from 40 x 40 padded pixels of He et al., "Deep Residual Learning for Image Recognition", 2016.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import RandomCrop
        >>> crop = RandomCrop(2)
        >>> image = jnp.arange(9).reshape(3, 3, 1)
        >>> params = crop.sample(jax.random.key(1), image.shape)
        >>> int(params.top), int(params.left), crop.apply(params, image)[..., 0].tolist()
        (0, 1, [[1, 2], [4, 5]])
    """

    size: Size
    padding: Size = field(default=0, kw_only=True)
    fill_mode: str = field(default="constant", kw_only=True)
    cval: float = field(default=0.0, kw_only=True)
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "RandomCrop"

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _checked_padding(self.padding))
        object.__setattr__(self, "cval", frozen_value(self.cval))
        check_sampling(self.fill_mode, 0, self.cval)
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> CropParams:
        drawn, places = uniforms(key, _NUM_SLOTS), zip(self._places(image_shape), self._padding, strict=True)
        top, left = (random_place(drawn[axis], count) - np.int32(more) for axis, (count, more) in enumerate(places))
        return CropParams(top, left)

    @transfers
    def matrix(self, params: CropParams, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        self._places(image_shape)
        top, left = (jnp.asarray(first, np.float32) for first in params)
        return shift_matrix(-top, -left)

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        is_own = type(self).sample is RandomCrop.sample and type(self).matrix is RandomCrop.matrix
        return super().bounds(image_shape) if is_own else None

    def without_randomness(self) -> Transform:
        """The central window of the padded picture."""
        if not self.looks_outside:
            return CenterCrop(self.size)
        return PaddedCenterCrop(self.size, self.padding, self.fill_mode, self.cval)


def _checked_padding(padding: object) -> Size:
    if is_integer(padding):
        return check_int("padding", padding)
    if not isinstance(padding, (tuple, list)) or len(padding) != 2:
        raise ValueError(f"padding is {described(padding)}; expected pixels for all sides, or (rows, columns).")
    rows, cols = (check_int(f"padding[{axis}]", side) for axis, side in enumerate(padding))
    return rows, cols
