"""A leaf of an example as an array: numbers, arrays, and pictures of Pillow's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import check_not_masked

# Of Pillow's modes those whose numbers are grey, colours and alpha; a palette's, say, are something else.
_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F")
_DEEP_GREY = "I;16"  # in any order of bytes


def is_pillow(leaf: object) -> bool:
    """Whether it is a picture of Pillow's, which is not imported for that."""
    return any(cls.__module__ == "PIL.Image" and cls.__name__ == "Image" for cls in type(leaf).__mro__)


def as_array(owner: str, place: str, leaf: Any) -> np.ndarray:
    """The leaf as an array; of a picture of Pillow's (height, width, channels).

    Args:
        owner, place: What holds it, and where, for errors: "example 3 of the source", "['image']".

    Raises:
        TypeError: For masked arrays. ValueError: For pictures of Pillow's whose numbers are no grey and no colours.
        OSError: For a picture that cannot be read.
    """
    if not is_pillow(leaf):
        check_not_masked(f"{owner}{place}", leaf)
        return np.asarray(leaf)
    if leaf.mode not in _MODES and not leaf.mode.startswith(_DEEP_GREY):
        raise ValueError(
            f"{owner} holds a Pillow image of mode {leaf.mode!r}{_at(place)}, whose numbers are no grey and no "
            "colours; expected one of 'L', 'RGB', 'RGBA': picture.convert('RGB'). For class numbers that are kept in "
            "a palette give np.asarray(picture)."
        )
    try:
        found = np.asarray(leaf)
    except MemoryError:
        raise
    except Exception as error:  # its file is read here, and decoders raise what they come across
        raise OSError(f"{owner} holds a Pillow image{_at(place)} that cannot be read: {error!r}.") from error
    return found if found.ndim == 3 else found[..., None]


def shown_value(leaf: object, array: np.ndarray) -> str:
    """A leaf in the words of an error."""
    if is_pillow(leaf):
        return f"a Pillow image of mode {getattr(leaf, 'mode', None)!r}, {array.dtype}{list(array.shape)}"
    return f"{array.dtype}{list(array.shape)}"


def _at(place: str) -> str:
    return f" at {place}" if place else ""
