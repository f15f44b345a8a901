"""Pictures in files: from a JPEG to a batch of crops, beside torchvision, Grain, tf.data and Keras.

    python bench/files.py [--rounds N] [--write] [--folder FOLDER] [--python torch=PATH] [--python tf=PATH]

Needs scikit-learn and scikit-image, for their photographs, and Linux. A peer may be installed in an environment of its
own, whose Python is given; one that does not load is a row that says so. The pictures are made in a temporary folder,
or once in the one that is given. `--write` puts the tables into bench/RESULTS.md. About fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from _file_peers import BATCH_SIZE, EPOCHS, NUM_EPOCHS, SIDE, WORKERS
from _in_turns import Runner, interleave
from _photos import HEIGHT, QUALITY, WIDTH, write_photos
from _timing import machine, markdown, versions, write_section

import jaxiter as jx

COUNT, ROUNDS, SECONDS, PACK_ROUNDS = 2000, 7, 3.0, 3
PACKAGES = ("jax", "jaxlib", "numpy", "pillow", "torch", "torchvision", "grain", "keras", "tensorflow_cpu")
PEERS = {
    "torch DataLoader, torchvision v2, 2 processes": "torch",
    "Grain, Pillow, 2 threads": "grain",
    "Grain, Pillow, 2 processes": "grain, processes",
    "tf.data, decode_and_crop_jpeg, AUTOTUNE": "tf",
}
FILES, DECODED, KERAS = (
    "jaxiter, image_folder",
    "decoding alone, Pillow, 2 threads",
    "Keras flow_from_directory, no crop",
)
PACKED, RESIDENT = "jaxiter, packed", "jaxiter, packed, to_device()"
ARRAY, ARRAY_RESIDENT = f"jaxiter, uint8 {HEIGHT} x {WIDTH}", f"jaxiter, uint8 {HEIGHT} x {WIDTH}, to_device()"
SMALLER, SMALLER_RESIDENT = "jaxiter, packed to 256", "jaxiter, packed to 256, to_device()"
ROWS = {
    FILES: "ours",
    DECODED: "decoded",
    **PEERS,
    KERAS: "keras",
    PACKED: "packed",
    RESIDENT: "packed, resident",
    ARRAY: "array",
    ARRAY_RESIDENT: "array, resident",
    SMALLER: "packed 256",
    SMALLER_RESIDENT: "packed 256, resident",
}
BY_PILLOW = ("grain", "grain, processes", "keras")  # which always takes means where it shrinks
BEST, LEAST = "the best peer", {FILES: 1.0, PACKED: 2.0, RESIDENT: 2.5}
TARGETS = [*((name, BEST, least) for name, least in LEAST.items())]
TARGETS += [(PACKED, ARRAY, 0.9), (RESIDENT, ARRAY_RESIDENT, 0.9)]


def measured(folder: Path, pythons: Mapping[str, str], antialias: bool, rounds: int) -> list[Runner]:
    script, runners = str(Path(__file__).with_name("_file_peers.py")), []
    for name, case in ROWS.items():
        if antialias or case not in BY_PILLOW:
            python = pythons.get(case.partition(",")[0], sys.executable)
            runners.append(Runner(name, [python, script, case, str(folder), json.dumps(antialias)]))
    (folder / "logs").mkdir(exist_ok=True)
    interleave(runners, rounds, SECONDS, folder / "logs")
    return runners


def table(runners: Sequence[Runner]) -> str:
    rows = [["", "images/s", "CPU ms/image", "range", "x image_folder", "resident"]]
    ours = next(one for one in runners if one.name == FILES)
    for one in runners:
        if one.error:
            rows.append([f"{one.name}: {one.error}", *["-"] * 5])
            continue
        times = [cpu * 1e3 for cpu in one.cpu]
        spread = f"{min(times):.2f} to {max(times):.2f}"
        rate, cpu = f"{one.images_per_second:,.0f}", f"{statistics.median(times):.2f}"
        rows.append([one.name, rate, cpu, spread, speed(one, ours), f"{one.resident / 1e6:,.0f} MB"])
    return markdown(rows)


def speed(one: Runner, other: Runner) -> str:
    """By CPU time, of `other` over that of `one`: the median over the rounds, with its range."""
    found = ratios(one, other)
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def ratios(one: Runner, other: Runner) -> list[float]:
    return [reference / own for own, reference in zip(one.cpu, other.cpu, strict=True)]


def targets(runners: Sequence[Runner]) -> str:
    named = {one.name: one for one in runners if one.cpu}
    best = min((one for name, one in named.items() if name in PEERS), key=lambda one: statistics.median(one.cpu))
    rows = [["ratio of speeds", "measured", "at least", ""]]
    for name, reference, least in TARGETS:
        one, other = named[name], best if reference == BEST else named[reference]
        met = "met" if statistics.median(ratios(one, other)) >= least else "missed"
        rows.append([f"{one.name} over {other.name}", speed(one, other), f"{least:.2f}", met])
    return markdown(rows)


# Packing and memory


def packing(folder: Path) -> str:
    """Packing beside decoding all files, by the same threads, in turns."""
    source = jx.image_folder(folder / "photos")

    def decode() -> None:
        for _ in source.pictures(num_threads=WORKERS):
            pass

    def pack(shorter_side: int | None) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as where:
            file = Path(where) / "photos.jx"
            jx.pack(source, file, shorter_side=shorter_side, num_threads=WORKERS, progress=False)

    cases: dict[str, Callable[[], None]] = {
        DECODED: decode,
        "pack(shorter_side=None)": lambda: pack(None),
        "pack(), a shorter side of 256": lambda: pack(256),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(PACK_ROUNDS):
        for name, call in cases.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    rows = [["", "images/s", "CPU ms/image", "x decoding alone"]]
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        over = statistics.median(first[1] / own[1] for own, first in zip(times, found[DECODED], strict=True))
        rows.append([name, f"{len(source) / wall:,.0f}", f"{cpu / len(source) * 1e3:.2f}", f"{over:.2f}"])
    return markdown(rows)


def memory(folder: Path) -> str:
    script = str(Path(__file__).with_name("_file_peers.py"))
    command = [sys.executable, script, EPOCHS, str(folder), "true"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    first, *others = (resident / 1e6 for resident in json.loads(output.splitlines()[-1]))
    pictures = BATCH_SIZE * HEIGHT * WIDTH * 3 / 1e6
    return (
        f"Resident after the first of {NUM_EPOCHS} epochs from the files: {first:,.0f} MB; after those that followed "
        f"{min(others):,.0f} to {max(others):,.0f} MB. A batch is {pictures:,.0f} MB of decoded pictures, in a buffer "
        f"of {2**24 * 3 / 1e6:,.0f} MB, and {BATCH_SIZE * SIDE**2 * 12 / 1e6:,.0f} MB of result; a stream has "
        "three batches in flight. All pictures decoded would be "
        f"{COUNT * HEIGHT * WIDTH * 3 / 1e6:,.0f} MB."
    )


def prepare(folder: Path, count: int) -> None:
    """The same pictures as files, packed, and as an array of one size."""
    photos = folder / "photos"
    write_photos(photos, count)
    jx.pack(jx.image_folder(photos), folder / "photos.jx", shorter_side=None, progress=False)
    jx.pack(jx.image_folder(photos), folder / "photos-256.jx", progress=False)
    jx.pack(jx.image_folder(photos, size=(HEIGHT, WIDTH)), folder / "photos.npy", progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    arguments = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        prepare(folder, COUNT)
        sections = []
        for antialias in (True, False):
            runners = measured(folder, pythons, antialias, arguments.rounds)
            sections.append(f"### antialias={antialias}\n\n{table(runners)}\n\n{targets(runners)}")
            print(f"\n{sections[-1]}", flush=True)
        sections += [f"### Packing\n\n{packing(folder)}", f"### Memory\n\n{memory(folder)}"]
        print("\n\n".join(["", *sections[2:]]), flush=True)
        if arguments.write:
            write_section("files", report(sections, folder, pythons, arguments.rounds))


def report(sections: Sequence[str], folder: Path, pythons: Mapping[str, str], rounds: int) -> str:
    found = versions(PACKAGES)
    for python in pythons.values():
        found = {**versions_of(python), **found}
    packages = ", ".join(f"{name} {number}" for name, number in found.items())
    size = statistics.mean(path.stat().st_size for path in (folder / "photos").glob("*/*.jpg"))
    body = "\n\n".join(sections)
    return f"""## Pictures in files

Written by `python bench/files.py --write`, {rounds} rounds of about {SECONDS:.0f} s for each row, in turns: each is a
process of its own, and all others, with their children, are stopped meanwhile. {machine()}; {packages}.

{COUNT:,} JPEGs of about {WIDTH} x {HEIGHT} pixels (each side up to 15 % more or less, a third upright), of quality
{QUALITY} and {size / 1000:.0f} kB on average: patches of photographs that scikit-learn and scikit-image bring. Each
becomes a random part of {SIDE} x {SIDE} x 3, flipped in half of all cases, normalised, float32, in batches of
{BATCH_SIZE}. CPU time is that of all threads and processes. "x" is a ratio of speeds by CPU time within a round, as
median and range: images/s moves with the other work of the machine, of which there was some. All decode by
libjpeg-turbo. Resident: of all processes of a row, with pages of mapped files, at the end of a round.

{body}"""


def versions_of(python: str) -> dict[str, str]:
    """Of the packages in another environment."""
    program = (
        "import json; from importlib.metadata import distributions as d; "
        f"print(json.dumps({{one.name: one.version for one in d() if one.name in {PACKAGES}}}))"
    )
    return json.loads(subprocess.run([python, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
