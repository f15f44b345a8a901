"""Batches as a pure function of (key, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from .._host_rows import dtype_of
from .._keys import Counter, Key, as_key, check_counter, like_given, uncommitted
from ..augment import Chain
from ..sampler.internal import check_size
from ._augment_tree import Form, as_given, place
from ._data import check_data, check_options, check_rows, leaf_name, upload
from ._donation import checked_donation
from ._plan import Plan, check_upload, plan
from ._program import Program, Rule, batch_spec, host_batch, resident_batch, rows_at, step_after, step_key, together
from ._reading import Rows, find_rows, read, reads
from ._records import with_columns
from ._sharding import check_sharding, is_traced, layout_of_data, spans_devices

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Int32


@jax.tree_util.register_pytree_with_keys_class
class Loader:
    """A data set and how it becomes batches; it holds no position.

    `batch(key, epoch, step)` is a pure function, so a run resumes from two integers, and every example's
    augmentation depends on `(key, epoch, its row)` and on nothing else. A Loader is a pytree: the arrays are leaves
    and everything else is static, so it may be passed to `jit`, where it should hold device arrays (`to_device`).

    Args:
        data: A pytree of arrays with one leading axis: `(images, labels)`, `{"image": ..., "mask": ...}`. They stay
            the arrays that you gave. Rows of JAX arrays are gathered on the device, inside the compiled program;
            rows of NumPy arrays, memmaps and array-likes (`shape`, `dtype`, indexing by a sorted integer array: h5py,
            zarr, TensorStore) on the host. Both give the same batches. What gives one example at a time, a Grain
            source for example, becomes its columns: see `from_records`.
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
        data = with_columns(data)  # in containers of our own: the user's may change
        check_data(data)
        check_options(batch_size, shuffle, remainder)
        num_examples = jax.tree.leaves(data)[0].shape[0]
        chains, form = place(data, augment)
        self._set(
            data=data,
            rows=None if rows is None else check_rows(rows, num_examples),
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
        named = zip(self._leaf_names, self._data_leaves, strict=True)
        leaves = (f"{name}: {dtype_of(leaf)}{list(leaf.shape)}" for name, leaf in named)
        static = f"batch_size={self.batch_size}, shuffle={self.shuffle}, remainder={self.remainder!r}"
        return f"Loader({', '.join(leaves)}; size={self.size}, {static}, augment={self.augment!r})"

    @property
    def augment(self) -> Any:
        """What was given: one transform, or for each leaf of the data a transform or None."""
        chains = self._chains
        return as_given(self, [None if chain is None else chain.transforms for chain in chains], pack=Chain)

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

    def batch(self, key: Key, epoch: Counter, step: Counter, *, donate: Any = None, sharding: Any = None) -> Any:
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
            sharding: A `jax.sharding.Sharding` over the leading axis, whose devices divide batch_size: the batch is a
                global array laid out by it, and every device makes its own part. Under `jit` your program's shardings
                do the same. With several processes all call this alike, and each reads only its own rows. Without it,
                arrays on a mesh of explicit axes give batches laid out as they are.

        Raises:
            ValueError: If epoch or step is out of range, step is traced and remainder is "keep", donate has other
                shapes, lies elsewhere, was donated before, or holds the loader's own arrays, the sharding does not
                divide the batch, or donate and sharding are both given.
            TypeError: If key is no threefry key, the arrays are on the host and an argument is traced, sharding is no
                sharding, or donate holds anything but JAX arrays.
        """
        epoch, step = check_counter("epoch", epoch), self._check_step(step)
        if sharding is not None:
            self._check_sharding(sharding)
            if donate is not None:
                raise ValueError("donate and sharding exclude each other; pass one of them.")
        if donate is not None:
            donate = self._donated(donate, self._program(step))
        key = uncommitted(as_key(key)) if sharding is not None or self._spans_devices else as_key(key)
        return self._batch(key, epoch, step, donate, sharding)

    def _batch(self, key: Key, epoch: Any, step: Any, donated: Any = None, sharding: Any = None) -> Any:
        """`batch` behind its door."""
        return self._made(key, epoch, step, self._read(key, epoch, step, sharding), donated, sharding)

    def _read(self, key: Key, epoch: Any, step: Any, sharding: Any) -> Rows | None:
        """The rows that have to be read for a batch, if any."""
        if not any(self._reads(sharding)):
            return None
        return read(self, find_rows(self, key, epoch, step, sharding), epoch, step, sharding)

    def _made(self, key: Key, epoch: Any, step: Any, rows: Rows | None, donated: Any, sharding: Any) -> Any:
        program = self._program(step, self._layout if sharding is None else sharding)
        if rows is None:
            return resident_batch(program, self._leaves, key, together(epoch, step), donated)
        was_read, data = self._reads(sharding), self._data_leaves
        given = [row if read else leaf for row, leaf, read in zip(rows.leaves, data, was_read, strict=True)]
        # The rows of the epoch were looked up; in the program all of them would be copied for every batch.
        used, leaves = program.without_rows, (*given, *self._without_rows[0][len(data) :])
        return host_batch(used, was_read, leaves, key, epoch, rows.index, donated)

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

    def step_after(self, num_examples: int) -> int:
        """The step of an epoch after `num_examples` of it were shown, to go on with another batch_size.

        Raises:
            ValueError: If no batch of this loader begins there.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> state = {"epoch": 2, "step": 6, "batch_size": 4}  # of stream(...).get_state()
            >>> Loader(np.arange(60), batch_size=12).step_after(state["step"] * state["batch_size"])
            2
        """
        return step_after(int(check_counter("num_examples", num_examples)), self.batch_size, self.num_steps)

    def to_device(self, sharding: Any = None) -> Loader:
        """The same loader with its arrays on the device (or as `sharding` says), for use under `jit`.

        Args:
            sharding: A `jax.Device`, or a `Sharding`: `NamedSharding(mesh, P())` puts everything on every device,
                `NamedSharding(mesh, P("data"))` a part of the examples on each, whose rows then travel between devices
                at every batch. Each process reads only what its own devices hold.

        Raises:
            ValueError: If a device has less memory free than that takes, and then nothing is done; see `plan`. If
                sharding does not divide the examples.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(6), batch_size=2).to_device()
            >>> jax.jit(lambda loader, step: loader.batch(jax.random.key(0), 0, step))(loader, 2).shape
            (2,)
        """
        if isinstance(sharding, jax.Device):
            sharding = SingleDeviceSharding(sharding)
        check_upload(self, sharding)
        rows = None if self.rows is None else jnp.asarray(self.rows if is_traced(self.rows) else np.asarray(self.rows))
        data = jax.tree.map_with_path(lambda path, leaf: upload(leaf_name(path), leaf, sharding), self.data)
        _, static = self.tree_flatten()
        return self.tree_unflatten(static, (data, self._chains, rows))

    def plan(self, device: Any = None, *, prefetch: int = 2, sharding: Any = None) -> Plan:
        """What this loader takes of a device's memory: arrays, a batch, and batches made ahead; nothing is allocated.

        Args:
            device: A `jax.Device`; None is the default device.
            prefetch, sharding: As for `stream`.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> plan = Loader(np.zeros((100, 8, 8, 3), np.uint8), batch_size=10).plan(prefetch=1)
            >>> plan.upload, plan.batch, plan.rows, plan.streaming
            (19200, 1920, 1920, 9600)
        """
        if sharding is not None:
            self._check_sharding(sharding)
        return plan(self, device, prefetch, sharding)

    def _check_sharding(self, sharding: Any) -> None:
        check_sharding(sharding, self.batch_size, self.remainder, self._data_leaves)

    def _rule(self, step: Any) -> Rule:
        length = self.batch_size
        if self.remainder == "keep":
            length = min(length, self.size - int(step) * self.batch_size)
        return Rule(self.batch_size, length, self.shuffle)

    # A loader is taken apart once and not at every batch; it cannot be changed.

    @cached_property
    def _leaves(self) -> list[Any]:
        return jax.tree.leaves(self)

    @cached_property
    def _data_leaves(self) -> list[Any]:
        return self._leaves[: len(self._chains)]

    @cached_property
    def _leaf_names(self) -> list[str]:
        return [leaf_name(path) for path, _ in jax.tree.leaves_with_path(self.data)]

    @cached_property
    def _without_rows(self) -> tuple[list[Any], Any]:
        return jax.tree.flatten(self.tree_unflatten(self.tree_flatten()[1], (self.data, self._chains, None)))

    @cached_property
    def _spans_devices(self) -> bool:
        return any(spans_devices(leaf) for leaf in self._leaves)

    def _donated(self, donated: Any, program: Program) -> Any:
        """What was given as `donate`, if its memory fits the batch that is to be made."""
        return checked_donation(donated, self._spec(program), self._leaves, any_length=self.remainder == "keep")

    def _spec(self, program: Program) -> Any:
        known = program.rule, jax.dtypes.canonicalize_dtype(np.int64)
        if known not in self._specs:
            self._specs[known] = batch_spec(program, self._leaves)
        return self._specs[known]

    def _reads(self, sharding: Any) -> tuple[bool, ...]:
        """Of which leaves of the data rows are read; the program takes those of the others itself."""
        if sharding not in self._known_reads:
            self._known_reads[sharding] = tuple(reads(leaf, sharding) for leaf in self._data_leaves)
        return self._known_reads[sharding]

    @cached_property
    def _known_reads(self) -> dict[Any, tuple[bool, ...]]:
        return {}

    @cached_property
    def _layout(self) -> Any:
        return layout_of_data(self._data_leaves, self.batch_size)

    @cached_property
    def _host_rows(self) -> Any:
        return np.asarray(self.rows)

    @cached_property
    def _programs(self) -> dict[tuple[Rule, Any], Program]:
        return {}

    @cached_property
    def _specs(self) -> dict[tuple[Rule, Any], Any]:
        return {}

    def _program(self, step: Any, sharding: Any = None) -> Program:
        known = self._rule(step), sharding
        if known not in self._programs:
            without_rows = Program(self._without_rows[1], *known)
            self._programs[known] = Program(jax.tree.structure(self), *known, without_rows)
        return self._programs[known]

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
