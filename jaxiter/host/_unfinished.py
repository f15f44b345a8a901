"""A file in the making: pixels in `file + ".part"`, and a journal of them in `file + ".part.journal"`.

The journal first says what the file is made of. Each further line tells of the picture that comes next in the file:
its row, its sizes and a checksum of its pixels, or why it cannot be read; and size and time of change of its own file.
A picture is written before its line. A call that goes on reads them again, as after a power cut there may be lines
without their pixels. Rows whose files have changed since, or could not be read, come once more, behind the others: the
last line of a row counts.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import IO, Any

import numpy as np

from ._claim import Claim, give_name, opened
from ._journal import NUMBERS, Entry, Line, Written, line_of, parsed, parsed_line
from ._made_of import Fingerprint, MadeOf, difference
from ._save import DISK_FAILED


class Unfinished:
    """Appends pictures to the unfinished file; where one of the same sources and settings is there, goes on with it.

    Left by an error, it keeps what was written for the next call; if the disk failed, it removes it.

    Args:
        claim: To the finished file.
        fingerprint: Of what it is made of.
        begin: What stands before the pixels.
        pixel_bytes: Of one pixel.

    Attributes:
        rows_left: Of the pictures that are to be appended, in this order.
        reasons: Of the pictures so far that cannot be read, by row, why.

    Raises:
        ValueError: If unfinished work is of other sources or settings.
    """

    rows_left: deque[int]
    reasons: dict[int, str]

    def __init__(self, claim: Claim, fingerprint: Fingerprint, begin: bytes, pixel_bytes: int):
        self.path, self._part, self._claim, self._journal = claim.path, claim.part, claim, claim.journal
        self._ordered = f"{claim.part}.ordered"
        self._begin, self._pixel_bytes, self._stats = begin, pixel_bytes, fingerprint.stats
        self._made_of: MadeOf = {
            name: value
            for name, value in fingerprint.made_of.items()
            if name != "contents"  # compared row by row
        }
        self._numbers = np.zeros((len(self._stats), NUMBERS), np.int64)  # those of Written; zeros where there is none
        self._places = np.zeros(len(self._stats), np.int64)  # of the pixels in the file
        self._end = len(begin)
        self.reasons = {}
        if _has_other_name(self._part):
            os.remove(self._part)
        _remove(self._ordered)
        self._pixels = opened(self._part)
        try:
            self._go_on()
        except BaseException as error:
            self._leave(error)
            raise

    def __len__(self) -> int:
        """How many pictures of the source are done."""
        return len(self._stats) - len(self.rows_left)

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._leave(error)

    def numbers(self) -> np.ndarray:
        """Of each picture that lies in the file what `Written` says, int64 (n, 5)."""
        return self._numbers[self._rows()]

    def append(self, entry: Entry, pixels: np.ndarray | None = None) -> None:
        """The next picture of those that are left, or why there is none."""
        row = self.rows_left[0]
        if pixels is not None:
            self._pixels.write(pixels.data)
            self._pixels.flush()
        self._write_lines([self._line(row, entry)])
        self._note(row, entry)
        self.rows_left.popleft()

    def finish(self, write: Callable[[IO[bytes]], None]) -> None:
        """Calls `write` with the file, and then gives it its name."""
        self._put_in_order()
        write(self._pixels)
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        self._pixels.close()  # Windows renames no open file
        give_name(self._part, self.path)
        sync_folder(self.path)
        self._claim.remove()

    def _leave(self, error: BaseException | None) -> None:
        with suppress(OSError):  # it would write once more what the disk had no room for
            self._pixels.close()
        _remove(self._ordered)
        if isinstance(error, OSError) and error.errno in DISK_FAILED:
            self._claim.remove(with_part=True)
            error.add_note(f"jaxiter: {self.path!r} was not written, and what there was of it is removed.")

    def _go_on(self) -> None:
        self._journal.seek(0)
        first = self._journal.readline()
        before = parsed(first)
        if before == self._made_of:
            _truncate(self._journal, len(first) + self._read_lines())
        else:
            if before is not None:
                self._check_nothing_lost(before)
            _truncate(self._journal, 0)
            self._write_lines([self._made_of])
        self._pixels.seek(0)
        self._pixels.write(self._begin)  # without a header, if a run ended after it had written one
        _truncate(self._pixels, self._end)
        done = self._numbers[:, 0] > 0
        self.rows_left = deque(np.flatnonzero(~done).tolist())

    def _check_nothing_lost(self, before: Any) -> None:
        """Raises if another call left work that this one would drop: it may be hours of decoding."""
        if os.path.getsize(self._part) == 0 or not self._journal.readline():  # the file may be new
            return
        words = difference(before, self._made_of) if isinstance(before, dict) else "another journal"
        raise ValueError(
            f"{self._part!r} is unfinished work of a call with {words}. Nothing was changed. To go on with it, call "
            f"with the same sources and settings as then. To start anew, {removal(self.path)}."
        )

    def _read_lines(self) -> int:
        """Notes the pictures that have their pixels, and returns the length of their lines."""
        length = 0
        self._pixels.seek(self._end)
        for text in self._journal:
            line = parsed_line(text, len(self._stats))
            if line is None:
                break
            if isinstance(line.entry, Written):
                pixels = self._pixels.read(self._length(line.entry))
                if len(pixels) != self._length(line.entry) or zlib.crc32(pixels) != line.entry.checksum:
                    break
            self._note(line.row, line.entry)
            if (line.size, line.time) != tuple(self._stats[line.row]):
                self._numbers[line.row] = 0
            length += len(text)
        self.reasons = {}  # they may have gone since, after a chmod say
        return length

    def _note(self, row: int, entry: Entry) -> None:
        self._places[row] = self._end
        self.reasons.pop(row, None)
        if isinstance(entry, str):
            self.reasons[row] = entry
            self._numbers[row] = 0
        else:
            self._numbers[row] = entry
            self._end += self._length(entry)

    def _put_in_order(self) -> None:
        """Writes the pictures by row, where some came behind others or count no more."""
        rows = self._rows()
        lengths = self._numbers[rows, :2].prod(axis=1) * self._pixel_bytes
        places = len(self._begin) + np.cumsum(lengths) - lengths
        if np.array_equal(self._places[rows], places) and self._end == len(self._begin) + lengths.sum():
            return
        with open(self._ordered, "wb") as ordered:
            ordered.write(self._begin)
            for place, length in zip(self._places[rows].tolist(), lengths.tolist(), strict=True):
                self._pixels.seek(place)
                ordered.write(self._pixels.read(length))
        self._pixels.close()
        os.replace(self._ordered, self._part)
        self._pixels = opened(self._part)
        self._places[rows], self._end = places, int(len(self._begin) + lengths.sum())
        _truncate(self._journal, 0)
        entries = [self.reasons.get(row, Written(*numbers)) for row, numbers in enumerate(self._numbers.tolist())]
        self._write_lines([self._made_of, *(self._line(row, entry) for row, entry in enumerate(entries))])

    def _rows(self) -> np.ndarray:
        """Of the pictures that lie in the file."""
        return np.flatnonzero(self._numbers[:, 0])

    def _length(self, entry: Written) -> int:
        return entry.height * entry.width * self._pixel_bytes

    def _line(self, row: int, entry: Entry) -> Line:
        size, time = self._stats[row].tolist()
        return Line(row, size, time, entry)

    def _write_lines(self, lines: Iterable[MadeOf | Line]) -> None:
        self._journal.write(b"".join(map(line_of, lines)))
        self._journal.flush()


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


def _has_other_name(part: str) -> bool:
    """Whether it is a finished file under its first name too, of a call that was killed before it removed that."""
    return os.path.exists(part) and os.stat(part).st_nlink > 1


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(path)


def _truncate(stream: IO[bytes], length: int) -> None:
    stream.flush()
    stream.truncate(length)
    stream.seek(length)
