"""Keras' ranges and the maps drawn from them; what is given by hand may lie anywhere."""

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator
from jaxiter.keras._draw import BlockNumbers, draw_transform
from jaxiter.keras._transform import KerasTransform, bounds_of

from ..augment.test_matrix_bounds import assert_within

OPTIONS = {
    "rotation": {"rotation_range": 40},
    "shifts": {"width_shift_range": 0.4, "height_shift_range": 5},
    "choices": {"width_shift_range": [-20, 3], "height_shift_range": [1.5, 7]},
    "shear": {"shear_range": 50},
    "zoom": {"zoom_range": (0.4, 3.0)},
    "all": {"rotation_range": 170, "width_shift_range": 1.0, "shear_range": 60, "zoom_range": 0.5},
}


@pytest.mark.parametrize("shape", [(20, 20, 1), (9, 70, 1), (60, 7, 3)], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_no_draw_lies_beyond_the_bounds(name, shape):
    generator = ImageDataGenerator(horizontal_flip=True, vertical_flip=True, **OPTIONS[name])
    transform = KerasTransform.of(generator, shape, np.float32, standardize=False)
    numbers = BlockNumbers(np, np.random.default_rng(0).random((12, 300), np.float32))
    params = transform.params(np, draw_transform(numbers, transform.shift_kinds, transform.ranges), shape)
    bounds = bounds_of(transform.ranges, *shape[:2])
    assert_within(bounds, params.matrix, shape[:2])
    assert transform.bounds == bounds.fixed_point(shape[:2])


class OwnParameters(ImageDataGenerator):
    def get_random_transform(self, img_shape, seed=None):
        return super().get_random_transform(img_shape, seed) | {"theta": 0.0, "tx": 180}


def test_parameters_of_ones_own_may_lie_beyond_the_ranges():
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 1)).astype(np.float32)
    generator = OwnParameters(rotation_range=1, fill_mode="reflect")
    # Ten periods of 18 pixels; the bounds of these ranges have no room for them.
    np.testing.assert_allclose(next(generator.flow(images, shuffle=False)), images, atol=1e-3)
    np.testing.assert_allclose(generator.apply_transform(images[0], {"tx": 180}), images[0], atol=1e-3)
