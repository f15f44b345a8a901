"""Mean, standard deviation and ZCA whitening of a data set, read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from .._array_checks import check_array, without_table
from .._checks import check_finite, check_flag, check_rows
from .._describe import described
from .._host_rows import Source, dtype_of, read_blocks, read_rows
from .._list_checks import list_error
from .._progress import Passes
from .._ragged import Ragged, is_ragged
from .._transfers import on_host

if TYPE_CHECKING:
    import numpy.typing as npt
    from jaxtyping import Float

Watch = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]
_BLOCK_BYTES = 2**25


class Statistics(NamedTuple):
    """What `fit_statistics` returns for `Normalize` and `Whiten`: mean, std and whitening matrix, all float32."""

    mean: Float[np.ndarray, " channels"]
    std: Float[np.ndarray, " channels"]
    whitening: Float[np.ndarray, "pixels pixels"] | None


def fit_statistics(
    images: Source,
    *,
    rows: npt.ArrayLike | None = None,
    zca: bool = False,
    epsilon: float = 1e-6,
    max_bytes: int = 2**30,
    progress: bool = False,
) -> Statistics:
    """Mean and population standard deviation of each channel, and on demand the ZCA whitening matrix.

    Reads `images` in blocks, twice, in float64, which takes about 100 MB: a memmap larger than memory works. Pictures
    in files, decoded in threads, and those of different sizes are read once, where they are bytes, and summed up in
    integers. Every pixel counts as much, whichever picture it is of.

    Args:
        images: (size, height, width, channels), an array or anything that slices like one (memmap, h5py); or
            pictures of different sizes, of `image_folder`, `image_files` or `Ragged`.
        rows: Integers in [0, size): the images that count, for example `train_validation_split(...).train`; one that
            comes twice counts twice. Default: all. An array-like must take a sorted integer array as index.
        zca: Also compute `whitening`, of images from which the mean is subtracted (not divided by std). With
            n = height * width * channels this holds n * n numbers and takes time in n**3, or where there are fewer
            images than that, min(size, n)**3.
        epsilon: Added to the singular values of the data before dividing by them.
        max_bytes: What the whitening may take in memory, see ValueError.
        progress: Show how far each pass over the images is, two of them and a third with zca: by tqdm where that is
            installed, else in a line on stderr.

    Returns:
        Statistics(mean, std, whitening); whitening is None without zca.

    Raises:
        ValueError: For another rank, no images, a list of images, rows outside the images, pixels that are NaN or
            infinite, a whitening of pictures of different sizes, or one beyond max_bytes, with what it would cost.
        TypeError: For images that are no array of real numbers, masked arrays among them, or rows that are no integers.

    Example:
        >>> import numpy as np
        >>> mean, std, _ = fit_statistics(np.array([[[[0, 10]]], [[[2, 10]]]], np.uint8))
        >>> mean.tolist(), std.tolist()
        ([1.0, 10.0], [1.0, 0.0])
    """
    images = _checked_images(images)
    shape = images.shape
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"images has shape {shape}; expected (size, height, width, channels) with at least one image. "
            "For grey images pass images[..., None]."
        )
    dtype = dtype_of(images)
    if dtype.kind == "c":
        raise TypeError(f"images has dtype {dtype}; expected real numbers.")
    check_flag("zca", zca)
    check_flag("progress", progress)
    check_finite("epsilon", epsilon)
    if epsilon < 0:
        raise ValueError(f"epsilon is {epsilon!r}; expected a finite number of at least 0.")
    if rows is not None:
        rows = check_rows(rows, shape[0], owner="images")
        shape = (len(rows), *shape[1:])
    if zca and is_ragged(images):
        raise ValueError(
            "zca=True for pictures of different sizes; expected pictures of one size, as every pixel of a picture has "
            "a row in the whitening matrix. Give the source a small size, image_folder(path, size=(32, 32))."
        )
    if zca and whitening_bytes(shape) > max_bytes:
        raise ValueError(
            f"zca=True for {whitening_cost(shape)}; max_bytes allows {max_bytes / 2**30:.1f} GiB. Fit on smaller "
            f"images, or pass max_bytes={whitening_bytes(shape)}."
        )
    sums_bytes = (is_ragged(images) or _gives_pictures(images)) and dtype in (np.uint8, np.uint16)
    passes = (1 if sums_bytes else 2) + bool(zca)
    watch = Passes("statistics", passes, shape[0]) if progress else iter
    mean, std = (moments_of_bytes if sums_bytes else moments)(images, rows, watch)
    if not np.isfinite(mean).all():
        raise ValueError(f"images has channel means {mean.tolist()}; expected finite pixels.")
    whitening = whitening_matrix(images, mean, epsilon, rows, watch).astype(np.float32) if zca else None
    return Statistics(mean.astype(np.float32), std.astype(np.float32), whitening)


def _checked_images(images: Source) -> Source:
    """The images as an array, by the check of a Loader's data."""
    if isinstance(images, dict) or (isinstance(images, (list, tuple)) and list_error("images", images) is None):
        raise TypeError(
            f"images is {described(images)}; expected one array, (size, height, width, channels): images alone, "
            "without labels, and np.stack(images) for a list of them."
        )
    values: Any = without_table("images", images)
    if not is_ragged(values):
        check_array("images", values)
    elif isinstance(values, Ragged):
        return jax.tree.map(on_host, values)  # each picture cut out on the device would be a program of its own
    return values


def moments(images: Source, rows: np.ndarray | None = None, watch: Watch = iter) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of each channel in float64; NaN where a pixel is not finite.

    Args:
        watch: Sees the blocks of each pass go by.
    """
    count, total, squares = 0, np.zeros(images.shape[3]), np.zeros(images.shape[3])
    for block in watch(_blocks(images, rows)):
        total += block.sum(axis=(0, 1, 2))
        count += block.size // block.shape[3]
    mean = total / count
    with np.errstate(invalid="ignore"):
        for block in watch(_blocks(images, rows)):
            squares += np.square(block - mean).sum(axis=(0, 1, 2))
    return mean, np.sqrt(squares / count)


def moments_of_bytes(
    images: Source, rows: np.ndarray | None = None, watch: Watch = iter
) -> tuple[np.ndarray, np.ndarray]:
    """As `moments`, in one pass over unsigned integers of up to 16 bits, whose sums and squares are exact."""
    channels = images.shape[3]
    count, total, squares = 0, [0] * channels, [0] * channels  # of Python, which do not overflow
    for block in watch(_blocks(images, rows, None)):
        lines = block.reshape(-1, block.shape[2] * channels)  # summed up whole, ten times as fast as single pixels
        squared = np.multiply(lines, lines, dtype=np.uint32)
        for sums, values in ((total, lines), (squares, squared)):
            of_pixels = values.sum(axis=0, dtype=np.uint64).reshape(-1, channels).sum(axis=0)
            for channel, number in enumerate(of_pixels.tolist()):
                sums[channel] += number
        count += block.size // channels
    mean = np.array([number / count for number in total])
    variances = [count * square - number**2 for number, square in zip(total, squares, strict=True)]
    return mean, np.sqrt([variance / count**2 for variance in variances])


def _blocks(images: Source, rows: np.ndarray | None, dtype: npt.DTypeLike | None = np.float64) -> Iterator[np.ndarray]:
    """The images at `rows`, or all, in blocks of a few MB; of different sizes each by itself. None: in their dtype."""
    num_rows = 1 if is_ragged(images) else max(1, _BLOCK_BYTES // (8 * int(np.prod(images.shape[1:]))))
    if is_ragged(images) or _gives_pictures(images):
        blocks = _stacked(_pictures(images, rows), num_rows)
    elif rows is None:
        blocks = read_blocks("images", images, num_rows)
    else:
        starts = range(0, len(rows), num_rows)
        blocks = (read_rows("images", images, rows[start : start + num_rows]) for start in starts)
    return blocks if dtype is None else (block.astype(dtype) for block in blocks)


def _stacked(pictures: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    while found := list(islice(pictures, count)):
        yield np.stack(found)


def _gives_pictures(images: Any) -> bool:
    """Whether it is a source of files, which decodes them in threads and better one after the other."""
    return callable(getattr(images, "pictures", None))


def _pictures(images: Any, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    if _gives_pictures(images):
        return images.pictures(rows)
    return (images[int(row)] for row in (range(len(images)) if rows is None else rows))


def whitening_bytes(shape: tuple[int, ...]) -> int:
    """The memory that computing a whitening matrix for images (size, height, width, channels) takes."""
    features = int(np.prod(shape[1:]))
    rank = min(features, shape[0])
    # The result and its factors; and while a Gram matrix is formed, the data once if it is the smaller one.
    return 8 * (2 * features**2 + (features * rank if rank < features else 0))


def whitening_cost(shape: tuple[int, ...]) -> str:
    """What a whitening would take, for an error message."""
    features = int(np.prod(shape[1:]))
    rank = min(features, shape[0])
    return (
        f"images of {features} numbers makes a {features} x {features} matrix: about "
        f"{whitening_bytes(shape) / 2**30:.1f} GiB of memory and {10 * rank**3 + features**2 * rank:.1e} operations"
    )


def whitening_matrix(
    images: Source, mean: np.ndarray, epsilon: float, rows: np.ndarray | None = None, watch: Watch = iter
) -> np.ndarray:
    """U diag(sqrt(size) / (s + epsilon)) U^T, with U and s of the thin SVD of `images - mean`, transposed."""
    size = images.shape[0] if rows is None else len(rows)
    features = int(np.prod(images.shape[1:]))
    centred = ((block - mean).reshape(len(block), -1) for block in watch(_blocks(images, rows)))
    if size >= features:
        gram = np.zeros((features, features))
        for flat in centred:
            gram += flat.T @ flat
        eigenvalues, directions = np.linalg.eigh(gram)
        singular = np.sqrt(np.maximum(eigenvalues, 0))
    else:  # fewer images than numbers in one: the smaller Gram matrix has the same eigenvalues
        data = np.concatenate(list(centred))
        eigenvalues, left = np.linalg.eigh(data @ data.T)
        singular = np.sqrt(np.maximum(eigenvalues, 0))
        kept = singular > singular[-1] * np.finfo(np.float64).eps * features
        singular, directions = singular[kept], data.T @ (left[:, kept] / singular[kept])
    return (directions * (np.sqrt(size) / (singular + epsilon))) @ directions.T
