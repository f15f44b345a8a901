"""The Loader as users meet it: shapes, remainders, masks, rows, keys and the pytree."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Cast, Chain, Loader, Map, Normalize, Rescale, deterministic, scan_epoch
from jaxiter._keys import AUGMENT as AUGMENT_ROLE
from jaxiter._keys import ORDER, STEP, role_key

from .. import data as shared
from ..data import assert_trees_close, assert_trees_equal, pictures

AUGMENT = Brightness(0.2)  # a warp would only take longer to compile
WARP = Affine(rotation=20, order=0)


def loader(**options):
    return shared.loader(**{"augment": (AUGMENT, None), **options})


def test_steps_and_sizes_are_counted():
    assert (loader().size, loader().num_steps, len(loader())) == (23, 5, 5)
    assert len(loader(remainder="pad")) == len(loader(remainder="keep")) == 6
    assert len(loader(size=24, remainder="pad")) == 6
    assert loader(rows=np.arange(9)).size == 9


def test_a_batch_has_the_structure_and_dtypes_of_the_data(key):
    images, labels = pictures()
    data = {"x": images, "y": (labels.astype(np.int8), np.ones(23, bool)), "w": np.ones((23, 2), np.float16)}
    batch = Loader(data, batch_size=4).batch(key, 0, 0)
    assert jax.tree.map(lambda leaf: (leaf.dtype.name, leaf.shape), batch) == {
        "x": ("uint8", (4, 6, 5, 3)),
        "y": (("int8", (4,)), ("bool", (4,))),
        "w": ("float16", (4, 2)),
    }


def test_pad_fills_the_last_batch_from_the_start_of_the_epoch(key):
    data = loader(remainder="pad")
    last, first = data.index(key, 1, 5), data.index(key, 1, 0)
    assert data.mask(5).tolist() == [True, True, True, False]
    assert last[3] == first[0]
    assert data.mask(0).all()


def test_pad_fills_a_batch_larger_than_the_data(key):
    data = Loader(np.arange(3), batch_size=8, shuffle=False, remainder="pad")
    assert data.batch(key, 0, 0).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert data.mask(0).sum() == 3


def test_keep_makes_the_last_batch_short(key):
    data = loader(remainder="keep")
    assert [len(labels) for _, labels in data.epoch(key, 0)] == [4, 4, 4, 4, 4, 3]
    assert data.mask(5).tolist() == [True, True, True]


def test_drop_leaves_out_other_examples_every_epoch(key):
    data = loader()
    shown = [set(np.concatenate([data.index(key, e, s) for s in range(5)]).tolist()) for e in range(6)]
    assert all(len(rows) == 20 for rows in shown)
    assert set.union(*shown) == set(range(23))


def test_the_mask_may_be_traced():
    data = loader(remainder="pad")
    masks = jax.vmap(data.mask)(jnp.arange(6))
    assert int(masks.sum()) == 23


def test_a_padded_evaluation_counts_every_example_once(key):
    test = loader(augment=(deterministic(AUGMENT), None), shuffle=False, remainder="pad")
    total = sum(
        int(labels[mask].sum())
        for (_, labels), mask in ((test.batch(key, 0, s), test.mask(s)) for s in range(len(test)))
    )
    assert total == sum(range(23))


def test_rows_are_visited_and_keep_their_identity(key):
    rows = np.array([20, 3, 11, 7])
    data = loader(rows=rows, shuffle=False)
    assert data.index(key, 0, 0).tolist() == rows.tolist()
    assert data.batch(key, 0, 0)[1].tolist() == rows.tolist()
    rows[:] = 0  # the loader holds its own
    assert data.index(key, 0, 0).tolist() == [20, 3, 11, 7]


def test_image_and_mask_move_together(key):
    image = pictures(8, (8, 8, 1))[0]
    data = {"image": image, "mask": image.copy(), "label": np.arange(8)}
    geometry = Affine(rotation=40, shift=0.3, horizontal_flip=True, order=0)
    aug = {"image": Chain(geometry, Rescale(0.5)), "mask": geometry, "label": None}
    batch = Loader(data, batch_size=8, augment=aug).batch(key, 0, 0)
    np.testing.assert_array_equal(batch["image"], batch["mask"].astype(np.float32) * 0.5)
    assert batch["mask"].dtype == np.uint8


def test_none_covers_a_whole_subtree(key):
    images, labels = pictures()
    data = (images, {"a": labels, "b": {"c": labels}})
    batch = Loader(data, batch_size=4, augment=(Rescale(2.0), None)).batch(key, 0, 0)
    assert batch[0].dtype == np.float32
    assert_trees_equal(batch[1]["a"], batch[1]["b"]["c"])


def test_map_and_cast_take_leaves_of_any_rank(key):
    data = Loader(pictures(), batch_size=4, shuffle=False, augment=(None, Chain(Map(_one_hot), Cast("uint8"))))
    assert data.batch(key, 0, 0)[1].tolist() == np.eye(23, dtype=np.uint8)[:4].tolist()


def _one_hot(label):
    return jax.nn.one_hot(label, 23, dtype=np.float32)


def test_step_keys_differ_and_keep_the_spelling_of_the_key(key):
    data = loader()
    found = {tuple(jax.random.key_data(data.step_key(key, e, s)).tolist()) for e in range(3) for s in range(3)}
    assert len(found) == 9
    legacy = data.step_key(jax.random.PRNGKey(0), 1, 2)
    assert legacy.dtype == np.uint32
    assert legacy.tolist() == jax.random.key_data(data.step_key(key, 1, 2)).tolist()


def test_a_loader_is_a_pytree_of_its_arrays_alone():
    data = loader()
    assert [leaf is mine for leaf, mine in zip(jax.tree.leaves(data), data.data, strict=True)] == [True, True]
    assert len(jax.tree.leaves(loader(rows=np.arange(5)))) == 3
    assert len(jax.tree.leaves(loader(augment=Normalize(np.ones(3))))) == 3


def test_unflattening_takes_anything():
    leaves, structure = jax.tree.flatten(loader(rows=np.arange(5)))
    for fill in (object(), None, 0):
        jax.tree.unflatten(structure, [fill] * len(leaves))
    jax.vmap(lambda data, step: data.mask(step), in_axes=(None, 0))(loader(remainder="pad"), jnp.arange(3))


def test_a_loader_passes_through_jit_grad_and_tree_map(key):
    data = loader(augment=Normalize(np.zeros(3, np.float32))).to_device()
    doubled = jax.tree.map(lambda leaf: leaf, data)
    assert_trees_close(doubled.batch(key, 0, 0), data.batch(key, 0, 0))

    @jax.jit
    def total(data):
        return data.batch(key, 0, 1)[0].sum()

    assert np.isfinite(float(total(data)))


def test_int64_labels_come_out_as_jax_holds_them(key):
    data = Loader(np.array([5, -7, 2**31 - 1]), batch_size=3, shuffle=False)
    assert data.batch(key, 0, 0).dtype == np.int32
    assert data.batch(key, 0, 0).tolist() == [5, -7, 2**31 - 1]
    with jax.enable_x64(True):
        wide = Loader(np.array([2**40, 1]), batch_size=2, shuffle=False)
        assert wide.batch(key, 0, 0).tolist() == [2**40, 1]


def test_changing_the_callers_array_changes_a_host_loader_and_no_device_loader(key):
    images, labels = pictures()
    data = Loader((images, labels), batch_size=23, shuffle=False)
    resident = data.to_device()
    images[:] = 0
    assert data.batch(key, 0, 0)[0].max() == 0
    assert resident.batch(key, 0, 0)[0].max() > 0


def test_a_tree_of_transforms_has_a_deterministic_form(key):
    images, labels = pictures()
    tree = {"x": Chain(Affine(rotation=30), Rescale(0.5)), "y": None}
    shown = Loader({"x": images, "y": labels}, batch_size=4, augment=deterministic(tree), shuffle=False)
    np.testing.assert_array_equal(shown.batch(key, 0, 0)["x"], images[:4].astype(np.float32) * 0.5)


def test_the_network_after_the_batch_does_not_pull_the_warp_into_itself(key):
    """A conditional stands between them in the compiled program, however the step is given."""
    data = loader(augment=(WARP, None)).to_device()
    programs = {
        "static": jax.jit(lambda data: data.batch(key, 0, 1)[0].sum()).lower(data),
        "traced": jax.jit(lambda data, step: data.batch(key, 0, step)[0].sum()).lower(data, 1),
        "unsigned": jax.jit(lambda data, step: data.batch(key, 0, step)[0].sum()).lower(data, np.uint32(1)),
        "mapped": jax.jit(jax.vmap(lambda data, step: data.batch(key, 0, step)[0].sum(), (None, 0))).lower(
            data, np.arange(3)
        ),
    }
    for name, program in programs.items():
        assert program.compile().as_text().count("conditional(") == 1, name


@pytest.mark.parametrize(("height", "copied"), [(146, False), (147, True)])
def test_large_images_are_copied_before_they_are_resampled(height, copied, key):
    """A second conditional, from 64 kB on: looked up in the whole data, they would take longer."""
    data = Loader(jnp.zeros((4, height, 149, 3), np.uint8), batch_size=2, augment=WARP)
    program = jax.jit(lambda data: data.batch(key, 0, 0)).lower(data)
    assert program.compile().as_text().count("conditional(") == 1 + copied


def test_rows_that_are_not_resampled_are_read_on_the_way(key):
    data = Loader(pictures(), batch_size=4, augment=Rescale(0.5)).to_device()
    program = jax.jit(lambda data: data.batch(key, 0, 1)[0].sum()).lower(data)
    assert program.compile().as_text().count("conditional(") == 1


def test_scan_epoch_uploads_numpy_arrays(key):
    data = loader()
    total, _ = scan_epoch(_add_labels, jnp.int32(0), data, key, 0)
    expected = sum(int(labels.sum()) for _, labels in data.epoch(key, 0))
    assert int(total) == expected


def _add_labels(total, batch):
    return total + batch[1].sum(), None


def test_scan_epoch_traces_its_step_once_over_epochs(key):
    @chex.assert_max_traces(1)
    def step(carry, batch):
        return carry, batch[1].sum()

    data = loader(size=26).to_device()
    for epoch in range(3):
        scan_epoch(step, 0, data, key, epoch)


CHANGES = {
    "batch_size": {"batch_size": 5},
    "augment": {"augment": (Rescale(0.5), None)},
    "no augment": {"augment": None},
    "order": {"shuffle": False, "remainder": "keep"},
    "rows": {"rows": np.array([20, 3, 11, 7, 3])},
    "all rows": {"rows": None, "remainder": "pad"},
    "nothing": {},
}


@pytest.mark.parametrize("change", CHANGES)
def test_replaced_settings_give_the_loader_made_with_them(key, change):
    own = {"batch_size": 4, "augment": (AUGMENT, None), "rows": np.arange(21)}
    expected = Loader(pictures(), **(own | CHANGES[change]))
    replaced = Loader(pictures(), **own).replace(**CHANGES[change])
    assert (len(replaced), replaced.augment, repr(replaced)) == (len(expected), expected.augment, repr(expected))
    assert_trees_equal(list(replaced.epoch(key, 1)), list(expected.epoch(key, 1)))


def test_replace_checks_settings_and_does_not_look_at_the_data_again(key):
    data = loader(remainder="pad")
    data.data[0].setflags(write=False)
    assert data.replace(batch_size=5).data is data.data
    for settings, error, words in [
        (
            {"batch": 3},
            TypeError,
            "got batch; expected some of batch_size, augment, shuffle, remainder, rows",
        ),
        ({"data": 3}, TypeError, "replace.. got data"),
        ({"batch_size": 0}, ValueError, "batch_size is 0; expected at least 1"),
        ({"rows": [23]}, ValueError, "rows runs from 23 to 23"),
        ({"batch_size": 24, "remainder": "drop"}, ValueError, "23 examples and batch_size is 24"),
        ({"augment": (None, WARP)}, ValueError, r"data\[1\] has shape \(23,\)"),
    ]:
        with pytest.raises(error, match=words):
            data.replace(**settings)


def test_replace_works_under_jit_and_vmap(key):
    data = loader().to_device()
    small = jax.jit(lambda data, rows: data.replace(batch_size=2, rows=rows).batch(key, 0, 1))(data, np.arange(9))
    assert_trees_close(small, data.replace(batch_size=2, rows=np.arange(9)).batch(key, 0, 1))
    many = np.stack([np.arange(9), np.arange(9)[::-1]])
    labels = jax.vmap(lambda rows: data.replace(rows=rows, augment=None).batch(key, 0, 1)[1])(many)
    assert labels[1].tolist() == (8 - labels[0]).tolist()


def test_a_loader_prints_what_it_holds():
    text = repr(loader())
    assert "data[0]: uint8[23, 6, 5, 3]" in text
    assert "batch_size=4" in text


def test_none_in_the_data_is_a_place_without_a_leaf(key):
    images, labels = pictures()
    for data, augment in [
        ((images, None, labels), (Rescale(2.0), None, None)),
        ({"i": images, "n": None}, {"i": Rescale(2.0), "n": None}),
        ({"i": images, "n": None}, {"i": Rescale(2.0), "n": Rescale(1.0)}),
        ({"i": images, "n": {"deep": None}}, {"i": Rescale(2.0), "n": None}),
    ]:
        batch = Loader(data, batch_size=3, augment=augment, shuffle=False).batch(key, 0, 0)
        assert jax.tree.structure(batch) == jax.tree.structure(data)
        np.testing.assert_array_equal(jax.tree.leaves(batch)[0], images[:3].astype(np.float32) * 2)


def test_step_keys_are_apart_from_the_keys_of_examples_and_orders(key):
    """A role that served for another would make a dropout of step i follow the picture of row i."""
    data = loader()
    roles = {
        role: {
            tuple(jax.random.key_data(jax.random.fold_in(role_key(key, epoch, role), place)).tolist())
            for epoch in range(3)
            for place in range(5)
        }
        for role in (ORDER, AUGMENT_ROLE, STEP)
    }
    steps = {tuple(jax.random.key_data(data.step_key(key, e, s)).tolist()) for e in range(3) for s in range(5)}
    assert steps == roles[STEP]
    assert len(set.union(*roles.values())) == 45
