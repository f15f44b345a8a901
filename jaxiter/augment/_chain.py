"""Several steps as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, check_not_masked
from .._describe import described
from .._key_checks import named_keys
from .._keys import Key, as_key, fold_in
from .._transfers import transfers
from ._cast import Cast
from ._duck_typed import TransformLike, as_transform, is_transform, is_transform_or_none, user_object
from ._evaluation import for_evaluation
from ._frozen_draws import array_of_apply, checked_apply, checked_sample
from ._geometric import Geometric, apply_geometry, dtype_and_fill, geometry_of, shapes_through, warp_along
from ._groups import groups_of, is_geometry, kept_apart
from ._linear_color import apply_colors, is_linear, mixes_channels
from ._matrix import check_matrix, compose
from ._transform import Params, Transform, result_dtype
from ._warp import StoredImage

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

    def __init__(self, *transforms: TransformLike):
        steps: list[Transform] = []
        for step in transforms:
            steps.extend(step.transforms if _is_plain_chain(step) else [as_transform(step)])
        object.__setattr__(self, "transforms", tuple(steps))
        object.__setattr__(self, "needs_image", any(step.needs_image for step in steps))
        keeps_shape = type(self).apply is Chain.apply and all(step.keeps_shape for step in steps)
        object.__setattr__(self, "keeps_shape", keeps_shape)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Chain cannot be changed; make another one with the {name} you want.")

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.transforms))})"

    @property
    def is_random(self) -> bool:
        return type(self).sample is not Chain.sample or any(step.is_random for step in self.transforms)

    @property
    def resamples(self) -> bool:
        """Whether a pixel of the result is read from another position."""
        return any(isinstance(step, Geometric) and not step.is_identity for step in self.transforms)

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> tuple[Params, ...]:
        """One entry for each step."""
        params: list[Params] = []
        last_random = _last(self.transforms, lambda step: step.is_random)
        for place, (step, own_key) in enumerate(zip(self.transforms, self._keys(as_key(key)), strict=True)):
            with self._named_in_errors(slice(place, place + 1), image_shape):
                params.append(_draw(step, own_key, image_shape))
                if place < last_random:
                    image_shape = _shape_after(step, params[-1], image_shape)
        return tuple(params)

    def apply(self, params: Sequence[Params], image: ArrayLike) -> jax.Array:
        self._check_params(params)
        return self._run(image, params=params)[2]

    def sample_and_apply(self, key: Key, image: ArrayLike, stored: StoredImage | None = None) -> jax.Array:
        """`apply(sample(key, image.shape), image)` in one pass; `apply` of a step is traced once.

        Args:
            stored: Where `image` was copied from.
        """
        return self._run(image, key=as_key(key), stored=stored)[2]

    @property
    def can_prepare(self) -> bool:
        """Whether `prepare` finds the same numbers in any program: all steps are this library's own."""
        own = __package__.partition(".")[0]
        known = all(is_geometry(step) or step.keeps_shape for step in self.transforms)
        return known and all(type(step).__module__.partition(".")[0] == own for step in self.transforms)

    def prepare(self, key: Key, image_shape: tuple[int, ...]) -> list[Any]:
        """All of `sample_and_apply` that needs no pixels: the geometry of each resampling, the params of other steps.

        For chains that `can_prepare`.
        """
        keys, prepared = self._keys(as_key(key)), []
        for group in groups_of(self.transforms):
            steps = self.transforms[group]
            with self._named_in_errors(group, image_shape):
                drawn, shapes = _drawn(steps, keys[group], image_shape)
                geometry = [(step, params) for step, params in zip(steps, drawn, strict=True) if is_geometry(step)]
                prepared.append(geometry_of(geometry, image_shape) if geometry else drawn)
            image_shape = shapes[-1]
        return prepared

    def apply_prepared(self, prepared: Sequence[Any], image: jax.Array, stored: StoredImage | None = None) -> jax.Array:
        """The rest of `sample_and_apply`."""
        for group, found in zip(groups_of(self.transforms), prepared, strict=True):
            steps, later = self.transforms[group], self.transforms[group.stop :]
            with self._named_in_errors(group, image.shape, image.dtype):
                if is_geometry(steps[0]):
                    geometry = [step for step in steps if is_geometry(step)]
                    warped = partial(warp_along, geometry, found, image, drawn=True, stored=stored)
                    image = kept_apart(later, warped, image)
                else:
                    image = self._apply_group(group, found, image, drawn_here=True, stored=stored)
            stored = None  # the image is another one now
        return image

    def trace(self, key: Key, image: ArrayLike) -> tuple[tuple[Params, ...], Float[Array, "3 3"] | None, jax.Array]:
        """As `sample_and_apply`; returns params, matrix and image."""
        params, shapes, image = self._run(image, key=as_key(key))
        return tuple(params), self._compose(params, shapes), image

    def matrix(self, params: Sequence[Params], image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
        """The map of all steps, output to source in (row, col, 1); boxes move by its inverse.

        None where the geometry of a step is not known: `Map`, and a class of your own without `matrix`.

        Example:
            >>> Chain().matrix((), (4, 4, 1)).tolist()
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        self._check_params(params)
        if any(step._pixel_map is None for step in self.transforms):
            return None
        shapes = [image_shape]
        last = _last(self.transforms, lambda step: step.moves_pixels)
        for step, drawn in zip(self.transforms[: max(last, 0)], params, strict=False):
            shapes.append(_shape_after(step, drawn, shapes[-1]))
        return self._compose(params, shapes)

    def of_leaf(self, leaf: str, dtype: DTypeLike) -> Chain:
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
        object.__setattr__(chain, "leaf", leaf)
        return chain

    def _check_fills(self, dtype: np.dtype) -> None:
        for group in groups_of(self.transforms):
            step, *_ = steps = self.transforms[group]
            if is_geometry(step):
                on = [other for other in steps if isinstance(other, Geometric) and not other.is_identity]
                dtype = dtype_and_fill(on, dtype)[0] if on else dtype
            elif type(step) is Cast:
                dtype = jnp.dtype(step.dtype)
            elif type(step).__module__.startswith(__package__) and not step.moves_pixels:
                dtype = result_dtype(dtype)
            else:
                return

    def without_randomness(self) -> Chain:
        steps = map(for_evaluation, self.transforms)
        return Chain(*(step for step in steps if step is not None))

    def _run(
        self,
        image: ArrayLike,
        *,
        key: jax.Array | None = None,
        params: Sequence[Params] | None = None,
        stored: StoredImage | None = None,
    ) -> tuple[list[Params], list[tuple[int, ...]], jax.Array]:
        """Applies the steps with `params`, or with what they draw from `key`.

        Returns the params and the image shape that each step was given, and the image after the last.
        """
        check_not_forked()
        check_not_masked("image", image)
        current = transfers(jnp.asarray)(image)
        keys = [] if key is None else self._keys(key)
        used: list[Params] = []
        shapes: list[tuple[int, ...]] = []
        for group in groups_of(self.transforms):
            steps, shape = self.transforms[group], current.shape
            with self._named_in_errors(group, shape):
                own_keys = keys[group] if params is None else [None] * len(steps)
                drawn, through = _drawn(steps, own_keys, shape, None if params is None else params[group])
            with self._named_in_errors(group, shape, current.dtype):
                current = self._apply_group(group, drawn, current, drawn_here=params is None, stored=stored)
            stored = None  # the image is another one now
            used += drawn
            shapes += through[: len(steps)]
        return used, shapes, current

    def _apply_group(
        self,
        group: slice,
        params: Sequence[Any],
        image: jax.Array,
        *,
        drawn_here: bool,
        stored: StoredImage | None,
    ) -> jax.Array:
        steps, later = self.transforms[group], self.transforms[group.stop :]
        if is_geometry(steps[0]):
            geometry = [(step, drawn) for step, drawn in zip(steps, params, strict=True) if is_geometry(step)]
            warped = partial(apply_geometry, geometry, image, drawn=drawn_here, stored=stored)
            return kept_apart(later, warped, image)
        if is_linear(steps[0]) and any(map(mixes_channels, steps)):
            return apply_colors(list(zip(steps, params, strict=True)), image)
        return checked_apply(steps[0], params[0], image)

    def _compose(self, params: Sequence[Params], shapes: Sequence[tuple[int, ...]]) -> Float[Array, "3 3"] | None:
        """The maps of the steps, as far as `shapes` goes, as one; None where one is not known."""
        matrices = []
        for place, (step, drawn, shape) in enumerate(zip(self.transforms, params, shapes, strict=False)):
            pixel_map = step._pixel_map
            with self._named_in_errors(slice(place, place + 1), shape):
                matrix = None if pixel_map is None else pixel_map(drawn, shape)
                if matrix is None:
                    return None
                matrices.append(check_matrix(f"what {type(user_object(step)).__qualname__}.matrix returns", matrix))
        return compose(*matrices)

    def _check_params(self, params: Sequence[Params]) -> None:
        if len(params) != len(self.transforms):
            raise ValueError(f"params has {len(params)} entries; expected {len(self.transforms)}, one for each step.")

    @contextmanager
    def _named_in_errors(self, group: slice, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Iterator[None]:
        """Adds to an error which steps raised it, and what they were given."""
        try:
            yield
        except Exception as error:
            names = ", ".join(type(user_object(step)).__qualname__ for step in self.transforms[group])
            places = (
                f"step {group.start}" if group.stop == group.start + 1 else f"steps {group.start} to {group.stop - 1}"
            )
            given = f"shape {tuple(shape)}" if dtype is None else f"{np.dtype(dtype).name}{list(shape)}"
            whose = "a Chain" if self.leaf is None else f"the transforms of {self.leaf}"
            error.add_note(f"Raised by {places} of {whose}, counted from 0: {names}, given an image of {given}.")
            raise

    @transfers
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


def _drawn(
    steps: Sequence[Transform],
    keys: Sequence[jax.Array | None],
    image_shape: tuple[int, ...],
    given: Sequence[Params] | None = None,
) -> tuple[list[Params], list[tuple[int, ...]]]:
    """What the steps of a group draw, or the `given` params, and the image shapes before each step and after the last.

    Of a step that is no geometry the shape after it is not known here, and that before it stands in its place.
    """
    geometry = [step for step in steps if is_geometry(step)]
    shapes = shapes_through(geometry, image_shape) if geometry else [image_shape] * (len(steps) + 1)
    if given is not None:
        return list(given), shapes
    return [_draw(*each) for each in zip(steps, keys, shapes[:-1], strict=True)], shapes


def _is_plain_chain(step: object) -> TypeGuard[Chain]:
    """Whether a chain is no more than its steps; a subclass may do something else with them."""
    return isinstance(step, Chain) and type(step).sample is Chain.sample and type(step).apply is Chain.apply


def _draw(step: Transform, key: jax.Array | None, image_shape: tuple[int, ...]) -> Params:
    """With the key that `_keys` gave, which is None for a step that draws nothing."""
    if key is None:
        return tuple(_draw(inner, None, image_shape) for inner in step.transforms) if isinstance(step, Chain) else ()
    return checked_sample(step, key, image_shape)


def _last(steps: Sequence[Transform], is_meant: Callable[[Transform], bool]) -> int:
    """The index of the last step of a kind, or -1."""
    return max((place for place, step in enumerate(steps) if is_meant(step)), default=-1)


def _shape_after(step: Transform, params: Params, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    if step.keeps_shape:
        return image_shape
    if is_geometry(step):
        return shapes_through([step], image_shape)[-1]
    image = jax.ShapeDtypeStruct(image_shape, np.float32)
    return tuple(jax.eval_shape(partial(array_of_apply, step), params, image).shape)
