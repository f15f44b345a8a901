"""A Loader as an argument of other functions."""

from __future__ import annotations

from typing import TypeGuard

from .._describe import described
from ._loader import Loader


def check_loader(loader: object, usage: str) -> TypeGuard[Loader]:
    """Raises for anything but a Loader, with how the function is called."""
    if not isinstance(loader, Loader):
        remedy = ""
        if isinstance(loader, (list, tuple)) and any(isinstance(item, Loader) for item in loader):
            remedy = " For batches of several data sets put them into one Loader, Loader((first, second), ...)."
        raise TypeError(f"loader is {described(loader)}; expected a jaxiter.Loader, as in {usage}.{remedy}")
    return True


def for_program(loader: Loader) -> Loader:
    """The loader as an argument of a program: whatever was put elsewhere follows the data."""
    _, static = loader.tree_flatten()
    return loader.tree_unflatten(static, (loader.data, loader._spec.chains, loader._spec.visited, None))
