"""A Flax NNX and Optax loop over the batches of Keras' ImageDataGenerator, without Keras. Needs jaxiter[examples]."""

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from jaxiter.keras import ImageDataGenerator

digits = load_digits()
order = np.random.RandomState(0).permutation(len(digits.target))
images, labels = digits.images.astype(np.uint8)[order, ..., None], digits.target[order].astype(np.int32)
x_train, y_train, x_test, y_test = images[:-360], labels[:-360], images[-360:], labels[-360:]

augmented = ImageDataGenerator(
    rotation_range=10,
    width_shift_range=0.05,
    height_shift_range=0.05,
    zoom_range=0.1,
    fill_mode="constant",
    rescale=1 / 16,
)
# "jax": the images are made on the device and stay there.
train = augmented.flow(x_train, y_train, batch_size=64, seed=0, output="jax")
test = ImageDataGenerator(rescale=1 / 16).flow(x_test, y_test, batch_size=120, shuffle=False, output="jax")

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
def count_correct(model, images, labels):
    return (model(images).argmax(-1) == labels).sum()


for epoch in range(25):
    for _ in range(len(train)):  # the iterator itself has no end
        x, y = next(train)
        loss = train_step(model, optimizer, x, y)
    if epoch % 5 == 0:
        print(f"epoch {epoch}: loss {loss:.3f}")

correct = sum(count_correct(model, *next(test)) for _ in range(len(test)))
print(f"test accuracy {correct / test.n:.1%}")
