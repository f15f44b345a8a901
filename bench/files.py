"""Pictures in files: from a JPEG to a batch of crops, beside torchvision, Grain, Keras and tf.data.

    python bench/files.py [--rounds N] [--write] [--peer torch=PYTHON] [--peer tf=PYTHON] [--folder FOLDER]

A peer may be installed in another environment, whose Python is given. One that does not load is a row that says so.
Needs scikit-learn and scikit-image, for their photographs. `--write` puts the tables into bench/RESULTS.md. About
ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _in_turns import Runner, interleave
from _photos import HEIGHT, WIDTH, write_photos
from _timing import machine, markdown, write_section

import jaxiter as jx

COUNT, ROUNDS, SECONDS = 2000, 7, 3.0
OURS, TABLE = "jaxiter, image_folder", "jaxiter, image_folder"
ROWS = {
    "jaxiter, image_folder": "ours",
    "jaxiter, packed": "packed",
    "jaxiter, packed, resident": "packed, resident",
    "jaxiter, packed with shorter_side=256": "packed 256",
    "jaxiter, the same, resident": "packed 256, resident",
    f"jaxiter, uint8 {HEIGHT} x {WIDTH}": "array",
    f"jaxiter, uint8 {HEIGHT} x {WIDTH}, resident": "array, resident",
    "torch DataLoader, torchvision v2, 2 processes": "torch",
    "Grain, Pillow, 2 threads": "grain",
    "Grain, Pillow, 2 processes": "grain, processes",
    "tf.data, decode_and_crop_jpeg, AUTOTUNE": "tf",
    "Keras flow_from_directory, without a crop": "keras",
}
FROM_FILES = [name for name in ROWS if not name.startswith("jaxiter")]


def ratio(one: Runner, other: Runner) -> str:
    """Of CPU times for an image, `other` over `one`: the median over the rounds, with its range."""
    found = [reference / own for own, reference in zip(one.cpu, other.cpu, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def measured(folder: Path, pythons: dict[str, str], antialias: bool, rounds: int) -> list[Runner]:
    runners = []
    for name, case in ROWS.items():
        if not antialias and case in ("grain", "grain, processes", "keras"):
            continue  # Pillow always takes means where it shrinks
        python = pythons.get(case.partition(",")[0], sys.executable)
        script = str(Path(__file__).with_name("_file_peers.py"))
        runners.append(Runner(name, [python, script, case, str(folder), "true" if antialias else "false"]))
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    interleave(runners, rounds, SECONDS, logs)
    return runners


def table(runners: Sequence[Runner]) -> str:
    heads = ["", "images/s", "CPU ms/image", "range", "speed by CPU x image_folder", "resident set"]
    rows, ours = [heads], runners[0]
    for one in runners:
        if one.error:
            rows.append([one.name, "-", one.error, "-", "-", "-"])
            continue
        times = [cpu * 1e3 for cpu in one.cpu]
        spread = f"{min(times):.2f} to {max(times):.2f}"
        rate, cpu = f"{one.images_per_second:,.0f}", f"{statistics.median(times):.2f}"
        rows.append([one.name, rate, cpu, spread, ratio(one, ours), f"{one.resident / 1e6:,.0f} MB"])
    return markdown(rows)


def prepare(folder: Path, count: int) -> None:
    """The same pictures as files, packed, and as an array of one size."""
    photos = write_photos(folder, count)
    link = folder / "photos"
    if not link.exists():
        link.symlink_to(photos.name)
    source = jx.image_folder(link)
    jx.pack(source, folder / "photos.jx", shorter_side=None, progress=False)
    jx.pack(source, folder / "photos-256.jx", progress=False)
    jx.pack(jx.image_folder(link, size=(HEIGHT, WIDTH)), folder / "photos.npy", progress=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--antialias", default="both")
    arguments = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in arguments.peer)
    prepare(arguments.folder, COUNT)
    for antialias in (True, False):
        if arguments.antialias in ("both", str(antialias)):
            print(antialias, flush=True)
            print(table(measured(arguments.folder, pythons, antialias, arguments.rounds)), flush=True)
