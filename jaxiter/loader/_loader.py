"""Batches as a pure function of (key, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from .._keys import Counter, Key, as_key, check_counter, like_given
from ..augment import Chain
from ..sampler._shuffle import check_size
from ._data import check_data, is_resident, leaf_name, read_rows, upload
from ._donation import checked_donation
from ._prefix import Form, place
from ._program import Program, Rule, batch_spec, host_batch, resident_batch, rows_at, step_key

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
            data=jax.tree.map(lambda leaf: leaf, data),  # containers of our own: the user's may change
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

    @cached_property
    def size(self) -> int:
        """Examples in an epoch: the rows visited."""
        return (jax.tree.leaves(self.data)[0] if self.rows is None else self.rows).shape[0]

    @cached_property
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
        return rows_at(as_key(key), self.rows, epoch, step, np.uint32(self.size), self._rule(step))

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

    def batch(self, key: Key, epoch: Counter, step: Counter, *, donate: Any = None) -> Any:
        """The batch at one place of the stream, in the structure of the data.

        Args:
            key: A `jax.random.key` or legacy PRNGKey of threefry.
            epoch: An integer in [0, 2**32), may be traced.
            step: An integer in [0, num_steps), may be traced, and then unchecked.
            donate: A batch of this loader that is needed no longer, as for `donate_argnums` of `jax.jit`: the new one
                takes its memory, and it is deleted. What is still computed from it is waited for. Batches of many
                megabytes on CPU gain by it, where fresh memory can take as long as they do. With remainder "keep" a
                batch of another length is let go, and the new one gets other memory. Within a program that is being
                traced it has no effect: donate to your own `jit`.

        Raises:
            ValueError: If epoch or step is out of range, step is traced and remainder is "keep", or donate has other
                shapes, lies elsewhere, was donated before, or holds the loader's own arrays.
            TypeError: If key is no threefry key, the arrays are on the host and an argument is traced, or donate
                holds anything but JAX arrays.
        """
        epoch, step = check_counter("epoch", epoch), self._check_step(step)
        if donate is not None:
            donate = self._donated(donate, self._program(step))
        return self._batch(as_key(key), epoch, step, donate)

    def _batch(self, key: Key, epoch: Any, step: Any, donated: Any) -> Any:
        """`batch` behind its door."""
        program, leaves = self._program(step), self._leaves
        if self._all_resident:
            return resident_batch(program, leaves, key, _together(epoch, step), donated)
        index = rows_at(key, self.rows, epoch, step, np.uint32(self.size), self._rule(step))
        if isinstance(index, jax.core.Tracer):
            raise TypeError(
                "the loader's arrays are on the host, where a program that is being traced (jit, scan, vmap) cannot "
                "read them. Put them on the device first, loader = loader.to_device(), and pass the loader to jit as "
                "an argument."
            )
        on_host, data = np.asarray(index), leaves[: len(self._chains)]
        names = [leaf_name(path) for path, _ in jax.tree.leaves_with_path(self.data)]
        rows = [
            leaf if is_resident(leaf) else read_rows(name, leaf, on_host)
            for name, leaf in zip(names, data, strict=True)
        ]
        was_read = tuple(not is_resident(leaf) for leaf in data)
        return host_batch(program, was_read, (*rows, *leaves[len(rows) :]), key, epoch, index, donated)

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
        return like_given(step_key(as_key(key), epoch, step), key)

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
        data = jax.tree.map(lambda leaf: upload(leaf, sharding), self.data)
        _, static = self.tree_flatten()
        return self.tree_unflatten(static, (data, self._chains, rows))

    def _rule(self, step: Any) -> Rule:
        length = self.batch_size
        if self.remainder == "keep":
            length = min(length, self.size - int(step) * self.batch_size)
        return Rule(self.batch_size, length, self.shuffle)

    # A loader is taken apart once and not at every batch; it cannot be changed.

    @cached_property
    def _leaves(self) -> list[Any]:
        return jax.tree.leaves(self)

    def _donated(self, donated: Any, program: Program) -> Any:
        """What was given as `donate`, if its memory fits the batch that is to be made."""
        known = program.rule, jax.dtypes.canonicalize_dtype(np.int64)
        if known not in self._specs:
            self._specs[known] = batch_spec(program, self._leaves)
        return checked_donation(donated, self._specs[known], self._leaves, any_length=self.remainder == "keep")

    @cached_property
    def _all_resident(self) -> bool:
        return all(map(is_resident, self._leaves[: len(self._chains)]))

    @cached_property
    def _programs(self) -> dict[Rule, Program]:
        return {}

    @cached_property
    def _specs(self) -> dict[tuple[Rule, Any], Any]:
        return {}

    @cached_property
    def _whole_program(self) -> Program:
        return Program(jax.tree.structure(self), self._rule(0))

    def _program(self, step: Any) -> Program:
        if self.remainder != "keep":
            return self._whole_program
        rule = self._rule(step)
        if rule not in self._programs:
            self._programs[rule] = Program(jax.tree.structure(self), rule)
        return self._programs[rule]

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


def _together(epoch: Any, step: Any) -> Any:
    """One argument of a program and not two: each that is handed over takes 7 us."""
    if isinstance(epoch, jax.core.Tracer) or isinstance(step, jax.core.Tracer):
        return jnp.stack([jnp.asarray(epoch), jnp.asarray(step)])
    return np.array([epoch, step], np.uint32)


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
