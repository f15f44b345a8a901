"""How many images a second does jaxiter deliver beside Keras, NumPy and others, and what memory does it hold?

    python bench/run.py [--quick] [--rounds N] [--write] [--compare OLD.json [NEW.json]]

needs `pip install -e '.[bench]'`, and `.[peers]` (3.8 GB) for the libraries beside it; a full run takes about ten
minutes on two cores. `--write` puts the tables into bench/RESULTS.md, their figures into bench/results.json, and draws
docs/speed.png.
`--compare` says what became slower than an earlier such file, and ends with status 1 if anything of jaxiter fell below
0.9 of it; with a second file nothing is run. Absolute figures move with what else the machine does, which the rows of
the other libraries show: for a close look at two versions take bench/versus.py.
"""

from __future__ import annotations

import os

# Before NumPy is imported: one of the two left set may choose a kernel that this machine's BLAS is slow with.
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import json
import sys
from pathlib import Path

import memory
import plot
from _loads import (
    BATCH,
    DONATED,
    FACE,
    GREY,
    HOST_STREAM,
    JAX,
    MIDDLE,
    ORDER,
    SCAN,
    STEPPED,
    STREAM,
    W1,
    W2,
    W3,
    W4L,
    W4S,
    order_of_a_batch,
    ours,
    whole_order,
)
from _peers import KERAS, NUMPY, SCIPY, check_warps, cubic, missing, peers
from _timing import Contestant, interleave, machine, markdown, table, versions, write_section

RESULTS = Path(__file__).with_name("results.json")
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "keras", "grain", "opencv-python-headless", "tensorflow", "torch")
SLOWER = 0.9
Figures = dict[str, float]
PEER, CUBIC = "the best peer", "jaxiter affine_warp, order 3"
AIMS = [  # table, what is asked, over what, at least
    *(
        (name, ours, KERAS, aim)
        for name, aim in (("W1", 60), ("28x28x1", 60), ("W2", 20), ("W3", 150))
        for ours in (BATCH, STREAM)
    ),
    *((name, ours, PEER, aim) for name, aim in (("W1", 2), ("W2", 1.3), ("W3", 6)) for ours in (BATCH, STREAM)),
    *(("96x96x3", ours, PEER, 1.2) for ours in (BATCH, STREAM)),
    *((name, ours, NUMPY, aim) for name, aim in (("W4s", 0.8), ("W4l", 1)) for ours in (BATCH, STREAM, DONATED)),
    ("W1", FACE, KERAS, 25),
    ("W2", FACE, BATCH, 1 / 1.5),
    *((name, FACE, STREAM, aim) for name, aim in (("W1", 0.7), ("W2", 0.85))),
    *((name, SCAN, STEPPED, 1 / 1.3) for name in ("W1", "W2")),
    *((name, HOST_STREAM, STREAM, aim) for name, aim in (("W1", 0.6), ("W2", 0.8))),
    *((f"cubic {side}", CUBIC, SCIPY, 1) for side in (32, 224)),
    ("W5 1000000", ORDER, JAX, 5),
]


class Run:
    """One run: what it printed, and the figures of each table's rows."""

    def __init__(self, rounds: int, quick: bool):
        self.rounds, self.quick = rounds, quick
        self.sections: list[str] = []
        self.tables: dict[str, dict[str, Figures]] = {}

    def add(self, section: str) -> None:
        self.sections.append(section)
        print(f"\n{section}", flush=True)

    def compete(self, name: str, title: str, contestants: list[Contestant], baseline: str | None) -> None:
        interleave(contestants, self.rounds, 0.1 if self.quick else 0.5)
        self.tables[name] = {one.name: one.figures() for one in contestants}
        self.add(f"## {title}\n\n{table(contestants, baseline)}")

    def everything(self) -> None:
        whole = "the whole augmentation"
        what = dict.fromkeys(("W1", "28x28x1", "96x96x3", "W2"), whole) | {"W3": "flip and fractional shift"}
        for load in (W1, GREY, MIDDLE, W2, W3, W4S, W4L):
            if what.get(load.name) == whole:
                check_warps(load)
            images, baseline = load.images(), KERAS if load.ranges else NUMPY
            title = f"{load}, {what.get(load.name, 'shuffle, gather and cast')}"
            self.compete(load.name, title, [*peers(load, images), *ours(load, images)], baseline)
        for load in (W1, W2):
            title = f"{load.side}x{load.side}x3 float32, 16 images along given matrices"
            self.compete(f"cubic {load.side}", title, cubic(load), SCIPY)
        for size in (10**5, 10**6) if self.quick else (10**5, 10**6, 10**7):
            self.compete(f"W5 {size}", f"W5: order of {size:,} (an image is a position)", whole_order(size), JAX)
        title = "W5: 128 positions of an order of 100,000,000"
        self.compete("W5 batch", title, order_of_a_batch(10**8), None)
        self.add(f"## Memory\n\n{memory.NOTE}\n\n{memory.table()}")
        self.add(f"## Targets\n\n{targets(self.tables)}")

    def as_json(self) -> dict[str, object]:
        found = {"machine": machine(), "versions": versions(PACKAGES), "rounds": self.rounds}
        return found | {"unit": "images/s", "tables": self.tables}


def targets(tables: dict[str, dict[str, Figures]]) -> str:
    rows = [["ratio of speeds", "measured", "at least", ""]]
    for name, what, over, aim in AIMS:
        rates = {row: found["median"] for row, found in tables[name].items()}
        # Keras has aims of its own.
        others = [rate for row, rate in rates.items() if row != KERAS and not row.startswith("jaxiter")]
        reference = max(others, default=None) if over == PEER else rates.get(over)
        if reference:
            ratio = rates[what] / reference
            verdict = "met" if ratio >= aim else "missed"
            rows.append([f"{name}, {what} over {over}", f"{ratio:.2f}", f"{aim:.2f}", verdict])
    return markdown(rows)


def compare(old: dict[str, dict[str, Figures]], new: dict[str, dict[str, Figures]]) -> tuple[str, bool]:
    """A table of new / old, and whether a row of jaxiter became slower."""
    rows, slower = [["new / old", "ratio", "range", ""]], False
    for name, row in [(name, row) for name, found in new.items() for row in found if row in old.get(name, {})]:
        is_, was = new[name][row], old[name][row]
        ratio = is_["median"] / was["median"]
        span = f"{is_['low'] / was['high']:.2f} to {is_['high'] / was['low']:.2f}"
        ours = row.startswith("jaxiter")
        slower |= ours and ratio < SLOWER
        verdict = "" if ratio >= SLOWER else "slower" if ours else "slower, but not jaxiter's: the machine?"
        rows.append([f"{name}, {row}", f"{ratio:.2f}", span, verdict])
    return markdown(rows), slower


def report(run: Run) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
    body = "\n\n".join(run.sections)
    return f"""# How fast jaxiter is, beside Keras, NumPy and others

Written by `python bench/run.py --write`. {machine()}; {packages}. Not installed: {", ".join(missing()) or "none"}.

Each table is one run of {run.rounds} rounds; in a round every contestant works for about half a second, one after the
other. Medians over the rounds, with their range. Every batch is waited for before the next is asked for, except in
scans and stepping, which are waited for by epoch; a stream has two more batches under way meanwhile. Compilation
happens in the first call and is not in the rates. CPU time is that of all threads. Absolute figures move with the
machine's other work: believe the ratios within a table. Data are uniform noise; every output is checked for shape,
dtype, range and mean, and the warps against SciPy. "jit + vmap" takes maps that NumPy drew.

{body}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds of each table (5)")
    parser.add_argument("--quick", action="store_true", help="3 short rounds and no order of 10,000,000")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md and bench/results.json")
    parser.add_argument("--compare", nargs="+", type=Path, metavar="JSON", help="an earlier file, and a later one")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    if arguments.write and (arguments.quick or rounds < 5):
        parser.error("--write is for a full run: not with --quick, and with at least 5 rounds.")
    files = [json.loads(path.read_text()) for path in arguments.compare or ()]
    if len(files) < 2:
        print(machine())
        run = Run(rounds, arguments.quick)
        run.everything()
        files.append(run.as_json())
    if arguments.write:
        write_section("run", report(run))
        RESULTS.write_text(json.dumps(run.as_json(), indent=1) + "\n")
        plot.main()
    if arguments.compare:
        text, slower = compare(files[0]["tables"], files[1]["tables"])
        print(f"\n{text}")
        sys.exit(int(slower))


if __name__ == "__main__":
    main()
