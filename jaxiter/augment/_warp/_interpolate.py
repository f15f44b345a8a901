"""Third step: taps become pixels, by one function for every order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._ragged import COUNTED
from .._rounded import rounded
from .._transform import arithmetic_dtype
from .._types import Values
from ._coordinates import WEIGHT_BITS
from ._ragged_image import RaggedImage, slices_at
from ._taps import Taps

if TYPE_CHECKING:
    from jax.typing import DTypeLike


class StoredImage(NamedTuple):
    """Where an image that was copied lies among many: a GPU reads its pixels there, and needs no copy."""

    data: Values  # (size, height, width, channels)
    row: Values  # int32

    @property
    def is_counted(self) -> bool:
        """Whether an int32 counts all values of the array, or all its pixels."""
        return self.data.size < COUNTED * self.data.shape[-1]


# (row, column, static steps down and to the right) -> the pixels that stand there
Pick = Callable[[Values, Values, int, int], Values]
# (taps, their weights) -> the sum
Blend = Callable[[Sequence[Values], Sequence[Values]], Values]


def weight_bits(dtype: DTypeLike, order: int) -> int | None:
    """How many bits the weights of an image have: 16 for linear interpolation of bytes, else as many as there are.

    A byte times such a weight is exact in float32, so `a * (1 - f) + b * f` needs no difference and uses each tap once,
    and stays exact where neighbours are equal.
    """
    return WEIGHT_BITS if order == 1 and np.dtype(dtype).itemsize == 1 and np.dtype(dtype).kind in "biu" else None


def interpolate(
    xp: ModuleType,
    values: Values | RaggedImage,
    rows: Taps,
    cols: Taps,
    size: tuple[int, int],
    blend: Blend,
    stored: StoredImage | None = None,
) -> Values:
    """`values`, (rows, columns, channels), at the taps of every output pixel: (*size, channels).

    Args:
        stored: Where `values` were copied from, if they are an image as it is stored.
    """
    channels = values.shape[-1]
    if xp is np:
        return _interpolate_planes(np.asarray(values), rows, cols, size, blend)
    if channels > 1:
        pick = reader(values, stored)
        return blended(pick, _for_channels(rows), _for_channels(cols), values.dtype, blend).reshape(*size, channels)
    rows, cols = _grouped(rows, size), _grouped(cols, size)
    pick_one = reader(values, stored)
    found = blended(lambda *place: pick_one(*place)[..., 0], rows, cols, values.dtype, blend)
    return found.reshape(*size, 1)


_PIXELS_AT_ONCE = 2**14  # whose numbers stay in a core's own cache
_FEW_PIXELS = 2**11  # for which a call of NumPy takes longer than what it does


def _interpolate_planes(values: np.ndarray, rows: Taps, cols: Taps, size: tuple[int, int], blend: Blend) -> np.ndarray:
    """`interpolate` in NumPy, where the innermost loop has to be long: channel by channel, some rows at a time.

    Of a small picture all channels at once.
    """
    (height, width), line = size, values.shape[1]
    if height * width <= _FEW_PIXELS:
        pick = partial(_taken, values.reshape(-1, values.shape[-1]), line, {})
        return np.asarray(blended(pick, _for_channels(rows), _for_channels(cols), values.dtype, blend))
    planes = np.ascontiguousarray(np.moveaxis(values, -1, 0)).reshape(values.shape[-1], -1)
    result = np.empty((height, width, len(planes)), arithmetic_dtype(values.dtype) if rows.weights else values.dtype)
    some = max(1, _PIXELS_AT_ONCE // width)
    for start in range(0, height, some):
        part, starts = slice(start, start + some), dict[tuple[int, int], np.ndarray]()
        taps = _lines_of(rows, part), _lines_of(cols, part)
        for channel, plane in enumerate(planes):
            result[part, :, channel] = blended(partial(_taken, plane, line, starts), *taps, values.dtype, blend)
    return result


def _taken(
    plane: np.ndarray,
    line: int,
    starts: dict[tuple[int, int], np.ndarray],
    row: Values,
    col: Values,
    down: int,
    right: int,
) -> np.ndarray:
    """A `Pick` of one channel, or of pixels of several.

    `starts` keeps the places of two indices, which all channels and static steps share.
    """
    pair = id(row), id(col)
    if pair not in starts:
        starts[pair] = np.asarray(row * np.intp(line) + col)
    return plane[down * line + right :].take(starts[pair], axis=0, mode="clip")  # "raise" would copy once more


def _lines_of(taps: Taps, part: slice) -> Taps:
    """The taps of some rows of pixels; those of an axis-aligned map are one row, or one column."""

    def of(values: Values) -> Values:
        return values[part] if values.shape[0] > 1 else values

    return taps.each(of)


def blended(pick: Pick, rows: Taps, cols: Taps, dtype: DTypeLike, blend: Blend) -> Values:
    """The taps picked and summed, first along the columns of each row."""
    if rows.weights is None or cols.weights is None:
        return pick(rows.indices[0], cols.indices[0], 0, 0)
    dtype = arithmetic_dtype(dtype)
    row_weights, col_weights = (
        [weight.astype(dtype, copy=False) for weight in taps.weights or ()] for taps in (rows, cols)
    )
    lines = [
        blend([pick(row, col, down, right).astype(dtype, copy=False) for col, right in _places(cols)], col_weights)
        for row, down in _places(rows)
    ]
    return blend(lines, row_weights)


def _places(taps: Taps) -> list[tuple[Values, int]]:
    """Each tap as an index and a static step from there: a compiler adds the step to an address for nothing."""
    count = len(taps.weights or ())
    return (
        [(index, 0) for index in taps.indices]
        if len(taps.indices) == count
        else [(taps.indices[0], step) for step in range(count)]
    )


def blending(dtype: DTypeLike, order: int) -> Blend:
    """How taps are summed. Of floats only `a + (b - a) * f` is exact where neighbours are equal."""
    if order == 1 and weight_bits(dtype, order) is None:
        return _lerp
    return _sum_of_bytes if order == 1 and np.dtype(dtype).kind in "bu" else _weighted_sum


# A compiler makes one rounding of a sum and either of its products. Which one must not depend on the program around it
# (JAX 0.12 takes another within a scan), so the second is not left as a product.


def _sum_of_bytes(values: Sequence[Values], weights: Sequence[Values]) -> Values:
    first, second = (value * weight for value, weight in zip(values, weights, strict=True))
    return add(first, abs(second))  # which is not negative, and costs nothing


def _weighted_sum(values: Sequence[Values], weights: Sequence[Values]) -> Values:
    products = [value * weight for value, weight in zip(values, weights, strict=True)]
    if isinstance(products[1], jax.Array):
        products[1] = rounded(products[1])
    return reduce(add, products)


def _lerp(values: Sequence[Values], weights: Sequence[Values]) -> Values:
    first, second = values
    return first + (second - first) * weights[1]


def reader(image: Values | RaggedImage, stored: StoredImage | None) -> Pick:
    """Pixels of `image`; off CPU of the array that it was copied from.

    XLA:GPU then makes one kernel of the whole batch, where it otherwise writes down every coordinate first, and needs
    no copy of the rows. On CPU it takes a fifth longer (see bench/RESULTS.md).
    """
    if isinstance(image, RaggedImage):
        return image.pick
    read = _reader_of(image, image.shape)
    if stored is None or not stored.is_counted:
        return read
    read_stored = _reader_of(stored.data, image.shape, stored.row * np.int32(image.shape[0]))

    def read_either(row: Values, col: Values, down: int, right: int) -> Values:
        return jax.lax.platform_dependent(
            row,
            col,
            cpu=lambda row, col: read(row, col, down, right),
            default=lambda row, col: read_stored(row, col, down, right).astype(image.dtype),
        )

    return read_either


def _reader_of(images: Values, shape: tuple[int, ...], first_line: Values | int = 0) -> Pick:
    """Pixels of the image of `shape` that begins at a line of one or of many."""
    _, width, channels = shape
    if images.size >= COUNTED:  # an int32 counts pixels, where it does not count values
        pixels = jnp.reshape(images, (-1, channels))
        return lambda row, col, down, right: pixels.at[(row + first_line + down) * np.int32(width) + col + right].get(
            mode="promise_in_bounds"
        )
    flat, line = images.reshape(-1), width * channels

    def read(row: Values, col: Values, down: int, right: int) -> Values:
        start = (row + first_line) * np.int32(line) + col * np.int32(channels)
        return slices_at(flat, start + np.int32(down * line + right * channels), channels)

    return read


def _for_channels(taps: Taps) -> Taps:
    """The weights with an axis more, for pixels of several channels."""
    return taps if taps.weights is None else taps._replace(weights=tuple(weight[..., None] for weight in taps.weights))


def _grouped(taps: Taps, size: tuple[int, int]) -> Taps:
    """The taps of a grey image, with an innermost axis of a few neighbouring columns.

    XLA:CPU unrolls a short innermost loop and makes vector instructions of it. Colours are one; without them it
    takes twice as long a pixel.
    """
    height, width = size
    group = next(length for length in range(8, 0, -1) if width % length == 0)

    def grouped(values: Values) -> jax.Array:
        return jnp.broadcast_to(values, (height, width)).reshape(height, width // group, group)

    return taps.each(grouped)
