"""Balanced weights: every class the same share, whatever its size and however its labels are written."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Loader, balanced_weights

LABELS = np.random.default_rng(0).choice(5, 400, p=[0.6, 0.2, 0.1, 0.07, 0.03])


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.astype(np.uint8), jnp.asarray(LABELS), LABELS.tolist(), [f"class {label}" for label in LABELS]],
    ids=["int64", "uint8", "JAX", "list", "strings"],
)
def test_each_example_has_its_part_of_the_share_of_its_class(labels):
    weights = balanced_weights(labels)
    assert isinstance(weights, np.ndarray)
    assert weights.dtype == np.float64
    assert weights.tolist() == [1 / np.sum(label == LABELS) for label in LABELS]
    np.testing.assert_allclose(np.bincount(LABELS, weights), 1, rtol=1e-14)


def test_bools_are_two_classes():
    labels = LABELS == 4
    assert set(balanced_weights(labels, num_classes=2).tolist()) == {1 / labels.sum(), 1 / (~labels).sum()}
    assert (balanced_weights(LABELS, num_classes=np.int64(5)) == balanced_weights(LABELS)).all()


def test_an_epoch_shows_every_class_equally_often(key):
    """Exactly so where the shares are whole: 6 and 18 of 24, that is 2 and 2/3 each, and each class 12 places."""
    labels = np.repeat([0, 1], [6, 18])
    data = Loader(labels, batch_size=24, weights=balanced_weights(labels))
    for epoch in range(30):
        assert np.bincount(data.batch(key, epoch, 0)).tolist() == [12, 12]


BAD = {
    "floats": ((LABELS.astype(np.float32),), TypeError, r"labels is an array float32\[400\]; .*astype\(np.int32\)"),
    "one-hot rows": ((np.eye(5)[LABELS],), TypeError, r"labels is .*\[400, 5\]; .*labels.argmax\(axis=1\)"),
    "a number": ((3,), TypeError, "labels is 3; expected an array of rank 1, one class for each example"),
    "ragged": (([[1], [1, 2]],), TypeError, "labels is a list of 2.*expected an array with one class"),
    "none": ((np.zeros(0, int),), ValueError, "size is 0; expected at least 1"),
    "missing": (
        (np.array(["a", None, "b"], object),),
        ValueError,
        "labels has 1 missing of 3 .*leave these",
    ),
    "masked": ((np.ma.masked_less(LABELS, 1),), TypeError, "labels is a masked array"),
    "complex": ((LABELS.astype(complex),), TypeError, "labels is an array complex128"),
    "too large": ((LABELS, 4), ValueError, r"labels runs from 0 to 4; expected classes in \[0, 4\)"),
    "negative": ((LABELS - 1, 5), ValueError, r"labels runs from -1 to 3; expected classes in \[0, 5\)"),
    "a class without example": ((LABELS + (LABELS > 1), 7), ValueError, "class 2 has no example, and 2 of 7"),
    "the last one": ((LABELS, 6), ValueError, "class 5 has no example, and 1 of 6 have none"),
    "strings and a number": ((["a", "b"], 2), TypeError, "num_classes is 2, and labels is .*leave num_classes out"),
    "no number of classes": ((LABELS, 5.0), TypeError, "num_classes is 5.0; expected an integer"),
    "no classes": ((LABELS, 0), ValueError, "num_classes is 0; expected 1 or more"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_labels_are_refused(name):
    arguments, error, message = BAD[name]
    with pytest.raises(error, match=message):
        balanced_weights(*arguments)


def test_a_column_of_labels_is_refused_with_how_to_take_it():
    with pytest.raises(TypeError, match=r"int64\[4, 1\].*Of one column use labels\[:, 0\]"):
        balanced_weights(np.array([[0], [1], [1], [0]]))
