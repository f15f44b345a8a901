"""Pictures in files, decoded when they are read."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .._checks import check_flag, check_int
from .._describe import described
from .._host_rows import aligned_empty
from .._progress import Progress
from .._ragged import Ragged
from .._ragged_rows import Joining
from .._words import PictureMode, ResizeMode
from ._decode import MODES, DecodeSettings, File, Size, decode_file
from ._file_errors import image_file_error
from ._in_threads import in_threads

if TYPE_CHECKING:
    from jaxtyping import Int32


class ImageFiles:
    """Pictures in files as a leaf of a Loader's data: `image_folder` and `image_files` make one.

    It holds paths and no pixels. With a size it is read like an array of shape (n, height, width, channels); without
    one every picture has its own size, and a transform that fixes it has to take them: `RandomResizedCrop`, `Resize`,
    `Affine(size=)`. A stream decodes in its threads; `read_all` and `Loader.to_device` decode once.

    Attributes:
        files: The paths, a list of str; in the place of one the bytes of a picture, where they were given.
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

    files: list[File]
    labels: Int32[np.ndarray, " n"] | None
    class_names: list[str] | None
    reads_in_threads = True  # what a stream asks for before it reads batches in several threads

    def __init__(
        self,
        files: list[File],
        labels: np.ndarray | None,
        class_names: list[str] | None,
        settings: DecodeSettings,
    ) -> None:
        self.files, self.labels, self.class_names = files, labels, class_names
        self._settings = settings

    @property
    def mode(self) -> PictureMode:
        return self._settings.mode

    @property
    def dtype(self) -> np.dtype:
        return self._settings.dtype

    @property
    def size(self) -> Size | None:
        return self._settings.size

    @property
    def resize(self) -> ResizeMode:
        return self._settings.resize

    @property
    def shape(self) -> tuple[int, Any, Any, int]:  # None for height and width without a size
        return (len(self.files), *(self.size or (None, None)), MODES[self.mode])

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> Any: ...  # an array; without a size a list
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            return self.decode(self._row(int(index)))[0]
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
            return [self._row(int(row)) for row in index]
        return list(range(len(self))[index])

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)} pictures; expected one in [0, {len(self)}).")
        return index % len(self)

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

    def pictures(self, rows: Iterable[int] | None = None, *, num_threads: int | None = None) -> Generator[np.ndarray]:
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
        with Progress("decoding", len(wanted), shown=progress) as bar, closing(self.pictures(wanted)) as decoded:
            if self.size is None:
                joining = Joining(self.shape[3], self.dtype)
                for picture in bar.watch(decoded):
                    joining.add(picture)
                return joining.whole()
            pictures = aligned_empty((len(wanted), *self.shape[1:]), self.dtype)
            for place, picture in enumerate(bar.watch(decoded)):
                pictures[place] = picture
            return pictures

    def __repr__(self) -> str:
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        size = (
            "sizes of their own" if self.size is None else f"{self.size[0]} by {self.size[1]}, resize={self.resize!r}"
        )
        return f"ImageFiles({len(self):,} files{classes}, {size}, {self.mode}, {self.dtype})"
