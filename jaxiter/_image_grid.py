"""Many images as one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ._checks import check_int, check_not_masked
from ._describe import described, shown
from ._drawing import SIDE, below_each_other, in_colours, in_rgb, is_mask, range_of
from ._pictures import CHANNELS, Pictures, is_batch, is_real, pictures_in
from ._ragged import is_ragged
from ._transfers import on_host

_COLUMNS = 8


def image_grid(
    images: Pictures | Sequence[Pictures],
    *,
    columns: int | None = None,
    scale: int | None = None,
    range: tuple[float, float] | None = None,
) -> Image.Image:
    """A batch as one picture; of a list of batches each is a row, for example originals first.

    Args:
        images: Arrays of shape (n, height, width, channels): grey (1 channel, or no such axis), RGB, or RGBA, which is
            blended on white. Masks: bool is black and white, integers of one channel below 32 are coloured. Of several
            views or frames, (n, views, height, width, channels), each is a row below the one before. Of a batch as a
            loader gives it, `(images, labels)` or a dict, the one array of pictures is shown, and below it masks of its
            height and width.
        columns: Images beside each other; the others go below. Default: 8 of one batch, all of a list.
        scale: Each pixel becomes a square of this side. Default: small images become about 64 pixels wide.
        range: The values that become black and white; others are clipped. Default: 0 to 255 for uint8; else 0 to 1 or
            0 to 255, the first in which all values lie and of which they take at least an eighth, or from the smallest
            to the largest; all rows of one dtype have one range. With a range, integers are grey and no mask.

    Returns:
        A Pillow image, mode "RGB".

    Raises:
        ValueError, TypeError: If the arrays are no images, are masked or complex, differ in number, height or width, a
            batch holds no pictures or several arrays of them, or range is no pair or is empty.

    Example:
        >>> import numpy as np
        >>> from jaxiter import image_grid
        >>> image_grid([np.zeros((3, 8, 8, 1)), np.ones((3, 8, 8, 1))], scale=2).size
        (56, 38)
    """
    if is_ragged(images):
        raise ValueError(
            "images are pictures of different sizes; expected pictures of one size. Loader(images, batch_size=1, "
            "augment=Resize(64)).preview(key) shows them."
        )
    named: list[tuple[str, Any]] = (
        [(f"images[{place}]", row) for place, row in enumerate(images)]
        if isinstance(images, list)
        else [("images", images)]
    )
    named = [pair for name, row in named for pair in (pictures_in(name, row) if is_batch(row) else [(name, row)])]
    rows = [view for views in _views_in(named) for view in views]
    shapes = sorted({row.shape[:3] for row in rows})
    if len(shapes) != 1 or 0 in shapes[0]:
        raise ValueError(f"images has (n, height, width) {shapes}; expected at least one image, and rows of one shape.")
    bounds = None if range is None else _checked_range(range)
    count, height, width = shapes[0]
    scale = max(1, round(SIDE / max(height, width))) if scale is None else check_int("scale", scale, 1)
    if columns is None:
        columns = count if isinstance(images, list) else _COLUMNS
    columns = min(check_int("columns", columns, 1), count)
    drawn = [
        in_colours(row) if bounds is None and is_mask(row) else in_rgb(row, *(bounds or _range_of(row, rows)))
        for row in rows
    ]
    return Image.fromarray(below_each_other(drawn, columns, scale))


def _checked_range(range: Iterable[float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in range)
    except (TypeError, ValueError):
        raise TypeError(f"range is {shown(range)}; expected two numbers (low, high), for example (0, 255).") from None
    if not low < high:
        raise ValueError(f"range is {shown(range)}; expected (low, high) with low < high.")
    return low, high


def _array_of(name: str, row: object) -> np.ndarray:
    """Pictures as NumPy's, of real numbers."""
    for part in row if isinstance(row, (list, tuple)) else [row]:
        check_not_masked(name, part)
    try:
        array = np.asarray(on_host(row))
    except ValueError:  # of lists of several shapes
        raise ValueError(
            f"{name} is {described(row)}, and others have another shape; expected (n, height, width, channels). Bring "
            "the pictures to one shape first, np.stack(pictures)."
        ) from None
    if array.dtype == object or (array.ndim < 3 and not hasattr(row, "shape")):
        raise TypeError(f"{name} is {described(row)}; expected an array (n, height, width, channels).")
    if not is_real(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers or bool.")
    return array


def _views_in(named: list[tuple[str, Any]]) -> list[list[np.ndarray]]:
    found: list[list[np.ndarray]] = []
    for name, row in named:
        array = _array_of(name, row)
        if array.ndim == 4 and array.shape[3] not in CHANNELS and found:  # a mask of views that has no channels
            array = array[..., None]
        found.append(_views_of(array))
    return found


def _views_of(row: np.ndarray) -> list[np.ndarray]:
    """The arrays of rank 4 that are shown below each other: most often one, the images."""
    channels = row.shape[3:] if row.ndim == 4 else row.shape[4:] if row.ndim == 5 else (1,)
    looks_like_one = row.ndim == 3 and row.shape[2] in CHANNELS
    if row.ndim not in (3, 4, 5) or channels[0] not in CHANNELS or looks_like_one:
        remedy = " For a single image use images[None]." if looks_like_one else ""
        raise ValueError(
            f"images has shape {row.shape}; expected (n, height, width, channels) with 1, 3 or 4 channels, several "
            f"views of each, (n, views, height, width, channels), or grey images (n, height, width).{remedy}"
        )
    if row.ndim == 5:
        return [row[:, view] for view in range(row.shape[1])]
    return [row.reshape(*row.shape[:3], *channels)]


def _range_of(row: np.ndarray, rows: list[np.ndarray]) -> tuple[float, float]:
    """The range of all rows of one dtype."""
    if row.dtype == np.uint8:
        return 0, 255
    return range_of([other for other in rows if other.dtype == row.dtype])
