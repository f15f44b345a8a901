"""`python -m jaxiter pack`: a folder of pictures as one file."""

from __future__ import annotations

import argparse
import os
import sys

from ..host import image_folder, pack
from ._flags import DTYPES, MODES, positive, refused
from ._survey import counted


def add_pack(commands: argparse._SubParsersAction) -> None:
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
        type=positive,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="one size for all, of one number a square; FILE is then a .npy, whatever it is called",
    )
    parser.add_argument("--resize", choices=["squash", "crop", "pad"], default="squash", help="how, with --size")
    parser.add_argument("--mode", **MODES)
    parser.add_argument("--dtype", **DTYPES)
    parser.add_argument("--threads", type=positive, metavar="N", help="that decode (default: one for each core)")
    parser.add_argument(
        "--on-error",
        choices=["raise", "report"],
        default="raise",
        help="name the files that cannot be read and make no file, or leave them out (default: raise)",
    )
    parser.set_defaults(run=_pack)


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
    except (OSError, TypeError, ValueError) as error:
        return refused("pack", error)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    for row, path, left_out in report.left_out:
        print(f"left out: row {row}, {path!r}: {left_out.reason}")
    print(f"{counted(report.num_examples, 'picture')} in {report.file!r}, {os.path.getsize(report.file):,} bytes")
    return 0


def _side(text: str) -> int | None:
    return None if text == "full" else positive(text)
