"""Interleaved timing: every contestant once in each round, so that a busy neighbour slows all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

_compile_seconds: list[float] = []


@jax.monitoring.register_event_duration_secs_listener
def _note_compilation(event: str, seconds: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compile_seconds.append(seconds)


@dataclass
class Contestant:
    """`call()` does one unit of work (a batch, an epoch, an order) and returns what `check` looks at."""

    name: str
    unit: str
    images_per_call: int
    call: Callable[[], Any]
    check: Callable[[Any], None]
    first_call: float = 0.0
    compile_seconds: float = 0.0
    num_programs: int = 0
    num_late_programs: int = 0
    calls_per_round: int = 1
    wall: list[float] = field(default_factory=list)  # seconds per call, one entry for each round
    cpu: list[float] = field(default_factory=list)  # the same, summed over all threads

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def images_per_second(self) -> float:
        return self.images_per_call / self.median


def interleave(contestants: Sequence[Contestant], rounds: int, seconds: float) -> None:
    """Warms everybody up, then runs `rounds` rounds of about `seconds` for each contestant."""
    for contestant in contestants:
        _warm_up(contestant, seconds)
    for _ in range(rounds):
        for contestant in contestants:
            _run_round(contestant)


def _warm_up(contestant: Contestant, seconds: float) -> None:
    already = len(_compile_seconds)
    start = time.perf_counter()
    output = jax.block_until_ready(contestant.call())
    contestant.first_call = time.perf_counter() - start
    contestant.num_programs = len(_compile_seconds) - already
    contestant.compile_seconds = sum(_compile_seconds[already:])
    contestant.check(output)
    start = time.perf_counter()
    jax.block_until_ready(contestant.call())
    once = time.perf_counter() - start
    contestant.calls_per_round = max(1, min(1000, round(seconds / once)))


def _run_round(contestant: Contestant) -> None:
    already = len(_compile_seconds)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(contestant.calls_per_round):
        jax.block_until_ready(contestant.call())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    contestant.wall.append(wall / contestant.calls_per_round)
    contestant.cpu.append(cpu / contestant.calls_per_round)
    contestant.num_late_programs += len(_compile_seconds) - already


def table(contestants: Sequence[Contestant], baseline: str | None) -> str:
    """Markdown; the ratio is images/s over those of `baseline`, from the same rounds."""
    names = [contestant.name for contestant in contestants]
    reference = contestants[names.index(baseline)].images_per_second if baseline in names else None
    rows = []
    for contestant in contestants:
        rate, images, wall = contestant.images_per_second, contestant.images_per_call, contestant.wall
        programs = f"{contestant.num_programs} ({contestant.compile_seconds:.2f} s)" if contestant.num_programs else "-"
        if contestant.num_late_programs:
            programs += f", {contestant.num_late_programs} while timed"
        rows.append(
            [
                contestant.name,
                f"{rate:,.0f}",
                f"{images / max(wall):,.0f} to {images / min(wall):,.0f}",
                f"{rate / reference:,.2f}" if reference else "-",
                f"{statistics.median(contestant.cpu) / images * 1e6:,.3g}",
                f"{contestant.median * 1e3:,.3g} ms per {contestant.unit}",
                f"{contestant.first_call:.2f} s",
                programs,
            ]
        )
    ratio = f"x {baseline}" if baseline else "ratio"
    heads = ["", "images/s", "range", ratio, "CPU us/image", "wall", "first call", "compilations"]
    return markdown([heads, *rows])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one its head, padded so that it also reads in a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = ["-" * (width - 1) + ":" if column else "-" * width for column, width in enumerate(widths)]
    padded = [
        [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (rows[0], rule, *rows[1:])
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in padded)


def machine() -> str:
    """Cores, processor and versions; no name of the host and no date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    installed = [name for name in ("jax", "jaxlib", "numpy", "keras", "scipy") if find_spec(name)]
    packages = ", ".join(f"{name} {version(name)}" for name in installed)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = models[0] if models else platform.machine()
    return (
        f"{cores} cores of {processor}, backend {jax.default_backend()}; Python {platform.python_version()}, {packages}"
    )
