"""The promises of docs/determinism.md, as laws: what may change and leave a batch as it was."""

import itertools
import random

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Cast, Chain, Loader, Map, Normalize, Rescale, explain, scan_epoch, stream
from jaxiter.loader import _batch as batch_module
from jaxiter.loader import _scan as scan_module
from jaxiter.loader._program import resident_batch
from jaxiter.loader.internal import spec_of

from .. import data as shared
from ..data import AUGMENT, assert_trees_close, assert_trees_equal, by_label, pictures

VALUES = Brightness(0.2)  # tells each draw by its pixels; a warp would only take longer to compile


def loader(**options):
    return shared.loader(**{"augment": (VALUES, None), **options})


def epoch_of(loader, key, epoch=0):
    return by_label(loader.epoch(key, epoch))


def test_every_epoch_shows_every_example_once(key):
    data = loader(batch_size=5, remainder="keep")
    for epoch in range(3):
        shown = np.concatenate([np.asarray(labels) for _, labels in data.epoch(key, epoch)])
        assert sorted(shown.tolist()) == list(range(23))


def test_epochs_and_seeds_have_orders_of_their_own(key):
    data = loader(size=200, batch_size=200)
    keys = [jax.random.key(seed) for seed in range(3)]
    orders = [tuple(data.index(k, epoch, 0).tolist()) for k in keys for epoch in range(3)]
    assert len(set(orders)) == 9


def test_without_shuffle_the_order_is_that_of_the_data(key):
    data = loader(shuffle=False)
    assert data.index(key, 7, 2).tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1, "augment": (AUGMENT, None)},
        {"batch_size": 23},
        {"shuffle": False},
        {"remainder": "keep"},
        {"remainder": "pad", "batch_size": 7},
        {"rows": np.array([3, 3, 20, 7, 0, 11])},
    ],
    ids=str,
)
def test_what_an_image_becomes_depends_on_key_epoch_and_row_alone(key, options):
    augment = options.get("augment", (VALUES, None))
    expected = epoch_of(loader(batch_size=23, augment=augment, remainder="pad"), key, epoch=2)
    found = epoch_of(loader(**options), key, epoch=2)
    assert len(found) >= 4
    for label, image in found.items():
        np.testing.assert_allclose(image, expected[label], rtol=0, atol=1e-6)


def test_what_an_image_becomes_changes_with_the_epoch_the_key_and_the_row():
    """Also those of neighbours: a key whose epoch is added to its seed or to the row would show in pairs of them."""
    one_pixel = np.full((12, 1, 1, 1), 100, np.float32)
    data = Loader((one_pixel, np.arange(12)), batch_size=12, augment=Brightness((0.0, 1.0)), shuffle=False)
    drawn = [data.batch(jax.random.key(seed), epoch, 0)[0] for seed in range(3) for epoch in range(3)]
    assert np.diff(np.sort(np.ravel(drawn))).min() > 1e-4


def test_labels_weights_and_extras_stay_with_their_image(key):
    size = 31
    images = np.arange(size, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    data = {"image": images, "more": {"label": np.arange(size), "weight": np.arange(size, dtype=np.float32) * 0.5}}
    aug = {"image": Affine(horizontal_flip=True), "more": None}
    for remainder, rows in itertools.product(("drop", "pad", "keep"), (None, np.arange(3, 29, 2))):
        shuffled = Loader(data, batch_size=4, augment=aug, remainder=remainder, rows=rows)
        for batch in jax.device_get(list(shuffled.epoch(key, 5))):
            assert (batch["image"][:, 0, 0, 0] == batch["more"]["label"]).all()
            assert (batch["more"]["weight"] * 2 == batch["more"]["label"]).all()


def memmap_of(array, path):
    on_disk = np.memmap(path, array.dtype, "w+", shape=array.shape)
    on_disk[:] = array
    return on_disk


class ArrayLike:
    """What h5py and zarr offer, and no more: rising indices, nothing else."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, index):
        assert isinstance(index, slice) or (np.diff(index) > 0).all()
        return self._array[index]


@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_batches_are_the_same_wherever_the_arrays_live(key, tmp_path, remainder):
    images, labels = pictures()
    options = {"batch_size": 5, "augment": (VALUES, None), "remainder": remainder}
    expected = list(Loader((images, labels), **options).epoch(key, 1))
    sources = {
        "device": (jnp.asarray(images), jnp.asarray(labels)),
        "mixed": (images, jnp.asarray(labels)),
        "memmap": (memmap_of(images, tmp_path / "images"), labels),
        "array-like": (ArrayLike(images), ArrayLike(labels)),
    }
    for source in sources.values():
        assert_trees_close(list(Loader(source, **options).epoch(key, 1)), expected)
        assert_trees_close(list(Loader(source, **options).to_device().epoch(key, 1)), expected)


def test_a_batch_is_the_same_under_jit_with_traced_epoch_and_step(key):
    data = loader().to_device()
    traced = jax.jit(lambda loader, key, epoch, step: loader.batch(key, epoch, step))
    for epoch, step in [(0, 0), (3, 4), (2**32 - 1, 1)]:
        assert_trees_close(traced(data, key, np.uint32(epoch), step), data.batch(key, epoch, step))


def test_a_batch_is_the_same_under_vmap_over_steps(key):
    data = loader().to_device()
    many = jax.vmap(lambda step: data.batch(key, 1, step))(jnp.arange(5))
    for step in range(5):
        assert_trees_close(jax.tree.map(lambda leaf, s=step: leaf[s], many), data.batch(key, 1, step))


def test_scanning_an_epoch_is_looping_over_it(key):
    data = loader(remainder="pad").to_device()
    _, (batches, masks) = scan_epoch(lambda carry, batch: (carry, batch), 0, data, key, 2, with_mask=True)
    for step in range(len(data)):
        assert_trees_close(jax.tree.map(lambda leaf, s=step: leaf[s], batches), data.batch(key, 2, step))
        np.testing.assert_array_equal(masks[step], data.mask(step))


@pytest.mark.parametrize("limits", [{"_DRAWN_AT_ONCE": 11}, {"_MOST_BYTES": 0}], ids=["in blocks", "step by step"])
def test_long_epochs_are_drawn_in_blocks_of_steps_or_step_by_step(limits, key, monkeypatch):
    data = loader(remainder="pad", rows=[3, 3, 0, 7, 3, 20, 11, 5, 9, 9, 1, 2, 4], batch_size=3).to_device()
    for name, value in limits.items():
        monkeypatch.setattr(scan_module, name, value)
    _, batches = scan_epoch(lambda carry, batch: (carry, batch), 0, data, key, 2)
    for step in range(5):
        assert_trees_close(jax.tree.map(lambda leaf, s=step: leaf[s], batches), data.batch(key, 2, step))


def test_without_jit_a_scan_takes_arrays_of_numpy(key):
    data = loader(size=2, batch_size=1, shuffle=False, augment=None)
    with jax.disable_jit():
        _, (images, labels) = scan_epoch(lambda carry, batch: (carry, batch), 0, data, key, 0)
    for step in range(2):
        assert_trees_close((images[step], labels[step]), data.batch(key, 0, step))


def test_legacy_keys_and_typed_keys_give_one_stream(key):
    data = loader()
    assert_trees_equal(data.batch(jax.random.PRNGKey(0), 1, 2), data.batch(key, 1, 2))


def test_the_order_of_calls_changes_nothing(key):
    data = loader()
    forwards = [data.batch(key, 0, step) for step in range(5)]
    backwards = [data.batch(key, 0, step) for step in reversed(range(5))]
    assert_trees_equal(forwards, backwards[::-1])


def test_numpys_and_pythons_random_states_are_untouched(key):
    before = (np.random.get_state()[1].tolist(), random.getstate())
    list(stream(loader(), key, num_epochs=1))
    scan_epoch(lambda carry, batch: (carry, None), 0, loader().to_device(), key, 0)
    explain(loader(), key, 0, 3)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def traced_at_most(times):
    """A step that fails where it is traced more often."""
    chex.clear_trace_counter()
    return Map(chex.assert_max_traces(lambda image: image + 1, times))


@pytest.mark.parametrize("resident", [True, False])
def test_many_epochs_and_steps_trace_once(key, resident):
    data = loader(batch_size=3, augment=(traced_at_most(1), None))
    data = data.to_device() if resident else data
    for epoch, step in itertools.product(range(4), range(len(data))):
        data.batch(key, epoch, step)
    list(stream(data, key, num_epochs=2))


@pytest.mark.parametrize("resident", [True, False])
def test_equal_configs_and_other_array_values_share_a_trace(key, resident):
    images, step = pictures(13, (3, 3, 1))[0], traced_at_most(1)
    images = jnp.asarray(images) if resident else images

    def show(rotation, mean):
        aug = Chain(step, Affine(rotation=rotation), Normalize(np.full(1, mean, np.float32)))
        return Loader(images, batch_size=2, augment=aug).batch(key, 0, 0)

    batches = [show(11, mean) for mean in (1.0, 2.0, 3.0) for _ in range(2)]
    np.testing.assert_allclose(batches[0] - batches[-1], 2.0, atol=1e-4)
    with pytest.raises(AssertionError, match="traced > 1 times"):
        show(12, 1.0)


@pytest.mark.parametrize("resident", [True, False])
def test_bytes_stay_bytes(key, resident, monkeypatch):
    """No array of the size of the data is made other than the data itself."""
    size = 997
    data = loader(size=size, batch_size=4).to_device()
    if resident:
        spec, place = spec_of(data), np.zeros(3, np.uint32)
        lowered = resident_batch.lower(spec.program, spec.leaves, spec.chain_leaves, spec.visited, key, place)
        text = lowered.compile().as_text()
        assert f"u8[{size},6,5,3]" in text
        assert f"f32[{size}" not in text
    else:
        images, labels = pictures(size)
        host = Loader((images, labels), batch_size=4, augment=AUGMENT)
        passed = []
        monkeypatch.setattr(batch_module, "host_batch", lambda program, leaves, *rest: passed.append((program, leaves)))
        host.batch(key, 0, 0)
        ((program, rows),) = passed
        assert program.reads == (True, True)
        assert [(leaf.dtype.name, leaf.shape) for leaf in rows] == [("uint8", (4, 6, 5, 3)), ("int32", (4,))]
        assert host.data[0] is images
        assert host.data[1] is labels


def test_order_draws_and_selections_are_the_same_bits_under_every_flag(key):
    data = Loader(
        pictures(), batch_size=6, augment=Affine(shift=0.3, whole_pixels=True, horizontal_flip=True, vertical_flip=0.3)
    )
    expected = data.batch(key, 3, 1)
    assert expected[0].dtype == np.uint8
    with jax.enable_x64(True):
        assert_trees_equal(data.batch(key, 3, 1), expected)
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        assert_trees_equal(data.batch(key, 3, 1), expected)
    with jax.default_prng_impl("rbg"):
        assert_trees_equal(data.batch(key, 3, 1), expected)


def test_a_pinned_batch_has_not_changed(key):
    """A failure here is a changed stream: a breaking change, for the changelog and STREAM_VERSION."""
    data = Loader((np.arange(1000),), batch_size=8)
    assert data.index(key, 0, 0).tolist() == PINNED_INDEX
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    turned = Loader(image, batch_size=1, augment=Chain(Affine(rotation=45), Cast("int16")))
    assert turned.batch(key, 1, 0).ravel().tolist() == PINNED_IMAGE
    assert jax.random.key_data(data.step_key(key, 2, 3)).tolist() == PINNED_STEP_KEY


PINNED_INDEX = [992, 114, 184, 945, 415, 817, 317, 832]
PINNED_IMAGE = [1, 1, 2, 4, 4, 4, 6, 7, 7]
PINNED_STEP_KEY = [2184653226, 4169694973]


def test_rescale_inside_a_chain_is_what_numpy_computes(key):
    images, labels = pictures()
    scaled, same = Loader((images, labels), batch_size=4, augment=Rescale(1 / 255)).batch(key, 0, 0)
    np.testing.assert_allclose(scaled, images[np.asarray(same)] / 255, rtol=1e-6)
