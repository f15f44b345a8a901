"""Options of the command line: what is typed, and errors of functions in the words of the command."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable

# An option of a function, or two to compare; what stands in quotes is passed over, as a path may hold such text.
_VALUE = r"('\w+'|\[\d+, \d+\]|\w+)"
_OPTION = re.compile(
    rf"'[^']*'|\b(on_error|shorter_side|size|resize|mode|dtype)={_VALUE}(?: where this call has {_VALUE})?"
)
MODES = {"choices": ["L", "RGB", "RGBA", "mask"], "default": "RGB", "help": "mask for labels of pixels"}
DTYPES = {"choices": ["uint8", "uint16"], "default": "uint8", "help": "uint16 with --mode L or mask"}


def with_both_sides(arguments: list[str]) -> list[str]:
    """With `--size 32 32` for `--size 32`: an option of "one or two" of argparse would take FOLDER for the second."""
    found: list[str] = []
    for argument in arguments:
        found += argument.split("=", 1) if argument.startswith("--size=") else [argument]
    if "--size" in found:
        place = found.index("--size") + 1
        numbers = [text.isdecimal() for text in found[place : place + 2]]
        if numbers in ([True], [True, False]):
            found.insert(place, found[place])
    return found


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type of argparse: whole numbers from `least` to `most`."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {bounds}")
        return int(text)

    return read


positive = whole_number(1)


def refused(command: str, error: BaseException) -> int:
    """Says why a command was refused; returns the exit status."""
    lines = [f"python -m jaxiter {command}: {in_flags(str(error))}", *getattr(error, "__notes__", [])]
    print("\n".join(lines), file=sys.stderr)
    return 1


def in_flags(text: str) -> str:
    """An error in the words of the command line: options of functions as flags."""
    text = text.replace("use image_files(", "pack in Python what is made by jaxiter.image_files(")
    return _OPTION.sub(_as_flag, text)


def _as_flag(found: re.Match[str]) -> str:
    name, value, other = found.groups()
    if name is None:
        return found[0]
    return _flag(name, value) + ("" if other is None else f" where this command has {_flag(name, other)}")


def _flag(name: str, value: str) -> str:
    flag, words = "--" + name.replace("_", "-"), value.strip("'[]").replace(",", "")
    if value == "None":
        return f"{flag} full" if name == "shorter_side" else f"no {flag}"
    return f"{flag} {words}"
