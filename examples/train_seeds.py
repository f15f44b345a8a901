"""Trains eight networks on pictures of 32 x 32 at once, one for each seed, by one vmap. Needs jaxiter[examples].

The classes are ten photos that come with scikit-image and scikit-learn. The pictures are pieces of them: of the left
and the right third for training, of the middle one for the test. So no pixel of a test piece was seen in training.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_images

import jaxiter as jx

NUM_SEEDS, NUM_EPOCHS, WIDTH, PATCH = 8, 20, 64, 8
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
images, labels = pieces((0, 2), 80, random)
mean, std, _ = jx.fit_statistics(images)
augment = jx.Chain(
    jx.RandomCrop(32, padding=4, fill_mode="mirror"),
    jx.Affine(horizontal_flip=True),
    jx.Normalize(mean, std),
    jx.Cutout(8),
)
train = jx.Loader((images, labels), batch_size=50, augment=augment).to_device()
test_images, test_labels = pieces((1,), 100, random)
test_images = (test_images - mean) / std


# A mixer of patches: all its layers are matrix products, as XLA on CPU runs convolutions within a scan 30 times slower.
TOKENS = (32 // PATCH) ** 2
SHAPES = {
    "patches": (PATCH * PATCH * 3, WIDTH),
    "tokens": (TOKENS, TOKENS),
    "into": (WIDTH, 2 * WIDTH),
    "out": (2 * WIDTH, WIDTH),
    "last": (WIDTH, 10),
}


def first_weights(key):
    ends = np.cumsum([np.prod(shape) for shape in SHAPES.values()])
    drawn = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])  # one draw compiles faster than five
    return {name: part.reshape(SHAPES[name]) / SHAPES[name][0] ** 0.5 for name, part in zip(SHAPES, drawn, strict=True)}


def standardized(x):
    return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-3)


def network(weights, images):
    side = 32 // PATCH
    patches = images.reshape(-1, side, PATCH, side, PATCH, 3).swapaxes(2, 3).reshape(-1, TOKENS, SHAPES["patches"][0])
    x = patches @ weights["patches"]
    x = x + jax.nn.relu(weights["tokens"] @ standardized(x))
    x = x + jax.nn.relu(standardized(x) @ weights["into"]) @ weights["out"]
    return standardized(x).mean(1) @ weights["last"]


optimizer = optax.adamw(optax.cosine_onecycle_schedule(NUM_EPOCHS * train.num_steps, 3e-3), weight_decay=0.05)


def train_step(state, batch):
    def loss_fn(weights):
        return optax.softmax_cross_entropy_with_integer_labels(network(weights, batch[0]), batch[1]).mean()

    weights, of_optimizer = state
    loss, slope = jax.value_and_grad(loss_fn)(weights)
    updates, of_optimizer = optimizer.update(slope, of_optimizer, weights)
    return (optax.apply_updates(weights, updates), of_optimizer), loss


def trained(loader, key):
    """The test accuracy of one network; key decides its first weights, the order and the augmentation."""
    weights_key, data_key = jax.random.split(key)
    weights = first_weights(weights_key)

    def epoch(state, number):
        return jx.scan_epoch(train_step, state, loader, data_key, number)

    (weights, _), _ = jax.lax.scan(epoch, (weights, optimizer.init(weights)), jnp.arange(NUM_EPOCHS))
    return (network(weights, test_images).argmax(-1) == test_labels).mean()


def timed(function, *args):
    """The result, and seconds by the clock and of both cores together, without compilation."""
    compiled = function.lower(*args).compile()
    clock, cpu = time.perf_counter(), time.process_time()
    result = np.asarray(compiled(*args))
    return result, time.perf_counter() - clock, time.process_time() - cpu


keys = jax.random.split(jax.random.key(0), NUM_SEEDS)
alone, clock, cpu = timed(jax.jit(trained), train, keys[0])
print(f"one seed alone: {clock:.1f} s, of all cores {cpu:.1f} s, accuracy {alone:.1%}")
found, clock, cpu = timed(jax.jit(jax.vmap(trained, (None, 0))), train, keys)
print(f"{NUM_SEEDS} at once, for each: {clock / NUM_SEEDS:.1f} s, of all cores {cpu / NUM_SEEDS:.1f} s")
print("accuracy of each:", ", ".join(f"{accuracy:.1%}" for accuracy in found))
print(f"test accuracy {found.mean():.1%}, standard deviation {found.std(ddof=1):.1%} over {NUM_SEEDS} seeds")
