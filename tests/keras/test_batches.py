import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator
from jaxiter.keras._draw import BlockNumbers, RowKeys, draw_transform
from jaxiter.keras._settings import ranges_of

from ..data import each_once
from .conftest import traces_at_most
from .reference import legacy
from .test_generator import EVERYTHING, pictures, same_but_for_ties

pytestmark = pytest.mark.filterwarnings(
    "ignore:Please import .affine_transform:DeprecationWarning", "ignore:Your .PyDataset"
)

IMAGES = pictures((23, 12, 17, 3), dtype=np.uint8)
ROWS = np.arange(23)


def epoch_by_row(generator, batch_size=32, epochs=1, images=IMAGES, **arguments):
    """The pictures of the last of so many epochs, put back into the order of the array."""
    it = generator.flow(images, ROWS, batch_size=batch_size, **arguments)
    for _ in range(epochs):
        x, rows = (np.concatenate(parts) for parts in zip(*(next(it) for _ in range(len(it))), strict=True))
    return x[np.argsort(rows)]


def test_neither_batch_size_nor_order_changes_what_an_image_becomes():
    generator = ImageDataGenerator(**EVERYTHING, samplewise_std_normalization=True, samplewise_center=True)
    expected = epoch_by_row(generator, seed=1)
    for batch_size, shuffle in ((1, True), (5, False), (100, True)):
        found = epoch_by_row(generator, batch_size=batch_size, shuffle=shuffle, seed=1)
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(expected))


def test_a_subset_changes_no_picture():
    generator = ImageDataGenerator(**EVERYTHING, validation_split=0.3)
    whole = epoch_by_row(generator, seed=1)
    for subset, rows in (("validation", slice(0, 6)), ("training", slice(6, 23))):
        it = generator.flow(IMAGES, ROWS, subset=subset, ignore_class_split=True, shuffle=False, seed=1)
        np.testing.assert_allclose(next(it)[0], whole[rows], atol=1e-3)


def test_the_same_seed_gives_the_same_batches_and_its_neighbour_gives_others():
    generator = ImageDataGenerator(**EVERYTHING)
    first, again, neighbour = (epoch_by_row(generator, seed=seed) for seed in (1, 1, 2))
    second_epoch = epoch_by_row(generator, seed=1, epochs=2)
    assert np.array_equal(first, again)
    for other in (neighbour, second_epoch, epoch_by_row(generator, seed=0, epochs=2)):
        assert (np.abs(first - other).mean(axis=(1, 2, 3)) > 5).all()


def test_a_batch_keeps_its_epoch_while_another_thread_begins_the_next():
    class Late(NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            self.on_epoch_end()  # as if another thread had done it
            return super()._get_batches_of_transformed_samples(index_array)

    generator = ImageDataGenerator(rotation_range=40)
    late = next(Late(IMAGES, None, generator, seed=1))
    assert np.array_equal(late, next(NumpyArrayIterator(IMAGES, None, generator, seed=1)))


def test_nothing_touches_numpys_global_stream(tmp_path):
    before = np.random.get_state()
    for generator in (ImageDataGenerator(**EVERYTHING), ImageDataGenerator(preprocessing_function=np.sqrt)):
        next(generator.flow(IMAGES, seed=1, save_to_dir=tmp_path))
        next(generator.flow(IMAGES))
    after = np.random.get_state()
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_another_range_and_a_short_last_batch_compile_nothing_new():
    flags = {"featurewise_center": True, "featurewise_std_normalization": True}
    generator = ImageDataGenerator(**EVERYTHING, **flags, rescale=1 / 255)
    generator.mean, generator.std = np.ones((1, 1, 3)), np.ones((1, 1, 3))
    it = generator.flow(IMAGES, batch_size=5, seed=1)
    next(it)
    generator.rotation_range, generator.zoom_range, generator.rescale = 40, [0.5, 0.75], 0.5
    generator.width_shift_range, generator.brightness_range = 2.5, (0.1, 0.2)
    generator.height_shift_range, generator.cval, generator.shear_range = 7, 3.0, 0
    generator.mean, generator.std = np.zeros((1, 1, 3)), np.full((1, 1, 3), 2.0)
    it.seed = 2
    with traces_at_most(0):
        for _ in range(len(it) + 1):
            next(it)


def test_another_shift_alone_compiles_nothing_new():
    images = np.zeros((10, 64, 64, 3), np.uint8)
    generator = ImageDataGenerator(height_shift_range=0.12, horizontal_flip=True)
    it = generator.flow(images, batch_size=5, seed=1)
    next(it)
    with traces_at_most(0):
        for shift in (0.13, 0.15, 0.17, 0.2, 0.23):  # sixteen columns hold them all
            generator.height_shift_range, generator.width_shift_range = shift, shift / 3
            next(it)


@pytest.mark.parametrize(*each_once(fill_mode=["nearest", "constant", "reflect", "wrap"], order=[0, 1, 2, 3, 5]))
def test_a_batch_holds_what_keras_makes_of_the_same_parameters(fill_mode, order):
    arguments = EVERYTHING | {"fill_mode": fill_mode, "interpolation_order": order, "cval": -9.5}
    check_against_keras(arguments, IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"width_shift_range": [0.1, 0.3], "height_shift_range": 2.5, "zoom_range": 0},
        {"width_shift_range": 0, "height_shift_range": 0, "zoom_range": 0, "rotation_range": 0, "shear_range": 0},
        {"channel_shift_range": 0},
        {"dtype": "float64"},
    ],
)
def test_other_settings_give_what_keras_makes_of_the_same_parameters(changes):
    check_against_keras(EVERYTHING | changes, IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_every_kind_are_made_brighter_as_pillow_does(channels):
    only = {"brightness_range": (-0.1, 2.5)}
    for low, high in ((0, 255), (0, 1), (-3, 3), (10, 300)):
        images = (low + pictures((9, 8, 8, channels)) / 255 * (high - low)).astype(np.float32)
        check_against_keras(only, images, exact=True)
    check_against_keras(only, np.full((9, 4, 4, channels), -7.0, np.float32), exact=True)


def test_channels_first_pictures_are_those_of_channels_last():
    for brightness in (None, (0.4, 1.6)):
        arguments = EVERYTHING | {"brightness_range": brightness}
        last = epoch_by_row(ImageDataGenerator(**arguments), seed=1)
        first = ImageDataGenerator(**arguments, data_format="channels_first")
        first = epoch_by_row(first, seed=1, images=np.moveaxis(IMAGES, -1, 1))
        np.testing.assert_allclose(np.moveaxis(first, 1, -1), last, atol=1e-3)


class Recorded(ImageDataGenerator):
    """Leaves the images as they are and keeps their parameters."""

    def apply_transform(self, x, transform_parameters):
        vars(self).setdefault("parameters", []).append(transform_parameters)
        return x


def check_against_keras(arguments, images, exact=False):
    # The nearest pixel changes by its full contrast; a spline overshoots, and brightness stretches its levels with it.
    level = {0: 260, 1: 2}.get(arguments.get("interpolation_order", 1), 3)
    ours, theirs = ImageDataGenerator(**arguments), legacy.ImageDataGenerator(**arguments)
    recorded = Recorded(**arguments)
    batch, _ = (next(generator.flow(images, batch_size=9, shuffle=False, seed=5)) for generator in (ours, recorded))
    for row, (picture, params) in enumerate(zip(batch, recorded.parameters, strict=True)):
        expected = theirs.apply_transform(images[row].astype(ours.dtype), params)
        if exact:
            np.testing.assert_allclose(picture, expected, rtol=0, atol=1e-6 * max(1, np.abs(expected).max()))
        else:
            same_but_for_ties(picture, expected.astype(ours.dtype), level)


STEPS = [
    {"rescale": 1 / 255, "samplewise_center": True},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.1},
    {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 1e-2},
]


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "+".join(steps))
def test_batches_are_standardized_as_the_method_does(steps):
    generator = ImageDataGenerator(**steps)
    generator.fit(IMAGES)
    found = next(generator.flow(IMAGES, shuffle=False))
    expected = [generator.standardize(image.astype(np.float32)) for image in IMAGES]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_batch_warns_of_a_missing_statistic_and_leaves_it_out():
    generator = ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match=r"featurewise_center.*\.fit"):
        batch = next(generator.flow(IMAGES, shuffle=False))
    assert np.array_equal(batch, IMAGES)


def test_a_statistic_of_another_shape_is_refused():
    generator = ImageDataGenerator(featurewise_center=True)
    generator.mean = np.zeros((5, 1, 1))
    with pytest.raises(ValueError, match=r"broadcast|mean has shape \(5, 1, 1\)"):
        next(generator.flow(IMAGES))


def test_arrays_memmaps_and_files_read_like_arrays_give_the_same_batches(tmp_path):
    class Stored:
        shape, dtype = IMAGES.shape, IMAGES.dtype

        def __len__(self):
            return len(IMAGES)

        def __getitem__(self, rows):
            assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
            return IMAGES[rows]

    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=IMAGES.shape)
    stored[:] = IMAGES
    generator = ImageDataGenerator(**EVERYTHING)
    expected = epoch_by_row(generator, seed=1, batch_size=5)
    for images in (stored, Stored(), jax.numpy.asarray(IMAGES)):
        np.testing.assert_array_equal(epoch_by_row(generator, seed=1, batch_size=5, images=images), expected)
    for dtype in (np.int64, np.float64):  # which are interpolated with weights of more bits than bytes are
        same_but_for_ties(epoch_by_row(generator, seed=1, batch_size=5, images=IMAGES.astype(dtype)), expected)


def sampled(count=20_000, shape=(20, 30, 3), **arguments):
    """What a program draws for so many images."""
    kinds, ranges = ranges_of(ImageDataGenerator(**arguments), shape)
    rows = np.arange(count, dtype=np.uint32)
    blocks = RowKeys(jax.random.key(0), 0, rows, np.zeros_like(rows)).blocks(0)

    def draw(block, ranges):
        return draw_transform(BlockNumbers(jax.numpy, block), kinds, ranges)

    params = jax.jit(jax.vmap(draw, in_axes=(0, None)))(blocks, ranges.as_float32())
    return SimpleNamespace(**jax.tree.map(np.asarray, params))


def test_whole_steps_never_reach_their_end_and_zero_counts_once():
    tx = sampled(height_shift_range=4).tx
    values, counts = np.unique(np.where(tx == 0, 0.0, tx), return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    np.testing.assert_allclose(counts / len(tx), [0.125] * 3 + [0.25] + [0.125] * 3, atol=0.01)
    assert not sampled(height_shift_range=1).tx.any()


@pytest.mark.parametrize(
    ("shift", "reach"), [(0.25, 5), (np.float32(0.25), 5), (1.0, 1), (3.5, 3.5), (-0.5, 10), (-3, 60), (0, 0)]
)
def test_other_scalar_shifts_are_uniform_in_fractions_or_pixels(shift, reach):
    tx = sampled(height_shift_range=shift).tx
    quantiles = np.quantile(tx, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quantiles, np.array([-1, -0.5, 0, 0.5, 1]) * reach, atol=0.03 * reach)


@pytest.mark.parametrize(("shift", "unit"), [((0.1, -0.3), 30), ([5, 0.5], 1), (np.array([0.1, 0.2]), 30), ((-2,), 30)])
def test_a_sequence_of_shifts_holds_the_values_to_choose_from(shift, unit):
    ty = sampled(width_shift_range=shift).ty
    values, counts = np.unique(ty, return_counts=True)
    expected = np.sort(np.concatenate([np.array(shift), -np.array(shift)]) * unit)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_allclose(counts / len(ty), 1 / len(expected), atol=0.02)


def test_each_option_has_its_own_draws_and_its_own_range():
    params = sampled(**(EVERYTHING | {"height_shift_range": 0.1, "zoom_range": (0.5, 0.7)}))
    bounds = {"theta": 30, "shear": 12, "tx": 2, "ty": 6, "channel_shift_intensity": 20}
    for name, bound in bounds.items():
        values = getattr(params, name)
        np.testing.assert_allclose([values.min(), values.mean(), values.max()], [-bound, 0, bound], atol=0.02 * bound)
    for values, (low, high) in ((params.zx, (0.5, 0.7)), (params.zy, (0.5, 0.7)), (params.brightness, (0.4, 1.6))):
        np.testing.assert_allclose([values.min(), values.max()], [low, high], rtol=1e-3)
    for flip in (params.flip_horizontal, params.flip_vertical):
        assert abs(flip.mean() - 0.5) < 0.01
    correlation = np.corrcoef(np.stack(list(vars(params).values())))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.03


def test_another_option_moves_no_draw():
    alone, together = sampled(count=5, rotation_range=30), sampled(count=5, **EVERYTHING)
    assert np.array_equal(alone.theta, together.theta)


@pytest.mark.parametrize("flag", ["jax_enable_x64", "jax_threefry_partitionable"])
def test_the_draws_are_pinned_under_every_flag(flag):
    kept = getattr(jax.config, flag)
    for value in (False, True):
        jax.config.update(flag, value)
        try:
            params = sampled(count=2, rotation_range=90, height_shift_range=4, horizontal_flip=True)
        finally:
            jax.config.update(flag, kept)
        np.testing.assert_allclose(params.theta, PINNED["theta"], rtol=1e-5)
        assert params.tx.tolist() == PINNED["tx"]
        assert params.flip_horizontal.tolist() == PINNED["flip"]


PINNED = {"theta": [-86.11656, 11.598085], "tx": [0, 2], "flip": [1, 0]}


def test_importing_the_face_starts_no_backend_and_imports_no_keras():
    program = """
import sys
import jax, numpy  # importing JAX alone moves the global stream
before = numpy.random.get_state()[1].copy()
import jaxiter.keras
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
assert not {"keras", "tensorflow", "flax"} & set(sys.modules), "imported"
assert (before == numpy.random.get_state()[1]).all()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_fill_value_is_itself_in_every_dtype(batch_size):
    """Not rounded to float32: a label of a mask would become another, or none."""
    for dtype, cval in (("int32", 2**24 + 1), ("float64", 0.1)):
        moving = {"height_shift_range": [4], "fill_mode": "constant", "cval": cval, "interpolation_order": 0}
        images = np.ones((4, 8, 8, 1), dtype)
        found = next(
            ImageDataGenerator(**moving, dtype=dtype).flow(images, batch_size=batch_size, shuffle=False, seed=1)
        )
        assert set(np.unique(found).tolist()) == {1, cval}


@pytest.mark.parametrize("size", [1, 2])
def test_of_masks_the_fraction_is_cut_off_as_in_keras(size):
    """What SciPy rounds to just below 1 is 1 here, inside of a flat area."""
    x = np.pad(np.ones((2, 5, 5, 1), bool), ((0, 0), (3, 3), (3, 3), (0, 0)))
    levels = legacy.ImageDataGenerator(rotation_range=40, dtype=float).flow(x, batch_size=size, seed=1)
    batches = ImageDataGenerator(rotation_range=40, dtype=bool).flow(x, batch_size=size, seed=1, rng="keras")
    for _ in range(2 // size):
        found, expected = next(batches), next(levels) > 1 - 1e-6
        assert found.dtype == np.bool_
        np.testing.assert_array_equal(found, expected)
