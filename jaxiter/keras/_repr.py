"""Iterators and generators in words, whatever a subclass has left out or a user has set; no array is looked at."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import jax

from .._checks import is_array
from .._describe import described, shown


def iterator_repr(iterator: Any) -> str:
    """Its examples, its settings, and where in the epoch it stands."""
    known = vars(iterator)
    parts = [f"{known['n']} examples"] if "n" in known else []
    images = known.get("x")
    if hasattr(images, "shape") and hasattr(images, "dtype"):
        parts.append(f"images {images.dtype}{list(images.shape[1:])}")
    if "image_shape" in known and "color_mode" in known:
        parts.append(f"pictures {known['color_mode']}{list(known['image_shape'])} from files")
    names = ("batch_size", "shuffle", "seed", "output")
    parts += [f"{name}={_in_words(known[name])}" for name in names if name in known]
    if iterator.rng is not None:
        parts.append(f"rng={iterator.rng!r}")
    if known.get("n") and known.get("batch_size"):
        of_epoch = -(-known["n"] // known["batch_size"])
        parts.append(f"next is batch {known.get('batch_index', 0)} of {of_epoch}")
    return f"<{': '.join(filter(None, [type(iterator).__qualname__, ', '.join(parts)]))}>"


def generator_repr(generator: Any, base: type) -> str:
    """The settings that are not as `base` has them by default, and whether `fit` has found statistics."""
    known = vars(generator)
    settings = {name: known.get(name, known.get(f"_{name}")) for name in _defaults(base)}
    changed = [
        f"{name}={_in_words(settings[name])}"
        for name, default in _defaults(base).items()
        if not _is_same(settings[name], default)
    ]
    return f"{type(generator).__qualname__}({', '.join(changed)})"


@cache
def _defaults(base: type) -> dict[str, Any]:
    """What the attributes of an unchanged generator are."""
    plain = vars(base())
    parameters = list(inspect.signature(base).parameters)
    return {name: plain[name] if name in plain else plain[f"_{name}"] for name in parameters}


def _is_same(value: object, default: object) -> bool:
    if is_array(value) or any(map(is_array, value if isinstance(value, (list, tuple)) else ())):
        return False
    if isinstance(value, (int, float)) and isinstance(default, (int, float)):  # 0 for 0.0
        return value == default
    return value is default or bool(type(value) is type(default) and value == default)


def _in_words(value: object) -> str:
    if isinstance(value, jax.Array):
        return described(value)  # without its value, which only a program that has ended knows
    name = getattr(value, "__qualname__", None)
    return shown(value) if name is None else name
