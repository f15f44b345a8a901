"""Where arrays lie changes no batch: NumPy, memmaps, HDF5, zarr, TensorStore, Grain, records."""

import mmap
import os
import subprocess
import sys
import textwrap
import tracemalloc
from collections import UserDict

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Chain, Loader, _host_rows, explain, fit_statistics, from_records, stream
from jaxiter.keras import ImageDataGenerator

from ..data import assert_trees_equal, pictures

IMAGES, LABELS = pictures(size=50)
ORDERED = Chain(Affine(horizontal_flip=True))


class Records:
    """As Grain's sources are: a length, and one example at an integer."""

    def __init__(self, images=IMAGES, labels=LABELS):
        self.images, self.labels, self.asked = images, labels, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        assert type(row) is int
        self.asked.append(row)
        return self.images[row], self.labels[row]


def hdf5(folder):
    import h5py

    with h5py.File(folder / "images.h5", "w") as file:
        file["images"] = IMAGES
    return h5py.File(folder / "images.h5")["images"]


def zarr_array(folder):
    import zarr

    array = zarr.create_array(folder / "images.zarr", shape=IMAGES.shape, dtype=IMAGES.dtype, chunks=(4, 6, 5, 3))
    array[:] = IMAGES
    return array


def tensor_store(folder):
    import tensorstore

    zarr_array(folder)
    store = {"driver": "file", "path": str(folder / "images.zarr")}
    return tensorstore.open({"driver": "zarr3", "kvstore": store}).result()


def memmap(folder, mode="r", offset=0):
    with open(folder / "images.bin", "wb") as file:
        file.write(b"\0" * offset + IMAGES.tobytes())
    return np.memmap(folder / "images.bin", np.uint8, mode, offset=offset, shape=IMAGES.shape)


SOURCES = {
    "hdf5": hdf5,
    "zarr": zarr_array,
    "tensorstore": tensor_store,
    "memmap": memmap,
    "memmap further on in its file": lambda folder: memmap(folder, offset=5003),
    "memmap to write to": lambda folder: memmap(folder, "r+"),
    "memmap copied on write": lambda folder: memmap(folder, "c"),
    "npy": lambda folder: (np.save(folder / "a.npy", IMAGES), np.load(folder / "a.npy", mmap_mode="r"))[1],
    "view of a memmap": lambda folder: memmap(folder)[:, :, :],
    "column": lambda folder: from_records(Records())[0],
    "fortran": lambda folder: np.asfortranarray(IMAGES),
}
NEED_EXTRAS = {"hdf5", "zarr", "tensorstore"}


@pytest.mark.parametrize(
    "source", [pytest.param(name, marks=[pytest.mark.extras] if name in NEED_EXTRAS else []) for name in SOURCES]
)
@pytest.mark.parametrize("num_threads", [1, 3])
def test_every_source_gives_the_batches_of_the_array(source, num_threads, key, tmp_path):
    expected = Loader((IMAGES, LABELS), batch_size=8, augment=(ORDERED, None))
    data = Loader((SOURCES[source](tmp_path), LABELS), batch_size=8, augment=(ORDERED, None))
    with stream(data, key, num_epochs=2, num_threads=num_threads) as batches:
        for number, batch in enumerate(batches):
            assert_trees_equal(batch, expected.batch(key, *divmod(number, len(expected))))
    assert number == 11
    assert_trees_equal(data.to_device().batch(key, 1, 2), expected.batch(key, 1, 2))
    assert_trees_equal(explain(data, key, 1, 7).before, explain(expected, key, 1, 7).before)


@pytest.mark.parametrize("view", [np.s_[10:40], np.s_[::3], np.s_[40:10:-1], np.s_[:, 1:4], np.s_[..., :2]])
def test_views_of_a_memmap_are_read_where_they_lie(view, key, tmp_path):
    data = Loader(memmap(tmp_path, offset=4097)[view], batch_size=4)
    expected = Loader(IMAGES[view], batch_size=4)
    for step in range(len(expected)):
        assert_trees_equal(data.batch(key, 0, step), expected.batch(key, 0, step))


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array.transpose(0, 3, 1, 2),
        lambda array: array[:, :, :30],
        lambda array: array[::2],
        lambda array: array[1:],
    ],
)
def test_of_a_view_only_the_rows_are_copied(view, key, tmp_path):
    """A view of a file of 300 MB: NumPy's take would make the whole array contiguous first."""
    array = view(np.memmap(tmp_path / "sparse", np.uint8, "w+", shape=(100_000, 32, 32, 3)))
    loader = Loader(array, batch_size=8)
    loader.batch(key, 0, 0)
    tracemalloc.start()
    loader.batch(key, 0, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
    os.remove(tmp_path / "sparse")


def test_values_that_are_not_aligned_in_their_file_are_read(key, tmp_path):
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    (tmp_path / "odd").write_bytes(b"12345" + values.tobytes())
    data = np.memmap(tmp_path / "odd", np.float32, "r", offset=5, shape=(20, 3))
    assert_trees_equal(Loader(data, batch_size=4).batch(key, 0, 1), Loader(values, batch_size=4).batch(key, 0, 1))


def test_numbers_of_the_other_order_of_bytes_are_turned(key):
    values = np.arange(20, dtype=np.int16)
    turned = values.astype(values.dtype.newbyteorder())
    assert_trees_equal(Loader(turned, batch_size=4).batch(key, 0, 1), Loader(values, batch_size=4).batch(key, 0, 1))
    assert_trees_equal(Loader(turned, batch_size=4).to_device().data, Loader(values, batch_size=4).to_device().data)


TRUNCATED = {
    "a batch": lambda array, key: Loader(array, batch_size=4).batch(key, 0, 0),
    "a view's batch": lambda array, key: Loader(array[5:, :, ::-1], batch_size=4).batch(key, 0, 0),
    "a plain array's": lambda array, key: Loader(np.asarray(array), batch_size=4).batch(key, 0, 0),
    "to_device": lambda array, key: Loader(array, batch_size=4).to_device(),
    "fit_statistics": lambda array, key: fit_statistics(array),
}


@pytest.mark.parametrize("offset", [0, 9001])
@pytest.mark.parametrize("use", TRUNCATED)
def test_a_truncated_file_is_an_error_wherever_it_is_read(use, offset, key, tmp_path):
    """Elsewhere this ends the process, with SIGBUS."""
    array = memmap(tmp_path, offset=offset)
    TRUNCATED[use](array, key)
    os.truncate(tmp_path / "images.bin", array.nbytes + offset - 1)
    with pytest.raises(OSError, match=rf"has {array.nbytes + offset - 1} bytes now; expected at least"):
        TRUNCATED[use](array, key)


def test_just_the_rows_that_are_read_are_announced(monkeypatch, tmp_path):
    array = np.memmap(tmp_path / "rows", np.uint8, "w+", offset=100, shape=(400, 5000))
    announced = []

    class Mapping:
        def madvise(self, advice, start, length):
            assert advice == mmap.MADV_WILLNEED
            assert start % mmap.PAGESIZE == 0
            announced.append((start, start + length))

    rows = np.array([300, 2, 2, 41])
    mapping, _ = _host_rows._mapping_of(array[1:])
    _host_rows._announce(Mapping(), array[1:], rows, _host_rows._offset_in(mapping, array[1:]))
    for row, (start, stop) in zip([3, 42, 301], announced, strict=True):
        first = 100 + 5000 * row
        assert first - mmap.PAGESIZE < start <= first
        assert stop == first + 5000


def test_a_memmap_that_is_written_to_keeps_what_was_written(key, tmp_path, monkeypatch):
    """Pages are released after reading; those of a private mapping hold what no file has."""
    monkeypatch.setattr("jaxiter._host_rows._RELEASE", 0)
    for mode in ("c", "r+"):
        array = memmap(tmp_path, mode)
        array[:] = 255 - IMAGES
        data = Loader(array, batch_size=10, shuffle=False)
        for _ in range(2):
            seen = np.concatenate([data.batch(key, 0, step) for step in range(5)])
            np.testing.assert_array_equal(seen, 255 - IMAGES)


@pytest.mark.parametrize("of_grain", [False, pytest.param(True, marks=pytest.mark.extras)])
def test_a_source_of_examples_is_taken_as_it_is_and_each_is_read_once(of_grain, key):
    source = whole = Records()
    if of_grain:
        import grain

        whole = grain.MapDataset.source(source)
    data = Loader(whole, batch_size=8)
    source.asked.clear()
    batch = data.batch(key, 0, 0)
    assert_trees_equal(batch, Loader((IMAGES, LABELS), batch_size=8).batch(key, 0, 0))
    assert source.asked == sorted(np.asarray(batch[1]).tolist())


def test_records_beside_arrays_and_two_sources_at_once(key):
    weights = np.linspace(0, 1, 50, dtype=np.float32)
    other = Records(IMAGES[::-1], LABELS[::-1])
    data = {"a": from_records(Records()), "w": weights, "b": other}
    batch = Loader(data, batch_size=8).batch(key, 0, 0)
    np.testing.assert_array_equal(batch["b"][1], 49 - batch["a"][1])
    np.testing.assert_array_equal(batch["w"], weights[np.asarray(batch["a"][1])])


def test_sources_that_are_none_are_refused():
    with pytest.raises(TypeError, match="source is an int, which has no len"):
        from_records(3)
    with pytest.raises(ValueError, match="source is empty"):
        from_records([])
    with pytest.raises(TypeError, match=r"source\[0\] raises KeyError\(0\); expected its first example"):
        from_records({"x": 1})
    with pytest.raises(TypeError, match="data is a UserDict; expected an array"):
        Loader(UserDict(x=np.arange(3)), batch_size=1)
    with pytest.raises(TypeError, match=r"source\[0\]\['x'\] is a set; expected an array or a number"):
        from_records([{"x": {1}}])


@pytest.mark.slow
def test_ten_gigabytes_stream_through_a_small_resident_set(tmp_path):
    """A sparse file of 10 GB; every batch comes from all over it, and 1.3 GB of it are looked at."""
    code = """
        import sys, jax, numpy as np
        from jaxiter import Affine, Loader, stream
        size, shape = 3_300_000, (32, 32, 3)
        data = np.memmap(sys.argv[1], np.uint8, "w+", shape=(size, *shape))
        del data
        data = np.memmap(sys.argv[1], np.uint8, "r", shape=(size, *shape))
        loader = Loader(data, batch_size=1024, augment=Affine(horizontal_flip=True))
        peak = lambda: max(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
        with stream(loader, jax.random.key(0), num_threads=2) as batches:
            for number, batch in enumerate(batches):
                assert batch.shape == (1024, *shape)
                if number == 20: before = peak()
                if number == 420: break
        print(data.nbytes / 1e9, before, peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "sparse"],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    os.remove(tmp_path / "sparse")
    size, _, growth = map(float, done.stdout.split())
    assert size > 10
    assert growth < 200  # MB; without releasing pages it is several thousand


def test_a_number_of_a_record_that_does_not_fit_is_refused(key):
    records = [{"label": 2**40 if row == 5 else row} for row in range(8)]
    data = Loader(from_records(records), batch_size=4, shuffle=False)
    data.batch(key, 0, 0)
    with pytest.raises(ValueError, match=r"data\['label'\] is int64 and holds 1099511627776, which does not fit"):
        data.batch(key, 0, 1)


def test_a_plain_array_over_a_mapped_file_is_read_as_the_memmap(tmp_path, monkeypatch):
    """Its pages are released as well."""
    released = []
    monkeypatch.setattr(_host_rows, "_release", lambda array, num_rows: released.append(num_rows))
    Loader(np.asarray(memmap(tmp_path)), batch_size=4).batch(jax.random.key(0), 0, 0)
    assert released == [4]


def test_a_traced_step_over_a_source_is_refused(key):
    with pytest.raises(TypeError, match="arrays are on the host"):
        jax.jit(Loader(Records(), batch_size=4).batch)(key, 0, 1)


def as_keras(array):
    return next(ImageDataGenerator().flow(array, batch_size=4, shuffle=False))


READERS = {
    "loader": lambda array: Loader(array, batch_size=4, shuffle=False).batch(jax.random.key(0), 0, 0),
    "Keras' iterator": as_keras,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("plain", [False, True])
def test_rows_of_a_mapped_file_are_announced_before_they_are_read(reader, plain, tmp_path, monkeypatch):
    """Whoever reads them, and whether the array is a memmap or lies over one."""
    announced = []
    monkeypatch.setattr(_host_rows, "_announce", lambda mapping, array, rows, offset: announced.append(rows.tolist()))
    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(8, 4, 4, 3))
    READERS[reader](np.asarray(stored) if plain else stored)
    assert announced == [[0, 1, 2, 3]]


class Together(Records):
    """A source that takes many rows in one call, as PyTorch and Hugging Face have."""

    def __init__(self, returns=None, collate=list):
        super().__init__()
        self.calls, self.returns, self.collate = [], returns, collate

    def __getitems__(self, rows):
        self.calls.append(rows)
        return self.collate([self[row] for row in rows][: self.returns])


def test_a_source_that_takes_many_rows_is_called_once_for_a_batch(key):
    source = Together()
    found = Loader(from_records(source), batch_size=4).batch(key, 0, 1)
    assert_trees_equal(found, Loader(from_records(Records()), batch_size=4).batch(key, 0, 1))
    (rows,) = source.calls
    assert all(type(row) is int for row in rows)
    assert rows == sorted(set(rows))
    with pytest.raises(ValueError, match="__getitems__ of the source returned 3 examples for 4 rows"):
        Loader(from_records(Together(returns=3)), batch_size=4).batch(key, 0, 0)


@pytest.mark.parametrize(
    ("collate", "words"),
    [
        (lambda rows: None, "returned None; expected a list of 4 examples, one for each row"),
        (lambda rows: {"image": rows}, "returned a dict; expected a list of 4 .* make one dict for each row"),
        (lambda rows: "abcd", "returned 'abcd'; expected a list"),
    ],
)
def test_many_rows_are_a_list_of_examples(collate, words, key):
    with pytest.raises(TypeError, match=f"__getitems__ of the source {words}"):
        Loader(from_records(Together(collate=collate)), batch_size=4).batch(key, 0, 0)


@pytest.mark.extras
def test_a_view_of_a_tensorstore_keeps_its_domain(key):
    import tensorstore

    whole = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    view, plain = tensorstore.array(whole)[10:40, 1:3], whole[10:40, 1:3]
    data, expected = (Loader(source, batch_size=7, remainder="pad") for source in (view, plain))
    for one in (data, data.to_device()):
        for step in range(data.num_steps):
            assert_trees_equal(one.batch(key, 0, step), expected.batch(key, 0, step))
    np.testing.assert_array_equal(explain(data, key, 0, 29).before, plain[29])
    rows = np.array([0, 3, 29])
    assert_trees_equal(tuple(fit_statistics(view, rows=rows))[:2], tuple(fit_statistics(plain, rows=rows))[:2])
    assert_trees_equal(tuple(fit_statistics(view))[:2], tuple(fit_statistics(plain))[:2])
    divided = NamedSharding(jax.make_mesh((2,), ("data",)), P("data"))
    assert_trees_equal(data.to_device(divided).batch(key, 0, 1), expected.batch(key, 0, 1))


@pytest.mark.extras
@pytest.mark.parametrize("view", [np.s_[11:41:3], np.s_[::-1]], ids=["every third", "backwards"])
def test_views_of_a_tensorstore_may_begin_at_any_index(view, key):
    import tensorstore

    data, array = tensorstore.array(IMAGES)[view], np.ascontiguousarray(IMAGES[view])
    assert data.domain.inclusive_min[0] in (3, -49)
    for options in ({}, {"rows": np.array([len(array) - 1, 0, 3, 1])}):
        found, expected = (Loader(one, batch_size=4, **options) for one in (data, array))
        assert_trees_equal(list(found.epoch(key, 0)), list(expected.epoch(key, 0)))
        assert_trees_equal(found.to_device().data, array)
        assert_trees_equal(fit_statistics(data, **options), fit_statistics(array, **options))
    assert_trees_equal(as_keras(data), as_keras(array))


def test_a_source_of_examples_at_two_places_is_read_and_uploaded_once(key):
    source = Records()
    data = Loader((source, {"again": source}), batch_size=8)
    assert source.asked == [0]
    source.asked.clear()
    first, second = data.batch(key, 0, 0)
    assert_trees_equal(first, second["again"])
    assert len(source.asked) == 8
    source.asked.clear()
    resident = data.to_device()
    assert source.asked == list(range(50))  # not once for the images and once more for the labels
    assert resident.data[0][0] is resident.data[1]["again"][0]
    assert_trees_equal(resident.batch(key, 0, 0), (first, second))


def test_many_examples_are_uploaded_block_by_block(key):
    images = np.arange(700, dtype=np.int32)[:, None]
    divided = NamedSharding(jax.make_mesh((2,), ("data",)), P("data"))
    for sharding in (None, divided):
        source = Records(images, -images[:, 0])
        source.asked.clear()
        assert_trees_equal(Loader(source, batch_size=8).to_device(sharding).data, (images, -images[:, 0]))
        assert source.asked == [0, *range(700)]
