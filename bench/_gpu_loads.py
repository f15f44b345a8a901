"""The work loads of bench/gpu.py: who takes part, how it runs, and what must come out of it."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Contestant

import jaxiter
from jaxiter import Affine, Cast, Chain, Loader, Rescale, scan_epoch, shuffled, stream

KEY = jax.random.key(0)
DTYPES = ("float32", "bfloat16")
SHIFTED = {"shift": (0.1, 0.1), "horizontal_flip": True}
WHOLE = {"rotation": 15, "shear": 10, "zoom": 0.1} | SHIFTED
ROWS = jax.jit(Loader.index)  # with the size static, as it is within a batch
ENQUEUED = "Loader.batch, enqueued"
MEMORY = 4e9  # bytes of results that may be under way at once


class Load(NamedTuple):
    name: str
    num_examples: int
    side: int
    batch_sizes: tuple[int, ...]
    options: dict[str, Any] | None  # those of Affine; None: shuffle, gather and cast only

    @property
    def top(self) -> float:
        return 255.0 if self.options is None else 1.0

    def images(self) -> np.ndarray:
        shape = (self.num_examples, self.side, self.side, 3)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def augment(self, dtype: str) -> Chain:
        if self.options is None:
            return Chain(Cast(dtype))
        return Chain(Affine(**self.options, fill_mode="nearest", order=1), Rescale(1 / 255), Cast(dtype))

    def output_bytes(self, dtype: str) -> int:
        return self.side**2 * 3 * jnp.dtype(dtype).itemsize

    def moved_bytes(self, dtype: str) -> int:
        """What an image costs at least: its bytes read once and its result written once."""
        return self.side**2 * 3 + self.output_bytes(dtype)

    def __str__(self) -> str:
        return f"{self.name}: {self.num_examples:,} x {self.side}x{self.side}x3 uint8"


def loads(small: bool, quick: bool) -> list[Load]:
    """The loads of a GPU, the one with a target first; `small`: what two CPU cores can do in passing."""
    if small:
        few, large = (64, 32, (16,)), (16, 224, (8,))
        return [
            Load("W2", *large, WHOLE),
            Load("W1", *few, WHOLE),
            Load("W3", *few, SHIFTED),
            Load("W4s", *few, None),
            Load("W4l", *large, None),
        ]
    few, large = (10_000, 32, (128, 1024, 8192)), (512 if quick else 2048, 224, (32, 256))
    sizes = {"W2": large, "W1": few, "W3": few, "W4s": few, "W4l": large}
    options = {"W1": WHOLE, "W2": WHOLE, "W3": SHIFTED}
    return [Load(name, *size, options.get(name)) for name, size in sizes.items()]


# How they run


def enqueued(call: Callable[[], Any], count: int, depth: int, wait: Any = jax.block_until_ready) -> Callable[[], Any]:
    """`count` results asked for and waited for once; of more than `depth` under way the oldest is waited for."""

    def run() -> Any:
        pending: deque[Any] = deque()
        for _ in range(count):
            pending.append(call())
            if len(pending) > depth:
                jax.block_until_ready(pending.popleft())  # of torch this only lets go: its memory follows the stream
        wait(list(pending))
        return pending[-1]

    return run


def by_step(loader: Loader, function: Callable[..., Any]) -> Callable[[], Any]:
    places = ((epoch, step) for epoch in itertools.count() for step in range(loader.num_steps))
    return lambda: function(KEY, *next(places))


def by_epoch(loader: Loader) -> Callable[[], Any]:
    epochs = itertools.count()
    return lambda: scan_epoch(add_sum, jnp.float32(0), loader, KEY, next(epochs))[0]


def add_sum(total: Any, batch: Any) -> tuple[Any, None]:
    return total + batch.sum(dtype=np.float32), None


def ours(load: Load, size: int, dtype: str, data: Any, count: int) -> list[Contestant]:
    loader = Loader(data, batch_size=size, augment=load.augment(dtype))
    batch, depth = by_step(loader, loader.batch), depth_of(load, size, dtype)
    per_epoch, epochs = loader.num_steps * size, math.ceil(count / loader.num_steps)
    check = partial(check_batch, shape=(size, load.side, load.side, 3), dtype=dtype, top=load.top)
    check_total = partial(check_sum, num_values=per_epoch * load.side**2 * 3, top=load.top)
    rows = partial(ROWS, loader)
    check_index = partial(check_rows, count=size, size=load.num_examples)
    scan, index = enqueued(by_epoch(loader), epochs, epochs), enqueued(by_step(loader, rows), count, count)
    return [
        Contestant("Loader.batch, each waited for", "batch", size, batch, check),
        Contestant(ENQUEUED, "batch", count * size, enqueued(batch, count, depth), check),
        Contestant("scan_epoch, sum", "batch", epochs * per_epoch, scan, check_total),
        Contestant("Loader.index alone, enqueued", "index", count * size, index, check_index),
    ]


def streams(load: Load, size: int, images: Any, data: Any, count: int) -> list[Contestant]:
    """A stream over data on the device, and over a NumPy array, whose bytes go over the bus batch by batch."""
    augment, shape = load.augment("float32"), (size, load.side, load.side, 3)
    check = partial(check_batch, shape=shape, dtype="float32", top=load.top)
    depth = depth_of(load, size, "float32")

    def contestant(name: str, source: Any, **options: Any) -> Contestant:
        batches = stream(Loader(source, batch_size=size, augment=augment), KEY, **options)
        return Contestant(name, "batch", count * size, enqueued(lambda: next(batches), count, depth), check)

    return [
        contestant("stream, data on the device", data),
        contestant("stream over a NumPy array, one thread", images, num_threads=1),
        contestant("stream over a NumPy array, 4 threads", images, num_threads=4, prefetch=4),
        contestant("stream over a NumPy array, 8 threads", images, num_threads=8, prefetch=8),
    ]


def depth_of(load: Load, size: int, dtype: str) -> int:
    return max(2, int(MEMORY // (size * load.output_bytes(dtype))))


# torch, the usual way: a float batch, then a warp of it


def by_torch(
    torch: Any, load: Load, size: int, dtype: str, images: Any, count: int, compiled: bool
) -> list[Contestant]:
    """`images` are a resident tensor in torch's own layout, (size, channels, height, width)."""
    augment, on_gpu = torch_augment(torch, load, dtype), images.device.type == "cuda"
    check = partial(check_tensor, shape=(size, 3, load.side, load.side), dtype=dtype, top=load.top)
    depth = depth_of(load, size, dtype)

    def wait(results: Any) -> Any:
        if on_gpu:
            torch.cuda.synchronize()
        return results

    def rows() -> Iterator[Any]:
        while True:
            order = torch.randperm(load.num_examples, device=images.device)
            yield from order[: load.num_examples - load.num_examples % size].split(size)

    def contestants(name: str, function: Any) -> list[Contestant]:
        index = rows()
        run = enqueued(lambda: function(images, next(index)), count, depth, wait)
        return [
            Contestant(f"{name}, each waited for", "batch", size, lambda: wait(function(images, next(index))), check),
            Contestant(f"{name}, enqueued", "batch", count * size, run, check),
        ]

    found = contestants("torch" if load.options is None else "torch grid_sample", augment)
    if compiled:
        torch.compiler.reset()  # else the eighth shape of one function falls back to eager, without a word
        found += contestants("torch.compile of it", torch.compile(augment, fullgraph=True, dynamic=False))
    return found


def torch_augment(torch: Any, load: Load, dtype: str) -> Callable[[Any, Any], Any]:
    to, sample = getattr(torch, dtype), torch.nn.functional.grid_sample

    def gather_and_cast(data: Any, index: Any) -> Any:
        return data.index_select(0, index).to(to)

    def warp(data: Any, index: Any) -> Any:
        images = data.index_select(0, index).float()
        theta = torch_matrices(torch, load.options, images.shape[0], data.device)
        grid = torch.nn.functional.affine_grid(theta, images.shape, align_corners=False)
        return (sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False) / 255).to(to)

    return gather_and_cast if load.options is None else warp


def torch_matrices(torch: Any, options: Any, count: int, device: Any) -> Any:
    """Random maps from output to source, as affine_grid wants them: (x, y, 1), the image being [-1, 1]."""
    drawn = torch.rand(7, count, device=device)
    signed = 2 * drawn - 1
    theta = math.radians(options.get("rotation", 0)) * signed[0]
    leaning = theta + math.radians(options.get("shear", 0)) * signed[1]
    zoom_x, zoom_y = (1 + options.get("zoom", 0) * signed[i] for i in (2, 3))
    shift_y, shift_x = (2 * part * signed[i] for part, i in zip(options["shift"], (4, 5), strict=True))
    flip = torch.where(drawn[6] < 0.5, -1.0, 1.0)
    xs = torch.stack([flip * torch.cos(theta) / zoom_x, -torch.sin(leaning) / zoom_y, shift_x], dim=1)
    ys = torch.stack([flip * torch.sin(theta) / zoom_x, torch.cos(leaning) / zoom_y, shift_y], dim=1)
    return torch.stack([xs, ys], dim=1)


# W5, orders


def whole_order(size: int) -> list[Contestant]:
    epochs, keys, check = itertools.count(), itertools.count(), partial(check_order, size=size)

    def by_jax() -> Any:
        return jax.random.permutation(jax.random.key(next(keys)), size)

    def by_jaxiter() -> Any:
        return jaxiter.permutation(KEY, next(epochs), size)

    return [
        Contestant("jax.random.permutation", "order", size, by_jax, check),
        Contestant("jaxiter.permutation", "order", size, by_jaxiter, check),
    ]


def order_of_a_batch(size: int) -> list[Contestant]:
    steps, first = itertools.count(), np.arange(128)

    def call() -> Any:
        return shuffled(KEY, 0, first + 128 * (next(steps) % (size // 128)), size)

    return [
        Contestant("jaxiter.shuffled, 128 positions", "batch", 128, call, partial(check_rows, count=128, size=size))
    ]


# What must come out


def check_batch(batch: Any, *, shape: tuple[int, ...], dtype: str, top: float) -> None:
    assert batch.dtype == jnp.dtype(dtype), (batch.dtype, dtype)
    assert batch.devices() == {jax.devices()[0]}, batch.devices()
    check_values(np.asarray(batch).astype(np.float32), shape, top)  # NumPy sums bfloat16 in bfloat16


def check_tensor(batch: Any, *, shape: tuple[int, ...], dtype: str, top: float) -> None:
    assert str(batch.dtype) == f"torch.{dtype}", (batch.dtype, dtype)
    check_values(batch.float().cpu().numpy(), shape, top)


def check_values(values: np.ndarray, shape: tuple[int, ...], top: float) -> None:
    """Of uniform noise: the whole range nearly reached, and half of it the mean (borders repeat, nothing is black)."""
    assert values.shape == shape, (values.shape, shape)
    assert values.min() >= 0, values.min()
    assert 0.9 * top < values.max() <= top * 1.00001, values.max()
    assert abs(values.mean() / top - 0.5) < 0.05, values.mean()


def check_sum(total: Any, *, num_values: int, top: float) -> None:
    mean = float(total) / num_values / top
    assert abs(mean - 0.5) < 0.05, mean


def check_order(order: Any, *, size: int) -> None:
    assert np.array_equal(np.bincount(np.asarray(order), minlength=size), np.ones(size))


def check_rows(rows: Any, *, count: int, size: int) -> None:
    values = np.asarray(rows)
    assert values.shape == (count,), values.shape
    assert len(np.unique(values)) == count
    assert values.min() >= 0, values.min()
    assert values.max() < size, values.max()
    assert count < 128 or values.max() > size / 2, values.max()  # of a few rows all may be small by chance
