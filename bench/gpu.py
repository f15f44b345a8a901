"""How fast are batches on this GPU, as a share of the copy bandwidth measured on it in the same run?

    python bench/gpu.py [--quick] [--write] [--loads W2 W1 ...] [--rounds N]

needs jax with its GPU plugin and jaxiter (installed, or the repository on PYTHONPATH), and compares with torch where
that is installed. A full run takes five to ten minutes, most of it compilation; what is not known yet comes first.
`--write` puts each table into bench/RESULTS.md as it is found, so that a run that is cut short tells something too.
Without a GPU only `--quick` runs, as a check of this script.
"""

import os

# Before JAX is imported. JAX and torch share the card, and the CPU backend is the reference.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
if "cpu" not in (os.environ.get("JAX_PLATFORMS") or "cpu"):
    os.environ["JAX_PLATFORMS"] += ",cpu"

import argparse
import gc
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _loads import (
    KEY,
    W1,
    W2,
    W3,
    W4L,
    W4S,
    Load,
    add_sum,
    by_batch,
    by_scan,
    check_rows,
    order_of_a_batch,
    places,
    whole_order,
)
from _peers import by_torch, torch
from _timing import Contestant, interleave, markdown, versions, write_section
from _torch_libraries import by_kornia, by_torchvision, check_form, kornia, v2

from jaxiter import Loader, scan_epoch, stream
from jaxiter.loader import _scan
from jaxiter.loader.internal import DrawsAhead, compute_batch, spec_of

GPU = jax.default_backend() == "gpu"
TARGET = 0.5  # of the copy floor, at the largest batch of W2
ENQUEUED = "Loader.batch, enqueued"
MEMORY = 4e9  # bytes of results that may be under way at once
FEW, LARGE = (W1, W3, W4S), (W2, W4L)


def sized(load: Load, quick: bool) -> tuple[Load, tuple[int, ...]]:
    """The load and its batch sizes on a GPU, or what two CPU cores can do in passing."""
    if not GPU:
        return load._replace(num_examples=64 if load in FEW else 16), (16 if load in FEW else 8,)
    if load in FEW:
        return load, (128, 1024, 8192)
    return load._replace(num_examples=512 if quick else 2048), (32, 256)


def moved_bytes(load: Load) -> int:
    """What an image costs at least: its bytes read once and its result written once."""
    return load.side**2 * 3 * (1 + jnp.dtype(load.dtype).itemsize)


def count_of(load: Load) -> int:
    """Batches of some tens of milliseconds, if one takes some times its floor and no less than its launches."""
    return math.ceil(0.03 / max(1e-12 * moved_bytes(load) * load.batch_size, 6e-5)) if GPU else 3


def enqueued(call: Callable[[], Any], count: int, load: Load) -> Callable[[], Any]:
    """`count` results asked for and waited for once; where they exceed `MEMORY` the oldest is waited for."""
    depth = max(2, int(MEMORY // (load.batch_size * load.side**2 * 3 * jnp.dtype(load.dtype).itemsize)))

    def run() -> Any:
        pending: deque[Any] = deque()
        for _ in range(count):
            pending.append(call())
            if len(pending) > depth:
                jax.block_until_ready(pending.popleft())  # of torch's nothing is waited for: it reuses memory in order
        return wait(list(pending))[-1]

    return run


def wait(results: Any) -> Any:
    if torch and GPU:
        torch.cuda.synchronize()
    return jax.block_until_ready(results)


# What takes part


def ours(load: Load, data: Any, count: int) -> list[Contestant]:
    loader, size = load.loader(data), load.batch_size
    per_epoch, epochs = loader.num_steps * size, math.ceil(count / loader.num_steps)
    rows = jax.jit(Loader.index)  # with the size static, as it is within a batch
    check_index = partial(check_rows, count=size, size=load.num_examples)
    return [
        Contestant("Loader.batch, each waited for", size, by_batch(loader), load.check),
        Contestant(ENQUEUED, count * size, enqueued(by_batch(loader), count, load), load.check),
        Contestant("scan_epoch, sum", epochs * per_epoch, enqueued(by_scan(loader), epochs, load), load.check_sum),
        Contestant("Loader.index, enqueued", count * size, enqueued(by_batch(loader, rows), count, load), check_index),
    ]


@contextmanager
def set_to(owner: Any, name: str, value: object) -> Iterator[None]:
    kept = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def changes(load: Load, data: Any, count: int) -> list[Contestant]:
    """What reading pixels from the whole data bought, and drawing for many steps at once: each with it and without."""
    loader, size = load.loader(data), load.batch_size
    spec, place = spec_of(loader), places(loader)
    epochs, program = math.ceil(count / loader.num_steps), spec.program.known_whole((False,))
    copied = replace(spec, program=program, last_program=program)

    def of_copies() -> Any:
        return compute_batch(copied, KEY, *map(np.uint32, next(place)), None)

    def step_by_step(total: Any, batch: Any) -> Any:  # another function, for a program of its own
        return add_sum(total, batch)

    def one_scan() -> Any:
        with set_to(_scan, "_MOST_BYTES", 0):
            return scan_epoch(step_by_step, jnp.float32(0), loader, KEY, next(place)[0])[0]

    with set_to(DrawsAhead, "is_worth_it", False):
        each = stream(loader, KEY)
    ahead = stream(loader, KEY)
    per_scan = epochs * loader.num_steps * size

    def contestant(name: str, call: Callable[[], Any]) -> Contestant:
        return Contestant(name, count * size, enqueued(call, count, load), load.check)

    return [
        contestant("batch, rows copied first (before)", of_copies),
        contestant(ENQUEUED, by_batch(loader)),
        contestant("stream, draws for each batch", lambda: next(each)),
        contestant("stream, draws for many", lambda: next(ahead)),
        Contestant("scan, draws for each step", per_scan, enqueued(one_scan, epochs, load), load.check_sum),
        Contestant("scan, draws for all", per_scan, enqueued(by_scan(loader), epochs, load), load.check_sum),
    ]


def streams(load: Load, images: np.ndarray, data: Any, count: int) -> list[Contestant]:
    """A stream over data on the device, and over a NumPy array, whose bytes go over the bus batch by batch."""

    def contestant(name: str, source: Any, **options: Any) -> Contestant:
        batches = stream(load.loader(source), KEY, **options)
        return Contestant(name, count * load.batch_size, enqueued(lambda: next(batches), count, load), load.check)

    return [
        contestant("stream, data on the device", data),
        contestant("stream over a NumPy array, one thread", images, num_threads=1),
        contestant("stream over a NumPy array, 4 threads", images, num_threads=4, prefetch=4),
    ]


def theirs(load: Load, tensor: Any, count: int) -> list[Contestant]:
    name = "torch" if load.ranges is None else "torch grid_sample"
    calls = {name: by_torch(load, tensor)}
    if load.name in ("W1", "W2") and (GPU or load.dtype == "float32"):  # where compiling is worth its time
        calls["torch.compile of it"] = by_torch(load, tensor, compiled=True)
    found = []
    for name, call in calls.items():
        each, run = (lambda call=call: wait(call())), enqueued(call, count, load)
        found.append(Contestant(f"{name}, each waited for", load.batch_size, each, load.check))
        found.append(Contestant(f"{name}, enqueued", count * load.batch_size, run, load.check))
    return found


def libraries(load: Load, tensor: Any, count: int) -> list[Contestant]:
    """Kornia and torchvision, where they are installed."""
    calls = {}
    if kornia:
        calls |= {f"Kornia, {how}": by_kornia(load, tensor, how == "compiled") for how in ("eager", "compiled")}
    if v2:
        calls["torchvision v2, one map for a batch"] = by_torchvision(load, tensor)
    check = partial(check_form, load)
    return [
        Contestant(f"{name}, enqueued", count * load.batch_size, enqueued(call, count, load), check)
        for name, call in calls.items()
    ]


class Run:
    """What it printed, and what failed."""

    def __init__(self, quick: bool, rounds: int | None, write: bool = False):
        self.write = write
        self.quick, self.rounds, self.seconds = quick, rounds or (2 if quick else 5), 0.02 if quick else 0.1
        self.sections: list[str] = []
        self.failures: list[str] = []
        self.targets = [["Loader.batch, enqueued, over the copy floor", "measured", "at least"]]
        self.source = jnp.zeros(2**28 if GPU else 2**22, np.float32)

    def attempt(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """A failure is named and the rest goes on: time on a GPU is dear."""
        try:
            return function(*arguments)
        except Exception as error:
            traceback.print_exception(error)
            self.failures.append(f"{what}: {type(error).__name__}: {str(error).partition(chr(10))[0][:300]}")
            return None

    def add(self, section: str) -> None:
        self.sections.append(section)
        print(f"\n{section}", flush=True)
        if self.write:
            write_section("gpu", report(self))

    def copy(self) -> Contestant:
        """The floor: a plain copy. Its "images" are bytes, read and written."""
        count, add_one = 32 if GPU else 3, jax.jit(lambda x: x + 1)
        name = f"copy of {self.source.nbytes / 1e6:,.0f} MB"
        call = enqueued(lambda: add_one(self.source), count, W1._replace(batch_size=self.source.size // 32**2 // 3))
        return Contestant(name, 2 * self.source.nbytes * count, call, lambda copied: None, "copy")

    def compete(self, title: str, load: Load, contestants: Sequence[Contestant]) -> dict[str, float]:
        """Prints a table of those that pass their check; returns their shares of the floor."""
        left = []
        for one in contestants:  # each by itself, so that one that fails does not end the others
            before = len(self.failures)
            self.attempt(f"{title}, {one.name}", interleave, [one], 0, self.seconds)
            left += [one] if len(self.failures) == before else []
        first_calls = [one.first_call for one in left]
        interleave(left, self.rounds, self.seconds)
        floor = next((one.images_per_second / moved_bytes(load) for one in left if one.unit == "copy"), 0)
        rows, shares = [["", "images/s", "range", "share of floor", "wall per batch", "first call"]], {}
        for one, first_call in zip(left, first_calls, strict=True):
            scale = moved_bytes(load) if one.unit == "copy" else 1
            rate, slow, fast = (one.figures()[key] / scale for key in ("median", "low", "high"))
            shares[one.name] = rate / floor if floor else math.nan
            share = f"{shares[one.name]:.3f}" if floor else "-"
            wall = f"{load.batch_size / rate * 1e3:,.4g} ms"
            name = f"{one.name}: {one.images_per_second / 1e9:,.0f} GB/s" if one.unit == "copy" else one.name
            rows.append([name, f"{rate:,.0f}", f"{slow:,.0f} to {fast:,.0f}", share, wall, f"{first_call:.2f} s"])
        self.add(f"### {title}\n\n{markdown(rows)}")
        return shares

    def measure(self, load: Load, images: np.ndarray, data: Any, tensor: Any) -> None:
        count = count_of(load)
        rivals = self.attempt(f"{load}, torch", theirs, load, tensor, count) if torch else None
        contestants = [self.copy(), *ours(load, data, count), *(rivals or [])]
        shares = self.compete(f"{load}, {load.dtype}", load, contestants)
        if load.name == "W2" and ENQUEUED in shares:
            self.targets.append([f"{load}, {load.dtype}", f"{shares[ENQUEUED]:.2f}", f"{TARGET:.2f}"])
        if load.name in ("W1", "W2") and load.dtype == "float32":
            self.compete(f"{load}, streams", load, [self.copy(), *streams(load, images, data, count)])

    def measure_changes(self, load: Load) -> None:
        load, batch_sizes = sized(load, self.quick)
        load = load._replace(batch_size=batch_sizes[-1])
        images = load.images()
        data = jax.device_put(images)
        count = count_of(load)
        tensor = torch and torch.from_numpy(images).to("cuda" if GPU else "cpu")
        rivals = [one for one in theirs(load, tensor, count) if "enqueued" in one.name] if torch else []
        self.compete(f"{load}: what changed", load, [self.copy(), *changes(load, data, count), *rivals])

    def measure_libraries(self, load: Load) -> None:
        load, batch_sizes = sized(load, self.quick)
        load = load._replace(batch_size=batch_sizes[-1])
        images, count = load.images(), count_of(load)
        batch = enqueued(by_batch(load.loader(jax.device_put(images))), count, load)
        contestants = [self.copy(), Contestant(ENQUEUED, count * load.batch_size, batch, load.check)]
        contestants += libraries(load, torch.from_numpy(images).to("cuda" if GPU else "cpu"), count)
        self.compete(f"{load}, beside Kornia and torchvision", load, contestants)

    def measure_load(self, load: Load) -> None:
        load, batch_sizes = sized(load, self.quick)
        images = load.images()
        data = jax.device_put(images)
        if load.name in ("W1", "W2"):
            first = load._replace(batch_size=batch_sizes[0])
            self.attempt(f"{load.name}, beside the CPU", lambda: self.add(beside_cpu(first, images)))
        tensor = torch and torch.from_numpy(images).to("cuda" if GPU else "cpu")
        for size in batch_sizes:
            for dtype in ("float32", "bfloat16"):
                one = load._replace(batch_size=size, dtype=dtype)
                self.attempt(f"{one}, {dtype}", self.measure, one, images, data, tensor)

    def everything(self, names: Sequence[str]) -> None:
        for load in (W2, W1):
            if not names or load.name in names:
                self.attempt(f"{load.name}, what changed", self.measure_changes, load)
        for load in (W2, W1, W3, W4S, W4L):
            if not names or load.name in names:
                self.attempt(load.name, self.measure_load, load)
                gc.collect()
                if torch and GPU:
                    torch.cuda.empty_cache()  # or JAX could not have that memory
        for load in (W2, W1):
            if (kornia or v2) and (not names or load.name in names):
                self.attempt(f"{load.name}, libraries", self.measure_libraries, load)
        if not names:
            self.orders()
        failed = "\n".join(f"- {failure}" for failure in self.failures) or "- nothing"
        self.add(f"### Target\n\n{markdown(self.targets)}\n\nFailed:\n\n{failed}")

    def orders(self) -> None:
        for size in (10**5, 10**6) if GPU else (10**4,):
            title = f"W5: order of {size:,} (an image is a position)"
            self.attempt(title, self.compete, title, W1._replace(batch_size=size), whole_order(size))
        title = "W5: 128 positions of an order of 100,000,000"
        self.attempt(title, self.compete, title, W1, order_of_a_batch(10**8))


def beside_cpu(load: Load, images: np.ndarray) -> str:
    """The same batch from this device and from the CPU backend of this process."""
    batches, orders = [], []
    for device in (jax.devices()[0], jax.devices("cpu")[0]):
        with jax.default_device(device):
            loader, key = load.loader(jax.device_put(images, device)), jax.random.key(0)
            orders.append(np.asarray(loader.index(key, 1, 0)))
            batches.append(np.asarray(loader.batch(key, 1, 0)))
    assert np.array_equal(*orders), "the order differs between the devices"
    difference, allowed = np.abs(batches[0] - batches[1]), max(2e-5, 2.5e-7 * load.side)  # docs/determinism.md
    # Linear interpolation into floats is continuous: no rounding ties excuse a pixel. NaN is beyond.
    assert (difference < allowed).all(), f"largest difference {difference.max():.2g}, allowed are {allowed:g}"
    return f"{load}, beside the CPU: the order is equal, the largest difference {difference.max():.2g} of the range."


def report(run: Run) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in versions(("jax", "jaxlib", "numpy", "torch")).items())
    body = "\n\n".join(run.sections)
    return f"""## On a GPU

Written by `python bench/gpu.py --write`. {jax.devices()[0].device_kind}; {packages}.

{run.rounds} rounds, in each of them every row of a table for about {run.seconds} s, one after the other; medians, with
their range. The floor is what a copy leaves: an image's bytes read once and its result written once, at the bandwidth
(read and written) of a large float32 copy in the same rounds. "Enqueued" is waited for once in some tens of
milliseconds (or as soon as {MEMORY / 1e9:.0f} GB are under way), as in training. What consumes a batch in the same
program, as the sum in the scan does, may be fused with it, so that nothing is written; and where data or results fit
into the card's cache a share may pass 1. torch makes a float batch, random matrices on the device, and a warp with
repeated borders, in its own layout. Every output is checked for shape, dtype, range and mean.

{body}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, fewer images")
    parser.add_argument("--write", action="store_true", help="write the part of bench/RESULTS.md")
    parser.add_argument(
        "--loads", nargs="+", default=(), help="only these, for example W2; without it the orders of W5 too"
    )
    parser.add_argument("--rounds", type=int, help="rounds of the tables, by default 5 (2 with --quick)")
    arguments = parser.parse_args()
    if not GPU:
        print(f"These are no GPU figures: JAX sees only {jax.default_backend()}.", flush=True)
    if (not GPU and not arguments.quick) or (arguments.write and (arguments.quick or not GPU)):
        parser.error("--write is for a full run on a GPU; without one only --quick runs, as a check of this script.")
    run = Run(arguments.quick, arguments.rounds, arguments.write)
    run.everything(arguments.loads)
    sys.exit(bool(run.failures))


if __name__ == "__main__":
    main()
