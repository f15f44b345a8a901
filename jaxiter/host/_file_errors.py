"""What is wrong with a file that cannot be read, in words."""

from __future__ import annotations

import errno
import os
from typing import Any

from PIL import Image, UnidentifiedImageError

from ._decode import File, opened_file

_SHOWN_BYTES = 16


class ImageFileError(OSError):
    """A picture that cannot be read.

    Attributes:
        file: Its path; of bytes "<1,234 bytes>".
        row: Its row in the source.
        reason: What is wrong with it.
    """

    file: str
    row: int
    reason: str


def image_file_error(file: File, row: int, class_name: str | None, error: Exception) -> ImageFileError:
    return error_of_reason(file, row, class_name, reason_of(file, error))


def error_of_reason(file: File, row: int, class_name: str | None, reason: str) -> ImageFileError:
    place = f"row {row}" if class_name is None else f"row {row}, class {class_name!r}"
    name = file_name(file)
    found = ImageFileError(
        f"{name if isinstance(file, bytes) else repr(name)} ({place}) cannot be read: {reason}. check_files(source) "
        "lists all such files; leave their rows out with Loader(rows=...), or mend them."
    )
    found.file, found.row, found.reason = name, row, reason
    return found


def file_name(file: File) -> str:
    """What a report or an error calls it: its path, or how long it is."""
    return f"<{len(file):,} bytes>" if isinstance(file, bytes) else file


def reason_of(file: File, error: Exception) -> str:
    """What is wrong with a file, without the full stop."""
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return (
            f"it has more pixels than Pillow takes for safe, PIL.Image.MAX_IMAGE_PIXELS = {_limit()} ({error}) "
            "Set a larger limit if you know where it comes from"
        )
    if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno == errno.ELOOP):
        return "it is not there; it has gone since the files were listed, or is a link that leads nowhere"
    if isinstance(error, PermissionError):
        return f"this process may not read it ({error.strerror})"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is(file)
    if "truncated" in str(error).lower():
        # Of pixels that are missing; a header that is cut short is of no use.
        fills = "image file is truncated" in str(error)
        remedy = ". PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True fills up what is missing" if fills else ""
        return f"it is truncated: {_sentence(error)}{remedy}"
    if type(error) is ValueError:
        return _sentence(error)
    return f"Pillow raises {type(error).__name__}: {_sentence(error)}"


def _limit() -> str:
    limit: Any = Image.MAX_IMAGE_PIXELS
    return f"{limit:,}" if isinstance(limit, int) else str(limit)


def _what_it_is(file: File) -> str:
    """Of a file that is no picture."""
    try:
        with opened_file(file) as opened:
            first = opened.read(_SHOWN_BYTES)
    except OSError:
        first = None
    if first == b"":
        return "it is empty, 0 bytes"
    begins = "" if first is None else f"; it begins with {first!r}"
    suffix = "" if isinstance(file, bytes) else os.path.splitext(file)[1]
    name = f", though its name ends in {suffix!r}" if suffix else ""
    return f"it is no picture that Pillow knows{name}{begins}"


def _sentence(error: Exception) -> str:
    return str(error).strip().rstrip(".")
