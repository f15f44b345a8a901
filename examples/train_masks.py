"""Finds coins on a photo; picture and mask are augmented together, or not at all. Needs jaxiter[examples].

The photo comes with scikit-image, and so does the watershed that makes the mask. Training sees windows of the left
part, the test is the rest. So no pixel of the test was seen in training. An argument is the width of the left part.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import skimage.data
from flax import nnx
from scipy.ndimage import binary_fill_holes
from skimage.filters import sobel
from skimage.segmentation import watershed

import jaxiter as jx

NUM_SEEDS, NUM_STEPS, SIDE, IGNORED = 3, 120, 64, 255
SEAM = int(sys.argv[1]) if len(sys.argv) > 1 else 128

photo = skimage.data.coins()
markers = np.where(photo > 150, 2, np.where(photo < 30, 1, 0))
coins = binary_fill_holes(watershed(sobel(photo), markers) == 2).astype(np.uint8)


def windows(array, stride):
    every = np.lib.stride_tricks.sliding_window_view(array, (SIDE, SIDE))[::stride, ::stride]
    return every.reshape(-1, SIDE, SIDE)


left = {"image": windows(photo[:, :SEAM], 12)[..., None], "mask": windows(coins[:, :SEAM], 12)}
mean, std, _ = jx.fit_statistics(left["image"])
normalize = jx.Normalize(mean, std)
augment = jx.Chain(
    jx.Affine(rotation=180, zoom=0.2, horizontal_flip=True, fill_mode="reflect"),
    jx.Brightness((0.7, 1.3)),
    jx.Contrast((0.7, 1.3)),
    normalize,
)
moved = {"image": augment, "mask": jx.Mask("image", cval=IGNORED)}  # what lies outside is no coin and no ground
plain = {"image": normalize, "mask": None}
# The test part, cut to a multiple of 4 as the network halves its sides twice.
test_image = (photo[:300, SEAM:, None].astype(np.float32) - mean) / std
test_mask = coins[:300, SEAM:]


class Segmenter(nnx.Module):
    """Fully convolutional: a quarter of the resolution inside, 16 logits for each place there, one for each pixel."""

    def __init__(self, rngs):
        self.layers = nnx.List(
            [
                nnx.Conv(1, 16, (5, 5), strides=2, rngs=rngs),
                nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs),
                nnx.Conv(32, 32, (3, 3), rngs=rngs),
                nnx.Conv(32, 32, (3, 3), kernel_dilation=2, rngs=rngs),
            ]
        )
        self.last = nnx.Conv(32, 16, (1, 1), rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = nnx.relu(layer(x))
        n, rows, cols, _ = x.shape
        return self.last(x).reshape(n, rows, cols, 4, 4).swapaxes(2, 3).reshape(n, 4 * rows, 4 * cols)


@nnx.jit
def train_step(model, optimizer, batch):
    def loss_fn(model):
        seen = batch["mask"] != IGNORED
        losses = optax.sigmoid_binary_cross_entropy(model(batch["image"]), (batch["mask"] == 1).astype(jnp.float32))
        return (losses * seen).sum() / seen.sum()

    loss, slope = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, slope)
    return loss


@nnx.jit
def is_coin(model, image):
    return model(image[None])[0] > 0


def overlap(found, true):
    """Mean intersection over union of the two classes, coin and ground."""
    shares = [((found == c) & (true == c)).sum() / ((found == c) | (true == c)).sum() for c in (0, 1)]
    return float(np.mean(shares))


def trained(transforms, seed):
    key = jax.random.key(seed)
    loader = jx.Loader(left, batch_size=16, augment=transforms).to_device()
    model = Segmenter(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)
    for batch in jx.stream(loader, key, num_epochs=NUM_STEPS // loader.num_steps):
        train_step(model, optimizer, batch)
    return overlap(np.asarray(is_coin(model, test_image)), test_mask)


for name, transforms in (("without augmentation", plain), ("test IoU", moved)):
    found = [trained(transforms, seed) for seed in range(NUM_SEEDS)]
    each = ", ".join(f"{share:.1%}" for share in found)
    print(f"{name} {np.mean(found):.1%}, standard deviation {np.std(found, ddof=1):.1%} (seeds: {each})", flush=True)
