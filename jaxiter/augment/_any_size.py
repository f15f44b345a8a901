"""Which steps take pictures of which each may have another size: those that bring them to one."""

from __future__ import annotations

from typing import Any

from ._geometric import joined_sampling
from ._groups import is_geometry
from ._run import Steps, UnknownSide
from ._warp import is_static

_FIXES = (
    "expected a transform that fixes the size, first or next to others that move pixels: RandomResizedCrop(size), "
    "Resize(size), or Affine(size=...)"
)


def check_fixes_size(steps: Steps, leaf: str) -> None:
    """Raises for steps that pictures of different sizes cannot go through: the first resampling fixes the size."""
    of_sizes = f"{leaf} holds pictures of different sizes"
    size: tuple[Any, Any] = (UnknownSide(), UnknownSide())
    parts = steps.parts[steps.groups[0]] if steps.groups else []
    first = [part.transform for part in parts]
    for step in first:
        if not is_geometry(step):
            name = steps.steps[steps.parts[0].owner].name_in_errors
            raise ValueError(f"{of_sizes}, and the first step is {name}; {_FIXES}.")
        if not is_static(size):
            try:
                step.check_takes_any_size()
            except ValueError as error:
                raise ValueError(f"{of_sizes}: {error}") from None
        size = step.out_size(size)
    if not is_static(size):
        names = " and ".join(dict.fromkeys(steps.steps[part.owner].name_in_errors for part in parts))
        keep = f", and {names} keeps their sizes" if first else ""
        raise ValueError(f"{of_sizes}{keep}; {_FIXES}.")
    order = joined_sampling([step for step in first if is_geometry(step)]).order or 0
    if order > 1:
        raise ValueError(
            f"{of_sizes}, and order is {order}, which filters a whole picture first; expected "
            "order 0 or 1, or Resize before it with a Cast between the two."
        )
