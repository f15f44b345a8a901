"""A row that `rows` holds several times is shown as several pictures, each an example's like any other."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Brightness, Loader, explain, scan_epoch, shuffled, stream
from jaxiter.loader import _batch as batch_module
from jaxiter.sampler.internal import shuffle_positions

from .. import data as shared
from ..data import assert_trees_equal, compilations, pictures

VALUES = Brightness(0.2)  # showings are numbered before anything is drawn: a warp would only take longer to compile
ROWS = np.array([5, 5, 0, 5, 7, 0, 22, 3, 5, 9])
SHOWINGS = [0, 1, 0, 2, 0, 1, 0, 0, 3, 0]


def loader(**options):
    return shared.loader(**{"augment": VALUES, **options})


def repeated(batch_size=4, remainder="pad", **options):
    return loader(batch_size=batch_size, remainder=remainder, **{"rows": ROWS, **options})


def in_order(data, key, epoch=0):
    """The examples of the places of `rows`, in their order, and what "pad" filled up with."""
    batches = list(data.epoch(key, epoch))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def test_copies_differ_and_first_showings_are_those_of_rows_without_repeats(key):
    images, labels = in_order(repeated(shuffle=False), key)
    assert labels.tolist() == [*ROWS, 5, 5]  # filled up with the first places
    np.testing.assert_array_equal(images[10:], images[:2])  # the very pictures of these places
    assert len({image.tobytes() for image in images[:10]}) == 10
    whole = in_order(loader(batch_size=4, shuffle=False, remainder="pad"), key)[0]
    for place, (row, showing) in enumerate(zip(ROWS, SHOWINGS, strict=True)):
        if showing == 0:
            np.testing.assert_array_equal(images[place], whole[row])


@pytest.mark.parametrize("where", ["host", "resident"])
def test_a_showing_does_not_depend_on_what_stands_around_it(key, where):
    def at(**options):
        data = repeated(**options)
        return data if where == "host" else data.to_device()

    expected, _ = in_order(at(shuffle=False), key)
    expected = dict(zip(zip(ROWS.tolist(), SHOWINGS, strict=True), expected, strict=False))
    for options in ({}, {"batch_size": 3, "remainder": "keep"}, {"rows": [5, 9, 5, 3, 0, 5, 7, 0, 22, 5]}):
        data = at(**options)
        for epoch_batches in (list(data.epoch(key, 0)), list(stream(data, key, num_epochs=1))):
            # The k-th showing of a row is found by its picture; each is there once.
            real = [np.asarray(data.mask(step)) for step in range(data.num_steps)]
            seen = Counter()
            for (images, labels), mask in zip(epoch_batches, real, strict=True):
                for image, label in zip(np.asarray(images)[mask], np.asarray(labels)[mask], strict=True):
                    matching = [name for name, one in expected.items() if np.array_equal(one, image)]
                    assert [row for row, _ in matching] == [label]
                    seen[matching[0]] += 1
            assert seen == Counter(expected.keys())  # every showing once


def test_scan_sharding_resuming_and_explain_show_the_same(key):
    data = repeated(batch_size=8)
    resident, batches = data.to_device(), list(data.epoch(key, 3))
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, resident, key, 3)
    assert_trees_equal(scanned, jax.tree.map(lambda *leaves: np.stack(leaves), *batches))
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), P("data"))
    for one in (data, resident, data.to_device(sharding=NamedSharding(sharding.mesh, P()))):
        assert_trees_equal(one.batch(key, 3, 1, sharding=sharding), batches[1])
    with stream(data, key, start=(3, 1)) as it:
        assert_trees_equal(next(it), batches[1])
    plain = repeated(shuffle=False, batch_size=10)
    images, _ = plain.batch(key, 3, 0)
    for place, (row, showing) in enumerate(zip(ROWS, SHOWINGS, strict=True)):
        for explained in (
            explain(plain, key, 3, row, showing=showing),
            explain(resident, key, 3, row, showing=showing),
        ):
            np.testing.assert_allclose(explained.after[0], images[place], rtol=0, atol=1e-4)


def test_explain_refuses_a_showing_that_there_is_not(key):
    for row, showing, count in ((5, 4, 4), (9, 1, 1)):
        with pytest.raises(ValueError, match=f"showing is {showing}; .* holds row {row} {count} times"):
            explain(repeated(), key, 0, row, showing=showing)
    with pytest.raises(ValueError, match="showing is 1; expected less than 1"):
        explain(loader(), key, 0, 3, showing=1)


def test_traced_rows_are_numbered_inside_the_program(key):
    data = loader(shuffle=False, batch_size=5).to_device()
    made = jax.jit(lambda data, rows: data.replace(rows=rows).batch(key, 0, 1))(data, ROWS)
    assert_trees_equal(made, data.replace(rows=ROWS).batch(key, 0, 1))
    passed = jax.jit(lambda data: data.batch(key, 0, 1))(data.replace(rows=ROWS))
    assert_trees_equal(passed, data.replace(rows=ROWS).batch(key, 0, 1))


def test_the_rows_stay_what_they_were(key):
    rows = ROWS.astype(np.uint8)
    for given in (rows, rows.tolist(), jnp.asarray(rows)):
        data = repeated(rows=given)
        assert data.rows.tolist() == data.to_device().rows.tolist() == ROWS.tolist()
        assert data.replace(batch_size=2).rows.tolist() == ROWS.tolist()
        assert jax.tree.map(lambda leaf: leaf, data).rows.tolist() == ROWS.tolist()
    assert len(jax.tree.leaves(repeated(rows=[1, 2]))) == 3


@pytest.mark.parametrize("repeats", [False, True])
def test_another_number_of_rows_compiles_nothing(key, repeats):
    data = Loader(pictures(), batch_size=4, augment=(VALUES, None)).to_device()

    def rows(count):
        return np.arange(count) % (7 if repeats else 23)

    for length in (22, 23):
        jax.block_until_ready(
            [data.replace(rows=rows(length)).batch(key, 0, 1), data.replace(rows=rows(length)).index(key, 0, 1)]
        )
    with compilations() as compiled:
        for length in range(8, 22):
            other = data.replace(rows=rows(length))
            jax.block_until_ready([other.batch(key, 0, 1), other.index(key, 0, 1)])
    assert not compiled


class Logged:
    """An array-like that notes what is read of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, rows):
        self.reads.append(len(rows))
        return self.array[rows]


def test_an_array_at_two_places_is_read_and_uploaded_once_and_each_place_has_its_transform(key):
    images, labels = pictures()
    views = {"draws": "second", "shift": 0.3, "order": 0}
    augment = {"a": VALUES, "b": Affine(**views), "label": None}
    logged = Logged(images)
    data = Loader({"a": logged, "b": logged, "label": labels}, batch_size=4, augment=augment)
    batch = data.batch(key, 0, 1)
    assert logged.reads == [4]
    apart = Loader({"a": images, "b": images.copy(), "label": labels}, batch_size=4, augment=augment)
    assert_trees_equal(batch, apart.batch(key, 0, 1))
    plain = Loader({"a": images, "b": images, "label": labels}, batch_size=4, augment=augment)
    resident = plain.to_device()
    assert resident.data["a"] is resident.data["b"]
    assert plain.memory().upload == images.nbytes + labels.nbytes
    assert_trees_equal(resident.batch(key, 0, 1), batch)
    with stream(plain, key, num_epochs=1) as it:
        assert_trees_equal(list(it)[1], batch)
    assert_trees_equal(jax.jit(lambda data: data.batch(key, 0, 1))(resident), batch)


def test_showings_share_no_draws_with_each_other_or_with_other_rows_and_epochs(key):
    ones, rows = np.ones((24, 1, 1, 1), np.float32), np.repeat(np.arange(24), 8)
    data = Loader(ones, batch_size=192, augment=Brightness((0.0, 1.0)), rows=rows, shuffle=False)
    drawn = np.concatenate([np.asarray(data.batch(key, epoch, 0)).ravel() for epoch in range(100)])
    assert len(np.unique(drawn)) > len(drawn) - 60  # of 2**24 numbers; about eleven pairs meet by chance
    assert np.abs(np.sort(drawn) - np.linspace(0, 1, len(drawn))).max() < 2 / np.sqrt(len(drawn))
    assert np.abs(np.corrcoef(drawn.reshape(2400, 8).T) - np.eye(8)).max() < 5 / np.sqrt(2400)


def test_a_loader_that_a_program_captures_has_its_showings(key):
    data = repeated().to_device()
    for one in (data, Loader(data.data, batch_size=4, augment=(VALUES, None), rows=ROWS)):
        captured = jax.jit(lambda step, one=one: one.batch(key, 0, step))(1)
        assert_trees_equal(captured, data.batch(key, 0, 1))
        assert_trees_equal(one.batch(key, 0, 1), data.batch(key, 0, 1))  # nothing of the traced program is left


def test_other_settings_keep_the_showings_without_counting_them_again(key):
    data = repeated().to_device()
    assert_trees_equal(data.replace(batch_size=5).batch(key, 0, 1), repeated(batch_size=5).batch(key, 0, 1))
    program = jax.make_jaxpr(lambda data: data.replace(batch_size=5).index(key, 0, 1))(data)
    assert " sort[" not in str(program)
    assert " sort[" in str(jax.make_jaxpr(lambda data, rows: data.replace(rows=rows).index(key, 0, 1))(data, ROWS))


@pytest.mark.parametrize("weights", [None, np.arange(10)], ids=["rows", "weights"])
def test_rows_of_numpy_are_uploaded_once_for_data_on_the_device(key, monkeypatch, weights):
    passed = []
    monkeypatch.setattr(
        batch_module, "resident_batch", lambda program, leaves, chains, visited, *rest: passed.append(visited)
    )
    data = Loader(jnp.arange(30), batch_size=4, rows=ROWS, weights=weights)
    for step in range(2):
        data.batch(key, 0, step)
    assert passed[0] is passed[1]
    assert all(isinstance(leaf, jax.Array) and not leaf.committed for leaf in jax.tree.leaves(passed[0]))


def test_many_rows_take_few_programs_and_no_more_rounds_than_they_need(key):
    data = jnp.arange(5000)
    Loader(data, batch_size=7, rows=np.arange(1000)).batch(key, 0, 0)
    with compilations() as compiled:
        for length in range(1025, 5000, 400):
            loader = Loader(data, batch_size=7, rows=np.arange(length)[::-1])
            order = np.concatenate([loader.batch(key, 3, step) for step in (0, 100, len(loader) - 1)])
            places = np.array([0, 100, len(loader) - 1])[:, None] * 7 + np.arange(7)
            assert order.tolist() == (length - 1 - np.asarray(shuffled(key, 3, places.ravel(), length))).tolist()
    assert compiled.count("jit(resident_batch)") == 2  # of 4,096 and 16,384 rows
    # A GPU's program has all rounds one after the other: 4 * 12 + 16 for up to 4,096 rows.
    lowered = str(jax.make_jaxpr(lambda size: shuffle_positions(key, 0, np.uint32(0), size, 4096))(np.uint32(7)))
    assert "length=64" in lowered
