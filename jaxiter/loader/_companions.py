"""Leaves that share geometry: those that follow another one, and those that would share only a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import KeyPath

from .._host_rows import dtype_of
from .._ragged import Ragged
from .._transfers import on_host
from ..augment import Chain, Transform
from ..augment.internal import Companion, Geometric
from ._companion_warnings import warn_of_companion
from ._data import Source, leaf_name, name_of

Paths = Sequence[tuple[KeyPath, Source]]
_READS = ("order", "fill_mode", "cval", "antialias", "draws")  # fields that move no pixel


def bound_companion(
    place: int,
    companion: Companion,
    paths: Paths,
    transforms: Sequence[Transform | None],
    own: Sequence[Chain | None],
) -> Companion:
    """The transform of the leaf at `place`, with the leaf that it names, and checked against it.

    Raises:
        ValueError: If there is no such leaf, this one cannot follow it, or where its pixels go is not known.
    """
    target = _target_of(place, companion, paths)
    name, (_, leaf), (_, images) = leaf_name(paths[place][0]), paths[place], paths[target]
    if isinstance(transforms[target], Companion):
        raise ValueError(
            f"{name} follows {leaf_name(paths[target][0])}, which follows another leaf itself; name that one in both."
        )
    followed = own[target]
    rank = 5 if followed is not None and followed.has_frames else 4
    if len(images.shape) != rank:
        raise ValueError(
            f"{name} follows {leaf_name(paths[target][0])}, of shape {images.shape}; expected images, of rank {rank}."
        )
    size = images.extent.most if isinstance(images, Ragged) else images.shape[rank - 3 : -1]
    size = (2, 2) if size[0] is None else size  # of files, which are not known before they are read
    shape = (*size, images.shape[-1])
    if followed is not None:
        followed.steps.check_moves_known(shape)
    bound = companion.of_leaf(name, target, has_frames=rank == 5)
    bound.check_fits(leaf.shape[1:], dtype_of(leaf), images.shape[1:])
    if followed is not None:
        steps = followed.steps
        parts = [part for part, _ in steps.parts]
        is_known = all(part.is_of_this_library for part in parts)
        bound.check_follows(parts, steps.movers(shape) if is_known else None, dtype_of(leaf))
    warn_of_companion(name, bound, leaf, leaf_name(paths[target][0]), images)
    if isinstance(leaf, Ragged) and isinstance(images, Ragged):
        check_same_sizes(name, leaf, leaf_name(paths[target][0]), images)
    return bound


def check_same_sizes(
    name: str, masks: Ragged, images_name: str, images: Ragged, rows: np.ndarray | None = None
) -> None:
    """Raises for a mask of another size than its picture.

    Args:
        rows: Those of the data, where only some were read.
    """
    shapes = masks.shapes, images.shapes
    if masks is images or any(isinstance(part, jax.core.Tracer) for part in shapes) or len(masks) != len(images):
        return
    own, others = (np.asarray(on_host(part)) for part in shapes)
    wrong = np.flatnonzero((own != others).any(axis=1))
    if len(wrong):
        place = wrong[0]
        row = place if rows is None else rows[place]
        (height, width), (rows_of_image, cols_of_image) = own[place], others[place]
        raise ValueError(
            f"{name} is {height} by {width} in row {row}, and {images_name}, which it follows, {rows_of_image} by "
            f"{cols_of_image}; expected masks of the size of their pictures."
        )


def _target_of(place: int, companion: Companion, paths: Paths) -> int:
    """The leaf that is named: beside the one that follows, or else at the top of the data."""
    here = paths[place][0]
    others = [(target, path) for target, (path, _) in enumerate(paths) if path and target != place]
    found = [(target, path) for above in (here[:-1], ()) for target, path in others if path[:-1] == above]
    for target, path in found:
        if name_of(path[-1]) == companion.of:
            return target
    names = ", ".join(dict.fromkeys(repr(name_of(path[-1])) for _, path in found))
    expected = f"expected one of {names}" if names else "expected a leaf to follow, and there is none"
    if here and name_of(here[-1]) == companion.of:
        raise ValueError(
            f"{leaf_name(here)} has {type(companion).__qualname__}({companion.of!r}), which names this leaf itself; "
            f"{expected}: the images that it moves with."
        )
    raise ValueError(
        f"{leaf_name(here)} has {type(companion).__qualname__}({companion.of!r}), and no leaf beside it, or at the top "
        f"of the data, has this name; {expected}."
    )


class _Draw(NamedTuple):
    step: Transform
    tag: int
    choices: tuple[object, ...]  # around it: what each draws by, and which of its steps this is

    def moves_as(self, other: _Draw) -> bool:
        """Whether both draw from the same ranges."""
        return type(self.step) is type(other.step) and _geometry(self.step) == _geometry(other.step)

    def is_drawn_as(self, other: _Draw) -> bool:
        return (self.tag, self.choices) == (other.tag, other.choices)


def check_shares_all(chains: Sequence[tuple[str, Chain | None]]) -> None:
    """Raises for leaves that have equal random steps which draw apart, since others of the kind stand before them.

    An image and its mask would be turned by different angles. Or by the same, and one of them only sometimes.
    """
    named = [(name, list(_draws_of(chain.transforms, Counter()))) for name, chain in chains if chain is not None]
    for number, (name, draws) in enumerate(named):
        for other_name, others in named[number + 1 :]:
            for draw in draws:
                alike = [other for other in others if draw.moves_as(other)]
                if alike and not any(map(draw.is_drawn_as, alike)):
                    kind = type(draw.step).__qualname__
                    raise ValueError(
                        f"{name} and {other_name} have an equal {kind}, and each would draw numbers of its own, as "
                        "other steps of the kind stand before one of them, or a choice around one of them. For a mask "
                        "of the image write Mask(...) in the place of its transform. Where they are to draw apart, "
                        f'name the draws: {kind}(..., draws="a name").'
                    )


def _draws_of(
    steps: Sequence[Transform], occurrences: Counter[str], choices: tuple[object, ...] = ()
) -> Iterator[_Draw]:
    """The random geometric steps that draw by their place in the chain, those within others too."""
    for step in steps:
        tag = step.draws_tag(occurrences[step.kind])
        occurrences[step.kind] += 1
        if isinstance(step, Geometric) and step.is_random and step.draws is None:
            yield _Draw(step, tag, choices)
        for number, inner in enumerate(step.held):
            one = (tag, number, _comparable(getattr(step, "p", None)))
            yield from _draws_of([inner], occurrences, choices if step.holds_in_turn else (*choices, one))


def _geometry(step: Transform) -> tuple[object, ...]:
    """The fields that decide where pixels go; arrays by their values, if they are known."""
    fields = {name: value for name, value in vars(step).items() if name not in (*_READS, "_kept_structure")}
    leaves, structure = jax.tree.flatten(fields)
    return (structure, *(_comparable(leaf) for leaf in leaves))


def _comparable(leaf: object) -> object:
    if isinstance(leaf, jax.core.Tracer):
        return id(leaf)
    return leaf.tolist() if hasattr(leaf, "tolist") else leaf
