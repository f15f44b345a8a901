"""An Equinox and Optax loop over the batches of Keras' ImageDataGenerator, without Keras. Needs jaxiter[examples]."""

import equinox as eqx
import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

from jaxiter.keras import ImageDataGenerator

digits = load_digits()
order = np.random.RandomState(0).permutation(len(digits.target))
# Equinox' convolutions take the channels first, and so does the generator.
images, labels = digits.images.astype(np.uint8)[order, None], digits.target[order].astype(np.int32)
x_train, y_train, x_test, y_test = images[:-360], labels[:-360], images[-360:], labels[-360:]

augmented = ImageDataGenerator(
    rotation_range=10,
    width_shift_range=0.05,
    height_shift_range=0.05,
    zoom_range=0.1,
    fill_mode="constant",
    rescale=1 / 16,
    data_format="channels_first",
)
plain = ImageDataGenerator(rescale=1 / 16, data_format="channels_first")
# "jax": the images are made on the device and stay there.
train = augmented.flow(x_train, y_train, batch_size=64, seed=0, output="jax")
test = plain.flow(x_test, y_test, batch_size=120, shuffle=False, output="jax")

keys = jax.random.split(jax.random.key(0), 3)
model = eqx.nn.Sequential(
    [
        eqx.nn.Conv2d(1, 32, 3, padding=1, key=keys[0]),
        eqx.nn.Lambda(jax.nn.relu),
        eqx.nn.Conv2d(32, 64, 3, stride=2, padding=1, key=keys[1]),
        eqx.nn.Lambda(jax.nn.relu),
        eqx.nn.Lambda(jax.numpy.ravel),
        eqx.nn.Linear(64 * 4 * 4, 10, key=keys[2]),
    ]
)
optimizer = optax.adam(1e-3)
opt_state = optimizer.init(eqx.filter(model, eqx.is_array))


@eqx.filter_jit
def train_step(model, opt_state, images, labels):
    def loss_fn(model):
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(images), labels).mean()

    loss, grads = eqx.filter_value_and_grad(loss_fn)(model)
    updates, opt_state = optimizer.update(grads, opt_state)
    return eqx.apply_updates(model, updates), opt_state, loss


@eqx.filter_jit
def count_correct(model, images, labels):
    return (jax.vmap(model)(images).argmax(-1) == labels).sum()


for epoch in range(25):
    for _ in range(len(train)):  # the iterator itself has no end
        x, y = next(train)
        model, opt_state, loss = train_step(model, opt_state, x, y)
    if epoch % 5 == 0:
        print(f"epoch {epoch}: loss {loss:.3f}")

correct = sum(count_correct(model, *next(test)) for _ in range(len(test)))
print(f"test accuracy {correct / test.n:.1%}")
