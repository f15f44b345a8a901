"""One of several processes that share a stream: `python -m tests.host.process TASK RANK COUNT PORT FOLDER`."""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import stream
from jaxiter.loader.internal import read_batch, spec_of

from .process_data import BATCH_SIZE, DEVICES, KEY, SIZE, data, loader, ragged_loader

TASK, RANK, COUNT, PORT, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5])


class Counted:
    """An array-like that remembers which rows were asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.asked = array, array.shape, array.dtype, []

    def __getitem__(self, index):
        if not isinstance(index, slice):
            self.asked.append(np.asarray(index).tolist())
        return self.array[index]


def mesh():
    return Mesh(np.array(jax.devices()), ("data",))


def own_part(batches):
    """Of every batch this process' shards, by the place in the batch where they begin."""
    return {
        f"{number}/{leaf_number}/{shard.index[0].indices(BATCH_SIZE)[0]}": np.asarray(shard.data)
        for number, batch in enumerate(batches)
        for leaf_number, leaf in enumerate(jax.tree.leaves(batch))
        for shard in leaf.addressable_shards
    }


def share():
    """All ways in which data may lie, for one epoch and a bit more."""
    key, each = jax.random.key(KEY), NamedSharding(mesh(), P("data"))
    images, labels = data()
    counted = Counted(images)
    sources = {
        "host": loader(images, labels),
        "counted": loader(counted, labels),
        "local": loader(jnp.asarray(images), labels),
        "replicated": loader(images, labels).to_device(NamedSharding(mesh(), P())),
        "divided": loader(images, labels).to_device(each),
        "rows": loader(images, labels, rows=np.arange(SIZE)[::-1]),
    }
    for name, source in sources.items():
        with stream(source, key, sharding=each, with_mask=True, num_epochs=2) as batches:
            np.savez(FOLDER / f"{name}-{RANK}.npz", **own_part(next(batches) for _ in range(9)))
            position = batches.position
    assert position == (1, 2), position
    np.save(FOLDER / f"asked-{RANK}.npy", np.array([len(rows) for rows in counted.asked]))
    whole = next(stream(loader(images, labels), key))  # without a sharding: the same everywhere, without communication
    np.savez(FOLDER / f"whole-{RANK}.npz", images=whole[0], labels=whole[1])
    each_axis = NamedSharding(jax.make_mesh((DEVICES,), ("data",)), P("data"))
    np.savez(FOLDER / f"explicit-{RANK}.npz", **own_part([loader(images, labels).batch(key, 0, 0, sharding=each_axis)]))


def ragged():
    """Pictures of different sizes, of which each process reads its own."""
    sharding = NamedSharding(mesh(), P("data"))
    loader, key = ragged_loader(), jax.random.key(KEY)
    batches = [loader.batch(key, 0, step, sharding=sharding) for step in range(7)]
    read = [read_batch(spec_of(loader, sharding), key, np.uint32(0), np.uint32(step)) for step in range(7)]
    np.save(FOLDER / f"buffers-{RANK}.npy", [rows.leaves[0].pixels.shape for rows in read])
    np.savez(FOLDER / f"ragged-{RANK}.npz", **own_part(batches))


def divided():
    """Divided data, whose rows travel by a collective, alone and beside data on the host, and steps that reduce.

    Every step is waited for: JAX's CPU backend runs programs with collectives in no fixed order (docs/scale.md).
    """
    each = NamedSharding(mesh(), P("data"))
    images, labels = data()
    whole = loader(images, labels).to_device(each)
    step = jax.jit(lambda total, batch: total + batch[0].sum() + batch[1].sum())
    totals = []
    for source in (whole, loader(whole.data[0], labels)):
        total = jnp.zeros((), np.float32)
        with stream(source, jax.random.key(KEY), sharding=each, prefetch=0) as batches:
            for number in range(40):
                total = step(total, next(batches)).block_until_ready()
                if number % 7 == RANK:
                    time.sleep(0.01)
        totals.append(float(total))
    (FOLDER / f"totals-{RANK}").write_text(repr(totals))


def disagree():
    images, labels = data()
    each = NamedSharding(mesh(), P("data"))
    try:
        stream(loader(images, labels), jax.random.key(RANK), start=(RANK, 0), sharding=each)
    except ValueError as error:
        (FOLDER / f"error-{RANK}").write_text(str(error))
    try:
        stream(loader(images, labels), jax.random.key(0), prefetch=RANK + 2, sharding=each)
    except ValueError as error:
        (FOLDER / f"ahead-{RANK}").write_text(str(error))


def resume():
    """From the place that another number of processes wrote down."""
    key, each = jax.random.key(KEY), NamedSharding(mesh(), P("data"))
    start = tuple(map(int, (FOLDER / "start").read_text().split()))
    with stream(loader(*data()), key, start=start, sharding=each) as batches:
        np.savez(FOLDER / f"resumed-{RANK}.npz", **own_part(next(batches) for _ in range(3)))
        if RANK == 0:
            (FOLDER / "start").write_text("{} {}".format(*batches.position))


def outlive():
    """Training steps that need every process, until one of them is gone."""
    each = NamedSharding(mesh(), P("data"))
    step = jax.jit(lambda total, batch: total + batch[1].sum())
    total = jnp.zeros((), np.int32)
    with stream(loader(*data()), jax.random.key(KEY), sharding=each) as batches:
        for number, batch in enumerate(batches):
            total = step(total, batch).block_until_ready()
            (FOLDER / f"alive-{RANK}").write_text(str(number))
            time.sleep(0.05)


if __name__ == "__main__":
    if COUNT > 1:
        jax.distributed.initialize(f"localhost:{PORT}", COUNT, RANK, heartbeat_timeout_seconds=10)
    tasks = {"share": share, "ragged": ragged, "disagree": disagree, "divided": divided, "resume": resume}
    (tasks | {"outlive": outlive})[TASK]()
