"""`python -m jaxiter`: the command line. Each command is a file of `_command_line`."""

from __future__ import annotations

import argparse
import sys
import warnings

from . import __version__
from ._command_line import add_pack, add_preview, add_train, with_both_sides

_EXAMPLES = """\
examples:
  python -m jaxiter --epochs 20                         train on scanned digits
  python -m jaxiter preview photos --picture look.png   look at a folder of pictures
  python -m jaxiter pack photos photos.jx               decode it once into one file

python -m jaxiter COMMAND --help lists the options of a command."""


def main(arguments: list[str]) -> int:
    """Runs a command, by default `train`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxiter",
        description="A functional data loader for JAX.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jaxiter {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for add in (add_train, add_pack, add_preview):
        add(commands)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments = ["train", *arguments]
    options = parser.parse_args(with_both_sides(arguments))
    with warnings.catch_warnings():
        warnings.showwarning = _show  # without the line of this file that it would point at
        return options.run(options)


def _show(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
