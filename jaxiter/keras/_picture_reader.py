"""Picture files as arrays, read in threads: those of a batch at once, and those of the next one meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from ..host.internal import Pool, num_cores
from ._images import img_to_array
from ._load_img import load_picture

_MAX_THREADS = 8
_BYTES = ("L", "RGB", "RGBA")  # modes of Pillow whose values are bytes


class Reading(NamedTuple):
    """How a file becomes a picture."""

    color_mode: str
    target_size: tuple[int, int] | None
    interpolation: str
    keep_aspect_ratio: bool
    exif: bool
    data_format: str


class Picture(NamedTuple):
    values: np.ndarray  # uint8 where the file holds bytes, which float32 holds too, else float32
    cut: str | None  # what `load_img` would warn of


_Key = tuple[Any, Reading]
_Identity = tuple[int, ...] | None  # of a file as it was when it was read; None: there is none


def read_picture(path: Any, reading: Reading, tells_of_cut: bool) -> Picture:
    told: list[str] = []
    on_cut = told.append if tells_of_cut else None
    color_mode, target_size, interpolation, keep_aspect_ratio, exif, data_format = reading
    image = load_picture(path, color_mode, target_size, interpolation, keep_aspect_ratio, exif=exif, on_cut=on_cut)
    values = img_to_array(image, data_format, np.uint8 if image.mode in _BYTES else np.float32)
    return Picture(values, told[0] if told else None)


class PictureReader:
    """Reads files in threads of its own, which end with `close()` and with the reader.

    What is read ahead is a guess. It is used where it is asked for and the file is still the same, so that neither
    the guess nor the number of threads changes what is returned.
    """

    def __init__(self, num_threads: int | None = None):
        self._pool = Pool(min(_MAX_THREADS, num_cores()) if num_threads is None else num_threads, "jaxiter-pictures")
        self._ahead: dict[_Key, Future[tuple[_Identity, Picture]]] = {}
        self._lock = threading.Lock()
        # The threads know the pool and not the reader.
        weakref.finalize(self, self._pool.cancel).atexit = False

    def read(
        self, paths: Sequence[Any], reading: Reading, *, following: Sequence[Any] = (), tells_of_cut: bool = True
    ) -> Iterator[Picture]:
        """The pictures one by one; the first that cannot be read raises what Pillow says of it.

        Args:
            paths: The files.
            reading: What is done to each.
            following: Files that are likely to be asked for next.
            tells_of_cut: Whether to look for values that are cut off.
        """
        keys = [(path, reading) for path in paths]
        with self._lock:
            ahead = {key: self._ahead.pop(key) for key in dict.fromkeys(keys) if key in self._ahead}
        started = {key: self._start(key, tells_of_cut) for key in dict.fromkeys(keys) if key not in ahead}
        self._start_next([(path, reading) for path in following], tells_of_cut)
        for key in keys:
            if key in ahead:
                yield _taken(key, ahead[key], tells_of_cut, is_early=True)
            else:
                yield _taken(key, started[key], tells_of_cut, is_early=False)

    def close(self) -> None:
        """Ends the threads. Returns None."""
        self._pool.close()

    def _start(self, key: _Key, tells_of_cut: bool) -> Future[tuple[_Identity, Picture]]:
        try:
            return self._pool.submit(_read_as_it_is, key, tells_of_cut)
        except RuntimeError:  # the system has no thread left
            future: Future[tuple[_Identity, Picture]] = Future()
            future.cancel()
            return future

    def _start_next(self, keys: list[_Key], tells_of_cut: bool) -> None:
        with self._lock:
            kept = {key: self._ahead[key] for key in keys if key in self._ahead}
            for key in self._ahead.keys() - kept.keys():
                self._ahead[key].cancel()
            self._ahead = {key: kept[key] if key in kept else self._start(key, tells_of_cut) for key in keys}


def _read_as_it_is(key: _Key, tells_of_cut: bool) -> tuple[_Identity, Picture]:
    return _identity_of(key[0]), read_picture(*key, tells_of_cut)


def _taken(key: _Key, future: Future[tuple[_Identity, Picture]], tells_of_cut: bool, *, is_early: bool) -> Picture:
    """The picture; read here and now where a thread has failed, or has read what is no longer there."""
    try:
        identity, picture = future.result()
    except Exception:  # the pool may have ended, or the file have come since
        return read_picture(*key, tells_of_cut)
    if is_early and (identity is None or identity != _identity_of(key[0])):
        return read_picture(*key, tells_of_cut)
    return picture


def _identity_of(path: Any) -> _Identity:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
