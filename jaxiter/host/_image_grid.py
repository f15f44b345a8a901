"""Pictures of what an augmentation does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from jaxtyping import Num


def image_grid(
    rows: list[Num[np.ndarray, "columns height width channels"]],
    *,
    low: float = 0.0,
    high: float = 255.0,
    scale: int = 1,
    gap: int = 2,
) -> Image.Image:
    """One picture of many: each entry of `rows` a row of images, all of one shape, for example originals first.

    Args:
        rows: Arrays of shape (columns, height, width, channels) with 1 or 3 channels.
        low, high: The values that become black and white; what lies beyond is clipped.
        scale: Each pixel becomes a square of this side.
        gap: White pixels between images.

    Returns:
        A Pillow image, mode "RGB".

    Raises:
        ValueError: If the arrays differ in shape, or have neither 1 nor 3 channels.

    Example:
        >>> import numpy as np
        >>> from jaxiter import image_grid
        >>> image_grid([np.zeros((3, 8, 8, 1)), np.ones((3, 8, 8, 1))], high=1, scale=2).size
        (56, 38)
    """
    shapes = {np.shape(row) for row in rows}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 4 or shape[3] not in (1, 3):
        raise ValueError(
            f"rows has shapes {sorted(shapes)}; expected arrays of one shape (columns, height, width, channels) with 1 "
            "or 3 channels."
        )
    if not low < high:
        raise ValueError(f"low is {low} and high is {high}; expected low < high.")
    columns, height, width, _ = shape
    stacked = np.stack([np.asarray(row, np.float32) for row in rows])
    levels = np.clip((stacked - low) / (high - low) * 255, 0, 255).round().astype(np.uint8)
    tiles = levels.repeat(scale, axis=2).repeat(scale, axis=3)
    sheet = np.full((len(rows) * (height * scale + gap) + gap, columns * (width * scale + gap) + gap, 3), 255, np.uint8)
    for row, column in np.ndindex(len(rows), columns):
        top, left = gap + row * (height * scale + gap), gap + column * (width * scale + gap)
        sheet[top : top + height * scale, left : left + width * scale] = tiles[row, column]
    return Image.fromarray(sheet)
