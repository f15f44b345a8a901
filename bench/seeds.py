"""CPU time of a training step for each seed: two networks, one seed or four by vmap, in a loop and in a scan.

python bench/seeds.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import jax
import jax.numpy as jnp

ROUNDS, STEPS, SEEDS = 3, 5, 4
Weights = dict[str, jax.Array]
SHAPES = {
    "convolutions": {"first": (3, 3, 3, 16), "second": (3, 3, 16, 32), "last": (32, 10)},
    "matrix products": {"first": (192, 64), "second": (64, 64), "last": (64, 10)},
}


def features(weights: Weights, images: jax.Array) -> jax.Array:
    if weights["first"].ndim == 2:  # patches of 8 x 8
        patches = images.reshape(-1, 4, 8, 4, 8, 3).swapaxes(2, 3).reshape(-1, 16, 192)
        return jax.nn.relu(jax.nn.relu(patches @ weights["first"]) @ weights["second"]).mean(1)
    for name in ("first", "second"):
        dimensions = ("NHWC", "HWIO", "NHWC")
        images = jax.lax.conv_general_dilated(images, weights[name], (2, 2), "SAME", dimension_numbers=dimensions)
        images = jax.nn.relu(images)
    return images.mean((1, 2))


def step(weights: Weights, images: jax.Array) -> tuple[Weights, None]:
    slope = jax.grad(lambda own: jnp.square(features(own, images) @ own["last"]).mean())(weights)
    return jax.tree.map(lambda weight, change: weight - 1e-3 * change, weights, slope), None


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    jax.block_until_ready(function())
    return time.process_time() - start


def of_network(name: str, seeds: int) -> None:
    """`seeds` networks by vmap, or one without it; each step has a batch of 50 for each of them."""
    many = (seeds,) if seeds > 1 else ()
    key = jax.random.key(0)
    weights = {part: 0.1 * jax.random.normal(key, (*many, *shape)) for part, shape in SHAPES[name].items()}
    batches = jax.random.normal(key, (STEPS, *many, 50, 32, 32, 3))
    every = jax.vmap(step) if many else step
    one = jax.jit(every)
    scanned = jax.jit(lambda weights, batches: jax.lax.scan(every, weights, batches)[0])

    def loop() -> Weights:
        found = weights
        for images in batches:
            found, _ = one(found, images)
        return found

    for form, function in (("loop", loop), ("scan", lambda: scanned(weights, batches))):
        times = [cpu_seconds(function) for _ in range(ROUNDS + 1)][1:]
        print(f"{name}, {seeds} at once, {form}: {1000 * median(times) / STEPS / seeds:.1f} ms", flush=True)


if __name__ == "__main__":
    for name in SHAPES:
        for seeds in (1, SEEDS):
            of_network(name, seeds)
