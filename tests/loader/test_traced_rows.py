"""Rows that an enclosing program computes, laid out over devices in any way, are those of one device."""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxiter import ChannelShift, Loader

from ..data import assert_trees_equal, pictures

ROWS = np.r_[np.arange(30), 3, 3].astype(np.int32)


def test_traced_rows_over_a_mesh_of_explicit_axes_give_the_batches_of_one_device(key):
    """Of data beside them, and of data that are everywhere; row 3 has three showings."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,))
    parts, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    data = Loader(pictures(size=64)[0], batch_size=8, augment=ChannelShift(3.0))

    @jax.jit
    def batches(loaders, rows):
        chosen = [loader.replace(rows=rows) for loader in loaders]
        return [(loader.batch(key, 0, 1), loader.index(key, 0, 1)) for loader in chosen]

    chosen = data.replace(rows=ROWS)
    expected = chosen.batch(key, 0, 1), chosen.index(key, 0, 1)
    on_mesh = [data.to_device(parts), data.to_device(everywhere)]
    for found in batches(on_mesh, jax.device_put(ROWS, parts)):
        assert_trees_equal(found, expected)
