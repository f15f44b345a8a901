"""What a generator does to an image, as one `Transform`: drawn, resampled, shifted, brightened and standardized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import mul
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import fusion_barrier
from .._keys import Key, uniforms
from ..augment import Transform
from ..augment.internal import (
    FixedPoint,
    MatrixBounds,
    Values,
    matrix_bounds,
    mean_of,
    resample,
    resample_on_host,
    round_to,
    rounded,
    sine_cosine,
    sine_cosine_on_host,
)
from ._brightness import blend
from ._draw import KIND, NUM_SLOTS, BlockNumbers, draw_transform
from ._settings import (
    GeneratorLike,
    Ranges,
    Sampling,
    Shift,
    ShiftKinds,
    brightness_axis,
    checked_sampling,
    checked_statistics,
    ranges_of,
    settings_of,
)

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Num
    from numpy.typing import DTypeLike

_RADIANS = float(np.pi) / 180  # in a degree
# A spline of ones is off by 1e-6 in float32. More would take in what splines bring near 1 beside an edge of a mask.
_BELOW_ONE = 1e-5
MatrixRows = tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]


class KerasParams(NamedTuple):
    """What one image is changed by, or one row for each image of a batch. A brightness of NaN is none."""

    matrix: Float[Array, "... 3 3"]  # output to source, the flips in it
    flip_horizontal: Float[Array, ...]  # 0 or 1
    flip_vertical: Float[Array, ...]
    channel_shift_intensity: Float[Array, ...]
    brightness: Float[Array, ...]


@dataclass(frozen=True, eq=False)
class KerasTransform(Transform):
    """A generator's attributes for images of one shape and dtype: flags that are compiled, numbers that are traced."""

    shift_kinds: ShiftKinds | None  # None if the parameters are given
    affine: bool
    flips: bool
    channel_shift: bool
    brightness_axis: int | None  # the axis of the channels in an image; None: no brightness
    samplewise_center: bool
    samplewise_std: bool
    fill_mode: str
    order: int
    channels_first: bool
    dtype: np.dtype
    arithmetic: np.dtype  # what is computed in
    bounds: FixedPoint | None  # of the maps that are drawn from the ranges
    given: bool  # parameters come from the caller and may lie anywhere
    ranges: Ranges | None
    cval: np.ndarray
    rescale: np.ndarray | None
    mean: np.ndarray | None
    scale: np.ndarray | None  # std + 1e-6
    whitening: np.ndarray | None

    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        """Keep the arrays as they are: the generator may be changed, and is watched for it."""

    @classmethod
    def of(cls, generator: GeneratorLike, image_shape: tuple[int, ...], dtype: DTypeLike, *, standardize: bool) -> Self:
        """What the generator is set to now.

        Raises:
            TypeError, ValueError: For a setting that cannot be followed.
        """
        generator = settings_of(generator)
        kinds, exact = ranges_of(generator, image_shape)
        ranges, dtype = exact.as_float32(), np.dtype(dtype)
        # float64 where float32 cannot hold the numbers.
        arithmetic = np.dtype(np.float32 if np.can_cast(dtype, np.float32) or dtype == np.float16 else np.float64)
        affine = bool(exact.theta or exact.shear or exact.zoom or any(np.any(s.values) for s in (exact.tx, exact.ty)))
        sampling, bounds = Sampling("nearest", 0.0, 0), None
        channels_first = generator.channel_axis == 1
        if affine:
            sampling = checked_sampling(generator.fill_mode, generator.cval, generator.interpolation_order)
            rows, cols = image_shape[1:] if channels_first else image_shape[:2]
            bounds = bounds_of(ranges, rows, cols).fixed_point((rows, cols))
        fitted = checked_statistics(generator, image_shape) if standardize else {}
        mean, std, whitening = (fitted.get(name) for name in ("mean", "std", "zca_whitening_matrix"))
        # In its own precision: fit's float64, as Keras multiplies. Float32 is noise where a direction hardly varies.
        if whitening is not None:
            whitening = np.asarray(whitening, np.result_type(arithmetic, np.asarray(whitening)))
        return cls(
            shift_kinds=kinds,
            affine=affine,
            flips=any(map(bool, exact.flips)),
            channel_shift=exact.channel_shift is not None,
            brightness_axis=None if exact.brightness is None else brightness_axis(generator, image_shape),
            samplewise_center=standardize and bool(generator.samplewise_center),
            samplewise_std=standardize and bool(generator.samplewise_std_normalization),
            fill_mode=sampling.fill_mode,
            order=sampling.order,
            channels_first=channels_first,
            dtype=dtype,
            arithmetic=arithmetic,
            bounds=bounds,
            given=False,
            ranges=ranges,
            cval=np.asarray(sampling.cval, arithmetic),
            rescale=np.asarray(generator.rescale, arithmetic) if standardize and generator.rescale else None,
            mean=None if mean is None else np.asarray(mean, arithmetic),
            scale=None if std is None else np.asarray(std + 1e-6, arithmetic),
            whitening=whitening,
        )

    @property
    def widest(self) -> np.dtype:
        """What the program must be able to compute in."""
        return self.arithmetic if self.whitening is None else self.whitening.dtype

    @property
    def changes_nothing(self) -> bool:
        statistics = (self.rescale, self.mean, self.scale, self.whitening)
        return not (self.affine or self.flips or self.reduces) and all(map(_is_none, statistics))

    @property
    def reduces(self) -> bool:
        """Whether a step needs something of the whole image, its extremes or its mean."""
        of_extremes = self.channel_shift or self.brightness_axis is not None
        return of_extremes or self.samplewise_center or self.samplewise_std

    @property
    def row_axis(self) -> int:
        return 1 if self.channels_first else 0

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> KerasParams:
        assert self.shift_kinds is not None
        assert self.ranges is not None
        drawn = draw_transform(BlockNumbers(jnp, uniforms(key, NUM_SLOTS)), self.shift_kinds, self.ranges)
        return self.params(jnp, drawn, image_shape)

    def sample_on_host(self, block: np.ndarray, image_shape: tuple[int, ...]) -> KerasParams:
        """What `sample` returns, to the bit, from the numbers that it draws."""
        assert self.shift_kinds is not None
        assert self.ranges is not None
        return self.params(np, draw_transform(BlockNumbers(np, block), self.shift_kinds, self.ranges), image_shape)

    def params(self, xp: ModuleType, drawn: Mapping[str, Any], image_shape: tuple[int, ...]) -> KerasParams:
        """The parameters as `apply` takes them: of one image, or with NumPy of many."""
        rows, cols = image_shape[self.row_axis], image_shape[self.row_axis + 1]
        upper = affine_matrix(xp, drawn, rows, cols)
        if self.flips:
            upper = flipped(xp, upper[0], drawn, rows, cols), flipped(xp, upper[1], drawn, rows, cols)
        if xp is np and np.ndim(drawn["theta"]) == 0:
            matrix: Any = np.array([*upper, (0, 0, 1)])  # of one picture, in a tenth of the time
        else:
            zero = xp.zeros_like(drawn["theta"])
            last = (zero, zero, zero + 1)
            matrix = xp.stack([xp.stack(xp.broadcast_arrays(*row), axis=-1) for row in (*upper, last)], axis=-2)
        return KerasParams(
            matrix.astype(np.float32),
            drawn["flip_horizontal"].astype(np.float32),
            drawn["flip_vertical"].astype(np.float32),
            drawn["channel_shift_intensity"].astype(self.arithmetic),
            drawn["brightness"].astype(np.float32),  # Pillow's own precision
        )

    def apply(self, params: KerasParams, image: Num[Array, ...]) -> Num[Array, ...]:
        return jnp.asarray(self._applied(jnp, params, jnp.asarray(image)))

    def apply_on_host(self, params: KerasParams, image: np.ndarray) -> np.ndarray:
        """What `apply` returns, but for its last bits, without a program that is compiled for the image's shape."""
        with np.errstate(all="ignore"):
            return np.asarray(self._applied(np, params, image))

    def _applied(self, xp: ModuleType, params: KerasParams, image: Values) -> Values:
        barrier = fusion_barrier if xp is jnp else _at_once
        if not self.affine:
            image = self._finished(xp, params, self._mirrored(xp, params, image) if self.flips else image)
        elif self.reduces:
            # The compiler would otherwise pull the resampling into the sums over its result.
            image = self._finished(xp, params, barrier(lambda: self._resampled(xp, params, image)))
        else:
            image = barrier(lambda: self._finished(xp, params, self._resampled(xp, params, image)))
        if self.whitening is not None:
            flat = image.ravel().astype(self.whitening.dtype)
            precision = {} if xp is np else {"precision": "highest"}
            image = xp.matmul(flat, self.whitening, **precision).reshape(image.shape)
        return _saturated(np.asarray(image), self.dtype) if xp is np else image.astype(self.dtype)

    def _resampled(self, xp: ModuleType, params: KerasParams, image: Values) -> Values:
        """One affine map, the flips in it: what lies between, a channel shift, is the same on either side of a flip."""
        image = xp.moveaxis(image, 0, -1) if self.channels_first else image
        # Order 1 casts inside the resampling, order 0 must not round cval to the dtype of the source.
        if self.order == 0 or self.arithmetic == np.float64:
            image = image.astype(self.arithmetic, copy=False)
        bounds = None if self.given else self.bounds
        along: Any = resample if xp is jnp else resample_on_host
        image = along(image, params.matrix, fill_mode=self.fill_mode, cval=self.cval, order=self.order, bounds=bounds)
        image = cast_as_scipy(self.dtype, image, xp).astype(self.arithmetic, copy=False)
        return xp.moveaxis(image, -1, 0) if self.channels_first else image

    def _mirrored(self, xp: ModuleType, params: KerasParams, image: Values) -> Values:
        for axis, flip in ((self.row_axis + 1, params.flip_horizontal), (self.row_axis, params.flip_vertical)):
            image = xp.where(flip > 0, xp.flip(image, axis), image)
        return image

    def _finished(self, xp: ModuleType, params: KerasParams, image: Values) -> Values:
        image = image.astype(self.arithmetic, copy=False)
        if self.channel_shift or self.brightness_axis is not None:
            image = self._shifted_and_brightened(xp, params, image)
        return self._standardized(xp, image)

    def _shifted_and_brightened(self, xp: ModuleType, params: KerasParams, image: Values) -> Values:
        """After channel shift and brightness; the flips are done already, which change neither."""

        barrier = fusion_barrier if xp is jnp else _at_once

        def search() -> tuple[Values, Values]:
            return xp.min(image), xp.max(image)

        # XLA:CPU makes one piece of a search and a shift, which takes twice the time; brightness keeps it from that.
        extremes = low, high = barrier(search) if self.brightness_axis is None else search()
        if self.channel_shift:
            # Brightness needs the extremes of the shifted image. A shift keeps the order of values, rounded or not, so
            # they are the extremes shifted, and the picture is searched and written once for both.
            intensity = params.channel_shift_intensity.astype(image.dtype)
            image, low, high = (xp.clip(values + intensity, *extremes) for values in (image, low, high))
        if self.brightness_axis is None:
            return image
        factor, axis = params.brightness, self.brightness_axis
        result = blend(xp, image, factor, (low, high), scale=False, channel_axis=axis, resampled=self.affine)
        levels = result.levels.astype(image.dtype)
        bright = xp.where(result.stretched, levels / 255 * (high - low) + low, levels)
        return xp.where(xp.isnan(factor), image, bright) if self.given else bright

    def _standardized(self, xp: ModuleType, image: Values) -> Values:
        """After the steps of standardize but the last, whitening."""
        scale: Any = self.rescale
        if self.samplewise_center or self.samplewise_std:
            # Of the image before rescale, which is one factor with the deviation then: a pass over the pixels less.
            centred = image - mean_of(image, xp)
            if self.samplewise_std:
                std = xp.sqrt(mean_of(xp.square(centred), xp))
                scale = 1 / (std + 1e-6) if scale is None else scale / (std * xp.abs(scale) + 1e-6)
            image = centred if self.samplewise_center else image
        if scale is not None:
            image = image * scale
        if self.mean is not None:
            image = image - self.mean
        return image if self.scale is None else image / self.scale


def cast_as_scipy(dtype: np.dtype, warped: Values, xp: ModuleType) -> Values:
    """Integers are rounded half away from zero; of a bool the fraction is cut off, but for float32 noise below 1."""
    return round_to(dtype, xp.trunc(warped + _BELOW_ONE) if dtype == np.bool_ else warped, xp)


def affine_matrix(
    xp: ModuleType, drawn: Mapping[str, Any], rows: int, cols: int, *, exchanged: bool = True
) -> MatrixRows:
    """The upper two rows of the 3x3 matrix, output to source in (row, col, 1); `xp` is NumPy or jax.numpy.

    Rotation, shift, shear and zoom act about (rows / 2 - 0.5, cols / 2 - 0.5). Where `exchanged`, as in both of Keras'
    data formats, rows and columns are swapped at the very end, and the centre with them: `tx` moves along columns,
    and a picture that is not square turns about a point beside its middle. That is what Keras does.

    Args:
        drawn: theta and shear in degrees, tx and ty in pixels, zx and zy.
    """
    times, sine_and_cosine = (mul, _sine_cosine) if xp is np else (_rounded_product, sine_cosine)
    if getattr(drawn["theta"], "dtype", None) == np.float32 and xp is np:
        sine_and_cosine = sine_cosine_on_host
    theta, shear = times(drawn["theta"], _RADIANS), times(drawn["shear"], _RADIANS)
    tx, ty, zx, zy = (drawn[name] for name in ("tx", "ty", "zx", "zy"))
    sin, cos = sine_and_cosine(theta)
    leaning_sin, leaning_cos = sine_and_cosine(theta + shear)
    a00, a01 = times(zx, cos), -times(zy, leaning_sin)
    a10, a11 = times(zx, sin), times(zy, leaning_cos)
    centre_row, centre_col = rows / 2 - 0.5, cols / 2 - 0.5
    # The offset as shift plus (1 - A) times the centre: the identity gives exactly 0 in float32 too.
    b0 = times(tx, cos) - times(ty, sin) + (times(1 - a00, centre_row) - times(a01, centre_col))
    b1 = times(tx, sin) + times(ty, cos) + (times(1 - a11, centre_col) - times(a10, centre_row))
    if exchanged:
        return (a11, a10, b1), (a01, a00, b0)
    return (a00, a01, b0), (a10, a11, b1)


def _sine_cosine(theta: Any) -> tuple[Any, Any]:
    return np.sin(theta), np.cos(theta)


def _at_once(function: Callable[[], Any]) -> Any:
    return function()


def _saturated(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A cast as XLA makes it: to integers without wrapping, and NaN becomes 0."""
    if dtype.kind not in "iu" or image.dtype.kind != "f":
        return image.astype(dtype, copy=False)
    bounds = np.iinfo(dtype)
    clipped = np.clip(np.where(np.isnan(image), image.dtype.type(0), image), bounds.min, bounds.max)
    if image.dtype.type(bounds.max) == bounds.max:
        return clipped.astype(dtype)
    return np.where(clipped >= bounds.max, dtype.type(bounds.max), clipped.astype(dtype))


def _rounded_product(a: jax.Array, b: jax.Array | float) -> jax.Array:
    return rounded(a * b)


def flipped(
    xp: ModuleType, row: tuple[Any, Any, Any], drawn: Mapping[str, Any], rows: int, cols: int
) -> tuple[Any, Any, Any]:
    """One row of the matrix, of a picture that is mirrored after the map where the flips, 0 or 1, say so."""
    along_rows, along_cols, offset = row
    horizontal, vertical = drawn["flip_horizontal"], drawn["flip_vertical"]
    times = mul if xp is np else _rounded_product
    offset = offset + times(vertical * along_rows, rows - 1.0) + times(horizontal * along_cols, cols - 1.0)
    return along_rows * (1 - 2 * vertical), along_cols * (1 - 2 * horizontal), offset


def bounds_of(ranges: Ranges, rows: int, cols: int) -> MatrixBounds:
    """Bounds on every `affine_matrix`, flips included, whose parameters are drawn from `ranges`, as float32."""
    theta, shear = (np.deg2rad(float(np.max(np.abs(degrees)))) for degrees in (ranges.theta, ranges.shear))
    turned, leaning = (np.sin(min(angle, np.pi / 2)) for angle in (theta, theta + shear))
    linear = float(np.max(np.abs(ranges.zoom))) * np.array([[1.0, turned], [leaning, 1.0]])
    # A shift acts before the rotation, and ty along rows.
    shift = np.array([[1.0, turned], [turned, 1.0]]) @ [_largest(ranges.ty), _largest(ranges.tx)]
    # Keras' centre is that of the picture with its sides exchanged.
    beside = np.full(2, abs(rows - cols) / 2)
    return matrix_bounds(linear, shift + beside + linear @ beside)


def wide_arithmetic(dtype: DTypeLike) -> AbstractContextManager[Any]:
    """64 bits for as long as a program needs them; the user's own setting stays as it is."""
    return jax.enable_x64(True) if np.dtype(dtype).itemsize > 4 else nullcontext()


def _largest(shift: Shift) -> Any:
    return np.max(np.abs(shift.values))


def _is_none(value: Any) -> bool:
    return value is None
