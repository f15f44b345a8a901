"""A whole epoch as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import ne
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_flag
from .._describe import described
from .._keys import Counter, Key, as_key, check_counter
from .._transfers import transfers
from ._data import PyTree, leaf_name
from ._loader import Loader, check_loader, for_program, spec_of
from ._program import DrawnRows, draw_steps, drawn_batch, stack_counters
from ._sharding import devices_of, following, mesh_of, on_mesh

# Examples whose rows and draws are found before the first step: some 50 bytes each, and no small programs between the
# steps, of which a GPU starts a dozen for every batch (see bench/RESULTS.md).
_DRAWN_AT_ONCE = 2**22

StepFn = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


def scan_epoch(
    step_fn: StepFn,
    carry: PyTree,
    loader: Loader,
    key: Key,
    epoch: Counter,
    *,
    with_mask: bool = False,
    with_key: bool = False,
) -> tuple[PyTree, PyTree]:
    """`lax.scan` of `step_fn` over the batches of one epoch; the same as a loop over `loader.batch`.

    The program is compiled once for each step_fn, so define it once, outside the loop over epochs.

    Args:
        step_fn: `(carry, batch) -> (carry, out)`, traced; with_mask: the batch is `(batch, mask)`.
        carry: A pytree of arrays, for example parameters and optimiser state.
        loader: Its arrays are used where they are on the device; NumPy arrays are uploaded at every call, so use
            `loader.to_device()` once.
        key, epoch: As for `Loader.batch`; epoch may be traced.
        with_mask: Give step_fn `loader.mask(step)` too, for remainder="pad".
        with_key: Give step_fn `loader.step_key(key, epoch, step)` too, last: the batch is `(batch, key)`, or
            `(batch, mask, key)`.

    Returns:
        The last carry, and the outs of all steps stacked.

    Raises:
        ValueError: If remainder is "keep".
        TypeError: If an array of the data is a memmap or another array-like, which would be read whole.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxiter import Loader, scan_epoch
        >>> loader = Loader(jnp.arange(10), batch_size=5)
        >>> total, sums = scan_epoch(lambda c, batch: (c + batch.sum(), batch.sum()), 0, loader, jax.random.key(0), 0)
        >>> int(total), sums.shape
        (45, (2,))
    """
    usage = "scan_epoch(step_fn, carry, loader, key, epoch)"
    check_loader(loader, usage)
    if not callable(step_fn):
        raise TypeError(
            f"step_fn is {described(step_fn)}; expected a function (carry, batch) -> (carry, out), as in {usage}."
        )
    if loader.remainder == "keep":
        raise ValueError(
            "remainder='keep' makes the last batch short, and a scan needs batches of one shape. Use remainder='pad' "
            "with with_mask=True, or 'drop'."
        )
    for path, leaf in jax.tree.leaves_with_path(loader.data):
        if isinstance(leaf, np.memmap) or not isinstance(leaf, (np.ndarray, jax.Array)):
            raise TypeError(
                f"{leaf_name(path)} is a {type(leaf).__name__}, which a compiled program would have to read whole. If "
                "it fits on the device use loader.to_device(); else loop over stream(loader, key)."
            )
    spec_of(loader).check_arrays()
    epoch = check_counter("epoch", epoch)
    leaves = jax.tree.leaves(loader.data)
    mesh = mesh_of(leaves, None)
    given, key = key, following(as_key(key), devices_of(leaves, None), mesh)
    is_typed = jnp.issubdtype(given.dtype, jax.dtypes.prng_key)
    beside = Beside(check_flag("with_mask", with_mask), check_flag("with_key", with_key), is_typed)
    with on_mesh(mesh):
        return _scan(step_fn, beside, carry, for_program(loader), key, epoch)


class Beside(NamedTuple):
    """What step_fn is given beside the batch."""

    mask: bool
    key: bool
    is_typed: bool  # the key, or as legacy words


@transfers
@partial(jax.jit, static_argnums=(0, 1))
def _scan(
    step_fn: StepFn, beside: Beside, carry: PyTree, loader: Loader, key: Key, epoch: Counter
) -> tuple[PyTree, PyTree]:
    spec, drawn = spec_of(loader), None
    leaves: Any = spec.arrays
    if spec.num_steps * spec.batch_size <= _DRAWN_AT_ONCE and spec.program.sharding is None:
        counters = stack_counters(epoch, np.uint32(0), spec.size)
        drawn = draw_steps(spec.program, leaves, spec.chains, spec.visited, key, counters, spec.num_steps)

    def body(carry: PyTree, at: tuple[jax.Array, DrawnRows | None]) -> tuple[PyTree, PyTree]:
        step, drawn = at
        if drawn is None:
            batch = loader.batch(key, epoch, step)
        else:
            batch = drawn_batch(spec.program, leaves, spec.chains, drawn)
        more = [loader.mask(step)] if beside.mask else []
        if beside.key:
            step_key = loader.step_key(key, epoch, step)
            more.append(step_key if beside.is_typed else jax.random.key_data(step_key))
        result = step_fn(carry, (batch, *more) if more else batch)
        return _checked(result, carry)

    return jax.lax.scan(body, carry, (jnp.arange(loader.num_steps, dtype=np.uint32), drawn))


def _checked(result: object, carry: PyTree) -> tuple[PyTree, PyTree]:
    """What step_fn returned, if it is the new carry, in the structure of the old one, and an out."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"step_fn returned {described(result)}; expected (carry, out), and (carry, None) where nothing is "
            "collected."
        )
    found, expected = jax.tree.structure(result[0]), jax.tree.structure(carry)
    if ne(found, expected):
        raise TypeError(
            f"step_fn returned a carry of the structure {found}; expected that of the carry it was given, {expected}. "
            "It returns (carry, out), and (carry, None) where nothing is collected."
        )
    return result
