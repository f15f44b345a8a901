"""`python -m jaxiter preview`: what a folder of pictures holds, and what an augmentation makes of some of them."""

from __future__ import annotations

import argparse
import os
import sys

import jax
import numpy as np

from ..loader import Loader
from ._flags import DTYPES, MODES, refused, whole_number
from ._pictures import Pictures, open_pictures
from ._place import Place
from ._survey import Survey, classes_of, counted, described, survey
from ._usual import NAMES, Augmentation, augmentation

_BATCH_SIZE = 32  # of the lines that are printed
_MOST_ROWS, _MOST_EPOCHS, _MOST_SIDE = 256, 64, 4096


def add_preview(commands: argparse._SubParsersAction) -> None:
    text = (
        "say what a folder of pictures holds, and write a picture of some of them above what a usual augmentation "
        "makes of them in some epochs"
    )
    parser = commands.add_parser("preview", help=text, description=text)
    parser.add_argument(
        "folder", metavar="FOLDER", help="with a folder of pictures for each class, or with pictures; or a file of pack"
    )
    parser.add_argument(
        "--rows", type=whole_number(1, _MOST_ROWS), default=8, metavar="N", help="pictures (default: 8)"
    )
    parser.add_argument(
        "--epochs",
        type=whole_number(1, _MOST_EPOCHS),
        metavar="N",
        help="how often each is augmented (default: 3, or 1 with --augment none)",
    )
    parser.add_argument(
        "--size",
        type=whole_number(1, _MOST_SIDE),
        nargs=2,
        default=[224, 224],
        metavar=("HEIGHT", "WIDTH"),
        help="of the augmented pictures, of one number a square (default: 224 224)",
    )
    parser.add_argument(
        "--augment",
        choices=NAMES,
        default="usual",
        help="usual: random crop, flip, colours; rand, trivial: RandAugment, TrivialAugment after crop and flip; none: "
        "the central crop (default: usual)",
    )
    parser.add_argument(
        "--picture",
        type=_picture_file,
        default="jaxiter-preview.png",
        metavar="FILE.png",
        help="where to write it (default: jaxiter-preview.png); a picture of an earlier preview is overwritten, and "
        "no other file",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=0, metavar="N", help="of the augmentation (default: 0)"
    )
    parser.add_argument("--mode", **MODES)
    parser.add_argument("--dtype", **DTYPES)
    parser.set_defaults(run=_preview)


def _preview(options: argparse.Namespace) -> int:
    try:
        return _previewed(options)
    except (OSError, TypeError, ValueError) as error:
        return refused("preview", error)
    except KeyboardInterrupt:
        print("\ninterrupted; no picture was written", file=sys.stderr)
        return 130


def _previewed(options: argparse.Namespace) -> int:
    place = Place(options.picture)
    pictures = open_pictures(options.folder, options.mode, options.dtype)
    place.check(options.folder, pictures)
    augment = augmentation(
        options.augment,
        tuple(options.size),
        pictures.images.shape[-1],
        np.iinfo(pictures.dtype).max,
        is_mask=pictures.mode == "mask",
    )
    found = survey(pictures)
    print("\n".join(described(pictures, found)), flush=True)
    good = found.good
    if not len(good):
        size = len(found.sizes)
        what = "the only file cannot" if size == 1 else f"none of the {counted(size, 'file')} can"
        raise ValueError(f"{what} be read; no picture was written.")
    rows = good[np.linspace(0, len(good) - 1, min(options.rows, len(good))).round().astype(np.int64)]
    epochs = options.epochs or (1 if options.augment == "none" else 3)
    loader = Loader(pictures.images, batch_size=1, augment=augment.transform)
    picture = loader.preview(jax.random.key(options.seed), rows=rows, epochs=epochs)
    place.check(options.folder, pictures)  # again: decoding takes a while
    place.save(picture)
    if classes := classes_of(pictures, rows):
        print(f"shown, from left to right: {classes}")
    originals, them = ("the original", "it") if len(rows) == 1 else ("originals", "them")
    made = "an epoch makes" if epochs == 1 else f"{epochs} epochs make"
    print(f"{originals} above what {made} of {them}: {place.path}")
    print("in Python:")
    print("\n".join(f"  {line}" for line in _lines(pictures, found, augment, len(rows), epochs, options.seed)))
    return 0


def _lines(
    pictures: Pictures, found: Survey, augment: Augmentation, num_rows: int, epochs: int, seed: int
) -> list[str]:
    """Python that makes the same picture, to go on with."""
    lines = ["import jax, jaxiter as jx", *pictures.lines, f"augment = {augment.text}"]
    rows = ""
    if found.bad:
        lines[0] = "import jax, numpy as np, jaxiter as jx"
        lines.append("bad = [row for row, path, error in jx.check_files(images)]")
        rows = ", rows=np.delete(np.arange(len(images)), bad)"
    data, tree = ("images", "augment") if pictures.labels is None else ("(images, labels)", "(augment, None)")
    batch_size = min(_BATCH_SIZE, len(found.good))
    lines.append(f"loader = jx.Loader({data}, batch_size={batch_size}, augment={tree}{rows})")
    lines.append(f"loader.preview(jax.random.key({seed}), rows={num_rows}, epochs={epochs})")
    return lines


def _picture_file(text: str) -> str:
    if os.path.splitext(text)[1].lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png; expected a name such as preview.png")
    return text
