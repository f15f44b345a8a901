"""Pictures on a disk that may be full."""

from __future__ import annotations

import errno
import io
import os
from contextlib import suppress
from typing import IO, Any

from PIL import Image

DISK_FAILED = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


def save_whole(
    img: Image.Image, path: str | bytes | os.PathLike | IO[bytes], format: str | None = None, **kwargs: Any
) -> None:
    """`img.save`, which raises where the disk is full, and leaves no part of a file there.

    Some of Pillow's encoders write to the file themselves, and take it for written when only a part of it was.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        img.save(path, format=format, **kwargs)
        return
    if format is None:
        extension = os.path.splitext(os.fsdecode(path))[1].lower()
        if extension not in Image.registered_extensions():
            img.save(path, **kwargs)  # which says so
            return
        format = Image.registered_extensions()[extension]
    encoded = io.BytesIO()
    img.save(encoded, format=format, **kwargs)
    try:
        with open(path, "wb") as file:
            file.write(encoded.getbuffer())
    except OSError as error:
        if error.errno in DISK_FAILED:
            if os.path.isfile(path):
                with suppress(OSError):
                    os.remove(path)
            error.add_note(f"jaxiter: {os.fsdecode(path)!r} was not written.")
        raise
