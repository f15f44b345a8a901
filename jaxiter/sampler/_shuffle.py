"""Which example comes when: swap-or-not, a keyed bijection of `range(size)` that is computed only where asked."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_int, check_not_masked
from .._keys import ORDER, Counter, Key, Word, as_key, check_counter, role_key, role_words, words, words_of
from .._transfers import on_host, transfers

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Int

Size: TypeAlias = int | np.uint32 | jax.Array

MAX_ROUNDS = 4 * 31 + 16
# Whole epochs are made in blocks of these lengths, so that a new size compiles nothing new.
_BLOCKS = (4096, 131072)


@transfers
def shuffled(key: Key, epoch: Counter, position: Int[Array | np.ndarray, ...] | int, size: int) -> Int[Array, ...]:
    """Which example is shown at each position of an epoch.

    For a fixed key and epoch this is a bijection of `range(size)`, computed only where asked: the cost grows
    with the number of positions and not with `size`, no permutation is stored, and a new `size` compiles
    nothing new.

    Args:
        key: Decides the order of every epoch.
        epoch: An integer in [0, 2**32), may be traced; neighbouring epochs are independent.
        position: Positions in the epoch, integers in [0, size), of any shape. May be traced, and then unchecked.
        size: Number of examples, a Python int in [1, 2**31).

    Returns:
        The example at each position, int32, with the shape of `position`.

    Raises:
        ValueError: If size or epoch is out of range, or a concrete position is.
        TypeError: If key is no threefry key, or position, epoch or size is no integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sorted(shuffled(jax.random.key(0), 0, jnp.arange(5), 5).tolist())
        [0, 1, 2, 3, 4]

    Reference:
        Hoang, Morris and Rogaway, "An Enciphering Scheme Based on a Card Shuffle", CRYPTO 2012.
    """
    size = check_size(size)
    return _shuffled(as_key(key), check_counter("epoch", epoch), _check_position(position, size), np.uint32(size))


@transfers
def permutation(key: Key, epoch: Counter, size: int) -> Int[Array, " size"]:
    """The order of one whole epoch: `shuffled` at every position.

    Args:
        key: Decides the order of every epoch.
        epoch: An integer in [0, 2**32), may be traced.
        size: Number of examples, a Python int in [1, 2**31).

    Returns:
        int32[size], every number of `range(size)` once.

    Raises:
        ValueError, TypeError: As `shuffled`.

    Example:
        >>> import jax
        >>> permutation(jax.random.key(0), 0, 8).tolist() == permutation(jax.random.key(0), 1, 8).tolist()
        False
    """
    size = check_size(size)
    key, epoch = as_key(key), check_counter("epoch", epoch)
    if _is_being_traced(key, epoch):
        return _shuffled(key, epoch, jnp.arange(size, dtype=np.uint32), np.uint32(size))
    block = next((length for length in _BLOCKS if size <= length), _BLOCKS[-1])
    starts = range(0, size, block)
    parts = [_shuffled_block(key, epoch, np.uint32(start), np.uint32(size), block) for start in starts]
    order = np.empty(size, np.int32)
    for start, part in zip(starts, parts, strict=True):
        order[start : start + block] = np.asarray(part)[: size - start]
    return jax.device_put(order)  # jnp.asarray would compile a program for every new size


def order_on_host(key: Key, epoch: int, size: int) -> np.ndarray:
    """What `permutation` returns, in NumPy: without a program for the few, and where JAX cannot be used."""
    if size == 1:
        return np.zeros(1, np.int32)
    drawn = words_of(role_words(key, epoch, ORDER), 2 * MAX_ROUNDS).reshape(MAX_ROUNDS, 2)
    constants, masks = _multiply_high(drawn[:, 0], np.uint32(size)), drawn[:, 1]
    order: Any = np.arange(size, dtype=np.uint32)
    for constant, mask in zip(constants[: _num_rounds(size)], masks, strict=False):
        order = _swap_or_not(np, order, constant, mask, np.uint32(size))
    return np.asarray(order.astype(np.int32))


def shuffle_positions(
    key: Key, epoch: Counter, position: ArrayLike, size: Size, at_most: int = 2**31
) -> Int[Array, ...]:
    """Unchecked version of `shuffled`, for use under tracing; `size` may be traced too, where it is `at_most` that."""
    most_rounds = _num_rounds(at_most if isinstance(size, jax.Array) else int(size))
    size = jnp.asarray(size, np.uint32)
    num_rounds = 4 * _bit_length(size - np.uint32(1)) + 16
    drawn = words(role_key(key, epoch, ORDER), 2 * MAX_ROUNDS).reshape(MAX_ROUNDS, 2)
    constants, masks = _multiply_high(drawn[:, 0], size), drawn[:, 1]

    def four_rounds(group: jax.Array, x: jax.Array) -> jax.Array:
        for offset in range(4):
            constant, mask = constants[group * 4 + offset], masks[group * 4 + offset]
            x = _swap_or_not(jnp, x, constant, mask, size)
        return x

    def looped(x: jax.Array) -> jax.Array:
        # The trip count is traced, so another number of rounds compiles nothing. Four rounds in a body were fastest.
        return jax.lax.fori_loop(0, num_rounds // 4, four_rounds, x)

    def unrolled(x: jax.Array) -> jax.Array:
        # A GPU starts kernels for every iteration of a loop, half a millisecond in all; this is one kernel. Only where
        # the size is traced are there rounds beyond those needed.
        def one_round(x: jax.Array, drawn: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            constant, mask, is_one = drawn
            return jnp.where(is_one, _swap_or_not(jnp, x, constant, mask, size), x), None

        is_one = jnp.arange(most_rounds, dtype=np.int32) < num_rounds
        rounds = constants[:most_rounds], masks[:most_rounds], is_one
        return jax.lax.scan(one_round, x, rounds, unroll=True)[0]

    x = jax.lax.platform_dependent(jnp.asarray(position).astype(np.uint32), cpu=looped, default=unrolled)
    return x.astype(np.int32)


def _num_rounds(size: int) -> int:
    return 4 * (size - 1).bit_length() + 16


def _swap_or_not(xp: ModuleType, x: Word, constant: Word, mask: Word, size: Word) -> Any:
    """One round: x or its partner (constant - x) mod size; both ask the same hash bit, so the map is a bijection."""
    partner = constant - x
    partner = xp.where(constant < x, partner + size, partner)
    bits = (xp.maximum(x, partner) ^ mask) * np.uint32(0x85EBCA6B)  # multipliers of MurmurHash3's finaliser
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0xC2B2AE35)
    return xp.where(bits >> np.uint32(31) != 0, partner, x)


def _multiply_high(a: Any, b: Any) -> Any:
    """The upper 32 bits of a 32 x 32 bit product: maps a word to [0, b) without a modulo's bias."""
    low, shift = np.uint32(0xFFFF), np.uint32(16)
    a_low, a_high, b_low, b_high = a & low, a >> shift, b & low, b >> shift
    middle = a_high * b_low + ((a_low * b_low) >> shift)
    carry = a_low * b_high + (middle & low)
    return a_high * b_high + (middle >> shift) + (carry >> shift)


def _bit_length(x: jax.Array) -> jax.Array:
    """ceil(log2(x + 1)) of a uint32 scalar."""
    return np.int32(32) - jax.lax.clz(x).astype(np.int32)


@jax.jit
def _shuffled(key: Key, epoch: Counter, position: ArrayLike, size: Size) -> jax.Array:
    return shuffle_positions(key, epoch, position, size)


@partial(jax.jit, static_argnums=4)
def _shuffled_block(key: Key, epoch: Counter, start: ArrayLike, size: jax.Array, length: int) -> jax.Array:
    # Positions past the end are computed at 0 and cut off afterwards.
    position = start + jnp.arange(length, dtype=np.uint32)
    return shuffle_positions(key, epoch, jnp.where(position < size, position, np.uint32(0)), size)


def _is_being_traced(key: Key, epoch: Counter) -> bool:
    """True for tracers, and for concrete arguments under a user's `jit`, where the results are tracers all the same."""
    return any(isinstance(x, jax.core.Tracer) for x in (key, epoch, jax.random.key_data(key)))


def check_size(size: int) -> int:
    expected = "at least 1 and less than 2**31 examples (rows are int32)"
    return check_int("size", size, 1, 2**31, expected=expected, kind="a Python int, the number of examples")


def _check_position(position: ArrayLike, size: int) -> np.ndarray | jax.Array:
    check_not_masked("position", position)
    if isinstance(position, jax.core.Tracer):
        if not jnp.issubdtype(position.dtype, np.integer):
            raise TypeError(f"position is a traced {position.dtype}; expected integers.")
        return position
    values = np.asarray(on_host(position))
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"position has dtype {values.dtype}; expected integers, for example jnp.arange({size}).")
    if values.size and (values.min() < 0 or values.max() >= size):
        raise ValueError(
            f"position runs from {values.min()} to {values.max()}; expected [0, {size}), the positions of one epoch."
        )
    return values.astype(np.uint32)
