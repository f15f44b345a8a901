"""The right to make a file: one process at a time has it, and none replaces a file that is there."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import IO, Any


class Claim:
    """Opens and locks the journal beside a file that is to be made, until it is closed or the process ends.

    Attributes:
        path: Of the file.
        part: Of what there is of it before it is finished.
        journal: Open for reading and writing; empty where no work was left.

    Raises:
        ValueError: If another process has the claim, or `part` is there without a journal: it is not of `pack`.
    """

    def __init__(self, path: str):
        self.path, self.part, self.journal_path = path, f"{path}.part", f"{path}.part.journal"
        self._is_removed = False
        self.journal, is_new = self._locked()
        if is_new and os.path.exists(self.part):  # `pack` writes the journal before the part, and removes it after it
            self.remove()
            self.journal.close()
            raise ValueError(
                f"{self.part!r} is not of jaxiter.pack, as no {self.journal_path!r} is beside it; expected that name "
                "to be free. Remove that file, or pack to another one."
            )

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: Any) -> None:
        if not os.path.exists(self.part):  # nothing was begun
            self.remove()
        with suppress(OSError):  # it would write once more what the disk had no room for
            self.journal.close()

    def remove(self, *, with_part: bool = False) -> None:
        """Removes the journal, last and before the lock is gone: no other process takes hold of it meanwhile.

        Once: the next journal of that name is of another process.
        """
        if self._is_removed:
            return
        self._is_removed = True
        for path in [self.part] * with_part + [self.journal_path]:
            with suppress(FileNotFoundError):
                try:
                    os.remove(path)
                except PermissionError:  # Windows removes no open file
                    self.journal.close()
                    os.remove(path)

    def _locked(self) -> tuple[IO[bytes], bool]:
        """The journal, and whether it is new."""
        while True:
            journal, is_new = _opened_or_new(self.journal_path)
            try:
                _lock(journal, self.path)
                if _is_at(journal, self.journal_path):  # else it was removed by the process that had it
                    return journal, is_new
            except BaseException:
                journal.close()
                raise
            journal.close()


def give_name(made: str, path: str) -> None:
    """Renames a finished file. Unlike a rename it replaces none.

    Raises:
        FileExistsError: If a file of that name is there.
    """
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    except (OSError, NotImplementedError):  # a file system without links
        if not os.path.lexists(path):
            os.replace(made, path)
            return
    else:
        os.remove(made)
        return
    raise FileExistsError(
        f"{path!r} appeared while its pictures were packed. Nothing is overwritten: remove it and call pack again, "
        "which goes on with what it decoded; or pack to another file."
    )


def opened(path: str) -> IO[bytes]:
    """For reading and writing, from its start; made if it is not there."""
    return _opened(path, os.O_CREAT)


def _opened_or_new(path: str) -> tuple[IO[bytes], bool]:
    while True:
        try:
            return _opened(path, os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            try:
                return _opened(path, 0), False
            except FileNotFoundError:  # it was removed meanwhile
                if os.path.islink(path):
                    raise


def _opened(path: str, flags: int) -> IO[bytes]:
    return open(os.open(path, os.O_RDWR | flags | getattr(os, "O_BINARY", 0), 0o666), "r+b")


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


def _is_at(stream: IO[bytes], path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
