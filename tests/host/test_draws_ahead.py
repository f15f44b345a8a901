"""Where there is no CPU a stream draws for many steps at once, and shows what `Loader.batch` shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Chain, Loader, Map, Rescale, stream
from jaxiter.loader import _batch
from jaxiter.loader.internal import BatchSpec, DrawsAhead, spec_of

from ..data import AUGMENT, assert_trees_equal, pictures

VALUES = Brightness(0.2)


@pytest.fixture
def off_cpu(monkeypatch):
    monkeypatch.setattr(BatchSpec, "is_off_cpu", property(lambda spec: not spec.reads_any))


class Noise:
    """A step of a user's, whose draws are as large as the picture, and known in its own program alone."""

    def sample(self, key, image_shape):
        return jax.random.uniform(key, image_shape)

    def apply(self, params, image):
        return image + params


def resident(**options):
    data = jax.tree.map(jnp.asarray, pictures())
    return Loader(data, **{"batch_size": 4, "augment": (VALUES, None), **options})


def started(monkeypatch):
    """How often draws are found from here on."""
    calls = []
    original = _batch.prepare_steps
    monkeypatch.setattr(_batch, "prepare_steps", lambda *args: calls.append(args) or original(*args))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"augment": (AUGMENT, None)},
        {"remainder": "keep"},
        {"rows": [3, 3, 20, 7, 3, 0, 11, 20, 5], "remainder": "pad"},
        {"augment": (Chain(Brightness((0.5, 1.5)), Noise(), Affine(shift=0.3, order=0)), None)},
        {
            "augment": (Chain(Map(lambda x: x[:5]), Affine(shift=0.3, whole_pixels=True), Rescale(2.0)), None),
            "shuffle": False,
        },
    ],
    ids=["plain", "keep", "showings", "own step", "other shape"],
)
@pytest.mark.usefixtures("off_cpu")
def test_a_stream_that_draws_ahead_shows_what_batch_shows(options, key, monkeypatch):
    monkeypatch.setattr(_batch, "_MOST_STEPS", 3)
    loader, calls = resident(**options), started(monkeypatch)
    places = [(epoch, step) for epoch in range(2) for step in range(loader.num_steps)]
    assert_trees_equal(list(stream(loader, key, num_epochs=2)), [loader.batch(key, *place) for place in places])
    assert len(calls) == 2 * -(-loader.num_steps // 3)


@pytest.mark.usefixtures("off_cpu")
def test_it_goes_on_anywhere(key, monkeypatch):
    monkeypatch.setattr(_batch, "_MOST_STEPS", 4)
    loader = resident(batch_size=2)
    for start in [(0, 3), (0, 4), (1, 9), (2, 0)]:
        with stream(loader, key, start=start, donate=True) as batches:
            assert_trees_equal(next(batches), loader.batch(key, *start))
            state = batches.get_state()
            later = [jax.tree.map(np.array, next(batches)) for _ in range(3)]
            batches.set_state(state)
            assert_trees_equal([jax.tree.map(np.array, next(batches)) for _ in range(3)], later)


def test_on_cpu_and_for_rows_that_are_read_a_stream_shares_the_program_of_batch(key, monkeypatch):
    calls = started(monkeypatch)
    next(stream(resident(), key))
    monkeypatch.setattr(BatchSpec, "is_off_cpu", property(lambda spec: not spec.reads_any))
    next(stream(Loader(pictures(), batch_size=4, augment=(VALUES, None)), key))
    assert not calls
    next(stream(resident(), key))
    assert len(calls) == 1


@pytest.mark.parametrize(("batch_size", "expected"), [(1, True), (2**13, True), (2**14, False)])
@pytest.mark.usefixtures("off_cpu")
def test_large_batches_are_drawn_one_by_one(batch_size, expected, key):
    loader = Loader(jnp.zeros((2**15, 1)), batch_size=batch_size)
    assert DrawsAhead(spec_of(loader), key).is_worth_it is expected
