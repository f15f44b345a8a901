"""Several steps as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._keys import as_key, fold_in
from ._affine import Affine, resample
from ._cast import Map
from ._matrix import compose
from ._transform import Params, Transform


class Chain(Transform):
    """Steps one after the other; `Chain()` is the identity and chains within chains are flattened.

    Adjacent `Affine`s with equal fill_mode, cval and order are one resampling: the picture is interpolated once,
    and borders are filled once, after the whole map.

    Every step draws from its own key, told apart by its kind and by how many of its kind stand before it, so that
    adding a step moves no draw of another kind.

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

    def __init__(self, *transforms: Any):
        steps: list[Transform] = []
        for step in transforms:
            steps.extend(step.transforms if isinstance(step, Chain) else [_as_transform(step)])
        object.__setattr__(self, "transforms", tuple(steps))
        object.__setattr__(self, "needs_image", any(step.needs_image for step in steps))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A Chain cannot be changed; make another one with the {name} you want.")

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.transforms))})"

    @property
    def is_random(self) -> bool:
        return any(step.is_random for step in self.transforms)

    @property
    def resamples(self) -> bool:
        """Whether a pixel of the result comes from another place."""
        return any(isinstance(step, Affine) and not step.is_identity for step in self.transforms)

    def sample(self, key: Any, image_shape: tuple[int, ...]) -> tuple[Params, ...]:
        """One entry for each step."""
        params: list[Params] = []
        last_random = max((place for place, step in enumerate(self.transforms) if step.is_random), default=-1)
        for place, (step, own_key) in enumerate(self._steps_with_keys(key)):
            params.append(step.sample(own_key, image_shape) if step.is_random else ())
            if place < last_random:
                image_shape = _shape_after(step, params[-1], image_shape)
        return tuple(params)

    def apply(self, params: tuple[Params, ...], image: Any) -> Any:
        def given(drawn: Params) -> Callable[[tuple[int, ...]], Params]:
            return lambda shape: drawn

        if len(params) != len(self.transforms):
            raise ValueError(f"params has {len(params)} entries; expected {len(self.transforms)}, one for each step.")
        return self._run(((step, given(drawn)) for step, drawn in zip(self.transforms, params, strict=True)), image)

    def sample_and_apply(self, key: Any, image: Any) -> Any:
        """`apply(sample(key, image.shape), image)` in one pass, in which no step runs ahead to tell its shape."""
        return self._drawn_and_applied(key, image)[1]

    def told(self, key: Any, image: Any) -> tuple[tuple[Params, ...], Any, Any]:
        """What was drawn, the map of all `Affine`s, and the image after: one pass over the image itself."""
        record, after = self._drawn_and_applied(key, image)
        matrices = [step.matrix(drawn, shape) for step, drawn, shape in record if isinstance(step, Affine)]
        return tuple(drawn for _, drawn, _ in record), compose(*matrices), after

    def _drawn_and_applied(self, key: Any, image: Any) -> tuple[list[tuple[Transform, Params, tuple[int, ...]]], Any]:
        """Every step with what it drew and the shape that it drew for, and the image after."""
        record: list[tuple[Transform, Params, tuple[int, ...]]] = []

        def draw(step: Transform, own_key: Any) -> Callable[[tuple[int, ...]], Params]:
            def at(shape: tuple[int, ...]) -> Params:
                record.append((step, step.sample(own_key, shape) if step.is_random else (), shape))
                return record[-1][1]

            return at

        steps = ((step, draw(step, own_key)) for step, own_key in self._steps_with_keys(key))
        after = self._run(steps, image, drawn=True)
        return record, after

    def _run(
        self, steps: Iterable[tuple[Transform, Callable[[tuple[int, ...]], Params]]], image: Any, *, drawn: bool = False
    ) -> Any:
        """Each step with what it draws for an image of the shape that the steps before it made."""
        image = jnp.asarray(image)
        for sampling, group in groupby(steps, lambda pair: _sampling_of(pair[0])):
            if sampling is not None:
                image = resample([(cast(Affine, step), draw(image.shape)) for step, draw in group], image, drawn=drawn)
            else:
                for step, draw in group:
                    image = step.apply(draw(image.shape), image)
        return image

    def _steps_with_keys(self, key: Any) -> Iterator[tuple[Transform, Any]]:
        parent = as_key(key)
        occurrences: Counter[str] = Counter()
        tags = []
        for step in self.transforms:
            if step.is_random:
                tags.append(step.draws_tag(occurrences[step.kind]))
            occurrences[step.kind] += 1
        # All at once: every fold_in by itself would be compiled by itself.
        keys = iter(jax.vmap(partial(fold_in, parent))(np.array(tags, np.uint32)) if tags else ())
        for step in self.transforms:
            yield step, next(keys) if step.is_random else None

    def matrix(self, params: tuple[Params, ...], image_shape: tuple[int, ...]) -> Any:
        """The map of all `Affine`s together, output to source in (row, col, 1); boxes and points move by its inverse.

        Example:
            >>> Chain().matrix((), (4, 4, 1)).tolist()
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        return compose(*_affine_matrices(self.transforms, params, image_shape))

    def without_randomness(self) -> Chain:
        steps = (step.without_randomness() for step in self.transforms)
        return Chain(*(step for step in steps if step is not None))


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
    if not is_transform(transform) and not jax.tree_util.all_leaves([transform], is_leaf=is_place):
        return jax.tree.map(deterministic, transform, is_leaf=is_place)
    return _as_transform(transform).without_randomness() or Chain()


def is_place(node: Any) -> bool:
    """Whether a node of a tree of transforms ends there."""
    return node is None or is_transform(node)


def is_transform(value: Any) -> bool:
    return isinstance(value, Transform) or (
        callable(getattr(value, "sample", None)) and callable(getattr(value, "apply", None))
    )


def _as_transform(step: Any) -> Transform:
    if isinstance(step, Transform):
        return step
    if isinstance(step, type) or not is_transform(step):
        remedy = "wrap a function in Map(function)" if callable(step) else "see jaxiter.Transform"
        remedy = f"make one, {step.__qualname__}(...)" if isinstance(step, type) else remedy
        remedy = "spread a list, Chain(*steps)" if isinstance(step, (list, tuple)) else remedy
        raise TypeError(
            f"{step!r} is no transform; expected sample(key, image_shape) and apply(params, image): {remedy}."
        )
    return Foreign(step)


@dataclass(frozen=True, eq=False)
class Foreign(Transform):
    """A user's object with `sample` and `apply` that is no `Transform`."""

    inner: Any

    def __post_init__(self) -> None:
        owner = type(self.inner)
        object.__setattr__(self, "kind", getattr(self.inner, "kind", f"{owner.__module__}.{owner.__qualname__}"))
        object.__setattr__(self, "draws", getattr(self.inner, "draws", None))

    def sample(self, key: Any, image_shape: tuple[int, ...]) -> Params:
        return self.inner.sample(key, image_shape)

    def apply(self, params: Params, image: Any) -> Any:
        return self.inner.apply(params, image)


def _sampling_of(step: Transform) -> Any:
    """What makes adjacent steps one resampling: equal for `Affine`s that fuse, None for all other steps."""
    return step.sampling if isinstance(step, Affine) else None


def _affine_matrices(steps: Any, params: Any, image_shape: tuple[int, ...]) -> Iterator[Any]:
    last_affine = max((place for place, step in enumerate(steps) if isinstance(step, Affine)), default=-1)
    for step, drawn in zip(steps[: last_affine + 1], params, strict=False):
        if isinstance(step, Affine):
            yield step.matrix(drawn, image_shape)
        image_shape = _shape_after(step, drawn, image_shape)


def _shape_after(step: Transform, params: Params, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Only functions and classes of the user's may change the shape."""
    if type(step).__module__.rpartition(".")[0] == __name__.rpartition(".")[0] and not isinstance(step, (Map, Foreign)):
        return image_shape
    image = jax.ShapeDtypeStruct(image_shape, np.float32)
    apply: Callable[..., Any] = step.apply
    return tuple(jax.eval_shape(apply, params, image).shape)
