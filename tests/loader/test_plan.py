"""What a device is asked for is told before, and refused if it has not got it."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Chain, Loader, Rescale, stream
from jaxiter.loader import _plan

AUGMENT = Chain(Affine(rotation=10), Rescale(1 / 255))


class Card:
    """A device that says what it has."""

    platform = "gpu"

    def __init__(self, limit, in_use=0, name="card 0"):
        self.stats, self.name = {"bytes_limit": limit, "bytes_in_use": in_use}, name

    def memory_stats(self):
        return self.stats

    def __str__(self):
        return self.name


def data(size=1000):
    return np.zeros((size, 16, 16, 3), np.uint8), np.zeros(size, np.int64)


def test_a_plan_counts_bytes_as_they_will_be_on_the_device():
    loader = Loader(data(), batch_size=50, augment=(AUGMENT, None))
    plan = loader.plan(Card(10**6, 10**5), prefetch=3)
    assert (plan.free, plan.resident) == (9 * 10**5, 0)
    assert plan.upload == 1000 * (768 + 4)  # int64 becomes int32
    assert plan.rows == 50 * (768 + 4)
    assert plan.batch == 50 * (768 * 4 + 4)  # bytes become float32
    assert plan.streaming == 4 * plan.rows + 5 * plan.batch  # a loop holds one while the next is made
    assert str(plan) == (
        "card 0 has 900.0 kB free. Arrays on it: 0 bytes; to_device() adds 772.0 kB. A batch: 153.8 kB and 38.6 kB of "
        "rows read on the host; a stream with prefetch=3 holds 923.4 kB."
    )


def test_arrays_that_are_on_the_device_are_not_counted_again():
    plan = Loader(data(), batch_size=50, augment=(AUGMENT, None)).to_device().plan(jax.devices()[0])
    assert (plan.resident, plan.upload, plan.rows) == (1000 * (768 + 4), 0, 0)
    other = Loader(data(), batch_size=50).to_device().plan(jax.devices()[1])
    assert other.resident == 0


def test_a_plan_over_several_devices_is_that_of_one_of_them():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    loader = Loader(data(), batch_size=40, augment=(AUGMENT, None))
    plan = loader.to_device(NamedSharding(mesh, P("data"))).plan(sharding=NamedSharding(mesh, P("data")))
    assert plan.resident == 125 * (768 + 4)
    assert plan.batch == 5 * (768 * 4 + 4)


def test_rows_that_come_from_other_devices_are_counted_as_those_from_the_host():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    resident = Loader(data(), batch_size=40).to_device()
    assert resident.plan(sharding=NamedSharding(mesh, P("data"))).rows == 5 * (768 + 4)
    assert resident.plan().rows == 0


def test_devices_that_share_the_hosts_memory_have_a_part_of_it_each(key, monkeypatch):
    monkeypatch.setattr(_plan, "free_bytes", lambda device: 10**6)
    loader, mesh = Loader(data(), batch_size=400), Mesh(np.array(jax.devices()), ("data",))
    stream(loader, key, prefetch=0, sharding=NamedSharding(mesh, P("data"))).close()  # 3 x 309 kB over all of them
    with pytest.raises(ValueError, match=r"prefetch=1 needs 193.0 kB on .*, which has 125.0 kB free"):
        stream(loader, key, prefetch=1, sharding=NamedSharding(mesh, P("data")))


def test_a_device_that_does_not_say_is_not_held_to_anything():
    card = Card(0)
    card.stats = None
    plan = Loader(data(), batch_size=50).plan(card)
    assert plan.free is None
    assert "does not say what it has free" in str(plan)


def test_a_plan_allocates_nothing_and_knows_the_default_device():
    before = {id(array) for array in jax.live_arrays()}
    with jax.default_device(jax.devices()[2]):
        plan = Loader(data(), batch_size=50, augment=(AUGMENT, None)).plan()
    assert plan.device == jax.devices()[2]
    assert plan.free > 0
    assert {id(array) for array in jax.live_arrays()} <= before


def test_more_than_there_is_is_refused_before_anything_is_read(tmp_path):
    """Ten terabytes, in a file that takes no room."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(10**13)
    loader = Loader(np.memmap(path, np.uint8, "r", shape=(10**8, 10**5)), batch_size=4)
    with pytest.raises(ValueError, match=r"to_device\(\) needs 10.0 TB on .*, which has .*B free. .*stream\(loader"):
        loader.to_device()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    for spec in (P(), P("data")):
        with pytest.raises(ValueError, match=r"needs 10\.0 TB"):  # the devices of a CPU lie in one memory
            loader.to_device(NamedSharding(mesh, spec))
    assert loader.batch(jax.random.key(0), 0, 0).shape == (4, 10**5)  # it streams


def test_each_card_has_a_memory_of_its_own(monkeypatch):
    """Devices that say what they have are looked at one by one."""
    cards = [Card(800_000, name=f"card {number}") for number in range(2)]

    class Halves:
        """As much of a sharding as the check looks at."""

        def shard_shape(self, shape):
            return shape

        def addressable_devices_indices_map(self, shape):
            others = (slice(None),) * (len(shape) - 1)
            return {card: (slice(500 * number, 500 * (number + 1)), *others) for number, card in enumerate(cards)}

    loader = Loader(data(), batch_size=50)
    _plan.check_upload(loader, Halves())  # 386 kB on each
    cards[1].stats["bytes_in_use"] = 500_000
    with pytest.raises(ValueError, match=r"needs 386.0 kB on card 1, which has 300.0 kB free"):
        _plan.check_upload(loader, Halves())


def test_a_stream_that_is_too_large_is_refused_with_its_figures(key, monkeypatch):
    loader = Loader(data(), batch_size=500, augment=(AUGMENT, None))
    monkeypatch.setattr(_plan, "free_bytes", lambda device: 8 * 10**6)
    stream(loader, key, prefetch=2).close()
    with pytest.raises(
        ValueError, match=r"prefetch=3 needs 9.2 MB on .*, which has 8.0 MB free: a batch of 500 takes 1.9"
    ):
        stream(loader, key, prefetch=3)
    stream(loader, key, prefetch=3, donate=True).close()  # the loop gives back what it holds
    with pytest.raises(ValueError, match=r"prefetch=4 needs 9.6 MB"):
        stream(loader, key, prefetch=4, donate=True)
    stream(loader, key, prefetch=9, num_epochs=2).close()  # four batches are all there are
    with pytest.raises(ValueError, match=r"prefetch=9 needs 11.5 MB"):
        stream(loader, key, prefetch=9, num_epochs=3)


def test_the_hosts_memory_is_what_linux_says_within_its_control_group(monkeypatch, tmp_path):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4000 kB\n"}

    class Folder(type(tmp_path)):
        def read_text(self, *arguments, **options):
            if str(self) not in files:
                raise FileNotFoundError(self)
            return files[str(self)]

    monkeypatch.setattr(_plan, "Path", Folder)
    assert _plan._free_on_host() == 4_096_000
    group = "/sys/fs/cgroup/"
    files |= {f"{group}memory.max": "max\n", f"{group}memory.current": "50\n", f"{group}memory.stat": "anon 1\n"}
    assert _plan._free_on_host() == 4_096_000
    files |= {f"{group}memory.max": "1000\n", f"{group}memory.current": "900\n"}
    files[f"{group}memory.stat"] = "active_file 200\ninactive_file 100\n"
    assert _plan._free_on_host() == 400
