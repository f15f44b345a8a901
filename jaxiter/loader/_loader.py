"""Batches as a pure function of (key, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import check_fits
from .._keys import AUGMENT, STEP, Counter, Key, as_key, check_counter, like_given, role_key
from ..augment import Chain
from ..sampler._shuffle import check_size, shuffle_positions
from ._boundary import isolated
from ._data import check_data, is_resident, leaf_name, read_rows, take_rows
from ._prefix import Form, place

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Int32

REMAINDERS = ("drop", "pad", "keep")


@jax.tree_util.register_pytree_with_keys_class
class Loader:
    """A data set and how it becomes batches; it holds no position.

    `batch(key, epoch, step)` is a pure function, so a run resumes from two integers, and every example's
    augmentation depends on `(key, epoch, its row)` and on nothing else. A Loader is a pytree: the arrays are leaves
    and everything else is static, so it may be passed to `jit`, where it should hold device arrays (`to_device`).

    Args:
        data: A pytree of arrays with one leading axis: `(images, labels)`, `{"image": ..., "mask": ...}`. They stay
            the arrays that you gave. Rows of JAX arrays are gathered on the device, inside the compiled program;
            rows of NumPy arrays, memmaps and array-likes (`shape`, `dtype`, indexing by a sorted integer array) on
            the host. Both give the same batches.
        batch_size: Examples in a batch.
        augment: A transform for the one leaf of rank 4, images of shape (size, height, width, channels); or a tree
            prefix of the data with a transform or None at each place: `(transform, None)`, `{"image": transform,
            "mask": other, "label": None}`.
        shuffle: Show every epoch in an order of its own. False: in the order of the data, or of `rows`.
        remainder: What becomes of the last examples where batch_size does not divide the size. "drop" leaves them
            out (other ones every epoch), "pad" fills the batch with examples from the epoch's start, see `mask`,
            "keep" makes the last batch short.
        rows: Rows of the data to visit, an integer array, for example from `train_validation_split`. Nothing is
            copied and the rows keep their identity: what an image becomes does not change.

    Raises:
        ValueError, TypeError: For leaves of different length or of a type JAX cannot hold, 64-bit integers that do
            not fit, an augment that does not fit the data, a batch_size below 1, an unknown remainder, "drop" with
            fewer examples than a batch, or rows out of range.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Chain, Loader, Rescale
        >>> images, labels = np.zeros((10, 8, 8, 1), np.uint8), np.arange(10)
        >>> loader = Loader((images, labels), batch_size=4, augment=Chain(Affine(rotation=15), Rescale(1 / 255)))
        >>> x, y = loader.batch(jax.random.key(0), epoch=0, step=1)
        >>> x.shape, x.dtype.name, y.shape, len(loader)
        ((4, 8, 8, 1), 'float32', (4,), 2)
    """

    data: Any
    rows: Any
    batch_size: int
    shuffle: bool
    remainder: str
    _chains: tuple[Chain | None, ...]  # one for each leaf of the data
    _form: Form

    _STATIC = ("batch_size", "shuffle", "remainder", "_form")

    def __init__(
        self,
        data: Any,
        *,
        batch_size: int,
        augment: Any = None,
        shuffle: bool = True,
        remainder: str = "drop",
        rows: Any = None,
    ):
        check_data(data)
        if isinstance(batch_size, (bool, np.bool_)) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"batch_size is {batch_size!r}; expected a Python int.")
        if not 1 <= batch_size < 2**31:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1 example in a batch.")
        if remainder not in REMAINDERS:
            raise ValueError(f"remainder is {remainder!r}; expected one of {', '.join(map(repr, REMAINDERS))}.")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle is {shuffle!r}; expected True or False. The order is decided by the key.")
        num_examples = jax.tree.leaves(data)[0].shape[0]
        chains, form = place(data, augment)
        self._set(
            data=data,
            rows=None if rows is None else _check_rows(rows, num_examples),
            batch_size=int(batch_size),
            shuffle=bool(shuffle),
            remainder=remainder,
            _chains=chains,
            _form=form,
        )
        check_size(self.size)
        if remainder == "drop" and self.size < batch_size:
            raise ValueError(
                f"the data has {self.size} examples and batch_size is {batch_size}, so remainder='drop' would leave no "
                "batch at all. Use a smaller batch_size, or remainder='pad' or 'keep'."
            )

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A Loader cannot be changed; make another one with the {name} you want.")

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in ("data", "_chains", "rows")]
        return children, tuple(getattr(self, name) for name in self._STATIC)

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.data, self._chains, self.rows), tuple(getattr(self, name) for name in self._STATIC)

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> Self:
        data, chains, rows = children
        loader = object.__new__(cls)
        loader._set(data=data, _chains=chains, rows=rows, **dict(zip(cls._STATIC, static, strict=True)))
        return loader

    def __repr__(self) -> str:
        leaves = (
            f"{leaf_name(path)}: {leaf.dtype}{list(leaf.shape)}" for path, leaf in jax.tree.leaves_with_path(self.data)
        )
        static = f"batch_size={self.batch_size}, shuffle={self.shuffle}, remainder={self.remainder!r}"
        return f"Loader({', '.join(leaves)}; size={self.size}, {static}, augment={self.augment!r})"

    @property
    def augment(self) -> Any:
        """What was given: one transform, or for each leaf of the data a transform or None."""
        chains = self._chains
        return self._as_given([None if chain is None else chain.transforms for chain in chains], pack=Chain)

    def _as_given(self, steps: Sequence[Any], pack: Any = lambda *steps: steps) -> Any:
        """For each leaf a tuple with one entry for each step of its chain, in the form in which `augment` was given."""
        leaves = [
            None if entries is None else entries[0] if single else pack(*entries)
            for entries, single in zip(steps, self._form.single, strict=True)
        ]
        return self._one_or_tree(leaves)

    def _one_or_tree(self, leaves: Sequence[Any]) -> Any:
        """Something of each augmented leaf: of the one picture if `augment` was one transform, else as the data."""
        if self._form.bare:
            return next(leaf for leaf, chain in zip(leaves, self._chains, strict=True) if chain is not None)
        return jax.tree.unflatten(jax.tree.structure(self.data), leaves)

    @property
    def size(self) -> int:
        """Examples in an epoch: the rows visited."""
        return (jax.tree.leaves(self.data)[0] if self.rows is None else self.rows).shape[0]

    @property
    def num_steps(self) -> int:
        """Batches in an epoch; `len(loader)` is the same."""
        full, rest = divmod(self.size, self.batch_size)
        return full + (1 if rest and self.remainder != "drop" else 0)

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(
            "a Loader holds no position and cannot be iterated. Use stream(loader, key, num_epochs=1), "
            "loader.epoch(key, epoch), or loader.batch(key, epoch, step)."
        )

    def index(self, key: Key, epoch: Counter, step: Counter) -> Int32[Array, " batch"]:
        """The rows of the data that make up a batch; arguments and errors as for `batch`."""
        epoch, step = check_counter("epoch", epoch), self._check_step(step)
        return _index(as_key(key), self.rows, epoch, step, np.uint32(self.size), self._rule(step))

    def mask(self, step: Counter) -> Bool[Array, " batch"]:
        """True for real examples, False for those that "pad" filled the batch with.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> Loader(np.arange(5), batch_size=3, remainder="pad").mask(1).tolist()
            [True, True, False]
        """
        step = self._check_step(step)
        return self._rule(step).positions(step) < np.uint32(self.size)

    def batch(self, key: Key, epoch: Counter, step: Counter) -> Any:
        """The batch at one place of the stream, in the structure of the data.

        Args:
            key: A `jax.random.key` or legacy PRNGKey of threefry.
            epoch: An integer in [0, 2**32), may be traced.
            step: An integer in [0, num_steps), may be traced, and then unchecked.

        Raises:
            ValueError: If epoch or step is out of range, or step is traced and remainder is "keep".
            TypeError: If key is no threefry key, or the arrays are on the host and an argument is traced.
        """
        epoch, step = check_counter("epoch", epoch), self._check_step(step)
        key, rule = as_key(key), self._rule(step)
        leaves = jax.tree.leaves(self.data)
        if all(is_resident(leaf) for leaf in leaves):
            return _resident_batch(self, key, epoch, step, rule)
        index = _index(key, self.rows, epoch, step, np.uint32(self.size), rule)
        if isinstance(index, jax.core.Tracer):
            raise TypeError(
                "the loader's arrays are on the host, where a program that is being traced (jit, scan, vmap) cannot "
                "read them. Put them on the device first, loader = loader.to_device(), and pass the loader to jit as "
                "an argument."
            )
        on_host = np.asarray(index)
        names = [leaf_name(path) for path, _ in jax.tree.leaves_with_path(self.data)]
        sources = tuple(leaf if is_resident(leaf) else None for leaf in leaves)
        gathered = tuple(
            None if is_resident(leaf) else read_rows(name, leaf, on_host)
            for name, leaf in zip(names, leaves, strict=True)
        )
        batch = _host_batch(self._chains, sources, gathered, key, epoch, index)
        return jax.tree.unflatten(jax.tree.structure(self.data), batch)

    def epoch(self, key: Key, epoch: Counter) -> Iterator[Any]:
        """The batches of one epoch, in order."""
        as_key(key), check_counter("epoch", epoch)
        return (self.batch(key, epoch, step) for step in range(self.num_steps))

    def step_key(self, key: Key, epoch: Counter, step: Counter) -> Key:
        """A key for whatever else that step draws (dropout, mixup ...), apart from all of the loader's own.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(5), batch_size=2)
            >>> loader.step_key(jax.random.key(0), 0, 1).dtype
            key<fry>
        """
        epoch, step = check_counter("epoch", epoch), self._check_step(step)
        return like_given(_step_key(as_key(key), epoch, step), key)

    def to_device(self, sharding: Any = None) -> Loader:
        """The same loader with its arrays on the device (or as `sharding` says), for use under `jit`.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(6), batch_size=2).to_device()
            >>> jax.jit(lambda loader, step: loader.batch(jax.random.key(0), 0, step))(loader, 2).shape
            (2,)
        """
        rows = None if self.rows is None else jnp.asarray(self.rows)
        data = jax.tree.map(lambda leaf: _upload(leaf, sharding), self.data)
        _, static = self.tree_flatten()
        return self.tree_unflatten(static, (data, self._chains, rows))

    def _rule(self, step: Any) -> _Rule:
        length = self.batch_size
        if self.remainder == "keep":
            length = min(length, self.size - int(step) * self.batch_size)
        return _Rule(self.batch_size, length, self.shuffle)

    def _check_step(self, step: Counter) -> Any:
        if self.remainder == "keep" and isinstance(step, jax.core.Tracer):
            raise ValueError(
                "remainder='keep' makes the last batch short, so a traced step has no static shape. Use "
                "remainder='pad' and loader.mask(step)."
            )
        is_negative = isinstance(step, (int, np.integer)) and step < 0
        checked = step if is_negative else check_counter("step", step)
        if not isinstance(checked, jax.core.Tracer) and not 0 <= checked < self.num_steps:
            raise ValueError(f"step is {checked}; expected a step in [0, {self.num_steps}), the batches of one epoch.")
        return checked


class _Rule(NamedTuple):
    """The static part of an index."""

    batch_size: int
    length: int  # smaller than batch_size in a short last batch
    shuffle: bool

    def positions(self, step: Any) -> Any:
        return step * np.uint32(self.batch_size) + jnp.arange(self.length, dtype=np.uint32)


def _rows_at(key: Key, rows: Any, epoch: Any, step: Any, size: Any, rule: _Rule) -> Any:
    """The rows of one batch; positions past the end start over."""
    position = rule.positions(step) % size
    if rule.shuffle:
        position = shuffle_positions(key, epoch, position, size)
    position = position.astype(np.int32)
    return position if rows is None else jnp.asarray(rows, np.int32).at[position].get(mode="promise_in_bounds")


def augment_rows(chains: Any, key: Key, epoch: Any, index: Any, leaves: Any) -> tuple[Any, ...]:
    """Each leaf's rows after its chain; what an example draws follows from its row of the data alone."""
    if all(chain is None for chain in chains):
        return tuple(leaves)
    parent = role_key(key, epoch, AUGMENT)
    keys = jax.vmap(lambda row: jax.random.fold_in(parent, row))(index.astype(np.uint32))

    def augmented(chain: Any, images: Any) -> Any:
        if chain is None:
            return images
        return jax.vmap(chain.sample_and_apply)(keys, images)

    return tuple(augmented(chain, images) for chain, images in zip(chains, leaves, strict=True))


_index = jax.jit(_rows_at, static_argnums=5)


@partial(jax.jit, static_argnums=4)
def _resident_batch(loader: Loader, key: Key, epoch: Any, step: Any, rule: _Rule) -> Any:
    leaves, structure = jax.tree.flatten(loader.data)

    def batch() -> Any:
        index = _rows_at(key, loader.rows, epoch, step, np.uint32(loader.size), rule)
        return augment_rows(loader._chains, key, epoch, index, [take_rows(leaf, index) for leaf in leaves])

    return jax.tree.unflatten(structure, isolated(batch))


@jax.jit
def _host_batch(chains: Any, sources: Any, gathered: Any, key: Key, epoch: Any, index: Any) -> Any:
    """The batch of rows read on the host; leaves that are resident have a source instead."""
    pairs = zip(sources, gathered, strict=True)
    leaves = [rows if source is None else take_rows(source, index) for source, rows in pairs]
    return augment_rows(chains, key, epoch, index, leaves)


@jax.jit
def _step_key(key: Key, epoch: Any, step: Any) -> Key:
    return jax.random.fold_in(role_key(key, epoch, STEP), step)


def _upload(leaf: Any, sharding: Any) -> Any:
    if is_resident(leaf):
        return leaf if sharding is None else jax.device_put(leaf, sharding)
    values = np.asarray(leaf[:])
    check_fits("data", values)
    values = values.astype(jax.dtypes.canonicalize_dtype(values.dtype), copy=False)
    # A copy, never an alias: the caller may go on writing to the array. On CPU `device_put` keeps a NumPy array that is
    # aligned as its own memory (in spite of may_alias=False), and `jnp.array` holds a third one for a while; so
    # the copy is made here, aligned, and handed over.
    return jax.device_put(_aligned_copy(values), sharding)


def _aligned_copy(values: np.ndarray) -> np.ndarray:
    alignment = 64  # bytes; what XLA:CPU asks of memory that it takes over
    buffer = np.empty(values.nbytes + alignment, np.uint8)
    start = -buffer.ctypes.data % alignment
    copy = buffer[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    np.copyto(copy, values)
    return copy


def _check_rows(rows: Any, num_examples: int) -> Any:
    if isinstance(rows, jax.core.Tracer):
        return rows
    values = np.asarray(rows)
    if values.dtype == np.bool_:
        raise TypeError("rows is a bool mask; expected row numbers. Use np.flatnonzero(mask).")
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"rows is {values.dtype}{list(values.shape)}; expected a one-dimensional integer array.")
    if values.size == 0:
        raise ValueError("rows is empty; expected at least one row to visit.")
    if values.min() < 0 or values.max() >= num_examples:
        raise ValueError(
            f"rows runs from {values.min()} to {values.max()}; expected [0, {num_examples}), the rows of the data."
        )
    return rows.astype(np.int32) if isinstance(rows, jax.Array) else values.astype(np.int32)
