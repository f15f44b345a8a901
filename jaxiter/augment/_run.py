"""Steps one after the other: their draws, the groups that run as one, and the map of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_forked, check_not_masked
from .._keys import Key, as_key, fold_in
from .._transfers import transfers
from ._duck_typed import user_object
from ._frozen_draws import array_of_apply, checked_sample
from ._geometric import Geometric, geometry_of, shapes_through
from ._groups import Group, apply_group, groups_of, is_geometry
from ._matrix import check_matrix, compose
from ._transform import Params, Transform, declared_shape
from ._warp import RaggedImage, is_static

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float

    from ._warp import StoredImage

Shape = tuple[int, ...]


class Part(NamedTuple):
    """A part of a step; `owner` is the number of the step."""

    transform: Transform
    owner: int


class Mover(NamedTuple):
    """The steps of one group that change the places of pixels, and (height, width) of the image before and after."""

    steps: Sequence[Geometric]  # empty where another step than a geometric one does
    before: tuple[int, int]
    after: tuple[int, int]


class Moves(NamedTuple):
    """Where the pixels of an image go, one group of steps after the other."""

    matrices: Sequence[Float[Array, "3 3"]]  # output to source
    movers: Sequence[Mover]


class Ran(NamedTuple):
    """What became of an image, and why."""

    params: tuple[Params, ...]  # of each step
    of_parts: list[Params]
    shapes: list[Shape]  # of the image before each part
    image: jax.Array


class Steps:
    """Steps to be run.

    Args:
        leaf: Of a loader's data, which errors name.
    """

    def __init__(self, steps: Sequence[Transform], leaf: str | None = None):
        self.steps, self.leaf = tuple(steps), leaf
        self.parts = [Part(part, owner) for owner, step in enumerate(self.steps) for part in step.parts]
        self.groups = list(groups_of([part.transform for part in self.parts]))

    @transfers
    def run(
        self,
        image: ArrayLike | RaggedImage,
        *,
        key: Key | None = None,
        params: Sequence[Params] = (),
        stored: StoredImage | None = None,
        on_bytes: bool = False,
    ) -> Ran:
        """With `params`, or with what the steps draw from `key`.

        Args:
            on_bytes: Steps before these made the image of bytes.
            stored: Where `image` was copied from, if it is an image as it is stored.
        """
        check_not_forked()
        check_not_masked("image", image)
        current: Any = image if isinstance(image, RaggedImage) else jnp.asarray(image)
        drawn = _Drawn(self, key, params)
        shapes: list[Shape] = []
        on_bytes = on_bytes or current.dtype == np.uint8
        for group in self.groups:
            given, through = drawn.of_group(group, current.shape)
            with self.named_in_errors(group, current.shape, current.dtype):
                found = _found(self._transforms(group), given, current.shape)
                current = self._apply(group, found, current, on_bytes, drawn_here=key is not None, stored=stored)
                self._check_declared(group, through[0], current.shape)
            on_bytes = current.dtype == np.uint8 or (on_bytes and self._keeps_scale(group))
            stored = None  # the image is another one now
            shapes += through
        return Ran(drawn.of_steps(current.shape), drawn.of_parts, shapes, current)

    def prepare(self, key: Key, shape: Shape) -> list[Any]:
        """All of `run` that needs no pixels: the geometry of each resampling, the params of other parts."""
        drawn, prepared = _Drawn(self, key, ()), []
        for group in self.groups:
            given, _ = drawn.of_group(group, shape)
            with self.named_in_errors(group, shape):
                prepared.append(_found(self._transforms(group), given, shape))
            shape = self.shape_after(group, given, shape)
        return prepared

    def apply_prepared(
        self, prepared: Sequence[Any], image: jax.Array | RaggedImage, stored: StoredImage | None = None
    ) -> jax.Array:
        """The rest of `run`."""
        current: Any = image
        on_bytes = current.dtype == np.uint8
        for group, found in zip(self.groups, prepared, strict=True):
            before = current.shape
            with self.named_in_errors(group, before, current.dtype):
                current = self._apply(group, found, current, on_bytes, drawn_here=True, stored=stored)
                self._check_declared(group, before, current.shape)
            on_bytes = current.dtype == np.uint8 or (on_bytes and self._keeps_scale(group))
            stored = None
        return current

    def sample(self, key: Key, shape: Shape) -> tuple[Params, ...]:
        """What each step draws."""
        drawn = _Drawn(self, key, ())
        last = max((owner for owner, step in enumerate(self.steps) if step.is_random), default=-1)
        needed = [place for place, part in enumerate(self.parts) if part.owner <= last]
        for place in needed:
            group = slice(place, place + 1)
            given, _ = drawn.of_group(group, shape)
            if place != needed[-1]:
                shape = self.shape_after(group, given, shape)
        return drawn.of_steps(shape)

    def moves(self, key: Key, shape: Shape) -> Moves:
        """Those of an image of this shape.

        Raises:
            ValueError: If the geometry of a step is not known.
        """
        drawn, matrices, movers = _Drawn(self, key, ()), [], []
        for group in self.groups:
            given, _ = drawn.of_group(group, shape)
            after, steps = self.shape_after(group, given, shape), self._transforms(group)
            movers += self._movers_of(group, shape, after)
            if is_geometry(steps[0]):
                found = _found(steps, given, shape)
                matrices += [] if found is None else [found.matrix]
            elif steps[0].moves_pixels:
                matrices.append(self._known_matrix(steps[0], given[0], shape))
            elif after[:2] != shape[:2]:
                raise ValueError(
                    f"{steps[0].name_in_errors} says moves_pixels = False and makes {after} of an image of "
                    f"shape {shape}; expected the same height and width. Define matrix(params, image_shape) instead."
                )
            shape = after
        return Moves(matrices, movers)

    def movers(self, shape: Shape) -> list[Mover]:
        """Those of `moves`, where all steps are this library's own and what they do to shapes follows from them."""
        movers = []
        for group in self.groups:
            steps = self._transforms(group)
            geometric = [step for step in steps if is_geometry(step)]
            after = shapes_through(geometric, shape)[-1] if geometric else shape
            movers += self._movers_of(group, shape, after)
            shape = after
        return movers

    def _movers_of(self, group: slice, before: Shape, after: Shape) -> list[Mover]:
        steps = self._transforms(group)
        geometric = [step for step in steps if is_geometry(step)]
        moves = any(not step.is_identity for step in geometric) if geometric else steps[0].moves_pixels
        return [Mover(geometric, (before[0], before[1]), (after[0], after[1]))] if moves else []

    def check_moves_known(self, shape: Shape) -> None:
        """Raises for a step whose geometry is not known, of an image of this shape, whatever is drawn."""
        for part, _ in self.parts:
            if part._pixel_map is None:
                raise _unknown_geometry(part)
        if not all(part.is_of_this_library for part, _ in self.parts):  # a method `matrix` may return None
            jax.eval_shape(lambda: self.moves(jax.random.key(0, impl="threefry2x32"), shape).matrices)

    def _known_matrix(self, part: Transform, params: Params, shape: Shape) -> Float[Array, "3 3"]:
        pixel_map, name = part._pixel_map, part.name_in_errors
        matrix = None if pixel_map is None else pixel_map(params, shape)
        if matrix is None:
            raise _unknown_geometry(part)
        return check_matrix(f"what {name}.matrix returns", matrix)

    def matrix(self, params: Sequence[Params], shape: Shape) -> Float[Array, "3 3"] | None:
        """The map of all steps, output to source; None where that of one is not known."""
        if any(part.transform._pixel_map is None for part in self.parts):
            return None
        drawn, shapes = _Drawn(self, None, params), [shape]
        moving = [place for place, part in enumerate(self.parts) if part.transform.moves_pixels]
        for place in range(max(moving, default=0)):
            given, _ = drawn.of_group(slice(place, place + 1), shapes[-1])
            shapes.append(self.shape_after(slice(place, place + 1), given, shapes[-1]))
        drawn.of_steps(shape)
        return self.composed(drawn.of_parts, shapes)

    def composed(self, of_parts: Sequence[Params], shapes: Sequence[Shape]) -> Float[Array, "3 3"] | None:
        """The maps of the parts, as far as `shapes` goes, as one; None where one is not known."""
        matrices = []
        for place, ((part, _), drawn, shape) in enumerate(zip(self.parts, of_parts, shapes, strict=False)):
            pixel_map = part._pixel_map
            with self.named_in_errors(slice(place, place + 1), shape):
                matrix = None if pixel_map is None else pixel_map(drawn, shape)
                if matrix is None:
                    return None
                matrices.append(check_matrix(f"what {part.name_in_errors}.matrix returns", matrix))
        return compose(*matrices)

    def shape_after(self, group: slice, given: Sequence[Params], shape: Shape) -> Shape:
        for place, params in zip(range(group.start, group.stop), given, strict=True):
            with self.named_in_errors(slice(place, place + 1), shape):
                shape = _shape_after(self.parts[place].transform, params, shape)
        return shape

    def _transforms(self, group: slice) -> list[Transform]:
        return [part.transform for part in self.parts[group]]

    def _keeps_scale(self, group: slice) -> bool:
        return all(part.keeps_scale for part in self._transforms(group))

    def _apply(
        self,
        group: slice,
        found: Any,
        image: jax.Array,
        on_bytes: bool,
        *,
        drawn_here: bool,
        stored: StoredImage | None,
    ) -> jax.Array:
        first = self.parts[group.start]
        if getattr(first.transform, "takes_bytes", False) and not on_bytes:
            raise TypeError(
                f"{first.transform.name_in_errors} got an image of {image.dtype}; expected uint8, or floats "
                "that the steps before it made of uint8, all but Rescale and Normalize, which belong behind it. Put "
                'Cast("uint8") before it, of other floats from 0 to 255, or Rescale(255) and that, of those up to 1.'
            )
        before, later = self.parts[: group.start], [part.transform for part in self.parts[group.stop :]]
        whole = Group(self._transforms(group), later, is_first=not before, on_bytes=bool(on_bytes))
        return apply_group(whole, found, image, drawn_here=drawn_here, stored=stored)

    def _check_declared(self, group: slice, before: Shape, after: Shape) -> None:
        """Raises where a step of a user's returned another shape than it says, which others rely on."""
        part = self.parts[group.start].transform
        declared, said = declared_shape(user_object(part), before), "out_shape"
        if part.keeps_shape and not part.is_of_this_library:
            declared, said = before, "keeps_shape"
        if declared is not None and declared != after:
            raise ValueError(
                f"{part.name_in_errors} says by {said} that it makes {declared} of an image of shape {before}, and "
                f"apply returned {after}; expected the same. Correct {said}, or leave it out."
            )

    @contextmanager
    def named_in_errors(self, group: slice, shape: Shape, dtype: DTypeLike | None = None) -> Iterator[None]:
        """Adds to an error which steps raised it, and what they were given."""
        try:
            yield
        except Exception as error:
            owners = sorted({part.owner for part in self.parts[group]})
            names = ", ".join(self.steps[owner].name_in_errors for owner in owners)
            places = f"step {owners[0]}" if len(owners) == 1 else f"steps {owners[0]} to {owners[-1]}"
            sides = [side if is_static((side,)) else UnknownSide() for side in shape]
            given = f"shape {tuple(sides)}" if dtype is None else f"{np.dtype(dtype).name}{sides}"
            whose = "a Chain" if self.leaf is None else f"the transforms of {self.leaf}"
            error.add_note(f"Raised by {places} of {whose}, counted from 0: {names}, given an image of {given}.")
            raise


def _unknown_geometry(part: Transform) -> ValueError:
    return ValueError(
        f"the geometry of {part.name_in_errors} is not known, and nothing can move with the image; "
        "expected a step with matrix(params, image_shape), its map from output to source in (row, col, 1), or with "
        "moves_pixels = False where every pixel stays in its place."
    )


class UnknownSide:
    """Takes the place of a side that differs from picture to picture."""

    def __repr__(self) -> str:
        return "?"


class _Drawn:
    """The params of the steps, each drawn when its first part is come to: by then the shape of its image is known."""

    def __init__(self, steps: Steps, key: Key | None, params: Sequence[Params]):
        self._whole = steps
        self._keys = iter(()) if key is None else iter(_keys(steps.steps, as_key(key)))
        self._params = list(params)
        self.of_parts: list[Params] = []
        for step, given in zip(steps.steps, params, strict=False):
            self.of_parts += step.params_of_parts(given)

    def of_group(self, group: slice, shape: Shape) -> tuple[list[Params], list[Shape]]:
        """Of each part of a group its params, and the shape of the image before it.

        Of a part that is no geometry the shape after it is not known here, and that before it stands in its place.
        """
        parts = self._whole.parts[group]
        geometry = [part.transform for part in parts if is_geometry(part.transform)]
        through = shapes_through(geometry, shape) if geometry else [shape] * len(parts)
        for place, part in enumerate(parts):
            with self._whole.named_in_errors(slice(group.start + place, group.start + place + 1), through[place]):
                self._draw_up_to(part.owner, through[place])
        return self.of_parts[group], through[: len(parts)]

    def of_steps(self, shape: Shape) -> tuple[Params, ...]:
        """Those of all steps, the last ones without parts too."""
        self._draw_up_to(len(self._whole.steps) - 1, shape)
        return tuple(self._params)

    def _draw_up_to(self, owner: int, shape: Shape) -> None:
        while len(self._params) <= owner:
            step = self._whole.steps[len(self._params)]
            params = _draw(step, self._keys, shape)
            self._params.append(params)
            self.of_parts += step.params_of_parts(params)


def _found(group: Sequence[Transform], params: Sequence[Params], shape: Shape) -> Any:
    """All that a group needs beside the image."""
    geometry = [(step, drawn) for step, drawn in zip(group, params, strict=True) if is_geometry(step)]
    return geometry_of(geometry, shape) if geometry else list(params)


def _draw(step: Transform, keys: Iterator[jax.Array | None], shape: Shape) -> Params:
    """With the next keys of `_keys`."""
    own_key = next(keys)
    if own_key is None:
        own: Params = ()
    else:
        own = step.sample_own(own_key, shape) if step.held else checked_sample(step, own_key, shape)
    if not step.held:
        return own
    return step.with_held(own, _draw_held(step, keys, shape))


def _draw_held(step: Transform, keys: Iterator[jax.Array | None], shape: Shape) -> tuple[Params, ...]:
    drawn = []
    for inner in step.held:
        drawn.append(_draw(inner, keys, shape))
        if step.holds_in_turn:
            shape = shape_after_step(inner, drawn[-1], shape)
    return tuple(drawn)


def shape_after_step(step: Transform, params: Params, shape: Shape) -> Shape:
    """The shape of the image after a step, which may have several parts."""
    for part, given in zip(step.parts, step.params_of_parts(params), strict=True):
        shape = _shape_after(part, given, shape)
    return shape


def _shape_after(part: Transform, params: Params, shape: Shape) -> Shape:
    if part.keeps_shape:
        return shape
    if is_geometry(part):
        return shapes_through([part], shape)[-1]
    declared = declared_shape(user_object(part), shape)
    if declared is not None:
        return declared
    traced = partial(jax.eval_shape, partial(array_of_apply, part), params)
    try:
        return tuple(traced(jax.ShapeDtypeStruct(shape, np.float32)).shape)
    except TypeError:  # of a step that holds one of bytes
        return tuple(traced(jax.ShapeDtypeStruct(shape, np.uint8)).shape)


@transfers
def _keys(steps: Sequence[Transform], key: jax.Array) -> list[jax.Array | None]:
    """In reading order a key for each step that draws itself, None for the others."""
    occurrences: Counter[str] = Counter()
    all_steps, tags = list(_in_reading_order(steps)), []
    for step in all_steps:
        if step.draws_itself:
            tags.append(step.draws_tag(occurrences[step.kind]))
        occurrences[step.kind] += 1
    # All at once: every fold_in by itself would be compiled by itself.
    keys = iter(jax.vmap(partial(fold_in, key))(np.array(tags, np.uint32)) if tags else ())
    return [next(keys) if step.draws_itself else None for step in all_steps]


def _in_reading_order(steps: Sequence[Transform]) -> Iterator[Transform]:
    for step in steps:
        yield step
        yield from _in_reading_order(step.held)
