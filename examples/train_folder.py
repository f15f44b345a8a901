"""Trains a small network on a folder of pictures, decoded once. Needs jaxiter[examples].

    python examples/train_folder.py [FOLDER]

FOLDER has `train/` and `test/` below it, and each of them a folder of pictures, of any sizes, for each class.

Without it the classes are ten photos that come with scikit-image and scikit-learn. The files are pieces of them: of the
left and the right third for training, of the middle one for the test. So no pixel of a test file was seen in training.
"""

import argparse
import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
import skimage.data
from flax import nnx
from PIL import Image
from sklearn.datasets import load_sample_images

import jaxiter as jx

# The data of this example. Who has a folder copies what comes after them.

NAMES = ["astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket"]


def photos():
    """Ten photos by name, (height, width, 3)."""
    china, flower = load_sample_images().images
    return {
        **{name: getattr(skimage.data, name)() for name in NAMES},
        "motorcycle": skimage.data.stereo_motorcycle()[0],
        "china": china,
        "flower": flower,
    }


def write_pieces(folder, photo, thirds, count, random):
    """Writes some thirds of a photo whole, and `count` pieces of random place, size and shape, as JPEGs."""
    folder.mkdir(parents=True)
    third = photo.shape[1] // 3
    strips = [Image.fromarray(photo[:, number * third : (number + 1) * third]) for number in thirds]
    pieces = list(strips)
    while len(pieces) < len(strips) + count:
        strip = strips[len(pieces) % len(strips)]
        width, height = random.integers(min(strip.size) // 2, strip.size)
        left, top = random.integers(0, (strip.width - width + 1, strip.height - height + 1))
        pieces.append(strip.crop((left, top, left + width, top + height)))
    for number, piece in enumerate(pieces):
        piece.save(folder / f"{number:03}.jpg", quality=90)


def write_folder(folder):
    """Writes `train/` and `test/` with a folder for each photo."""
    random = np.random.default_rng(0)
    for name, photo in photos().items():
        write_pieces(folder / "train" / name, photo, thirds=(0, 2), count=48, random=random)
        write_pieces(folder / "test" / name, photo, thirds=(1,), count=19, random=random)


# The training: from a folder with `train/` and `test/`.


def load(folder):
    """Loaders of both parts on the device, and the names of the classes."""
    with tempfile.TemporaryDirectory() as temporary:
        packed = Path(temporary)  # a place of your own spares the decoding in the next run
        for part in ("train", "test"):
            jx.pack(jx.image_folder(folder / part), packed / f"{part}.jx", shorter_side=96, progress=False)
        pictures, labels, class_names = jx.open_packed(packed / "train.jx")
        test_pictures, test_labels, test_names = jx.open_packed(packed / "test.jx")
        if class_names != test_names:
            raise SystemExit(f"train has the classes {class_names}, test {test_names}")
        mean, std, _ = jx.fit_statistics(pictures)
        augment = jx.Chain(
            jx.RandomResizedCrop(64, scale=(0.25, 1)),
            jx.Affine(horizontal_flip=True),
            jx.ColorJitter(0.2, 0.2, 0.2),
            jx.Clip(0, 255),
            jx.Normalize(mean, std),
        )
        train = jx.Loader((pictures, labels), batch_size=min(50, len(labels)), augment=(augment, None)).to_device()
        test = jx.Loader(
            (test_pictures, test_labels),
            batch_size=100,
            augment=(jx.deterministic(augment), None),
            shuffle=False,
            remainder="pad",
        ).to_device()
    return train, test, class_names


parser = argparse.ArgumentParser(description="Trains a small network on a folder of pictures.")
parser.add_argument("folder", nargs="?", type=Path, help="with train/ and test/, and in each a folder for each class")
folder = parser.parse_args().folder
if folder is None:
    with tempfile.TemporaryDirectory() as made:
        write_folder(Path(made))
        train, test, class_names = load(Path(made))
else:
    train, test, class_names = load(folder)
print(train.data[0], "of", ", ".join(class_names))

key = jax.random.key(0)
rngs = nnx.Rngs(0)
model = nnx.Sequential(
    nnx.Conv(3, 16, (5, 5), strides=2, rngs=rngs),
    nnx.relu,
    nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs),
    nnx.relu,
    nnx.Conv(32, 64, (3, 3), strides=2, rngs=rngs),
    nnx.relu,
    lambda features: features.mean((1, 2)),
    nnx.Linear(64, len(class_names), rngs=rngs),
)
optimizer = nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)


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


with jx.stream(train, key, num_epochs=40) as batches:
    for step, (x, y) in enumerate(batches):
        loss = train_step(model, optimizer, x, y)
        if step % (10 * len(train)) == 0:
            print(f"epoch {step // len(train)}: loss {loss:.3f}")
    stats = batches.stats
print(f"{stats.images_per_second:,.0f} images/s, {stats.waiting:.0%} of the time waiting for them")

correct = sum(count_correct(model, x, y, mask) for (x, y), mask in jx.stream(test, key, num_epochs=1, with_mask=True))
print(f"test accuracy {correct / test.size:.1%}")
