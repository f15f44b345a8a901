"""The order of examples: a permutation of every size, computed only where asked, and as random as NumPy's."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from jaxiter import permutation, shuffled
from jaxiter.sampler._shuffle import shuffle_positions

from ..data import first


@partial(jax.jit, static_argnums=2)
def orders(key, epochs, size):
    """The whole order of each of several epochs, one row for each."""
    return jax.vmap(lambda epoch: shuffled(key, epoch, jnp.arange(size), size))(epochs)


def orders_of(size, num_epochs, seed=0):
    return np.asarray(orders(jax.random.key(seed), jnp.arange(num_epochs), size))


@pytest.fixture
def compilations():
    """A list that grows by one entry for every program that XLA compiles."""
    seen = []

    def listen(event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


# Laws: a permutation of every size, the same however it is asked for.


def test_every_epoch_of_every_size_shows_every_example_once(key):
    for size in [*range(1, 513), *range(513, 4095, 31), 4095, 4096, 4097]:
        order = np.asarray(permutation(key, 0, size))
        assert np.array_equal(np.sort(order), np.arange(size)), size


@pytest.mark.parametrize("size", [131_073, 1_000_000])
def test_every_epoch_of_a_large_size_shows_every_example_once(key, size):
    assert np.array_equal(np.sort(permutation(key, 3, size)), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 10, 4097])
def test_a_permutation_is_the_shuffle_at_every_position(key, size):
    order = permutation(key, 7, size)
    assert order.dtype == jnp.int32
    assert np.array_equal(order, shuffled(key, 7, jnp.arange(size), size))


def test_asking_one_position_at_a_time_gives_the_same_order(key):
    one_by_one = [shuffled(key, 2, position, 23).item() for position in range(23)]
    assert one_by_one == permutation(key, 2, 23).tolist()


def test_positions_may_have_any_shape_and_repeat(key):
    order = permutation(key, 0, 50)
    position = np.array([[0, 7, 7], [49, 0, 3]])
    assert np.array_equal(shuffled(key, 0, position, 50), order[position])


def test_epoch_and_position_may_be_traced(key):
    traced = jax.jit(lambda epoch, position: shuffled(key, epoch, position, 1000))
    for epoch in (0, 1, 12345):
        assert np.array_equal(traced(epoch, jnp.arange(1000)), permutation(key, epoch, 1000))


def test_permutation_works_under_a_users_jit_with_nothing_traced_but_the_data(key):
    gathered = jax.jit(lambda data: data[permutation(key, 3, 9)])(jnp.arange(9) * 10)
    assert gathered.tolist() == (10 * permutation(key, 3, 9)).tolist()


def test_vmap_over_keys_and_epochs_equals_a_loop():
    keys = jax.random.split(jax.random.key(0), 3)
    mapped = jax.vmap(lambda key, epoch: permutation(key, epoch, 99))(keys, jnp.arange(3))
    assert np.array_equal(mapped, [permutation(keys[i], i, 99) for i in range(3)])


def test_a_new_size_compiles_nothing_new(key, compilations):
    position = np.arange(4)
    shuffled(key, 0, position, 10), permutation(key, 0, 10), permutation(key, 0, 5000)
    compilations.clear()
    for size in (11, 12, 4096, 4097, 100_000, 2**31 - 1):
        shuffled(key, size % 7, position, size)
    for size in (11, 12, 4096, 4097, 100_000, 300_000):
        permutation(key, size % 7, size)
    assert compilations == []


def test_a_batch_of_the_largest_data_set_holds_no_large_array(key):
    batch = jax.jit(lambda epoch, position: shuffled(key, epoch, position, 2**31 - 1))
    program = batch.lower(0, jnp.arange(128)).compile().as_text()
    shapes = re.findall(r"[fsu]\d+\[([\d,]+)\]", program)
    assert len(shapes) > 20
    assert max(np.prod([int(side) for side in shape.split(",")]) for shape in shapes) < 4096


def test_positions_near_the_end_of_the_largest_data_set_stay_apart_and_inside(key):
    size = 2**31 - 1
    rows = np.asarray(shuffled(key, 0, np.arange(size - 10_000, size), size))
    assert len(set(rows.tolist())) == 10_000
    assert rows.min() >= 0
    assert abs(rows.mean() / size - 0.5) < 0.02


# Laws: the key decides, and only the key.


def test_neighbouring_epochs_and_seeds_give_other_orders():
    first = [tuple(permutation(jax.random.key(seed), epoch, 20).tolist()) for seed in range(4) for epoch in range(4)]
    assert len(set(first)) == 16


def test_both_spellings_of_a_key_give_the_same_order():
    legacy, typed = jax.random.PRNGKey(5), jax.random.key(5)
    assert np.array_equal(permutation(legacy, 1, 100), permutation(typed, 1, 100))
    assert np.array_equal(permutation(np.asarray(legacy), 1, 100), permutation(typed, 1, 100))


def test_epochs_of_every_integer_type_agree(key):
    expected = permutation(key, 3, 40)
    for epoch in (np.int64(3), np.uint8(3), np.array(3), jnp.int32(3)):
        assert np.array_equal(permutation(key, epoch, 40), expected)


FLAGS = {
    "x64": lambda: jax.enable_x64(True),
    "unpartitionable": lambda: jax.threefry_partitionable(False),
    "partitionable": lambda: jax.threefry_partitionable(True),
    "rbg by default": lambda: jax.default_prng_impl("rbg"),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_no_flag_changes_an_order(flag):
    key = jax.random.key(1, impl="threefry2x32")
    expected = permutation(key, 5, 300), shuffled(key, 5, np.arange(20), 10**9)
    with FLAGS[flag]():
        found = permutation(key, 5, 300), shuffled(key, 5, np.arange(20), 10**9)
    assert [array.dtype for array in found] == [np.int32, np.int32]
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("flag", ["rbg by default", "x64"])
def test_no_flag_changes_the_order_of_a_legacy_key(flag):
    legacy = np.array([0, 1], np.uint32)
    expected = permutation(legacy, 0, 50)
    with FLAGS[flag]():
        assert np.array_equal(permutation(legacy, 0, 50), expected)


def test_the_order_is_swap_or_not_of_the_epochs_words(key):
    """The paper's shuffle, one position at a time in Python's own integers."""
    size, epoch = 1_000_003, 9
    words = [[int(word) for word in pair] for pair in epoch_words(key, epoch).reshape(-1, 2)]

    def rows(position):
        x = position
        for word, mask in words[: 4 * (size - 1).bit_length() + 16]:
            partner = ((word * size >> 32) - x) % size
            hashed = (max(x, partner) ^ mask) * 0x85EBCA6B % 2**32
            hashed = (hashed ^ hashed >> 15) * 0xC2B2AE35 % 2**32
            x = partner if hashed >> 31 else x
        return x

    position = np.arange(0, size, 20_011)
    assert shuffled(key, epoch, position, size).tolist() == [rows(int(p)) for p in position]


def epoch_words(key, epoch):
    for node in (0xB7E15162, epoch, 0xBF715880):  # the library, the epoch, the role
        key = jax.random.fold_in(key, np.uint32(node))
    return np.asarray(threefry_2x32(jax.random.key_data(key), jnp.arange(280, dtype=np.uint32)))


# Statistics: as random as a shuffle can be. Keys are fixed; the thresholds lie about five standard errors out.


@pytest.mark.parametrize("size", first(2, [3, 4, 5]))
def test_all_orders_of_a_few_examples_come_equally_often(size):
    numbers = orders_of(size, {3: 24_000, 4: 48_000, 5: 120_000}[size]) @ (10 ** np.arange(size))
    _, counts = np.unique(numbers, return_counts=True)
    assert len(counts) == {3: 6, 4: 24, 5: 120}[size]
    assert 0.001 < stats.chisquare(counts).pvalue < 0.999


def test_every_example_comes_equally_often_at_every_position():
    size, num_epochs = 100, 20_000
    order = orders_of(size, num_epochs, seed=1)
    counts = np.bincount((order + size * np.arange(size)).ravel(), minlength=size**2)
    dof = (size - 1) ** 2
    chi_square = np.square(counts - num_epochs / size).sum() / (num_epochs / size)
    assert abs(chi_square * (1 - 1 / size) / dof - 1) < 5 * np.sqrt(2 / dof)


def spread(values, mean, variance):
    """How many standard errors the mean lies off, and the ratio of the variances."""
    return abs(values.mean() - mean) / np.sqrt(variance / len(values)), values.var() / variance


# (name, statistic of many orders, its mean and variance over all permutations of n)
SHUFFLE_STATISTICS = {
    "fixed points": (lambda o: (o == np.arange(o.shape[1])).sum(1), lambda n: (1, 1)),
    "reversed fixed points": (lambda o: (o[:, ::-1] == np.arange(o.shape[1])).sum(1), lambda n: (1, 1)),
    "ascents": (lambda o: (np.diff(o) > 0).sum(1), lambda n: ((n - 1) / 2, (n + 1) / 12)),
    "successions": (lambda o: (np.diff(o) == 1).sum(1), lambda n: (1 - 1 / n, 1 - 1 / n)),
    "precessions": (lambda o: (np.diff(o) == -1).sum(1), lambda n: (1 - 1 / n, 1 - 1 / n)),
    "rank correlation": (lambda o: rank_correlation(o, np.arange(o.shape[1])), lambda n: (0, 1 / (n - 1))),
}


def rank_correlation(a, b):
    size = a.shape[-1]
    return 1 - 6 * np.square(a.astype(float) - b).sum(-1) / (size * (size**2 - 1))


@pytest.mark.parametrize("size", first(1, [100, 1000]))
def test_orders_have_the_statistics_of_random_permutations(size):
    order = orders_of(size, 20_000 if size == 100 else 12_000, seed=2)
    for name, (statistic, moments) in SHUFFLE_STATISTICS.items():
        errors, ratio = spread(statistic(order), *moments(size))
        assert errors < 4.5, name
        assert abs(ratio - 1) < 0.1, name


@pytest.mark.parametrize(("size", "num_epochs"), [(65_536, 16), (1_000_000, 2)])
def test_batches_mix_like_random_draws_without_replacement(size, num_epochs):
    """Neither too even (a weak cipher puts exactly 64 of each half in a batch of 128) nor too uneven."""
    order = np.concatenate(
        [permutation(jax.random.key(3), epoch, size)[: size // 128 * 128] for epoch in range(num_epochs)]
    )
    batches = order.reshape(-1, 128)
    kinds = {"even": batches % 2 == 0, "lower half": batches < size // 2, "lowest tenth": batches < size // 10}
    kinds |= {f"{r} mod {m}": batches % m == r for m, r in ((3, 0), (3, 1), (8, 0), (8, 5))}
    for name, chosen in kinds.items():
        share = chosen.mean()
        variance = 128 * share * (1 - share) * (size - 128) / (size - 1)
        assert abs(chosen.sum(1).var() / variance - 1) < 5 * np.sqrt(2 / len(batches)), name


@pytest.mark.parametrize("size", [65_536, 1_000_000])
def test_neighbours_in_an_epoch_are_unrelated(size):
    order = np.asarray(permutation(jax.random.key(4), 1, size)).astype(float)
    tolerance = 5 / np.sqrt(size)
    agreement = np.mean(order[1:] % 2 == order[:-1] % 2)
    assert abs(agreement - 0.5) < tolerance / 2
    for lag in (1, 2, 3, 64, 128, size // 2):
        assert abs(np.corrcoef(order[lag:], order[:-lag])[0, 1]) < tolerance * np.sqrt(size / (size - lag)), lag


def assert_unrelated(first, second):
    """As two independent sets of permutations: one match at the same position, no correlation, on average."""
    size = first.shape[1]
    errors, ratio = spread((first == second).sum(1), 1, 1)
    assert errors < 4.5
    assert abs(ratio - 1) < 0.2
    errors, ratio = spread(rank_correlation(first, second), 0, 1 / (size - 1))
    assert errors < 4.5
    assert abs(ratio - 1) < 0.2


def test_neighbouring_epochs_are_unrelated():
    order = orders_of(500, 4001)
    assert_unrelated(order[1:], order[:-1])
    assert_unrelated(order[2:], order[:-2])


def test_neighbouring_seeds_are_unrelated():
    keys = jax.vmap(jax.random.key)(jnp.arange(2001))
    order = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, 0, 500)))(keys))
    assert_unrelated(order[1:], order[:-1])


def test_the_next_seed_is_not_the_next_epoch():
    """Where seed and epoch are added, (seed, epoch + 1) and (seed + 1, epoch) are one order."""
    assert_unrelated(orders_of(500, 2001, seed=10)[1:], orders_of(500, 2001, seed=11)[:-1])


def test_neighbouring_sizes_are_unrelated():
    first, second = orders_of(500, 2000), orders_of(501, 2000)[:, :500]
    errors, _ = spread((first == second).sum(1), 500 / 501, 500 / 501)
    assert errors < 4.5


# Pinned: these never change without a new stream version.


@pytest.mark.parametrize(
    ("seed", "epoch", "size", "expected"),
    [
        (0, 0, 8, [6, 3, 7, 1, 5, 4, 0, 2]),
        (0, 1, 8, [3, 0, 1, 6, 2, 5, 7, 4]),
        (0, 0, 1000, [992, 114, 184, 945, 415, 817, 317, 832]),
        (1, 0, 1000, [62, 100, 736, 766, 550, 49, 71, 295]),
        (42, 7, 60000, [37774, 40695, 55898, 55916, 32918, 51699, 16407, 25090]),
        (42, 4294967295, 1281167, [530205, 442564, 1001700, 913334, 129201, 959948, 665406, 898050]),
        (
            2147483648,
            3,
            2147483647,
            [73851281, 382425540, 6180445, 1378521081, 245808491, 543774962, 1621361633, 80551628],
        ),
    ],
)
def test_orders_stay_what_they_were_at_release(seed, epoch, size, expected):
    assert shuffled(jax.random.key(seed), epoch, np.arange(8), size).tolist() == expected


# Bad input.


@pytest.mark.parametrize("size", [0, -1, 2**31, 2**40])
@pytest.mark.parametrize("function", [permutation, lambda key, epoch, size: shuffled(key, epoch, 0, size)])
def test_a_size_outside_its_range_is_refused(key, function, size):
    with pytest.raises(ValueError, match=rf"size is {size}; expected at least 1 and less than 2\*\*31"):
        function(key, 0, size)


@pytest.mark.parametrize("size", [True, 2.5, "10", None])
def test_a_size_that_is_no_integer_is_refused(key, size):
    with pytest.raises(TypeError, match=f"size is {size!r}; expected a Python int"):
        permutation(key, 0, size)


@pytest.mark.parametrize("epoch", [-1, 2**32])
def test_an_epoch_outside_32_bits_is_refused(key, epoch):
    with pytest.raises(ValueError, match=rf"epoch is {epoch}; expected an integer in \[0, 2\*\*32\)"):
        permutation(key, epoch, 10)


@pytest.mark.parametrize("epoch", [True, 1.0, None, np.arange(2)])
def test_an_epoch_that_is_no_integer_is_refused(key, epoch):
    with pytest.raises(TypeError, match=r"epoch is .*; expected an integer"):
        permutation(key, epoch, 10)


def test_a_traced_epoch_that_is_no_integer_is_refused(key):
    with pytest.raises(TypeError, match="epoch is a traced float32"):
        jax.jit(lambda epoch: permutation(key, epoch, 10))(1.0)


def test_the_last_epoch_is_a_permutation_unlike_the_first(key):
    last = permutation(key, 2**32 - 1, 30).tolist()
    assert sorted(last) == list(range(30))
    assert last != permutation(key, 0, 30).tolist()


@pytest.mark.parametrize("position", [10, -1, [0, 10], np.array([-5, 3])])
def test_a_position_outside_the_epoch_is_refused(key, position):
    with pytest.raises(ValueError, match=r"position runs from .* to .*; expected \[0, 10\)"):
        shuffled(key, 0, position, 10)


def test_a_position_that_is_no_integer_is_refused(key):
    with pytest.raises(TypeError, match="position has dtype float64; expected integers"):
        shuffled(key, 0, [0.0, 1.0], 10)
    with pytest.raises(TypeError, match="position is a traced float32; expected integers"):
        jax.jit(lambda position: shuffled(key, 0, position, 10))(jnp.zeros(3))


def test_keys_of_another_kind_are_refused_with_a_remedy():
    rbg = jax.random.key(0, impl="rbg")
    with pytest.raises(TypeError, match=r"implementation rbg; expected threefry2x32.*impl='threefry2x32'"):
        permutation(rbg, 0, 10)
    with pytest.raises(TypeError, match=r"key is 0; expected a PRNG key. Make one with jax.random.key\(seed\)"):
        permutation(0, 0, 10)
    with pytest.raises(TypeError, match=r"key has dtype uint32 and shape \(4,\)"):
        permutation(jax.random.key_data(rbg), 0, 10)
    with pytest.raises(TypeError, match=r"key has shape \(2,\); expected one key"):
        permutation(jax.random.split(jax.random.key(0)), 0, 10)


@pytest.mark.parametrize("size", [None, *first(2, [1000, 1, 3, 2**20])])
def test_the_order_of_other_platforms_is_that_of_cpu(key, size, monkeypatch):
    """They run all rounds in one kernel, where CPU runs a loop; here both are compiled for CPU. None is traced."""
    position = np.arange(64, dtype=np.uint32) * 977
    sizes = [size] if size else [1, 2, 3, 17, 1000, 2**20, 10**9, 2**31 - 1]
    expected = [shuffled(key, 3, position % np.uint32(n), n) for n in sizes]
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *arguments, cpu, default: default(*arguments))
    found = jax.jit(lambda places, n: shuffle_positions(key, 3, places, np.uint32(size) if size else n))
    for n, order in zip(sizes, expected, strict=True):
        np.testing.assert_array_equal(found(position % np.uint32(n), np.uint32(n)), order)


def test_masked_positions_are_refused(key):
    with pytest.raises(TypeError, match="position is a masked array, with 1 values masked"):
        shuffled(key, 0, np.ma.masked_array([1, 2], [False, True]), 9)
