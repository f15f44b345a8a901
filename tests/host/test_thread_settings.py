"""What `with` blocks set for one thread holds in the threads that read for it, whichever setting it is."""

from contextlib import ExitStack
from contextvars import ContextVar
from threading import Thread

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxiter import Loader, Map, Transform, stream
from jaxiter.host import _thread_settings
from jaxiter.host._thread_settings import ThreadSettings

from ..data import assert_trees_equal

MINE = ContextVar("mine", default=0)


def mesh(kind):
    return jax.make_mesh((2,), ("d",), axis_types=(getattr(AxisType, kind),))


def read(name):
    return lambda: getattr(jax.config, f"jax_{name}")


def nan_is_found():
    try:
        jax.numpy.log(jax.numpy.float32(-1)).block_until_ready()
    except FloatingPointError:
        return True
    return False


def transfer_is_refused():
    try:
        jax.numpy.asarray([1.0]) + np.float32(1)
    except Exception as error:
        return "Disallowed" in str(error)
    return False


# Each a context manager, and what shows inside that it holds.
SETTINGS = {
    "threefry_partitionable": (lambda: jax.threefry_partitionable(False), read("threefry_partitionable")),
    "x64": (lambda: jax.enable_x64(True), lambda: jax.numpy.zeros((), float).dtype),
    "debug_nans": (lambda: jax.debug_nans(True), nan_is_found),
    "precision": (lambda: jax.default_matmul_precision("highest"), read("default_matmul_precision")),
    "rank promotion": (lambda: jax.numpy_rank_promotion("raise"), read("numpy_rank_promotion")),
    "guard": (lambda: jax.transfer_guard("disallow"), transfer_is_refused),
    "no jit": (lambda: jax.disable_jit(), read("disable_jit")),
    "device": (lambda: jax.default_device(jax.devices()[3]), lambda: jax.numpy.zeros(()).device),
    "generator": (lambda: jax.default_prng_impl("rbg"), lambda: str(jax.random.key_impl(jax.random.key(0)))),
    "mesh": (lambda: jax.set_mesh(mesh("Auto")), jax.sharding.get_mesh),
    "explicit mesh": (lambda: jax.set_mesh(mesh("Explicit")), jax.sharding.get_mesh),
}
PRIVATE = {  # which only JAX's registry has, or no registry
    "several": (lambda: entered("x64", "generator", "no jit"), lambda: [SETTINGS[n][1]() for n in ("x64", "no jit")]),
    "NumPy's errors": (lambda: np.errstate(all="raise"), lambda: np.geterr()["divide"]),
    "not named here": (lambda: jax._src.config.softmax_custom_jvp(True), read("softmax_custom_jvp")),
    "with mesh": (lambda: WithMesh(), lambda: jax._src.mesh.thread_resources.env),
}


def entered(*names):
    stack = ExitStack()
    for name in names:
        stack.enter_context(SETTINGS[name][0]())
    return stack


class WithMesh:
    def __enter__(self):
        with pytest.deprecated_call():
            mesh("Auto").__enter__()

    def __exit__(self, *exception):
        jax._src.mesh.thread_resources.env.physical_mesh.__exit__(*exception)


def in_thread(*functions):
    results = []
    thread = Thread(target=lambda: results.extend(function() for function in functions))
    thread.start()
    thread.join()
    assert len(results) == len(functions)
    return results


CASES = [("_Registered", name) for name in SETTINGS | PRIVATE] + [("_Public", name) for name in SETTINGS]


@pytest.mark.parametrize(("registry", "name"), CASES)
def test_a_thread_works_by_the_settings_of_the_caller_and_forgets_them(registry, name, monkeypatch):
    monkeypatch.setattr(_thread_settings, "_settings", getattr(_thread_settings, registry)())
    context, shows = (SETTINGS | PRIVATE)[name]
    outside = shows()
    with context():
        inside, settings = shows(), ThreadSettings.current()
        assert inside != outside
        assert in_thread(lambda: settings.run(shows), shows, lambda: settings.run(shows)) == [inside, outside, inside]
        assert settings.are_those_of(ThreadSettings.current())
    assert in_thread(lambda: ThreadSettings.current().run(shows)) == [outside]
    assert shows() == outside


def test_without_jaxs_registry_the_public_settings_are_carried(monkeypatch):
    monkeypatch.delattr(jax._src.config, "config_states")
    assert isinstance(_thread_settings._known(), _thread_settings._Public)
    monkeypatch.undo()
    assert isinstance(_thread_settings._known(), _thread_settings._Registered)


def test_variables_of_the_caller_are_those_of_a_source(key):
    class Source:
        shape, dtype = (8, 2), np.dtype(np.float32)

        def __getitem__(self, index):
            return np.full((len(index), 2), MINE.get(), np.float32)

    MINE.set(3)
    with stream(Loader(Source(), batch_size=4), key, num_threads=2, prefetch=3) as batches:
        assert {float(next(batches)[0, 0]) for _ in range(4)} == {3}


class Noise(Transform):
    def sample(self, key, image_shape):
        return jax.random.normal(key, image_shape)

    def apply(self, params, image):
        return image + params


@pytest.mark.parametrize("where", ["host", "resident"])
def test_a_stream_gives_the_batches_of_the_caller_where_a_block_begins_and_ends(key, where):
    loader = Loader(np.zeros((8, 4, 4, 1), np.float32), batch_size=4, augment=Noise())
    loader = loader.to_device() if where == "resident" else loader
    with stream(loader, key, prefetch=2) as batches:
        assert_trees_equal(next(batches), loader.batch(key, 0, 0))
        with jax.threefry_partitionable(False):
            assert_trees_equal(next(batches), loader.batch(key, 0, 1))
            other = loader.batch(key, 1, 0)
        found = next(batches)
        assert_trees_equal(found, loader.batch(key, 1, 0))
        assert not np.array_equal(found, other)


def test_a_mesh_that_is_set_holds_where_the_batch_is_made(key):
    laid = Map(lambda x: jax.lax.with_sharding_constraint(x, P()))
    loader = Loader(np.zeros((8, 4, 4, 1), np.float32), batch_size=4, augment=laid)
    with jax.set_mesh(mesh("Auto")), stream(loader, key) as batches:
        assert next(batches).shape == (4, 4, 4, 1)
