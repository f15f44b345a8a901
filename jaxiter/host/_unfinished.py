"""A file in the making: pixels in `file + ".part"`, and a journal of them in `file + ".part.journal"`.

The journal is lines of JSON. The first says what the file is made of; each further one tells of the next picture: its
sizes and a checksum of its pixels, or why it cannot be read. A picture is written before its line. Whoever goes on
reads the pictures back, as after a power cut there may be lines without their pixels.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, NamedTuple

import numpy as np

from ._made_of import MadeOf, difference
from ._save import DISK_FAILED


class Written(NamedTuple):
    """A picture that lies in the file."""

    height: int
    width: int
    source_height: int
    source_width: int
    checksum: int  # CRC-32 of its pixels


Entry = Written | str  # or why it cannot be read
_NUMBERS = len(Written._fields)


class Unfinished:
    """Appends pictures to the unfinished file; where one of the same sources and settings is there, goes on with it.

    One process at a time writes. Left by an error, it keeps what was written for the next call; if the disk failed, it
    removes it.

    Args:
        path: Of the finished file.
        begin: What stands before the pixels.
        pixel_bytes: Of one pixel.

    Attributes:
        reasons: Of the pictures so far that cannot be read, by row, why.

    Raises:
        ValueError: If another process writes the file, a file of that name is not of `pack`, or unfinished work is of
            other sources or settings.
    """

    reasons: dict[int, str]

    def __init__(self, path: str, made_of: MadeOf, begin: bytes, pixel_bytes: int):
        self.path, self._part, self._journal_path = path, f"{path}.part", f"{path}.part.journal"
        self._made_of, self._begin, self._pixel_bytes = made_of, begin, pixel_bytes
        self._numbers, self.reasons = array("q"), {}  # of each row those of Written; zeros where there is a reason
        self._check_known()
        self._journal = _opened(self._journal_path)
        try:
            _lock(self._journal, path)
            self._pixels = _opened(self._part)
        except BaseException:
            self._journal.close()
            raise
        try:
            self._go_on()
        except BaseException as error:
            self._leave(error)
            raise

    def __len__(self) -> int:
        """How many pictures of the source are done: the first ones."""
        return len(self._numbers) // _NUMBERS

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._leave(error)

    def numbers(self) -> np.ndarray:
        """Of each picture that lies in the file what `Written` says, int64 (n, 5)."""
        rows = np.array(self._numbers, np.int64).reshape(-1, _NUMBERS)
        return np.delete(rows, list(self.reasons), axis=0)

    def append(self, entry: Entry, pixels: np.ndarray | None = None) -> None:
        """The next picture, or why there is none."""
        if pixels is not None:
            self._pixels.write(pixels.data)
            self._pixels.flush()
        self._write_line(entry)
        self._note(entry)

    def cut(self, count: int) -> None:
        """Forgets all but the first pictures."""
        del self._numbers[count * _NUMBERS :]
        self.reasons = {row: reason for row, reason in self.reasons.items() if row < count}
        sizes = np.array(self._numbers, np.int64).reshape(-1, _NUMBERS)
        _truncate(self._pixels, len(self._begin) + int(sizes[:, :2].prod(axis=1).sum()) * self._pixel_bytes)
        entries = (self.reasons.get(row, numbers) for row, numbers in enumerate(sizes.tolist()))
        _truncate(self._journal, sum(len(_line(value)) for value in (self._made_of, *entries)))

    def finish(self, write: Callable[[IO[bytes]], None]) -> None:
        """Calls `write` with the file, and then gives it its name."""
        write(self._pixels)
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        self._pixels.close()  # Windows renames no open file
        os.replace(self._part, self.path)
        sync_folder(self.path)
        self._journal.close()
        self._remove()

    def _leave(self, error: BaseException | None) -> None:
        for stream in (self._pixels, self._journal):
            with suppress(OSError):  # it would write once more what the disk had no room for
                stream.close()
        if isinstance(error, OSError) and error.errno in DISK_FAILED:
            self._remove()
            error.add_note(f"jaxiter: {self.path!r} was not written, and what there was of it is removed.")

    def _check_known(self) -> None:
        if os.path.exists(self._part) and not os.path.exists(self._journal_path):
            raise ValueError(
                f"{self._part!r} is not of jaxiter.pack, as no {self._journal_path!r} is beside it; expected that name "
                "to be free. Remove that file, or pack to another one."
            )

    def _go_on(self) -> None:
        self._journal.seek(0)
        before = _parsed(self._journal.readline())
        if before == self._made_of:
            self._read_entries()
        else:
            if before is not None:
                self._check_nothing_lost(before)
            _truncate(self._journal, 0)
            self._write_line(self._made_of)
        self._pixels.seek(0)
        self._pixels.write(self._begin)  # without a header, if a run ended after it had written one
        self.cut(len(self))

    def _check_nothing_lost(self, before: Any) -> None:
        """Raises if another call left work that this one would drop: it may be hours of decoding."""
        if os.path.getsize(self._part) == 0 or not self._journal.readline():  # the file may be new
            return
        words = difference(before, self._made_of) if isinstance(before, dict) else "another journal"
        raise ValueError(
            f"{self._part!r} is unfinished work of a call with {words}. Nothing was changed. To go on with it, call "
            f"with the same sources and settings as then. To start anew, {removal(self.path)}."
        )

    def _read_entries(self) -> None:
        """As many as are whole in the journal and have their pixels."""
        self._pixels.seek(len(self._begin))
        for line in self._journal:
            entry = _entry(_parsed(line))
            if entry is None:
                return
            if isinstance(entry, Written):
                length = entry.height * entry.width * self._pixel_bytes
                pixels = self._pixels.read(length)
                if len(pixels) != length or zlib.crc32(pixels) != entry.checksum:
                    return
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        if isinstance(entry, str):
            self.reasons[len(self)] = entry
        self._numbers.extend(entry if isinstance(entry, Written) else [0] * _NUMBERS)

    def _write_line(self, value: MadeOf | Entry) -> None:
        self._journal.write(_line(value))
        self._journal.flush()

    def _remove(self) -> None:
        for path in (self._part, self._journal_path):  # a journal alone is of a call that was killed here
            with suppress(FileNotFoundError):
                os.remove(path)


def removal(path: str) -> str:
    """What a user does so that the next call starts anew."""
    return f"remove {path + '.part'!r} and {path + '.part.journal'!r}"


def sync_folder(path: str) -> None:
    """Makes the names of a folder last, where the system does that."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _opened(path: str) -> IO[bytes]:
    """For reading and writing, from its start; made if it is not there."""
    return open(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")


def _lock(stream: IO[bytes], path: str) -> None:
    """Until it is closed, or the process ends."""
    try:
        import fcntl
    except ImportError:  # on Windows
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise ValueError(f"another process packs to {path!r} now; expected one at a time.") from None


def _truncate(stream: IO[bytes], length: int) -> None:
    stream.flush()
    stream.truncate(length)
    stream.seek(length)


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    """The value of a line; None if it is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def _entry(value: Any) -> Entry | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == _NUMBERS and all(isinstance(one, int) for one in value):
        return Written(*value)
    return None
