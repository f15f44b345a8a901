"""What a loader takes of a device is estimated before, and refused where the device reports less."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Cast, Chain, Loader, Rescale, stream
from jaxiter.loader import _memory
from jaxiter.loader.internal import spec_of

AUGMENT = Chain(Affine(rotation=10), Rescale(1 / 255))


def data(size=1000):
    return np.zeros((size, 16, 16, 3), np.uint8), np.zeros(size, np.int64)


def report(monkeypatch, free):
    """Every device reports so many bytes, or those that stand for its number."""
    limits = free if isinstance(free, dict) else dict.fromkeys(range(8), free)
    monkeypatch.setattr(_memory, "free_bytes", lambda device: limits[device.id])


def test_bytes_are_counted_as_they_will_be_on_the_device():
    memory = Loader(data(), batch_size=50, augment=(AUGMENT, None)).memory(prefetch=3)
    assert memory.upload == 1000 * (768 + 4)  # int64 becomes int32
    assert memory.rows == 50 * (768 + 4)
    assert memory.batch == 50 * (768 * 4 + 4)  # bytes become float32
    assert memory.streaming == 4 * memory.rows + 5 * memory.batch  # a loop holds one while the next is made


@pytest.mark.parametrize("augment", [None, (AUGMENT, None), (Chain(AUGMENT, Cast("bfloat16")), Cast("float16"))])
def test_a_batch_takes_what_was_estimated(key, augment):
    loader = Loader(data(), batch_size=50, augment=augment)
    assert loader.memory().batch == sum(leaf.nbytes for leaf in jax.tree.leaves(loader.batch(key, 0, 0)))
    assert loader.memory().upload == sum(leaf.nbytes for leaf in jax.tree.leaves(loader.to_device().data))


def test_arrays_that_are_on_the_device_are_not_counted_again():
    memory = Loader(data(), batch_size=50, augment=(AUGMENT, None)).to_device().memory()
    assert (memory.upload, memory.rows) == (0, 0)


def test_over_several_devices_it_is_the_part_of_one_of_them():
    each = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
    loader = Loader(data(), batch_size=40, augment=(AUGMENT, None))
    assert loader.to_device(each).memory(sharding=each).batch == 5 * (768 * 4 + 4)
    assert loader.memory(sharding=each).rows == 5 * (768 + 4)


def test_rows_that_come_from_other_devices_are_counted_as_those_from_the_host():
    each = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
    resident = Loader(data(), batch_size=40).to_device()
    assert resident.memory(sharding=each).rows == 5 * (768 + 4)
    assert resident.memory().rows == 0


def test_nothing_is_allocated_or_compiled():
    loader = Loader(data(), batch_size=50, augment=(AUGMENT, None))
    before = {id(array) for array in jax.live_arrays()}
    loader.memory()
    assert {id(array) for array in jax.live_arrays()} <= before


def test_bad_arguments_are_refused():
    loader = Loader(data(), batch_size=50)
    with pytest.raises(ValueError, match="prefetch is -1; expected 0 or more"):
        loader.memory(prefetch=-1)
    with pytest.raises(TypeError, match=r"prefetch is 1\.5"):
        loader.memory(prefetch=1.5)
    with pytest.raises(TypeError, match=r"sharding is .*; expected a jax.Device or a Sharding"):
        loader.to_device(P("data"))


def test_what_a_device_reports_is_its_limit_less_what_is_in_use():
    class Card:
        def __init__(self, stats):
            self.stats = stats

        def memory_stats(self):
            return self.stats

    reports = [{"bytes_limit": 10**6, "bytes_in_use": 10**5}, {"bytes_limit": 7}, {"bytes_in_use": 7}, {}, None]
    assert [_memory.free_bytes(Card(stats)) for stats in reports] == [900_000, 7, None, None, None]
    assert _memory.free_bytes(jax.devices()[0]) is None  # the CPU


def test_an_upload_that_is_too_large_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    """Ten terabytes, in a sparse file."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(10**13)
    loader = Loader(np.memmap(path, np.uint8, "r", shape=(10**8, 10**5)), batch_size=4)
    report(monkeypatch, 10**10)
    with pytest.raises(ValueError, match=r"to_device\(\) needs 10.0 TB on .* has 10.0 GB free. .*stream\(loader"):
        loader.to_device()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    for spec, size in ((P(), "10.0"), (P("data"), "1.2")):
        with pytest.raises(ValueError, match=rf"needs {size} TB"):
            loader.to_device(NamedSharding(mesh, spec))
    assert loader.batch(jax.random.key(0), 0, 0).shape == (4, 10**5)  # it streams


def test_each_device_is_looked_at(monkeypatch):
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("data",)), P("data"))
    loader = Loader(data(), batch_size=50)
    report(monkeypatch, {0: 386_000, 1: 386_000})
    _memory.check_upload(spec_of(loader), sharding)
    report(monkeypatch, {0: 386_000, 1: 385_999})
    with pytest.raises(ValueError, match=r"needs 386.0 kB on .*1, which has 386.0 kB free"):
        loader.to_device(sharding)


def test_a_device_by_itself_is_looked_at_and_not_the_default_one(monkeypatch):
    report(monkeypatch, {**dict.fromkeys(range(8), 0), 3: 10**6})
    assert Loader(data(), batch_size=50).to_device(jax.devices()[3]).data[0].devices() == {jax.devices()[3]}
    with pytest.raises(ValueError, match=r"needs 772.0 kB"):
        Loader(data(), batch_size=50).to_device()


def test_a_stream_that_is_too_large_is_refused_with_its_figures(key, monkeypatch):
    loader = Loader(data(), batch_size=500, augment=(AUGMENT, None))
    report(monkeypatch, 8 * 10**6)
    stream(loader, key, prefetch=2).close()
    with pytest.raises(
        ValueError, match=r"prefetch=3 needs 9.2 MB on .*, which has 8.0 MB free: a batch of 500 takes 1.9"
    ):
        stream(loader, key, prefetch=3)
    stream(loader, key, prefetch=3, donate=True).close()  # the loop's batch is reused
    with pytest.raises(ValueError, match=r"prefetch=4 needs 9.6 MB"):
        stream(loader, key, prefetch=4, donate=True)
    stream(loader, key, prefetch=9, num_epochs=2).close()  # four batches are all there are
    with pytest.raises(ValueError, match=r"prefetch=9 needs 11.5 MB"):
        stream(loader, key, prefetch=9, num_epochs=3)


def test_a_sharded_stream_is_checked_by_the_part_of_a_device(key, monkeypatch):
    report(monkeypatch, 125_000)
    loader, mesh = Loader(data(), batch_size=400), Mesh(np.array(jax.devices()), ("data",))
    stream(loader, key, prefetch=0, sharding=NamedSharding(mesh, P("data"))).close()  # 3 x 38.6 kB
    with pytest.raises(ValueError, match=r"prefetch=1 needs 193.0 kB on .*, which has 125.0 kB free"):
        stream(loader, key, prefetch=1, sharding=NamedSharding(mesh, P("data")))
