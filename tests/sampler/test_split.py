"""Cutting a data set in two: every row once, and every class its share."""

import jax
import numpy as np
import pytest

from jaxiter import permutation, train_validation_split

LABELS = np.random.default_rng(0).choice(7, 500, p=[0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02])


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.25, 1 / 3, 0.5, 0.9])
def test_every_row_lands_in_one_half_and_the_halves_have_the_sizes_asked_for(key, fraction, stratify):
    train, validation = train_validation_split(key, LABELS, fraction, stratify=stratify)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(500))
    assert len(validation) == round(fraction * 500)


def test_both_halves_are_sorted_int32_and_named(key):
    split = train_validation_split(key, LABELS, 0.3)
    for half in (split.train, split.validation):
        assert half.dtype == np.int32
        assert (np.diff(half) > 0).all()


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.37, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_gives_its_share_to_within_one_row(seed, fraction):
    _, validation = train_validation_split(jax.random.key(seed), LABELS, fraction)
    given = np.bincount(LABELS[validation], minlength=7)
    assert (np.abs(given - fraction * np.bincount(LABELS, minlength=7)) < 1).all()


def test_equal_shares_are_met_exactly(key):
    labels = np.repeat(np.arange(10), 30)
    _, validation = train_validation_split(key, labels, 0.1)
    assert np.bincount(labels[validation]).tolist() == [3] * 10


def test_without_stratify_the_classes_fall_as_they_may(key):
    _, validation = train_validation_split(key, LABELS, 0.5, stratify=False)
    given = np.bincount(LABELS[validation], minlength=7)
    assert (np.abs(given - 0.5 * np.bincount(LABELS, minlength=7)) >= 1).any()


def test_string_and_one_hot_labels_split_as_their_integers_do(key):
    expected = train_validation_split(key, LABELS, 0.2).validation
    for labels in ([f"class {label}" for label in LABELS], np.eye(7)[6 - LABELS][:, ::-1], LABELS.astype(float)):
        assert np.array_equal(train_validation_split(key, labels, 0.2).validation, expected)


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
def test_every_class_keeps_a_training_row(key, fraction):
    labels = np.array([0] * 40 + [1] * 3 + [2] * 2 + [3])
    train, _ = train_validation_split(key, labels, fraction)
    assert set(labels[train]) == {0, 1, 2, 3}


def test_every_row_is_equally_likely_to_be_held_out():
    times = np.zeros(20)
    for seed in range(400):
        times[train_validation_split(jax.random.key(seed), [0] * 10 + [1] * 10, 0.3).validation] += 1
    assert np.abs(times - 120).max() < 4 * np.sqrt(400 * 0.3 * 0.7)


def test_the_key_decides_and_nothing_else(key):
    again = train_validation_split(key, LABELS, 0.2).validation
    assert np.array_equal(train_validation_split(key, LABELS, 0.2).validation, again)
    other = train_validation_split(jax.random.key(1), LABELS, 0.2).validation
    assert not np.array_equal(other, again)


def test_the_split_is_not_the_order_of_an_epoch(key):
    """Else the first epoch of the same key would show the held-out positions first."""
    validation = train_validation_split(key, LABELS, 0.2, stratify=False).validation
    first_shown = np.asarray(permutation(key, 0, 500))[:100]
    assert len(np.intersect1d(validation, first_shown)) < 40


def test_the_split_stays_what_it_was_at_release(key):
    validation = train_validation_split(key, np.arange(40) % 4, 0.2).validation
    assert validation.tolist() == [3, 5, 8, 19, 21, 22, 36, 38]


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), True])
def test_a_fraction_outside_the_open_interval_is_refused(key, fraction):
    with pytest.raises(ValueError, match=r"fraction is .*; expected validation's share, inside \(0, 1\)"):
        train_validation_split(key, LABELS, fraction)


def test_labels_that_are_no_classes_are_refused_with_a_remedy(key):
    with pytest.raises(ValueError, match=r"0 for validation.*pass stratify=False if labels are not classes"):
        train_validation_split(key, np.arange(100.0), 0.2)
    assert len(train_validation_split(key, np.arange(100.0), 0.2, stratify=False).validation) == 20


def test_a_half_without_rows_is_refused(key):
    with pytest.raises(ValueError, match=r"fraction 0.01 of 10 examples leaves 10 for training and 0 for validation"):
        train_validation_split(key, np.zeros(10), 0.01, stratify=False)


def test_labels_without_an_axis_or_without_rows_are_refused(key):
    with pytest.raises(ValueError, match="expected one label for each example"):
        train_validation_split(key, 3, 0.2)
    with pytest.raises(ValueError, match="size is 0; expected at least 1"):
        train_validation_split(key, [], 0.2)


def test_a_seed_for_a_key_is_refused():
    with pytest.raises(TypeError, match=r"Make one with jax.random.key\(seed\)"):
        train_validation_split(0, LABELS, 0.2)


MISSING = {
    "NaN": [0, np.nan, 1, np.nan] * 5,
    "None": np.array(["a", None, "b", None] * 5, object),
    "None and numbers": [0, None, 1, None] * 5,
    "no times": np.array(["2020", "NaT", "2021", "NaT"] * 5, "M8[Y]"),
    "rows": np.array([[0, 1.0], [np.nan, np.nan], [1, 0], [np.nan, 1]] * 5),
}


@pytest.mark.parametrize("labels", MISSING.values(), ids=MISSING)
def test_missing_labels_are_no_class(key, labels):
    with pytest.raises(ValueError, match=r"labels has 10 missing of 20 \(None or NaN\).*stratify=False"):
        train_validation_split(key, labels, 0.5)
    assert len(train_validation_split(key, labels, 0.5, stratify=False).validation) == 10


@pytest.mark.extras
def test_missing_labels_of_a_table_are_no_class(key):
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    labels = [0, None, 1, None] * 5
    for table in (pa.array(labels), pl.Series(labels), pd.Series(labels, dtype="Int64"), pd.Series(labels)):
        with pytest.raises(ValueError, match="labels has 10 missing of 20"):
            train_validation_split(key, table, 0.5)


def test_labels_of_kinds_that_have_no_order_are_refused(key):
    with pytest.raises(TypeError, match=r"labels is an array object\[20\] of int, str, .*\[str\(label\)"):
        train_validation_split(key, np.array([1, "a"] * 10, object), 0.5)
