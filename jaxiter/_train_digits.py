"""The demonstration: trains a small convolutional network on scanned digits and shows its augmented images."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from .augment import Affine, Chain, Rescale, deterministic
from .host import stream
from .host.internal import save_whole
from .loader import Loader
from .sampler import train_validation_split


class Network(nnx.Module):
    """Two convolutions and two dense layers, for 8 x 8 pixels."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(1, 32, (3, 3), rngs=rngs)
        self.second = nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.hidden = nnx.Linear(4 * 4 * 64, 128, rngs=rngs)
        self.output = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        features = nnx.max_pool(nnx.relu(self.second(nnx.relu(self.first(images)))), (2, 2), (2, 2))
        return self.output(nnx.relu(self.hidden(features.reshape(len(images), -1))))


@nnx.jit
def train_step(model: Network, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array) -> jax.Array:
    def loss_fn(model: Network) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


@nnx.jit
def count_correct(model: Network, images: jax.Array, labels: jax.Array, mask: jax.Array) -> jax.Array:
    return ((model(images).argmax(-1) == labels) & mask).sum()


def evaluate(model: Network, loader: Loader, key: jax.Array) -> float:
    """Share of the examples classified correctly; padding does not count."""
    batches = stream(loader, key, num_epochs=1, with_mask=True)
    correct = sum(int(count_correct(model, images, labels, mask)) for (images, labels), mask in batches)
    return correct / loader.size


def train(epochs: int, seed: int, picture: Path) -> None:
    """Trains, and says how well and how fast.

    Args:
        epochs: How many.
        seed: Of the order, the augmentation and the network.
        picture: Where to put the picture of the augmentation.
    """
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int32)
    key = jax.random.key(seed)
    train_rows, test_rows = train_validation_split(key, labels, 0.2)
    augment = Chain(Affine(rotation=10, shift=0.1, zoom=0.1, fill_mode="constant"), Rescale(1 / 16))
    training = Loader((images, labels), batch_size=64, augment=augment, rows=train_rows)
    testing = Loader(
        (images, labels),
        batch_size=256,
        augment=deterministic(augment),
        rows=test_rows,
        shuffle=False,
        remainder="pad",
    )
    print(f"{training.size} scanned digits to train on, {testing.size} to test on, {jax.devices()[0].device_kind}")

    model = Network(nnx.Rngs(seed))
    schedule = optax.cosine_decay_schedule(2e-3, epochs * training.num_steps)
    optimizer = nnx.Optimizer(model, optax.adam(schedule), wrt=nnx.Param)
    print("epoch   loss   test accuracy   images/s   waiting for data")
    with stream(training, key, num_epochs=epochs) as batches:
        for epoch in range(epochs):
            losses, waited, started = [], 0.0, time.perf_counter()
            for _ in range(training.num_steps):
                asked = time.perf_counter()
                batch = jax.block_until_ready(next(batches))
                waited += time.perf_counter() - asked
                losses.append(train_step(model, optimizer, *batch))
            loss = float(jnp.stack(losses).mean())
            took = time.perf_counter() - started
            rate, share = training.num_steps * training.batch_size / took, waited / took
            note = "   (compiling)" if epoch == 0 else ""
            print(
                f"{epoch:5}  {loss:5.3f}   {evaluate(model, testing, key):13.1%}   {rate:8,.0f}   {share:16.1%}{note}",
                flush=True,
            )

    picture = picture.resolve()
    save_whole(training.preview(key, rows=train_rows[:16]), picture)
    print(f"test accuracy {evaluate(model, testing, key):.2%}")
    print(f"originals above their augmentations in three epochs: {picture}")
