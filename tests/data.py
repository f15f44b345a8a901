"""Small data sets and loaders that many tests share."""

import jax
import numpy as np

from jaxiter import Affine, Brightness, Chain, Loader, Rescale

AUGMENT = Chain(Affine(rotation=20, shift=0.2, zoom=0.2, horizontal_flip=True), Brightness(0.2), Rescale(1 / 255))


def pictures(size=23, shape=(6, 5, 3), seed=0):
    """uint8 images, and labels that name the row."""
    images = np.random.default_rng(seed).integers(0, 256, (size, *shape), np.uint8)
    return images, np.arange(size, dtype=np.int32)


def loader(size=23, batch_size=4, **options):
    return Loader(pictures(size), batch_size=batch_size, **{"augment": AUGMENT, **options})


def by_label(batches):
    """Every image seen, by its label."""
    seen = {}
    for images, labels in batches:
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
            seen.setdefault(int(label), image)
    return seen


def assert_trees_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def assert_trees_close(a, b, tolerance=1e-6):
    """Pixels to within `tolerance` of their range; whole numbers exactly."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        is_float = np.issubdtype(x.dtype, np.floating)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1.0, float(np.abs(x).max())) if is_float else 0)
