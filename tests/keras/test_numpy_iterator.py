import inspect
import os
import re

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator

from .reference import legacy

IMAGES = np.arange(10, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 3), np.uint8)
LABELS = np.array(list("ababababab"))
WEIGHTS = np.linspace(0, 1, 10)


def both(*arguments, generator=None, **keywords):
    """The same iterator from both, over generators made of the same arguments."""
    generator = generator or {}
    ours = NumpyArrayIterator(*arguments, ImageDataGenerator(**generator), **keywords)
    theirs = legacy.NumpyArrayIterator(*arguments, legacy.ImageDataGenerator(**generator), **keywords)
    return ours, theirs


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_the_arguments_are_keras_and_then_ours():
    def names(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    extras = [("output", "numpy"), ("rng", None)]
    assert names(NumpyArrayIterator) == names(legacy.NumpyArrayIterator) + extras
    assert names(ImageDataGenerator.flow) == names(legacy.ImageDataGenerator.flow) + extras


@pytest.mark.parametrize("x", [IMAGES, (IMAGES, LABELS), [IMAGES, [LABELS, WEIGHTS]], (IMAGES, [], 5), (IMAGES, [])])
@pytest.mark.parametrize("y", [None, LABELS, LABELS.tolist(), IMAGES, np.eye(10)])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS])
def test_batches_have_keras_structure_values_and_dtypes(x, y, sample_weight):
    ours, theirs = both(x, y, batch_size=4, sample_weight=sample_weight)
    for _ in range(4):
        assert_same(next(ours), next(theirs))
    assert_same(ours[2], theirs[2])
    assert_same(ours[-1], theirs[-1])


@pytest.mark.parametrize("subset", ["training", "validation", None])
@pytest.mark.parametrize("split", [0.25, 0.5])
def test_subsets_cut_images_others_and_labels_as_keras_does(subset, split):
    ours, theirs = both((IMAGES, WEIGHTS), LABELS, batch_size=4, subset=subset, generator={"validation_split": split})
    assert ours.n == theirs.n
    assert_same(next(ours), next(theirs))
    assert_same(np.asarray(ours.x), theirs.x)


def test_the_weights_of_a_subset_stay_with_their_images():
    generator = ImageDataGenerator(validation_split=0.4)
    x, _, weights = next(generator.flow(IMAGES, LABELS, sample_weight=WEIGHTS, subset="training", seed=0))
    np.testing.assert_array_equal(weights, WEIGHTS[x[:, 0, 0, 0].astype(int)])


def test_without_labels_a_split_of_zero_leaves_validation_empty_and_training_whole():
    for split in (0, None):
        generator = ImageDataGenerator(validation_split=split)
        assert next(NumpyArrayIterator(IMAGES, None, generator, subset="validation")).shape == (0, 4, 4, 3)
        assert len(next(NumpyArrayIterator(IMAGES, None, generator, subset="training"))) == 10


def test_an_array_without_images_gives_empty_batches():
    it = ImageDataGenerator(rotation_range=10, brightness_range=(0.5, 1)).flow(np.zeros((0, 4, 4, 3)), np.zeros(0))
    x, y = next(it)
    assert x.shape == (0, 4, 4, 3)
    assert y.shape == (0,)


REFUSED = [
    ({"x": (IMAGES, LABELS[:3])}, "All of the arrays in `x` should have the same length", ["10", "3"]),
    ({"y": LABELS[:3]}, "`x` (images tensor) and `y` (labels) should have the same length", ["(10, 4, 4, 3)", "(3,)"]),
    ({"sample_weight": WEIGHTS[:3]}, "`x` (images tensor) and `sample_weight` should have the same length", ["(3,)"]),
    ({"subset": "test"}, "subset", ["test"]),
    (
        {"y": np.arange(10), "subset": "training"},
        "Training and validation subsets have different number of classes",
        [],
    ),
    ({"x": IMAGES[..., 0], "y": None}, "rank 4", ["(10, 4, 4)"]),
]


@pytest.mark.parametrize(("arguments", "beginning", "words"), REFUSED)
def test_what_does_not_fit_is_refused_with_keras_words(arguments, beginning, words):
    generator = ImageDataGenerator(validation_split=0.5)
    with pytest.raises(ValueError, match=re.escape(beginning)) as caught:
        NumpyArrayIterator(**{"x": IMAGES, "y": LABELS, "image_data_generator": generator} | arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("first", range(len(REFUSED)))
def test_of_several_faults_the_first_of_keras_order_is_named(first):
    faults = {}
    for arguments, _, _ in reversed(REFUSED[first:]):
        faults |= arguments
    beginning = REFUSED[first][1]
    with pytest.raises(ValueError, match=re.escape(beginning)):
        NumpyArrayIterator(
            **{"x": IMAGES, "y": LABELS, "image_data_generator": ImageDataGenerator(validation_split=0.5)} | faults
        )


def test_the_class_check_can_be_left_out_and_compares_flattened_values():
    generator = ImageDataGenerator(validation_split=0.5)
    one_hot = np.eye(10)
    assert len(NumpyArrayIterator(IMAGES, one_hot, generator, subset="training")) == 1
    it = NumpyArrayIterator(IMAGES, np.arange(10), generator, subset="training", ignore_class_split=True)
    assert it.y.tolist() == [5, 6, 7, 8, 9]


def test_odd_channel_counts_warn_and_work():
    with pytest.warns(UserWarning, match=r'"channels_last".*axis 3.*\(10, 4, 4, 2\).*2 channels'):
        it = ImageDataGenerator(rotation_range=5, horizontal_flip=True).flow(IMAGES[..., :2])
    assert next(it).shape == (10, 4, 4, 2)


def test_attributes_carry_keras_names():
    ours, theirs = both(IMAGES, LABELS, sample_weight=WEIGHTS, dtype="float64", save_prefix="a")
    for name in ("y", "sample_weight", "x"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in [
        "x_misc",
        "data_format",
        "dtype",
        "save_to_dir",
        "save_prefix",
        "save_format",
        "n",
        "batch_size",
        "shuffle",
        "seed",
    ]:
        assert getattr(ours, name) == getattr(theirs, name), name


def test_the_array_stays_the_callers_own_and_x_reads_from_it(tmp_path):
    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=IMAGES.shape)
    stored[:] = IMAGES
    for source in (IMAGES, stored):
        it = NumpyArrayIterator(source, None, ImageDataGenerator())
        assert it.x.source is source
        assert it.x.dtype == np.float32
    it.x = IMAGES + 1
    assert next(it)[:, 0, 0, 0].tolist() == list(range(1, 11))


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "int32"])
def test_batches_have_the_dtype_that_was_asked_for(dtype):
    it = ImageDataGenerator(rotation_range=20, dtype=dtype).flow(IMAGES * 20, batch_size=4, seed=0, shuffle=False)
    batch = next(it)
    assert batch.dtype == dtype
    assert next(NumpyArrayIterator(IMAGES, None, ImageDataGenerator(), dtype=dtype)).dtype == dtype
    np.testing.assert_allclose(batch[:, 2, 2, 0], [0, 20, 40, 60])


def test_batches_belong_to_the_caller():
    for generator in (ImageDataGenerator(), ImageDataGenerator(rotation_range=5)):
        batch = next(generator.flow(IMAGES))
        batch += 1
        assert batch.flags.writeable


def test_output_jax_leaves_the_images_on_the_device():
    generator = ImageDataGenerator(rotation_range=20)
    on_host = generator.flow(IMAGES, LABELS, batch_size=4, seed=1)
    on_device = generator.flow(IMAGES, LABELS, batch_size=4, seed=1, output="jax")
    for _ in range(3):
        (x, y), (x_device, y_device) = next(on_host), next(on_device)
        assert isinstance(x_device, jax.Array)
        np.testing.assert_array_equal(x, x_device)
        np.testing.assert_array_equal(y, y_device)
    with pytest.raises(ValueError, match="output is 'torch'"):
        generator.flow(IMAGES, output="torch")


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("arguments", [{}, {"horizontal_flip": True}])
def test_images_on_the_device_have_the_dtype_that_was_asked_for(dtype, arguments):
    kept = jax.config.jax_enable_x64
    it = ImageDataGenerator(**arguments, dtype=dtype).flow(IMAGES, batch_size=7, output="jax")
    assert [next(it).shape[0] for _ in range(2)] == [7, 3]
    assert next(it).dtype == dtype
    assert jax.config.jax_enable_x64 == kept


def test_pictures_are_saved_under_their_place_in_the_subset(tmp_path):
    generator = ImageDataGenerator(validation_split=0.4)
    it = generator.flow(IMAGES * 20, save_to_dir=tmp_path, save_format="bmp", subset="training", batch_size=4)
    for _ in range(2):
        next(it)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [re.fullmatch(r"_(\d)_\d{1,4}\.bmp", name)[1] for name in names] == list("012345")


def test_what_cannot_be_saved_is_refused_before_the_first_batch(tmp_path):
    flow = ImageDataGenerator().flow
    with pytest.raises(FileNotFoundError, match=r"save_to_dir is '.*none'; expected an existing folder"):
        flow(IMAGES, save_to_dir=str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="expected an existing folder"):
        flow(IMAGES, save_to_dir=tmp_path / "file")
    with pytest.raises(ValueError, match="save_format is 'picture'"):
        flow(IMAGES, save_to_dir=tmp_path, save_format="picture")
    with pytest.warns(UserWarning, match="2 channels"), pytest.raises(ValueError, match="channel number: 2"):
        flow(IMAGES[..., :2], save_to_dir=tmp_path)
    next(flow(IMAGES[:1], save_to_dir=os.fspath(tmp_path), save_format="JPG"))


@pytest.mark.parametrize(
    "ranges",
    [
        {"rotation_range": float("nan")},
        {"width_shift_range": float("inf")},
        {"zoom_range": (float("nan"), 1.0)},
        {"channel_shift_range": float("inf")},
        {"brightness_range": (float("nan"), 1.0)},
    ],
    ids=str,
)
def test_ranges_that_are_not_finite_are_refused_when_they_are_used(ranges):
    images = np.zeros((4, 6, 6, 3), np.uint8)
    flow = ImageDataGenerator(**ranges).flow(images, seed=1)
    with pytest.raises(ValueError, match=f"{next(iter(ranges))} is .*expected finite numbers"):
        next(flow)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rotation_range": (5, 10)}, r"rotation_range is \(5, 10\); expected one number"),
        ({"shear_range": [3]}, r"shear_range is \[3\]; expected one number"),
        ({"channel_shift_range": (10.0, 20.0, 30.0)}, "channel_shift_range is .*expected one number"),
        ({"rotation_range": "10"}, "rotation_range is '10'; expected a number"),
        ({"width_shift_range": ".1"}, r"width_shift_range is '\.1'; expected a number"),
        ({"rescale": (1, 2, 3)}, r"rescale is \(1, 2, 3\); expected one number"),
        ({"rescale": "1/255"}, "rescale is '1/255'; expected one number"),
        ({"rotation_range": 5, "cval": (1, 2, 3)}, r"cval is \(1, 2, 3\); expected a number"),
    ],
)
def test_what_must_be_one_number_is_refused_as_a_list_or_a_string_when_it_is_used(arguments, words):
    flow = ImageDataGenerator(**arguments).flow(np.zeros((4, 6, 6, 1), np.uint8), seed=1)
    with pytest.raises(TypeError, match=words):
        next(flow)


def test_a_whitening_matrix_of_another_image_size_is_refused():
    generator = ImageDataGenerator(featurewise_center=True, zca_whitening=True)
    generator.mean, generator.zca_whitening_matrix = np.zeros((1, 1, 3)), np.eye(12)
    with pytest.raises(ValueError, match=r"zca_whitening_matrix has shape \(12, 12\); images of shape \(4, 4, 3\)"):
        next(generator.flow(IMAGES))


def test_a_list_of_images_is_refused_with_the_way_to_pass_one():
    with pytest.raises(ValueError, match=r"A list is taken as \(images, others\).*np.stack\(x\)"):
        ImageDataGenerator().flow(list(IMAGES), LABELS)


def test_a_split_too_small_for_one_example_says_so():
    with pytest.raises(ValueError, match="validation_split leaves no example for validation"):
        ImageDataGenerator(validation_split=0.05).flow(IMAGES, LABELS, subset="training")
