"""The key tree: which bits decide what. Every subpackage draws from here and from nowhere else.

    key - fold_in(LIBRARY) - fold_in(epoch) -+- ORDER                                 -> shuffle words
                                             +- OFFSET                                -> offset of the weighted places
                                             +- AUGMENT - example - tag of transform  -> a block of words
                                             |               - SHOWING - showing - tag, where it is shown again
                                             +- STEP - step                           -> step_key
    key - fold_in(SPLIT)                                                              -> train / validation

Draws are raw threefry words, made into floats by `uniforms`. `jax.random.uniform` and `bits` change with
`jax_enable_x64`, `jax_threefry_partitionable` and the length of the block; these words do not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2s
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ._checks import check_int, check_not_forked
from ._describe import shown
from ._transfers import transfers

if TYPE_CHECKING:
    from jaxtyping import Array, Float, UInt32

Key: TypeAlias = jax.Array | np.ndarray  # a scalar jax.random.key, or a legacy uint32[2] PRNGKey
Counter: TypeAlias = int | np.integer | jax.Array | np.ndarray  # an integer of shape (), possibly traced

Word: TypeAlias = jax.Array | np.ndarray | np.uint32

# Large constants, so that a user's own fold_in(fold_in(key, epoch), step) never meets our keys.
LIBRARY = 0xB7E15162
SPLIT = 0x8AED2A6A
ORDER, AUGMENT, STEP, OFFSET = 0xBF715880, 0x9CF4F3C7, 0x62E7160F, 0x38B4DA56
SHOWING = 0xC90FDAA2

# Raised whenever the same key would give another order or another draw; kept in a stream's saved state.
STREAM_VERSION = 1

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)

_THREEFRY: set[np.dtype] = set()  # key dtypes known to be threefry's; asking JAX takes 5 us


def as_key(key: object) -> jax.Array:
    """`key` as a typed threefry key, whatever the default implementation is; both spellings give one stream."""
    check_not_forked()  # here, as nothing of this package draws without a key
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        raise TypeError(f"key is {shown(key)}; expected a PRNG key. Make one with jax.random.key(seed).")
    if isinstance(key, jax.Array) and (dtype in _THREEFRY or jnp.issubdtype(dtype, jax.dtypes.prng_key)):
        if dtype not in _THREEFRY and str(jax.random.key_impl(key)) != "threefry2x32":
            raise TypeError(
                f"key is of the implementation {jax.random.key_impl(key)}; expected threefry2x32. Under vmap other "
                "keys are no per-example functions, so an image would depend on its neighbours. "
                "Make one with jax.random.key(seed, impl='threefry2x32')."
            )
        _THREEFRY.add(dtype)
        if key.shape != ():
            raise TypeError(f"key has shape {key.shape}; expected one key, of shape (). Use jax.vmap for several.")
        return key
    if isinstance(key, (np.ndarray, jax.Array)) and dtype == np.uint32 and key.shape == (2,):
        return wrapped(key)
    raise TypeError(
        f"key has dtype {dtype} and shape {getattr(key, 'shape', None)}; expected a scalar jax.random.key or a legacy "
        "threefry PRNGKey, uint32[2]. Make one with jax.random.key(seed)."
    )


@transfers
def wrapped(data: np.ndarray | jax.Array) -> jax.Array:
    """The typed threefry key of its two words, uint32[2]."""
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")


def uncommitted(array: jax.Array) -> jax.Array:
    """The array or typed key, not committed to a device, as one restored from a checkpoint may be."""
    return array if isinstance(array, jax.core.Tracer) or not array.committed else _moved(array)


@transfers
def _moved(array: jax.Array) -> jax.Array:
    # Also while a program is traced; `jnp.asarray` would lay the array out over the mesh that is set.
    with jax.ensure_compile_time_eval():
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            data = jax.device_put(np.asarray(jax.random.key_data(array)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
        return jax.device_put(np.asarray(array))


def like_given(key: jax.Array, given: Key) -> jax.Array:
    """The typed `key` as the kind of key that the user gave: typed, or legacy uint32[2]."""
    return key if jnp.issubdtype(given.dtype, jax.dtypes.prng_key) else jax.random.key_data(key)


def check_counter(name: str, value: Counter) -> np.uint32 | jax.Array:
    """A concrete `epoch`, `step` or `index` as np.uint32, a traced one cast to uint32; nothing wraps silently."""
    if isinstance(value, jax.core.Tracer):
        if not jnp.issubdtype(value.dtype, np.integer) or value.shape != ():
            raise TypeError(f"{name} is a traced {value.dtype}{list(value.shape)}; expected an integer scalar.")
        return value.astype(np.uint32)
    return np.uint32(check_int(name, value, 0, 2**32, expected="an integer in [0, 2**32)"))


def role_key(key: Key, epoch: Counter, role: int) -> jax.Array:
    """The key of one role (ORDER, AUGMENT, STEP or OFFSET) in one epoch."""
    path = jnp.stack([jnp.asarray(word, np.uint32) for word in (LIBRARY, epoch, role)])

    def along_path(unroll: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
        return lambda data, path: jax.lax.scan(_fold_step, data, path, unroll=unroll)[0]

    # On CPU a scan compiles the rounds once instead of three times; a GPU would start kernels for every step of it.
    folded = jax.lax.platform_dependent(key_data(key), path, cpu=along_path(False), default=along_path(True))
    return wrap_key_data(folded)


@transfers
@jax.jit
def fold_in(key: Key, word: Counter) -> jax.Array:
    """As `jax.random.fold_in`, for a uint32: JAX's own is a loop of many small steps on CPU, 80 us for a batch."""
    return wrap_key_data(_folded_in(key_data(key), jnp.asarray(word, np.uint32)))


def example_keys(
    key: Key, epoch: Counter, rows: UInt32[Array, " rows"], showings: UInt32[Array, " rows"] | None = None
) -> jax.Array:
    """The keys of examples, of which what happens to them is drawn.

    Args:
        showings: How often each was shown before in this epoch, by which copies differ; None for never.
    """
    keys = jax.vmap(partial(fold_in, role_key(key, epoch, AUGMENT)))(rows)
    return keys if showings is None else jax.vmap(shown_again)(keys, showings)


def shown_again(key: Key, showing: UInt32[Array, ""]) -> jax.Array:
    """The key of a showing of an example, from that of showing 0."""
    # Two folds, so that a showing is the tag of no transform.
    return jnp.where(showing == 0, key, fold_in(fold_in(key, np.uint32(SHOWING)), showing))


def places_before(rows: np.ndarray) -> np.ndarray:
    """For each place of `rows`, how many places before it hold the same row, as uint32.

    They number the showings of a row that is visited several times.

    Example:
        >>> places_before(np.array([3, 5, 3, 3])).tolist()
        [0, 0, 1, 2]
    """
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    is_first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    starts = np.flatnonzero(is_first)
    before = np.empty(len(rows), np.uint32)
    before[order] = np.arange(len(rows)) - starts[np.cumsum(is_first) - 1]
    return before


def _fold_step(data: jax.Array, word: jax.Array) -> tuple[jax.Array, None]:
    return _folded_in(data, word), None


def _folded_in(data: jax.Array, word: jax.Array) -> jax.Array:
    return jnp.stack(threefry((data[0], data[1]), np.uint32(0), word))


def tag(text: str) -> int:
    """32 bits that stand for a name, the same in every process (Python's own `hash` is salted)."""
    return int.from_bytes(blake2s(text.encode(), digest_size=4).digest(), "little")


@transfers
def words(key: Key, count: int) -> UInt32[Array, " count"]:
    """`count` raw 32-bit words of a threefry key; `count` is even."""
    return _words(key_data(key), count)


# Traced once for each count, and no program of its own inside of others.
@partial(jax.jit, static_argnums=1, inline=True)
def _words(data: UInt32[Array, 2], count: int) -> UInt32[Array, " count"]:
    counters = jnp.arange(count, dtype=np.uint32)
    return jnp.concatenate(threefry((data[0], data[1]), counters[: count // 2], counters[count // 2 :]))


def wrap_key_data(data: UInt32[Array, 2]) -> jax.Array:
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def key_data(key: Key) -> UInt32[Array, 2]:
    return jax.random.key_data(as_key(key))


@transfers
def uniforms(key: Key, count: int) -> Float[Array, " count"]:
    """`count` float32 in [0, 1), multiples of 2**-24: the upper 24 bits of each raw word.

    Word `i` depends on `count`, so each kind of transform draws one block of one fixed size.
    """
    return (words(key, count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def threefry(key: tuple[Word, Word], first: Word, second: Word) -> tuple[Word, Word]:
    """Threefry-2x32 of 20 rounds: two uint32 words for each pair of counters, all uint32, scalars or of one shape.

    The same function as `jax.extend.random.threefry_2x32`, to which a test compares it. JAX's own is a loop of some
    forty small steps on CPU: for the few hundred words of a batch it takes 30 us longer and compiles twice as long.
    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    schedule = (*key, key[0] ^ key[1] ^ _PARITY)
    first, second = first + schedule[0], second + schedule[1]
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            first = first + second
            second = ((second << np.uint32(rotation)) | (second >> np.uint32(32 - rotation))) ^ first
        first, second = first + schedule[group % 3], second + schedule[(group + 1) % 3] + np.uint32(group)
    return first, second


def _threefry_of_integers(key: list[int], first: int, second: int) -> tuple[int, int]:
    """The same for Python's integers, which take a fifth of the time that NumPy takes for one pair."""
    schedule, mask = (*key, key[0] ^ key[1] ^ int(_PARITY)), 0xFFFFFFFF
    first, second = first + schedule[0], (second + schedule[1]) & mask
    for group in range(1, 6):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            first += second
            second = ((second << rotation | second >> (32 - rotation)) ^ first) & mask
        first, second = first + schedule[group % 3], (second + schedule[(group + 1) % 3] + group) & mask
    return first & mask, second


# The same in NumPy, with the same bits: for one picture, and where JAX cannot be used. Keys are words, uint32[2, keys].


def key_words(key: Key) -> np.ndarray:
    """The two words of one key, uint32[2]."""
    if isinstance(key, np.ndarray):
        return key
    words: Any = jax.random.key_data(as_key(key))
    return np.asarray(words)


def role_words(key: Key, epoch: int, role: int) -> np.ndarray:
    """As `role_key`, uint32[2, 1]."""
    first, second = key_words(key).tolist()
    return np.array(_role_words(first, second, int(epoch), role), np.uint32)


@lru_cache(maxsize=256)
def _role_words(first: int, second: int, epoch: int, role: int) -> tuple[list[int], ...]:
    keys = np.array([[first], [second]], np.uint32)
    for word in (LIBRARY, epoch, role):
        keys = fold_words(keys, np.array([word], np.uint32))
    return tuple(keys.tolist())


def role_word(key: Key, epoch: int, role: int) -> np.uint32:
    """The first of the two `words` of a `role_key`."""
    first, second = key_words(key).tolist()
    return np.uint32(_role_word(first, second, int(epoch), role))


@lru_cache(maxsize=256)
def _role_word(first: int, second: int, epoch: int, role: int) -> int:
    return int(words_of(np.array(_role_words(first, second, epoch, role), np.uint32), 2)[0, 0])


def fold_words(keys: np.ndarray, words: np.ndarray) -> np.ndarray:
    """As `fold_in`, of each key with its word, uint32[keys], or of all with the only one."""
    if keys.size == 2 and words.size == 1:
        return np.array(_threefry_of_integers(keys.ravel().tolist(), 0, words.item()), np.uint32)[:, None]
    return np.stack(threefry((keys[0], keys[1]), np.uint32(0), words))


def example_words(key: Key, epoch: int, rows: np.ndarray, showings: np.ndarray) -> np.ndarray:
    """As `example_keys`, of uint32 arrays."""
    keys = fold_words(role_words(key, epoch, AUGMENT), rows)
    if not showings.any():
        return keys
    return np.where(showings == 0, keys, fold_words(fold_words(keys, np.array([SHOWING], np.uint32)), showings))


def words_of(keys: np.ndarray, count: int) -> np.ndarray:
    """As `words`, uint32[keys, count]."""
    counters = np.arange(count, dtype=np.uint32)
    pair = keys[0][:, None], keys[1][:, None]
    return np.concatenate(threefry(pair, counters[: count // 2], counters[count // 2 :]), axis=-1)


def uniforms_of(keys: np.ndarray, count: int) -> np.ndarray:
    """As `uniforms`, float32[keys, count]."""
    return (words_of(keys, count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
