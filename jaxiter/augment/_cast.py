"""Steps that change the type of an image, or anything at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, overload

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked
from .._describe import described
from .._transfers import transfers
from ._one_array import one_array
from ._transform import Params, Transform, in_arithmetic
from ._types import Values

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike


@overload
def round_to(dtype: np.dtype, x: jax.Array, xp: ModuleType = ...) -> jax.Array: ...
@overload
def round_to(dtype: np.dtype, x: Values, xp: ModuleType = ...) -> Values: ...
@transfers
def round_to(dtype: np.dtype, x: Values, xp: ModuleType = jnp) -> Values:
    """`x` as `dtype`: integers by rounding half away from zero and clipping, bool from one half on, floats by a cast.

    Args:
        xp: The namespace, NumPy or jax.numpy.
    """
    if x.dtype == dtype:
        return x
    if dtype == np.bool_ and jnp.issubdtype(x.dtype, np.floating):
        return xp.abs(x) >= x.dtype.type(0.5)  # a cast would grow a mask by every pixel that it touches
    if not jnp.issubdtype(dtype, np.integer) or x.dtype == np.bool_:
        return x.astype(dtype)
    bounds = jnp.iinfo(dtype)
    if jnp.issubdtype(x.dtype, np.integer):
        own = jnp.iinfo(x.dtype)
        return xp.clip(x, max(bounds.min, own.min), min(bounds.max, own.max)).astype(dtype)
    if x.dtype.itemsize < 4:
        x = x.astype(np.float32)  # float16 ends at 65,504, short of the limits below
    low, high = map(x.dtype.type, (bounds.min, bounds.max))
    x = xp.clip(x, low, high)
    # A cast cuts the fraction off. The number below one half, as the sum of 0.49999997 and one half is 1; any other
    # fraction of one half still reaches the next number. No product may come just before the sum, see `rounded`.
    half = np.nextafter(x.dtype.type(0.5), x.dtype.type(0))
    x = x + (half if bounds.min == 0 else xp.copysign(half, x))
    if bounds.bits <= 16:  # a float holds the limits
        return x.astype(dtype)
    # float32 has no 2**31 - 1: the limit rounds up to 2**31, which does not fit, so the maximum is set separately.
    return xp.where(x >= high, np.asarray(bounds.max, dtype), x.astype(dtype))


@dataclass(frozen=True, eq=False)
class Cast(Transform):
    """The image as `dtype`, rounded and clipped where that is an integer; for the end of a chain.

    To integers it rounds half away from zero and then clips to the range of `dtype`; integers of another type are
    clipped too and never wrap. Takes leaves of any rank.

    Args:
        dtype: Any real dtype, by name or as NumPy or JAX dtype.

    Raises:
        TypeError: If dtype is none. ValueError when applied, if `dtype` needs `jax_enable_x64` and it is off.

    Example:
        >>> import jax.numpy as jnp
        >>> Cast("uint8").apply((), jnp.array([-3.0, 0.5, 300.0])).tolist()
        [0, 1, 255]
    """

    dtype: DTypeLike

    kind: ClassVar[str] = "Cast"
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        try:
            dtype = jnp.dtype("None" if self.dtype is None else self.dtype)  # NumPy takes None for float64
        except TypeError:
            raise TypeError(f"dtype is {self.dtype!r}; expected a real dtype, for example 'uint8'.") from None
        if not (jnp.issubdtype(dtype, np.integer) or jnp.issubdtype(dtype, np.floating) or dtype == np.bool_):
            raise TypeError(f"dtype is {dtype}; expected a real dtype, for example 'uint8' or 'bfloat16'.")
        object.__setattr__(self, "dtype", dtype)

    def apply(self, params: Params, image: ArrayLike) -> jax.Array:
        check_not_forked()
        dtype = jnp.dtype(self.dtype)
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise ValueError(f"Cast({dtype.name!r}) needs 64 bits; set jax_enable_x64, or cast to 32 bits.")
        image = transfers(jnp.asarray)(image)
        if jnp.issubdtype(image.dtype, np.complexfloating):
            raise TypeError(
                f"Cast({dtype.name!r}) is given {image.dtype}; expected real numbers. Take a real part first, for "
                "example Map(jnp.real)."
            )
        return round_to(dtype, image)


@dataclass(frozen=True, eq=False)
class AsFloat(Transform):
    """Integers as float32, floats unchanged: replaces a random arithmetic step in evaluation, see `deterministic`."""

    kind: ClassVar[str] = "AsFloat"
    keeps_scale: ClassVar[bool] = True
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def apply(self, params: Params, image: ArrayLike) -> jax.Array:
        return in_arithmetic(image, lambda x: x)


@dataclass(frozen=True, eq=False)
class Clip(Transform):
    """Values below `low` become `low`, those above `high` become `high`. Takes leaves of any rank.

    Args:
        low, high: In units of the data; of integers those outside their dtype stand for its ends, and parts of whole
            numbers are rounded inwards.

    Returns (apply):
        The same dtype.

    Raises:
        ValueError: If low exceeds high, or either is NaN; when applied, if no number of the dtype lies between them.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxiter import Clip
        >>> Clip(0, 255).apply((), jnp.array([-3.0, 7.5, 300.0])).tolist()
        [0.0, 7.5, 255.0]
    """

    low: float
    high: float

    kind: ClassVar[str] = "Clip"
    keeps_dtype: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low", "high"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or math.isnan(value):
                raise ValueError(f"{name} is {described(value)}; expected a number.")
        if self.low > self.high:
            raise ValueError(f"low is {self.low!r} and high is {self.high!r}; expected low <= high.")

    @transfers
    def apply(self, params: Params, image: ArrayLike) -> jax.Array:
        check_not_forked()
        image = jnp.asarray(image)
        low, high = self.low, self.high
        if not jnp.issubdtype(image.dtype, np.floating):
            ends = (0, 1) if image.dtype == np.bool_ else (jnp.iinfo(image.dtype).min, jnp.iinfo(image.dtype).max)
            if image.dtype != np.bool_ and math.ceil(max(low, ends[0])) > math.floor(min(high, ends[1])):
                raise ValueError(
                    f"Clip({self.low:g}, {self.high:g}) holds no number of {image.dtype}, all would be one; expected "
                    "bounds in units of the data. Of values from 0 to 1 put Rescale(1 / 255) before it."
                )
            low, high = (min(max(_whole(value, up), ends[0]), ends[1]) for value, up in ((low, True), (high, False)))
        return jnp.minimum(jnp.maximum(image, np.asarray(low, image.dtype)), np.asarray(high, image.dtype))


def _whole(value: float, up: bool) -> float:
    return value if math.isinf(value) else math.ceil(value) if up else math.floor(value)


@dataclass(frozen=True, eq=False)
class Map(Transform):
    """A step of your own, `function(image)`: any function of one example that JAX can trace. Takes leaves of any rank.

    It is static by identity: use a function of a module, not a lambda made anew each time, which would compile
    anew each time. It may not draw random numbers of NumPy or Python, see `Transform`.

    Args:
        function: Takes and returns one array, of any shape.

    Raises:
        TypeError: If function cannot be called, or when applied, if it returns anything but one array.

    Example:
        >>> import jax.numpy as jnp
        >>> Map(jnp.sqrt).apply((), jnp.array([4.0, 9.0])).tolist()
        [2.0, 3.0]
    """

    function: Callable[[jax.Array], jax.Array]

    kind: ClassVar[str] = "Map"
    takes_any_rank: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function is {self.function!r}; expected a function of one image.")

    def apply(self, params: Params, image: jax.Array) -> jax.Array:
        try:
            result = self.function(image)
        except jax.errors.TracerArrayConversionError as error:
            error.add_note(
                f"{self.function!r} in a Map uses NumPy, which JAX cannot trace: write it with jax.numpy. As a "
                "preprocessing_function of jaxiter.keras.ImageDataGenerator it works, image by image on the host."
            )
            raise
        return one_array(f"{self.function!r} in a Map", result)
