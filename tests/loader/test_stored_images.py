"""Where there is no CPU, pixels are read from the whole data, and not from copies of the rows: the same pixels."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import Affine, Brightness, Chain, Loader, Rescale, scan_epoch, stream
from jaxiter.augment._warp import _interpolate
from jaxiter.loader._sharding import is_whole
from jaxiter.loader.internal import BatchSpec, spec_of

from ..data import first, pictures

MOVED = {"rotation": 40, "shift": 0.3, "zoom": 0.2}
FLIPPED = {"horizontal_flip": True, "shift": 0.3}


@pytest.fixture
def elsewhere(monkeypatch):
    """Programs as for other platforms, compiled for CPU."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *operands, cpu, default: default(*operands))


@pytest.mark.parametrize(
    ("fill_mode", "order", "channels", "dtype", "ranges", "kept"),
    [
        ("nearest", 1, 3, "uint8", MOVED, "resident"),
        ("constant", 0, 1, "float32", FLIPPED, "host"),
        ("grid-wrap", 2, 4, "bool", FLIPPED | {"whole_pixels": True}, "resident"),
        ("nearest", 1, 3, "uint8", FLIPPED, "host"),
    ],
)
def test_pixels_are_those_of_copied_rows(fill_mode, order, channels, dtype, ranges, kept, key, request):
    images = pictures(11, (10, 12, channels))[0].astype(dtype)
    images = images if kept == "host" else jnp.asarray(images)
    augment = Chain(Affine(**ranges, fill_mode=fill_mode, order=order), Rescale(0.5))
    rows = [10, 0, 7, 7, 3, 9]
    # What an example becomes does not depend on the batch size, which makes another program.
    two = Loader(images, batch_size=3, augment=augment, rows=rows)
    expected = np.concatenate([two.batch(key, 4, step) for step in range(2)])
    request.getfixturevalue("elsewhere")
    one = Loader(images, batch_size=6, augment=augment, rows=rows)
    assert spec_of(one).program.whole == (True,)
    # A compiler may round a sum and a product once or twice. Flips and shifts go by whole rows on CPU, with weights of
    # other bits.
    atol = 2e-3 if order == 1 and ranges is FLIPPED else 1e-5
    np.testing.assert_allclose(one.batch(key, 4, 0), expected, rtol=3e-7, atol=atol)


def test_data_too_large_for_an_int32_are_counted_by_pixels_or_read_from_copies(key, elsewhere, monkeypatch):
    images = jnp.asarray(pictures(5, (10, 12, 3))[0])
    augment = Affine(rotation=40)
    expected = Loader(images, batch_size=5, augment=augment).batch(key, 0, 0)
    for counted, batch_size in ((3 * 10 * 12 * 2, 2), (10 * 12 * 2, 4)):  # another size is another program
        monkeypatch.setattr(_interpolate, "COUNTED", counted)
        found = Loader(images, batch_size=batch_size, augment=augment).batch(key, 0, 0)
        np.testing.assert_allclose(found, expected[:batch_size], rtol=3e-7, atol=1e-5)


def test_after_another_step_pixels_are_those_of_its_result(key, elsewhere):
    """What stands in the data is then another image."""
    images = jnp.asarray(pictures(6)[0])
    darker, turned = Brightness((0.25, 0.25)), Affine(rotation=40)
    found, expected = (
        Loader(images, batch_size=6, augment=Chain(*steps)).batch(key, 0, 0)
        for steps in ([darker, turned], [turned, darker])
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("steps", first(1, [[Affine(rotation=40)], [Brightness((0.25, 0.25)), Affine(rotation=40)]]))
def test_streams_that_draw_ahead_and_scans_read_them_too(steps, key, request, monkeypatch):
    images, augment = jnp.asarray(pictures(12)[0]), Chain(*steps)
    two = Loader(images, batch_size=6, augment=augment)
    expected = np.concatenate([two.batch(key, 1, step) for step in range(2)])
    request.getfixturevalue("elsewhere")
    monkeypatch.setattr(BatchSpec, "is_off_cpu", property(lambda spec: True))
    one = Loader(images, batch_size=4, augment=augment)
    streamed = list(stream(one, key, start=(1, 0), num_epochs=2))
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, one, key, 1)
    for found in (np.concatenate(streamed), np.concatenate(scanned)):
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-5)


def test_a_scan_knows_where_its_arrays_lie(key):
    """Lowered for a GPU, each tap is looked up in the whole data, and not in a copy of the rows."""
    one = Loader(jnp.zeros((64, 8, 8, 3), np.uint8), batch_size=4, augment=Affine(**MOVED))

    def scanned(key):
        return scan_epoch(lambda carry, batch: (carry + batch.sum(), None), jnp.float32(0), one, key, 0)

    text = jax.jit(scanned).trace(key).lower(lowering_platforms=("cuda",)).as_text()
    taps = re.findall(r'"stablehlo.gather"\(.*slice_sizes = array<i64: 3>.*: \(tensor<(\d+)xui8>', text)
    assert taps == [str(64 * 8 * 8 * 3)] * 4


@pytest.mark.parametrize(("spec", "expected"), [(P("rows"), False), (P(), True)])
def test_arrays_that_are_divided_are_read_row_by_row(spec, expected):
    mesh = jax.make_mesh((2,), ("rows",), devices=jax.devices()[:2])
    images = jax.device_put(pictures(4)[0], NamedSharding(mesh, spec))
    assert is_whole(images) is expected
    assert spec_of(Loader(images, batch_size=2, augment=Affine(rotation=10))).program.whole == (expected,)


def test_of_a_traced_array_it_is_not_known_where_it_lies():
    found = []
    jax.eval_shape(lambda images: found.append(is_whole(images)), jax.ShapeDtypeStruct((4, 8, 8, 3), np.uint8))
    assert found == [jax.device_count() == 1]
