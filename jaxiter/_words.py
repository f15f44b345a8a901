"""Words that several public signatures take, as a checker knows them."""

from __future__ import annotations

from typing import Literal, TypeAlias

Remainder: TypeAlias = Literal["drop", "pad", "keep"]
ResizeMode: TypeAlias = Literal["squash", "crop", "pad"]
PictureMode: TypeAlias = Literal["L", "RGB", "RGBA", "mask"]
