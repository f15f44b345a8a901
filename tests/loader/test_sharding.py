"""Many devices have, together, the batch of one; and each makes only its own part."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Brightness, Chain, Loader, Normalize, Rescale, explain, scan_epoch, stream
from jaxiter.loader._program import host_batch, resident_batch
from jaxiter.loader.internal import read_batch, spec_of

from ..data import assert_trees_equal, compilations, each_once, first, pictures
from ..host.sources import wait_for

IMAGES, LABELS = pictures(size=48, shape=(8, 8, 3))
# Every way to resample is divided in its own way; those of a group are leaves of one tree, and so one program.
AUGMENTS = {
    "maps": {
        "bounded": Chain(Affine(rotation=20, shear=5, shift=0.1, zoom=0.1, horizontal_flip=True), Rescale(1 / 255)),
        "spline": Affine(rotation=20, order=2),
    },
    "rows": {
        "shifts": Affine(shift=0.2, horizontal_flip=True),
        "zooms": Affine(zoom=0.2, fill_mode="reflect"),
        "whole pixels": Affine(shift=0.2, whole_pixels=True),
        "with arrays": Chain(Affine(rotation=20, order=0), Normalize(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))),
    },
    "values": Brightness(0.2),
    "nothing": None,
}


def mesh(kind, shape=(8,), names=("data",)):
    types = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}[kind]
    return jax.make_mesh(shape, names, axis_types=(types,) * len(names))


def committed(key, device=0):
    """As a checkpoint gives a key back: tied to a device."""
    return jax.device_put(key, jax.devices()[device])


def is_laid_out(array, sharding):
    """Exactly so on a mesh of automatic axes; explicit ones write down the axes that are not divided, too."""
    is_explicit = isinstance(sharding, NamedSharding) and AxisType.Explicit in sharding.mesh.axis_types
    return array.sharding.is_equivalent_to(sharding, array.ndim) if is_explicit else array.sharding == sharding


def loader(augment="values", **options):
    steps = AUGMENTS[augment]
    images = dict.fromkeys(steps, IMAGES) if isinstance(steps, dict) else IMAGES
    return Loader((images, LABELS), batch_size=16, augment=(steps, None), **options)


def chosen(quick, **axes):
    """Arguments for `parametrize`: these cases in the quick suite, where every way to resample is compiled once."""
    cases = list(itertools.product(*axes.values()))
    assert quick <= set(cases)
    return list(axes), [pytest.param(*case, marks=[] if case in quick else [pytest.mark.slow]) for case in cases]


WHERE = {
    "host": lambda data, mesh: data,
    "one device": lambda data, mesh: data.to_device(),
    "another device": lambda data, mesh: data.to_device(jax.sharding.SingleDeviceSharding(jax.devices()[5])),
    "every device": lambda data, mesh: data.to_device(NamedSharding(mesh, P())),
    "divided": lambda data, mesh: data.to_device(NamedSharding(mesh, P(mesh.axis_names[0]))),
    "labels on the host": lambda data, mesh: Loader(
        (data.to_device(NamedSharding(mesh, P(mesh.axis_names[0]))).data[0], data.data[1]),
        batch_size=data.batch_size,
        augment=data.augment,
    ),
}


@pytest.mark.parametrize(
    *chosen(
        {
            ("maps", "divided", "explicit"),
            ("rows", "host", "auto"),
            ("values", "one device", "auto"),
            ("values", "another device", "explicit"),
            ("values", "every device", "explicit"),
            ("nothing", "labels on the host", "auto"),
        },
        augment=AUGMENTS,
        where=WHERE,
        kind=["auto", "explicit"],
    )
)
def test_a_sharded_stream_is_the_stream(key, augment, where, kind):
    on = mesh(kind)
    each, data = NamedSharding(on, P("data")), loader(augment)
    with stream(WHERE[where](data, on), key, num_epochs=1, sharding=each) as batches:
        for step, batch in enumerate(batches):
            assert all(is_laid_out(leaf, each) for leaf in jax.tree.leaves(batch))
            assert_trees_equal(batch, data.batch(key, 0, step))
            assert [shard.data.shape[0] for shard in batch[1].addressable_shards] == [2] * 8
    assert step == 2


SHARDINGS = {
    "one axis of two": ((4, 2), ("data", "model"), P("data")),
    "the other of two": ((4, 2), ("model", "data"), P("data")),
    "both": ((4, 2), ("a", "b"), P(("a", "b"))),
    "both, turned": ((4, 2), ("a", "b"), P(("b", "a"))),
    "none": ((8,), ("data",), P()),
    "two devices": ((2,), ("data",), P("data")),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    *each_once(name=SHARDINGS, where=["host", "every device", "divided"], kind=["auto", "explicit"])
)
def test_every_sharding_over_the_leading_axis_will_do(key, name, where, kind):
    shape, names, spec = SHARDINGS[name]
    on, data = mesh(kind, shape, names), loader(remainder="pad")
    sharding = NamedSharding(on, spec)
    with stream(WHERE[where](data, on), key, sharding=sharding, with_mask=True) as batches:
        (images, labels), mask = next(batches)
    assert is_laid_out(images, sharding)
    assert_trees_equal((images, labels), data.batch(key, 0, 0))
    np.testing.assert_array_equal(mask, data.mask(0))


def test_devices_in_another_order_and_other_kinds_of_sharding(key):
    data = loader()
    turned = NamedSharding(Mesh(np.array(jax.devices()[::-1]), ("data",)), P("data"))
    one = jax.sharding.SingleDeviceSharding(jax.devices()[3])
    for sharding in (turned, one):
        for source in (data, data.to_device(), data.to_device(sharding)):
            batch = source.batch(key, 0, 1, sharding=sharding)
            assert is_laid_out(batch[0], sharding)
            assert_trees_equal(batch, data.batch(key, 0, 1))


@pytest.mark.parametrize(*each_once(where=["every device", "divided"], kind=["auto", "explicit"]))
def test_a_batch_under_jit_follows_the_shardings_of_the_program(key, kind, where):
    on = mesh(kind)
    each, data = NamedSharding(on, P("data")), loader()
    resident = WHERE[where](data, on)
    outside = jax.jit(lambda data, step: data.batch(key, 0, step), out_shardings=each)
    inside = jax.jit(lambda data, step: data.batch(key, 0, step, sharding=each))
    for made in (outside(resident, 1), inside(resident, 1), resident.batch(key, 0, 1)):
        assert_trees_equal(made, data.batch(key, 0, 1))
    assert all(is_laid_out(leaf, each) for leaf in (*outside(resident, 1), *inside(resident, 1)))


@pytest.mark.slow
@pytest.mark.parametrize(*each_once(where=["every device", "divided"], kind=["auto", "explicit"]))
def test_an_epoch_is_scanned_over_data_on_a_mesh(key, kind, where):
    data = loader()
    resident = WHERE[where](data, mesh(kind))

    def step(total, batch):
        return total + batch[0].sum(), batch[1]

    total, labels = scan_epoch(step, jnp.float32(0), resident, key, 2)
    expected_total, expected = scan_epoch(step, jnp.float32(0), data.to_device(), key, 2)
    np.testing.assert_allclose(total, expected_total, rtol=1e-5)
    np.testing.assert_array_equal(labels, expected)


def compiled(data, sharding):
    """What runs for one batch."""
    spec, place = spec_of(data, sharding), np.zeros(3, np.uint32)
    key = jax.random.key(0)
    if not spec.reads_any:
        lowered = resident_batch.lower(spec.program, spec.leaves, spec.chain_leaves, spec.visited, key, place)
        return lowered.compile().as_text()
    rows = read_batch(spec, key, np.uint32(0), np.uint32(0))
    arguments = rows.leaves, spec.chain_leaves, key, np.uint32(0), rows.indices, rows.showings
    lowered = host_batch.lower(spec.program, *arguments)
    return lowered.compile().as_text()


def collectives(text):
    return re.findall(r" (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    *chosen(
        {
            ("maps", "divided", "explicit"),
            ("rows", "every device", "auto"),
            ("values", "host", "explicit"),
            ("nothing", "divided", "auto"),
        },
        augment=AUGMENTS,
        where=["host", "every device", "divided"],
        kind=["auto", "explicit"],
    )
)
def test_each_device_makes_its_own_part_only(augment, where, kind):
    on = mesh(kind)
    text = compiled(WHERE[where](loader(augment), on), NamedSharding(on, P("data")))
    floats = {int(length) for length in re.findall(r"f32\[(\d+),8,8,3\]", text)}
    assert floats <= {2}  # of 16
    if augment != "nothing":
        assert floats == {2}
    if where == "divided":  # rows travel, as they are stored, and nothing else does
        assert collectives(text)
        assert not re.search(r"f32\[[^\]]*\]\S* (all-gather|all-reduce)", text)
    else:
        assert not collectives(text)


def test_examples_that_several_devices_hold_are_read_once(key):
    asked = []

    class Counted:
        shape, dtype = IMAGES.shape, IMAGES.dtype

        def __getitem__(self, index):
            asked.append(len(index))
            return IMAGES[index]

    on = mesh("auto", (2, 4), ("data", "model"))
    data = Loader(Counted(), batch_size=16)
    assert_trees_equal(
        data.batch(key, 0, 0, sharding=NamedSharding(on, P("data"))), Loader(IMAGES, batch_size=16).batch(key, 0, 0)
    )
    assert asked == [16]


def test_one_program_serves_all_batches_of_a_sharding(key):
    on = mesh("auto")
    resident = loader().to_device(NamedSharding(on, P()))
    each = NamedSharding(on, P("data"))
    resident.batch(key, 0, 0, sharding=each)
    with compilations() as compiled:
        for place in [(0, 1), (3, 2)]:
            again = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
            resident.batch(key, *place, sharding=again)
    assert not compiled


BAD_INPUT = {
    "too many devices": ({"batch_size": 12}, "data", "does not divide batch_size 12 over the leading axis"),
    "another axis": ({}, (None, "data"), "over the leading axis"),
    "more axes than labels have": ({"data": (IMAGES, LABELS)}, ("data", None), "over the leading axis"),
    "keep": ({"remainder": "keep"}, "data", "remainder='pad'"),
}


@pytest.mark.parametrize(("options", "spec", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_shardings_that_do_not_fit_are_refused(key, options, spec, words):
    data = Loader(**{"data": IMAGES, "batch_size": 16, **options})
    sharding = NamedSharding(mesh("auto"), P(*spec) if isinstance(spec, tuple) else P(spec))
    for ask in (
        lambda: data.batch(key, 0, 0, sharding=sharding),
        lambda: stream(data, key, sharding=sharding),
        lambda: data.memory(sharding=sharding),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            ask()


def test_data_that_the_devices_do_not_divide_is_refused_by_path():
    with pytest.raises(ValueError, match=r"data\[0\] has shape \(47, 8, 8, 3\), which .* does not divide.*P\(\)"):
        Loader((IMAGES[:47], LABELS[:47]), batch_size=8).to_device(NamedSharding(mesh("auto"), P("data")))


def test_arrays_go_to_a_mesh_as_copies():
    images = IMAGES.copy()
    resident = Loader(images, batch_size=8).to_device(NamedSharding(mesh("auto"), P()))
    images[:] = 0
    np.testing.assert_array_equal(resident.data, IMAGES)


@pytest.mark.parametrize(*each_once(where=WHERE, device=[0, 3]))
def test_a_key_that_a_checkpoint_gave_back_will_do(key, where, device):
    on, data = mesh("auto"), loader(rows=jax.device_put(np.arange(48)[::-1].copy(), jax.devices()[2]))
    each, expected = NamedSharding(on, P("data")), loader(rows=np.arange(48)[::-1]).batch(key, 0, 0)
    if where != "labels on the host":
        data = WHERE[where](data, on)
    assert_trees_equal(data.batch(committed(key, device), 0, 0, sharding=each), expected)
    with stream(data, committed(key, device), sharding=each) as batches:
        assert_trees_equal(next(batches), expected)
    if where in ("every device", "divided"):
        assert_trees_equal(data.batch(committed(key, device), 0, 0), expected)


def test_without_a_sharding_a_stream_over_the_host_is_on_the_default_device_whatever_the_key(key):
    replicated = jax.device_put(key, NamedSharding(mesh("auto"), P()))
    for made in (committed(key, 5), replicated):
        with stream(loader(), made) as batches:
            assert next(batches)[0].devices() == {jax.devices()[0]}


OTHER = {
    "a mesh of two axes": lambda kind: NamedSharding(mesh(kind, (4, 2), ("a", "b")), P("a")),
    "another order": lambda kind: NamedSharding(Mesh(np.array(jax.devices()[::-1]), ("data",)), P("data")),
    "fewer devices": lambda kind: NamedSharding(mesh(kind, (4,)), P("data")),
    "one device": lambda kind: jax.sharding.SingleDeviceSharding(jax.devices()[2]),
    "an automatic mesh": lambda kind: NamedSharding(mesh("auto"), P("data")),
    "an explicit mesh": lambda kind: NamedSharding(mesh("explicit"), P("data")),
}


@pytest.mark.parametrize(
    *each_once(other=OTHER, where=["every device", "divided", "labels on the host"], kind=["auto", "explicit"])
)
def test_batches_may_go_to_another_mesh_than_the_data(key, other, where, kind):
    data, sharding = loader(), OTHER[other](kind)
    resident = WHERE[where](data, mesh(kind))
    with stream(resident, key, sharding=sharding) as batches:
        for step in range(2):
            batch = next(batches)
            assert_trees_equal(batch, data.batch(key, 0, step))
            assert all(leaf.sharding.is_equivalent_to(sharding, leaf.ndim) for leaf in jax.tree.leaves(batch))


@pytest.mark.parametrize(*each_once(where=["every device", "divided", "labels on the host"], kind=["auto", "explicit"]))
def test_without_a_sharding_data_on_a_mesh_give_the_batches_too(key, where, kind):
    data = loader()
    resident = WHERE[where](data, mesh(kind))
    assert_trees_equal(resident.batch(key, 0, 1), data.batch(key, 0, 1))
    with stream(resident, key) as batches:
        assert_trees_equal(next(batches), data.batch(key, 0, 0))
    assert_trees_equal(explain(resident, key, 0, 5).before, explain(data, key, 0, 5).before)


@pytest.mark.parametrize(*each_once(prefetch=[0, 2], kind=["auto", "explicit"]))
def test_a_mesh_that_is_set_changes_nothing(key, kind, prefetch):
    data = loader()
    expected = data.batch(key, 0, 0)
    with jax.set_mesh(mesh(kind)), stream(data, key, prefetch=prefetch) as batches:
        assert_trees_equal(next(batches), expected)


def test_batches_over_devices_are_started_before_they_are_asked_for_in_order(key):
    with stream(loader(), key, sharding=NamedSharding(mesh("auto"), P("data")), prefetch=2) as batches:
        next(batches)
        assert wait_for(lambda: all(pending.done() for pending in batches._pending))
        next(batches)
        assert batches._pending[0]._batch is not None


def test_arrays_go_to_a_device_by_its_name():
    resident = loader().to_device(jax.devices()[3])
    assert resident.data[0].devices() == {jax.devices()[3]}
    with pytest.raises(TypeError, match=r"sharding is .*; expected a jax.Device or a Sharding"):
        loader().to_device(P("data"))


@pytest.mark.parametrize("layout", first(1, [P("data"), P()]))
def test_data_on_one_mesh_are_read_while_a_mesh_of_another_kind_is_set(key, layout):
    """Every way to ask: each traces a program of its own."""
    data = Loader((IMAGES, LABELS), batch_size=16, shuffle=False).to_device(NamedSharding(mesh("auto"), layout))
    legacy = np.asarray(jax.random.key_data(key))

    def asked():
        _, sums = scan_epoch(lambda carry, batch: (carry, batch[1].sum(dtype=np.int32)), 0, data, legacy, 0)
        return data.batch(legacy, 0, 1), data.index(legacy, 0, 1), sums, explain(data, legacy, 0, 3).after

    expected = asked()
    with jax.set_mesh(mesh("explicit")):
        found = jax.device_get(asked())
    assert_trees_equal(found, expected)
