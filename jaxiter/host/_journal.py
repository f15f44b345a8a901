"""The lines of the journal of a file in the making: JSON, one for what it is made of, and then one for each picture."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Written(NamedTuple):
    """A picture that lies in the file."""

    height: int
    width: int
    source_height: int
    source_width: int
    checksum: int  # CRC-32 of its pixels


Entry = Written | str  # or why it cannot be read
NUMBERS = len(Written._fields)


class Line(NamedTuple):
    """What was decoded of a row of the source, and of what its file was then."""

    row: int
    size: int  # and time of change, as in `Fingerprint.stats`
    time: int
    entry: Entry


def line_of(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def parsed(line: bytes) -> Any:
    """The value of a line; None if it is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def parsed_line(line: bytes, num_rows: int) -> Line | None:
    """The line of a picture; None if it is none."""
    match parsed(line):
        case [int(row), int(size), int(time), str() as reason] if 0 <= row < num_rows:
            return Line(row, size, time, reason)
        case [int(row), int(size), int(time), [*numbers]] if 0 <= row < num_rows:
            if len(numbers) == NUMBERS and all(isinstance(number, int) for number in numbers):
                return Line(row, size, time, Written(*numbers))
    return None
