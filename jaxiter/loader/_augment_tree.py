"""Which transform acts on which leaf: `augment`, one transform or a tree prefix of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath, PyTreeDef

from .._describe import shown
from .._host_rows import dtype_of
from .._key_checks import named_keys
from .._warn import warn
from ..augment import Chain
from ..augment.internal import TransformLike, is_transform, is_transform_or_none
from ._data import PyTree, Source, leaf_name

Paths = Sequence[tuple[KeyPath, Source]]
IMAGE_RANK = 4


class AugmentForm(NamedTuple):
    """How `augment` was given; `Loader.augment` and `explain` return things in the same form."""

    is_bare: bool  # one transform for the one picture, not a tree
    is_single: tuple[bool, ...]  # for each leaf: a transform that is no Chain


def chains_of(data: PyTree, augment: PyTree) -> tuple[tuple[Chain | None, ...], AugmentForm]:
    """One chain, or None, for each leaf of the data."""
    transforms = _transform_of_each_leaf(data, augment)
    chains = tuple(
        None if transform is None else Chain(transform).of_leaf(leaf_name(path), dtype_of(leaf))
        for (path, leaf), transform in zip(jax.tree.leaves_with_path(data), transforms, strict=True)
    )
    is_single = tuple(
        chain is not None and (not isinstance(transform, Chain) or any(step is transform for step in chain.transforms))
        for transform, chain in zip(transforms, chains, strict=True)
    )
    return chains, AugmentForm(is_transform(augment), is_single)


def as_given(
    form: AugmentForm,
    structure: PyTreeDef,
    steps: Sequence[Sequence[object] | None],
    join: Callable[..., object] = lambda *steps: steps,
) -> PyTree:
    """For each leaf one entry for each step of its chain, in the form in which `augment` was given.

    Args:
        structure: Of the data.
        steps: For each leaf its entries, or None where it has no chain.
        join: Makes one of the entries of a Chain.
    """
    leaves = [
        None if entries is None else entries[0] if is_single else join(*entries)
        for entries, is_single in zip(steps, form.is_single, strict=True)
    ]
    return one_or_tree(form, structure, leaves)


def one_or_tree(form: AugmentForm, structure: PyTreeDef, leaves: Sequence[object]) -> PyTree:
    """Something of each augmented leaf, else None: that of the one picture if `augment` was bare, else a tree."""
    if form.is_bare:
        return next((leaf for leaf in leaves if leaf is not None), None)
    return jax.tree.unflatten(structure, leaves)


def _transform_of_each_leaf(data: PyTree, augment: PyTree) -> list[TransformLike | None]:
    paths, structure = jax.tree.flatten_with_path(data)
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
        broadcast = jax.tree.broadcast(augment, data, is_leaf=is_transform_or_none)
    except ValueError:
        found = jax.tree.map(
            lambda node: _Word("None" if node is None else "transform"), augment, is_leaf=is_transform_or_none
        )
        raise ValueError(f"{error}; got augment={found}.") from None
    as_any: Any = structure  # mypy does not know its methods
    transforms = as_any.flatten_up_to(broadcast)
    for (path, leaf), transform in zip(paths, transforms, strict=True):
        if transform is not None and Chain(transform).needs_image:
            _check_holds_images(path, leaf, error)
    return transforms


def _for_the_one_picture(augment: TransformLike, paths: Paths, structure: PyTreeDef) -> list[TransformLike | None]:
    """One transform by itself: for the leaf of rank 4, of which there must be one."""
    images = [path for path, leaf in paths if len(leaf.shape) == IMAGE_RANK]
    if _are_single_pictures([leaf.shape for _, leaf in paths]):
        raise ValueError(
            f"data has {len(paths)} leaves of shape {paths[0][1].shape}, as if each were one picture; expected all "
            "of them in one array, (size, height, width, channels). Use np.stack(pictures)."
        )
    if len(images) != 1:
        found = "no leaf" if not images else f"{len(images)} leaves"
        raise ValueError(
            f"augment is one transform and the data has {found} of rank 4, (size, height, width, channels):"
            f"\n{_listing(paths)}\n{_which_leaf(augment, paths, structure)}"
        )
    for path, leaf in paths:
        if path == images[0] and Chain(augment).needs_image:
            _check_holds_images(path, leaf, "")
    return [augment if path == images[0] else None for path, _ in paths]


def _check_holds_images(path: KeyPath, leaf: Source, error: str) -> None:
    """Raises where a leaf cannot hold images, with what else is wrong in `error`."""
    if len(leaf.shape) != IMAGE_RANK:
        raise ValueError(
            f"{leaf_name(path)} has shape {leaf.shape} and a transform for images; expected rank 4, "
            f"(size, height, width, channels){_grey_remedy([(path, leaf)])}.\n{error}."
        )
    if jnp.issubdtype(dtype_of(leaf), np.complexfloating):
        raise TypeError(
            f"{leaf_name(path)} has dtype {dtype_of(leaf)} and a transform for images; expected real numbers."
        )
    _warn_of_channels_first(leaf_name(path), leaf.shape)


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
    suggestion = _suggestion("as", paths, structure, takes_any=not Chain(augment).needs_image)
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
