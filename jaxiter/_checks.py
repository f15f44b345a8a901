"""Argument validation shared by the subpackages: each check raises, or returns the value in its plain type."""

from __future__ import annotations

import os
import sys
from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ._describe import a_type, described, shown
from ._transfers import on_host


def is_flag(value: object) -> TypeGuard[bool | np.bool_]:
    """Whether it is True or False, of Python or NumPy."""
    return isinstance(value, (bool, np.bool_))


def is_integer(value: object) -> TypeGuard[int | np.integer]:
    """Whether it is an integer of Python or NumPy; a bool is none, though Python takes it for one."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_int(
    name: str,
    value: object,
    low: int = 0,
    high: int | None = None,
    *,
    expected: str | None = None,
    kind: str = "an integer",
) -> int:
    """`value` as a Python int in [low, high); NumPy and JAX integers of shape () pass, as checkpoints return them.

    Args:
        expected: Ends the message of a ValueError; by default the range.
        kind: Ends the message of a TypeError.

    Raises:
        TypeError: For bool, floats and anything else. ValueError: For an integer out of range.
    """
    if type(value) is not int:  # as most are
        if isinstance(value, (np.ndarray, jax.Array)) and value.shape == () and jnp.issubdtype(value.dtype, np.integer):
            value = int(on_host(value))
        if not is_integer(value):
            raise TypeError(f"{name} is {shown(value)}; expected {kind}.")
    if value < low or (high is not None and value >= high):
        bounds = f"{low} or more" if high is None else f"an integer in [{low}, {high})"
        raise ValueError(f"{name} is {value}; expected {expected or bounds}.")
    return int(value)


# The process this one was forked from while JAX ran there; a fork copies none of the threads that JAX waits for.
_forked_from: int | None = None


def _note_fork() -> None:
    global _forked_from
    # A private name, as JAX has no public one that starts no backend. Without it every fork counts.
    if getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", True):
        _forked_from = os.getppid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def is_forked() -> bool:
    """Whether JAX would hang here: it ran in the process that this one was forked from."""
    return _forked_from is not None


def check_not_forked() -> None:
    """Raises where JAX would hang; for whatever uses JAX outside of `jit`."""
    if _forked_from is not None:
        raise RuntimeError(
            f"JAX was running in process {_forked_from} when {os.getpid()} was forked from it, and would wait here for "
            "threads that a fork does not copy. Start processes by 'spawn' or 'forkserver' "
            "(multiprocessing.get_context('spawn')), use threads, or fork before anything uses JAX."
        )


def check_process(what: str, *processes: int) -> None:
    """Raises in a process forked from `processes`, where JAX hangs and threads are missing."""
    if os.getpid() not in processes:
        raise RuntimeError(
            f"{what} was made in process {processes[0]}, and {os.getpid()} was forked from it: neither its threads nor "
            "JAX work there. Start processes by 'spawn', and make it in each of them."
        )


def is_array(value: object) -> TypeGuard[np.ndarray | jax.Array]:
    """True for NumPy arrays, JAX arrays and tracers, which `jit` traces; a NumPy scalar is a number."""
    return isinstance(value, (np.ndarray, jax.Array))


def check_finite(name: str, value: object) -> None:
    """Accepts real numbers, tuples of them and arrays, none of them empty, without NaN or infinity; a tracer passes."""
    if isinstance(value, tuple):
        if not value:
            raise ValueError(f"{name} is (), which holds no numbers; expected at least one.")
        for item in value:
            check_finite(name, item)
        if len({len(item) if isinstance(item, tuple) else None for item in value}) > 1:
            raise ValueError(f"{name} is {shown(value)}; expected numbers, or tuples of one length.")
    elif is_array(value):
        _check_finite_array(name, value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        is_other_array = hasattr(value, "dtype") or hasattr(value, "__array__")
        found = f"{a_type(value)}, which is no array of NumPy or JAX" if is_other_array else shown(value)
        remedy = " Make one with np.asarray(...)." if is_other_array else ""
        remedy = " Complex numbers are refused." if isinstance(value, complex) else remedy
        raise TypeError(f"{name} is {found}; expected a number, a tuple of numbers or an array.{remedy}")
    elif not abs(value) <= sys.float_info.max:  # NaN, infinity, and integers that no float holds
        raise ValueError(f"{name} is {value!r}; expected a finite number.")


def _check_finite_array(name: str, value: np.ndarray | jax.Array) -> None:
    check_not_masked(name, value)
    if not jnp.issubdtype(value.dtype, np.number) or jnp.issubdtype(value.dtype, np.complexfloating):
        raise TypeError(f"{name} is an array of {value.dtype}; expected real numbers.")
    if value.size == 0:
        raise ValueError(f"{name} has shape {value.shape} and holds no numbers; expected at least one.")
    if isinstance(value, jax.core.Tracer):
        return
    numbers = np.asarray(on_host(value), np.float64)
    places = np.argwhere(~np.isfinite(numbers))
    if len(places):
        first = tuple(places[0].tolist())
        where = f", first {numbers[first]} at {first}" if first else f": {numbers}"
        raise ValueError(f"{name} holds NaN or infinity{where}; expected finite numbers.")


def check_flag(name: str, value: object, *, expected: str = "True or False") -> bool:
    """`value` as a Python bool; strings and numbers are refused, most of which are true. `expected` ends the error."""
    if not is_flag(value):
        raise TypeError(f"{name} is {shown(value)}; expected {expected}.")
    return bool(value)


def check_rows(rows: ArrayLike, count: int, *, owner: str) -> np.ndarray:
    """`rows` as a NumPy array of one or more integers in [0, count): row numbers of `owner`, for the error.

    Raises:
        TypeError: For another rank or dtype, bool included. ValueError: For no rows, or one out of range.
    """
    check_not_masked("rows", rows)
    try:
        values = np.asarray(on_host(rows))
    except ValueError:  # of lists of different length
        raise TypeError(
            f"rows is {described(rows)}; expected a one-dimensional integer array. Of a split use its .train or "
            ".validation."
        ) from None
    if values.size == 0 and values.ndim == 1:
        raise ValueError("rows is empty; expected at least one row.")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        remedy = "np.flatnonzero(mask) of a bool mask" if values.dtype == np.bool_ else "for example np.arange(100)"
        found = f"{values.dtype}{list(values.shape)}" if values.ndim else described(rows)
        raise TypeError(f"rows is {found}; expected a one-dimensional integer array, {remedy}.")
    if values.min() < 0 or values.max() >= count:
        raise ValueError(
            f"rows runs from {values.min()} to {values.max()}; expected [0, {count}), the rows of {owner}."
        )
    return values


def check_not_masked(name: str, value: object) -> None:
    """Raises for a masked array: NumPy goes on with the values that it hides."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, with {np.ma.count_masked(value)} values masked; expected plain numbers, as JAX "
            "has no masks. Fill in a value, x.filled(0), leave examples out, rows=np.flatnonzero(~mask), or give the "
            "mask as data of its own, np.ma.getmaskarray(x)."
        )


def check_fits(name: str, values: np.ndarray) -> None:
    """Refuses 64-bit numbers that do not fit the 32 bits which JAX makes of them without jax_enable_x64."""
    canonical = jax.dtypes.canonicalize_dtype(values.dtype)
    if canonical == values.dtype or values.size == 0:
        return
    if np.iscomplexobj(values):
        check_fits(f"the real part of {name}", values.real)
        check_fits(f"the imaginary part of {name}", values.imag)
        return
    bounds: np.iinfo | np.finfo
    if np.issubdtype(values.dtype, np.integer):
        bounds = np.iinfo(canonical)
    elif np.issubdtype(values.dtype, np.floating):
        bounds = np.finfo(canonical)
    else:
        return
    # fmin and fmax make no copy and pass over NaN; infinity stays infinity.
    for value in (np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)):
        if np.isfinite(value) and not bounds.min <= value <= bounds.max:
            raise ValueError(
                f"{name} is {values.dtype} and holds {value}, which does not fit the {canonical} that JAX makes of it. "
                "Set jax_enable_x64, or map the values to a smaller range."
            )
