"""Every epoch shows each example as often as its weight says, rounded down or up; all else is as without weights."""

from fractions import Fraction
from itertools import accumulate
from math import ceil, floor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Brightness, Loader, balanced_weights, explain, scan_epoch, stream
from jaxiter._keys import OFFSET, role_key, role_word, words
from jaxiter.loader._shares import Shares
from jaxiter.loader._visited import visited_rows, weighted
from jaxiter.loader._weights import edges_of

from .. import data as shared
from ..data import assert_trees_equal, compilations, pictures

SIZE = 40
VALUES = Brightness(0.2)  # as in test_rows: a warp would only take longer to compile


def some_weights(size=23, seed=0):
    weights = np.random.default_rng(seed).gamma(0.5, size=size)
    weights[[0, 7, size - 1]] = 0
    weights[3] = weights.sum()  # a third of an epoch or more
    return weights


WEIGHTS = some_weights()


def loader(batch_size=4, remainder="pad", **options):
    options = {"augment": VALUES, "weights": WEIGHTS, **options}
    return shared.loader(batch_size=batch_size, remainder=remainder, **options)


def shares_exactly(weights):
    """Places in an epoch of each, as fractions: every float is one."""
    numbers = [Fraction(weight) for weight in np.asarray(weights).tolist()]
    total = sum(numbers)
    return [len(numbers) * number / total for number in numbers]


RANDOM = np.random.default_rng(1)
SHARES = {
    "equal": np.full(SIZE, 0.1),
    "two classes of equal share": balanced_weights(np.arange(SIZE) % 10 == 0),
    "whole shares": np.repeat([3.0, 1.0, 0.0, 4.0, 2.0], 8),
    "any": RANDOM.random(SIZE),
    "float32": RANDOM.random(SIZE).astype(np.float32),
    "hardly more than whole": np.r_[1 + 2.0**-40, np.ones(SIZE - 2), 1 - 2.0**-41],
    "one has nearly all": np.r_[np.full(SIZE - 1, 1e-12), 1.0],
    "one has all": np.eye(SIZE)[17],
    "from the smallest to the largest float": np.geomspace(5e-324, 1.7e308, SIZE),
    "large integers": RANDOM.integers(2**62, 2**63, SIZE, np.uint64),
    "small integers": RANDOM.integers(0, 5, SIZE),
    "float16": RANDOM.random(SIZE).astype(np.float16),
}
EPOCHS = jnp.arange(400, dtype=np.uint32)
SHOWN = jax.jit(jax.vmap(lambda loader, key, epoch: loader.index(key, epoch, 0), in_axes=(None, None, 0)))


def counted(weights, key, epochs=EPOCHS):
    """How often each of 40 examples is shown in each epoch."""
    data = Loader(jnp.arange(SIZE), batch_size=SIZE, shuffle=False, weights=weights)
    index = np.asarray(SHOWN(data, key, epochs))
    assert (np.diff(index, axis=1) >= 0).all()  # in the order of the rows, copies side by side
    return (index[:, :, None] == np.arange(SIZE)).sum(1)


@pytest.mark.parametrize("name", SHARES)
def test_every_epoch_shows_each_example_as_its_exact_share_says_rounded_down_or_up(key, name):
    counts, exact = counted(SHARES[name], key), shares_exactly(SHARES[name])
    assert (counts.sum(1) == SIZE).all()
    for share, found in zip(exact, counts.T, strict=True):
        assert set(found.tolist()) <= {floor(share), ceil(share)}
    means, fractions = counts.mean(0), np.array([float(share % 1) for share in exact])
    deviations = np.sqrt(fractions * (1 - fractions) / len(EPOCHS))
    np.testing.assert_array_less(np.abs(means - np.array(exact, float)), 5 * deviations + 1e-9)


def test_an_example_of_a_share_of_three_tenths_is_shown_in_three_epochs_of_ten(key):
    weights = np.r_[0.3, np.full(SIZE - 2, 1.0), 1.7]
    shown = counted(weights, key, jnp.arange(4000, dtype=np.uint32))[:, 0]
    assert abs(shown.mean() - 0.3) < 5 * np.sqrt(0.21 / 4000)
    together = (shown[1:] * shown[:-1]).mean()  # of neighbouring epochs
    assert abs(together - 0.09) < 5 * np.sqrt(0.09 * 0.91 / 4000)


@pytest.mark.parametrize("weights", [RANDOM.random(500), np.arange(500) % 7, some_weights(500)])
def test_the_edges_are_the_exact_ones_rounded_once(weights):
    exact = accumulate(shares_exactly(weights), initial=Fraction(0))
    assert edges_of(weights).tolist() == [floor(edge * 2**32 + Fraction(1, 2)) for edge in exact]


def test_edges_neither_cross_a_whole_number_nor_miss_one():
    """Floats of a tenth add up to something else than whole numbers."""
    assert edges_of(np.full(100_000, 0.1)).tolist() == [place << 32 for place in range(100_001)]
    assert edges_of(np.tile([2.0**-80, 1.0], 1000))[::2].tolist() == [place << 32 for place in range(0, 2001, 2)]


def test_counts_as_large_as_an_epoch_can_be():
    size = 2**31 - 1
    edges = np.array([0, 2**30, (size << 32) - 2**31, size << 32], np.uint64).view(np.uint32).reshape(-1, 2)
    shares, places = Shares(edges, None), np.array([0, 1, 2**30, size - 2, size - 1], np.int32)
    at = jax.jit(lambda offset: shares.at(places, offset))
    for offset, first, last in ((0, 0, 1), (2**30, 1, 1), (2**31, 1, 2), (2**32 - 1, 1, 2)):
        entries, showings = shares.on_host(places, np.uint32(offset))
        begin = 1 - first
        assert entries.tolist() == [first, 1, 1, 1, last]
        in_last = size - 1 - begin if last == 1 else 0
        assert showings.tolist() == [0, 1 - begin, 2**30 - begin, size - 2 - begin, in_last]
        found = at(np.uint32(offset))
        np.testing.assert_array_equal(found[0], entries)
        np.testing.assert_array_equal(found[1], showings)


@pytest.mark.parametrize("rows", [None, [5, 5, 0, 5, 7, 0, 22, 3, 5, 9, 5, 0]], ids=["all", "repeated"])
def test_a_place_is_that_of_a_count_from_the_start_and_showings_run_through_all_entries_of_a_row(key, rows):
    weights = np.random.default_rng(3).gamma(0.5, size=23 if rows is None else len(rows))
    weights[4] = 0
    visited = weighted(None if rows is None else visited_rows(rows, 23)[0], weights)
    places, of_rows, bounds = np.arange(len(weights)), rows or range(23), edges_of(weights).tolist()
    at = jax.jit(lambda visited, epoch: visited.at(places, key, epoch))
    traced = jax.jit(lambda given, epoch: weighted(visited_rows(given, 23)[0], weights).at(places, key, epoch))
    for epoch in range(20):
        offset = int(words(role_key(key, epoch, OFFSET), 2)[0])
        entries = [max(e for e in range(len(weights)) if bounds[e] <= (place << 32) + offset) for place in places]
        expected = [of_rows[entry] for entry in entries]
        showings = [expected[:place].count(row) for place, row in enumerate(expected)]
        assert sorted(entries) == entries
        in_program = [] if rows is None else [traced(np.array(rows), epoch)]
        for found in (at(visited, epoch), visited.on_host(places, key, epoch), *in_program):
            assert (found[0].tolist(), found[1].tolist()) == (expected, showings)
        for row in range(23):
            assert visited.times_shown(row, len(weights), key, epoch) == expected.count(row)


@pytest.mark.parametrize("rows", [None, [5, 5, 0, 5, 7, 0, 22, 3, 5, 9]], ids=["all", "repeated"])
def test_equal_weights_change_nothing(key, rows):
    plain = loader(weights=None, rows=rows)
    equal = plain.replace(weights=np.full(plain.size, 0.1))
    for one, other in ((equal, plain), (equal.to_device(), plain.to_device())):
        assert_trees_equal(list(one.epoch(key, 2)), list(other.epoch(key, 2)))


def test_copies_differ_and_first_showings_are_the_pictures_without_weights(key):
    images, labels = loader(shuffle=False, batch_size=23).batch(key, 3, 0)
    whole = loader(shuffle=False, batch_size=23, weights=None).batch(key, 3, 0)[0]
    labels = np.asarray(labels)
    assert labels.tolist() == sorted(labels)
    assert np.bincount(labels)[3] >= 11
    assert not {0, 7, 22} & set(labels.tolist())
    assert len({image.tobytes() for image in np.asarray(images)}) == 23
    for place, row in enumerate(labels):
        if row not in labels[:place]:
            np.testing.assert_array_equal(images[place], whole[row])


@pytest.mark.slow
def test_all_ways_to_a_batch_give_the_same(key, tmp_path):
    data = loader(batch_size=8)
    resident, batches = data.to_device(), list(data.epoch(key, 3))
    index = [data.index(key, 3, step).tolist() for step in range(3)]
    assert [labels.tolist() for _, labels in batches] == index
    assert_trees_equal(list(resident.epoch(key, 3)), batches)
    np.save(tmp_path / "images.npy", pictures()[0])
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    mapped = Loader(
        (images, pictures()[1]), batch_size=8, augment=(VALUES, None), remainder="pad", weights=WEIGHTS.tolist()
    )
    assert_trees_equal(list(mapped.epoch(key, 3)), batches)
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, resident, key, 3)
    assert_trees_equal(scanned, jax.tree.map(lambda *leaves: np.stack(leaves), *batches))
    assert_trees_equal(jax.jit(lambda data, step: data.batch(key, 3, step))(resident, 2), batches[2])
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), P("data"))
    explicit = NamedSharding(jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,)), P())
    for one in (data, resident, data.to_device(NamedSharding(sharding.mesh, P()))):
        assert_trees_equal(one.batch(key, 3, 1, sharding=sharding), batches[1])
    assert_trees_equal(data.to_device(explicit).batch(key, 3, 1), batches[1])
    for one in (data, resident):
        with stream(one, key, start=(3, 1), num_epochs=4) as it:
            assert_trees_equal(list(it), batches[1:])
    places = np.concatenate([np.asarray(data.batch(key, 3, step)[1]) for step in range(3)])[:23]
    in_order = loader(batch_size=23, shuffle=False).batch(key, 3, 0)[1]
    assert sorted(places.tolist()) == in_order.tolist()  # and "pad" leaves none out


def test_a_state_is_of_the_rows_and_goes_on_with_any_weights(key):
    it = stream(loader(), key, num_epochs=2)
    state = it.get_state()
    assert state["rows"] == "all"
    state["step"] = 2
    other = loader(weights=WEIGHTS[::-1])
    it = stream(other, key, num_epochs=2)
    it.set_state(state)
    assert_trees_equal(next(it), other.batch(key, 0, 2))


@pytest.mark.parametrize("where", ["host", "resident"])
def test_other_weights_compile_nothing(key, where):
    data = loader(rows=np.arange(20), weights=WEIGHTS[:20])
    data = data if where == "host" else data.to_device()
    batch = jax.jit(lambda data, epoch: data.batch(key, epoch, 1))
    jax.block_until_ready([data.batch(key, 0, 1), data.index(key, 0, 1)])
    if where == "resident":
        batch(data, 0)
    with compilations() as compiled:
        for epoch in range(1, 5):
            data = data.replace(weights=some_weights(20, seed=epoch))
            jax.block_until_ready([data.batch(key, epoch, 1), data.index(key, epoch, 1)])
            if where == "resident":
                assert_trees_equal(batch(data, epoch), data.batch(key, epoch, 1))
    assert not compiled


def results_within(program):
    """The shapes of all that a program computes, those within loops and calls too."""
    for equation in program.eqns:
        for found in equation.outvars:
            yield found.aval.shape
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            if hasattr(inner, "jaxpr"):
                inner = inner.jaxpr
            if hasattr(inner, "eqns"):
                yield from results_within(inner)


def test_a_place_is_found_without_a_look_at_all_weights(key):
    data = Loader(jnp.zeros(5000), batch_size=4, weights=some_weights(5000)).to_device()
    for function in (lambda data, step: data.index(key, 0, step), lambda data, step: data.batch(key, 0, step)):
        shapes = list(results_within(jax.make_jaxpr(function)(data, 1).jaxpr))
        assert len(shapes) > 100
        assert max(int(np.prod(shape)) for shape in shapes if 5001 not in shape) < 400  # the words of the order
        assert all(shape == (5001, 2) for shape in shapes if int(np.prod(shape)) >= 5000)


@pytest.mark.parametrize("where", ["host", "resident"])
def test_explain_shows_each_copy_and_refuses_one_that_the_epoch_has_not(key, where):
    data = loader(shuffle=False, batch_size=23)
    images, labels = data.batch(key, 3, 0)
    if where == "resident":
        data = data.to_device()
    times = np.bincount(labels, minlength=23)
    firsts = np.searchsorted(labels, np.arange(23))
    for row, showing in ((3, 0), (3, int(times[3]) - 1), (int(np.flatnonzero(times == 1)[0]), 0)):
        explained = explain(data, key, 3, row, showing=showing)
        np.testing.assert_allclose(explained.after[0], images[firsts[row] + showing], rtol=0, atol=1e-4)
    message = f"showing is {times[3]}; expected less than {times[3]}: in epoch 3 row 3 is shown {times[3]} times"
    with pytest.raises(ValueError, match=message):
        explain(data, key, 3, 3, showing=int(times[3]))
    assert explain(data, key, 3, 0).after[1] == 0  # never shown, and what it would be
    with pytest.raises(ValueError, match="expected less than 1: in epoch 3 row 0 is shown 0 times"):
        explain(data, key, 3, 0, showing=1)


def test_weights_stay_what_they_were(key):
    given = WEIGHTS.copy()
    data = loader(weights=given)
    given[:] = 1
    assert repr(data).count("weights=float64[23]") == 1
    assert loader(weights=None).weights is None
    assert "weights" not in repr(loader(weights=None))
    for one in (
        data,
        data.to_device(),
        data.replace(batch_size=2),
        jax.tree.map(lambda leaf: leaf, data),
        data.replace(weights=None).replace(weights=WEIGHTS),
        data.replace(rows=np.arange(23)[::-1]).replace(rows=None),
    ):
        np.testing.assert_array_equal(one.weights, WEIGHTS)
        assert one.rows is None
        assert_trees_equal(one.index(key, 1, 0)[:2], data.index(key, 1, 0)[:2])
    with pytest.raises(ValueError, match="read-only"):
        data.weights[0] = 1
    assert data.memory() == loader(weights=None).memory()
    rows = data.replace(rows=np.arange(20), weights=np.ones(20, np.int8))
    assert rows.size == 20
    assert rows.weights.dtype == np.int8
    assert len(jax.tree.leaves(loader(weights=None))) == 2


def test_weights_pass_through_programs_with_transfers_disallowed(key):
    data = loader(augment=None).to_device()
    found = jax.jit(lambda data: (data.replace(batch_size=5).index(key, 0, 1), data.batch(key, 0, 1)))
    with jax.transfer_guard("disallow"):
        for _ in range(2):  # the second time without Python
            index, batch = found(data)
        assert_trees_equal(data.batch(key, 0, 1), batch)
    assert_trees_equal(index, data.replace(batch_size=5).index(key, 0, 1))
    with jax.enable_x64(True):
        assert loader(augment=None).to_device().batch(key, 0, 1)[1].tolist() == batch[1].tolist()


def test_rows_of_a_program_have_weights_that_are_known(key):
    rows = np.r_[np.arange(20), 3, 3, 3]
    data = loader(weights=None, shuffle=False).to_device()
    made = jax.jit(lambda data, rows: data.replace(rows=rows, weights=WEIGHTS).batch(key, 0, 1))(data, rows)
    assert_trees_equal(made, data.replace(rows=rows, weights=WEIGHTS).batch(key, 0, 1))


def test_the_offset_is_pinned_and_the_same_on_the_host(key):
    """A failure here is a changed stream: a breaking change, for the changelog and STREAM_VERSION."""
    drawn = [int(words(role_key(key, epoch, OFFSET), 2)[0]) for epoch in range(3)]
    assert drawn == PINNED_OFFSETS
    assert [int(role_word(key, epoch, OFFSET)) for epoch in range(3)] == PINNED_OFFSETS
    data = Loader(np.arange(1000), batch_size=8, weights=np.arange(1000))
    assert data.index(key, 0, 0).tolist() == PINNED_INDEX


PINNED_OFFSETS = [1764679731, 3773917991, 669280992]
PINNED_INDEX = [996, 338, 429, 972, 644, 904, 563, 912]

BAD = {
    "negative": (np.r_[1.0, -2, np.ones(21)], ValueError, r"weights\[1\] is -2.0; expected finite numbers, 0 or more"),
    "NaN": (np.r_[np.nan, np.nan, np.ones(21)], ValueError, r"weights\[0\] is nan and 1 more are like it"),
    "infinite": (np.r_[np.ones(22), np.inf], ValueError, r"weights\[22\] is inf"),
    "all zero": (np.zeros(23), ValueError, "weights is 0 for all 23; expected at least one above 0"),
    "too few": (np.ones(5), ValueError, r"weights has 5 numbers, and the data 23 examples; .*weights\[labels\]"),
    "a number": (2.0, TypeError, "weights is 2.0; expected a one-dimensional array of numbers, one for each example"),
    "rank 2": (np.ones((23, 1)), TypeError, r"weights is float64\[23, 1\]; expected a one-dimensional"),
    "complex": (np.ones(23, complex), TypeError, r"weights is complex128\[23\]; expected real numbers"),
    "bool": (np.ones(23, bool), TypeError, r"weights is bool\[23\]; .*rows=np.flatnonzero\(mask\)"),
    "objects": (np.array([None] * 23), TypeError, r"weights is object\[23\]; .*astype\(np.float64\)"),
    "strings": (["1"] * 23, TypeError, "expected real numbers, one for each example"),
    "ragged": ([[1.0], [1.0, 2.0]], TypeError, "weights is a list of 2.*; expected a one-dimensional array"),
    "masked": (np.ma.masked_less(np.arange(23), 3), TypeError, "weights is a masked array"),
    "none": ([], ValueError, "weights has 0 numbers, and the data 23 examples"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_refused_when_the_loader_is_made(name):
    weights, error, message = BAD[name]
    with pytest.raises(error, match=message):
        loader(weights=weights)
    with pytest.raises(error, match=message):
        loader().replace(weights=weights)


def test_weights_of_rows_are_as_many_as_rows():
    with pytest.raises(
        ValueError, match=r"has 23 numbers, and rows 4; expected one for each of rows. Use weights\[rows\]"
    ):
        loader(rows=[1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"has 3 numbers, and rows 4; expected one for each of rows. With other rows"):
        loader(rows=[1, 2, 3, 4], weights=[1, 2, 3])
    with pytest.raises(ValueError, match="has 23 numbers, and rows 2"):
        loader().replace(rows=[1, 2])


def test_traced_weights_are_refused_with_what_to_write(key):
    data = loader().to_device()
    with pytest.raises(
        TypeError, match=r"weights is traced; .*loader.replace\(weights=np.asarray\(weights\)\) and pass"
    ):
        jax.jit(lambda weights: data.replace(weights=weights).index(key, 0, 0))(jnp.ones(23))
    with pytest.raises(TypeError, match="other rows or weights cannot be given to a loader that has weights"):
        jax.jit(lambda data: data.replace(rows=np.arange(23)).index(key, 0, 0))(data)
