"""How many images a second does jaxiter deliver beside Keras and NumPy, and what memory does it hold?

    python bench/run.py [--rounds N] [--quick] [--write]

needs `pip install -e '.[bench]'`, and `.[peers]` (3.8 GB) for the libraries beside it; a full run takes about ten
minutes on two cores. `--write` puts the tables into bench/RESULTS.md and the plot into bench/curves.png.
"""

import os

# Before NumPy is imported: one of the two left set may choose a kernel that this machine's BLAS is slow with.
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)
os.environ.setdefault("KERAS_BACKEND", "jax")

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import _curves
import _memory
import _overlap
import numpy as np
from _contestants import (
    AUGMENTED,
    BATCH,
    DONATED,
    FACE,
    GATHER,
    GATHERED,
    HOST_STREAM,
    JAX,
    KERAS,
    NUMPY,
    ORDER,
    SCAN,
    SCAN_CONV,
    SHIFTED,
    STEPPED,
    STEPPED_CONV,
    STREAM,
    augmented,
    gathered,
    order_of_a_batch,
    shifted,
    whole_order,
)
from _rivals import PACKAGES, agreement, missing, rivals
from _timing import Contestant, interleave, machine, markdown, table
from _variants import ALL, DEFAULT, DEFAULT_SHIFT, WARP, against_scipy, sampled, scipy_names, shifts, with_steps

CURVES = Path(__file__).with_name("curves.png")
OVER_KERAS, OVER_PEERS = {"W1": 60, "W2": 20, "W3": 150}, {"W1": 2, "W2": 1.3, "W3": 6}
OVER_NUMPY = {"W4s": 0.8, "W4l": 1}
OVER_RESIDENT = {"W1": 0.6, "W2": 0.8}
GPU_BEGIN = "<!-- gpu:begin -->"
NO_GPU = f"""{GPU_BEGIN}
## GPU

There are no figures of a GPU; `python bench/gpu.py --write` makes them on a machine that has one.
<!-- gpu:end -->
"""


def run_all(rounds: int, quick: bool, picture: Path) -> str:
    seconds = 0.1 if quick else 0.5
    sections, rates = [], {}

    def add(section: str) -> None:
        sections.append(section)
        print(f"\n{section}", flush=True)

    def compete(title: str, name: str, contestants: list[Contestant], baseline: str | None) -> None:
        interleave(contestants, rounds, seconds)
        rates[name] = {contestant.name: contestant.images_per_second for contestant in contestants}
        add(f"## {title}\n\n{table(contestants, baseline)}")

    for load in AUGMENTED:
        contestants = [*augmented(load), *rivals(load, "affine")]
        compete(f"{load}, the whole augmentation", load.name, contestants, KERAS)
    contestants = [*shifted(SHIFTED), *rivals(SHIFTED, "shift")]
    compete(f"{SHIFTED}, flip and fractional shift", SHIFTED.name, contestants, KERAS)
    for load in AUGMENTED:
        title = f"{load.side}x{load.side}x3, flips and shifts alone, `Loader.batch` with donate="
        compete(title, f"{load.name} shifts", shifts(load), DEFAULT_SHIFT)
        title = f"{load.name}, `Loader.batch` with other borders and spline orders"
        compete(title, f"{load.name} sampled", sampled(load), DEFAULT)
        title = f'{load.side}x{load.side}x3 float32, 16 images along given matrices, "nearest"'
        compete(title, f"{load.name} SciPy", against_scipy(load), scipy_names(3)[0])
        title = f"{load.name}, `jaxiter.keras` without rescale, and steps on top"
        compete(title, f"{load.name} steps", with_steps(load), WARP)
    for load in GATHERED:
        compete(f"{load}, shuffle, gather and cast", load.name, [*gathered(load), *rivals(load, "gather")], NUMPY)
    for size in (10**5, 10**6) if quick else (10**5, 10**6, 10**7):
        compete(f"W5: order of {size:,} (an image is a position)", f"W5 {size}", whole_order(size), JAX)
    compete("W5: 128 positions of an order of 100,000,000", "W5 batch", order_of_a_batch(10**8), None)
    add(f"## Curves\n\n{_curves.curves(rounds, seconds / 2, picture)}")
    tables, waiting = _overlap.overlap(rounds)
    add(f"## Overlap\n\n{tables}")
    for side in (32, 224):
        title = f"{side}x{side}: the same images along the same maps, beside SciPy in float64"
        add(f"## {title}\n\n{markdown(agreement(side))}")
    add(f"## Memory\n\n{_memory.NOTE}\n\n{_memory.memory_table(__file__)}")
    add(f"## Targets\n\n{targets(rates, waiting)}")
    return "\n\n".join(sections)


def targets(rates: dict[str, dict[str, float]], waiting: float) -> str:
    found = [
        *(
            (f"{name}, {way} over {versus}", rates[name][ours] / theirs(rates[name]), aims[name])
            for aims, versus, theirs, batch in (
                (OVER_KERAS, "Keras", lambda found: found[KERAS], BATCH),
                (OVER_PEERS, "the best peer", _best_peer, BATCH),
                (OVER_NUMPY, "NumPy", lambda found: found[NUMPY], GATHER),
            )
            for name in aims
            for way, ours in (("Loader.batch", batch), ("stream", STREAM), ("stream, donate=True,", DONATED))
        ),
        ("W1, jaxiter.keras over Keras", rates["W1"][FACE] / rates["W1"][KERAS], 25),
        ("W2, jaxiter.keras over Loader.batch", rates["W2"][FACE] / rates["W2"][BATCH], 1 / 1.5),
        *(
            (f"cubic at {side} pixels over SciPy", _ratio(rates[f"{name} SciPy"], *reversed(scipy_names(3))), 1)
            for name, side in (("W1", 32), ("W2", 224))
        ),
        *(
            (f"{name}, the warp's time over that of all steps on top", _warp_over_steps(rates[f"{name} steps"]), 1)
            for name in ("W1", "W2")
        ),
        ("order of 1,000,000 over jax.random.permutation", rates["W5 1000000"][ORDER] / rates["W5 1000000"][JAX], 5),
        *(
            (f"{name}, scan_epoch over stepping, {what}", rates[name][scanned] / rates[name][stepped], 1 / 1.3)
            for name in ("W1", "W2")
            for what, scanned, stepped in (("sum", SCAN, STEPPED), ("convolution", SCAN_CONV, STEPPED_CONV))
        ),
        *(
            (
                f"{name}, stream over a NumPy array over a resident one",
                rates[name][HOST_STREAM] / rates[name][STREAM],
                aim,
            )
            for name, aim in OVER_RESIDENT.items()
        ),
        ("README's network, host array: the time not in next over all of it", 1 - waiting, 0.97),
    ]
    rows = [
        [what, f"{is_:.2f}", f"{aim:.2f}", "met" if is_ >= aim else "missed"] for what, is_, aim in found if is_ == is_
    ]
    return markdown([["ratio of speeds", "measured", "at least", ""], *rows])


def _ratio(rates: dict[str, float], one: str, other: str) -> float:
    return rates[one] / rates[other]


def _best_peer(rates: dict[str, float]) -> float:
    """Not Keras, which has aims of its own; NaN without any, their packages are optional."""
    peers = [rate for who, rate in rates.items() if who not in (KERAS, NUMPY) and "jaxiter" not in who]
    return max(peers, default=np.nan)


def _warp_over_steps(rates: dict[str, float]) -> float:
    return (1 / rates[WARP]) / (1 / rates[ALL] - 1 / rates[WARP])


def report(body: str, rounds: int) -> str:
    return f"""# How fast jaxiter is, beside Keras and NumPy

Written by `python bench/run.py --write`. {machine()}.

Each table is one run of {rounds} rounds; in a round every contestant works for about half a second, one after the
other. Medians over the rounds, with their range. Every batch is waited for before the next is asked for, but for scans
and stepping, which are waited for by epoch; a stream has two more batches under way meanwhile. Compilation happens in
the first call and is not in the rates. CPU time is that of all threads. Absolute figures move with the machine's other
work: believe the ratios within a table. Data are uniform noise; what every contestant returns is checked for shape,
dtype, range and mean.

Peers that took part: {", ".join(f"{name} {version(name)}" for name in PACKAGES.values() if name not in missing())}.
Not installed: {", ".join(missing()) or "none"}. "jit + vmap" ones take maps that NumPy drew.

Batches of 19 MB (W2, W4l) without `donate` hang on what the allocator of the C library does, which differs from
process to process: where it gives memory back, every batch comes in fresh pages. `Loader.batch` made 7,000 images a
second at W2 in such runs and 10,500 in others, at W4l 7,000 and 100,000. That holds for every contestant whose batches
JAX makes; with `donate` it does not arise.

"No boundary" is `scan_epoch` without `jaxiter/_boundary.py`: what XLA makes of a scan when it may fuse the
augmentation into the step.

{body}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds of each work load (5)")
    parser.add_argument("--quick", action="store_true", help="3 short rounds and no order of 10,000,000")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)  # one case of the memory table, as JSON
    arguments = parser.parse_args()
    if arguments.memory:
        case, load = (int(number) for number in arguments.memory)
        print(json.dumps(_memory.measure(_memory.CASES[case], _memory.LOADS[load])))
        return
    if arguments.write and (arguments.quick or (arguments.rounds or 5) < 5):
        parser.error("--write is for a full run: not with --quick, and with at least 5 rounds.")
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:  # the picture belongs to the tables that are written with it
        body = run_all(rounds, arguments.quick, CURVES if arguments.write else Path(scratch, CURVES.name))
    if arguments.write:
        results = Path(__file__).with_name("RESULTS.md")
        _, begin, gpu = results.read_text().partition(GPU_BEGIN)  # that part is written by gpu.py, on another machine
        results.write_text(f"{report(body, rounds)}\n{begin + gpu or NO_GPU}")


if __name__ == "__main__":
    main()
