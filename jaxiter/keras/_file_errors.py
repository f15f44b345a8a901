"""Errors about one picture of a batch, which name its file."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, NoReturn

from PIL import Image

from ..host.internal import reason_of

# What Pillow raises of some broken files, beside OSError.
_BROKEN = (SyntaxError, EOFError, struct.error, zlib.error)


def raise_named(error: Exception, path: Any, described: str) -> NoReturn:
    """Raise an error of the same type whose text names the file; an OSError for whatever a broken file causes.

    Args:
        error: Of reading the file.
        path: The file.
        described: Its row and class.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise type(error)(error.errno, f"{error.strerror}; {described}", os.fspath(path)) from error
    if not isinstance(error, (OSError, Image.DecompressionBombError, *_BROKEN)):
        error.add_note(f"jaxiter: the picture is {path!r}, {described}.")
        raise error
    kind = OSError if isinstance(error, _BROKEN) else type(error)
    raise kind(
        f"{os.fspath(path)!r}, {described}, cannot be read: {reason_of(os.fsdecode(path), error)}. Repair the file or "
        "leave it out; the iterator goes on with the next batch."
    ) from error
