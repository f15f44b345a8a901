"""Training steps of a small convolutional network, in a loop and in a scan: on CPU XLA runs the latter much slower.

python bench/convolutions.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import jax
import jax.numpy as jnp

ROUNDS, STEPS = 5, 10
Weights = dict[str, jax.Array]


def loss(weights: Weights, images: jax.Array) -> jax.Array:
    found = images
    for name in ("first", "second"):
        dimensions = ("NHWC", "HWIO", "NHWC")
        found = jax.lax.conv_general_dilated(found, weights[name], (2, 2), "SAME", dimension_numbers=dimensions)
        found = jax.nn.relu(found)
    return jnp.square(found.mean((1, 2)) @ weights["last"]).mean()


def step(weights: Weights, images: jax.Array) -> tuple[Weights, None]:
    slope = jax.grad(loss)(weights, images)
    return jax.tree.map(lambda weight, change: weight - 1e-3 * change, weights, slope), None


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def main() -> None:
    key = jax.random.key(0)
    shapes = {"first": (3, 3, 3, 32), "second": (3, 3, 32, 64), "last": (64, 10)}
    weights = {name: 0.1 * jax.random.normal(key, shape) for name, shape in shapes.items()}
    batches = jax.random.normal(key, (STEPS, 32, 64, 64, 3))
    one, scanned = jax.jit(step), jax.jit(lambda weights, batches: jax.lax.scan(step, weights, batches)[0])

    def loop() -> Weights:
        found = weights
        for images in batches:
            found, _ = one(found, images)
        return found

    rounds = [(seconds(loop), seconds(lambda: scanned(weights, batches))) for _ in range(ROUNDS + 1)][1:]
    for name, times in zip(("loop", "scan"), zip(*rounds, strict=True), strict=True):
        print(f"{name}: {1000 * median(times) / STEPS:.1f} ms a step")
    print(f"ratio: {median(scan / loop for loop, scan in rounds):.1f}")


if __name__ == "__main__":
    main()
