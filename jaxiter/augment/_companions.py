"""What moves with an image: leaves that follow the geometry of another one, masks among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np

from .._checks import is_integer
from .._describe import described
from ._chosen import ChosenPart
from ._geometric import joined_bounds, joined_sampling
from ._run import Mover, Moves
from ._transform import Params, Transform, frozen_value
from ._warp import RaggedImage, check_sampling, fill_value, is_static, resample, resample_ragged

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float, Num

_FORM = 'augment={"image": transform, "mask": Mask("image")}'


_BOUND = ("leaf", "target", "has_frames")


class Companion(Transform):
    """A leaf that follows another one, which `of` names."""

    of: str | int
    # Of the leaf of a loader's data: its name, the place of the one that it follows, and whether that has frames.
    leaf: str | None = None
    target: int | None = None
    has_frames: bool | None = None

    holds_places: ClassVar[bool] = False  # coordinates, and no pixels
    is_outermost: ClassVar[bool] = True
    outermost_form: ClassVar[str] = _FORM

    def __post_init__(self) -> None:
        if not isinstance(self.of, str) and not is_integer(self.of):
            raise TypeError(
                f"of is {described(self.of)}; expected the key of the leaf that it follows, or its place in a tuple."
            )
        for name in _BOUND:
            object.__setattr__(self, name, getattr(self, name))
        super().__post_init__()

    def sample(self, key: jax.Array, image_shape: tuple[int, ...]) -> Params:
        raise self._alone()

    def apply(self, params: Params, image: Num[Array, ...]) -> Num[Array, ...]:
        raise self._alone()

    def without_randomness(self) -> Transform:
        return self

    def of_leaf(self, leaf: str, target: int, *, has_frames: bool) -> Companion:
        """The same for a leaf of a loader's data."""
        return self._with(leaf=leaf, target=target, has_frames=has_frames)

    def as_given(self) -> Companion:
        return self._with(**dict.fromkeys(_BOUND, None))

    def check_fits(self, shape: Sequence[int], dtype: DTypeLike, image_shape: Sequence[int]) -> None:
        """Raises for a leaf that cannot follow images.

        Args:
            shape, dtype: Of an example of the leaf.
            image_shape: Of an example of the leaf that it follows, (height, width, channels) last.
        """
        raise NotImplementedError

    def check_follows(self, parts: Sequence[Transform], movers: Sequence[Mover] | None, dtype: DTypeLike) -> None:
        """Raises for steps of the image that it cannot follow.

        Args:
            movers: None where a step is a user's.
            dtype: Of the leaf.
        """

    def follow(self, example: Any, moves: Moves, size: tuple[int, int]) -> jax.Array:
        """The example after all moves of the image.

        Args:
            size: (height, width) of the image before them.
        """
        raise NotImplementedError

    def _alone(self) -> TypeError:
        name = type(self).__qualname__
        return TypeError(
            f"{name}({self.of!r}) follows another leaf of a Loader's data and does nothing by itself; expected "
            f"{_FORM}. Without a Loader move by the matrix of the image's transform, transform.matrix(params, "
            "image.shape)."
        )


@dataclass(frozen=True, eq=False)
class Mask(Companion):
    """A mask that moves with an image: the same map, each pixel taken from the nearest one, so that labels stay labels.

    Args:
        of: The leaf that it follows, by its key or its place in a tuple.
        cval: What lies outside the image, for example a label that is ignored; the dtype has to hold it. None: as the
            image's transform fills its borders.

    The mask has the height and the width of the image, with an axis of channels or without. It keeps its dtype. Where
    the image has `Views` or `Frames` it has them too.

    Raises:
        ValueError: When the loader is made, if no leaf has this name, or the mask has another size than the image.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Loader, Mask
        >>> data = {"image": np.zeros((4, 8, 8, 3), np.uint8), "mask": np.ones((4, 8, 8), np.uint8)}
        >>> augment = {"image": Affine(shift=((0.5, 0.5), 0)), "mask": Mask("image", cval=255)}
        >>> loader = Loader(data, batch_size=2, augment=augment)
        >>> loader.batch(jax.random.key(0), 0, 0)["mask"][0, :, 0].tolist()
        [255, 255, 255, 255, 1, 1, 1, 1]
    """

    of: str | int
    cval: float | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "Mask"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cval", frozen_value(self.cval))
        if self.cval is not None:
            check_sampling("constant", 0, self.cval)
        super().__post_init__()

    def check_fits(self, shape: Sequence[int], dtype: DTypeLike, image_shape: Sequence[int]) -> None:
        leading, (height, width) = tuple(image_shape[:-3]), image_shape[-3:-1]
        if height is None or (len(shape) == 3 and shape[0] is None):
            if tuple(shape[:2]) != (None, None) or height is not None:
                raise ValueError(
                    f"{self.leaf} and the images that it follows are not both pictures of different sizes; expected a "
                    "mask of the size of each picture: pack masks as the images are, or bring both to one size first."
                )
        elif tuple(shape) != (*leading, height, width) and tuple(shape[:-1]) != (*leading, height, width):
            raise ValueError(
                f"{self.leaf} has examples of shape {tuple(shape)} and follows images of shape {tuple(image_shape)}; "
                f"expected {(*leading, height, width)}, with or without an axis of channels. A mask of another size "
                "has to be brought to the image's first."
            )
        if self.cval is not None:
            self._filled(("constant", self.cval), jax.dtypes.canonicalize_dtype(dtype))

    def check_follows(self, parts: Sequence[Transform], movers: Sequence[Mover] | None, dtype: DTypeLike) -> None:
        for part in parts:
            if isinstance(part, ChosenPart) and part.is_of_this_library and part.moves_pixels:
                is_one_map = all(sum(own.moves_pixels for own in step.parts) < 2 for step in part.choices)
                if self.cval is None or not is_one_map:
                    raise ValueError(
                        f"{self.leaf} follows a OneOf whose choices are no maps of one border, and what lies outside "
                        "would not be that of the image; expected choices of one map each, with equal fill_mode, cval, "
                        f"order and antialias, or of one map each and Mask({self.of!r}, cval=...)."
                    )
        for mover in movers or ():
            self._filled(self._border_of(mover), jax.dtypes.canonicalize_dtype(dtype))

    def _border_of(self, mover: Mover) -> tuple[str, float]:
        if self.cval is not None:
            return "constant", self.cval
        border = joined_sampling(mover.steps).border if mover.steps else None
        return border or ("nearest", 0.0)

    def follow(self, example: jax.Array | RaggedImage, moves: Moves, size: tuple[int, int]) -> jax.Array:
        for matrix, mover in zip(*moves, strict=True):
            example = self._moved(example, matrix, mover)
        assert not isinstance(example, RaggedImage)  # whose picture is brought to one size
        return example

    def _moved(self, example: jax.Array | RaggedImage, matrix: Float[Array, "3 3"], mover: Mover) -> jax.Array:
        border, bounds = self._border_of(mover), None
        fill = self._filled(border, example.dtype)
        if isinstance(example, RaggedImage):
            return resample_ragged(example, matrix, fill_mode=border[0], cval=fill, order=0, size=mover.after)
        if mover.steps and is_static(mover.before):
            bounds = joined_bounds(mover.steps, (*mover.before, 1))

        def of_one(mask: jax.Array) -> jax.Array:
            has_channels = mask.ndim == 3
            moved = resample(
                mask if has_channels else mask[..., None],
                matrix,
                fill_mode=border[0],
                cval=fill,
                order=0,
                bounds=bounds,
                size=mover.after,
            )
            return moved if has_channels else moved[..., 0]

        return jax.vmap(of_one)(example) if self.has_frames else of_one(example)

    def _filled(self, border: tuple[str, float], dtype: DTypeLike) -> ArrayLike:
        """The number that stands outside."""
        if border[0] != "constant":
            return 0
        try:
            return fill_value(border[1], dtype)
        except ValueError:
            whose = "the image's cval" if self.cval is None else "cval"
            raise ValueError(
                f"{whose} is {border[1]:g}, and {self.leaf} of dtype {np.dtype(dtype)} cannot hold it; expected a "
                f"label of that dtype for what lies outside the image, for example Mask({self.of!r}, cval=0)."
            ) from None
