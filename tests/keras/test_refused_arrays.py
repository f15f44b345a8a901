"""What cannot be images, labels, weights or statistics is refused by its name, with what to pass instead."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental import sparse
from PIL import Image

from jaxiter import Ragged, image_files
from jaxiter.keras import ImageDataGenerator, Iterator

IMAGES, LABELS = np.zeros((6, 8, 8, 3)), np.arange(6)
SIZES = [np.zeros((4 + number % 40, 5, 3)) for number in range(1000)]
SPARSE = scipy.sparse.csr_matrix(np.eye(6))
RAGGED = Ragged(np.zeros((8, 3), np.uint8), [0] * 6, [(2, number) for number in (1, 2, 3, 4, 3, 2)])
MIXED = np.empty(3, object)
MIXED[:] = [np.zeros((4, 5, 3)), np.zeros((5, 5, 3)), np.zeros((6, 5, 3))]

# Arguments of flow; what was passed; what to do.
REFUSED = {
    "dict": (({"image": IMAGES},), "x is a dict", "x['image']"),
    "nothing": ((None, LABELS), "x is None", "expected an array of images"),
    "a number": ((3, LABELS), "x is 3", "rank 4"),
    "folder": (("data/train", LABELS), "x is 'data/train'", "flow_from_directory"),
    "generator": (((image for image in IMAGES), LABELS), "x is a generator", "np.stack(list(x))"),
    "dict in a pair": ((({"a": IMAGES}, LABELS),), "x[0] is a dict", "x['image']"),
    "empty list": (([], []), "x is a list of length 0", "(images, others)"),
    "tuple of one": (((IMAGES,), LABELS), "x is a tuple of length 1", "Pass x[0]"),
    "two images": ((list(IMAGES[:2]), LABELS[:2]), "shapes (8, 8, 3) and (2,)", "np.stack(x)"),
    "two images without labels": ((list(IMAGES[:2]),), "x has shape (8, 8, 3)", "np.stack(x)"),
    "tuple of images": ((tuple(IMAGES),), "x has shape (8, 8, 3)", "np.stack(x)"),
    "images of many sizes": (
        (MIXED, LABELS[:3]),
        "x has shape (3,)",
        "3 shapes: (4, 5, 3), (5, 5, 3), (6, 5, 3). Resize",
    ),
    "list of images of many sizes": (((list(MIXED), []),), "x[0] is a list", "Resize them to one"),
    "a list of many sizes": ((SIZES,), "length 5", "They have 40 shapes: (4, 5, 3), (5, 5, 3), (6, 5, 3), .... Resize"),
    "two sizes": ((SIZES[:2], LABELS[:2]), "length 5", "2 shapes: (4, 5, 3), (5, 5, 3). Resize them to one"),
    "Ragged": ((RAGGED, LABELS), "x holds pictures of different sizes", "flow_from_directory"),
    "a source without a size": (
        ((image_files([b"a"]), LABELS),),
        "x[0] holds pictures of diff",
        "size=(height, width)",
    ),
    "pictures of Pillow": (
        ([Image.new("L", (5, n)) for n in (4, 6, 6)],),
        "A list is",
        "2 shapes: (4, 5), (6, 5). Res",
    ),
    "objects of one size": ((np.array([*MIXED, None], object)[[0, 0, 0]],), "x has shape (3,)", "np.stack(list(x))"),
    "sparse": ((SPARSE, LABELS), "x is a csr_matrix of shape (6, 6), which is sparse", "x.toarray()"),
    "sparse of JAX": ((sparse.BCOO.fromdense(jnp.eye(6)), LABELS), "x is a BCOO", "pass x.todense()."),
    "sparse labels": ((IMAGES, SPARSE), "y is a csr_matrix", "y.toarray()"),
    "sparse others": (((IMAGES, SPARSE),), "x[1] is a csr_matrix", "x[1].toarray()"),
    "sparse weights": ((IMAGES, LABELS, 2, True, SPARSE), "sample_weight is a csr_matrix", "sample_weight.toarray()"),
    "complex": ((IMAGES * 1j, LABELS), "x has dtype complex128", "x.real"),
    "complex weights": ((IMAGES, LABELS, 2, True, LABELS * 1j), "sample_weight has dtype complex128", "real numbers"),
    "fields": ((np.zeros(IMAGES.shape, [("red", "u1")]), LABELS), "x has dtype [('red', 'u1')]", "x['red']"),
    "names": ((np.array(["a.png"] * 6), LABELS), "x has shape (6,)", "Names of files are no images"),
    "strings": ((np.full(IMAGES.shape, "a"), LABELS), "x has dtype <U1", "real numbers"),
    "grey images": ((IMAGES[..., 0], LABELS), "x has shape (6, 8, 8)", "x[..., None]"),
    "flattened images": ((IMAGES.reshape(6, -1), LABELS), "x has shape (6, 192)", "Reshape flattened images"),
    "volumes": ((IMAGES[:, None], LABELS), "x has shape (6, 1, 8, 8, 3)", "x.reshape(-1, *x.shape[-3:])"),
    "others that are no array": (((IMAGES, 5),), "another that is no array, 5", "same length"),
    "two targets": ((IMAGES, [LABELS, LABELS]), "(2, 6)", "More than one target"),
    "targets of different rank": ((IMAGES, [LABELS, np.eye(6)]), "y is a list", "More than one target"),
    "dict of targets": ((IMAGES, {"a": LABELS, "b": LABELS}), "y is a dict", "More than one target"),
    "dict as long as the images": ((IMAGES, dict.fromkeys(range(6), LABELS)), "y is a dict", "More than one target"),
    "ragged labels": ((IMAGES, [[1]] * 5 + [[1, 2]]), "y is a list whose items differ", "equally long"),
    "one label": ((IMAGES, 1), "y is 1", "one label for each of 6 images"),
    "a name as label": ((IMAGES, "cats"), "y is 'cats'", "one label for each of 6 images"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_images_and_labels_are_refused_in_words(what):
    arguments, found, remedy = REFUSED[what]
    with pytest.raises((ValueError, TypeError, IndexError)) as refused:
        ImageDataGenerator().flow(*arguments)
    assert found in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("weights", "found"), [({0: 1.0, 1: 2.0}, "sample_weight is a dict"), ("balanced", "sample_weight is 'balanced'")]
)
def test_weights_of_classes_are_refused_with_the_way_to_pass_them(weights, found):
    with pytest.raises(TypeError, match=f"{found}.*weights.label. for label in y"):
        ImageDataGenerator().flow(IMAGES, LABELS, sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight is a list whose items differ"):
        ImageDataGenerator().flow(IMAGES, LABELS, sample_weight=[[1], [1, 2]])


@pytest.mark.parametrize(
    ("x", "found"),
    [
        ({"a": IMAGES}, "x is a dict"),
        (IMAGES[0], "x has shape"),
        ("a", "x is 'a'"),
        (SIZES, "40 shapes"),
        (SPARSE, "sparse"),
    ],
)
def test_fit_says_the_same_of_its_images(x, found):
    with pytest.raises((ValueError, TypeError), match=re.escape(found)):
        ImageDataGenerator().fit(x)


STATISTICS = [
    ("mean", np.zeros((3, 1, 1)), ValueError, "mean has shape (3, 1, 1)", "np.reshape(generator.mean, (1, 1, 3))"),
    ("std", np.ones((1, 1, 4)), ValueError, "std has shape (1, 1, 4)", "shape (1, 1, 3), a number for each channel"),
    ("mean", np.zeros((6, 8, 8, 3)), ValueError, "mean has shape (6, 8, 8, 3)", "Fit the generator"),
    ("mean", "imagenet", TypeError, "mean is 'imagenet'", "array of real numbers"),
    ("mean", np.nan, ValueError, "mean is nan; expected finite", "set generator.mean"),
    ("std", [1, np.inf, 2], ValueError, "std is [1.0, inf, 2.0]", "set generator.std"),
    ("mean", [[1], [1, 2]], TypeError, "mean is [[1], [1, 2]]", "array of real numbers"),
    ("mean", SPARSE, TypeError, "mean is an array float64[6, 6], a csr_matrix", "array of real numbers"),
    ("std", [None] * 3, TypeError, "std is [None, None, None]", "array of real numbers"),
]


@pytest.mark.parametrize(("name", "value", "error", "found", "remedy"), STATISTICS)
def test_statistics_are_refused_by_batches_and_by_standardize(name, value, error, found, remedy):
    generator = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    generator.mean, generator.std = 0.0, [1.0, 2.0, 4.0]
    np.testing.assert_allclose(next(generator.flow(IMAGES + 1))[0, 0, 0], [1, 0.5, 0.25], rtol=1e-5)
    np.testing.assert_allclose(generator.standardize(IMAGES[0] + 1)[0, 0], [1, 0.5, 0.25], rtol=1e-5)
    setattr(generator, name, value)
    for make in (lambda: next(generator.flow(IMAGES)), lambda: generator.standardize(IMAGES[0] * 1)):
        with pytest.raises(error) as refused:
            make()
        assert found in str(refused.value)
        assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (-2, ValueError), (False, ValueError), (2.0, TypeError), (None, TypeError), ("2", TypeError)],
)
def test_a_batch_size_that_makes_no_batches_is_refused_before_the_first(batch_size, error):
    for make in (
        lambda: ImageDataGenerator().flow(IMAGES, LABELS, batch_size),
        lambda: Iterator(6, batch_size, True, 0),
    ):
        with pytest.raises(error, match=rf"batch_size is {batch_size!r}; expected an integer of at least 1"):
            make()
    if error is ValueError:
        assert batch_size < 0 or next(Iterator(0, batch_size, False, 0).index_generator).size == 0


def test_what_is_put_into_x_or_standardized_is_refused_too():
    it = ImageDataGenerator().flow(IMAGES)
    it.x = IMAGES * 1j
    with pytest.raises(ValueError, match=r"it.x has dtype complex128"):
        next(it)
    with pytest.raises(ValueError, match="x has dtype complex128"):
        ImageDataGenerator(rescale=2).standardize(IMAGES[0] * 1j)
    for rescale, error in ((np.nan, ValueError), (1j, TypeError)):
        with pytest.raises(error, match="rescale is"):
            next(ImageDataGenerator(rescale=rescale).flow(IMAGES))


@pytest.mark.parametrize("name", ["mean", "std"])
def test_masked_statistics_are_refused_by_name(name):
    generator = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    generator.mean = generator.std = np.ones(3)
    setattr(generator, name, np.ma.masked_array([100.0, 1, 1], [True, False, False]))
    with pytest.raises(TypeError, match=f"{name} is a masked array, with 1 values masked"):
        next(generator.flow(np.zeros((2, 4, 4, 3))))
