"""Contestants in processes of their own, one at a time: the others stand still, with their children.

A process that works ahead in threads or in processes of its own would else work in another one's turn. CPU time is that
of the process and of all that it started, as Linux counts it.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")
_USED = slice(11, 15)  # user and system time of a process, and of its children that ended, behind the name in /proc
_SAID = 80  # letters of what a contestant that failed said last


@dataclass
class Runner:
    """One contestant: a command that answers a number of seconds with what it did in them."""

    name: str
    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    wall: list[float] = field(default_factory=list)  # seconds for an image, one entry for each round
    cpu: list[float] = field(default_factory=list)  # the same, of all threads and processes
    resident: int = 0  # bytes, the most at the end of a round; what processes share is counted once
    error: str = ""
    _process: subprocess.Popen[str] | None = None

    @property
    def images_per_second(self) -> float:
        return 1 / statistics.median(self.wall)

    def start(self, log: Path) -> None:
        """Until it is ready; then it stands still."""
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **self.variables},
                start_new_session=True,
            )
        if not self._answer():
            self.error = (log.read_text().strip().splitlines() or ["it ended"])[-1][:_SAID]
            self.end()

    def turn(self, seconds: float, *, counts: bool = True) -> None:
        assert self._process
        assert self._process.stdin
        os.killpg(self._process.pid, signal.SIGCONT)
        before, began = cpu_seconds(self._process.pid), time.perf_counter()
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        found = self._answer()
        wall, cpu = time.perf_counter() - began, cpu_seconds(self._process.pid) - before
        os.killpg(self._process.pid, signal.SIGSTOP)
        resident = proportional_bytes(self._process.pid)
        if not found:
            raise RuntimeError(f"{self.name} ended in the middle of a turn.")
        self.resident = max(self.resident, resident)
        if counts:
            self.wall.append(wall / found["images"])
            self.cpu.append(cpu / found["images"])

    def _answer(self) -> dict[str, Any]:
        assert self._process
        assert self._process.stdout
        for line in self._process.stdout:  # libraries may print too
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                if found.get("ready"):
                    os.killpg(self._process.pid, signal.SIGSTOP)
                return found
        return {}

    def end(self) -> None:
        """Kills the process and all that it started: these are in a session of their own."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def interleave(runners: Sequence[Runner], rounds: int, seconds: float, logs: Path) -> None:
    """Starts all, and runs `rounds` rounds of about `seconds` for each; one that fails has an error and no times."""
    try:
        for number, runner in enumerate(runners):
            runner.start(logs / f"{number}.log")
        ready = [runner for runner in runners if not runner.error]
        for runner in ready:
            runner.turn(seconds, counts=False)
        for _ in range(rounds):
            for runner in ready:
                runner.turn(seconds)
    finally:
        for runner in runners:
            runner.end()


def cpu_seconds(session: int) -> float:
    """Of all processes of a session, with those that ended."""
    return sum(sum(map(int, fields[_USED])) for _, fields in _processes(session)) / _TICK


def proportional_bytes(session: int) -> int:
    """Resident in all processes of a session; a page that several share counts once."""
    lines = [line for folder, _ in _processes(session) for line in (folder / "smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _processes(session: int) -> Iterator[tuple[Path, list[str]]]:
    """Of each process of a session its folder in /proc, and the fields of its `stat` from the state on."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            yield path.parent, fields


def serve(batches: Iterator[Any], batch_size: int) -> None:
    """The other side: takes batches for as many seconds as each line says."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        end, count = time.perf_counter() + float(line), 0
        while time.perf_counter() < end:
            next(batches)
            count += 1
        print(json.dumps({"images": count * batch_size}), flush=True)


def resident_bytes() -> int:
    """Of this process, with what it shares."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
