"""Which steps of a chain run as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import TypeGuard

import jax

from .._fusion_barrier import fusion_barrier
from ._geometric import Geometric, Sampling
from ._linear_color import is_linear, mixes_channels
from ._transform import Transform


def groups_of(steps: Sequence[Transform]) -> Iterator[slice]:
    """Slices of steps that run as one; any other step by itself.

    Those are adjacent geometric steps whose samplings agree, and adjacent linear steps if one of them mixes channels. A
    step that pads is not joined to one that changed the size: what that cut off would come back in its padding.
    """
    start = 0
    while start < len(steps):
        length = max(1, _num_geometric(steps[start:]), _num_linear(steps[start:]))
        yield slice(start, start + length)
        start += length


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


def kept_apart(later: Sequence[Transform], warped: Callable[[], jax.Array], image: jax.Array) -> jax.Array:
    """`warped()`, on CPU behind a barrier where the next step reads all channels of a pixel for each one that it makes.

    Without it every pixel is resampled three times: 2.2 times the time of a warp with `Saturation` or `Contrast`.
    """
    reads_all = bool(later) and (_num_linear(later) > 0 or getattr(later[0], "reads_all_channels", False))
    return fusion_barrier(warped) if reads_all and isinstance(image, jax.core.Tracer) else warped()
