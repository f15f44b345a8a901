"""Which transform acts on which leaf: `augment`, one transform or a tree prefix of the data."""

from __future__ import annotations

from typing import Any

import jax

from ..augment import Chain, is_transform
from ._data import leaf_name

IMAGE_RANK = 4


def chains_of(data: Any, augment: Any) -> tuple[Chain | None, ...]:
    """One chain, or None, for each leaf of the data."""
    paths, structure = jax.tree.flatten_with_path(data)
    if augment is None:
        return (None,) * len(paths)
    if is_transform(augment):
        images = [path for path, leaf in paths if len(leaf.shape) == IMAGE_RANK]
        if len(images) != 1:
            found = "no leaf" if not images else f"{len(images)} leaves"
            raise ValueError(
                f"augment is one transform and the data has {found} of rank 4, (size, height, width, channels):"
                f"\n{_listing(paths)}\nSay which leaf it is for, as augment={_suggestion(paths, structure)}"
                f"{_grey_remedy(paths)}."
            )
        return tuple(Chain(augment) if len(leaf.shape) == IMAGE_RANK else None for _, leaf in paths)
    return _spread(augment, paths, structure)


def _spread(augment: Any, paths: Any, structure: Any) -> tuple[Chain | None, ...]:
    def is_place(node: Any) -> bool:
        return node is None or is_transform(node)

    data = jax.tree.unflatten(structure, [leaf for _, leaf in paths])
    misfit = (
        f"augment does not fit the data, whose leaves are:\n{_listing(paths)}\nExpected a transform or None at each "
        f"place, for example augment={_suggestion(paths, structure)}"
    )
    try:
        places = jax.tree.leaves(jax.tree.broadcast(augment, data, is_leaf=is_place), is_leaf=is_place)
    except ValueError as error:
        raise ValueError(f"{misfit}; got {augment!r}.") from error
    for (path, leaf), place in zip(paths, places, strict=True):
        if not is_place(place):
            raise TypeError(f"{misfit}; got {place!r} for {leaf_name(path)}.")
        if place is not None and Chain(place).needs_image and len(leaf.shape) != IMAGE_RANK:
            raise ValueError(
                f"{leaf_name(path)} has shape {leaf.shape} and a transform for images; expected rank 4, "
                f"(size, height, width, channels){_grey_remedy([(path, leaf)])}."
            )
    return tuple(None if place is None else Chain(place) for place in places)


def _listing(paths: Any) -> str:
    return "\n".join(f"  {leaf_name(path)}: {leaf.dtype}{list(leaf.shape)}" for path, leaf in paths)


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
    chosen = next((place for rank in (IMAGE_RANK, IMAGE_RANK - 1) for place, r in enumerate(ranks) if r == rank), 0)
    words = [_Word("transform" if place == chosen else "None") for place in range(len(ranks))]
    return repr(jax.tree.unflatten(structure, words))
