"""Several real processes on this machine share a stream, and together have what one has alone."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Chain, Loader, Map, Normalize, stream
from jaxiter.host._process_check import _digest, stream_fields

from ..data import first
from . import process_data as shared

REPOSITORY = Path(__file__).parents[2]
LIMIT = 120  # seconds for all processes of a task


def start(task, count, folder):
    port = free_port()
    flags = f"--xla_force_host_platform_device_count={shared.DEVICES // count}"
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.host.process", task, str(rank), str(count), str(port), folder],
            cwd=REPOSITORY,
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def run(task, count, folder):
    processes = start(task, count, folder)
    try:
        said = [process.communicate(timeout=LIMIT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * count, "\n".join(said)


def free_port():
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def put_together(folder, name, count, number):
    """The leaves of a batch from the parts that the processes wrote down; every place was written by exactly one."""
    files = [np.load(folder / f"{name}-{rank}.npz") for rank in range(count)]
    leaves = []
    for leaf in range(3):
        parts = {}
        for file in files:
            for key in file.files:
                batch, leaf_number, begin = map(int, key.split("/"))
                if (batch, leaf_number) == (number, leaf):
                    assert begin not in parts
                    parts[begin] = file[key]
        if parts:
            leaves.append(np.concatenate([parts[begin] for begin in sorted(parts)]))
    return leaves


@pytest.fixture(scope="module")
def alone():
    """What one process has, without any sharding."""
    key, loader = jax.random.key(shared.KEY), shared.loader(*shared.data())
    places = [(epoch, step) for epoch in range(2) for step in range(len(loader))]
    return [(*loader.batch(key, *place), loader.mask(place[1])) for place in places]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", first(1, [4, 2], slow=0))
def test_any_number_of_processes_has_the_batches_of_one(count, tmp_path, alone):
    run("share", count, tmp_path)
    for name in ("host", "counted", "local", "replicated", "divided"):
        for number in range(9):
            images, labels, mask = put_together(tmp_path, name, count, number)
            np.testing.assert_allclose(images, alone[number][0], rtol=0, atol=2e-5, err_msg=name)
            np.testing.assert_array_equal(labels, alone[number][1])
            np.testing.assert_array_equal(mask, alone[number][2])
    _, labels, _ = put_together(tmp_path, "rows", count, 0)
    np.testing.assert_array_equal(labels, shared.SIZE - 1 - alone[0][1])
    for rank in range(count):
        whole = np.load(tmp_path / f"whole-{rank}.npz")
        np.testing.assert_array_equal(whole["labels"], alone[0][1])
        np.testing.assert_allclose(whole["images"], alone[0][0], rtol=0, atol=2e-5)
        # Each process asked its source for its own examples only.
        asked = np.load(tmp_path / f"asked-{rank}.npy")
        assert len(asked) >= 9
        assert asked.max() == shared.BATCH_SIZE // count
    images, labels = put_together(tmp_path, "explicit", count, 0)
    np.testing.assert_allclose(images, alone[0][0], rtol=0, atol=2e-5)
    np.testing.assert_array_equal(labels, alone[0][1])


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("count", first(1, [2, 4], slow=0))
def test_pictures_of_different_sizes_are_read_by_several_processes(count, tmp_path):
    """Whose buffers have one size, though their pictures have not."""
    run("ragged", count, tmp_path)
    buffers = [np.load(tmp_path / f"buffers-{rank}.npy") for rank in range(count)]
    assert len(np.unique(buffers[0][:, 1])) > 1
    for other in buffers[1:]:
        np.testing.assert_array_equal(other, buffers[0])
    loader = shared.ragged_loader()
    for step in range(7):
        images, labels = put_together(tmp_path, "ragged", count, step)
        expected = loader.batch(jax.random.key(shared.KEY), 0, step)
        np.testing.assert_array_equal(labels, expected[1])
        np.testing.assert_allclose(images, expected[0], rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_number_of_processes_may_change_between_runs(tmp_path, alone):
    (tmp_path / "start").write_text("0 5")
    for start, count in [(5, 2), (8, 1), (11, 4)]:
        run("resume", count, tmp_path)
        for number in range(3):
            images, labels = put_together(tmp_path, "resumed", count, number)
            np.testing.assert_array_equal(labels, alone[start + number][1])
            np.testing.assert_allclose(images, alone[start + number][0], rtol=0, atol=2e-5)
    assert (tmp_path / "start").read_text() == "2 0"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_steps_that_reduce_pass_over_divided_data(tmp_path):
    run("divided", 2, tmp_path)
    key, alone = jax.random.key(shared.KEY), shared.loader(*shared.data())
    batches = [alone.batch(key, *divmod(number, len(alone))) for number in range(40)]
    expected = sum(float(images.sum()) + float(labels.sum()) for images, labels in batches)
    for rank in range(2):
        np.testing.assert_allclose(json.loads((tmp_path / f"totals-{rank}").read_text()), [expected] * 2, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_processes_that_differ_all_say_in_what(tmp_path):
    run("disagree", 2, tmp_path)
    for rank in range(2):
        said = (tmp_path / f"error-{rank}").read_text()
        assert f"differ in key, position; here, in process {rank}, key is [0, {rank}]" in said
        assert f"position is ({rank}, 0)" in said
        assert (
            f"differ in prefetch; here, in process {rank}, prefetch is {rank + 2}"
            in (tmp_path / f"ahead-{rank}").read_text()
        )


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_process_dies_the_others_end_with_jaxs_words(tmp_path, killed):
    processes = start("outlive", 2, tmp_path)
    try:
        wait_until(lambda: all(number_of(tmp_path / f"alive-{rank}") > 2 for rank in range(2)))
        processes[killed].kill()
        said = processes[1 - killed].communicate(timeout=60)[0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[1 - killed].returncode != 0
    assert "another task died" in said or "Gloo all-reduce failed" in said


def wait_until(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def number_of(file):
    text = file.read_text() if file.exists() else ""
    return int(text) if text else -1


DIFFERENT = {
    "key": {"key": jax.random.key(1)},
    "position": {"position": (0, 1)},
    "num_epochs": {"num_epochs": 3},
    "prefetch": {"prefetch": 3},
    "with_mask": {"with_mask": True},
    "sharding": {"sharding": NamedSharding(Mesh(np.array(jax.devices()[:4]), ("data",)), P())},
    "batch_size": {"loader": Loader(shared.data(), batch_size=4)},
    "shuffle": {"loader": Loader(shared.data(), batch_size=8, shuffle=False)},
    "remainder": {"loader": Loader(shared.data(), batch_size=8, remainder="pad")},
    "data": {"loader": Loader(shared.data()[::-1], batch_size=8)},
    "rows": {"loader": Loader(shared.data(), batch_size=8, rows=np.arange(51, -1, -1))},
    "weights": {"loader": Loader(shared.data(), batch_size=8, weights=np.arange(52))},
    "augment": {"loader": Loader(shared.data(), batch_size=8, augment=Affine(rotation=20))},
}


def fields_of(loader, key=None, position=(0, 0), **options):
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:4]), ("data",)), P("data"))
    made = stream(loader, jax.random.key(0) if key is None else key, **{"sharding": sharding, **options})
    return stream_fields(made._arguments, position)


@pytest.mark.parametrize("name", DIFFERENT)
def test_whatever_decides_a_stream_is_compared(name):
    loader = Loader(shared.data(), batch_size=8)
    one, other = fields_of(loader), fields_of(**{"loader": loader, **DIFFERENT[name]})
    assert [field for field in one if _digest(one[field]).tolist() != _digest(other[field]).tolist()] == [name]


def test_functions_and_arrays_of_equal_configs_compare_equal():
    """Other processes have them at other addresses."""

    def augment_field(mean):
        augment = Chain(Map(np.negative), Normalize(mean, np.ones(3)))
        return fields_of(Loader(shared.data(), batch_size=8, augment=augment))["augment"]

    assert _digest(augment_field(np.zeros(3))).tolist() == _digest(augment_field(np.zeros(3))).tolist()
    assert _digest(augment_field(np.zeros(3))).tolist() != _digest(augment_field(np.full(3, 0.5))).tolist()
    assert "0x" not in repr(augment_field(np.zeros(3))[0])
