"""Which transform acts on which leaf: `augment`, one transform or a tree prefix of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath, PyTreeDef

from .._describe import shown
from .._host_rows import dtype_of
from .._key_checks import named_keys
from .._ragged import is_ragged
from .._warn import warn
from ..augment import Chain, Frames, Transform, Views
from ..augment.internal import (
    Companion,
    TransformLike,
    as_transform,
    check_fixes_size,
    is_transform,
    is_transform_or_none,
    outermost,
)
from ._companions import bound_companion, check_shares_all
from ._data import PyTree, Source, leaf_name, leaves_with_path, structure_of
from ._examples import LeafSteps

Paths = Sequence[tuple[KeyPath, Source]]
IMAGE_RANK = 4
_AXES = {4: "(size, height, width, channels)", 5: "(size, frames, height, width, channels)"}


class AugmentForm(NamedTuple):
    """How `augment` was given; `Loader.augment` and `explain` return things in the same form."""

    is_bare: bool  # one transform for the one picture, not a tree
    is_single: tuple[bool, ...]  # for each leaf: a transform that is no Chain


def chains_of(data: PyTree, augment: PyTree) -> tuple[tuple[LeafSteps | None, ...], AugmentForm]:
    """For each leaf of the data its chain, what follows that of another leaf, or None."""
    paths = leaves_with_path(data)
    transforms = [
        None if transform is None else outermost(transform) for transform in _transform_of_each_leaf(data, augment)
    ]
    own = [
        None if isinstance(transform, Companion) else _own_steps(leaf_name(path), leaf, transform)
        for (path, leaf), transform in zip(paths, transforms, strict=True)
    ]
    chains = tuple(
        bound_companion(place, transform, paths, transforms, own) if isinstance(transform, Companion) else own[place]
        for place, transform in enumerate(transforms)
    )
    check_shares_all([(leaf_name(path), chain) for (path, _), chain in zip(paths, own, strict=True)])
    is_single = tuple(
        chain is not None and _is_single(_inner(transform), chain)
        for transform, chain in zip(transforms, own, strict=True)
    )
    return chains, AugmentForm(is_transform(augment), is_single)


def _own_steps(name: str, leaf: Source, transform: Transform | None) -> Chain | None:
    if transform is None:
        if is_ragged(leaf):
            check_fixes_size(Chain().steps, name)
        return None
    views, frames = _looks_of(transform)
    if frames and len(leaf.shape) < 2:
        raise ValueError(f"{name} has shape {leaf.shape} and Frames; expected (size, frames, ...).")
    inner = _inner(transform)
    chain = Chain() if inner is None else Chain(inner)
    if is_ragged(leaf):
        check_fixes_size(chain.steps, name)
    return chain.of_leaf(name, dtype_of(leaf), num_views=None if views is None else views.n, has_frames=frames)


def _looks_of(transform: TransformLike) -> tuple[Views | None, bool]:
    """Its `Views`, and whether it has `Frames`."""
    step = outermost(transform)
    views = step if isinstance(step, Views) else None
    return views, isinstance(outermost(step.transform) if isinstance(step, Views) else step, Frames)


def _inner(transform: TransformLike | None) -> TransformLike | None:
    """What acts on one image."""
    while isinstance(transform, (Views, Frames)):
        transform = outermost(transform.transform)
    return transform


def _is_single(transform: TransformLike | None, chain: Chain) -> bool:
    """Whether it is a step and no chain of steps."""
    return not isinstance(transform, Chain) or any(step is transform for step in chain.transforms)


def _as_given(steps: LeafSteps | None, is_single: bool) -> TransformLike | None:
    if not isinstance(steps, Chain):
        return None if steps is None else steps.as_given()
    transform: TransformLike = steps.transforms[0] if is_single else Chain(*steps.transforms)
    transform = Frames(transform) if steps.has_frames else transform
    return transform if steps.num_views is None else Views(transform, steps.num_views)


def augment_of(form: AugmentForm, structure: PyTreeDef, chains: Sequence[LeafSteps | None]) -> PyTree:
    """`augment` as it was given."""
    leaves = [_as_given(steps, is_single) for steps, is_single in zip(chains, form.is_single, strict=True)]
    return one_or_tree(form, structure, leaves)


def params_as_given(form: AugmentForm, structure: PyTreeDef, params: Sequence[Sequence[object] | None]) -> PyTree:
    """For each leaf the params of each step of its chain, in the form in which `augment` was given.

    Args:
        structure: Of the data.
        params: For each leaf those of its steps, or None where it has none.
    """
    leaves = [
        None if drawn is None else drawn[0] if is_single else tuple(drawn)
        for drawn, is_single in zip(params, form.is_single, strict=True)
    ]
    return one_or_tree(form, structure, leaves)


def one_or_tree(form: AugmentForm, structure: PyTreeDef, leaves: Sequence[object]) -> PyTree:
    """Something of each augmented leaf, else None: that of the one picture if `augment` was bare, else a tree."""
    if form.is_bare:
        return next((leaf for leaf in leaves if leaf is not None), None)
    return jax.tree.unflatten(structure, leaves)


def _transform_of_each_leaf(data: PyTree, augment: PyTree) -> list[TransformLike | None]:
    paths, structure = leaves_with_path(data), structure_of(data)
    if augment is None:
        return [None] * len(paths)
    if is_transform(augment):
        return _for_the_one_picture(augment, paths, structure)
    with named_keys("augment", augment):
        given = jax.tree.leaves_with_path(augment, is_leaf=is_transform_or_none)
    error = (
        f"augment does not fit the data, whose leaves are:\n{_listing(paths)}\nExpected a transform or None at each "
        f"leaf or subtree{_suggestion(', for example', paths, structure)}{_chain_remedy(augment)}"
    )
    for where, transform in given:
        if not is_transform_or_none(transform):
            remedy = " Wrap a function in Map(function)." if callable(transform) else ""
            raise TypeError(f"{error}; got {shown(transform)} at augment{jax.tree_util.keystr(where)}.{remedy}")
    try:
        whole = jax.tree.unflatten(structure, range(len(paths)))
        broadcast = jax.tree.broadcast(augment, whole, is_leaf=is_transform_or_none)
    except ValueError:
        found = jax.tree.map(
            lambda node: _Word("None" if node is None else "transform"), augment, is_leaf=is_transform_or_none
        )
        raise ValueError(f"{error}; got augment={found}.") from None
    as_any: Any = structure  # mypy does not know its methods
    transforms = as_any.flatten_up_to(broadcast)
    for (path, leaf), transform in zip(paths, transforms, strict=True):
        if transform is not None and not _takes_any_rank(transform):
            _check_holds_images(path, leaf, _rank_for(transform), error)
    return transforms


def _takes_any_rank(transform: TransformLike) -> bool:
    return isinstance(outermost(transform), Companion) or as_transform(transform).takes_any_rank


def _rank_for(transform: TransformLike) -> int:
    return IMAGE_RANK + _looks_of(transform)[1]


def _for_the_one_picture(augment: TransformLike, paths: Paths, structure: PyTreeDef) -> list[TransformLike | None]:
    """One transform by itself: for the leaf of rank 4, of which there must be one; with `Frames` of rank 5."""
    rank = _rank_for(augment)
    if len(paths) == 1 and _takes_any_rank(augment) and not isinstance(outermost(augment), Companion):
        return [augment]
    images = [path for path, leaf in paths if len(leaf.shape) == rank]
    if _are_single_pictures([leaf.shape for _, leaf in paths]):
        raise ValueError(
            f"data has {len(paths)} leaves of shape {paths[0][1].shape}, as if each were one picture; expected all "
            "of them in one array, (size, height, width, channels). Use np.stack(pictures)."
        )
    if len(images) != 1:
        found = "no leaf" if not images else f"{len(images)} leaves"
        clips = [leaf_name(path) for path, leaf in paths if len(leaf.shape) == IMAGE_RANK + 1]
        if not images and clips and rank == IMAGE_RANK:
            raise ValueError(
                f"augment is one transform of images and {clips[0]} has rank 5; expected rank 4, {_AXES[4]}. For clips "
                "or volumes, one draw for all frames of each, write Frames(transform)."
            )
        raise ValueError(
            f"augment is one transform and the data has {found} of rank {rank}, {_AXES[rank]}:"
            f"\n{_listing(paths)}\n{_which_leaf(augment, paths, structure)}"
        )
    for path, leaf in paths:
        if path == images[0] and not _takes_any_rank(augment):
            _check_holds_images(path, leaf, rank, "")
    return [augment if path == images[0] else None for path, _ in paths]


def _check_holds_images(path: KeyPath, leaf: Source, rank: int, error: str) -> None:
    """Raises where a leaf cannot hold images, with what else is wrong in `error`."""
    if len(leaf.shape) != rank:
        remedy = _grey_remedy([(path, leaf)])
        if len(leaf.shape) == IMAGE_RANK + 1 and rank == IMAGE_RANK:
            remedy = "; for clips or volumes, one draw for all frames of each, write Frames(transform)"
        raise ValueError(
            f"{leaf_name(path)} has shape {leaf.shape} and a transform for images; expected rank {rank}, "
            f"{_AXES[rank]}{remedy}.\n{error}."
        )
    if jnp.issubdtype(dtype_of(leaf), np.complexfloating):
        raise TypeError(
            f"{leaf_name(path)} has dtype {dtype_of(leaf)} and a transform for images; expected real numbers."
        )
    if not is_ragged(leaf):
        _warn_of_channels_first(leaf_name(path), leaf.shape[-IMAGE_RANK:])


def _warn_of_channels_first(name: str, shape: tuple[int, ...]) -> None:
    if shape[1] in (1, 3, 4) and min(shape[2:]) >= 16:
        warn(
            f"{name} has shape {shape}, which looks like (size, channels, height, width); a transform takes it as "
            "(size, height, width, channels). If the channels come first, give it x.transpose(0, 2, 3, 1).",
        )


def _chain_remedy(augment: PyTree) -> str:
    is_list = isinstance(augment, (list, tuple)) and all(map(is_transform, augment))
    return (
        " (a list is one transform for each leaf; for steps one after the other use Chain(*steps))" if is_list else ""
    )


def _listing(paths: Paths) -> str:
    return "\n".join(f"  {leaf_name(path)}: {dtype_of(leaf)}{list(leaf.shape)}" for path, leaf in paths)


def _are_single_pictures(shapes: list[tuple[int, ...]]) -> bool:
    first = shapes[0]
    return len(shapes) > 1 and len(set(shapes)) == 1 and len(first) == IMAGE_RANK - 1 and first[-1] in (1, 3, 4)


def _grey_remedy(paths: Paths) -> str:
    grey = [leaf_name(path) for path, leaf in paths if len(leaf.shape) == IMAGE_RANK - 1]
    return f"; if {grey[0]} holds grey pictures, give them a channel axis first: x[..., None]" if grey else ""


class _Word:
    def __init__(self, word: str):
        self.word = word

    def __repr__(self) -> str:
        return self.word


def _which_leaf(augment: TransformLike, paths: Paths, structure: PyTreeDef) -> str:
    """What to write instead of a bare transform."""
    if _rank_for(augment) > IMAGE_RANK and any(len(leaf.shape) == IMAGE_RANK for _, leaf in paths):
        return "For images, one picture for each example, write the transform without Frames."
    suggestion = _suggestion("as", paths, structure, takes_any=_takes_any_rank(augment))
    if not suggestion:
        return "None of them can hold images; expected real numbers of that rank, for example images of (n, 32, 32, 3)."
    return f"Say which leaf it is for, {suggestion}{_grey_remedy(paths)}."


def _suggestion(before: str, paths: Paths, structure: PyTreeDef, takes_any: bool = False) -> str:
    """A tree prefix to paste, `transform` at the first leaf that could be one of pictures; "" if none could."""

    def could_be_images(leaf: Source, rank: int) -> bool:
        return len(leaf.shape) == rank and not jnp.issubdtype(dtype_of(leaf), np.complexfloating)

    ranks = (IMAGE_RANK, IMAGE_RANK - 1)
    places = [place for rank in ranks for place, (_, leaf) in enumerate(paths) if could_be_images(leaf, rank)]
    if not places and not takes_any:
        return ""
    chosen = places[0] if places else 0
    words = [_Word("transform" if place == chosen else "None") for place in range(len(paths))]
    return f"{before} augment={jax.tree.unflatten(structure, words)!r}"
