"""The work loads W1 to W5, and two sizes between: what jaxiter does in each, and what every output must look like.

bench/versus.py runs this file with two versions of jaxiter: use only names that both have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Contestant

import jaxiter
from jaxiter import Affine, Cast, Chain, Loader, Rescale, scan_epoch, shuffled, stream
from jaxiter.keras import ImageDataGenerator

KEY = jax.random.key(0)
BATCH, STREAM, DONATED = "jaxiter Loader.batch", "jaxiter stream, resident", "jaxiter stream, resident, donate=True"
HOST_STREAM, FACE = "jaxiter stream, host NumPy", "jaxiter.keras flow"
SCAN, STEPPED = "jaxiter scan_epoch, sum", "jaxiter Loader.batch, then jitted sum"
JAX, ORDER = "jax.random.permutation", "jaxiter permutation"

SHIFTED = {"shift": (0.1, 0.1), "horizontal_flip": True}
AFFINE = {"rotation": 15, "shear": 10, "zoom": 0.1} | SHIFTED


class Load(NamedTuple):
    name: str
    num_examples: int
    side: int
    batch_size: int
    ranges: dict[str, Any] | None  # those of Affine; None: shuffle, gather and cast only
    dtype: str = "float32"
    channels: int = 3

    @property
    def top(self) -> float:
        """The largest value of a batch."""
        return 255.0 if self.ranges is None else 1.0

    @property
    def augment(self) -> Chain:
        if self.ranges is None:
            return Chain(Cast(self.dtype))
        cast = () if self.dtype == "float32" else (Cast(self.dtype),)
        return Chain(Affine(**self.ranges, fill_mode="nearest", order=1), Rescale(1 / 255), *cast)

    @property
    def keras_arguments(self) -> dict[str, Any]:
        """The same, as Keras names it."""
        if self.ranges is None:
            return {}
        ranges = dict(self.ranges)
        height, width = ranges.pop("shift")
        flip = ranges.pop("horizontal_flip")
        named = {"height_shift_range": height, "width_shift_range": width, "horizontal_flip": flip}
        named |= {f"{name}_range": value for name, value in ranges.items()}
        return named | {"fill_mode": "nearest", "interpolation_order": 1, "rescale": 1 / 255}

    def images(self) -> np.ndarray:
        shape = (self.num_examples, self.side, self.side, self.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def loader(self, images: Any) -> Loader:
        return Loader(images, batch_size=self.batch_size, augment=self.augment)

    def check(self, batch: Any) -> None:
        """Of uniform noise: the whole range nearly reached, and half of it the mean (borders repeat)."""
        dtype = getattr(batch.dtype, "name", str(batch.dtype).removeprefix("torch."))  # TensorFlow and torch too
        assert dtype == self.dtype, (dtype, self.dtype)
        # NumPy would sum bfloat16 in bfloat16, and takes no tensor of a GPU.
        values = np.asarray(batch.float().cpu() if hasattr(batch, "detach") else batch).astype(np.float32)
        assert values.shape == (self.batch_size, self.side, self.side, self.channels), values.shape
        assert values.min() >= 0, values.min()
        assert 0.9 * self.top < values.max() <= self.top * 1.00001, values.max()
        assert abs(values.mean() / self.top - 0.5) < 0.05, values.mean()

    def check_sum(self, total: Any) -> None:
        """Of all batches of an epoch."""
        count = self.num_examples // self.batch_size * self.batch_size * self.side**2 * self.channels
        assert abs(float(total) / count / self.top - 0.5) < 0.05, float(total) / count

    def __str__(self) -> str:
        shape = f"{self.side}x{self.side}x{self.channels}"
        name = "" if self.name == shape else f"{self.name}: "
        return f"{name}{self.num_examples:,} x {shape} uint8, batch {self.batch_size:,}"


W1, W2 = Load("W1", 10_000, 32, 128, AFFINE), Load("W2", 512, 224, 32, AFFINE)
W3 = Load("W3", 10_000, 32, 128, SHIFTED)
W4S, W4L = Load("W4s", 10_000, 32, 128, None), Load("W4l", 512, 224, 32, None)
GREY, MIDDLE = Load("28x28x1", 10_000, 28, 128, AFFINE, channels=1), Load("96x96x3", 1_024, 96, 64, AFFINE)


# One call each


def places(loader: Loader) -> Iterator[tuple[int, int]]:
    return ((epoch, step) for epoch in itertools.count() for step in range(loader.num_steps))


def by_batch(loader: Loader, method: Callable[..., Any] = Loader.batch) -> Callable[[], Any]:
    place = places(loader)
    return lambda: method(loader, KEY, *next(place))


def by_scan(loader: Loader) -> Callable[[], Any]:
    epochs = itertools.count()
    return lambda: scan_epoch(add_sum, jnp.float32(0), loader, KEY, next(epochs))[0]


def by_step(loader: Loader) -> Callable[[], Any]:
    epochs, jitted = itertools.count(), jax.jit(add_sum)

    def epoch() -> Any:
        total, number = jnp.float32(0), next(epochs)
        for step in range(loader.num_steps):
            total, _ = jitted(total, loader.batch(KEY, number, step))
        return total

    return epoch


def add_sum(total: Any, batch: Any) -> tuple[Any, None]:
    return total + batch.sum(dtype=np.float32), None


def by_stream(loader: Loader, *, donate: bool = False) -> Callable[[], Any]:
    """Whole epochs, so that no batch prepared ahead is still running in another contestant's turn."""
    length = epochs_of(loader)
    first = itertools.count(step=length)

    def epochs() -> Any:
        start = next(first)
        for batch in stream(loader, KEY, start=(start, 0), num_epochs=start + length, prefetch=2, donate=donate):
            jax.block_until_ready(batch)
        return batch

    return epochs


def epochs_of(loader: Loader) -> int:
    """So many that the start of a stream is a small part of it."""
    return max(1, 64 // loader.num_steps)


def by_keras(generator: Any, images: np.ndarray, batch_size: int) -> Callable[[], Any]:
    whole = len(images) - len(images) % batch_size  # no short last batch, as with remainder="drop"
    flow = generator.flow(images[:whole], batch_size=batch_size, shuffle=True, seed=0)
    return lambda: next(flow)


# jaxiter in each work load


def face(load: Load, images: np.ndarray) -> Contestant:
    flow = by_keras(ImageDataGenerator(**load.keras_arguments), images, load.batch_size)
    return Contestant(FACE, load.batch_size, flow, load.check)


def ours(load: Load, images: np.ndarray) -> list[Contestant]:
    """Batches and streams, and for the whole augmentation Keras' interface and epochs in one program as well."""
    host = load.loader(images)
    loader = host.to_device()
    per_epoch = loader.num_steps * load.batch_size
    per_run = per_epoch * epochs_of(loader)
    found = [
        Contestant(BATCH, load.batch_size, by_batch(loader), load.check),
        Contestant(STREAM, per_run, by_stream(loader), load.check, "run"),
        Contestant(DONATED, per_run, by_stream(loader, donate=True), load.check, "run"),
    ]
    if load.ranges == AFFINE:
        found += [
            face(load, images),
            Contestant(HOST_STREAM, per_run, by_stream(host), load.check, "run"),
            Contestant(SCAN, per_epoch, by_scan(loader), load.check_sum, "epoch"),
            Contestant(STEPPED, per_epoch, by_step(loader), load.check_sum, "epoch"),
        ]
    return found


# W5, orders


def whole_order(size: int) -> list[Contestant]:
    epochs, keys, check = itertools.count(), itertools.count(), partial(check_order, size=size)

    def by_jax() -> Any:
        return jax.random.permutation(jax.random.key(next(keys)), size)

    def by_jaxiter() -> Any:
        return jaxiter.permutation(KEY, next(epochs), size)

    return [Contestant(JAX, size, by_jax, check, "order"), Contestant(ORDER, size, by_jaxiter, check, "order")]


def order_of_a_batch(size: int) -> list[Contestant]:
    steps, first = itertools.count(), np.arange(128)

    def call() -> Any:
        return shuffled(KEY, 0, first + 128 * (next(steps) % (size // 128)), size)

    return [Contestant("jaxiter shuffled, 128 positions", 128, call, partial(check_rows, count=128, size=size))]


def check_order(order: Any, *, size: int) -> None:
    assert np.array_equal(np.bincount(np.asarray(order), minlength=size), np.ones(size))


def check_rows(rows: Any, *, count: int, size: int) -> None:
    values = np.asarray(rows)
    assert values.shape == (count,), values.shape
    assert len(np.unique(values)) == count
    assert values.min() >= 0, values.min()
    assert values.max() < size, values.max()
    assert count < 128 or values.max() > size / 2, values.max()  # of a few rows all may be small by chance
