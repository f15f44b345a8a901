"""Decoding a source of files once, into one file."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from contextlib import closing
from functools import partial
from typing import IO, Any, Literal, NamedTuple

import jax
import numpy as np

from .._checks import check_flag, check_int
from .._describe import described, shown
from .._progress import Progress
from .._ragged import Ragged
from .._warn import warn
from ._claim import Claim, give_name
from ._file_errors import ImageFileError, error_of_reason, file_name
from ._image_files import ImageFiles
from ._in_threads import in_threads
from ._journal import Entry, Written
from ._made_of import Fingerprint, difference
from ._packed_file import PIXELS_AT, Pictures, read_metadata, write_tables
from ._sized_file import is_side, npy_header, read_sized, side_path, side_text
from ._unfinished import Unfinished, removal, sync_folder

_DEFAULT_SIDE = 256
_MANY = 1000  # pictures, from which on it pays to estimate how much room they take
_JUDGED = 32


class PackReport(NamedTuple):
    """What `pack` returns: the file, how many pictures it holds, and which files were left out.

    file: The path of the file.
    num_examples: How many pictures it holds.
    left_out: Of each file that cannot be read its row in the source, its path (of bytes "<1,234 bytes>") and the error.
    """

    file: str
    num_examples: int
    left_out: list[tuple[int, str, ImageFileError]]


class _Decoded(NamedTuple):
    entry: Entry
    pixels: np.ndarray | None


def pack(
    source: ImageFiles,
    file: str | os.PathLike,
    *,
    shorter_side: int | None = _DEFAULT_SIDE,
    num_threads: int | None = None,
    on_error: Literal["raise", "report"] = "raise",
    progress: bool = True,
) -> PackReport:
    """Decodes files of pictures once and writes them to one file, which `open_packed` opens.

    An unfinished file is `file + ".part"`, with a journal beside it. A call that was interrupted or killed leaves both,
    and the next one with the same sources and settings goes on from there; the result is the same to the byte.
    Where some files were mended or changed meanwhile, it decodes these alone. Unfinished work of other sources or
    settings is refused: it may be hours of decoding. `file` itself appears at the end, whole. If it is there already,
    of the same sources and settings, nothing is decoded.

    Args:
        source: `image_folder(...)` or `image_files(...)`. With `size=` the file is a plain .npy as of `np.save`, and
            labels and class names stand in `file + ".json"`.
        file: Where to write. Several times as large as JPEGs: a picture of 256 by 384 takes 295 kB.
        shorter_side: To how many pixels the shorter side of larger pictures is reduced, antialiased; smaller ones are
            not enlarged. None keeps all as they are. With `size=` leave it out.
        num_threads: How many threads decode, by default as many as there are cores.
        on_error: What to do about files that cannot be read: "raise" names all of them in one error and makes no file;
            "report" leaves them out, and returns which. Rows of the file count without them: np.delete(boxes, [row for
            row, path, error in report.left_out], axis=0) keeps other data in step.
        progress: Whether to show how far it is, on stderr.

    Returns:
        `(file, num_examples, left_out)`: the path, how many pictures it holds, and (row, path, error) of each file that
        cannot be read and was left out.

    Raises:
        TypeError: For another source, with what is done with that instead.
        ValueError: If `file`, or what a call left unfinished, is of other sources or settings; or if another process
            writes it. Nothing is overwritten.
        OSError: If files cannot be read; if they change meanwhile; if the disk is full, after which nothing is left.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from jaxiter import image_folder, open_packed, pack
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, size in [("cat", (300, 400)), ("dog", (600, 300))]:
        ...         os.makedirs(os.path.join(folder, "photos", name))
        ...         Image.fromarray(np.zeros(size, np.uint8)).save(os.path.join(folder, "photos", name, "1.png"))
        ...     photos = image_folder(os.path.join(folder, "photos"))
        ...     report = pack(photos, os.path.join(folder, "photos.jx"), shorter_side=150, progress=False)
        ...     images, labels, class_names = open_packed(report.file)
        ...     print(images.shapes.tolist(), images.source_shapes.tolist(), labels, class_names)
        [[150, 200], [300, 150]] [[300, 400], [600, 300]] [0 1] ['cat', 'dog']
    """
    if not isinstance(file, (str, bytes, os.PathLike)):
        raise TypeError(f"file is {described(file)}; expected the path of the file to make.")
    path = os.fsdecode(file)
    shorter_side = _check_arguments(source, path, shorter_side, num_threads, on_error)
    check_flag("progress", progress)
    fingerprint = Fingerprint(source, shorter_side)
    target = _Target(source, path)
    if (found := target.finished(fingerprint)) is None:
        with Claim(path) as claim:
            found = target.finished(fingerprint)  # which another process may have made since
            if found is None:
                decode = _Decoding(source, shorter_side, num_threads, progress)
                return _packed(decode, target, fingerprint, claim, on_error)
    report = PackReport(path, found[0], _left_out(source, dict(found[1])))
    remedy = f"mend or remove them, and remove {path!r}"
    _check_errors(report, len(source), on_error, "was packed without them", remedy)
    return report


def _packed(decode: _Decoding, target: _Target, fingerprint: Fingerprint, claim: Claim, on_error: str) -> PackReport:
    source, path = decode.source, claim.path
    with Unfinished(claim, fingerprint, target.begin, target.pixel_bytes) as unfinished:
        target.check_room(list(unfinished.rows_left), decode.shorter_side)
        decode.rest(unfinished)
        reasons = dict(sorted(unfinished.reasons.items()))
        report = PackReport(path, len(source) - len(reasons), _left_out(source, reasons))
        remedy = f"mend them and call pack again, which decodes these alone; or remove them, and {removal(path)}"
        _check_errors(report, len(source), on_error, "was not made", remedy)
        fingerprint.check_unchanged()
        target.finish(unfinished, {"left_out": list(reasons.items()), "made_of": fingerprint.made_of})
    return report


def _check_arguments(
    source: object, path: str, shorter_side: int | None, num_threads: int | None, on_error: str
) -> int | None:
    """The shorter side that holds: None where the source has a size."""
    if not isinstance(source, ImageFiles):
        raise TypeError(
            f"source is {described(source)}; expected jaxiter.image_folder(...) or image_files(...). {_instead(source)}"
        )
    if shorter_side is not None:
        shorter_side = check_int("shorter_side", shorter_side, 1, expected="a number of pixels, or None")
    if num_threads is not None:
        check_int("num_threads", num_threads, 1)
    if on_error not in ("raise", "report"):
        raise ValueError(f"on_error is {shown(on_error)}; expected 'raise' or 'report'.")
    if source.size is not None and shorter_side != _DEFAULT_SIDE:
        raise ValueError(
            f"shorter_side is {shorter_side}, and the source has size={source.size}; expected one of them."
        )
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder; expected the name of a file.")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise FileNotFoundError(f"{path!r} is in a folder that does not exist; make it first.")
    return None if source.size is not None else shorter_side


def _instead(source: object) -> str:
    """What is done with data that are no files."""
    if isinstance(source, Ragged):
        return (
            "A Ragged is one array already: np.savez(file, pixels=source.pixels, starts=source.starts, "
            "shapes=source.shapes), and Ragged(pixels, starts, shapes) of these."
        )
    if isinstance(source, (np.ndarray, jax.Array)):
        return "An array is decoded already: np.save(file, source), and np.load(file, mmap_mode='r')."
    if isinstance(source, (str, os.PathLike)):
        return "Of the path of a folder make image_folder(path)."
    return (
        "What from_records made is decoded once, into memory, by Loader(...).to_device(). For a packed file write its "
        "pictures to files, or encode them to bytes, and give image_files(list_of_them, labels=...)."
    )


class _Target:
    """The file to be made: of pictures of different sizes, or a .npy.

    begin: What stands before the pixels of an unfinished file.
    """

    def __init__(self, source: ImageFiles, path: str):
        self._source, self._path = source, path
        self._channels, self._dtype = source.shape[-1], np.dtype(source.dtype)
        self.pixel_bytes = self._channels * self._dtype.itemsize
        self.begin = bytes(PIXELS_AT if source.size is None else len(self._npy_header(0)))

    def finished(self, fingerprint: Fingerprint) -> tuple[int, list[tuple[int, str]]] | None:
        """Of a file that is there the number of pictures, and rows and reasons of what was left out.

        Raises:
            ValueError: If it was made of anything else, or is damaged.
        """
        if not os.path.exists(self._path):
            self._check_side()
            return None
        try:
            count, metadata = self._read()
        except ValueError as error:
            raise ValueError(f"{error} Nothing is overwritten: remove it, or pack to another file.") from None
        if differs := difference(metadata["made_of"], fingerprint.made_of):
            raise ValueError(
                f"{self._path!r} was packed with {differs}. Nothing is overwritten: remove it, or pack to another file."
            )
        return count, metadata["left_out"]

    def check_room(self, rest: list[int], shorter_side: int | None) -> None:
        """Raises if the disk has no room for the rows that are left; warns where only an estimate says so."""
        free = shutil.disk_usage(os.path.dirname(self._path) or ".").free
        if self._source.size is not None:
            needed = len(rest) * int(np.prod(self._source.size)) * self.pixel_bytes
            if needed > free:
                raise OSError(
                    errno.ENOSPC,
                    f"{self._path!r} needs {needed:,} more bytes, and its disk has {free:,} free; nothing was decoded.",
                )
        elif len(rest) >= _MANY:
            some = [_decoded(self._source, shorter_side, row).pixels for row in rest[:: len(rest) // _JUDGED]]
            lengths = [pixels.nbytes for pixels in some if pixels is not None]
            needed = int(np.mean(lengths) * len(rest)) if lengths else 0
            if needed > free:
                warn(
                    f"{self._path!r} needs about {needed:,} more bytes, judged by {len(lengths)} pictures, and its "
                    f"disk has {free:,} free."
                )

    def finish(self, unfinished: Unfinished, metadata: dict[str, Any]) -> None:
        written = unfinished.numbers()
        numbers, checksums = written[:, :4].astype(np.int32), written[:, 4]
        labels = None if self._source.labels is None else np.delete(self._source.labels, list(unfinished.reasons))
        metadata = {"class_names": self._source.class_names, **metadata}
        if self._source.size is None:
            pictures = Pictures(numbers[:, :2], numbers[:, 2:], labels, metadata)
            unfinished.finish(partial(write_tables, channels=self._channels, dtype=self._dtype, pictures=pictures))
            return
        beside = side_path(self._path)
        if os.path.exists(beside) and not os.path.exists(self._path):  # of a call that was killed between the two
            os.remove(beside)
        # First: once there is a .npy, both are there.
        _write_whole(beside, side_text(self._source.shape[1:], self._dtype, checksums, labels, metadata))
        try:
            unfinished.finish(lambda stream: _write_begin(stream, self._npy_header(len(numbers))))
        except OSError:
            os.remove(beside)
            raise

    def _check_side(self) -> None:
        """Raises for a .json in the way that `pack` did not write."""
        beside = side_path(self._path)
        if self._source.size is not None and os.path.exists(beside) and not is_side(beside):
            raise ValueError(f"{beside!r} is not of jaxiter.pack; expected that name to be free. Pack to another file.")

    def _read(self) -> tuple[int, dict[str, Any]]:
        if self._source.size is None:
            return read_metadata(self._path)
        images, _, _, metadata = read_sized(self._path, check_all=True)
        return len(images), metadata

    def _npy_header(self, count: int) -> bytes:
        return npy_header(count, self._source.shape[1:], self._dtype)


class _Decoding(NamedTuple):
    """How the pictures of a source are decoded."""

    source: ImageFiles
    shorter_side: int | None
    num_threads: int | None
    progress: bool

    def rest(self, unfinished: Unfinished) -> None:
        """Decodes in threads what is left, and writes it in this order."""
        rows = list(unfinished.rows_left)
        decode = partial(_decoded, self.source, self.shorter_side)
        title = f"packing {os.path.basename(unfinished.path)}"
        title += f", {len(unfinished):,} are done" if len(unfinished) else ""
        with (
            Progress(title, len(rows), shown=self.progress and len(rows) > 0) as bar,
            closing(in_threads(decode, rows, self.num_threads)) as pictures,
        ):
            for entry, pixels in pictures:
                unfinished.append(entry, pixels)
                bar.update(1)


def _decoded(source: ImageFiles, shorter_side: int | None, row: int) -> _Decoded:
    try:
        image, source_size = source.decode(row, shorter_side=shorter_side)
    except ImageFileError as error:
        return _Decoded(error.reason, None)
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    height, width, _ = pixels.shape
    return _Decoded(Written(height, width, *source_size, zlib.crc32(pixels.data)), pixels)


def _left_out(source: ImageFiles, reasons: dict[int, str]) -> list[tuple[int, str, ImageFileError]]:
    return [(row, file_name(source.files[row]), _error(source, row, reason)) for row, reason in reasons.items()]


def _error(source: ImageFiles, row: int, reason: str) -> ImageFileError:
    label = None if source.labels is None else int(source.labels[row])
    class_name = str(label) if source.class_names is None or label is None else source.class_names[label]
    return error_of_reason(source.files[row], row, None if label is None else class_name, reason)


def _check_errors(report: PackReport, size: int, on_error: str, what: str, remedy: str) -> None:
    """Raises one error for all files that cannot be read, unless they are to be left out."""
    if not report.left_out or (on_error == "report" and report.num_examples):
        return
    lines = "\n".join(f"    row {row}, {path!r}: {error.reason}" for row, path, error in report.left_out)
    remedy = "" if on_error == "report" else f"Leave them out by on_error='report'; or {remedy}."
    count = f"{len(report.left_out):,} of {size:,} files"
    raise OSError(f"{count} cannot be read, and {report.file!r} {what}:\n{lines}\n{remedy}".rstrip())


def _write_begin(stream: IO[bytes], begin: bytes) -> None:
    stream.seek(0)
    stream.write(begin)


def _write_whole(path: str, contents: bytes) -> None:
    """A small file, whole or not at all."""
    unfinished = f"{path}.part"
    try:
        with open(unfinished, "wb") as stream:
            stream.write(contents)
            stream.flush()
            os.fsync(stream.fileno())
        give_name(unfinished, path)
    except OSError:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise
    sync_folder(path)
