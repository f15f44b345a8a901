"""`python -m jaxiter`: trains on scanned digits, or with `pack` decodes a folder of pictures into one file."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from . import image_folder, pack

_COMMANDS = ("train", "pack")
# Behind a space, as paths may hold such text.
_OPTION = re.compile(r"(?<= )(on_error|shorter_side|size|resize|mode|dtype)=('\w+'|\[\d+, \d+\]|\w+)")


def main(arguments: list[str]) -> int:
    """Runs a command, by default `train`; returns the exit status."""
    if not arguments or arguments[0] not in (*_COMMANDS, "-h", "--help"):
        arguments = ["train", *arguments]
    parser = argparse.ArgumentParser(prog="python -m jaxiter", description="A functional data loader for JAX.")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    _add_train(commands)
    _add_pack(commands)
    options = parser.parse_args(_with_both_sides(arguments))
    return options.run(options)


def _add_train(commands: argparse._SubParsersAction) -> None:
    text = "train a small convolutional network on scanned digits, and show its augmented images; the default"
    parser = commands.add_parser("train", help=text, description=text)
    parser.add_argument("--epochs", type=_positive, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, default=Path("jaxiter-digits.png"), help="where to put the picture of the augmentation"
    )
    parser.set_defaults(run=_train)


def _add_pack(commands: argparse._SubParsersAction) -> None:
    text = (
        "decode a folder that has a folder of pictures for each class once, into one file that "
        "jaxiter.open_packed opens; the same command goes on where a run was interrupted"
    )
    parser = commands.add_parser("pack", help=text, description=text)
    parser.add_argument("folder", metavar="FOLDER", help="as for jaxiter.image_folder")
    parser.add_argument("file", metavar="FILE", help="where to write")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--shorter-side",
        type=_side,
        default=256,
        metavar="PIXELS",
        help="what the shorter side of larger pictures is reduced to, or 'full' (default: 256)",
    )
    sizes.add_argument(
        "--size",
        type=_positive,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="one size for all, of one number a square; FILE is then a .npy, whatever it is called",
    )
    parser.add_argument("--resize", choices=["squash", "crop", "pad"], default="squash", help="how, with --size")
    parser.add_argument("--mode", choices=["L", "RGB", "RGBA", "mask"], default="RGB", help="mask for labels of pixels")
    parser.add_argument("--dtype", choices=["uint8", "uint16"], default="uint8", help="uint16 with --mode L or mask")
    parser.add_argument("--threads", type=_positive, metavar="N", help="that decode (default: one for each core)")
    parser.add_argument(
        "--on-error",
        choices=["raise", "report"],
        default="raise",
        help="name the files that cannot be read and make no file, or leave them out (default: raise)",
    )
    parser.set_defaults(run=_pack)


def _train(options: argparse.Namespace) -> int:
    try:
        from ._train_digits import train
    except ImportError as error:
        sys.exit(f"{error}. The demonstration needs the extra packages of jaxiter[demo]: pip install 'jaxiter[demo]'")
    train(options.epochs, options.seed, options.picture)
    return 0


def _pack(options: argparse.Namespace) -> int:
    size = None if options.size is None else tuple(options.size)
    try:
        source = image_folder(options.folder, size=size, resize=options.resize, mode=options.mode, dtype=options.dtype)
        report = pack(
            source,
            options.file,
            shorter_side=options.shorter_side,
            num_threads=options.threads,
            on_error=options.on_error,
        )
    except (OSError, TypeError, ValueError) as refused:
        lines = [f"python -m jaxiter pack: {_in_flags(str(refused))}", *getattr(refused, "__notes__", [])]
        print("\n".join(lines), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    for row, path, error in report.left_out:
        print(f"left out: row {row}, {path!r}: {error.reason}")
    print(f"{report.num_examples:,} pictures in {report.file!r}, {os.path.getsize(report.file):,} bytes")
    return 0


def _with_both_sides(arguments: list[str]) -> list[str]:
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


def _in_flags(text: str) -> str:
    """An error in the words of the command line: options of functions as flags."""
    text = text.replace("use image_files(", "pack in Python what is made by jaxiter.image_files(")
    return _OPTION.sub(lambda found: _flag(*found.groups()), text)


def _flag(name: str, value: str) -> str:
    flag, words = "--" + name.replace("_", "-"), value.strip("'[]").replace(",", "")
    if value == "None":
        return f"{flag} full" if name == "shorter_side" else f"no {flag}"
    return f"{flag} {words}"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _side(text: str) -> int | None:
    return None if text == "full" else _positive(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
