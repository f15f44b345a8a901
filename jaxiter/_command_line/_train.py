"""`python -m jaxiter train`: the demonstration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ._flags import positive


def add_train(commands: argparse._SubParsersAction) -> None:
    text = "train a small convolutional network on scanned digits, and show its augmented images; the default"
    parser = commands.add_parser("train", help=text, description=text)
    parser.add_argument("--epochs", type=positive, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, default=Path("jaxiter-digits.png"), help="where to put the picture of the augmentation"
    )
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    try:
        from .._train_digits import train
    except ImportError as error:
        sys.exit(f"{error}. The demonstration needs the extra packages of jaxiter[demo]: pip install 'jaxiter[demo]'")
    train(options.epochs, options.seed, options.picture)
    return 0
