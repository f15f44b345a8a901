"""A stream that reuses the memory of the batches it returned shows the same batches."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Cast, Chain, Loader, Map, stream

IMAGES = np.random.default_rng(0).integers(0, 256, (22, 24, 25, 3), np.uint8)
LABELS = np.arange(22, dtype=np.int32)
CAST = Cast("float32")


def loaders(augment, **options):
    on_host = Loader((IMAGES, LABELS), batch_size=4, augment=augment, **options)
    mixed = Loader((jnp.asarray(IMAGES), LABELS), batch_size=4, augment=augment, **options)
    return {"host": on_host, "resident": on_host.to_device(), "mixed": mixed}


def test_what_is_computed_from_a_batch_is_not_disturbed(key):
    loader = loaders(CAST)["resident"]
    slowly = jax.jit(lambda image: jax.lax.fori_loop(0, 300, lambda _, x: jnp.sin(x), image).sum())
    expected = [float(slowly(loader.batch(key, 0, step)[0])) for step in range(5)]
    # Each sum is still being computed when the next batch is asked for.
    sums = [slowly(images) for images, _ in stream(loader, key, num_epochs=1, donate=True)]
    assert list(map(float, sums)) == expected


def test_a_numpy_view_keeps_what_it_shows(key):
    with stream(loaders(CAST)["resident"], key, donate=True) as batches:
        view = np.asarray(next(batches)[0])
        before = view.copy()
        for _ in range(4):
            next(batches)
        np.testing.assert_array_equal(view, before)


def test_donation_is_one_trace_more(key):
    chex.clear_trace_counter()
    loader = loaders(Chain(Map(chex.assert_max_traces(lambda image: image, 2)), CAST))["resident"]
    loader.batch(key, 0, 0)
    list(stream(loader, key, num_epochs=3, donate=True))


@pytest.mark.parametrize("place", ["resident", "host", "mixed"])
@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("remainder", ["drop", "pad", "keep"])
def test_the_batches_are_those_of_the_loader(key, place, prefetch, remainder):
    loader = loaders(CAST, remainder=remainder)[place]
    expected = [loader.batch(key, epoch, step) for epoch in range(3) for step in range(loader.num_steps)]
    with stream(loader, key, num_epochs=3, prefetch=prefetch, donate=True) as batches:
        for batch in expected:
            chex.assert_trees_all_equal(jax.tree.map(jnp.copy, next(batches)), batch)
        with pytest.raises(StopIteration):
            next(batches)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("with_mask", [False, True])
def test_no_further_memory_is_needed(key, prefetch, with_mask):
    loader = loaders(CAST)["resident"]
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
def test_a_batch_is_reused_once_after_a_jump_too(key, place):
    loader = loaders(CAST)[place]
    with stream(loader, key, donate=True) as batches:
        state = batches.get_state()
        for _ in range(3):
            next(batches)
        batches.set_state(state)
        for step in range(loader.num_steps):
            chex.assert_trees_all_equal(jax.tree.map(jnp.copy, next(batches)), loader.batch(key, 0, step))


def test_without_donation_batches_stay(key):
    loader = loaders(CAST)["resident"]
    batches = list(stream(loader, key, num_epochs=1))
    for step, batch in enumerate(batches):
        chex.assert_trees_all_equal(batch, loader.batch(key, 0, step))


def test_donation_and_sharding_exclude_each_other(key):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with pytest.raises(ValueError, match="donate=True and a sharding exclude each other"):
        stream(loaders(None)["resident"], key, sharding=sharding, donate=True)
    with pytest.raises(TypeError, match="donate is 1; expected True or False"):
        stream(loaders(None)["resident"], key, donate=1)
