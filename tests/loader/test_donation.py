"""A batch written over one that is done with is the same batch, in the same memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Cast, Chain, Loader, Rescale, stream
from jaxiter.loader._program import resident_batch

IMAGES = np.random.default_rng(0).integers(0, 256, (22, 24, 25, 3), np.uint8)
LABELS = np.arange(22, dtype=np.int32)
AUGMENTS = {
    "nothing": None,
    "cast": Cast("float32"),
    "shift": Chain(Affine(shift=0.2, horizontal_flip=True), Rescale(1 / 255)),
    "all": Chain(Affine(rotation=30, zoom=0.2), Rescale(1 / 255)),
}


def loaders(augment, **options):
    on_host = Loader((IMAGES, LABELS), batch_size=4, augment=augment, **options)
    mixed = Loader((jnp.asarray(IMAGES), LABELS), batch_size=4, augment=augment, **options)
    return {"host": on_host, "resident": on_host.to_device(), "mixed": mixed}


def pointers(batch):
    return [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(batch)]


def assert_same(found, expected):
    jax.tree.map(lambda one, other: np.testing.assert_array_equal(np.asarray(one), np.asarray(other)), found, expected)


@pytest.mark.parametrize("place", ["resident", "host", "mixed"])
@pytest.mark.parametrize("augment", AUGMENTS)
def test_the_new_batch_takes_the_memory_of_the_old_one(key, place, augment):
    loader = loaders(AUGMENTS[augment])[place]
    donated = jax.tree.map(jnp.copy, loader.batch(key, 0, 0))  # of its own, and not of a row read on the host
    where = pointers(donated)
    batch = loader.batch(key, 1, 3, donate=donated)
    assert pointers(batch) == where
    assert all(leaf.is_deleted() for leaf in donated)
    assert_same(batch, loader.batch(key, 1, 3))


def test_what_is_computed_from_the_old_batch_is_not_disturbed(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    slowly = jax.jit(lambda image: jax.lax.fori_loop(0, 300, lambda _, x: jnp.sin(x), image).sum())
    expected = [float(slowly(loader.batch(key, 0, step)[0])) for step in range(5)]
    sums, batch = [], None
    for step in range(5):
        batch = loader.batch(key, 0, step, donate=batch)
        sums.append(slowly(batch[0]))  # still running when the next batch is asked for
    assert list(map(float, sums)) == expected


def test_a_numpy_view_keeps_what_it_shows(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    batch = loader.batch(key, 0, 0)
    view = np.asarray(batch[0])
    before = view.copy()
    for step in range(1, 4):
        batch = loader.batch(key, 0, step, donate=batch)
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("place", ["resident", "host"])
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda batch: batch[0], ValueError, r"donate is .*; expected the last .*float32\[4, 24, 25, 3\]"),
        (lambda batch: list(batch), ValueError, r"donate is \['float32"),
        (lambda batch: (batch[0][:3], batch[1][:3]), ValueError, r"donate is \('float32\[3, 24, 25, 3\]"),
        (lambda batch: (batch[0].astype(np.uint8), batch[1]), ValueError, r"donate is \('uint8"),
        (lambda batch: (np.asarray(batch[0]), batch[1]), TypeError, r"holds a numpy\.ndarray; .*, JAX arrays"),
        (lambda batch: (batch, jnp.ones(4, bool)), ValueError, "without its mask"),
        (lambda batch: (), ValueError, r"donate is \(\);"),
        (lambda batch: True, TypeError, r"donate is True; .*stream\(\.\.\., donate=True\)"),
        (lambda batch: False, TypeError, r"donate is False; "),
    ],
)
def test_what_is_no_batch_of_the_loader_is_refused_and_kept(key, place, spoil, error, words):
    loader = loaders(AUGMENTS["cast"])[place]
    batch = loader.batch(key, 0, 0)
    with pytest.raises(error, match=words):
        loader.batch(key, 0, 1, donate=spoil(batch))
    assert not any(leaf.is_deleted() for leaf in batch)


def test_what_was_donated_is_not_taken_again(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    batch = loader.batch(key, 0, 0)
    loader.batch(key, 0, 1, donate=batch)
    with pytest.raises(ValueError, match="holds an array that is deleted, as by having been donated before"):
        loader.batch(key, 0, 2, donate=batch)


def test_what_lies_on_another_device_is_not_taken(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    images, labels = loader.batch(key, 0, 0)
    elsewhere = jax.devices()[3]
    for donated in (jax.device_put((images, labels), elsewhere), (images, jax.device_put(labels, elsewhere))):
        with pytest.raises(ValueError, match=r"donate lies on \[.*\S+3'\], and this loader's arrays on"):
            loaders(AUGMENTS["cast"])["mixed"].batch(key, 0, 1, donate=donated)
        with pytest.raises(ValueError, match="donate lies on"):
            loader.batch(key, 0, 1, donate=donated)


def test_donation_is_one_program_more(key):
    loader = loaders(AUGMENTS["all"])["resident"]
    batch = loader.batch(key, 0, 0)
    compiled = resident_batch._cache_size()
    for epoch in range(2):
        for step in range(loader.num_steps):
            batch = loader.batch(key, epoch, step, donate=batch)
    assert resident_batch._cache_size() <= compiled + 1


def test_in_a_program_that_is_traced_it_has_no_effect(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    batch = loader.batch(key, 0, 0)
    made = jax.jit(lambda loader, batch: loader.batch(key, 0, 1, donate=batch))(loader, batch)
    assert_same(made, loader.batch(key, 0, 1))
    assert not any(leaf.is_deleted() for leaf in batch)


def test_the_data_themselves_are_not_taken(key):
    data = jnp.arange(4.0), jnp.arange(4.0)
    loader = Loader(data, batch_size=4)
    mine = jnp.zeros(4)
    for donated in (data, (mine, data[1]), (mine, mine)):
        with pytest.raises(ValueError, match="holds one array twice, or one of the loader's own"):
            loader.batch(key, 0, 0, donate=donated)
    assert_same(loader.batch(key, 0, 0, donate=(mine, jnp.zeros(4))), loader.batch(key, 0, 0))


def test_a_short_batch_and_the_one_after_it_take_other_memory(key):
    loader = loaders(AUGMENTS["cast"], remainder="keep")["resident"]
    batch = None
    for epoch in range(2):
        for step in range(loader.num_steps):
            batch = loader.batch(key, epoch, step, donate=batch)
            assert_same(jax.tree.map(jnp.copy, batch), loader.batch(key, epoch, step))
    with pytest.raises(ValueError, match="donate is"):
        loader.batch(key, 0, 0, donate=(batch[0].astype(np.uint8), batch[1]))


@pytest.mark.parametrize("place", ["resident", "host", "mixed"])
@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_a_stream_that_takes_batches_back_shows_the_same(key, place, prefetch, remainder):
    loader = loaders(AUGMENTS["cast"], remainder=remainder)[place]
    expected = [loader.batch(key, epoch, step) for epoch in range(3) for step in range(loader.num_steps)]
    with stream(loader, key, num_epochs=3, prefetch=prefetch, donate=True) as batches:
        for batch in expected:
            assert_same(jax.tree.map(jnp.copy, next(batches)), batch)
        with pytest.raises(StopIteration):
            next(batches)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("with_mask", [False, True])
def test_a_stream_that_takes_batches_back_needs_no_further_memory(key, prefetch, with_mask):
    loader = loaders(AUGMENTS["cast"])["resident"]
    number, made, last = 4 * loader.num_steps, [], None
    for item in stream(loader, key, num_epochs=4, prefetch=prefetch, donate=True, with_mask=with_mask):
        batch = item[0] if with_mask else item
        if last is not None:
            # The last ones were under way before.
            assert all(leaf.is_deleted() for leaf in last) == (len(made) < number - prefetch)
        made.append(batch[0].unsafe_buffer_pointer())
        last = batch
    assert len(made) == number
    assert len(set(made)) <= prefetch + 1


@pytest.mark.parametrize("place", ["resident", "host"])
def test_a_batch_is_taken_back_once_after_a_jump_too(key, place):
    loader = loaders(AUGMENTS["cast"])[place]
    with stream(loader, key, donate=True) as batches:
        state = batches.get_state()
        for _ in range(3):
            next(batches)
        batches.set_state(state)
        for step in range(loader.num_steps):
            assert_same(jax.tree.map(jnp.copy, next(batches)), loader.batch(key, 0, step))


def test_without_donation_batches_stay(key):
    loader = loaders(AUGMENTS["cast"])["resident"]
    batches = list(stream(loader, key, num_epochs=1))
    for step, batch in enumerate(batches):
        assert_same(batch, loader.batch(key, 0, step))


def test_donation_and_sharding_exclude_each_other(key):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with pytest.raises(ValueError, match="donate=True and a sharding exclude each other"):
        stream(loaders(None)["resident"], key, sharding=sharding, donate=True)
    with pytest.raises(TypeError, match="donate is a int; expected True or False"):
        stream(loaders(None)["resident"], key, donate=1)
