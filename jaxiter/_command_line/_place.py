"""Where `preview` writes: over nothing that it did not write itself, and not among the pictures that it shows."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

from ..host import ImageFiles
from ..host.internal import save_whole
from ._pictures import Pictures

_MARK = "Software", "jaxiter preview"
_MARKED_WITHIN = 256  # bytes: Pillow writes texts right behind the header of a PNG
_OF_PACK = ("", ".json", ".json.part", ".part", ".part.journal", ".part.ordered")  # endings of what `pack` writes

_Id = tuple[int, int]


class Place:
    """The file to be written, by the text of --picture.

    Raises:
        ValueError: If it cannot be written, whatever is shown.
    """

    def __init__(self, text: str):
        self._text, self.path = text, os.path.realpath(text)
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise ValueError(f"--picture {text}: {folder!r} is no folder; expected one that is there.")
        try:
            self._try(folder)
        except OSError as error:
            raise ValueError(
                f"--picture {text} cannot be written ({error.strerror}); expected another place."
            ) from error

    def check(self, shown: str, pictures: Pictures) -> None:
        """Raises ValueError for a place that holds, or would become, something else than a picture of `preview`.

        Args:
            shown: The path of the folder or packed file.
            pictures: What is in it.
        """
        if isinstance(pictures.images, ImageFiles):
            files = [os.fsdecode(file) for file in pictures.images.files]
            self._check_files(files)
            self._check_folders(shown, [] if pictures.class_names is None else files)
        else:
            self._check_packed(shown)
        if os.path.lexists(self.path) and not _is_marked(self.path):
            raise ValueError(
                f"--picture {self._text} is there already, and was not written by preview, which overwrites its own "
                "pictures alone; expected another name."
            )

    def save(self, picture: Image.Image) -> None:
        """Writes it as a PNG that says who wrote it."""
        info = PngImagePlugin.PngInfo()
        info.add_text(*_MARK)
        save_whole(picture, self.path, format="PNG", pnginfo=info)

    def _try(self, folder: str) -> None:
        """Raises OSError where writing would; changes nothing, and leaves nothing behind in the folder."""
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            with tempfile.TemporaryFile(dir=folder):
                return
        if not stat.S_ISREG(mode):
            raise ValueError(f"--picture {self._text} is there already, and no file; expected another name.")
        with open(self.path, "r+b"):
            return

    def _check_files(self, files: list[str]) -> None:
        place = _id(self.path)
        for file in files:
            # A link that leads nowhere yet is a row that cannot be read: the picture would be read there.
            same = _id(file) == place if place else os.path.islink(file) and os.path.realpath(file) == self.path
            if same:
                raise ValueError(
                    f"--picture {self._text} is the file of {file!r}, one of the pictures that are shown; expected "
                    "another place."
                )

    def _check_folders(self, shown: str, files: list[str]) -> None:
        """Raises for a place in `shown`, or in a folder that links below it lead to."""
        folders = {_id(folder): folder for folder in _folders_of(shown, files)}
        for folder in _parents(self.path):
            if (found := folders.get(_id(folder))) is not None:
                raise ValueError(
                    f"--picture {self._text} lies in {found!r} and would be one of its pictures; expected another "
                    "place."
                )

    def _check_packed(self, shown: str) -> None:
        place = _id(self.path)
        for file in (start + ending for start in (shown, os.path.realpath(shown)) for ending in _OF_PACK):
            if os.path.realpath(file) == self.path or (place and _id(file) == place):
                what = "the packed file that is shown" if file == shown else f"{file!r}, which is a file of pack"
                raise ValueError(f"--picture {self._text} is {what}; expected another place.")


def _is_marked(path: str) -> bool:
    with open(path, "rb") as file:
        start = file.read(_MARKED_WITHIN)
    return start.startswith(b"\x89PNG\r\n\x1a\n") and b"tEXt" + "\0".join(_MARK).encode() in start


def _folders_of(shown: str, files: list[str]) -> set[str]:
    """`shown`, and the folders on the way from there to each file."""
    found = {shown, os.path.abspath(shown)}
    for file in files:
        for folder in _parents(file):
            if folder in found:
                break
            found.add(folder)
    return found


def _parents(path: str) -> Iterator[str]:
    """The folders that a full path lies in, the innermost first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder


def _id(path: str) -> _Id | None:
    """What two names of one file or folder share; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
