"""Calls with swapped, missing or impossible arguments say how they are meant."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import (
    Affine,
    Loader,
    Map,
    Normalize,
    deterministic,
    explain,
    fit_statistics,
    from_records,
    scan_epoch,
    stream,
    train_validation_split,
)

from ..data import assert_trees_equal, pictures

IMAGES, LABELS = pictures(size=12)


def STEP(carry, batch):
    return carry, None


def test_what_is_called_wrongly_says_how_it_is_called(key):
    """Swapped or missing arguments, without the contents of an array in the message."""
    data = Loader((IMAGES, LABELS), batch_size=4)
    calls = [
        (
            lambda: Loader(IMAGES, LABELS),
            r"Loader got 2 .*int32\[12\]\); .*Loader\(\(images, labels\), batch_size=32\)",
        ),
        (lambda: Loader(IMAGES, LABELS, batch_size=4), r"Loader\(\(images, labels\), batch_size=32\)"),
        (lambda: deterministic(data), r"transform is a Loader; .*loader\.replace\(augment=deterministic"),
        (lambda: deterministic((IMAGES,)), r"an array uint8\[12, 6, 5, 3\] is no transform"),
        (lambda: explain(key, data, 0, 3), r"loader is an array key<fry>\[\]; .*explain\(loader, key, epoch, row\)"),
        (lambda: explain((data, data), key, 0, 3), "loader is a tuple of 2, .* into one Loader"),
        (lambda: stream((data, data), key), "loader is a tuple of 2, .* into one Loader"),
        (lambda: scan_epoch(STEP, 0, (data, data), key, 0), "loader is a tuple of 2, .* into one Loader"),
        (lambda: scan_epoch(data, 0, STEP, key, 0), r"loader is a function; .*scan_epoch\(step_fn, carry, loader"),
        (lambda: scan_epoch(0, STEP, data, key, 0), r"step_fn is 0; expected a function"),
        (
            lambda: scan_epoch(lambda c, b: c, 0, data, key, 0),
            r"step_fn returned an array int32\[\]; expected \(carry, out\)",
        ),
        (
            lambda: scan_epoch(lambda c, b: c, (0, 1), data, key, 0),
            r"a carry of the structure PyTreeDef\(\*\); expected",
        ),
        (lambda: data.batch(data, 0, 0), "key is a Loader; expected a PRNG key"),
        (lambda: Loader(IMAGES, batch_size=LABELS), r"batch_size is an array int32\[12\]; expected an integer"),
        (lambda: train_validation_split(LABELS, key, 0.2), r"labels is an array key<fry>\[\]"),
        (lambda: train_validation_split(key, [[1], [2, 3]], 0.2), "labels is a list of 2"),
        (lambda: fit_statistics((IMAGES, LABELS)), r"images is a tuple of 2, .*without labels"),
        (lambda: from_records("files"), "source is a str; expected"),
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words) as raised:
            call()
        assert len(str(raised.value).partition("-----")[0]) < 500
    with pytest.raises(ValueError, match=r"remainder is an array int32\[12\]; expected one of 'drop'"):
        Loader(IMAGES, batch_size=4, remainder=LABELS)
    with pytest.raises(ValueError, match=r"labels is array\(12\); .*np\.arange\(size\)"):
        train_validation_split(key, len(LABELS), 0.2)
    assert "Loader(data" in f"Loader{inspect.signature(Loader)}"


@pytest.mark.parametrize(
    ("data", "words", "absent"),
    [
        (LABELS, "None of them can hold images", "augment={"),
        ({"x": LABELS, "z": IMAGES[..., 0] * 1j}, "None of them can hold images", "'x': transform"),
        (
            {"x": LABELS, "z": IMAGES[..., 0]},
            r"augment={'x': None, 'z': transform}; .*x\[..., None\]",
            "'x': transform",
        ),
    ],
)
def test_only_a_leaf_that_can_hold_images_is_suggested(data, words, absent):
    with pytest.raises(ValueError, match=words) as raised:
        Loader(data, batch_size=2, augment=Affine(rotation=3))
    assert absent not in str(raised.value)


def test_shardings_of_more_axes_or_of_another_memory_are_refused_in_words(key):
    data = Loader((IMAGES, LABELS), batch_size=4)
    mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
    of_images = NamedSharding(mesh, P("d", None, None, None))
    on_host = NamedSharding(mesh, P("d"), memory_kind="pinned_host")
    for ask in (lambda sharding: stream(data, key, sharding=sharding), data.to_device):
        with pytest.raises(ValueError, match=r"for arrays of rank 4.* leading axis"):
            ask(of_images)
        with pytest.raises(ValueError, match=r"sharding is in the memory 'pinned_host'.*with_memory_kind\('device'\)"):
            ask(on_host)


def test_a_start_beyond_the_end_is_refused_and_the_end_is_not(key):
    data = Loader(LABELS, batch_size=4)
    for start in [(3, 0), (2, 1)]:
        with pytest.raises(ValueError, match=r"beyond the end of num_epochs=2.*up to \(2, 0\)"):
            stream(data, key, start=start, num_epochs=2)
    assert list(stream(data, key, start=(2, 0), num_epochs=2)) == []
    assert stream(data, key, start=(1, 3), num_epochs=2).position == (2, 0)


def test_arrays_on_different_devices_are_refused_by_path_where_they_have_to_meet(key):
    devices = jax.devices()
    backwards = NamedSharding(Mesh(np.array(devices[3::-1]), ("d",)), P("d"))
    forwards = NamedSharding(Mesh(np.array(devices[:4]), ("d",)), P("d"))
    x, z = (
        NamedSharding(jax.make_mesh((4,), (axis,), axis_types=(AxisType.Explicit,), devices=devices[:4]), P(axis))
        for axis in "xz"
    )
    for there, elsewhere, words in [
        (devices[0], devices[1], r"data\['image'\] is on device 0, and data\['label'\] on device 1; "),
        (forwards, devices[0], "on devices 0, 1, 2, 3, .* on device 0; "),
        (forwards, backwards, "on devices 0, 1, 2, 3, .* on devices 3, 2, 1, 0; "),
        (x, z, r"on a mesh of the axes \(\('x', 4\),\), and .*'z'"),
    ]:
        loader = Loader(
            {"image": jax.device_put(IMAGES, there), "label": jax.device_put(LABELS, elsewhere), "id": jnp.arange(12)},
            batch_size=4,
        )
        for use in (
            lambda loader=loader: loader.batch(key, 0, 0),
            lambda loader=loader: next(stream(loader, key)),
            lambda loader=loader: scan_epoch(STEP, 0, loader, key, 0),
            lambda loader=loader: explain(loader, key, 0, 3),
        ):
            with pytest.raises(ValueError, match=rf"{words}.*loader\.to_device\(.*sharding="):
                use()
    expected = Loader({"image": IMAGES, "label": LABELS, "id": np.arange(12)}, batch_size=4).batch(key, 0, 0)
    for found in (loader.to_device(devices[2]).batch(key, 0, 0), loader.batch(key, 0, 0, sharding=forwards)):
        assert_trees_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Loader("images.npy", batch_size=2), r"data is 'images.npy'; expected an array.*np.load\(path\)"),
        (lambda: Loader(np.zeros(9), batch_size=2, rows=slice(0, 3)), r"rows is .*slice.*np.arange\(100\)"),
        (lambda: Loader(np.zeros(9), batch_size=2, rows=100), r"rows is .*100.*np.arange\(100\)"),
        (lambda: Loader(np.zeros(9), batch_size=2, rows=np.ones(9, bool)), r"rows is bool\[9\].*np.flatnonzero"),
        (lambda: Map(lambda image: None).apply((), np.zeros((2, 2, 1))), "in a Map returned None; expected an image"),
    ],
)
def test_what_a_beginner_mistakes_is_named_with_the_remedy(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_the_rows_of_a_loader_cannot_be_edited():
    """The showings were worked out for them."""
    data = Loader(np.arange(8), batch_size=4, rows=np.array([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="read-only"):
        data.rows[:] = 2


def test_arrays_of_transforms_are_on_the_device_with_the_data():
    data = Loader(np.zeros((4, 3, 3, 1), np.float32), batch_size=2, augment=Normalize(np.ones(1), np.ones(1)))
    resident = data.to_device()
    step = jax.jit(lambda loader, key: loader.batch(key, 0, 0))
    key = jax.random.key(0)
    with jax.transfer_guard("disallow"):
        batch = step(resident, key)
    np.testing.assert_array_equal(batch, data.batch(key, 0, 0))
