"""What do eight devices on the cores of one cost, and how fast are rows of a file that is not in memory?

    python bench/scale.py [--quick] [--write] [--disk FOLDER]

needs jaxiter alone. The devices are those of XLA's CPU backend, in processes of their own. `--disk` writes a file of
3 GB into FOLDER. `--write` puts the tables into bench/RESULTS.md. About two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from _loads import KEY, W1, W2
from _timing import machine, markdown, versions, write_section

from jaxiter import Loader, stream

LOADS = {"W1": W1, "W1, batches of 1,024": W1._replace(batch_size=1024), "W2": W2}
WAYS = {"memmap[rows]": 1, "memmap[rows], 16 threads": 16, "Loader.batch": None}


# Devices


def devices(quick: bool) -> str:
    found: dict[int, dict[str, list[float]]] = {1: {}, 8: {}}
    for _ in range(1 if quick else 5):
        for count, rates in found.items():
            flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
            command = [sys.executable, __file__, "--rates", str(0.2 if quick else 0.5)]
            environment = os.environ | {"XLA_FLAGS": flags}
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            for name, rate in json.loads(done.stdout.splitlines()[-1]).items():
                rates.setdefault(name, []).append(rate)
    rows = [["stream(..., sharding=), images/s", "1 device", "8 devices", "8 over 1"]]
    for name in found[1]:
        one, eight = (statistics.median(found[count][name]) for count in found)
        rows.append([name, f"{one:,.0f}", f"{eight:,.0f}", f"{eight / one:.2f}"])
    return f"### Eight devices on the same cores\n\n{markdown(rows)}"


def rates(seconds: float) -> dict[str, float]:
    """Images a second over all devices of this process, by load and by where the data lie."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    each, everywhere = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in (("data",), ()))
    found = {}
    for name, load in LOADS.items():
        loader = load.loader(load.images())
        sources = {"host": loader, "on every device": loader.to_device(everywhere)}
        if load.num_examples % mesh.size == 0:
            sources["divided"] = loader.to_device(each)
        for where, source in sources.items():
            with stream(source, KEY, sharding=each) as batches:
                for _ in range(3):
                    jax.block_until_ready(next(batches))
                count, start = 0, time.perf_counter()
                while (spent := time.perf_counter() - start) < seconds:
                    jax.block_until_ready(next(batches))
                    count += load.batch_size
                found[f"{name}, {where}"] = count / spent
    return found


# Disks


def disk(folder: Path, quick: bool) -> str:
    """Rows of a file that is not in the system's cache, by the memmap alone and by a Loader, which announces them."""
    path = folder / "jaxiter-rows.bin"
    block = np.random.default_rng(0).integers(0, 256, 2**24, dtype=np.uint8).tobytes()
    rows = [["", "MB/s"]]
    try:
        with path.open("wb") as file:
            for _ in range(20 if quick else 180):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        for row_bytes, batch_size in ((3_072, 128), (150_528, 32)):
            for way, threads in WAYS.items():
                numbers = range(1 if quick else 3)
                rate = statistics.median(rate_of_rows(path, row_bytes, batch_size, threads, n) for n in numbers)
                rows.append([f"{way}, rows of {row_bytes:,} bytes", f"{rate / 1e6:,.0f}"])
        forget(path)
        start = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.read(2**23):
                pass
        rate = path.stat().st_size / (time.perf_counter() - start)
        rows.append(["the file from end to end, 8 MB at a time", f"{rate / 1e6:,.0f}"])
    finally:
        path.unlink(missing_ok=True)
    return f"### Rows of a file that is not in memory\n\n{markdown(rows)}"


def rate_of_rows(path: Path, row_bytes: int, batch_size: int, threads: int | None, number: int) -> float:
    """Bytes a second. No mapping is left from the run before, or the system would keep its pages."""
    forget(path)
    array = np.memmap(path, np.uint8, "r", shape=(path.stat().st_size // row_bytes, row_bytes))
    loader, num_batches = Loader(array, batch_size=batch_size), 40
    key = jax.random.fold_in(KEY, 100 * number + (threads or 0))  # rows of its own
    places = [np.sort(np.asarray(loader.index(key, 0, step))) for step in range(num_batches)]
    jax.block_until_ready(loader.batch(key, 1, 0))  # compiles
    start = time.perf_counter()
    if threads is None:
        for step in range(num_batches):
            jax.block_until_ready(loader.batch(key, 0, step))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda rows: np.asarray(array[rows]), places))
    return num_batches * batch_size * row_bytes / (time.perf_counter() - start)


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller file")
    parser.add_argument("--write", action="store_true", help="write the part of bench/RESULTS.md")
    parser.add_argument("--disk", type=Path, metavar="FOLDER", help="read rows from a disk, too")
    parser.add_argument("--rates", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rates is not None:
        print(json.dumps(rates(arguments.rates)))
        return
    body = devices(arguments.quick)
    body += f"\n\n{disk(arguments.disk, arguments.quick)}" if arguments.disk else ""
    print(body)
    if arguments.write:
        packages = ", ".join(f"{name} {number}" for name, number in versions().items())
        head = f"## Scale\n\nWritten by `python bench/scale.py --write --disk FOLDER`. {machine()}; {packages}."
        write_section("scale", f"{head}\n\n{body}")


if __name__ == "__main__":
    main()
