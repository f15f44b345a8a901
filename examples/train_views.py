"""Learns features of pictures without labels, from two views of each (SimCLR). Needs jaxiter[examples].

The pictures are pieces of ten photos that come with scikit-image and scikit-learn: of the left and the right third of
each for training, of the middle one for the test. So no pixel of a test piece was seen in training. Arguments: how many
seeds, and "same" for the control, two equal views that are not augmented.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import skimage.data
from flax import nnx
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxiter as jx

NUM_SEEDS, NUM_EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 3, 15
NAMES = ["astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket"]


def pieces(thirds, count, random):
    """`count` pieces of each of ten photos, all from some thirds of it, and the number of the photo."""
    photos = [getattr(skimage.data, name)() for name in NAMES]
    photos += [skimage.data.stereo_motorcycle()[0], *load_sample_images().images]
    found = []
    for photo in photos:
        third = photo.shape[1] // 3
        for number in np.resize(thirds, count):
            strip = Image.fromarray(photo[:, number * third : (number + 1) * third])
            strip.thumbnail((192, 192))
            left, top = random.integers(0, (strip.width - 31, strip.height - 31))
            found.append(np.asarray(strip.crop((left, top, left + 32, top + 32))))
    return np.stack(found), np.repeat(np.arange(len(photos), dtype=np.int32), count)


random = np.random.default_rng(0)
images, labels = pieces((0, 2), 60, random)
test_images, test_labels = pieces((1,), 100, random)
mean, std, _ = jx.fit_statistics(images)
view = jx.Chain(
    jx.RandomResizedCrop(32, scale=(0.3, 1)),
    jx.Affine(horizontal_flip=True),
    jx.ColorJitter(0.3, 0.3, 0.3),
    jx.Grayscale(0.2),
    jx.Clip(0, 255),
    jx.Normalize(mean, std),
)
if "same" in sys.argv:
    view = jx.deterministic(view)
train = jx.Loader(images, batch_size=100, augment=jx.Views(view, 2)).to_device()  # no labels


def nt_xent(projected, temperature=0.2):
    """Each view has to find the other one of its picture among all views of the batch."""
    n = len(projected)
    z = projected.swapaxes(0, 1).reshape(2 * n, -1)  # the first views of all pictures, then the second ones
    z = z / jnp.linalg.norm(z, axis=-1, keepdims=True)
    similar = z @ z.T / temperature - 1e9 * jnp.eye(2 * n)  # but not itself
    return optax.softmax_cross_entropy_with_integer_labels(similar, (jnp.arange(2 * n) + n) % (2 * n)).mean()


class Encoder(nnx.Module):
    def __init__(self, rngs):
        sizes = [(3, 24), (24, 48), (48, 64)]
        self.layers = nnx.List([nnx.Conv(i, o, (3, 3), strides=2, rngs=rngs) for i, o in sizes])
        self.head = nnx.Sequential(nnx.Linear(64, 64, rngs=rngs), nnx.relu, nnx.Linear(64, 32, rngs=rngs))

    def features(self, x):
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return x.mean((1, 2))

    def __call__(self, x):
        return self.head(self.features(x))


@nnx.jit
def train_step(model, optimizer, views):
    def loss_fn(model):
        projected = model(views.reshape(-1, *views.shape[2:]))
        return nt_xent(projected.reshape(*views.shape[:2], -1))

    loss, slope = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, slope)
    return loss


@nnx.jit
def features_of(model, images):
    return model.features((images - mean) / std)


def probe(features, test_features):
    """Test accuracy of a linear classifier on features that stay as they are."""
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))
    return linear.fit(features, labels).score(test_features, test_labels)


of_random, of_trained = [], []
for seed in range(NUM_SEEDS):
    model = Encoder(nnx.Rngs(seed))
    of_random.append(probe(features_of(model, images), features_of(model, test_images)))
    optimizer = nnx.Optimizer(model, optax.adam(2e-3), wrt=nnx.Param)
    batches = jx.stream(train, jax.random.key(seed), num_epochs=NUM_EPOCHS)
    losses = [train_step(model, optimizer, views) for views in batches]
    of_trained.append(probe(features_of(model, images), features_of(model, test_images)))
    print(f"seed {seed}: loss {losses[0]:.2f} to {losses[-1]:.2f}", flush=True)
raw = probe(images.reshape(len(images), -1), test_images.reshape(len(test_images), -1))
print(f"a linear probe of raw pixels {raw:.1%}")
for name, found in (("of a random network", of_random), ("of two views, test accuracy", of_trained)):
    print(f"{name} {np.mean(found):.1%}, standard deviation {np.std(found, ddof=1):.1%} over {NUM_SEEDS} seeds")
