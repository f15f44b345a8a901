"""Which arrays can be shown as pictures, and which one of a batch is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath, keystr

from ._describe import described
from ._key_checks import named_keys

CHANNELS = (1, 3, 4)


class HasArray(Protocol):
    """An array of NumPy or JAX, or of another library."""

    def __array__(self) -> np.ndarray: ...


class HasFields(Protocol):
    """A dataclass, which may be registered as a pytree."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Pictures: TypeAlias = HasArray | Sequence[HasArray] | tuple[Any, ...] | Mapping[Any, Any] | HasFields
"""One array, pictures of one shape in a list, or a batch."""


def is_batch(value: object) -> bool:
    """Whether it is a container of arrays, such as (images, labels); a list is none, it holds rows."""
    return value is not None and not isinstance(value, list) and not jax.tree_util.all_leaves([value])


def pictures_in(name: str, batch: Any) -> list[tuple[str, Any]]:
    """The one leaf of a batch that holds pictures, and its name; behind it masks of its height and width.

    Raises:
        ValueError: If there is none, or more than one.
    """
    with named_keys(name, batch):
        paths = jax.tree.leaves_with_path(batch)
    # Boxes (n, boxes, 4) and points (n, points, 2) have the rank of grey pictures.
    for could_be in (_has_channels, _is_grey):
        found = [(path, leaf) for path, leaf in paths if could_be(leaf)]
        if len(found) > 1 and could_be is _has_channels:  # with an axis of channels, as masks may have one
            found = [pair for pair in found if pair[1].shape[-1] > 1] or found
            # Boxes of views, (n, views, boxes, 4), have the shape of pictures with a channel of opacity.
            found = [pair for pair in found if not _could_be_boxes(pair[1])] or found
        if len(found) == 1:
            path, picture = found[0]
            masks = [pair for pair in paths if pair[0] != path and _lies_on(pair[1], picture)]
            return [(name + keystr(path), leaf) for path, leaf in [(path, picture), *masks]]
        if found:
            chosen = ", ".join(name + keystr(path) for path, _ in found)
            raise ValueError(
                f"{name} is a batch with {len(found)} arrays of pictures:\n{_listing(name, found)}\nExpected one. Show "
                f"one of them, image_grid({name}{keystr(found[0][0])}), or each in a row of its own, "
                f"image_grid([{chosen}])."
            )
    raise ValueError(
        f"{name} is a batch without pictures:\n{_listing(name, paths)}\nExpected one array of shape (n, height, width, "
        "channels) with 1, 3 or 4 channels. Choose what is to be shown, for example three channels, x[..., :3]; of "
        "single pictures make one array, np.stack(pictures)."
    )


def is_real(dtype: Any) -> bool:
    """Whether it is of numbers that can be drawn, or bool."""
    return np.dtype(dtype).kind not in "cmM" and (jnp.issubdtype(dtype, np.number) or dtype == np.bool_)


def _has_channels(leaf: Any) -> bool:
    shape: tuple[int, ...] = getattr(leaf, "shape", ())
    return len(shape) in (4, 5) and shape[-1] in CHANNELS and _holds_numbers(leaf)


def _is_grey(leaf: Any) -> bool:
    shape: tuple[int, ...] = getattr(leaf, "shape", ())
    return len(shape) == 3 and shape[2] > max(CHANNELS) and _holds_numbers(leaf)


def _could_be_boxes(leaf: Any) -> bool:
    return leaf.ndim == 4 and leaf.shape[-1] == 4 and bool(jnp.issubdtype(leaf.dtype, np.floating))


def _lies_on(leaf: Any, picture: Any) -> bool:
    """Whether it has a number for each pixel."""
    shape: tuple[int, ...] = getattr(leaf, "shape", ())
    return shape in (picture.shape[:-1], (*picture.shape[:-1], 1)) and len(shape) > 2 and _holds_numbers(leaf)


def _holds_numbers(leaf: Any) -> bool:
    return not jnp.issubdtype(leaf.dtype, jax.dtypes.extended) and is_real(leaf.dtype)


def _listing(name: str, paths: list[tuple[KeyPath, Any]]) -> str:
    return "\n".join(f"  {name}{keystr(path)}: {described(leaf)}" for path, leaf in paths)
