"""Who takes part in each work load, what it does, and what must come out of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Contestant
from keras.src.legacy.preprocessing.image import ImageDataGenerator as LegacyGenerator

import jaxiter
from jaxiter import Affine, Cast, Chain, Loader, Rescale, scan_epoch, shuffled, stream
from jaxiter.keras import ImageDataGenerator
from jaxiter.loader import _loader, _program

KEY = jax.random.key(0)
AUGMENT = Chain(
    Affine(rotation=15, shift=(0.1, 0.1), shear=10, zoom=0.1, horizontal_flip=True, fill_mode="nearest", order=1),
    Rescale(1 / 255),
)
KERAS_ARGUMENTS = {
    "rotation_range": 15,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 10,
    "zoom_range": 0.1,
    "horizontal_flip": True,
    "fill_mode": "nearest",
    "interpolation_order": 1,
    "rescale": 1 / 255,
}
SHIFT = Chain(Affine(shift=0.1, horizontal_flip=True), Rescale(1 / 255))
KERAS_SHIFT = {name: KERAS_ARGUMENTS[name] for name in ("width_shift_range", "height_shift_range", "horizontal_flip")}
KERAS_SHIFT |= {name: KERAS_ARGUMENTS[name] for name in ("fill_mode", "interpolation_order", "rescale")}
KERAS, NUMPY, JAX = "Keras ImageDataGenerator.flow", "NumPy fancy index + astype", "jax.random.permutation"
GATHER = "jaxiter Loader.batch, float32"
BATCH, SCAN, ORDER = "jaxiter Loader.batch", "jaxiter scan_epoch, sum", "jaxiter permutation"
FACE = "jaxiter.keras flow"
STEPPED, BARE_SCAN = "jaxiter Loader.batch, then jitted sum", "jaxiter scan_epoch, sum, no boundary"
STEPPED_CONV, SCAN_CONV = "jaxiter Loader.batch, then jitted convolution", "jaxiter scan_epoch, convolution"
STREAM, HOST_STREAM = "jaxiter stream, resident", "jaxiter stream, host NumPy"
DONATED, DONATED_BATCH = "jaxiter stream, resident, donate=True", "jaxiter Loader.batch, donate=the one before"


class WorkLoad(NamedTuple):
    name: str
    num_examples: int
    side: int
    batch_size: int

    def images(self) -> np.ndarray:
        shape = (self.num_examples, self.side, self.side, 3)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def __str__(self) -> str:
        return f"{self.name}: {self.num_examples:,} x {self.side}x{self.side}x3 uint8, batch {self.batch_size}"


StepFunction = Callable[[Any, Any], tuple[Any, None]]

AUGMENTED = [WorkLoad("W1", 10_000, 32, 128), WorkLoad("W2", 512, 224, 32)]
SHIFTED = WorkLoad("W3", 10_000, 32, 128)
GATHERED = [WorkLoad("W4s", 10_000, 32, 128), WorkLoad("W4l", 512, 224, 32)]


# What each contestant does


def places(loader: Loader) -> Iterator[tuple[int, int]]:
    return ((epoch, step) for epoch in itertools.count() for step in range(loader.num_steps))


def by_batch(loader: Loader, *, donate: bool = False) -> Callable[[], Any]:
    place = places(loader)
    last = loader.batch(KEY, 0, 0) if donate else None  # so that the first call compiles what all others run

    def batch() -> Any:
        nonlocal last
        made = loader.batch(KEY, *next(place), donate=last)
        last = made if donate else None
        return made

    return batch


def by_scan(loader: Loader, step_fn: StepFunction) -> Callable[[], Any]:
    epochs = itertools.count()
    return lambda: scan_epoch(step_fn, jnp.float32(0), loader, KEY, next(epochs))[0]


def by_scan_without_boundary(loader: Loader) -> Callable[[], Any]:
    """The scan as it would be without `_boundary.py`: the reason why that file exists."""
    epochs, step_fn = itertools.count(), lambda total, batch: add_sum(total, batch)
    inlined = {"fusion_barrier": lambda function: function(), "resident_batch": _program.resident_batch.__wrapped__}

    def epoch() -> Any:
        with (
            patch.object(_loader, "resident_batch", inlined["resident_batch"]),
            patch.object(_program, "fusion_barrier", inlined["fusion_barrier"]),
        ):
            return scan_epoch(step_fn, jnp.float32(0), loader, KEY, next(epochs))[0]

    return epoch


def by_step(loader: Loader, step_fn: StepFunction) -> Callable[[], Any]:
    epochs, jitted = itertools.count(), jax.jit(step_fn)

    def epoch() -> Any:
        total, number = jnp.float32(0), next(epochs)
        for step in range(loader.num_steps):
            total, _ = jitted(total, loader.batch(KEY, number, step))
        return total

    return epoch


def by_stream(loader: Loader, *, donate: bool = False) -> Callable[[], Any]:
    """Whole epochs, so that nothing made ahead is still running in another contestant's turn."""
    first, length = itertools.count(step=epochs_of(loader)), epochs_of(loader)

    def epochs() -> Any:
        start = next(first)
        for batch in stream(loader, KEY, start=(start, 0), num_epochs=start + length, prefetch=2, donate=donate):
            jax.block_until_ready(batch)
        return batch

    return epochs


def epochs_of(loader: Loader) -> int:
    """As many as make a stream's beginning a small part of it."""
    return max(1, 64 // loader.num_steps)


def by_keras(generator: Any, images: np.ndarray, batch_size: int) -> Callable[[], Any]:
    whole = len(images) - len(images) % batch_size  # no short last batch, as with remainder="drop"
    flow = generator.flow(images[:whole], batch_size=batch_size, shuffle=True, seed=0)
    return lambda: next(flow)


def by_numpy(images: np.ndarray, batch_size: int) -> Callable[[], Any]:
    def batches() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        while True:
            order = generator.permutation(len(images))
            for start in range(0, len(images) - batch_size + 1, batch_size):
                yield images[order[start : start + batch_size]].astype(np.float32)

    return partial(next, batches())


def add_sum(total: Any, batch: Any) -> tuple[Any, None]:
    return total + batch.sum(), None


def add_features(total: Any, batch: Any) -> tuple[Any, None]:
    """A convolution of 16 kernels, 3 x 3 and two pixels apart, and its sum."""
    kernels = jnp.ones((3, 3, 3, 16), jnp.float32) / 27
    found = jax.lax.conv_general_dilated(
        batch, kernels, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), preferred_element_type=jnp.float32
    )
    return total + jax.nn.relu(found).sum(), None


# The work loads: who takes part, and what the output must look like


def augmented(load: WorkLoad) -> list[Contestant]:
    images, size = load.images(), load.batch_size
    host = Loader(images, batch_size=size, augment=AUGMENT)
    loader = host.to_device()
    per_epoch = loader.num_steps * size
    check = partial(check_batch, shape=(size, load.side, load.side, 3), dtype=np.float32, top=1.0)
    check_total = partial(check_sum, num_values=per_epoch * load.side**2 * 3)
    contestants = [
        Contestant(KERAS, "batch", size, by_keras(LegacyGenerator(**KERAS_ARGUMENTS), images, size), check),
        Contestant(BATCH, "batch", size, by_batch(loader), check),
        Contestant(DONATED_BATCH, "batch", size, by_batch(loader, donate=True), check),
        *streams(loader, check),
        Contestant(HOST_STREAM, "run", per_epoch * epochs_of(host), by_stream(host), check),
        Contestant(SCAN, "epoch", per_epoch, by_scan(loader, add_sum), check_total),
        Contestant(STEPPED, "epoch", per_epoch, by_step(loader, add_sum), check_total),
        Contestant(SCAN_CONV, "epoch", per_epoch, by_scan(loader, add_features), check_positive),
        Contestant(STEPPED_CONV, "epoch", per_epoch, by_step(loader, add_features), check_positive),
        Contestant(BARE_SCAN, "epoch", per_epoch, by_scan_without_boundary(loader), check_total),
    ]
    flow = by_keras(ImageDataGenerator(**KERAS_ARGUMENTS), images, size)
    contestants.insert(1, Contestant(FACE, "batch", size, flow, check))
    return contestants


def streams(loader: Loader, check: Callable[[Any], None]) -> list[Contestant]:
    number = loader.num_steps * loader.batch_size * epochs_of(loader)
    return [
        Contestant(STREAM, "run", number, by_stream(loader), check),
        Contestant(DONATED, "run", number, by_stream(loader, donate=True), check),
    ]


def shifted(load: WorkLoad) -> list[Contestant]:
    images, size = load.images(), load.batch_size
    loader = Loader(images, batch_size=size, augment=SHIFT).to_device()
    check = partial(check_batch, shape=(size, load.side, load.side, 3), dtype=np.float32, top=1.0)
    return [
        Contestant(KERAS, "batch", size, by_keras(LegacyGenerator(**KERAS_SHIFT), images, size), check),
        Contestant(BATCH, "batch", size, by_batch(loader), check),
        *streams(loader, check),
    ]


def gathered(load: WorkLoad) -> list[Contestant]:
    images, size = load.images(), load.batch_size
    resident = jnp.array(images)
    loader = Loader(resident, batch_size=size, augment=Cast("float32"))
    untouched = by_batch(Loader(resident, batch_size=size))
    check = partial(check_batch, shape=(size, load.side, load.side, 3), top=255.0)
    as_float, as_uint8 = partial(check, dtype=np.float32), partial(check, dtype=np.uint8)
    return [
        Contestant(NUMPY, "batch", size, by_numpy(images, size), as_float),
        Contestant(KERAS, "batch", size, by_keras(LegacyGenerator(), images, size), as_float),
        Contestant(GATHER, "batch", size, by_batch(loader), as_float),
        Contestant(DONATED_BATCH, "batch", size, by_batch(loader, donate=True), as_float),
        *streams(loader, as_float),
        Contestant("jaxiter Loader.batch, uint8", "batch", size, untouched, as_uint8),
    ]


def whole_order(size: int) -> list[Contestant]:
    epochs, keys, generator = itertools.count(), itertools.count(), np.random.default_rng(0)
    check = partial(check_order, size=size)

    def by_jax() -> Any:
        return jax.random.permutation(jax.random.key(next(keys)), size)

    return [
        Contestant(JAX, "order", size, by_jax, check),
        Contestant("numpy Generator.permutation", "order", size, lambda: generator.permutation(size), check),
        Contestant(ORDER, "order", size, lambda: jaxiter.permutation(KEY, next(epochs), size), check),
    ]


def order_of_a_batch(size: int) -> list[Contestant]:
    steps = itertools.count()
    first = np.arange(128)

    def call() -> Any:
        return shuffled(KEY, 0, first + 128 * (next(steps) % (size // 128)), size)

    return [Contestant("jaxiter shuffled, 128 positions", "batch", 128, call, partial(check_rows, size=size))]


def check_batch(batch: Any, *, shape: tuple[int, ...], dtype: Any, top: float) -> None:
    """Of uniform noise: the whole range nearly reached, and half of it the mean (borders repeat, nothing is black)."""
    values = np.asarray(batch)
    assert values.shape == shape, (values.shape, shape)
    assert values.dtype == dtype, (values.dtype, dtype)
    assert values.min() >= 0, values.min()
    assert 0.9 * top < values.max() <= top * 1.00001, values.max()
    assert abs(values.mean() / top - 0.5) < 0.05, values.mean()


def check_sum(total: Any, *, num_values: int) -> None:
    assert abs(float(total) / num_values - 0.5) < 0.05, float(total) / num_values


def check_positive(total: Any) -> None:
    assert 0 < float(total) < np.inf, float(total)


def check_order(order: Any, *, size: int) -> None:
    assert np.array_equal(np.bincount(np.asarray(order), minlength=size), np.ones(size))


def check_rows(rows: Any, *, size: int) -> None:
    values = np.asarray(rows)
    assert values.shape == (128,), values.shape
    assert len(set(values.tolist())) == 128
    assert values.min() >= 0, values.min()
    assert size / 2 < values.max() < size, values.max()
