"""Random loaders, and the laws that every one of them must hold.

`python -m tests.random_cases --minutes 60` walks over seeds until one fails; `--seed N` repeats one.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import (
    Affine,
    Brightness,
    Cast,
    Chain,
    ChannelShift,
    Loader,
    Normalize,
    Rescale,
    SamplewiseNormalize,
    explain,
    scan_epoch,
    stream,
)

FILL_MODES = ("nearest", "constant", "reflect", "mirror", "wrap", "grid-wrap")
SHAPES = [(1, 1, 1), (1, 7, 3), (6, 1, 1), (5, 8, 3), (9, 6, 4), (12, 33, 2), (8, 8, 3)]
DTYPES = ("uint8", "uint8", "bool", "int16", "uint16", "int32", "float16", "float32")


@dataclass(frozen=True)
class Case:
    """One loader, how it is made, and where it is looked at."""

    data: object
    options: dict
    key: jax.Array
    epoch: int
    start: int  # step from which a stream is resumed
    other_batch_size: int
    reduces: bool  # sums over whole pictures, whose last bits depend on the program

    def loader(self, **changes):
        return Loader(self.data, **{**self.options, **changes})


def make_case(seed):
    """The case of a seed; equal seeds give equal cases."""
    rng = np.random.default_rng(seed)
    size, batch_size = int(rng.integers(1, 34)), int(rng.choice([1, 2, 3, 4, 5, 8, 16]))
    shape, dtype = SHAPES[rng.integers(len(SHAPES))], np.dtype(rng.choice(DTYPES))
    images = _pixels(rng, (size, *shape), dtype)
    rows = [None, None, rng.permutation(size)[: max(1, size // 2)], rng.integers(0, size, int(rng.integers(1, 40)))]
    rows = rows[rng.integers(len(rows))]
    visited = size if rows is None else len(rows)
    remainder = str(rng.choice(["drop", "pad", "keep"]))
    if remainder == "drop" and visited < batch_size:
        remainder = "pad"
    steps = tuple(_step(rng) for _ in range(rng.integers(0, 4)))
    data, augment = _tree(rng, images, np.arange(size), steps)
    return Case(
        data=data,
        options={
            "batch_size": batch_size,
            "augment": augment,
            "shuffle": bool(rng.integers(4)),
            "remainder": remainder,
            "rows": rows,
        },
        key=jax.random.key(int(rng.integers(2**31))),
        epoch=int(rng.choice([0, 1, 7, 2**32 - 2])),
        start=int(rng.integers(8)),
        other_batch_size=int(rng.choice([1, 2, 7])),
        reduces=any(isinstance(step, SamplewiseNormalize) for step in steps),
    )


def _pixels(rng, shape, dtype):
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    low, high = (-300, 300) if dtype.kind == "i" else (0, 256)
    return rng.integers(low, high, shape).astype(dtype)


def _step(rng):
    def strength(largest):
        return float(rng.choice([0.0, 0.1, 1.0])) * largest

    make = [
        lambda: Affine(
            rotation=strength(180.0),
            shift=(strength(0.5), strength(0.5)),
            shear=strength(40.0),
            zoom=strength(0.4),
            horizontal_flip=bool(rng.integers(2)),
            vertical_flip=bool(rng.integers(2)),
            fill_mode=str(rng.choice(FILL_MODES)),
            cval=float(rng.integers(2)),
            order=int(rng.choice([0, 1, 1, 1, 3])),
        ),
        lambda: Affine(shift=strength(0.6), horizontal_flip=True, fill_mode=str(rng.choice(FILL_MODES))),
        lambda: Affine(shift=0.4, whole_pixels=True, horizontal_flip=0.3),
        lambda: Affine(rotation=np.float32([-20, 40]), zoom=0.2),
        lambda: Brightness((0.5, 1.5)),
        lambda: ChannelShift(20.0),
        lambda: Rescale(1 / 255),
        lambda: Normalize(np.float32(3.0), np.float32(2.0)),
        lambda: SamplewiseNormalize(),
        lambda: Cast("uint8"),
        lambda: Cast("bfloat16"),
    ]
    return make[rng.integers(len(make))]()


def _tree(rng, images, labels, steps):
    """The data in one of several forms, with the transforms where they belong."""
    chain = Chain(*steps)
    form = rng.integers(4)
    if form == 0:
        return images, chain
    if form == 1:
        return (images, labels), (chain, None)
    masks = rng.integers(0, 5, (*images.shape[:3], 1)).astype(np.uint8)
    geometry = Chain(*(step for step in steps if isinstance(step, Affine)))
    if form == 2:
        return {"image": images, "mask": masks, "label": labels}, {"image": chain, "mask": geometry, "label": None}
    # One array at two places, each with a transform of its own.
    return {"views": [images, images], "label": labels}, {"views": [chain, None], "label": None}


def check_laws(case):
    """Raises an AssertionError where a law does not hold."""
    host = case.loader()
    batches = [host.batch(case.key, case.epoch, step) for step in range(host.num_steps)]
    index = [np.asarray(host.index(case.key, case.epoch, step)) for step in range(host.num_steps)]
    _check_order(case, host, index)
    _check_places(case, host, batches)
    _check_examples(case, host, batches, index)


def _check_order(case, host, index):
    """Every epoch visits every place once, as far as its remainder goes."""
    kept = np.concatenate(index)[np.concatenate([host.mask(step) for step in range(host.num_steps)])]
    size = jax.tree.leaves(case.data)[0].shape[0]
    places = np.arange(size) if case.options["rows"] is None else case.options["rows"]
    if host.remainder == "drop":
        left_out = Counter(places.tolist()) - Counter(kept.tolist())
        assert len(kept) == host.num_steps * host.batch_size
        assert not Counter(kept.tolist()) - Counter(places.tolist())
        assert left_out.total() == len(places) - len(kept)
    else:
        assert Counter(kept.tolist()) == Counter(places.tolist())
    if not host.shuffle:
        np.testing.assert_array_equal(kept, places[: len(kept)])


def _check_places(case, host, batches):
    """Wherever the arrays lie and however a batch is asked for, it is the same."""
    resident = host.to_device()
    start = case.start % host.num_steps
    for name, loader in (("host", host), ("resident", resident)):
        with stream(loader, case.key, start=(case.epoch, start), num_epochs=case.epoch + 1) as it:
            streamed = list(it)
        assert len(streamed) == len(batches) - start, name
        for found, expected in zip(streamed, batches[start:], strict=True):
            _assert_equal(case, found, expected, f"stream over {name}")
    _assert_equal(case, resident.batch(case.key, case.epoch, start), batches[start], "resident")
    if host.remainder != "keep":
        _, scanned = scan_epoch(_collect, None, resident, case.key, case.epoch)
        for step, expected in enumerate(batches):
            _assert_equal(case, jax.tree.map(lambda leaf, step=step: leaf[step], scanned), expected, "scan")
        count = next(count for count in (8, 4, 2, 1) if host.batch_size % count == 0 and count <= len(jax.devices()))
        sharding = NamedSharding(jax.make_mesh((count,), ("data",), devices=jax.devices()[:count]), P("data"))
        sharded = host.batch(case.key, case.epoch, start, sharding=sharding)
        _assert_equal(case, sharded, batches[start], f"over {count} devices")


def _collect(carry, batch):
    return carry, batch


def _check_examples(case, host, batches, index):
    """An example is what it is alone, in batches of another size and in another order, at each of its showings."""
    by_showing = _by_showing(case, host, batches, index)
    other = case.loader(batch_size=case.other_batch_size, shuffle=False, remainder="pad")
    others = [other.batch(case.key, case.epoch, step) for step in range(other.num_steps)]
    other_index = [np.asarray(other.index(case.key, case.epoch, step)) for step in range(other.num_steps)]
    expected = _by_showing(case, other, others, other_index)
    for name, example in by_showing.items():
        assert name in expected, name
        _assert_equal(case, example, expected[name], f"row and showing {name}")
    (row, showing), example = next(iter(expected.items()))
    explained = explain(host, case.key, case.epoch, row, showing=showing)
    _assert_equal(case, explained.after, example, f"explained row and showing {row, showing}")


def _by_showing(case, loader, batches, index):
    """The examples of an epoch by (row, showing): the k-th place of a row in `rows` is its showing k.

    The place of each is found by a loader of the same order whose rows are all places, none of them twice.
    """
    rows = case.options["rows"]
    found = {}
    for step, (batch, batch_rows) in enumerate(zip(batches, index, strict=True)):
        if rows is None:
            places = [(int(row), 0) for row in batch_rows]
        else:
            names = Loader(np.arange(len(rows)), batch_size=loader.batch_size, shuffle=loader.shuffle, remainder="pad")
            at = np.asarray(names.index(case.key, case.epoch, step))[: len(batch_rows)]
            places = [(int(rows[place]), int((rows[:place] == rows[place]).sum())) for place in at]
        for position, name in enumerate(places):
            found[name] = jax.tree.map(lambda leaf, position=position: np.asarray(leaf)[position], batch)
    return found


def _assert_equal(case, found, expected, name):
    assert jax.tree.structure(found) == jax.tree.structure(expected), name
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype, name
        x, y = (np.asarray(value) for value in (x, y))
        if case.reduces and jnp.issubdtype(x.dtype, np.inexact):
            np.testing.assert_allclose(x.astype(np.float64), y.astype(np.float64), rtol=1e-2, atol=1e-3, err_msg=name)
        elif not case.reduces:
            np.testing.assert_array_equal(x, y, err_msg=name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--first", type=int, default=1000)
    arguments = parser.parse_args()
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    end, seed, failed = time.monotonic() + 60 * arguments.minutes, arguments.first, []
    seeds = [arguments.seed] if arguments.seed is not None else None
    while time.monotonic() < end and (seeds is None or seeds):
        seed = seeds.pop() if seeds else seed + 1
        try:
            check_laws(make_case(seed))
        except Exception as error:
            failed.append(seed)
            case = make_case(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:1500]}\n{case.loader()!r}", flush=True)
            if seeds is not None:
                raise
        if seed % 20 == 0:
            jax.clear_caches()
            print(f"{seed - arguments.first} cases, {len(failed)} failed", flush=True)
    print(f"{seed - arguments.first} cases, failed: {failed}")


if __name__ == "__main__":
    main()
