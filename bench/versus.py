"""Is this checkout slower than another one, on this machine, now?

    python bench/versus.py PATH [--rounds N] [--seconds S] [--cases NAME ...]

PATH is the root of another checkout of jaxiter. Each of the two is imported in a process of its own and warmed up;
then they take turns, so that whatever else the machine does slows both alike. Prints the median over the rounds of
new / old, with its range; more than 1 means that this checkout is faster. Two equal checkouts were found a tenth apart
after 3 rounds, and a hundredth after 15: take no fewer. "W1" is `Loader.batch`. About two minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
DEFAULT = ("W1", "W2", "W3", "W4s", "Keras W1", "Keras W2")
MORE = ("W4l", "stream W1", "stream W2", "host W1", "host W2")


def serve(names: list[str], root: Path) -> None:
    """Answers each line "name seconds" with the images a second of that case."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # prints of libraries are no answers
    import jax

    import jaxiter

    if not Path(jaxiter.__file__).resolve().is_relative_to(root):
        raise ImportError(f"jaxiter was imported from {jaxiter.__file__} and not from {root}.")
    calls = {name: case(name) for name in names}
    for call, _, check in calls.values():
        check(jax.block_until_ready(call()))
        jax.block_until_ready(call())
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, seconds = json.loads(line)
        call, images, _ = calls[name]
        count, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            jax.block_until_ready(call())
            count += images
        print(count / spent, file=answers, flush=True)


def case(name: str) -> tuple[Callable[[], Any], int, Callable[[Any], None]]:
    """A call, the number of images that it makes, and the check of its output."""
    import _loads

    kind, _, load_name = name.rpartition(" ")
    load: _loads.Load = getattr(_loads, load_name.upper())
    images = load.images()
    if kind == "Keras":
        one = _loads.face(load, images)
        return one.call, one.images_per_call, one.check
    loader = load.loader(images) if kind == "host" else load.loader(images).to_device()
    per_run = loader.num_steps * load.batch_size * _loads.epochs_of(loader)
    if kind:
        return _loads.by_stream(loader), per_run, load.check
    return _loads.by_batch(loader), load.batch_size, load.check


@contextlib.contextmanager
def server(root: Path, names: list[str]) -> Any:
    command = [sys.executable, __file__, str(root), "--serve", "--cases", *names]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, **pipes) as process:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the process of {root} did not start.")
        yield process
        process.stdin.close()


def ask(process: subprocess.Popen[str], name: str, seconds: float) -> float:
    print(json.dumps([name, seconds]), file=process.stdin, flush=True)
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the root of the other checkout")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each case, checkout and round (0.3)")
    parser.add_argument("--cases", nargs="+", default=DEFAULT, choices=DEFAULT + MORE, metavar="NAME", help=str(MORE))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    other, names = arguments.path.resolve(), list(arguments.cases)
    if not (other / "jaxiter").is_dir():
        parser.error(f"{arguments.path} is no checkout of jaxiter.")
    if arguments.serve:
        serve(names, other)
        return
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with server(HERE, names) as new, server(other, names) as old:
        for number in range(arguments.rounds):
            for name, found in rates.items():
                turns = [new, old] if number % 2 else [old, new]  # neither is always first
                answers = {process: ask(process, name, arguments.seconds) for process in turns}
                found.append((answers[new], answers[old]))
    print(f"{'':10} {'new / old':>9}  {'range':14} {'new images/s':>14} {'old images/s':>14}")
    for name, found in rates.items():
        ratios = [ours / theirs for ours, theirs in found]
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        ours, theirs = (statistics.median(side) for side in zip(*found, strict=True))
        print(f"{name:10} {statistics.median(ratios):9.3f}  {span:14} {ours:14,.0f} {theirs:14,.0f}")


if __name__ == "__main__":
    main()
