"""From the source of a call to the tiles of a sheet: the text is evaluated, and what it gives makes the pictures."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _gallery_drawing import Range, Tile, marked, picture_of
from _gallery_photos import clip, examples, patches, photographs

import jaxiter as jx

KEY_SOURCE = "jax.random.key(0)"


@dataclass(frozen=True)
class Sheet:
    """One picture of the gallery, and the text beside it.

    Args:
        title: Of a transform its name.
        source: Python whose last line gives a transform; a dict of them, of which each is shown once; a tree of
            transforms for `examples`; or images and labels that were mixed.
        photos: Names of photographs, or "patches" or "clip".
        draws: Epochs that are shown of a random transform.
        range: The numbers that are shown black and white.
        key: The source of the key.
    """

    title: str
    source: str
    note: str
    photos: tuple[str, ...] = ("flower",)
    draws: int = 7
    columns: int = 4
    range: Range = (0, 255)
    key: str = KEY_SOURCE

    @property
    def is_mix(self) -> bool:
        return self.title in ("mixup", "cutmix")

    @property
    def file(self) -> str:
        return "-".join(re.findall(r"\w+", self.title.lower())) + ".webp"


def value_of(source: str, names: Mapping[str, Any]) -> Any:
    """What the last expression of the source gives."""
    *before, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        raise ValueError(f"the source ends in {ast.unparse(last)!r}; expected an expression.")
    namespace = dict(names)
    exec(compile(ast.Module(before, []), "<gallery>", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "<gallery>", "eval"), namespace)


def names_for(sheet: Sheet) -> dict[str, Any]:
    """What the source of a sheet may name: the arrays are made where it does so."""
    arrays: dict[str, Callable[[], np.ndarray]] = {
        "images": lambda: photographs(sheet.photos),
        "labels": lambda: np.arange(len(sheet.photos)),
        "patches": patches,
    }
    used = {node.id for node in ast.walk(ast.parse(sheet.source)) if isinstance(node, ast.Name)}
    made = {name: make() for name, make in arrays.items() if name in used}
    return {"jx": jx, "jnp": jnp, "np": np, "key": _key(sheet), **made}


def tiles_of(sheet: Sheet) -> list[Tile]:
    """The tiles of a sheet: the photographs, and what the call makes of them."""
    found = value_of(sheet.source, names_for(sheet))
    if isinstance(found, tuple):
        return _of_mixed(sheet, *found)
    if isinstance(found, dict) and "image" in found:
        return _of_examples(sheet, found)
    if isinstance(found, dict):
        return _of_each(sheet, found)
    return _of_draws(sheet, found)


def _key(sheet: Sheet) -> jax.Array:
    return value_of(sheet.key, {"jax": jax})


@jax.jit
def _epochs_of(loader: jx.Loader, key: jax.Array, epochs: jax.Array) -> Any:
    """The first batch of several epochs: one program, however many there are."""
    return jax.vmap(lambda epoch: loader.batch(key, epoch, 0))(epochs)


def _drawn(data: Any, size: int, augment: Any, key: jax.Array, epochs: int) -> list[Any]:
    """All examples of each epoch, in their order."""
    loader = jx.Loader(data, batch_size=size, augment=augment, shuffle=False)
    batches = jax.device_get(_epochs_of(loader, key, np.arange(epochs)))
    return [jax.tree.map(lambda array, place=epoch: array[place], batches) for epoch in range(epochs)]


def _data_of(sheet: Sheet) -> np.ndarray:
    if sheet.photos == ("clip",):
        return clip()[None]
    if sheet.photos == ("patches",):
        every = patches()
        return every[:: len(every) // sheet.columns][: sheet.columns]
    return photographs(sheet.photos)


def _of_draws(sheet: Sheet, transform: jx.Transform) -> list[Tile]:
    """The originals, then each epoch; of several views or frames each is a tile."""
    data, is_clip = _data_of(sheet), isinstance(transform, jx.Frames)
    batches = _drawn(data, len(data), transform, _key(sheet), sheet.draws if transform.is_random else 1)
    tiles = [Tile(picture_of(image), "original") for image in (data[0] if is_clip else data)]
    for epoch, images in enumerate(batches):
        label = f"epoch {epoch}" if transform.is_random else "result"
        if is_clip:
            tiles += [Tile(picture_of(frame, sheet.range), label) for frame in images[0]]
        elif isinstance(transform, jx.Views):
            views = enumerate(np.moveaxis(images, 1, 0))
            tiles += [
                Tile(picture_of(image, sheet.range), f"view {view}") for view, of_all in views for image in of_all
            ]
        else:
            tiles += [Tile(picture_of(image, sheet.range), label) for image in images]
    return tiles


def _of_each(sheet: Sheet, transforms: dict[Any, jx.Transform]) -> list[Tile]:
    """The original, then epoch 0 of each transform, with its key in the dict below; in one program."""
    data = _data_of(sheet)
    loaders = {
        name: jx.Loader(data, batch_size=len(data), augment=each, shuffle=False) for name, each in transforms.items()
    }

    @jax.jit
    def first_batches(loaders: list[jx.Loader], key: jax.Array) -> list[jax.Array]:
        return [loader.batch(key, 0, 0) for loader in loaders]

    batches = jax.device_get(first_batches(list(loaders.values()), _key(sheet)))
    labelled = zip(transforms, batches, strict=True)
    tiles = [Tile(picture_of(image), "original") for image in data]
    return tiles + [Tile(picture_of(image, sheet.range), str(name)) for name, images in labelled for image in images]


def _of_examples(sheet: Sheet, augment: dict[str, Any]) -> list[Tile]:
    """Photographs with their mask, boxes and points drawn in, before and after."""
    data = {name: leaf for name, leaf in examples(sheet.photos).items() if name in augment}
    count = len(sheet.photos)
    batches = [data, *_drawn(data, count, augment, _key(sheet), sheet.draws)]
    labels = ["original", *(f"epoch {epoch}" for epoch in range(sheet.draws))]
    return [
        Tile(marked({name: leaf[row] for name, leaf in batch.items()}), label)
        for batch, label in zip(batches, labels, strict=True)
        for row in range(count)
    ]


def _of_mixed(sheet: Sheet, images: jax.Array, labels: jax.Array) -> list[Tile]:
    """The originals, then the mixed ones with their labels' weights."""
    before = [
        Tile(picture_of(image), name) for image, name in zip(photographs(sheet.photos), sheet.photos, strict=True)
    ]
    weights = np.asarray(labels)
    after = [
        Tile(picture_of(image, sheet.range), in_words(row, sheet.photos))
        for image, row in zip(np.asarray(images), weights, strict=True)
    ]
    return before + after


def in_words(weights: np.ndarray, names: tuple[str, ...]) -> str:
    """Labels as shares, the largest first: "0.70 cat, 0.30 rocket"."""
    largest = np.argsort(-weights, kind="stable")
    return ", ".join(f"{weights[place]:.2f} {names[place]}" for place in largest if weights[place] >= 0.005)
