"""Trains a small network on scikit-learn's digits with Flax NNX and Optax. Needs jaxiter[demo]."""

import jax
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import jaxiter as jx

digits = load_digits()
images, labels = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int32)
key = jax.random.key(0)
train_rows, test_rows = jx.train_validation_split(key, labels, 0.2)

augment = jx.Chain(jx.Affine(rotation=10, shift=0.1, zoom=0.1, fill_mode="constant"), jx.Rescale(1 / 16))
train = jx.Loader((images, labels), batch_size=64, augment=augment, rows=train_rows)
test = jx.Loader(
    (images, labels),
    batch_size=256,
    augment=jx.deterministic(augment),
    rows=test_rows,
    shuffle=False,
    remainder="pad",
)

rngs = nnx.Rngs(0)
model = nnx.Sequential(
    nnx.Conv(1, 32, (3, 3), rngs=rngs),
    nnx.relu,
    nnx.Conv(32, 64, (3, 3), strides=2, rngs=rngs),
    nnx.relu,
    lambda features: features.reshape(len(features), -1),
    nnx.Linear(4 * 4 * 64, 10, rngs=rngs),
)
optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


@nnx.jit
def train_step(model, optimizer, images, labels):
    def loss_fn(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


@nnx.jit
def count_correct(model, images, labels, mask):
    return ((model(images).argmax(-1) == labels) & mask).sum()


for step, (x, y) in enumerate(jx.stream(train, key, num_epochs=40)):
    loss = train_step(model, optimizer, x, y)
    if step % (10 * len(train)) == 0:
        print(f"epoch {step // len(train)}: loss {loss:.3f}")

correct = sum(count_correct(model, x, y, mask) for (x, y), mask in jx.stream(test, key, num_epochs=1, with_mask=True))
print(f"test accuracy {correct / test.size:.1%}")
