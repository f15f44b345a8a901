"""Which steps of a chain run as one, and how a group of them is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from .._fusion_barrier import fusion_barrier
from ._cast import AsFloat, Cast, round_to
from ._frozen_draws import checked_apply
from ._geometric import Geometric, Sampling, warp_along
from ._linear_color import apply_colors, is_linear, mixes_channels
from ._tables import ByteTable, apply_tables, is_table
from ._transform import Transform
from ._warp import RaggedImage, StoredImage, check_image


class Group(NamedTuple):
    """Steps that run as one, and what stands around them."""

    steps: Sequence[Transform]
    later: Sequence[Transform]
    is_first: bool
    on_bytes: bool  # the image holds bytes, or floats that the steps before have made of bytes


def groups_of(steps: Sequence[Transform]) -> Iterator[slice]:
    """Slices of steps that run as one; any other step by itself.

    Those are adjacent geometric steps whose samplings agree, adjacent linear steps if one of them mixes channels, and
    adjacent tables. A step that pads is not joined to one that changed the size: what that cut off would come back in
    its padding.
    """
    start = 0
    while start < len(steps):
        tables = list(takewhile(is_table, steps[start:]))
        length = max(1, _num_geometric(steps[start:]), _num_linear(steps[start:]), len(tables))
        yield slice(start, start + length)
        start += length


def apply_group(
    group: Group, found: Any, image: jax.Array | RaggedImage, *, drawn_here: bool, stored: StoredImage | None
) -> jax.Array:
    """The image after a group of steps.

    Args:
        found: Of geometry what `geometry_of` found, else the params of each step.
        drawn_here: The params are as `sample` draws them, so that maps stay within the bounds of the ranges.
        stored: Where `image` was copied from, if it is an image as it is stored.
    """
    first, *_ = group.steps
    if is_geometry(first):
        check_image(image)
        geometric = [step for step in group.steps if is_geometry(step)]
        applied = partial(warp_along, geometric, found, image, drawn=drawn_here, stored=stored)
        return _kept_apart(group, applied, image)
    assert not isinstance(image, RaggedImage)  # as the loader saw to
    if is_table(first):
        tables = [step for step in group.steps if is_table(step)]
        applied = partial(_looked_up, list(zip(tables, found, strict=True)), image, group.on_bytes)
    elif is_linear(first) and any(map(mixes_channels, group.steps)):
        applied = partial(apply_colors, list(zip(group.steps, found, strict=True)), image)
    else:
        applied = partial(checked_apply, first, found[0], image)
    return _kept_apart(group, applied, image)


def _kept_apart(group: Group, applied: partial[jax.Array], image: jax.Array | RaggedImage) -> jax.Array:
    """`applied()`, on CPU behind a barrier where what follows would make every value of it several times.

    Without it every pixel is resampled three times before a step that reads all channels: 2.2 times the time of a warp
    with `Saturation` or `Contrast`. Before a warp a step would be done for each of its taps: 6 times the time of an
    `Affine` after `Hue`, 11 times after `Noise`.
    """
    following = next(iter(group.later), None)
    reads_all = _num_linear(group.later) > 0 or getattr(following, "reads_all_channels", False)
    counts = any(getattr(step, "needs_counts", False) for step in takewhile(is_table, group.later))
    reads_picture = counts or getattr(following, "reads_neighbours", False)
    warp = next((step for step in group.later if not _is_cheap(step)), None)
    tapped = warp is not None and is_geometry(warp) and warp.interpolates and not all(map(_is_cheap, group.steps))
    tapped = tapped and not is_geometry(group.steps[0])
    again = reads_picture or tapped or (reads_all and is_geometry(group.steps[0]))
    return fusion_barrier(applied) if again and isinstance(image, (jax.core.Tracer, RaggedImage)) else applied()


def _is_cheap(step: Transform) -> bool:
    """Whether doing a step for each tap of a warp is faster than an image in memory between the two."""
    return isinstance(step, (AsFloat, Cast)) or (is_linear(step) and not mixes_channels(step))


def _looked_up(steps: Sequence[tuple[ByteTable, Any]], image: jax.Array, on_bytes: bool) -> jax.Array:
    """Byte tables, of bytes or of floats that were made of bytes, which stay floats, now of whole numbers."""
    if image.dtype == np.uint8 or not on_bytes:
        return apply_tables(steps, image)
    found = apply_tables(steps, round_to(np.dtype(np.uint8), image)).astype(image.dtype)
    # Where no table acts, neither does the rounding of what they are given.
    acts = [step.acts(params) for step, params in steps]
    return found if any(one is True for one in acts) else jnp.where(jnp.stack(acts).any(), found, image)


def _num_geometric(steps: Sequence[Transform]) -> int:
    sampling, is_whole = Sampling(), True
    for number, step in enumerate(steps):
        joined = sampling.joined(step.sampling) if is_geometry(step) else None
        if joined is None or not is_geometry(step) or (step.pads and not is_whole):
            return number
        sampling, is_whole = joined, is_whole and step.keeps_shape
    return len(steps)


def _num_linear(steps: Sequence[Transform]) -> int:
    together = list(takewhile(is_linear, steps))
    return len(together) if any(map(mixes_channels, together)) else 0


def is_geometry(step: Transform) -> TypeGuard[Geometric]:
    return isinstance(step, Geometric) and step.is_one_warp
