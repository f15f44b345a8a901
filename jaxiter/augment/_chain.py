"""Several steps as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard, overload

import jax
import numpy as np

from .._describe import described
from .._key_checks import named_keys
from .._keys import Key
from ._cast import Cast
from ._duck_typed import TransformLike, as_transform, is_transform, is_transform_or_none
from ._evaluation import for_evaluation
from ._geometric import Geometric, dtype_and_fill
from ._groups import groups_of, is_geometry
from ._run import Steps
from ._transform import Params, Transform, result_dtype
from ._warp import RaggedImage, StoredImage

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float


class Chain(Transform):
    """Steps one after the other; `Chain()` is the identity and chains within chains are flattened.

    Adjacent geometric steps, `Affine` among them, with equal fill_mode, cval and order are one resampling: the picture
    is interpolated once, and borders are filled once, after the whole map: a step that looks beyond the edge of what a
    crop left sees the rest of the picture, and of a resize that shrinks before one that enlarges nothing is seen. A
    `Cast("float32")` between two steps keeps them apart. Of a step that never reads outside the
    picture the first two do not count, and of one that only selects whole pixels the order does not.

    Every step draws from its own key, which depends on its kind and on how many of its kind stand before it, so that
    adding a step changes no draw of another kind.

    Args:
        *transforms: `Transform`s, or anything with `sample(key, image_shape)` and `apply(params, image)` that is not
            changed afterwards.

    Raises:
        TypeError: For anything else.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Affine, Chain, Rescale
        >>> chain = Chain(Affine(rotation=15, horizontal_flip=True), Rescale(1 / 255))
        >>> image = jnp.zeros((8, 8, 3), jnp.uint8)
        >>> chain.apply(chain.sample(jax.random.key(0), image.shape), image).dtype.name
        'float32'
    """

    kind: ClassVar[str] = "Chain"

    transforms: tuple[Transform, ...]
    leaf: str | None = None  # of a loader's data, which errors name
    num_views: int | None = None  # of each example of the leaf; None: it stays one image
    has_frames: bool = False  # an example of the leaf is several images, which all get the same draws

    def __init__(self, *transforms: TransformLike):
        steps: list[Transform] = []
        for step in transforms:
            steps.extend(step.transforms if is_plain_chain(step) else [as_transform(step)])
        outer = next((step for step in steps if step.is_outermost), None)
        if outer is not None and len(steps) > 1:
            name = type(outer).__qualname__
            raise ValueError(f"a Chain of several steps holds {name}, which stands outermost: {outer.outermost_form}.")
        object.__setattr__(self, "transforms", tuple(steps))
        object.__setattr__(self, "takes_any_rank", all(step.takes_any_rank for step in steps))
        keeps_shape = type(self).apply is Chain.apply and all(step.keeps_shape for step in steps)
        object.__setattr__(self, "keeps_shape", keeps_shape)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Chain cannot be changed; make another one with the {name} you want.")

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.transforms))})"

    @property
    def is_random(self) -> bool:
        return type(self).sample is not Chain.sample or any(step.is_random for step in self.transforms)

    # Within another step a chain is no more than its steps, unless a subclass does something else with them.

    @property
    def parts(self) -> tuple[Transform, ...]:
        return tuple(part for step in self.transforms for part in step.parts) if is_plain_chain(self) else (self,)

    def params_of_parts(self, params: Sequence[Params]) -> tuple[Params, ...]:
        if not is_plain_chain(self):
            return (params,)
        each = zip(self.transforms, params, strict=True)
        return tuple(part for step, drawn in each for part in step.params_of_parts(drawn))

    @property
    def held(self) -> tuple[Transform, ...]:
        return self.transforms if is_plain_chain(self) else ()

    @property
    def draws_itself(self) -> bool:
        return not is_plain_chain(self)

    def with_held(self, own: Params, held: tuple[Params, ...]) -> Params:
        return held

    @property
    def resamples(self) -> bool:
        """Whether a pixel of the result is read from another position."""
        steps = (part for step in self.transforms for part in step.parts)
        return any(isinstance(step, Geometric) and not step.is_identity for step in steps)

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> tuple[Params, ...]:
        """One entry for each step."""
        return self.steps.sample(key, image_shape)

    def apply(self, params: Sequence[Params], image: ArrayLike) -> jax.Array:
        self._check_params(params)
        return self.steps.run(image, params=params).image

    def sample_and_apply(
        self, key: Key, image: ArrayLike | RaggedImage, stored: StoredImage | None = None
    ) -> jax.Array:
        """`apply(sample(key, image.shape), image)` in one pass; `apply` of a step is traced once.

        Args:
            stored: Where `image` was copied from.
        """
        return self.steps.run(image, key=key, stored=stored).image

    @property
    def can_prepare(self) -> bool:
        """Whether `prepare` finds the same numbers in any program: all steps are this library's own."""
        parts = [part.transform for part in self.steps.parts]
        return all((is_geometry(part) or part.keeps_shape) and part.is_of_this_library for part in parts)

    def prepare(self, key: Key, image_shape: tuple[int, ...]) -> list[Any]:
        """All of `sample_and_apply` that needs no pixels, for chains that `can_prepare`."""
        return self.steps.prepare(key, image_shape)

    def apply_prepared(
        self, prepared: Sequence[Any], image: jax.Array | RaggedImage, stored: StoredImage | None = None
    ) -> jax.Array:
        """The rest of `sample_and_apply`."""
        return self.steps.apply_prepared(prepared, image, stored)

    def trace(
        self, key: Key, image: ArrayLike | RaggedImage
    ) -> tuple[tuple[Params, ...], Float[Array, "3 3"] | None, jax.Array]:
        """As `sample_and_apply`; returns params, matrix and image."""
        steps = self.steps
        ran = steps.run(image, key=key)
        return ran.params, steps.composed(ran.of_parts, ran.shapes), ran.image

    def matrix(self, params: Sequence[Params], image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
        """The map of all steps, output to source in (row, col, 1).

        None where the geometry of a step is not known: `Map`, and a class of your own without `matrix`.

        Example:
            >>> Chain().matrix((), (4, 4, 1)).tolist()
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        self._check_params(params)
        return self.steps.matrix(params, image_shape)

    def of_leaf(self, leaf: str, dtype: DTypeLike, *, num_views: int | None = None, has_frames: bool = False) -> Chain:
        """The same steps for a leaf of a loader's data, of which `dtype` is known.

        Raises:
            ValueError: If a step fills borders with what the dtype that reaches it cannot hold, as far as that is
                known: a step of a user's may return any.
        """
        try:
            self._check_fills(jax.dtypes.canonicalize_dtype(dtype))
        except ValueError as error:
            raise ValueError(f"a transform of {leaf} does not fit its dtype: {error}") from None
        chain = Chain(*self.transforms)
        for name, value in (("leaf", leaf), ("num_views", num_views), ("has_frames", has_frames)):
            object.__setattr__(chain, name, value)
        return chain

    def _check_fills(self, dtype: np.dtype) -> None:
        parts = [part.transform for part in self.steps.parts]
        for group in groups_of(parts):
            step, *_ = steps = parts[group]
            if is_geometry(step):
                on = [other for other in steps if isinstance(other, Geometric) and not other.is_identity]
                dtype = dtype_and_fill(on, dtype)[0] if on else dtype
            elif type(step) is Cast:
                dtype = jax.numpy.dtype(step.dtype)
            elif step.keeps_dtype:
                continue
            elif type(step).__module__.startswith(__package__) and not step.moves_pixels:
                dtype = result_dtype(dtype)
            else:
                return

    def without_randomness(self) -> Chain:
        steps = map(for_evaluation, self.transforms)
        return Chain(*(step for step in steps if step is not None))

    @property
    def steps(self) -> Steps:
        return Steps(self.transforms, self.leaf)

    def _check_params(self, params: Sequence[Params]) -> None:
        if len(params) != len(self.transforms):
            raise ValueError(f"params has {len(params)} entries; expected {len(self.transforms)}, one for each step.")


@overload
def deterministic(transform: TransformLike) -> Transform: ...
@overload
def deterministic(transform: None) -> None: ...
@overload
def deterministic(transform: Any) -> Any: ...  # a tree of them, in containers that no type follows
def deterministic(transform: Any) -> Any:
    """A transform without its random steps, for evaluation.

    A range that is a single point is not random and stays: `Affine(zoom=(1.2, 1.2), rotation=10)` still magnifies
    and no longer turns. A range that is an array counts as random, whatever it holds. Where a random step changed the
    dtype the step in its place changes it too, so that training and evaluation see one dtype.

    A transform of your own is random if its `sample` uses the key. What takes its place its method
    `without_randomness` returns; without one it is left out.

    Args:
        transform: A transform, or a tree of transforms and None as `Loader` takes it.

    Returns:
        A transform that draws nothing, or a tree of them.

    Raises:
        TypeError: For a random class of your own that holds other transforms, or whose code names one or a class of
            them, and has no `without_randomness`. What is returned raises a ValueError where it is applied, if a step
            that was left out changed the shape.

    Example:
        >>> from jaxiter import Affine, Chain, Normalize, deterministic
        >>> deterministic(Chain(Affine(rotation=15, whole_pixels=True), Normalize(0.5, 0.25)))
        Chain(AsFloat(), Normalize(mean=0.5, std=0.25))
    """
    if transform is None:
        return None
    if hasattr(transform, "augment") and hasattr(transform, "batch_size"):
        raise TypeError(
            f"transform is {described(transform)}; expected a transform or a tree of them. Use "
            "loader.replace(augment=deterministic(loader.augment))."
        )
    with named_keys("transform", transform):
        if not is_transform(transform) and not jax.tree_util.all_leaves([transform], is_leaf=is_transform_or_none):
            return jax.tree.map(deterministic, transform, is_leaf=is_transform_or_none)
    found = for_evaluation(as_transform(transform))
    return Chain() if found is None else found


def is_plain_chain(step: object) -> TypeGuard[Chain]:
    """Whether a chain is no more than its steps; a subclass may do something else with them."""
    return isinstance(step, Chain) and type(step).sample is Chain.sample and type(step).apply is Chain.apply
