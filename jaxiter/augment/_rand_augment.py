"""Operations drawn for each image: RandAugment and TrivialAugment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
import numpy as np

from .._checks import check_int
from .._keys import Key, uniforms
from .._transfers import transfers
from ._cast import AsFloat
from ._composite import Composite
from ._crop import random_place
from ._operations import NUM_BINS, OPERATIONS, RAND_AUGMENT, TRIVIAL_AUGMENT, Drawn, Space, strengths
from ._slots import ColorSlot, OperationsMap, SharpnessSlot
from ._transform import Params, Transform, frozen_value
from ._warp import check_image_shape, check_sampling, fill_value

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLOTS = 4  # of each operation: which, the sign, the bin, and a spare


class _RandomOperations(Composite):
    """What both share: what is drawn are numbers, and every image runs through the same few parts."""

    fill_mode: str
    cval: float
    order: int

    space: ClassVar[Space]
    keeps_shape: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "cval", frozen_value(self.cval))
        check_sampling(self.fill_mode, self.order, self.cval)
        if self.fill_mode == "constant":
            fill_value(self.cval, np.float32, rounded_to=np.uint8)  # what colours get are bytes
        super().__post_init__()

    @property
    def _num_ops(self) -> int:
        raise NotImplementedError

    @property
    def _bin(self) -> int | None:
        """The only one that is drawn; None: any."""
        raise NotImplementedError

    @property
    def is_random(self) -> bool:
        return True

    @transfers
    def sample(self, key: Key, image_shape: Sequence[int]) -> Drawn:
        check_image_shape("image_shape", image_shape)
        drawn = uniforms(key, _SLOTS * self._num_ops).reshape(self._num_ops, _SLOTS)
        operation, sign = random_place(drawn[:, 0], len(OPERATIONS)), random_place(drawn[:, 1], 2)
        bin = random_place(drawn[:, 2], NUM_BINS) if self._bin is None else np.full(self._num_ops, self._bin, np.int32)
        table = jnp.asarray(strengths(self.space, *image_shape[:2]))
        return Drawn(operation, table.at[sign, operation, bin].get(mode="promise_in_bounds"))

    @property
    def parts(self) -> tuple[Transform, ...]:
        geometry = OperationsMap(self.space, self._num_ops, self._bin, self.fill_mode, self.cval, self.order)
        colors = (ColorSlot(place, type(self).__qualname__) for place in range(self._num_ops))
        return (geometry, *colors, SharpnessSlot())

    def params_of_parts(self, params: Drawn) -> tuple[Params, ...]:
        if params.operation.shape != (self._num_ops,):
            raise ValueError(
                f"params hold operations of shape {params.operation.shape}; expected ({self._num_ops},), as "
                f"{type(self).__qualname__} draws them."
            )
        return (params,) * (self._num_ops + 2)

    def without_randomness(self) -> Transform:
        return AsFloat()


@dataclass(frozen=True, eq=False)
class RandAugment(_RandomOperations):
    """Some operations for each image, drawn from fourteen, all of one strength.

    The operations are Identity, ShearX, ShearY, TranslateX, TranslateY, Rotate, Brightness, Color (saturation),
    Contrast, Sharpness, Posterize, Solarize, AutoContrast and Equalize, each as likely, the same one twice too. Their
    signs are drawn. Every image runs through one program: all geometry of an image is one map about its centre and one
    resampling, then come the colours in the order in which they were drawn, each rounded to bytes, and sharpness last.

    It differs from the paper where colours were drawn before geometry or after sharpness, and: shear is about the
    centre, of two sharpnesses the later one acts, and the histogram of Equalize is that of at most 64 x 64 pixels on a
    grid.

    Args:
        num_ops: How many operations for each image.
        magnitude: Their strength, a bin of 0 to 30. At 30 shear is 0.3, a shift 150 / 331 of the side, in whole pixels,
            a rotation 30 degrees, a factor 0.1 or 1.9, posterize keeps 4 bits, solarize inverts all.
        fill_mode, cval, order: What lies outside, and how pixels are read, as in `affine_warp`.
        draws: Names the draws, see `Transform`.

    Takes uint8 pictures of 1 or 3 channels, or floats that the steps before it in a chain made of such.

    Returns (apply):
        float32 of whole numbers, 0 to 255, which are rounded: a colour is within 2 of Pillow's, which cuts blends off.
        Params are `operation`, numbers in the order above, and `strength`: tangents, pixels, radians, factors, bits,
        and the level of solarize.

    Raises:
        ValueError: If num_ops is below 1, magnitude outside [0, 30], or cval no byte; when applied, for another
            number of channels than 1 or 3. TypeError when applied to anything but bytes.

    Source:
        Cubuk, Zoph, Shlens and Le, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
        2020, with the ranges of torchvision's RandAugment.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import RandAugment
        >>> augment, image = RandAugment(2, 9), jnp.full((8, 8, 3), 100, jnp.uint8)
        >>> augment.apply(augment.sample(jax.random.key(0), image.shape), image).dtype.name
        'float32'
    """

    num_ops: int = 2
    magnitude: int = 9
    fill_mode: str = field(default="constant", kw_only=True)
    cval: float = field(default=0.0, kw_only=True)
    order: int = field(default=1, kw_only=True)
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "RandAugment"
    space: ClassVar[Space] = RAND_AUGMENT

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_ops", check_int("num_ops", self.num_ops, 1))
        expected = f"a bin in [0, {NUM_BINS - 1}]"
        object.__setattr__(self, "magnitude", check_int("magnitude", self.magnitude, 0, NUM_BINS, expected=expected))
        super().__post_init__()

    @property
    def _num_ops(self) -> int:
        return self.num_ops

    @property
    def _bin(self) -> int:
        return self.magnitude


@dataclass(frozen=True, eq=False)
class TrivialAugment(_RandomOperations):
    """One operation for each image, drawn from fourteen, with a strength drawn from wide ranges.

    The operations are those of `RandAugment`, each as likely.

    Args:
        fill_mode, cval, order: What lies outside, and how pixels are read, as in `affine_warp`.
        draws: Names the draws, see `Transform`.

    The strongest of 31 bins: shear 0.99, a shift of 32 pixels, a rotation of 135 degrees, a factor 0.01 or 1.99,
    posterize keeps 2 bits, solarize inverts all. Takes what `RandAugment` takes.

    Returns (apply):
        float32 of whole numbers, 0 to 255. Params as those of `RandAugment`, with an axis of one operation.

    Raises:
        TypeError: When applied to anything but bytes. ValueError for what `RandAugment` refuses.

    Source:
        Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021, with the wide
        ranges, as torchvision's TrivialAugmentWide.

    Example:
        >>> import jax
        >>> from jaxiter import TrivialAugment
        >>> TrivialAugment().sample(jax.random.key(0), (8, 8, 3)).operation.shape
        (1,)
    """

    fill_mode: str = field(default="constant", kw_only=True)
    cval: float = field(default=0.0, kw_only=True)
    order: int = field(default=1, kw_only=True)
    draws: str | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "TrivialAugment"
    space: ClassVar[Space] = TRIVIAL_AUGMENT

    @property
    def _num_ops(self) -> int:
        return 1

    @property
    def _bin(self) -> None:
        return None
