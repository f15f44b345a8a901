"""A whole epoch as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import ne
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_flag
from .._describe import a_type, described
from .._keys import Counter, Key, as_key, check_counter
from .._transfers import transfers
from ._argument import check_loader, for_program
from ._data import PyTree, array_of, leaf_name, leaves_of, leaves_with_path
from ._loader import Loader, spec_of
from ._program import DrawnRows, Program, draw_steps, drawn_batch, stack_counters
from ._sharding import devices_of, following, mesh_of, on_mesh
from ._spec import BatchSpec

# Rows and draws of all steps are found before the first one, or a GPU would start a dozen small programs in every step;
# on CPU they take a seventh of a small batch. One Affine holds 40 bytes for each example, and needs 160 for a while.
_MOST_BYTES = 2**26  # beyond it step by step
_DRAWN_AT_ONCE = 2**16  # examples

Carry = TypeVar("Carry")
Out = TypeVar("Out")  # what comes back has the steps along a leading axis, as in the types of `lax.scan`
StepFn = Callable[[Carry, PyTree], tuple[Carry, Out]]


def scan_epoch(
    step_fn: StepFn[Carry, Out],
    carry: Carry,
    loader: Loader,
    key: Key,
    epoch: Counter,
    *,
    with_mask: bool = False,
    with_key: bool = False,
) -> tuple[Carry, Out]:
    """`lax.scan` of `step_fn` over the batches of one epoch; the same as a loop over `loader.batch`.

    The program is compiled once for each step_fn, so define it once, outside the loop over epochs. On CPU XLA runs
    convolutions within a scan many times slower than by themselves: there loop over `stream` (docs/speed.md).

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
    for path, leaf in leaves_with_path(loader.data):
        array = array_of(leaf)
        if isinstance(array, np.memmap) or not isinstance(array, (np.ndarray, jax.Array)):
            raise TypeError(
                f"{leaf_name(path)} is {a_type(leaf)}, which a compiled program would have to read whole. If it "
                "fits on the device use loader.to_device(), which reads it once; else loop over stream(loader, key)."
            )
    spec_of(loader).check_arrays()
    epoch = check_counter("epoch", epoch)
    leaves = list(map(array_of, leaves_of(loader.data)))
    mesh = mesh_of(leaves, None)
    given, key = key, following(as_key(key), devices_of(leaves, None), mesh)
    form = ScanForm(
        with_mask=check_flag("with_mask", with_mask),
        with_key=check_flag("with_key", with_key),
        is_typed=jnp.issubdtype(given.dtype, jax.dtypes.prng_key),
        whole=spec_of(loader).program.whole,  # which a program does not know of its arguments
    )
    with on_mesh(mesh):
        return _scan(step_fn, form, carry, for_program(loader), key, epoch)


class ScanForm(NamedTuple):
    """What a scan is compiled for, beside step_fn."""

    with_mask: bool
    with_key: bool
    is_typed: bool  # the key; else keys of steps are legacy words
    whole: tuple[bool, ...]  # as in `Program`


@transfers
@partial(jax.jit, static_argnums=(0, 1))
def _scan(
    step_fn: StepFn, form: ScanForm, carry: PyTree, loader: Loader, key: Key, epoch: Counter
) -> tuple[PyTree, PyTree]:
    spec = spec_of(loader)
    program = spec.program.known_whole(form.whole)
    leaves = [jax.tree.map(jnp.asarray, leaf) for leaf in spec.arrays]  # without jit they may be NumPy's
    drawn = None if program.sharding is not None else _drawn_epoch(spec, program, leaves, key, epoch)

    def body(carry: PyTree, at: tuple[jax.Array, DrawnRows | None]) -> tuple[PyTree, PyTree]:
        step, drawn = at
        batch = loader.batch(key, epoch, step) if drawn is None else drawn_batch(program, leaves, spec.chains, drawn)
        more = [loader.mask(step)] if form.with_mask else []
        if form.with_key:
            step_key = loader.step_key(key, epoch, step)
            more.append(step_key if form.is_typed else jax.random.key_data(step_key))
        result = step_fn(carry, (batch, *more) if more else batch)
        return _checked(result, carry)

    return jax.lax.scan(body, carry, (jnp.arange(loader.num_steps, dtype=np.uint32), drawn))


def _drawn_epoch(
    spec: BatchSpec, program: Program, leaves: list[jax.Array], key: Key, epoch: Counter
) -> DrawnRows | None:
    """Of all steps; None where that is too much to hold."""
    block = min(spec.num_steps, max(1, _DRAWN_AT_ONCE // spec.batch_size))
    firsts = jnp.arange(0, spec.num_steps, block, dtype=np.uint32)

    def drawn(first: jax.Array) -> DrawnRows:
        counters = stack_counters(epoch, first, spec.size)
        return draw_steps(program, leaves, spec.chains, spec.visited, key, counters, block)

    of_block = jax.tree.leaves(jax.eval_shape(drawn, firsts[0]))
    if len(firsts) * sum(part.size * part.dtype.itemsize for part in of_block) > _MOST_BYTES:
        return None
    if len(firsts) == 1:
        return drawn(firsts[0])
    blocks = jax.lax.map(drawn, firsts)
    return jax.tree.map(lambda found: found.reshape(-1, *found.shape[2:])[: spec.num_steps], blocks)


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
