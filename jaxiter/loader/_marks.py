"""Boxes and points that move with an image, drawn into its previews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from PIL import Image, ImageDraw

from .._transfers import on_host
from ..augment.internal import Places

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

_RADIUS, _RIM = 3, (255, 255, 255)  # of points, in pixels of the drawing
_COLOURS = ((255, 40, 40), (40, 220, 40), (60, 120, 255), (255, 220, 0), (255, 60, 255), (0, 220, 220))


class Marks(NamedTuple):
    """Of one image: rows of edges (left, top, right, bottom), or of points (x, y), in its pixels; NaN is not drawn."""

    places: Sequence[Float[np.ndarray, "rows numbers"]]

    def drawn_into(self, picture: UInt8[np.ndarray, "height width 3"], scale: float, left: int) -> np.ndarray:
        """The picture, which shows the image enlarged, from the column `left` on."""
        if not self.places:
            return picture
        canvas = Image.fromarray(picture)
        draw = ImageDraw.Draw(canvas)
        for places in self.places:
            for number, row in enumerate(places):
                if np.isfinite(row).all():
                    xs, ys = row[0::2] * scale + left, row[1::2] * scale
                    colour = _COLOURS[number % len(_COLOURS)]
                    if len(row) == 2:  # with a rim that sets it apart
                        x, y = xs.item(), ys.item()
                        draw.ellipse([x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS], colour, outline=_RIM)
                    else:
                        draw.rectangle([xs[0], ys[0], max(xs[0], xs[1] - 1), max(ys[0], ys[1] - 1)], outline=colour)
        return np.asarray(canvas)


class MarkedLeaf(NamedTuple):
    """One leaf of boxes or points for all rows, of the images before, and after each epoch."""

    target: int  # the leaf of the images
    before: np.ndarray
    after: list[np.ndarray]


def marked_leaf(companion: Places, before: jax.Array, after: Sequence[jax.Array]) -> MarkedLeaf:
    assert companion.target is not None  # as it is bound to a leaf
    own, *results = (companion.as_edges(np.asarray(on_host(values), np.float32)) for values in (before, *after))
    return MarkedLeaf(companion.target, own, results)


def marks_of(arrays: Sequence[np.ndarray], count: int, view: int | None) -> list[Marks]:
    """Of `count` images, or of a view or frame of each, from arrays that have it as their second axis or not."""
    numbers = [array[:, view] if view is not None and array.ndim > 3 else array for array in arrays]
    return [Marks([array[row].reshape(-1, array.shape[-1]) for array in numbers]) for row in range(count)]
