"""Arrays that are not NumPy's own, or not in its usual layout, give Keras' batches all the same."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import keras
from jaxiter.keras import ImageDataGenerator, apply_affine_transform, apply_channel_shift

from .reference import legacy
from .test_generator import same_but_for_ties

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

IMAGES = np.random.RandomState(0).uniform(0, 255, (7, 5, 6, 3))
LABELS = np.arange(7) % 3


class Tensor:
    """As of another library: it has a dtype of its own, and takes no array of rows as an index."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.ndim = self.values.shape, self.values.ndim
        self.dtype = f"tensor.{self.values.dtype}"

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, place):
        if not isinstance(place, (int, slice)):
            raise TypeError("Only integers and slices are valid indices")
        return Tensor(self.values[place])


class Stored:
    """As an array of zarr 3, which has no len."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, index):
        return self.values[index]


class Series:
    """As in pandas: a list of places asks for labels, and with labels that are floats a slice does too."""

    def __init__(self, values, labels):
        self.values, self.labels = np.asarray(values), list(labels)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, labels):
        if isinstance(labels, slice):
            labels = [label for label in self.labels if (labels.start or 0) <= label <= (labels.stop or np.inf)]
        return Series([self.values[self.labels.index(label)] for label in labels], labels)


def masked(values):
    return np.ma.masked_greater(values, 200)


def batches(module, x, y, **arguments):
    generator = module.ImageDataGenerator(rescale=0.5, samplewise_center=True)
    it = generator.flow(x, y, batch_size=3, shuffle=False, **arguments)
    return [next(it) for _ in range(3)]


def check_same_batches(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert type(one) is type(other) is np.ndarray
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


CONVERSIONS = {
    "tensor": Tensor,
    "jax": lambda images: jnp.asarray(images, np.float32),
    "big-endian float32": lambda images: images.astype(">f4"),
    "big-endian float64": lambda images: images.astype(">f8"),
    "big-endian int16": lambda images: images.astype(">i2"),
    "masked": masked,
    "objects": lambda images: images.astype(object),
    "columns first in memory": np.asfortranarray,
    "every second row": lambda images: np.repeat(images, 2, axis=0)[::2],
}


@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_images_of_any_kind_give_keras_batches(name, dtype):
    def made(module):
        x = CONVERSIONS[name](IMAGES)
        it = module.NumpyArrayIterator(x, LABELS, module.ImageDataGenerator(rescale=0.5), batch_size=3, dtype=dtype)
        return [next(it) for _ in range(3)]

    check_same_batches(made(keras), made(legacy))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_what_is_read_from_a_file_needs_no_len(dtype):
    images, arguments = (
        IMAGES.astype(dtype),
        {"featurewise_center": True, "rotation_range": 20, "validation_split": 0.3},
    )

    def found(x, **options):
        generator = ImageDataGenerator(**arguments)
        generator.fit(x, augment=True, rounds=2, seed=1)
        it = generator.flow((x, LABELS), LABELS, sample_weight=LABELS, shuffle=False, seed=1, **options)
        first = next(it)
        it.x = x
        return [generator.mean, *first[0], *first[1:], next(it)[0][0]]

    for options in ({}, {"subset": "training", "ignore_class_split": True, "batch_size": 1}):
        for one, other in zip(found(Stored(images), **options), found(images, **options), strict=True):
            np.testing.assert_array_equal(one, other)
    for name in ("y", "sample_weight"):
        with pytest.raises(ValueError, match=r"same length. Got shapes \(7, 5, 6, 3\) and \(3,\)"):
            ImageDataGenerator().flow(Stored(images), **({"y": LABELS} | {name: LABELS[:3]}))


@pytest.mark.parametrize("convert", [Tensor, jnp.asarray, list, tuple, lambda labels: Series(labels, labels[::-1] + 9)])
@pytest.mark.parametrize("with_weights", [False, True])
def test_labels_and_weights_of_any_kind_are_taken_by_their_place(convert, with_weights):
    y = convert(LABELS)
    weights = {"sample_weight": convert(LABELS * 2)} if with_weights else {}
    check_same_batches(batches(keras, IMAGES, y, **weights), batches(legacy, IMAGES, y, **weights))


def test_a_series_whose_labels_are_out_of_order_is_cut_by_place_too():
    y = Series(LABELS, [0.5, 6.5, 2.5, 3.5, 1.5, 5.5, 4.5])
    generator = ImageDataGenerator(validation_split=0.5)
    it = generator.flow(IMAGES, y, shuffle=False, subset="training")
    assert next(it)[1].tolist() == LABELS[3:].tolist()


def test_a_single_number_is_no_images():
    for x in (5, None):
        with pytest.raises(ValueError, match="rank 4"):
            ImageDataGenerator().flow(x)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "uint32", "int64"])
def test_one_picture_of_any_kind_is_resampled_as_in_keras(dtype):
    image = IMAGES[0].astype(dtype)
    arguments = {"row_axis": 0, "col_axis": 1, "channel_axis": 2, "fill_mode": "constant"}
    for params in ({"theta": 33, "cval": -2.6}, {"tx": 0.4, "zx": 1.3, "cval": 3.0}):
        found = apply_affine_transform(image, **params, **arguments)
        expected = legacy.apply_affine_transform(image, **params, **arguments)
        same_but_for_ties(found, expected)


@pytest.mark.parametrize("params", [{"tx": 0.5}, {"tx": 1.25, "ty": 0.5}, {"theta": 90, "order": 0}, {"zx": 0.5}])
def test_a_mask_is_cut_off_as_in_scipy_and_not_rounded(params):
    mask = IMAGES[0] > 100  # weights are whole quarters, whose sum has no rounding in SciPy either
    arguments = params | {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    found, expected = (module.apply_affine_transform(mask, **arguments) for module in (keras, legacy))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
def test_a_mask_loses_nothing_to_rounding_at_any_order(order, fill_mode):
    """SciPy leaves holes in flat areas too, where its own sum of weights is just below 1; these are filled here."""
    arguments = {"row_axis": 0, "col_axis": 1, "channel_axis": 2, "order": order, "fill_mode": fill_mode}
    for seed in range(4):
        random = np.random.RandomState(seed)
        mask = np.kron(random.random_sample((4, 5, 1)) < 0.7, np.ones((4, 4, 1))) > 0
        params = {"theta": random.uniform(-90, 90), "tx": random.uniform(-2, 2), "zx": random.uniform(0.7, 1.3)}
        ours, theirs = (module.apply_affine_transform(mask, **params, **arguments) for module in (keras, legacy))
        levels = legacy.apply_affine_transform(mask.astype(np.float64), **params, **arguments)
        assert not np.any(theirs & ~ours)
        assert not np.any((levels > 1 - 1e-6) & ~ours)
        assert not np.any((levels < 1 - 5e-5) & (levels > -0.9) & ours)


@pytest.mark.parametrize("size", [1, 4])
def test_batches_of_masks_lose_nothing_to_rounding_at_any_order(size):
    masks = np.random.RandomState(0).random_sample((4, 4, 5, 1)) < 0.7
    masks = np.concatenate([np.kron(masks[:3], np.ones((1, 4, 4, 1))) > 0, np.ones((1, 16, 20, 1), bool)])
    for order in range(1, 6):
        arguments = {"rotation_range": 40, "zoom_range": 0.2, "interpolation_order": order, "dtype": "bool"}
        flow = {"batch_size": size, "shuffle": False, "seed": 1}
        ours = ImageDataGenerator(**arguments).flow(masks, **flow, rng="keras")
        theirs = legacy.ImageDataGenerator(**arguments).flow(masks, **flow)
        found, expected = (np.concatenate([next(it) for _ in range(4 // size)]) for it in (ours, theirs))
        assert not np.any(expected & ~found)
        assert found[3].all()


def test_a_picture_on_the_device_comes_back_as_numpys():
    image = jnp.asarray(IMAGES[0], np.float32)
    for result in (apply_channel_shift(image, 3.5, 2), ImageDataGenerator().apply_transform(image, {"theta": 5})):
        assert type(result) is np.ndarray
        assert result.dtype == np.float32


def test_pictures_of_strings_are_refused():
    with pytest.raises(TypeError, match=r"x has dtype <U1; expected real numbers"):
        apply_affine_transform(np.full((3, 4, 4), "a"), theta=5)
