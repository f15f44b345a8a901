"""The choice of cases from a product leaves no pair out."""

from collections import Counter
from itertools import combinations, product

import jax
import numpy as np
import pytest

from .data import (
    assert_trees_close,
    assert_trees_equal,
    compilations,
    covering,
    each_once,
    first,
    one_suite_later,
    pairwise,
)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 5), (4, 4, 6), (6, 4, 2, 2), (2, 3, 6, 2), (7, 6, 2), (5, 3, 4, 2, 2)])
def test_every_pair_of_values_occurs_in_few_cases(sizes):
    chosen = covering(sizes)
    for a, b in combinations(range(len(sizes)), 2):
        assert {(case[a], case[b]) for case in chosen} == set(product(range(sizes[a]), range(sizes[b])))
    *_, second, first = sorted(sizes)
    assert first * second <= len(chosen) <= 1.4 * first * second


def test_every_value_occurs_in_as_many_cases_as_the_longest_axis_has():
    for sizes in [(4, 4), (3, 6, 2), (5,)]:
        chosen = covering(sizes, strength=1)
        assert [{case[axis] for case in chosen} for axis in range(len(sizes))] == [set(range(size)) for size in sizes]
        assert len(chosen) == max(sizes)
    assert len({case[:2] for case in covering((12, 4, 2), strength=1)}) == 12
    assert len({case[1:] for case in covering((12, 4, 2), strength=1)}) == 8
    assert {count for _, count in Counter(shape for _, shape in covering((16, 6), strength=1)).items()} == {2, 3}
    quick = [param.values for param in each_once(a="xyz", b="st")[1] if not param.marks]
    assert len(quick) == 3


def suite(param):
    (name,) = [mark.name for mark in param.marks] or ["quick"]
    return name


def test_each_combination_is_in_one_suite_and_each_suite_reaches_further():
    names, params = pairwise(a="xyz", b=[np.uint8, None], c=range(2))
    assert names == ["a", "b", "c"]
    assert [param.values for param in params] == list(product("xyz", [np.uint8, None], range(2)))
    assert [param.id for param in params][:3] == ["x-uint8-0", "x-uint8-1", "x-None-0"]
    assert 6 <= [suite(param) for param in params].count("quick") < len(params)
    assert {suite(param) for param in params} == {"quick", "slow"}
    axes = {"a": range(4), "b": range(3), "c": range(3)}
    params = each_once(**axes)[1]
    assert {suite(param) for param in params} == {"quick", "slow", "exhaustive"}
    soon = [param.values for param in params if suite(param) != "exhaustive"]
    assert {case[:2] for case in soon} == set(product(range(4), range(3)))
    assert {case[1:] for case in soon} == set(product(range(3), range(3)))


def test_one_suite_later_and_the_first_of_many_values():
    params = first(1, "abcdef", slow=2)
    assert [param.values[0] for param in params] == list("abcdef")
    assert [suite(param) for param in params] == ["quick", *["slow"] * 2, *["exhaustive"] * 3]
    assert [suite(param) for param in one_suite_later(params)] == ["slow", *["exhaustive"] * 5]
    assert [suite(param) for param in first(2, "abc")] == ["quick", "quick", "slow"]


def test_what_is_compiled_is_counted_once_and_only_inside():
    def double(x):
        return x + x

    with compilations() as first:
        doubled = jax.jit(double)
        doubled(np.float32(1)), doubled(np.float32(2))
    with compilations() as again:
        doubled(np.float32(3))
    assert [sum("double" in name for name in names) for names in (first, again)] == [1, 0]
    jax.jit(lambda x: x - x)(np.float32(1))
    assert again == []


TREE = {"image": np.linspace(0, 1, 6, dtype=np.float32), "row": np.arange(6)}
OTHERS = {
    "value": {"image": TREE["image"] * np.float32(1.001), "row": TREE["row"]},
    "row": {"image": TREE["image"], "row": TREE["row"] + 1},
    "dtype": {"image": TREE["image"].astype(np.float64), "row": TREE["row"]},
    "shape": {"image": TREE["image"][:1], "row": TREE["row"]},
    "structure": {"image": TREE["image"], "rows": TREE["row"]},
}


@pytest.mark.parametrize("compare", [assert_trees_equal, assert_trees_close])
@pytest.mark.parametrize("other", OTHERS)
def test_trees_that_differ_are_found(compare, other):
    compare(TREE, {name: value.copy() for name, value in TREE.items()})
    with pytest.raises(AssertionError):
        compare(TREE, OTHERS[other])


def test_pixels_may_differ_within_their_tolerance_and_rows_may_not():
    assert_trees_close(TREE, OTHERS["value"], tolerance=2e-3)
    with pytest.raises(AssertionError):
        assert_trees_close(TREE, OTHERS["row"], tolerance=2)
