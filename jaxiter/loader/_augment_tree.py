"""Which transform acts on which leaf: `augment`, one transform or a tree prefix of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._host_rows import dtype_of
from .._warn import warn
from ..augment import Chain
from ..augment.internal import is_transform, is_transform_or_none
from ._data import leaf_name

if TYPE_CHECKING:
    from ._loader import Loader

IMAGE_RANK = 4


class Form(NamedTuple):
    """How `augment` was given; what is told about it has the same form."""

    bare: bool  # one transform for the one picture, not a tree
    single: tuple[bool, ...]  # for each leaf: a transform that is no Chain


def place(data: Any, augment: Any) -> tuple[tuple[Chain | None, ...], Form]:
    """One chain, or None, for each leaf of the data."""
    given = _transform_of_each_leaf(data, augment)
    chains = tuple(None if transform is None else Chain(transform) for transform in given)
    single = tuple(transform is not None and not isinstance(transform, Chain) for transform in given)
    return chains, Form(is_transform(augment), single)


def as_given(loader: Loader, steps: Sequence[Any], pack: Any = lambda *steps: steps) -> Any:
    """For each leaf a tuple with one entry for each step of its chain, in the form in which `augment` was given."""
    leaves = [
        None if entries is None else entries[0] if single else pack(*entries)
        for entries, single in zip(steps, loader._form.single, strict=True)
    ]
    return one_or_tree(loader, leaves)


def one_or_tree(loader: Loader, leaves: Sequence[Any]) -> Any:
    """Something of each augmented leaf: of the one picture if `augment` was one transform, else as the data."""
    if loader._form.bare:
        return next(leaf for leaf, chain in zip(leaves, loader._chains, strict=True) if chain is not None)
    return jax.tree.unflatten(jax.tree.structure(loader.data), leaves)


def _transform_of_each_leaf(data: Any, augment: Any) -> list[Any]:
    paths, structure = jax.tree.flatten_with_path(data)
    if augment is None:
        return [None] * len(paths)
    if is_transform(augment):
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
                f"\n{_listing(paths)}\nSay which leaf it is for, as augment={_suggestion(paths, structure)}"
                f"{_grey_remedy(paths)}."
            )
        augment = jax.tree.unflatten(structure, [augment if path == images[0] else None for path, _ in paths])
    return _spread(augment, paths, structure)


def _spread(augment: Any, paths: Any, structure: Any) -> list[Any]:
    data = jax.tree.unflatten(structure, [leaf for _, leaf in paths])
    misfit = (
        f"augment does not fit the data, whose leaves are:\n{_listing(paths)}\nExpected a transform or None at each "
        f"place, for example augment={_suggestion(paths, structure)}{_chain_remedy(augment)}"
    )
    given = jax.tree.leaves_with_path(augment, is_leaf=is_transform_or_none)
    for where, transform in given:
        if not is_transform_or_none(transform):
            wrapped = " Wrap a function in Map(function)." if callable(transform) else ""
            raise TypeError(f"{misfit}; got {transform!r} at augment{jax.tree_util.keystr(where)}.{wrapped}")
    # None in the data holds no leaf and is a place all the same.
    places = [path for path, _ in jax.tree.leaves_with_path(data, is_leaf=lambda node: node is None)]
    unused = [where for where, _ in given if not any(_leads_to(where, path) for path in places)]
    if unused:
        raise ValueError(f"{misfit}; got augment{jax.tree_util.keystr(unused[0])}, where the data has nothing.")
    return [_transform_for(path, leaf, given, misfit) for path, leaf in paths]


def _leads_to(prefix: Any, path: Any) -> bool:
    return prefix == path[: len(prefix)]


def _transform_for(path: Any, leaf: Any, given: Any, misfit: str) -> Any:
    """The transform of one leaf, checked against it."""
    transforms = [transform for where, transform in given if _leads_to(where, path)]
    if not transforms:
        raise ValueError(f"{misfit}; got nothing for {leaf_name(path)}.")
    (transform,) = transforms
    if transform is not None and Chain(transform).needs_image:
        if len(leaf.shape) != IMAGE_RANK:
            raise ValueError(
                f"{leaf_name(path)} has shape {leaf.shape} and a transform for images; expected rank 4, "
                f"(size, height, width, channels){_grey_remedy([(path, leaf)])}.\n{misfit}."
            )
        if jnp.issubdtype(dtype_of(leaf), np.complexfloating):
            raise TypeError(
                f"{leaf_name(path)} has dtype {dtype_of(leaf)} and a transform for images; expected real numbers."
            )
        _warn_of_channels_first(leaf_name(path), leaf.shape)
    return transform


def _warn_of_channels_first(name: str, shape: Any) -> None:
    if shape[1] in (1, 3, 4) and min(shape[2:]) >= 16:
        warn(
            f"{name} has shape {shape}, which looks like (size, channels, height, width); a transform takes it as "
            "(size, height, width, channels). If the channels come first, give it x.transpose(0, 2, 3, 1).",
        )


def _chain_remedy(augment: Any) -> str:
    is_list = isinstance(augment, (list, tuple)) and all(map(is_transform, augment))
    return (
        " (a list is one transform for each leaf; for steps one after the other use Chain(*steps))" if is_list else ""
    )


def _listing(paths: Any) -> str:
    return "\n".join(f"  {leaf_name(path)}: {dtype_of(leaf)}{list(leaf.shape)}" for path, leaf in paths)


def _are_single_pictures(shapes: list[tuple[int, ...]]) -> bool:
    first = shapes[0]
    return len(shapes) > 1 and len(set(shapes)) == 1 and len(first) == IMAGE_RANK - 1 and first[-1] in (1, 3, 4)


def _grey_remedy(paths: Any) -> str:
    grey = [leaf_name(path) for path, leaf in paths if len(leaf.shape) == IMAGE_RANK - 1]
    return f"; if {grey[0]} holds grey pictures, give them a channel axis first: x[..., None]" if grey else ""


class _Word:
    def __init__(self, word: str):
        self.word = word

    def __repr__(self) -> str:
        return self.word


def _suggestion(paths: Any, structure: Any) -> str:
    """A tree prefix to paste, `transform` at the first picture."""
    ranks = [len(leaf.shape) for _, leaf in paths]
    chosen = next((leaf for rank in (IMAGE_RANK, IMAGE_RANK - 1) for leaf, r in enumerate(ranks) if r == rank), 0)
    words = [_Word("transform" if leaf == chosen else "None") for leaf in range(len(ranks))]
    return repr(jax.tree.unflatten(structure, words))
