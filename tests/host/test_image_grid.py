import numpy as np
import pytest

from jaxiter import image_grid


def test_each_row_of_images_is_a_row_of_the_sheet():
    black, white = np.zeros((2, 3, 4, 1)), np.ones((2, 3, 4, 1))
    sheet = np.asarray(image_grid([black, white], high=1, scale=2, gap=1))
    assert sheet.shape == (2 * 6 + 3, 2 * 8 + 3, 3)
    assert (sheet[1:7, 1:9] == 0).all()
    assert (sheet[8:14] == 255).all()
    assert (sheet[0] == 255).all()


def test_values_beyond_the_range_are_clipped():
    sheet = np.asarray(image_grid([np.array([-9.0, 0.5, 9.0]).reshape(3, 1, 1, 1)], low=0, high=1, gap=0))
    assert sheet[0, :, 0].tolist() == [0, 128, 255]


def test_bad_sheets_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 2\)"):
        image_grid([np.zeros((1, 2, 2, 2))])
    with pytest.raises(ValueError, match="one shape"):
        image_grid([np.zeros((1, 2, 2, 1)), np.zeros((2, 2, 2, 1))])
    with pytest.raises(ValueError, match="low < high"):
        image_grid([np.zeros((1, 2, 2, 1))], low=1, high=1)
