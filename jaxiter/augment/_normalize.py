"""Steps without draws that bring an image to the scale a network wants."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_flag, is_array
from .._describe import a_type
from ._sums import sum_of_all
from ._transform import Params, Transform, in_arithmetic
from ._types import Values

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float, Num

Numbers: TypeAlias = "float | tuple[float, ...] | list[float] | ArrayLike"  # what broadcasts against an image


def _check_keeps_shape(name: str, parameter: Numbers, image: ArrayLike) -> None:
    """Refuse a parameter for three channels on a grey image, which would come out with three."""
    shape, image_shape = np.shape(parameter), np.shape(image)
    fits = len(shape) <= len(image_shape)
    if not fits or any(n not in (1, m) for n, m in zip(shape[::-1], image_shape[::-1], strict=False)):
        raise ValueError(
            f"{name} has shape {shape} and the image {image_shape}; expected a number, one for each channel, or "
            "anything that broadcasts to the image."
        )


@dataclass(frozen=True, eq=False)
class Rescale(Transform):
    """The image times `factor`: `Rescale(1 / 255)` brings bytes to [0, 1].

    Args:
        factor: A number (static), or an array (traced) that broadcasts against (height, width, channels).

    Raises:
        ValueError: If factor holds NaN or infinity.

    Example:
        >>> import jax.numpy as jnp
        >>> Rescale(0.5).apply((), jnp.full((1, 1, 1), 3, jnp.uint8)).item()
        1.5
    """

    factor: Numbers

    kind: ClassVar[str] = "Rescale"
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite("factor", self.factor)

    def apply(self, params: Params, image: Num[Array, ...]) -> Float[Array, ...]:
        _check_keeps_shape("factor", self.factor, image)
        return in_arithmetic(image, jnp.multiply, self.factor)

    def scale_and_offset(self, params: Params) -> tuple[Numbers, float]:
        return self.factor, 0.0

    @property
    def is_scale_and_offset(self) -> bool:
        return type(self).apply is Rescale.apply and np.ndim(self.factor) <= 1


@dataclass(frozen=True, eq=False)
class Normalize(Transform):
    """`(image - mean) / std`, the same for every image; `fit_statistics` finds both.

    Args:
        mean: A number, one for each channel, or anything that broadcasts against (height, width, channels).
            Numbers and tuples are static, arrays are traced: another mean then compiles nothing new.
        std: Likewise, above 0.

    Raises:
        ValueError: If std reaches 0, or either holds NaN or infinity.

    Example:
        >>> import jax.numpy as jnp
        >>> Normalize((1.0, 2.0), 2.0).apply((), jnp.array([[[3.0, 2.0]]])).tolist()
        [[[1.0, 0.0]]]
    """

    mean: Numbers
    std: Numbers = 1.0

    kind: ClassVar[str] = "Normalize"
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean", "std"):
            check_finite(name, getattr(self, name))
        if not isinstance(self.std, jax.core.Tracer) and (least := np.min(np.asarray(self.std))) <= 0:
            found = f"of shape {np.shape(self.std)} and reaches {least}" if is_array(self.std) else repr(self.std)
            raise ValueError(f"std is {found}; expected numbers above 0. For constant channels use std + 1e-6.")

    def apply(self, params: Params, image: Num[Array, ...]) -> Float[Array, ...]:
        _check_keeps_shape("mean", self.mean, image)
        _check_keeps_shape("std", self.std, image)
        return in_arithmetic(image, lambda x, mean, std: (x - mean) / std, self.mean, self.std)

    def scale_and_offset(self, params: Params) -> tuple[Array, Array]:
        mean, std = (jnp.asarray(part, np.float32) for part in (self.mean, self.std))
        return np.float32(1) / std, -mean / std

    @property
    def is_scale_and_offset(self) -> bool:
        return type(self).apply is Normalize.apply and np.ndim(self.mean) <= 1 and np.ndim(self.std) <= 1


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplewiseNormalize(Transform):
    """Each image minus its own mean, over its own deviation, both of all its pixels and channels.

    Args:
        center: Subtract the image's mean.
        std: Divide by the image's population standard deviation plus `epsilon`.
        epsilon: Keeps constant images finite.

    Raises:
        ValueError: If epsilon is not above 0.

    Example:
        >>> import jax.numpy as jnp
        >>> SamplewiseNormalize(epsilon=1e-9).apply((), jnp.array([[[1.0], [3.0]]])).ravel().tolist()
        [-1.0, 1.0]
    """

    center: bool = True
    std: bool = True
    epsilon: float = 1e-6

    kind: ClassVar[str] = "SamplewiseNormalize"
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("center", self.center)
        check_flag("std", self.std)
        check_finite("epsilon", self.epsilon)
        if not is_array(self.epsilon) and self.epsilon <= 0:
            raise ValueError(f"epsilon is {self.epsilon!r}; expected a number above 0.")

    def apply(self, params: Params, image: Num[Array, ...]) -> Float[Array, ...]:
        def normalize(x: Array, epsilon: Array) -> Array:
            centred = x - mean_of(x)
            scale = _root(mean_of(jnp.square(centred))) + epsilon if self.std else jnp.ones((), x.dtype)
            return (centred if self.center else x) / scale

        return in_arithmetic(image, normalize, self.epsilon)


def _root(variance: Array) -> Array:
    """The square root, whose derivative is 0 at 0, where it has none: gradients of blank images stay finite."""
    is_zero = variance == 0
    return jnp.where(is_zero, jnp.zeros_like(variance), jnp.sqrt(jnp.where(is_zero, jnp.ones_like(variance), variance)))


def mean_of(image: Values, xp: ModuleType = jnp) -> Any:
    """The mean of a float image; for a constant image of whole numbers exactly that number, if the sum is exact."""
    # The divisor depends on the image: XLA would multiply by the reciprocal of a constant, which is not exact. A
    # constant image minus such a mean, divided by a deviation as small, would be an image of ones.
    total = sum_of_all(image) if isinstance(image, jax.Array) else xp.sum(image)
    return total / xp.where(xp.isnan(total), xp.ones((), image.dtype), xp.asarray(image.size, image.dtype))


@dataclass(frozen=True, eq=False)
class Whiten(Transform):
    """The flattened image times a matrix, for ZCA whitening: subtract the mean first.

    `fit_statistics(images, zca=True)` gives `whitening`, for
    `Chain(Normalize(statistics.mean), Whiten(statistics.whitening))`.

    Args:
        matrix: (n, n) with n = height * width * channels; the image is a row vector to its left.

    Raises:
        ValueError: If matrix is not square, holds NaN or infinity, or (when applied) does not fit the image.

    Example:
        >>> import jax.numpy as jnp
        >>> Whiten(jnp.diag(jnp.array([1.0, 2.0]))).apply((), jnp.ones((1, 2, 1))).ravel().tolist()
        [1.0, 2.0]
    """

    matrix: Array

    kind: ClassVar[str] = "Whiten"
    takes_any_rank: ClassVar[bool] = True
    keeps_shape: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.matrix is not None and not is_array(self.matrix):
            raise TypeError(
                f"matrix is {a_type(self.matrix)}; expected a square array of NumPy or JAX: np.asarray(...)."
            )
        if not is_array(self.matrix) or self.matrix.ndim != 2 or self.matrix.shape[0] != self.matrix.shape[1]:
            raise ValueError(f"matrix has shape {np.shape(self.matrix)}; expected a square array.")
        check_finite("matrix", self.matrix)

    def apply(self, params: Params, image: Num[Array, ...]) -> Float[Array, ...]:
        if image.size != self.matrix.shape[0]:
            raise ValueError(
                f"matrix is {self.matrix.shape} and an image of shape {image.shape} has {image.size} numbers; expected "
                "as many rows as numbers. Fit the matrix on images of this shape."
            )

        def whiten(x: Array, matrix: Array) -> Array:
            return jnp.matmul(x.reshape(-1), matrix, precision="highest").reshape(x.shape)

        return in_arithmetic(image, whiten, self.matrix)
