"""Does the arithmetic of docs/scale.md hold: a billion examples on 1,024 hosts, and eight devices on the cores of one?

    python bench/scale.py [--quick] [--write] [--disk FOLDER]

needs jaxiter alone. The hosts are simulated: what each computes of a step is computed here, one after the other. The
devices are those of XLA's CPU backend, in processes of their own. `--disk` writes a file of 3 GB into FOLDER and reads
rows of it that are not in memory. `--write` puts the tables into bench/RESULTS.md. About three minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _sections import write_section
from _timing import machine, markdown

from jaxiter import Affine, Chain, Loader, Rescale, shuffled, stream
from jaxiter._keys import ORDER, role_key, words
from jaxiter.loader._program import rows_of
from jaxiter.sampler._shuffle import MAX_ROUNDS, _multiply_high, _swap_or_not

KEY = jax.random.key(0)
EXAMPLES, HOSTS, BATCH_SIZE = 10**9, 1024, 65_536
AUGMENT = Chain(Affine(rotation=15, shift=0.1, shear=10, zoom=0.1, horizontal_flip=True), Rescale(1 / 255))


# A billion examples on 1,024 hosts


def rows_of_host(host: int, epoch: int, step: int) -> np.ndarray:
    """What a process of a stream computes: the rows of its own places in the batch, and of no others."""
    share = BATCH_SIZE // HOSTS
    places = np.arange(host * share, (host + 1) * share, dtype=np.uint32)
    position = np.uint32(step) * np.uint32(BATCH_SIZE) + places
    return np.asarray(rows_of(KEY, None, np.uint32(epoch), position, np.uint32(EXAMPLES), True))


@jax.jit
def position_of(epoch: Any, rows: Any) -> Any:
    """Where an epoch shows these rows: every round is its own inverse, so the rounds run backwards."""
    size = np.uint32(EXAMPLES)
    num_rounds = 4 * math.ceil(math.log2(EXAMPLES)) + 16
    drawn = words(role_key(KEY, epoch, ORDER), 2 * MAX_ROUNDS).reshape(MAX_ROUNDS, 2)
    constants, masks = _multiply_high(drawn[:, 0], size), drawn[:, 1]

    def back(number: Any, x: Any) -> Any:
        at = num_rounds - 1 - number
        return _swap_or_not(x, constants[at], masks[at], size)

    return jax.lax.fori_loop(0, num_rounds, back, rows.astype(np.uint32))


def hosts(quick: bool) -> str:
    numbers, num_steps = np.random.default_rng(0), EXAMPLES // BATCH_SIZE
    sampled = numbers.integers(0, EXAMPLES, 2_000 if quick else 50_000)
    shown = check_coverage(sampled, epochs=(0, 1))
    counts = balance(numbers.integers(0, num_steps, 2 if quick else 20).tolist())
    expected = counts.sum() / counts.size
    degrees = counts.shape[0] * 15  # of freedom: every host's examples are as many
    chi_square = float(((counts - expected) ** 2 / expected).sum() / degrees)
    seconds = seconds_per_call(lambda: rows_of_host(17, 3, 4711))
    whole = seconds_per_call(lambda: np.asarray(shuffled(KEY, 3, np.arange(BATCH_SIZE), EXAMPLES)))
    share = BATCH_SIZE // HOSTS
    rows = [
        ["", "", ""],
        ["rows of its own that a host computes for a step", f"{share}", f"{seconds * 1e3:.2f} ms"],
        ["rows of the whole batch, which no host computes", f"{BATCH_SIZE:,}", f"{whole * 1e3:.1f} ms"],
        ["order kept in memory", "none", f"a stored one: {EXAMPLES * 4 / 1e9:.0f} GB on every host"],
        ["examples looked up backwards", f"{len(sampled):,} x 2 epochs", f"each shown once, by one host: {shown}"],
        [
            "a host's examples by sixteenths of the data",
            f"{counts.size:,} counts",
            f"chi-square / dof {chi_square:.3f}",
        ],
    ]
    assert 0.9 < chi_square < 1.1, chi_square
    return f"### {EXAMPLES:,} examples, {HOSTS:,} hosts, batches of {BATCH_SIZE:,}\n\n{markdown(rows)}"


def check_coverage(sampled: np.ndarray, epochs: tuple[int, ...]) -> str:
    """Of each example: the step and the host that the inverse order names do show it, and it is at one place only."""
    left_out = EXAMPLES % BATCH_SIZE
    shown = dropped = 0
    for epoch in epochs:
        positions = np.asarray(position_of(np.uint32(epoch), sampled.astype(np.uint32))).astype(np.int64)
        assert np.array_equal(np.asarray(shuffled(KEY, epoch, positions, EXAMPLES)), sampled)
        last = positions >= EXAMPLES - left_out  # by remainder="drop", other ones in every epoch
        shown, dropped = shown + int((~last).sum()), dropped + int(last.sum())
        for row, position in zip(sampled, positions, strict=True):
            step, place = divmod(int(position), BATCH_SIZE)
            if step < EXAMPLES // BATCH_SIZE:
                host, offset = divmod(place, BATCH_SIZE // HOSTS)
                assert rows_of_host(host, epoch, step)[offset] == row
    return f"{shown:,}, and {dropped} left out by the last step"


def balance(steps: list[int]) -> np.ndarray:
    """How many of a host's examples come from each sixteenth of the data; the hosts of a step share no example."""
    counts = []
    for step in steps:
        parts = [rows_of_host(host, 0, step) for host in range(HOSTS)]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        counts += [np.bincount(rows // (EXAMPLES // 16 + 1), minlength=16) for rows in parts]
    return np.array(counts)


def seconds_per_call(call: Callable[[], Any], calls: int = 50) -> float:
    call()
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


# Eight devices on the cores of one


LOADS = {"W1": (10_000, 32, 128), "W1, batches of 1,024": (10_000, 32, 1024), "W2": (512, 224, 32)}


def devices(quick: bool) -> str:
    rounds = 1 if quick else 5
    found: dict[int, dict[str, list[float]]] = {1: {}, 8: {}}
    for _ in range(rounds):
        for count, rates in found.items():
            flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
            command = [sys.executable, __file__, "--rates", str(0.2 if quick else 0.5)]
            done = subprocess.run(
                command, env={**os.environ, "XLA_FLAGS": flags}, check=True, capture_output=True, text=True
            )
            for name, rate in json.loads(done.stdout.splitlines()[-1]).items():
                rates.setdefault(name, []).append(rate)
    medians = {count: {name: statistics.median(rates) for name, rates in found[count].items()} for count in found}
    rows = [["stream(..., sharding=), images/s", "1 device", "8 devices", "8 over 1"]]
    for name, one in medians[1].items():
        rows.append([name, f"{one:,.0f}", f"{medians[8][name]:,.0f}", f"{medians[8][name] / one:.2f}"])
    return f"### Eight devices on the same cores\n\n{markdown(rows)}"


def rates(seconds: float) -> dict[str, float]:
    """Images a second over all devices of this process, by load and by where the data lie."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    each, everywhere = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in (("data",), ()))
    found = {}
    for name, (size, side, batch_size) in LOADS.items():
        images = np.random.default_rng(0).integers(0, 256, (size, side, side, 3)).astype(np.uint8)
        loader = Loader(images, batch_size=batch_size, augment=AUGMENT)
        sources = {"host": loader, "on every device": loader.to_device(everywhere)}
        if size % mesh.size == 0:
            sources["divided"] = loader.to_device(each)
        for where, source in sources.items():
            with stream(source, KEY, sharding=each) as batches:
                for _ in range(3):
                    jax.block_until_ready(next(batches))
                count, begun = 0, time.perf_counter()
                while time.perf_counter() - begun < seconds:
                    jax.block_until_ready(next(batches))
                    count += 1
                found[f"{name}, {where}"] = count * batch_size / (time.perf_counter() - begun)
    return found


# A disk that is not in memory

WAYS = {"memmap[rows]": 1, "memmap[rows], 16 threads": 16, "Loader.batch": None}


def disk(folder: Path, quick: bool) -> str:
    """Rows of a file that the system has forgotten, by the memmap alone and by a Loader, which announces them."""
    path = folder / "jaxiter-rows.bin"
    block = np.random.default_rng(0).integers(0, 256, 2**24, dtype=np.uint8).tobytes()
    try:
        with path.open("wb") as file:
            for _ in range(20 if quick else 180):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        rows = [["", "MB/s"]]
        for row_bytes, batch_size in ((3_072, 128), (150_528, 32)):
            for way, threads in WAYS.items():
                rate = statistics.median(
                    rate_of_rows(path, row_bytes, batch_size, threads, number) for number in range(1 if quick else 3)
                )
                rows.append([f"{way}, rows of {row_bytes:,} bytes", f"{rate / 1e6:,.0f}"])
        forget(path)
        begun = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.read(2**23):
                pass
        rate = path.stat().st_size / (time.perf_counter() - begun)
        rows.append(["the file from end to end, 8 MB at a time", f"{rate / 1e6:,.0f}"])
    finally:
        path.unlink(missing_ok=True)
    return f"### Rows of a file that is not in memory\n\n{markdown(rows)}"


def rate_of_rows(path: Path, row_bytes: int, batch_size: int, threads: int | None, number: int) -> float:
    """Bytes a second; nothing that is mapped is left from the run before, which the system would not forget."""
    forget(path)
    array = np.memmap(path, np.uint8, "r", shape=(path.stat().st_size // row_bytes, row_bytes))
    loader, num_batches = Loader(array, batch_size=batch_size), 40
    key = jax.random.fold_in(KEY, 100 * number + (threads or 0))  # rows of its own
    places = [np.sort(np.asarray(loader.index(key, 0, step))) for step in range(num_batches)]
    jax.block_until_ready(loader.batch(key, 1, 0))  # compiles
    begun = time.perf_counter()
    if threads is None:
        for step in range(num_batches):
            jax.block_until_ready(loader.batch(key, 0, step))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda rows: np.asarray(array[rows]), places))
    return num_batches * batch_size * row_bytes / (time.perf_counter() - begun)


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples and rounds")
    parser.add_argument("--write", action="store_true", help="write the part of bench/RESULTS.md")
    parser.add_argument("--disk", type=Path, metavar="FOLDER", help="read rows from a disk, too")
    parser.add_argument("--rates", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rates is not None:
        print(json.dumps(rates(arguments.rates)))
        return
    sections = [hosts(arguments.quick), devices(arguments.quick)]
    sections += [disk(arguments.disk, arguments.quick)] if arguments.disk else []
    body = "\n\n".join(sections)
    print(body)
    if arguments.write:
        head = f"## Scale\n\nWritten by `python bench/scale.py --write --disk FOLDER`. {machine()}."
        write_section("scale", f"{head}\n\n{body}")


if __name__ == "__main__":
    main()
