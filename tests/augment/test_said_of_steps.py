"""What users' steps say of themselves and do otherwise, and what is left of them where they say nothing."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Chain, Loader, Mask, Posterize, Transform, deterministic, explain

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Cut(Transform):
    """Says that it keeps the shape, and does not."""

    keeps_shape = True
    moves_pixels = False

    def apply(self, params, image):
        return image[:-2]


@dataclass(frozen=True, eq=False)
class Half(Transform):
    """Acts on one half of the images; nothing of it is left in evaluation."""

    inner: Chain

    def sample(self, key, image_shape):
        mine, inner = jax.random.split(key)
        return jax.random.bernoulli(mine), self.inner.sample(inner, image_shape)

    def apply(self, params, image):
        acted = self.inner.apply(params[1], image)
        return jnp.where(params[0], acted, image.astype(acted.dtype))

    def matrix(self, params, image_shape):
        return jnp.where(params[0], self.inner.matrix(params[1], image_shape), jnp.eye(3, dtype=np.float32))

    def without_randomness(self):
        return None


@pytest.mark.parametrize("augment", [Cut(), {"image": Cut(), "mask": Mask("image")}])
def test_another_shape_than_keeps_shape_says_is_refused(augment):
    data = {"image": IMAGES, "mask": IMAGES[..., 0]} if isinstance(augment, dict) else IMAGES
    with pytest.raises(ValueError, match=r"Cut says by keeps_shape .* \(8, 6, 3\), and apply returned \(6, 6, 3\)"):
        Loader(data, batch_size=2, augment=augment).batch(KEY, 0, 0)


def test_a_step_of_which_nothing_is_left_leaves_its_dtype():
    """Also where it is followed, and by a step that takes bytes."""
    step = Half(Chain(Affine(rotation=20)))
    train = Loader(IMAGES, batch_size=2, augment=step)
    evaluation = train.replace(augment=deterministic(step))
    found = evaluation.batch(KEY, 0, 0)
    assert found.dtype == train.batch(KEY, 0, 0).dtype == np.float32
    np.testing.assert_array_equal(found, IMAGES[np.asarray(evaluation.index(KEY, 0, 0))])
    np.testing.assert_array_equal(explain(evaluation, KEY, 0, row=1).matrix, np.eye(3))


def test_the_geometry_of_a_step_that_holds_one_of_bytes_is_found():
    step = Half(Chain(Affine(horizontal_flip=1.0), Posterize(8)))
    loader = Loader((IMAGES, IMAGES), batch_size=4, augment=(step, Mask(0)))
    image, mask = loader.batch(KEY, 0, 0)
    np.testing.assert_array_equal(image, mask)
    stored = IMAGES[np.asarray(loader.index(KEY, 0, 0))]
    assert {bool((one == other).all()) for one, other in zip(np.asarray(image), stored, strict=True)} == {False, True}
