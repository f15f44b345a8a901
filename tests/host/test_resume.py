"""Killed anywhere, a run goes on with exactly the batches that are missing."""

import json
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxiter import Loader, stream

from ..data import assert_trees_equal, loader, pictures

NUM_STEPS, NUM_EPOCHS = 5, 3

PROGRAM = """
import json, os, signal, sys, zlib
from pathlib import Path
import jax, numpy as np
from jaxiter import stream
from tests.data import loader

log, die_after, prefetch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
seen = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
with stream(loader(), jax.random.key(0), num_epochs=3, prefetch=prefetch, num_threads=2) as batches:
    if seen:
        batches.set_state(seen[-1]["state"])
    with log.open("a") as file:
        for number, (images, labels) in enumerate(batches, start=1):
            entry = {
                "labels": labels.tolist(), "images": zlib.crc32(np.asarray(images)), "state": batches.get_state()
            }
            file.write(json.dumps(entry) + "\\n")
            file.flush()
            os.fsync(file.fileno())
            if number == die_after:
                os.kill(os.getpid(), signal.SIGKILL)
"""


def run(log, die_after=0, prefetch=3):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log, str(die_after), str(prefetch)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (-signal.SIGKILL if die_after else 0), done.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    entries = run(tmp_path_factory.mktemp("whole") / "log")
    assert len(entries) == NUM_STEPS * NUM_EPOCHS
    return entries


KILLED = {
    "after the first batch": [1],
    "in the middle": [7],
    "before the last of an epoch": [4],
    "at the end of an epoch": [5],
    "before the last of all": [14],
    "after the last of all": [15],
    "twice": [3, 4],
    "twice in one place": [6, 1],
    "at every batch of an epoch": [1, 1, 1, 1, 1, 1],
}


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("killed", KILLED)
def test_killed_and_resumed_it_shows_just_what_is_missing(killed, tmp_path, whole):
    for die_after in KILLED[killed]:
        run(tmp_path / "log", die_after)
    assert run(tmp_path / "log") == whole


@pytest.mark.extras
def test_a_state_goes_through_flax_and_its_key_too(key):
    import flax.serialization

    for made in (key, jax.random.PRNGKey(7)):
        with stream(loader(), made) as batches:
            for _ in range(8):
                next(batches)
            saved = {"stream": batches.get_state(), "key": jax.random.key_data(made)}
            expected = next(batches)
        restored = flax.serialization.from_bytes(saved, flax.serialization.to_bytes(saved))
        with stream(loader(), jax.numpy.asarray(restored["key"])) as batches:
            batches.set_state(restored["stream"])
            assert_trees_equal(next(batches), expected)


def test_a_state_goes_through_json_and_its_key_too(key):
    with stream(loader(), key) as batches:
        for _ in range(5):
            next(batches)
        text = json.dumps({"stream": batches.get_state(), "key": jax.random.key_data(key).tolist()})
        expected = next(batches)
    restored = json.loads(text)
    words = np.array(restored["key"], np.uint32)
    with stream(loader(), jax.random.wrap_key_data(words), start=(1, 0)) as batches:
        assert batches.position == (restored["stream"]["epoch"], restored["stream"]["step"])
        assert_trees_equal(next(batches), expected)


@pytest.mark.extras
def test_a_state_goes_through_orbax_and_its_key_too(key, tmp_path):
    import orbax.checkpoint as ocp

    with stream(loader(), key) as batches:
        for _ in range(8):
            next(batches)
        with ocp.CheckpointManager(tmp_path / "checkpoints") as checkpoints:
            stored = ocp.args.Composite(
                stream=ocp.args.JsonSave(batches.get_state()),
                place=ocp.args.StandardSave(dict(zip(("epoch", "step"), batches.position, strict=True))),
                key=ocp.args.StandardSave({"words": jax.random.key_data(key)}),
            )
            checkpoints.save(1, args=stored)
            checkpoints.wait_until_finished()
            wanted = ocp.args.Composite(
                stream=ocp.args.JsonRestore(),
                place=ocp.args.StandardRestore({"epoch": 0, "step": 0}),
                key=ocp.args.StandardRestore({"words": jax.random.key_data(key)}),
            )
            restored = checkpoints.restore(1, args=wanted)
        expected = next(batches)
    again = jax.random.wrap_key_data(restored["key"]["words"])
    with stream(loader(), again) as batches:
        batches.set_state(restored["stream"])
        assert_trees_equal(next(batches), expected)
    place = restored["place"]
    with stream(loader(), again, start=(place["epoch"], place["step"])) as batches:
        assert_trees_equal(next(batches), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6, 12])
def test_with_another_batch_size_it_goes_on_by_examples_seen(key, batch_size):
    data = {size: Loader(pictures(size=48), batch_size=size) for size in (12, batch_size)}
    with stream(data[12], key) as batches:
        seen = [np.asarray(next(batches)[1]) for _ in range(6)]  # an epoch of 4, and 2
        state = batches.get_state()
    start = (state["epoch"], data[batch_size].step_after(state["step"] * state["batch_size"]))
    with stream(data[batch_size], key, start=start, num_epochs=2) as batches:
        seen += [np.asarray(labels) for _, labels in batches]
    assert sorted(np.concatenate(seen[4:]).tolist()) == list(range(48))


def test_a_place_within_a_batch_is_refused_with_its_neighbours():
    data = loader(size=23, batch_size=5)
    assert [data.step_after(examples) for examples in (0, 5, 20)] == [0, 1, 4]
    with pytest.raises(ValueError, match=r"examples is 12; .* a batch of 5 begins, here 10 or 15"):
        data.step_after(12)
    with pytest.raises(ValueError, match=r"examples is 25; .* a batch of 5 begins, here 20 \("):
        data.step_after(25)
    with pytest.raises(ValueError, match="examples is -1"):
        data.step_after(-1)
