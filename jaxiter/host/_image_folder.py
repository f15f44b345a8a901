"""Sources of pictures in files, made of a folder or of a list; and which of their files cannot be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt

from .._checks import check_flag, check_int
from .._describe import described, shown
from .._progress import Progress
from .._words import PictureMode, ResizeMode
from ._decode import MODES, RESIZES, DecodeSettings, Size
from ._file_errors import ImageFileError
from ._file_labels import as_files, as_labels, check_same_index
from ._file_listing import list_folder
from ._image_files import ImageFiles
from ._in_threads import in_threads

Path = str | bytes | os.PathLike


def image_folder(
    path: Path,
    *,
    size: int | Size | None = None,
    resize: ResizeMode = "squash",
    mode: PictureMode = "RGB",
    dtype: npt.DTypeLike = "uint8",
) -> ImageFiles:
    """The pictures of a folder that has a folder for each class, as data for a `Loader`; decoded when they are read.

    Every folder directly in `path` is a class, named after it and numbered in sorted order; the pictures anywhere below
    it are its examples, sorted by their path. Files count that end in jpg, jpeg, png, bmp, tif, tiff, webp or gif, in
    any case; other endings of pictures are left out with a warning, hidden files and folders without. Links to folders
    are followed; a folder met twice counts once.

    Args:
        path: The folder.
        size: (height, width) that every picture is brought to, or one number for a square; an array-like of rank 4.
            None: every picture keeps its own size, and a transform has to fix one.
        resize: How, as Pillow does it with its BILINEAR filter, which averages what shrinks: "squash" stretches, "crop"
            takes the largest central part of the ratio, "pad" leaves black around the whole picture. A JPEG is decoded
            at the smallest scale (1, 1/2, 1/4, 1/8) that is still large enough.
        mode: "L", "RGB" or "RGBA", by Pillow's conversion. Where it has no alpha that is dropped, not blended. Or
            "mask", for labels of pixels: one channel of the numbers that stand in the file (of a palette the indices,
            of one bit 0 and 1). Another size takes the nearest pixel, so that no labels are mixed; "pad" fills with 0.
            A mask of colours, or a JPEG, is refused.
        dtype: "uint8"; or "uint16" with mode="L", which keeps grey pictures of 16 bits as they are and brings those of
            8 bits to the scale of 16 (times 257). A grey picture of more than 8 bits is refused by "uint8". With "mask"
            either, and no number is scaled: one that does not fit is refused.

    The first frame of a file counts. EXIF orientations are applied.

    Raises:
        OSError: If the path is no folder, or a folder may not be read.
        ValueError: If there are no class folders or one without pictures, or for an unknown size, resize or mode.

    Example:
        >>> import jax, os, tempfile
        >>> from PIL import Image
        >>> from jaxiter import Loader, image_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, color in [("green", (0, 255, 0)), ("blue", (0, 0, 255))]:
        ...         os.mkdir(f"{folder}/{name}")
        ...         Image.new("RGB", (8, 6), color).save(f"{folder}/{name}/1.png")
        ...     photos = image_folder(folder, size=(4, 4), resize="crop")
        ...     loader = Loader((photos, photos.labels), batch_size=2, shuffle=False)
        ...     images, labels = loader.batch(jax.random.key(0), 0, 0)
        >>> photos.class_names, labels.tolist(), images.shape, images[:, 0, 0].tolist()
        (['blue', 'green'], [0, 1], (2, 4, 4, 3), [[0, 0, 255], [0, 255, 0]])
    """
    settings = _settings(size, resize, mode, dtype)
    found = list_folder(path)
    return ImageFiles(list(found.files), np.array(found.classes, np.int32), found.class_names, settings)


def image_files(
    files: Sequence[str | os.PathLike | bytes] | npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    size: int | Size | None = None,
    resize: ResizeMode = "squash",
    mode: PictureMode = "RGB",
    dtype: npt.DTypeLike = "uint8",
) -> ImageFiles:
    """Pictures in a list of files, or in a column of a table, as data for a `Loader`; decoded when they are read.

    Args:
        files: Their paths, in the order of the rows. Relative ones count from the working folder of now. In the place
            of a path what stands in such a file, as bytes, as tars, tables and data sets hold pictures; these stay
            in memory as they are.
        labels: One for each file: integers, which stay, or text, whose sorted values are the classes. Other targets
            stand beside the pictures in the data: `Loader((photos, targets), ...)`. They are paired by position; two
            columns of pandas need one index.
        size, resize, mode, dtype: As for `image_folder`.

    Raises:
        TypeError: If files are neither paths nor bytes, or labels neither integers nor text.
        ValueError: If there are no files, another number of labels, missing ones, or ones of another index; or as for
            `image_folder`.
        FileNotFoundError: If the first file is not there. The others are not looked at, `check_files` does that.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from jaxiter import image_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a", "b"):
        ...         Image.new("L", (6, 4)).save(f"{folder}/{name}.png")
        ...     photos = image_files([f"{folder}/a.png", f"{folder}/b.png"], labels=["night", "day"], size=2, mode="L")
        ...     photos[:].shape
        (2, 2, 2, 1)
        >>> photos.labels.tolist(), photos.class_names, photos
        ([1, 0], ['day', 'night'], ImageFiles(2 files, 2 classes, 2 by 2, resize='squash', L, uint8))
    """
    settings = _settings(size, resize, mode, dtype)
    paths = as_files(files)
    numbers, class_names = (None, None) if labels is None else as_labels(labels, len(paths))
    check_same_index(files, labels)
    return ImageFiles(paths, numbers, class_names, settings)


def check_files(
    source: ImageFiles, *, num_threads: int | None = None, progress: bool = True
) -> list[tuple[int, str, ImageFileError]]:
    """Decodes all pictures, and lists those that cannot be read.

    Args:
        source: Of `image_folder` or `image_files`.
        num_threads: That decode; by default as many as there are cores.
        progress: Show how many are done, how fast, and the time left.

    Returns:
        (row, path, error) of each bad file; `error.reason` says what is wrong with it. In the place of a path
        "<1,234 bytes>" where a source holds bytes.

    Example:
        >>> import tempfile
        >>> from jaxiter import check_files, image_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open(f"{folder}/a.png", "w") as file:
        ...         _ = file.write("no picture")
        ...     bad = check_files(image_files([f"{folder}/a.png"]), progress=False)
        >>> [(row, error.reason) for row, path, error in bad]
        [(0, "it is no picture that Pillow knows, though its name ends in '.png'; it begins with b'no picture'")]
    """
    if not isinstance(source, ImageFiles):
        raise TypeError(f"source is {described(source)}; expected what image_folder or image_files returns.")
    check_flag("progress", progress)
    if num_threads is not None:
        num_threads = check_int("num_threads", num_threads, 1)

    def error_of(row: int) -> ImageFileError | None:
        try:
            source.decode(row)
        except ImageFileError as error:
            return error
        return None

    found = in_threads(error_of, range(len(source)), num_threads)
    with Progress("checking", len(source), shown=progress) as bar, closing(found):
        errors = list(bar.watch(found))
    return [(row, error.file, error) for row, error in enumerate(errors) if error is not None]


def _settings(size: object, resize: ResizeMode, mode: PictureMode, dtype: npt.DTypeLike) -> DecodeSettings:
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode is {shown(mode)}; expected one of {', '.join(map(repr, MODES))}.")
    if not isinstance(resize, str) or resize not in RESIZES:
        raise ValueError(f"resize is {shown(resize)}; expected one of {', '.join(map(repr, RESIZES))}.")
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype is {shown(dtype)}; expected 'uint8', or 'uint16' with mode='L' or 'mask'.") from None
    if found not in (np.uint8, np.uint16):
        raise ValueError(
            f"dtype is {found}; expected 'uint8', or 'uint16' with mode='L' or 'mask'. Cast in the augmentation."
        )
    if found == np.uint16 and mode not in ("L", "mask"):
        raise ValueError(f"dtype is uint16 and mode is {mode!r}; expected mode='L' or 'mask': Pillow has no others.")
    return DecodeSettings(mode, found, None if size is None else _as_size(size), resize)


def _as_size(size: object) -> Size:
    pair = (size, size) if not isinstance(size, (tuple, list)) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"size is {shown(size)}; expected (height, width), or one number for a square.")
    height, width = (check_int("size", side, 1, expected="sides of at least 1 pixel") for side in pair)
    return height, width
