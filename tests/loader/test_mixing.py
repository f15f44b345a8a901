"""mixup and cutmix: what is mixed is what the labels say, and shares are those of the distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxiter import Loader, cutmix, mixup, scan_epoch, stream

from ..data import assert_trees_equal, pictures

BATCH = 40
OWN = np.arange(BATCH)
IMAGES = np.broadcast_to(OWN[:, None, None, None], (BATCH, 9, 14, 2)).astype(np.float32)  # that name their row


def partners_of(soft):
    """Who was mixed in, by labels that name the rows."""
    others = soft * (1 - np.eye(BATCH))
    return np.where(others.any(1), others.argmax(1), OWN)


@pytest.mark.parametrize("per_example", [True, False])
def test_mixup_is_a_sum_of_two_examples_by_the_shares_of_the_labels(key, per_example):
    images = np.random.default_rng(0).normal(size=(BATCH, 5, 3)).astype(np.float32)
    mixed, soft = map(np.asarray, mixup(key, images, OWN, num_classes=BATCH, per_example=per_example))
    partner = partners_of(soft)
    assert sorted(partner.tolist()) == OWN.tolist()
    assert (partner != OWN).mean() > 0.8
    share = soft[OWN, OWN][:, None, None]
    other = np.where((partner == OWN)[:, None, None], 0, soft[OWN, partner][:, None, None])
    np.testing.assert_allclose(mixed, share * images + other * images[partner], atol=1e-6)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-6)
    of_two = share[partner != OWN].ravel()
    assert len(np.unique(of_two.round(5))) == 1 if not per_example else len(np.unique(of_two)) > 30


@pytest.mark.parametrize("per_example", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_labels_of_cutmix_weigh_the_area_that_was_pasted(key, per_example, dtype):
    mixed, soft = cutmix(key, IMAGES.astype(dtype), OWN, num_classes=BATCH, per_example=per_example)
    assert mixed.dtype == dtype
    mixed, soft = np.asarray(mixed), np.asarray(soft)
    partner = partners_of(soft)
    for row in range(BATCH):
        assert set(np.unique(mixed[row]).tolist()) <= {row, partner[row]}
        is_other = (mixed[row] == partner[row]).all(-1)
        if partner[row] != row:
            np.testing.assert_allclose(soft[row, partner[row]], is_other.mean(), atol=1e-6)
            rows, cols = np.flatnonzero(is_other.any(1)), np.flatnonzero(is_other.any(0))
            assert is_other.sum() == len(rows) * len(cols)  # one rectangle
            assert np.ptp(rows) == len(rows) - 1
            assert np.ptp(cols) == len(cols) - 1
    shapes = {(m == p).sum() for m, p, own in zip(mixed, partner, OWN, strict=True) if p != own}
    assert len(shapes) == 1 if not per_example else len(shapes) > 10


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    def shares(key):
        images = jnp.stack([jnp.ones((1000, 1)), jnp.zeros((1000, 1))]).reshape(-1, 1)
        _, soft = mixup(key, images, jnp.arange(2000), alpha, num_classes=2000)
        return jnp.diag(soft)

    found = np.concatenate([np.asarray(shares(jax.random.key(seed))) for seed in range(5)])
    expected = stats.beta(alpha, alpha)
    quantiles = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose([(found <= q).mean() for q in quantiles], expected.cdf(quantiles), atol=0.02)
    assert np.isfinite(found).all()


def test_batches_are_mixed_in_a_program_and_by_key(key):
    first, again = (jax.jit(mixup, static_argnames="num_classes")(key, IMAGES, OWN, num_classes=BATCH) for _ in "ab")
    assert_trees_equal(first, again)
    eager = mixup(key, jnp.asarray(IMAGES), jnp.asarray(OWN), num_classes=BATCH)
    np.testing.assert_allclose(first[0], eager[0], atol=1e-5)
    other = mixup(jax.random.key(9), IMAGES, OWN, num_classes=BATCH)
    assert not np.array_equal(eager[1], other[1])
    slope = jax.grad(lambda images: (mixup(key, images, np.eye(BATCH))[0] ** 2).sum())(IMAGES)
    assert np.isfinite(slope).all()
    assert mixup(key, IMAGES.astype(np.uint8), np.eye(BATCH))[0].dtype == np.float32


def test_streams_and_scans_give_the_key_of_the_step(key):
    loader = Loader(jax.tree.map(jnp.asarray, pictures()), batch_size=7, remainder="pad")
    places = [(epoch, step) for epoch in range(2) for step in range(loader.num_steps)]
    expected = jnp.stack([jax.random.key_data(loader.step_key(key, *place)) for place in places])
    for options in ({}, {"with_mask": True}, {"donate": True}, {"prefetch": 0}):
        found = list(stream(loader, key, num_epochs=2, with_key=True, **options))
        assert {len(item) for item in found} == {3 if "with_mask" in options else 2}
        np.testing.assert_array_equal(jnp.stack([jax.random.key_data(item[-1]) for item in found]), expected)
    _, scanned = scan_epoch(lambda c, batch: (c, jax.random.key_data(batch[1])), 0, loader, key, 1, with_key=True)
    np.testing.assert_array_equal(scanned, expected[loader.num_steps :])
    of_three = scan_epoch(lambda c, batch: (c, batch[1:]), 0, loader, key, 1, with_mask=True, with_key=True)[1]
    assert of_three[0].shape == (loader.num_steps, 7)


def test_keys_of_steps_are_of_the_kind_that_was_given(key):
    loader, legacy = Loader(jnp.arange(4), batch_size=2), jax.random.key_data(key)
    (_, own), *_ = stream(loader, legacy, num_epochs=1, with_key=True)
    _, scanned = scan_epoch(lambda c, batch: (c, batch[1]), 0, loader, legacy, 0, with_key=True)
    np.testing.assert_array_equal(own, scanned[0])
    assert own.dtype == np.uint32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0}, "alpha is 0; expected a number above 0"),
        ({"alpha": float("nan")}, "alpha is nan; expected a finite number"),
        ({"alpha": "1"}, "alpha is '1'; expected a number"),
        ({"num_classes": None}, "pass num_classes"),
        ({"num_classes": 5}, r"labels run from 0 to 39; expected class numbers in \[0, 5\)"),
        ({"labels": OWN[:3]}, r"labels has shape \(3,\); expected \(40,\)"),
        ({"labels": OWN.astype(float)}, "expected class numbers, integers, or rows"),
        ({"labels": np.eye(BATCH), "num_classes": 3}, "num_classes is 3, and labels has 40 columns"),
        ({"labels": OWN.tolist()}, "labels is a list"),
        ({"images": IMAGES[:, 0, 0, 0]}, "expected real numbers"),
        ({"images": np.ma.masked_array(IMAGES, IMAGES > 1)}, "images is a masked array"),
        ({"per_example": "no"}, "per_example is 'no'"),
    ],
)
@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_what_cannot_be_mixed_is_refused_by_name(mix, change, message, key):
    given = {"images": IMAGES, "labels": OWN, "alpha": 1.0, "num_classes": BATCH, "per_example": True} | change
    with pytest.raises((TypeError, ValueError), match=message):
        mix(key, given.pop("images"), given.pop("labels"), given.pop("alpha"), **given)


def test_cutmix_takes_pictures(key):
    with pytest.raises(ValueError, match=r"images has shape \(40, 3\); expected \(batch, height, width, channels\)"):
        cutmix(key, np.ones((BATCH, 3)), OWN, num_classes=BATCH)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32"])
def test_labels_of_few_bits_are_one_class_of_many(key, dtype):
    """Class numbers of eight bits would count again from 256 on."""
    _, soft = mixup(key, IMAGES[:4], np.array([1, 2, 3, 100], dtype), num_classes=600)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-6)
    assert set(np.flatnonzero(np.asarray(soft).any(0))) <= {1, 2, 3, 100}


def test_a_column_of_class_numbers_and_no_single_alpha_are_refused(key):
    with pytest.raises(ValueError, match=r"labels has shape \(40, 1\), one column of integers.*labels\[:, 0\]"):
        cutmix(key, IMAGES, OWN[:, None])
    with pytest.raises(ValueError, match=r"alpha is an array .*expected one number"):
        mixup(key, IMAGES, OWN, np.ones(2), num_classes=BATCH)
    with pytest.raises(ValueError, match=r"expected at least one example"):
        mixup(key, IMAGES[:0], OWN[:0], num_classes=BATCH)
