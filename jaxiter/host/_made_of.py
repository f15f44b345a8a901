"""What a packed file was made of: its sources and settings, and in what two of them differ."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

from ._decode import File
from ._image_files import ImageFiles

MadeOf = dict[str, Any]  # of what JSON has
_VERSION = 1  # raised where the same files give other pixels
_SETTINGS = ("version", "mode", "dtype", "size", "resize", "shorter_side")
_SOURCES = {
    "num_files": "another number of files",
    "names": "files of other names",
    "labels": "other labels or class names",
    "contents": "files that were written anew since (their sizes or times of change), or other bytes",
}


class Fingerprint:
    """The files of a source as they are now.

    stats: Of each file its size and time of change, int64 (n, 2).
    made_of: Checksums of their names (below the folder that holds them all, which may be moved), of their sizes and
        times of change, and of the labels; and the settings. Bytes have no name; they are known by a checksum.
    """

    def __init__(self, source: ImageFiles, shorter_side: int | None):
        self._files = list(source.files)
        self.stats = _stats_of(self._files)
        paths = [None if isinstance(file, bytes) else os.path.abspath(file) for file in self._files]
        folders = [os.path.dirname(path) for path in paths if path is not None]
        above = len(os.path.commonpath(folders)) if folders else 0
        names = [None if path is None else path[above:] for path in paths]
        labels = [None if source.labels is None else np.asarray(source.labels).tolist(), source.class_names]
        self.made_of: MadeOf = {
            "version": _VERSION,
            "num_files": len(names),
            "names": _checksum(json.dumps(names).encode()),
            "labels": _checksum(json.dumps(labels).encode()),
            "contents": _checksum(self.stats.astype("<i8").tobytes()),
            "mode": source.mode,
            "dtype": str(np.dtype(source.dtype)),
            "size": None if source.size is None else list(source.size),
            "resize": None if source.size is None else source.resize,
            "shorter_side": shorter_side,
        }

    def check_unchanged(self) -> None:
        """Raises OSError if files were changed since: some pictures may be of before, and some of after."""
        changed = np.flatnonzero((_stats_of(self._files) != self.stats).any(axis=1))
        if len(changed):
            raise OSError(
                f"{len(changed)} of {len(self._files)} files changed while they were packed, first "
                f"{self._files[changed[0]]!r}; no file was made. Call pack again once they stay as they "
                "are: it decodes these anew."
            )


def difference(before: MadeOf, now: MadeOf) -> str:
    """In words what differs; empty if nothing does."""
    settings = [
        f"{name}={before.get(name)!r} where this call has {now.get(name)!r}"
        for name in _SETTINGS
        if before.get(name) != now.get(name)
    ]
    sources = [words for name, words in _SOURCES.items() if before.get(name) != now.get(name)]
    return "; ".join([*settings, *sources[:1]])


def _stats_of(files: list[File]) -> np.ndarray:
    """Size and time of change, in nanoseconds, of each file; -1 of one that is gone, which its row then tells of.

    Of bytes their number and a checksum.
    """
    return np.array([_stat_of(file) for file in files], np.int64)


def _stat_of(file: File) -> tuple[int, int]:
    if isinstance(file, bytes):
        return len(file), int.from_bytes(hashlib.blake2b(file, digest_size=8).digest(), "little", signed=True)
    try:
        found = os.stat(file)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _checksum(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
