"""Pictures of the Keras face to the bit, whatever the batch size."""

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator

OPTIMIZED = True  # bits are compared; see ../conftest.py

IMAGES = np.random.default_rng(0).integers(0, 256, (61, 9, 12, 3), np.uint8)
MOVES = {"rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.3, "shear_range": 20}
MOVES |= {"zoom_range": 0.3, "horizontal_flip": True, "vertical_flip": True}


@pytest.mark.slow  # many programs; test_batches.py holds the law closely, this one to the bit
@pytest.mark.parametrize("order", [1, 3])
def test_pixels_do_not_depend_on_the_batch_size(order):
    generator = ImageDataGenerator(**MOVES, interpolation_order=order)
    whole = next(generator.flow(IMAGES, batch_size=61, shuffle=False, seed=3))
    for batch_size in (1, 2, 3, 5):
        it = generator.flow(IMAGES, batch_size=batch_size, shuffle=False, seed=3)
        found = np.concatenate([next(it) for _ in range(len(it))])
        # NumPy makes batches of one, where a product is rounded before it is added.
        np.testing.assert_allclose(found, whole, rtol=0, atol=5e-4 if batch_size == 1 else 0, err_msg=str(batch_size))
