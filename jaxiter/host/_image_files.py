"""Pictures in files, decoded when they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._checks import check_flag, check_int
from .._describe import described, shown
from .._progress import Progress
from .._ragged import Ragged
from ._decode import MODES, RESIZES, DecodeSettings, Size, decode_file
from ._file_errors import ImageFileError, image_file_error
from ._file_labels import as_files, as_labels
from ._file_listing import list_folder
from ._in_threads import in_threads

if TYPE_CHECKING:
    from jaxtyping import Int32

_GROWTH = 1.25  # of the memory for pictures whose number of pixels is not known before
Path = str | bytes | os.PathLike


class ImageFiles:
    """Pictures in files as a leaf of a Loader's data: `image_folder` and `image_files` make one.

    It holds paths and no pixels. With a size it is read like an array of shape (n, height, width, channels); without
    one every picture has its own size, and a transform that fixes it has to take them: `RandomResizedCrop`, `Resize`,
    `Affine(size=)`. A stream decodes in its threads; `read_all` and `Loader.to_device` decode once.

    Attributes:
        files: The paths, a list of str.
        labels: int32, the class of each file; or None.
        class_names: The names of the classes, by their number; or None.
        mode, dtype, size, resize: As for `image_folder`.
        shape: `(n, height, width, channels)`, with None for height and width without a size.

    `source[row]` is one picture, (height, width, channels), and raises `ImageFileError`, an OSError that names file,
    row, class and reason, where it cannot be read. `source[rows]` of a slice or of integers is an array of them, or
    without a size a list. Several threads may read at once; no file stays open; it can be pickled.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from jaxiter import image_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (6, 4), (255, 0, 0)).save(f"{folder}/red.png")
        ...     photos = image_files([f"{folder}/red.png"], labels=["red"])
        ...     photos[0].shape, photos[0][0, 0].tolist(), photos.shape, photos.class_names
        ((4, 6, 3), [255, 0, 0], (1, None, None, 3), ['red'])
    """

    files: list[str]
    labels: Int32[np.ndarray, " n"] | None
    class_names: list[str] | None
    reads_in_threads = True  # what a stream asks for before it reads batches in several threads

    def __init__(
        self,
        files: list[str],
        labels: np.ndarray | None,
        class_names: list[str] | None,
        settings: DecodeSettings,
    ) -> None:
        self.files, self.labels, self.class_names = files, labels, class_names
        self._settings = settings

    @property
    def mode(self) -> str:
        return self._settings.mode

    @property
    def dtype(self) -> np.dtype:
        return self._settings.dtype

    @property
    def size(self) -> Size | None:
        return self._settings.size

    @property
    def resize(self) -> str:
        return self._settings.resize

    @property
    def shape(self) -> tuple[Any, ...]:
        return (len(self.files), *(self.size or (None, None)), MODES[self.mode])

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"row {index} of {len(self)} pictures; expected one in [0, {len(self)}).")
            return self.decode(int(index) % len(self))[0]
        rows = self._rows(index)
        if self.size is None:
            return [self.decode(row)[0] for row in rows]
        pictures = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            pictures[place] = self.decode(row)[0]
        return pictures

    def _rows(self, index: Any) -> list[int]:
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.ndim != 1 or (index.dtype.kind not in "iu" and index.size):
                raise TypeError(
                    f"the index of pictures is {described(index)}; expected an integer, a slice, or one axis of them."
                )
            index = index.astype(np.int64)
        return np.arange(len(self))[index].tolist()

    def decode(self, row: int, *, shorter_side: int | None = None) -> tuple[np.ndarray, Size]:
        """One picture, and the size that its file has.

        Args:
            row: Of the picture, in [0, n).
            shorter_side: What the shorter side is brought to where it is longer, with antialiasing and in the same
                ratio; no picture is enlarged. A JPEG is decoded at the smallest reduced scale that is still large
                enough. Only for a source without a size.

        Returns:
            (height, width, channels), and the (height, width) of the file; both the right way up.

        Raises:
            ImageFileError: If the file cannot be read, with what is wrong with it.
        """
        row = check_int("row", row, 0, len(self), expected=f"a row of {len(self)} pictures")
        if shorter_side is not None:
            shorter_side = check_int("shorter_side", shorter_side, 1)
            if self.size is not None:
                raise ValueError(f"shorter_side is {shorter_side} and size={self.size}; expected only one of both.")
        file = self.files[row]
        try:
            return decode_file(file, self._settings, shorter_side)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise what they come across
            raise image_file_error(file, row, self._class_name(row), error) from error

    def _class_name(self, row: int) -> str | None:
        """The class of a row for errors: its name, or else its number."""
        if self.labels is None:
            return None
        label = int(self.labels[row])
        return str(label) if self.class_names is None else self.class_names[label]

    def pictures(self, rows: Iterable[int] | None = None, *, num_threads: int | None = None) -> Iterator[np.ndarray]:
        """The pictures at `rows`, or all, one after the other; threads decode a few ahead.

        Args:
            rows: In the order in which the pictures come; by default all.
            num_threads: By default as many as there are cores.
        """
        rows = range(len(self)) if rows is None else rows
        return in_threads(lambda row: self.decode(int(row))[0], rows, num_threads)

    def read_all(self, progress: bool = True, *, rows: slice | None = None) -> np.ndarray | Ragged:
        """All pictures, decoded once, in threads.

        Args:
            progress: Show how many are done, how fast, and the time left.
            rows: Read only these.

        Returns:
            (n, height, width, channels), or without a size `Ragged`.
        """
        check_flag("progress", progress)
        wanted = range(len(self))[slice(None) if rows is None else rows]
        with Progress("decoding", len(wanted), shown=progress) as bar:
            found = bar.watch(self.pictures(wanted))
            if self.size is None:
                return _joined(found, self.shape[3], self.dtype)
            pictures = np.empty((len(wanted), *self.shape[1:]), self.dtype)
            for place, picture in enumerate(found):
                pictures[place] = picture
            return pictures

    def __repr__(self) -> str:
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        size = (
            "sizes of their own" if self.size is None else f"{self.size[0]} by {self.size[1]}, resize={self.resize!r}"
        )
        return f"ImageFiles({len(self):,} files{classes}, {size}, {self.mode}, {self.dtype})"


def image_folder(
    path: Path,
    *,
    size: int | Size | None = None,
    resize: str = "squash",
    mode: str = "RGB",
    dtype: npt.DTypeLike = "uint8",
) -> ImageFiles:
    """The pictures of a folder that has a folder for each class, as data for a `Loader`; decoded when they are read.

    Every folder directly in `path` is a class, named after it and numbered in sorted order; the pictures anywhere below
    it are its examples, sorted by their path. Files count that end in jpg, jpeg, png, bmp, tif, tiff, webp or gif, in
    any case. Hidden files and folders are left out. Links to folders are followed; a folder met twice counts once.

    Args:
        path: The folder.
        size: (height, width) that every picture is brought to, or one number for a square; an array-like of rank 4.
            None: every picture keeps its own size, and a transform has to fix one.
        resize: How, as Pillow does it with its BILINEAR filter, which averages what shrinks: "squash" stretches, "crop"
            takes the largest central part of the ratio, "pad" leaves black around the whole picture. A JPEG is decoded
            at the smallest scale (1, 1/2, 1/4, 1/8) that is still large enough.
        mode: "L", "RGB" or "RGBA", by Pillow's conversion. Where it has no alpha that is dropped, not blended.
        dtype: "uint8"; or "uint16" with mode="L", which keeps grey pictures of 16 bits as they are and brings those of
            8 bits to the scale of 16 (times 257). A grey picture of more than 8 bits is refused by "uint8".

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
    return ImageFiles(found.files, np.array(found.classes, np.int32), found.class_names, settings)


def image_files(
    files: Sequence[Path] | npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    size: int | Size | None = None,
    resize: str = "squash",
    mode: str = "RGB",
    dtype: npt.DTypeLike = "uint8",
) -> ImageFiles:
    """Pictures in a list of files, or in a column of a table, as data for a `Loader`; decoded when they are read.

    Args:
        files: Their paths, in the order of the rows. Relative ones count from the working folder of now.
        labels: One for each file: integers, which stay, or text, whose sorted values are the classes. Other targets
            stand beside the pictures in the data: `Loader((photos, targets), ...)`.
        size, resize, mode, dtype: As for `image_folder`.

    Raises:
        TypeError: If files are no paths, or labels neither integers nor text.
        ValueError: If there are no files, another number of labels, or missing ones; or as for `image_folder`.
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
        (row, path, error) of each bad file; `error.reason` says what is wrong with it.

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

    with Progress("checking", len(source), shown=progress) as bar:
        errors = list(bar.watch(in_threads(error_of, range(len(source)), num_threads)))
    return [(row, source.files[row], error) for row, error in enumerate(errors) if error is not None]


def _settings(size: object, resize: object, mode: object, dtype: npt.DTypeLike) -> DecodeSettings:
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode is {shown(mode)}; expected one of {', '.join(map(repr, MODES))}.")
    if not isinstance(resize, str) or resize not in RESIZES:
        raise ValueError(f"resize is {shown(resize)}; expected one of {', '.join(map(repr, RESIZES))}.")
    found = np.dtype(dtype)
    if found not in (np.uint8, np.uint16):
        raise ValueError(f"dtype is {found}; expected 'uint8', or 'uint16' with mode='L'. Cast in the augmentation.")
    if found == np.uint16 and mode != "L":
        raise ValueError(f"dtype is uint16 and mode is {mode!r}; expected mode='L', as Pillow has no other of 16 bits.")
    return DecodeSettings(mode, found, None if size is None else _as_size(size), resize)


def _as_size(size: object) -> Size:
    pair = (size, size) if not isinstance(size, (tuple, list)) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"size is {shown(size)}; expected (height, width), or one number for a square.")
    height, width = (check_int("size", side, 1, expected="sides of at least 1 pixel") for side in pair)
    return height, width


def _joined(pictures: Iterator[np.ndarray], channels: int, dtype: np.dtype) -> Ragged:
    """Pictures one after the other in one array, without a second copy of all of them."""
    pixels, shapes, end = np.empty(0, dtype), [], 0
    for picture in pictures:
        begin, end = end, end + picture.size
        if end > pixels.size:
            pixels.resize(int(end * _GROWTH), refcheck=False)
        pixels[begin:end] = picture.reshape(-1)
        shapes.append(picture.shape[:2])
    pixels.resize(end, refcheck=False)
    lengths = [height * width for height, width in shapes]
    return Ragged(pixels.reshape(-1, channels), np.cumsum([0, *lengths[:-1]]), np.array(shapes))
