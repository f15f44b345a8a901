"""How much of its time does a training loop wait for data, and what would it gain if there were nothing to load?

The README's network on scanned digits, and a small convolutional network on images of W1's size with W1's
augmentation, each fed by a stream over a host array with and without prefetch, by a stream over a resident array, and
by a list of the same batches made before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _contestants import AUGMENT, KEY
from _timing import Contestant, interleave, markdown
from flax import nnx
from sklearn.datasets import load_digits

from jaxiter import Affine, Chain, Loader, Rescale, stream
from jaxiter.__main__ import Network, train_step

HOST, SERIAL, RESIDENT = "host NumPy, prefetch 2", "host NumPy, prefetch 0", "resident"
IDEAL = "batches made before"
EVERY_STEP, EVERY_EPOCH, BATCH_FIRST = "loss at every step", "losses at the epoch's end", "batch, then loss"
LOOPS = {
    EVERY_STEP: "Every step ends when its loss is on the host, as in a loop that logs it.",
    EVERY_EPOCH: "Steps are enqueued one after the other, and the losses are waited for when the epoch ends.",
    BATCH_FIRST: "As the first, but every batch is waited for before the step starts, and that counts as waiting.",
}
NOTE = """\
"Waiting" is the share of the loop's time inside `next(batches)`, in the third loop also inside `block_until_ready` of
that batch. JAX returns arrays before they are computed, so it says little by itself: what `next` hands over may still
be under way, and the step waits for it unseen; and where losses are fetched at the epoch's end, `next` can stand in
line behind training steps that are not done, when no step lacks a batch. What loading costs is "over the ideal": the
loop's time beside the same loop over the same batches made before, in the same round (median and range). It holds the
CPU time that loading takes from a training that uses all cores, which no prefetch can hide there. "In turn" is where
that would be if loading, measured alone and batch by batch, and training just followed each other."""


class Task(NamedTuple):
    """A loader, and a training that starts over every time it is asked for."""

    name: str
    host: Loader
    num_epochs: int
    start: Callable[[], Callable[[Any], Any]]  # () -> batch -> loss, with fresh weights

    @property
    def num_steps(self) -> int:
        return self.num_epochs * self.host.num_steps


@dataclass
class Loop:
    """Trains for some epochs, and notes how long that took and how much of it was spent in `next`."""

    task: Task
    make_batches: Callable[[], Any]
    kind: str
    took: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def __call__(self) -> np.ndarray:
        step_fn, waited, losses = self.task.start(), 0.0, []
        started = time.perf_counter()
        with self.make_batches() as batches:
            for _ in range(self.task.num_epochs):
                for _ in range(self.task.host.num_steps):
                    asked = time.perf_counter()
                    batch = next(batches)
                    if self.kind == BATCH_FIRST:
                        jax.block_until_ready(batch)
                    waited += time.perf_counter() - asked
                    loss = step_fn(batch)
                    losses.append(loss if self.kind == EVERY_EPOCH else float(loss))
                jax.block_until_ready(losses)
        self.took.append(time.perf_counter() - started)
        self.waited.append(waited)
        return np.array(losses)

    @property
    def shares(self) -> list[float]:
        """Of the loop's time, spent waiting."""
        return [waited / took for waited, took in zip(self.waited, self.took, strict=True)]

    def last(self, rounds: int) -> Loop:
        """Without the runs that warmed up."""
        return replace(self, took=self.took[-rounds:], waited=self.waited[-rounds:])


def overlap(rounds: int) -> tuple[str, float]:
    """Trains both networks in every way, one way after the other in each round.

    Returns:
        Tables as Markdown, and the share of its time that the first network waits when it takes its batches from the
        host with prefetch, and its loss to the host at every step.
    """
    sections, waiting = [], []
    for task in (_digits(), _small_images()):
        _, height, width, channels = jax.tree.leaves(task.host.data)[0].shape
        batch, steps = task.host.batch_size, task.host.num_steps
        head = f"### {task.name}: batch {batch} of {height}x{width}x{channels}, {steps} steps in an epoch"
        tables, share = _raced(task, rounds)
        sections += [head, *tables]
        waiting.append(share)
    return "\n\n".join([*sections, NOTE]), waiting[0]


def _raced(task: Task, rounds: int) -> tuple[list[str], float]:
    """One table for each kind of loop, and a share of waiting, see `overlap`."""
    sources = {
        HOST: partial(stream, task.host, KEY, num_epochs=task.num_epochs, prefetch=2),
        SERIAL: partial(stream, task.host, KEY, num_epochs=task.num_epochs, prefetch=0),
        RESIDENT: partial(stream, task.host.to_device(), KEY, num_epochs=task.num_epochs, prefetch=2),
    }
    made = [jax.block_until_ready(batch) for batch in sources[SERIAL]()]
    sources[IDEAL] = lambda: nullcontext(iter(made))
    loops = {(kind, name): Loop(task, source, kind) for kind in LOOPS for name, source in sources.items()}
    expected = loops[EVERY_STEP, IDEAL]()
    num_images = len(made) * task.host.batch_size
    training = [
        Contestant(f"{kind}, {name}", "run", num_images, loop, partial(_check_losses, expected=expected))
        for (kind, name), loop in loops.items()
    ]
    alone = {name: partial(_load, source) for name, source in sources.items() if name != IDEAL}
    agree = partial(_check_last_batch, expected=made[-1])
    loading = {name: Contestant(name, "run", num_images, load, agree) for name, load in alone.items()}
    interleave([*training, *loading.values()], rounds, seconds=0.0)
    sections = []
    for kind, meaning in LOOPS.items():
        of_kind = {name: loops[kind, name].last(rounds) for name in sources}
        sections.append(f"{kind.capitalize()}. {meaning}\n\n{_table(task, of_kind, loading)}")
    return sections, statistics.median(loops[EVERY_STEP, HOST].last(rounds).shares)


def _load(source: Callable[[], Iterable[Any]]) -> Any:
    """Loading alone: every batch is waited for before the next one is asked for, and nothing is trained."""
    for batch in source():
        jax.block_until_ready(batch)
    return batch


def _table(task: Task, loops: dict[str, Loop], loading: dict[str, Contestant]) -> str:
    """Rows by source; ratios are taken within a round, where neighbours slow both sides alike."""
    ideal = loops[IDEAL].took
    rows = []
    for name, loop in loops.items():
        cells = ["-"] * 3
        if name in loading:
            alone = loading[name].wall
            over = [took / best - 1 for took, best in zip(loop.took, ideal, strict=True)]
            in_turn = [extra / best for extra, best in zip(alone, ideal, strict=True)]
            cells = [
                f"{statistics.median(over):+.1%} ({min(over):+.1%} to {max(over):+.1%})",
                f"{statistics.median(in_turn):+.1%}",
                f"{statistics.median(alone) / task.num_steps * 1e3:.2f}",
            ]
        rows.append(
            [
                name,
                f"{statistics.median(loop.took) / task.num_epochs * 1e3:,.0f}",
                f"{statistics.median(loop.took) / task.num_steps * 1e3:.2f}",
                f"{statistics.median(loop.waited) / task.num_steps * 1e3:.2f}",
                f"{statistics.median(loop.shares):.1%}",
                *cells,
            ]
        )
    heads = ["batches from", "ms per epoch", "ms per step", "of it in next", "waiting", "over the ideal", "in turn"]
    return markdown([[*heads, "loading alone, ms per batch"], *rows])


def _check_losses(losses: Any, *, expected: np.ndarray) -> None:
    """Every loop sees the same batches from the same start, so the losses are the same too."""
    assert losses.shape == expected.shape, (losses.shape, expected.shape)
    assert np.isfinite(losses).all()
    assert len(np.unique(losses)) > 1, "nothing was learned"
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


def _check_last_batch(batch: Any, *, expected: Any) -> None:
    for found, leaf in zip(jax.tree.leaves(batch), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(leaf), atol=1e-5)


# What is trained


def _digits() -> Task:
    digits = load_digits()
    data = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int32)
    augment = Chain(Affine(rotation=10, shift=0.1, zoom=0.1, fill_mode="constant"), Rescale(1 / 16))
    model = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(2e-3), wrt=nnx.Param)
    fresh = jax.tree.map(jnp.copy, nnx.state((model, optimizer)))

    def start() -> Callable[[Any], Any]:
        nnx.update((model, optimizer), fresh)
        return lambda batch: train_step(model, optimizer, *batch)

    return Task("The README's network on scanned digits", Loader(data, batch_size=64, augment=augment), 2, start)


def _small_images() -> Task:
    generator, size = np.random.default_rng(0), 40 * 128
    images = generator.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, size, dtype=np.int32)
    shapes = [(3, 3, 3, 16), (3, 3, 16, 32), (3, 3, 32, 32), (4 * 4 * 32, 10)]
    fresh = [jnp.asarray(generator.normal(0, np.prod(shape[:-1]) ** -0.5, shape), jnp.float32) for shape in shapes]

    def start() -> Callable[[Any], Any]:
        weights = fresh

        def step(batch: Any) -> Any:
            nonlocal weights
            weights, loss = _sgd_step(weights, *batch)
            return loss

        return step

    loader = Loader((images, labels), batch_size=128, augment=AUGMENT)
    return Task("Three convolutions on noise of CIFAR's size", loader, 2, start)


@jax.jit
def _sgd_step(weights: list[Any], images: Any, labels: Any) -> tuple[list[Any], Any]:
    def loss_fn(weights: list[Any]) -> Any:
        features = images - 0.5
        for kernel in weights[:-1]:
            strided = jax.lax.conv_general_dilated(
                features, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            features = jax.nn.relu(strided)
        logits = features.reshape(len(features), -1) @ weights[-1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(weights)
    return jax.tree.map(lambda weight, grad: weight - 0.01 * grad, weights, grads), loss
