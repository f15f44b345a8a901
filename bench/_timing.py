"""Interleaved timing: every contestant once in each round, so that a busy neighbour slows all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).with_name("RESULTS.md")
_compile_seconds: list[float] = []


@jax.monitoring.register_event_duration_secs_listener
def _note_compilation(event: str, seconds: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compile_seconds.append(seconds)


@dataclass
class Contestant:
    """`call()` does one unit of work (a batch, an epoch, an order) and returns the output that `check` looks at."""

    name: str
    images_per_call: int
    call: Callable[[], Any]
    check: Callable[[Any], None]
    unit: str = "batch"
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

    def figures(self) -> dict[str, float]:
        """Images a second, and CPU time in microseconds an image: what the JSON file keeps."""
        rates = [self.images_per_call / wall for wall in self.wall]
        cpu = statistics.median(self.cpu) / self.images_per_call * 1e6
        return {"median": self.images_per_second, "low": min(rates), "high": max(rates), "cpu_us": cpu}


def interleave(contestants: Sequence[Contestant], rounds: int, seconds: float) -> None:
    """Warms each contestant up, then runs `rounds` rounds of about `seconds` for each contestant."""
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
    for one in contestants:
        found = one.figures()
        programs = f"{one.num_programs} ({one.compile_seconds:.2f} s)" if one.num_programs else "-"
        programs += f", {one.num_late_programs} while timed" if one.num_late_programs else ""
        rates = [f"{found['median']:,.0f}", f"{found['low']:,.0f} to {found['high']:,.0f}"]
        over = f"{one.images_per_second / reference:,.2f}" if reference else "-"
        wall = f"{one.median * 1e3:,.3g} ms per {one.unit}"
        rows.append([one.name, *rates, over, f"{found['cpu_us']:,.3g}", wall, f"{one.first_call:.2f} s", programs])
    ratio = f"x {baseline}" if baseline else "ratio"
    heads = ["", "images/s", "range", ratio, "CPU us/image", "wall", "first call", "compilations"]
    return markdown([heads, *rows])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one its head, padded so that it also reads in a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * (width - 1) + ":" if column else "-" * width for column, width in enumerate(widths)]
    lines = []
    for first, *others in (rows[0], rule, *rows[1:]):
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def versions(packages: Iterable[str] = ("jax", "jaxlib", "numpy", "keras", "scipy")) -> dict[str, str]:
    """Of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def machine() -> str:
    """Cores, processor and backend; no name of the host and no date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {models[0] if models else platform.machine()}, backend {jax.default_backend()}"


def write_section(name: str, section: str) -> None:
    """Replaces the part of bench/RESULTS.md between the marks of this name, or appends it."""
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = RESULTS.read_text() if RESULTS.exists() else ""
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if bool(found) != bool(closed):
        raise ValueError(f"only one of the marks {first} and {last} is in bench/RESULTS.md; mend it by hand.")
    before = before.rstrip() + "\n\n" if before.strip() else ""
    RESULTS.write_text(f"{before}{first}\n\n{section.strip()}\n\n{last}{after or chr(10)}")
