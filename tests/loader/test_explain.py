"""What became of one example, shown."""

import jax
import numpy as np
import pytest

from jaxiter import Affine, Chain, Loader, Map, explain

from ..data import AUGMENT, WEIGHTS, loader, pictures

OPTIMIZED = True  # bits are compared; see ../conftest.py


def test_explain_shows_what_the_batch_holds(key):
    data = loader(shuffle=False)
    images, labels = data.batch(key, 3, 2)
    for place, row in enumerate(labels.tolist()):
        shown = explain(data, key, 3, row)
        np.testing.assert_allclose(shown.after[0], images[place], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(shown.before[0], data.data[0][row])
        applied = data.augment.apply(shown.params, shown.before[0])
        np.testing.assert_allclose(applied, images[place], rtol=0, atol=1.2 * WEIGHTS)  # brightened by a fifth
        assert shown.matrix.shape == (3, 3)
        assert int(shown.after[1]) == row


@pytest.mark.slow  # as users compile; what is compiled fast may round otherwise
@pytest.mark.parametrize("augment", [AUGMENT, Affine(zoom=0.2), Affine(shift=0.3), Affine(order=3, shear=9)], ids=str)
def test_explain_shows_the_very_bits_of_the_batch(key, augment):
    rows = np.array([4, 4, 9, 0])
    data = loader(augment=(augment, None), shuffle=False, rows=rows)
    images, _ = data.batch(key, 3, 0)
    for image, row, showing in zip(images, rows, (0, 1, 0, 0), strict=True):
        np.testing.assert_array_equal(explain(data, key, 3, row, showing=showing).after[0], image)


def test_what_is_explained_has_the_form_in_which_augment_was_given(key):
    images, labels = pictures()
    single, chain = Affine(rotation=5), Chain(Affine(rotation=5))
    data = (images, labels)
    for given in (single, chain, (single, None), (chain, None), None):
        data_loader = Loader(data, batch_size=2, augment=given)
        shown = explain(data_loader, key, 0, 1)
        assert data_loader.augment == ((None, None) if given is None else given)
        params = shown.params[0] if type(given) is tuple or given is None else shown.params
        if given is not None:
            assert ("rotation" in getattr(params, "_fields", ())) == (single is given or given == (single, None))
            transform = given[0] if type(given) is tuple else given
            np.testing.assert_allclose(transform.apply(params, shown.before[0]), shown.after[0], rtol=0, atol=WEIGHTS)
        else:
            assert shown.params == shown.matrix == (None, None)


def test_explains_matrix_moves_points_as_the_picture_moves(key):
    image = np.zeros((1, 33, 33, 1), np.float32)
    image[0, 10, 20] = 1.0
    aug = Chain(Affine(rotation=(30, 30)), Affine(shift=((0.2, 0.2), (-0.1, -0.1)), zoom=(1.5, 1.5)))
    shown = explain(Loader(image, batch_size=1, augment=aug), key, 0, 0)
    row, col, _ = np.linalg.inv(shown.matrix) @ [10, 20, 1]
    found = np.unravel_index(np.argmax(shown.after[..., 0]), (33, 33))
    assert abs(found[0] - row) <= 1
    assert abs(found[1] - col) <= 1


def test_explain_refuses_rows_that_are_not_there(key):
    with pytest.raises(ValueError, match=r"row is 23; expected a row of the data, in \[0, 23\)"):
        explain(loader(), key, 0, 23)


def test_explain_follows_functions_that_want_the_images_own_dtype(key):
    images, _ = pictures()
    aug = Chain(Map(_invert), Affine(rotation=10), Map(_invert_floats), Affine(shift=0.1))
    shown = explain(Loader(images, batch_size=4, augment=aug, shuffle=False), key, 0, 2)
    batch = Loader(images, batch_size=4, augment=aug, shuffle=False).batch(key, 0, 0)
    np.testing.assert_allclose(shown.after, batch[2], rtol=0, atol=1e-3)
    assert shown.matrix is None  # a function may move pixels


def _invert(image):
    return image ^ np.uint8(255)


def _invert_floats(image):
    return 255 - image


def test_explain_refuses_a_traced_row(key):
    with pytest.raises(TypeError, match=r"row is traced; expected an integer. Call explain outside of jit and vmap"):
        jax.vmap(lambda index: explain(loader(), key, 0, index))(np.arange(3))
