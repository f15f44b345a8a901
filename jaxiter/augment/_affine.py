"""Rotation, shift, shear, zoom and flips: one matrix, one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_flag, is_array
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._geometric import Geometric, Sampling, same_size
from ._matrix import about_centre, compose, flip_matrix, rotation_matrix, shear_matrix, shift_matrix, zoom_matrix
from ._ranges import (
    Bounds,
    Range,
    as_bounds,
    between,
    centred_range,
    check_fraction,
    is_point,
    probability,
    shift_ranges,
    symmetric_range,
)
from ._transform import Transform, frozen_value
from ._warp import MatrixBounds, as_image_size, check_image_shape, check_sampling, matrix_bounds

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float

_NUM_SLOTS = 8  # rotation, shift rows, shift cols, shear, zoom rows, zoom cols, horizontal flip, vertical flip


class AffineParams(NamedTuple):
    """What `Affine` draws for an example: angles in radians, shift in pixels (rows, cols), zoom as magnification."""

    rotation: Float[Array, ""]
    shift: Float[Array, 2]
    shear: Float[Array, ""]
    zoom: Float[Array, 2]
    horizontal_flip: Bool[Array, ""]
    vertical_flip: Bool[Array, ""]


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Geometric):
    """Random rotation, shift, shear, zoom and flips, other ones for every image, in one resampling.

    The picture is zoomed, sheared and rotated about its centre, then shifted, then flipped. An option that is 0
    or False is off. A range given as an array is a leaf: traced, so that its value may change, be vmapped or
    differentiated, without a compilation.

    Args:
        rotation: Degrees, counter-clockwise as displayed: r means [-r, r], a pair is taken as it is.
        shift: Fractions of the height and of the width, positive moves down and right: r means +-r for both,
            (rows, cols) one for each; each of the two may be a pair, taken as it is.
        shear: Degrees by which upright lines lean to the right, inside (-90, 90): r means [-r, r], or a pair.
        zoom: Magnification: r means [1 - r, 1 + r], a pair is taken as it is. Rows and columns draw apart.
        horizontal_flip: Swap left and right: True for one half of the images, or a probability.
        vertical_flip: Swap top and bottom, likewise.
        fill_mode, cval, order: As in `affine_warp`; the dtype that is returned has to hold cval. From order 2 on an
            image is prefiltered first, a pass of its own.
        whole_pixels: Round the shift to whole pixels. With neither rotation, shear nor zoom nothing is
            interpolated then, and the image keeps its dtype.
        keep_aspect: One zoom factor for rows and columns.
        size: (height, width) of the result, or one number for a square: the picture keeps its scale and its centre, and
            the canvas around it changes. None: that of the image.
        draws: Names the draws, see `Transform`.

    Returns (apply):
        Where pixels are only selected (order 0, flips, whole-pixel shifts) an image of the same dtype; else
        float32, or the image's own float dtype.

    Raises:
        ValueError: For a range that is negative as a scalar, not finite or in falling order, a zoom that reaches 0,
            a shear that reaches 90, a shift beyond the whole size, a probability outside [0, 1], or an unknown
            fill_mode or order.
        TypeError: For anything but numbers, pairs and arrays.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> image = jnp.arange(6.0).reshape(2, 3, 1)
        >>> flip = Affine(horizontal_flip=1.0)
        >>> params = flip.sample(jax.random.key(0), image.shape)
        >>> flip.apply(params, image)[..., 0].tolist()
        [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]]
    """

    rotation: Range = 0.0
    shift: Range | Sequence[Range] = 0.0
    shear: Range = 0.0
    zoom: Range = 0.0
    horizontal_flip: ArrayLike = False
    vertical_flip: ArrayLike = False
    fill_mode: str = "nearest"
    cval: float = 0.0
    order: int = 1
    whole_pixels: bool = False
    keep_aspect: bool = False
    size: int | tuple[int, int] | None = None
    draws: str | None = None
    # Set for evaluation, where options that interpolated in training are off: integers still become floats.
    returns_float: bool = field(default=False, init=False, repr=False)

    kind: ClassVar[str] = "Affine"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cval", frozen_value(self.cval))
        check_sampling(self.fill_mode, self.order, self.cval)
        check_flag("whole_pixels", self.whole_pixels)
        check_flag("keep_aspect", self.keep_aspect)
        object.__setattr__(self, "size", None if self.size is None else as_image_size("size", self.size))
        values = {
            "rotation": symmetric_range("rotation", self.rotation),
            "shift": (shift := shift_ranges("shift", self.shift)),
            "shear": symmetric_range("shear", self.shear, below=90.0),
            "zoom": centred_range("zoom", self.zoom, above=0.0),
            "horizontal_flip": probability("horizontal_flip", self.horizontal_flip),
            "vertical_flip": probability("vertical_flip", self.vertical_flip),
        }
        check_fraction("shift", shift)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        super().__post_init__()

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> AffineParams:
        check_image_shape("image_shape", image_shape)
        height, width = image_shape[0], image_shape[1]
        drawn = uniforms(key, _NUM_SLOTS)
        shift_rows, shift_cols = _both_shifts(self.shift)
        shift = jnp.stack([between(shift_rows, drawn[1], scale=height), between(shift_cols, drawn[2], scale=width)])
        zoom_rows = between(as_bounds(self.zoom), drawn[4], centre=1.0)
        zoom_cols = zoom_rows if self.keep_aspect else between(as_bounds(self.zoom), drawn[5], centre=1.0)
        return AffineParams(
            rotation=between(as_bounds(self.rotation), drawn[0], scale=np.pi / 180),
            shift=jnp.round(shift) if self.whole_pixels else shift,
            shear=between(as_bounds(self.shear), drawn[3], scale=np.pi / 180),
            zoom=jnp.stack([zoom_rows, zoom_cols]),
            horizontal_flip=drawn[6] < jnp.asarray(self.horizontal_flip, np.float32),
            vertical_flip=drawn[7] < jnp.asarray(self.vertical_flip, np.float32),
        )

    @transfers
    def matrix(self, params: AffineParams, image_shape: Sequence[int]) -> Float[Array, "3 3"]:
        """The map of `params`, output to source in (row, col, 1), for an image of this shape.

        Example:
            >>> import jax
            >>> aug = Affine(shift=((0.5, 0.5), (0, 0)))
            >>> aug.matrix(aug.sample(jax.random.key(0), (4, 4, 1)), (4, 4, 1)).tolist()
            [[1.0, 0.0, -2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        height, width = image_shape[0], image_shape[1]
        steps = []
        if self._zooms:
            steps.append(zoom_matrix(params.zoom[0], params.zoom[1]))
        if self._shears:
            steps.append(shear_matrix(params.shear))
        if self._rotates:
            steps.append(rotation_matrix(params.rotation))
        if self._shifts:
            steps.append(shift_matrix(params.shift[0], params.shift[1]))
        if self._flips:
            steps.append(flip_matrix(params.horizontal_flip, params.vertical_flip))
        size = self.out_size((height, width))
        moved = about_centre(compose(*steps), *size)
        # With whole pixels the centres may not lie half a pixel apart.
        rows, cols = (
            (own - new) // 2 if self.whole_pixels else (own - new) / 2
            for own, new in zip((height, width), size, strict=True)
        )
        return moved if same_size(size, (height, width)) else compose(shift_matrix(-rows, -cols), moved)

    def without_randomness(self) -> Transform:
        """The options whose range is a single point; the random ones are off. It returns the same dtype."""
        fixed = self._with(
            rotation=self.rotation if is_point(as_bounds(self.rotation)) else 0.0,
            shift=tuple(part if is_point(part) else 0.0 for part in _both_shifts(self.shift)),
            shear=self.shear if is_point(as_bounds(self.shear)) else 0.0,
            zoom=self.zoom if is_point(as_bounds(self.zoom)) else (1.0, 1.0),
            horizontal_flip=self.horizontal_flip if _equals(self.horizontal_flip, 1.0) else False,
            vertical_flip=self.vertical_flip if _equals(self.vertical_flip, 1.0) else False,
        )
        if not self.interpolates or fixed.interpolates:
            return fixed
        if fixed.is_identity and self.is_one_warp:
            return AsFloat()
        object.__setattr__(fixed, "returns_float", True)
        return fixed

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return size if self.size is None else cast("tuple[int, int]", self.size)  # as `__post_init__` left it

    @property
    def keeps_shape(self) -> bool:  # type: ignore[override]
        return self.size is None

    # Which options are on is static: an array always is.

    @property
    def _zooms(self) -> bool:
        return not _equals(self.zoom, (1.0, 1.0))

    @property
    def _shears(self) -> bool:
        return not _equals(self.shear, (0.0, 0.0))

    @property
    def _rotates(self) -> bool:
        return not _equals(self.rotation, (0.0, 0.0))

    @property
    def _shifts(self) -> bool:
        return not _equals(self.shift, ((0.0, 0.0), (0.0, 0.0)))

    @property
    def _flips(self) -> bool:
        return not (_equals(self.horizontal_flip, 0.0) and _equals(self.vertical_flip, 0.0))

    @property
    def interpolates(self) -> bool:
        """Whether a pixel may be mixed from several, so that the result is a float; if not, pixels are copied."""
        is_any = type(self).matrix is not Affine.matrix  # a subclass's own map may lie anywhere
        is_shifted = self._shifts or is_any or self.size is not None
        is_mixed = self._rotates or self._shears or self._zooms or (is_shifted and not self.whole_pixels)
        return self.returns_float or (self.order != 0 and is_mixed)

    @property
    def looks_outside(self) -> bool:
        """Whether a pixel may come from outside the image; flips take every one from inside."""
        is_on = self._rotates or self._shears or self._zooms or self._shifts or self.size is not None
        return is_on or not self._draws_from_its_ranges

    @property
    def is_identity(self) -> bool:
        """Whether `matrix` is the identity, whatever is drawn: options that are off leave their draws unused."""
        is_on = self._rotates or self._shears or self._zooms or self._shifts or self._flips or self.size is not None
        return type(self).matrix is Affine.matrix and not is_on

    @property
    def _draws_from_its_ranges(self) -> bool:
        """False where a subclass overrides what is drawn, or the map that is made of it."""
        return type(self).sample is Affine.sample and type(self).matrix is Affine.matrix

    @property
    def is_whole(self) -> bool:
        """Whether every map that may be drawn takes whole pixels to whole pixels: flips and rounded shifts."""
        return self._draws_from_its_ranges and not (
            self._rotates
            or self._shears
            or self._zooms
            or ((self._shifts or self.size is not None) and not self.whole_pixels)
        )

    def bounds(self, image_shape: Sequence[int]) -> MatrixBounds | None:
        """Bounds on every map that may be drawn for images of this shape; None where they are unknown."""
        if not self._draws_from_its_ranges or any(map(is_array, (self.rotation, self.shear, self.zoom))):
            return None
        sine = np.sin(np.deg2rad(min(90.0, _farthest_from_0(as_bounds(self.rotation)))))
        zoomed = np.eye(2) / as_bounds(self.zoom)[0]
        sheared = np.array([[1.0, 0.0], [np.tan(np.deg2rad(_farthest_from_0(as_bounds(self.shear)))), 1.0]])
        rotated = np.array([[1.0, sine], [sine, 1.0]])
        linear = zoomed @ sheared @ rotated
        shift = np.full(2, np.inf)
        if not is_array(self.shift):
            shift = linear @ (np.array([_farthest_from_0(part) for part in _both_shifts(self.shift)]) * image_shape[:2])
        if self.size is not None and self.whole_pixels:
            shift = shift + 0.5  # between two centres
        return matrix_bounds(linear, shift, is_whole=self.is_whole)

    @property
    def sampling(self) -> Sampling:
        border = (self.fill_mode, self.cval) if self.looks_outside else None
        return Sampling(border) if self.is_whole else Sampling(border, self.order, antialias=False)


def _both_shifts(field: Range | Sequence[Range]) -> tuple[Bounds, Bounds]:
    shift = cast("tuple[Bounds, Bounds] | np.ndarray | jax.Array", field)  # as `shift_ranges` left it
    if isinstance(shift, tuple):
        return shift
    return (shift, shift) if shift.ndim == 0 else (shift[0], shift[1])


def _farthest_from_0(bounds: Bounds) -> float:
    return max(abs(bounds[0]), abs(bounds[1]))


def _equals(value: object, other: object) -> bool:
    return type(value) is type(other) and bool(value == other)
