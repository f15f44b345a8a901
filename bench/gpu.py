"""How fast are fused batches on this GPU, as a share of the copy bandwidth measured on it in the same run?

    python bench/gpu.py [--quick] [--write] [--loads W2 W1 ...] [--rounds N]

needs jax with its GPU plugin and jaxiter (installed, or the repository on PYTHONPATH), and compares with torch where
that is installed. A full run takes five to ten minutes, most of it compilation. `--write` puts the tables into
bench/RESULTS.md. Without a GPU only `--quick` runs, as a check of this script.
"""

import os

# Before JAX is imported. JAX and torch share the card, and the CPU backend is the reference.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
if "cpu" not in (os.environ.get("JAX_PLATFORMS") or "cpu"):
    os.environ["JAX_PLATFORMS"] += ",cpu"

import argparse
import gc
import importlib.util
import math
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _gpu_loads import (
    DTYPES,
    ENQUEUED,
    KEY,
    MEMORY,
    Load,
    by_torch,
    enqueued,
    loads,
    order_of_a_batch,
    ours,
    streams,
    whole_order,
)
from _sections import write_section
from _timing import Contestant, interleave, markdown

from jaxiter import Affine, Loader

TARGET = 0.5  # of the copy floor, at the largest batch of W2


def tolerance(side: int) -> float:
    """Of the range, between kinds of device: docs/conventions.md."""
    return max(2e-5, 2.5e-7 * side)


class Run:
    """One run of the benchmark: its sizes, what it printed, and what failed."""

    def __init__(self, on_gpu: bool, quick: bool, names: Sequence[str], rounds: int | None):
        self.on_gpu, self.seconds = on_gpu, 0.02 if quick else 0.1
        self.rounds = rounds or (2 if quick else 5)
        self.loads = [load for load in loads(not on_gpu, quick) if not names or load.name in names]
        self.orders = (10**5, 10**6, 10**7) if not quick else (10**5, 10**6) if on_gpu else (10**4, 10**5)
        self.sections: list[str] = []
        self.failures: list[str] = []
        self.shares: dict[tuple[str, int, str], float] = {}
        self.torch = self.attempt("import torch", self._torch) if importlib.util.find_spec("torch") else None
        self.source = jnp.zeros(2**28 if on_gpu else 2**22, np.float32)
        self.bandwidth = 0.0

    def attempt(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What fails is named and the rest goes on: time on a GPU is dear."""
        try:
            return function(*arguments)
        except Exception as error:
            traceback.print_exception(error)
            first_line = (str(error).splitlines() or [""])[0][:300]
            self.failures.append(f"{what}: {type(error).__name__}: {first_line}")
            print(f"\nFAILED {self.failures[-1]}", flush=True)
            return None

    def _torch(self) -> Any:
        torch = importlib.import_module("torch")
        if not self.on_gpu or torch.cuda.is_available():
            return torch
        print(f"torch {torch.__version__} sees no GPU and is left out.", flush=True)
        return None

    def tell(self, section: str) -> None:
        self.sections.append(section)
        print(f"\n{section}", flush=True)

    def compete(self, title: str, contestants: Sequence[Contestant]) -> list[Contestant]:
        """Those that passed their check, after their rounds."""
        first_calls = {}
        for contestant in contestants:  # each by itself, so that one that fails takes nobody with it
            before = len(self.failures)
            self.attempt(f"{title}, {contestant.name}", interleave, [contestant], 0, self.seconds)
            if len(self.failures) == before:
                first_calls[contestant.name] = contestant.first_call
        left = [contestant for contestant in contestants if contestant.name in first_calls]
        interleave(left, self.rounds, self.seconds)
        for contestant in left:
            contestant.first_call = first_calls[contestant.name]
        return left

    def copy(self) -> Contestant:
        """The floor: a plain copy. Its "images" are bytes, read and written."""
        size, count = self.source.nbytes, 32 if self.on_gpu else 3
        call = enqueued(lambda: add_one(self.source), count, max(2, int(MEMORY // size)))
        return Contestant(f"copy of {size / 1e6:,.0f} MB", "copy", 2 * size * count, call, check_copy)

    def measure(self, load: Load, size: int, dtype: str, images: Any, tensor: Any) -> None:
        title = f"{load}, batch {size:,}, {dtype}"
        moved = load.moved_bytes(dtype)
        # Some tens of milliseconds, if a batch takes three times its floor and no less than its launches.
        count = math.ceil(0.03 / max(3 * moved * size / self.bandwidth, 6e-5)) if self.on_gpu else 3
        contestants = [self.copy(), *ours(load, size, dtype, images, count)]
        if tensor is not None:
            # Compiled where a compilation is well spent; on the CPU it takes longer than all the rest.
            compiled = (load.name == "W1" and dtype == "float32") or (self.on_gpu and load.name in ("W1", "W2"))
            rivals = self.attempt(title, by_torch, self.torch, load, size, dtype, tensor, count, compiled)
            contestants += rivals or []
        left = self.compete(title, contestants)
        bytes_per_second = next(one for one in left if one.unit == "copy").images_per_second
        self.tell(f"### {title}\n\n{table(left, size, moved, bytes_per_second)}")
        for one in left:
            if one.name == ENQUEUED:
                self.shares[load.name, size, dtype] = share_of_floor(one.images_per_second, moved, bytes_per_second)

    def measure_load(self, load: Load) -> None:
        on_host = load.images()
        images = jax.device_put(on_host)
        if load.name in ("W1", "W2"):
            self.attempt(f"{load.name}, beside the CPU", lambda: self.tell(beside_cpu(load, on_host)))
            self.attempt(f"{load.name}, as compiled", lambda: self.tell(as_compiled(load, images)))
        tensor = self.torch and self.attempt(f"{load.name}, tensor", self._tensor, on_host)
        for size in load.batch_sizes:
            for dtype in DTYPES:
                self.attempt(f"{load}, batch {size:,}, {dtype}", self.measure, load, size, dtype, images, tensor)
            if load.name in ("W1", "W2"):
                self.attempt(f"{load}, streams of {size:,}", self.measure_streams, load, size, on_host, images)

    def measure_streams(self, load: Load, size: int, on_host: np.ndarray, images: Any) -> None:
        moved = load.moved_bytes("float32")
        count = max(8, math.ceil(16_384 / size)) if self.on_gpu else 3
        left = self.compete(f"{load}, streams of {size:,}", [self.copy(), *streams(load, size, on_host, images, count)])
        bytes_per_second = next(one for one in left if one.unit == "copy").images_per_second
        self.tell(f"### {load}, streams of {size:,}, float32\n\n{table(left, size, moved, bytes_per_second)}")

    def _tensor(self, images: np.ndarray) -> Any:
        device = "cuda" if self.on_gpu else "cpu"
        return self.torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous()

    def measure_orders(self) -> None:
        cases = [(f"W5: order of {size:,} (an image is a position)", size, whole_order(size)) for size in self.orders]
        cases.append(("W5: 128 positions of an order of 100,000,000", 128, order_of_a_batch(10**8)))
        for title, size, contestants in cases:
            self.tell(f"### {title}\n\n{table(self.compete(title, contestants), size, 0, 1.0)}")

    def everything(self) -> None:
        copy = self.copy()
        interleave([copy], self.rounds, self.seconds)
        self.bandwidth = copy.images_per_second
        print(f"\n{copy.name}: {self.bandwidth / 1e9:,.0f} GB/s read and written", flush=True)
        for load in self.loads:
            self.attempt(load.name, self.measure_load, load)
            gc.collect()
            if self.torch and self.on_gpu:
                self.torch.cuda.empty_cache()  # or JAX could not have that memory
        self.attempt("W5", self.measure_orders)
        self.tell(self.verdict())

    def verdict(self) -> str:
        load = next(load for load in loads(not self.on_gpu, False) if load.name == "W2")
        rows = []
        for dtype in DTYPES:
            share = self.shares.get((load.name, load.batch_sizes[-1], dtype))
            told, met = ("-", "not measured") if share is None else (f"{share:.2f}", verdict_on(share))
            met = met if self.on_gpu else "no GPU, no verdict"
            rows.append([f"W2, batch {load.batch_sizes[-1]}, {dtype}", told, f"{TARGET:.2f}", met])
        failed = "\n".join(f"- {failure}" for failure in self.failures) or "- nothing"
        head = ["Loader.batch, enqueued, over the copy floor", "measured", "at least", ""]
        return f"### Target\n\n{markdown([head, *rows])}\n\nFailed:\n\n{failed}"


@jax.jit
def add_one(x: Any) -> Any:
    return x + 1


def check_copy(copied: Any) -> None:
    assert float(copied.min()) == float(copied.max()) == 1.0


def share_of_floor(images_per_second: float, moved_bytes: int, bytes_per_second: float) -> float:
    return images_per_second * moved_bytes / bytes_per_second


def verdict_on(share: float) -> str:
    return "met" if share >= TARGET else "missed"


def table(contestants: Sequence[Contestant], size: int, moved_bytes: int, bytes_per_second: float) -> str:
    """Images of a copy are those whose bytes it moves; where nothing is moved there is no floor."""
    rows = []
    for one in contestants:
        per_image, name = 1, one.name
        if one.unit == "copy":
            per_image, name = moved_bytes, f"{name}: {bytes_per_second / 1e9:,.0f} GB/s"
        rate, slow, fast = (
            one.images_per_call / per_image / wall for wall in (one.median, max(one.wall), min(one.wall))
        )
        has_floor = moved_bytes and one.unit != "index"
        share = f"{share_of_floor(rate, moved_bytes, bytes_per_second):.3f}" if has_floor else "-"
        wall = f"{size / rate * 1e3:,.4g} ms"
        rows.append([name, f"{rate:,.0f}", f"{slow:,.0f} to {fast:,.0f}", share, wall, f"{one.first_call:.2f} s"])
    return markdown([["", "images/s", "range", "share of floor", "wall per batch", "first call"], *rows])


def beside_cpu(load: Load, images: np.ndarray) -> str:
    """The same batch from this device and from the CPU backend of this process."""
    size = load.batch_sizes[0]
    rows, flipped, batch = batches_on(jax.devices()[0], load, images, size)
    cpu_rows, cpu_flipped, cpu_batch = batches_on(jax.devices("cpu")[0], load, images, size)
    assert np.array_equal(rows, cpu_rows), "the order differs between the devices"
    assert np.array_equal(flipped, cpu_flipped), "flipped images differ between the devices"
    difference = np.abs(batch - cpu_batch) / load.top
    allowed = tolerance(load.side)
    beyond = np.count_nonzero(~(difference < allowed))  # NaN is beyond it
    told = f"largest difference {difference.max():.2g} of the range, {beyond:,} of {difference.size:,} values beyond"
    # Linear interpolation into floats is continuous: there are no rounding ties that would excuse a pixel.
    assert beyond == 0, f"{told} {allowed:g}"
    return f"{load.name}, batch {size}, beside the CPU backend: order and flips bit-equal, {told} {allowed:g}."


def batches_on(device: Any, load: Load, images: np.ndarray, size: int) -> list[np.ndarray]:
    """The rows of a batch, the batch only flipped (as bytes), and the batch."""
    with jax.default_device(device):
        key, data = jax.random.key(0), jax.device_put(images, device)
        loader = Loader(data, batch_size=size, augment=load.augment("float32"))
        flipping = Loader(data, batch_size=size, augment=Affine(horizontal_flip=True))
        found = [loader.index(key, 1, 0), flipping.batch(key, 1, 0), loader.batch(key, 1, 0)]
    assert all(one.devices() == {device} for one in found), [one.devices() for one in found]
    assert found[1].dtype == np.uint8, found[1].dtype
    return [np.asarray(one) for one in found]


def as_compiled(load: Load, images: Any) -> str:
    """Whether the batch is fused: a float copy would stand among the temporaries; and what runs one after the other."""
    size = load.batch_sizes[-1]
    loader = Loader(images, batch_size=size, augment=load.augment("float32"))
    compiled = jax.jit(Loader.batch).lower(loader, KEY, np.uint32(0), np.uint32(0)).compile()
    memory, lines = compiled.memory_analysis(), compiled.as_text().splitlines()
    fusions, loops = ([line for line in lines if f" {word}(" in line] for word in ("fusion", "while"))
    unknown = sum("known_trip_count" not in line for line in loops)
    return (
        f"{load.name}, batch {size:,}, float32, as compiled: {memory.temp_size_in_bytes / 1e6:,.2f} MB of temporaries "
        f"beside {memory.output_size_in_bytes / 1e6:,.2f} MB of output; {len(fusions)} fusions, {len(loops)} loops, "
        f"{unknown} of them of a length that is not known to the compiler."
    )


def machine(torch: Any) -> str:
    packages = [f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy")]
    packages += [f"torch {torch.__version__}"] if torch else ["no torch"]
    return f"{jax.devices()[0].device_kind}; Python {platform.python_version()}, {', '.join(packages)}"


def report(run: Run) -> str:
    body = "\n\n".join(run.sections)
    return f"""## On a GPU

Written by `python bench/gpu.py --write`. {machine(run.torch)}.

{run.rounds} rounds, in each of them every row of a table for about {run.seconds} s, one after the other; medians, with
their range. The floor is what a copy leaves: an image's bytes read once and its result written once, at the bandwidth
(read and written) of a large float32 copy in the same rounds. "Enqueued" is waited for once in some tens of
milliseconds (or as soon as {MEMORY / 1e9:.0f} GB are under way), as in training. What consumes a batch in the same
program, as the sum in the scan does, may be fused with it, so that nothing is written; and where data or results fit
into the card's cache a share may pass 1. torch makes a float batch, random matrices on the device, and a warp with
repeated borders, in its own layout. Every output is checked for shape, dtype, range and mean.

{body}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, fewer images")
    parser.add_argument("--write", action="store_true", help="write the part of bench/RESULTS.md")
    parser.add_argument("--loads", nargs="+", default=(), help="only these, for example W2")
    parser.add_argument("--rounds", type=int, help="rounds of the tables, by default 5 (2 with --quick)")
    arguments = parser.parse_args()
    on_gpu = jax.default_backend() == "gpu"
    if not on_gpu:
        print(f"These are no GPU figures: JAX sees only {jax.default_backend()}.", flush=True)
        if arguments.write or not arguments.quick:
            parser.error("there is no GPU here. Use --quick without --write, which only checks this script.")
    if arguments.write and arguments.quick:
        parser.error("--write is for a full run: not with --quick.")
    run = Run(on_gpu, arguments.quick, arguments.loads, arguments.rounds)
    print(machine(run.torch), flush=True)
    run.everything()
    if arguments.write:
        write_section("gpu", report(run))
    sys.exit(1 if run.failures else 0)


if __name__ == "__main__":
    main()
