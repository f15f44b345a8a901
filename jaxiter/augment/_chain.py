"""Several steps as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked
from .._describe import described
from .._keys import Key, as_key, fold_in
from ._affine import Affine, apply_affines
from ._duck_typed import TransformLike, as_transform, is_transform, is_transform_or_none
from ._matrix import compose
from ._transform import Params, Transform

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float


class Chain(Transform):
    """Steps one after the other; `Chain()` is the identity and chains within chains are flattened.

    Adjacent `Affine`s with equal fill_mode, cval and order are one resampling: the picture is interpolated once,
    and borders are filled once, after the whole map.

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

    def __init__(self, *transforms: TransformLike):
        steps: list[Transform] = []
        for step in transforms:
            steps.extend(step.transforms if isinstance(step, Chain) else [as_transform(step)])
        object.__setattr__(self, "transforms", tuple(steps))
        object.__setattr__(self, "needs_image", any(step.needs_image for step in steps))
        object.__setattr__(self, "keeps_shape", all(step.keeps_shape for step in steps))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Chain cannot be changed; make another one with the {name} you want.")

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.transforms))})"

    @property
    def is_random(self) -> bool:
        return any(step.is_random for step in self.transforms)

    @property
    def resamples(self) -> bool:
        """Whether a pixel of the result is read from another position."""
        return any(isinstance(step, Affine) and not step.is_identity for step in self.transforms)

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> tuple[Params, ...]:
        """One entry for each step."""
        params: list[Params] = []
        last_random = _last(self.transforms, lambda step: step.is_random)
        for place, (step, own_key) in enumerate(zip(self.transforms, self._keys(as_key(key)), strict=True)):
            params.append(_draw(step, own_key, image_shape))
            if place < last_random:
                image_shape = _shape_after(step, params[-1], image_shape)
        return tuple(params)

    def apply(self, params: Sequence[Params], image: ArrayLike) -> jax.Array:
        if len(params) != len(self.transforms):
            raise ValueError(f"params has {len(params)} entries; expected {len(self.transforms)}, one for each step.")
        return self._run(image, params=params)[2]

    def sample_and_apply(self, key: Key, image: ArrayLike) -> jax.Array:
        """`apply(sample(key, image.shape), image)` in one pass; `apply` of a step is traced once."""
        return self._run(image, key=as_key(key))[2]

    def trace(self, key: Key, image: ArrayLike) -> tuple[tuple[Params, ...], Float[Array, "3 3"], jax.Array]:
        """As `sample_and_apply`; returns params, matrix and image."""
        params, shapes, image = self._run(image, key=as_key(key))
        return tuple(params), self._compose(params, shapes), image

    def matrix(self, params: Sequence[Params], image_shape: tuple[int, ...]) -> Float[Array, "3 3"]:
        """The map of all steps that define `matrix`, output to source in (row, col, 1); boxes move by its inverse.

        Example:
            >>> Chain().matrix((), (4, 4, 1)).tolist()
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        shapes = [image_shape]
        last = _last(self.transforms, lambda step: _geometry(step) is not None)
        for step, drawn in zip(self.transforms[: max(last, 0)], params, strict=False):
            shapes.append(_shape_after(step, drawn, shapes[-1]))
        return self._compose(params, shapes)

    def without_randomness(self) -> Chain:
        steps = (step.without_randomness() for step in self.transforms)
        return Chain(*(step for step in steps if step is not None))

    def _run(
        self, image: ArrayLike, *, key: jax.Array | None = None, params: Sequence[Params] | None = None
    ) -> tuple[list[Params], list[tuple[int, ...]], jax.Array]:
        """Applies the steps with `params`, or with what they draw from `key`.

        Returns the params and the image shape that each step was given, and the image after the last.
        """
        check_not_forked()
        current = jnp.asarray(image)
        keys = [] if key is None else self._keys(key)
        used: list[Params] = []
        shapes: list[tuple[int, ...]] = []
        for group in _groups(self.transforms):
            steps, shape = self.transforms[group], current.shape
            if params is None:
                drawn = [_draw(step, own_key, shape) for step, own_key in zip(steps, keys[group], strict=True)]
            else:
                drawn = list(params[group])
            affines = [step for step in steps if isinstance(step, Affine)]
            if affines:
                current = apply_affines(list(zip(affines, drawn, strict=True)), current, drawn=params is None)
            else:
                current = steps[0].apply(drawn[0], current)
            used += drawn
            shapes += [shape] * len(steps)
        return used, shapes, current

    def _compose(self, params: Sequence[Params], shapes: Sequence[tuple[int, ...]]) -> Float[Array, "3 3"]:
        """The maps of the steps, as far as `shapes` goes, as one."""
        maps = zip(map(_geometry, self.transforms), params, shapes, strict=False)
        return compose(*(matrix(drawn, shape) for matrix, drawn, shape in maps if matrix is not None))

    def _keys(self, key: jax.Array) -> list[jax.Array | None]:
        """The key of each random step, None for the others."""
        occurrences: Counter[str] = Counter()
        tags = []
        for step in self.transforms:
            if step.is_random:
                tags.append(step.draws_tag(occurrences[step.kind]))
            occurrences[step.kind] += 1
        # All at once: every fold_in by itself would be compiled by itself.
        keys = iter(jax.vmap(partial(fold_in, key))(np.array(tags, np.uint32)) if tags else ())
        return [next(keys) if step.is_random else None for step in self.transforms]


def deterministic(transform: Any) -> Any:
    """The same transform without its random steps, for evaluation.

    A range that is a single point is not random and stays: `Affine(zoom=(1.2, 1.2), rotation=10)` still magnifies
    and no longer turns. Where a random step turned integers into floats they still become floats, so that training
    and evaluation see one dtype. A transform of your own is random if it defines `sample`.

    Args:
        transform: A transform, or a tree of transforms and None as `Loader` takes it.

    Returns:
        A transform that draws nothing, or a tree of them.

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
    if not is_transform(transform) and not jax.tree_util.all_leaves([transform], is_leaf=is_transform_or_none):
        return jax.tree.map(deterministic, transform, is_leaf=is_transform_or_none)
    return as_transform(transform).without_randomness() or Chain()


def _groups(steps: Sequence[Transform]) -> Iterator[slice]:
    """Slices of steps that run as one: adjacent `Affine`s of equal sampling; any other step by itself."""

    def what_fuses(place: int) -> object:
        step = steps[place]
        return step.sampling if isinstance(step, Affine) else place

    for _, group in groupby(range(len(steps)), what_fuses):
        places = list(group)
        yield slice(places[0], places[-1] + 1)


def _draw(step: Transform, key: jax.Array | None, image_shape: tuple[int, ...]) -> Params:
    """With the key that `_keys` gave, which is None for a step that draws nothing."""
    return () if key is None else step.sample(key, image_shape)


def _last(steps: Sequence[Transform], is_meant: Callable[[Transform], bool]) -> int:
    """The index of the last step of a kind, or -1."""
    return max((place for place, step in enumerate(steps) if is_meant(step)), default=-1)


def _geometry(step: Transform) -> Callable[[Params, tuple[int, ...]], jax.Array] | None:
    """The method `matrix` of a step, if its class has one; `Whiten` has a field of that name."""
    return getattr(step, "matrix", None) if callable(getattr(type(step), "matrix", None)) else None


def _shape_after(step: Transform, params: Params, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    if step.keeps_shape:
        return image_shape
    image = jax.ShapeDtypeStruct(image_shape, np.float32)
    apply: Callable[..., Any] = step.apply
    return tuple(jax.eval_shape(apply, params, image).shape)
