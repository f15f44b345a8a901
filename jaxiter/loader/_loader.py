"""Batches as a pure function of (key, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, Self, Unpack

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding
from numpy.typing import ArrayLike

from .._checks import check_int, check_not_forked
from .._keys import Counter, Key, as_key, check_counter, like_given
from .._words import Remainder
from ..augment import Transform
from ._augment_tree import AugmentForm, augment_of, chains_of
from ._batch import batch_mask, compute_batch
from ._data import (
    PyTree,
    check_data,
    check_epoch_length,
    check_options,
    check_step,
    leaves_of,
    structure_of,
    takes_data_alone,
)
from ._examples import LeafSteps
from ._memory import MemoryEstimate, estimate_memory
from ._preview import draw_preview
from ._program import rows_at, step_after, step_key
from ._read import read_batch
from ._records import with_columns
from ._repr import loader_repr
from ._settings import Settings
from ._sharding import check_sharding, devices_of, following, is_traced, mesh_of, on_mesh
from ._spec import BatchSpec, make_spec
from ._upload import uploaded
from ._visited import VisitedRows, what_is_visited

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Int32
    from PIL import Image


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
            source for example, becomes its columns: see `from_records`. Columns of numbers of pandas, Arrow and Polars
            become NumPy arrays. A list of more than 8 arrays of one shape is taken for a list of examples and refused.
        batch_size: Examples in a batch.
        augment: A transform for the one leaf of rank 4, images of shape (size, height, width, channels); or a tree
            prefix of the data with a transform or None at each leaf or subtree: `(transform, None)`, `{"image":
            transform, "mask": other, "label": None}`.
        shuffle: Show every epoch in another order. False: in the order of the data, or of `rows`.
        remainder: What becomes of the last examples where batch_size does not divide the size. "drop" leaves them
            out (other ones every epoch), "pad" fills the batch with examples from the epoch's start, see `mask`,
            "keep" makes the last batch short.
        rows: Rows of the data to visit, an integer array, for example from `train_validation_split`. Nothing is
            copied and the rows keep their identity: what an image becomes does not change.
        weights: How often each example is shown, one non-negative number for each of them, or for each of `rows`; for
            example `balanced_weights(labels)`. An epoch is as long as before. In every epoch example i is shown
            `size * weights[i] / weights.sum()` times, rounded down or up: which of both is drawn for the epoch, so
            that the mean is exact. Copies are different pictures. "drop" leaves some of these out. Other weights
            compile nothing new; working them out takes about a second for a million.

    Raises:
        ValueError, TypeError: For leaves of different length or of a type JAX cannot hold (text, times, masked and
            sparse arrays, missing values), 64-bit integers that do not fit, a list of examples, an augment that does
            not fit the data, a batch_size below 1, an unknown remainder, "drop" with fewer examples than a batch, rows
            out of range, or weights of another number, negative, not finite, all 0 or traced.

    Example:
        >>> import jax, numpy as np
        >>> from jaxiter import Affine, Chain, Loader, Rescale
        >>> images, labels = np.zeros((10, 8, 8, 1), np.uint8), np.arange(10)
        >>> loader = Loader((images, labels), batch_size=4, augment=Chain(Affine(rotation=15), Rescale(1 / 255)))
        >>> x, y = loader.batch(jax.random.key(0), epoch=0, step=1)
        >>> x.shape, x.dtype.name, y.shape, len(loader)
        ((4, 8, 8, 1), 'float32', (4,), 2)
    """

    data: PyTree
    batch_size: int
    shuffle: bool
    remainder: Remainder
    _chains: tuple[LeafSteps | None, ...]  # one for each leaf of the data
    _form: AugmentForm
    _visited: VisitedRows | None  # None: every row once
    _num_rows: int | None  # how many are visited, where they are not all
    _weights: np.ndarray | None  # as they were given

    _STATIC = ("batch_size", "shuffle", "remainder", "_form", "_num_rows")

    @takes_data_alone
    def __init__(
        self,
        data: PyTree,
        *,
        batch_size: int,
        augment: PyTree = None,
        shuffle: bool = True,
        remainder: Remainder = "drop",
        rows: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ):
        data = with_columns(data, (Loader, Transform))  # in containers of our own: the user's may change
        check_data(data)
        chains, form = chains_of(data, augment)
        self._set(data=data, _chains=chains, _form=form)
        self._set_options(batch_size=batch_size, shuffle=shuffle, remainder=remainder)
        self._set_visited(rows, weights)
        check_epoch_length(self.size, self.batch_size, self.remainder)

    def _set_options(self, *, batch_size: int, shuffle: bool, remainder: Remainder) -> None:
        check_options(batch_size, shuffle, remainder)
        self._set(batch_size=int(batch_size), shuffle=bool(shuffle), remainder=remainder)

    def _set_visited(self, rows: ArrayLike | None, weights: ArrayLike | None) -> None:
        num_examples = leaves_of(self.data)[0].shape[0]
        visited, num_rows, weights = what_is_visited(rows, weights, num_examples)
        self._set(_visited=visited, _num_rows=num_rows, _weights=weights)

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Loader cannot be changed; make another one with the {name} you want.")

    def tree_flatten_with_keys(self) -> tuple[list[tuple[jax.tree_util.GetAttrKey, PyTree]], tuple[object, ...]]:
        names = ("data", "_chains", "rows", "weights")
        children = list(zip(map(jax.tree_util.GetAttrKey, names), self.tree_flatten()[0], strict=True))
        return children, tuple(getattr(self, name) for name in self._STATIC)

    def tree_flatten(self) -> tuple[tuple[PyTree, ...], tuple[object, ...]]:
        children = self.data, self._chains, self._visited, self._weights
        return children, tuple(getattr(self, name) for name in self._STATIC)

    @classmethod
    def tree_unflatten(cls, static: tuple[object, ...], children: tuple[PyTree, ...]) -> Self:
        loader = object.__new__(cls)
        names = ("data", "_chains", "_visited", "_weights")
        loader._set(**dict(zip(names + cls._STATIC, (*children, *static), strict=True)))
        return loader

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("_spec", "_sharded_specs")}

    def __repr__(self) -> str:
        settings = {} if self._num_rows is None else {"rows": repr(self._num_rows)}
        settings |= {name: repr(getattr(self, name)) for name in ("batch_size", "shuffle", "remainder")}
        if self.weights is not None:
            settings["weights"] = f"{self.weights.dtype}{list(self.weights.shape)}"
        return loader_repr(self.data, settings, self.augment)

    @property
    def augment(self) -> PyTree:
        """What was given: one transform, or for each leaf of the data a transform or None."""
        return augment_of(self._form, structure_of(self.data), self._chains)

    @property
    def rows(self) -> np.ndarray | jax.Array | None:
        """The rows of the data that are visited, int32, as they were given; None for all of them."""
        rows = None if self._visited is None else self._visited.rows
        if rows is None:
            return None
        if is_traced(rows):
            return rows[: self._num_rows]
        shown = np.asarray(rows)[: self._num_rows]
        shown.flags.writeable = False  # the showings were worked out for these
        return shown

    @property
    def weights(self) -> np.ndarray | jax.Array | None:
        """The weights, as they were given; None without."""
        return self._weights

    @property
    def size(self) -> int:
        """Places in an epoch: as many as examples, or as `rows`."""
        return self._spec.size

    @property
    def num_steps(self) -> int:
        """Batches in an epoch; `len(loader)` is the same."""
        return self._spec.num_steps

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "a Loader holds no position and cannot be iterated. Use stream(loader, key, num_epochs=1), "
            "loader.epoch(key, epoch), or loader.batch(key, epoch, step)."
        )

    def index(self, key: Key, epoch: Counter, step: Counter) -> Int32[Array, " batch"]:
        """The rows of the data that make up a batch; arguments and errors as for `batch`.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> Loader(np.arange(5), batch_size=2, shuffle=False).index(jax.random.key(0), 0, 1).tolist()
            [2, 3]
        """
        epoch, step = check_counter("epoch", epoch), check_step(step, self.num_steps, self.remainder)
        spec = self._spec
        arrays = jax.tree.leaves(spec.visited)
        mesh = mesh_of(arrays, None)
        key = following(as_key(key), devices_of(arrays, None), mesh)
        with on_mesh(mesh):
            return rows_at(key, spec.visited, epoch, step, np.uint32(spec.size), spec.program_at(step).index)

    def mask(self, step: Counter) -> Bool[Array, " batch"]:
        """True for real examples, False for those that "pad" filled the batch with.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> Loader(np.arange(5), batch_size=3, remainder="pad").mask(1).tolist()
            [True, True, False]
        """
        check_not_forked()
        return batch_mask(self._spec, check_step(step, self.num_steps, self.remainder))

    def batch(self, key: Key, epoch: Counter, step: Counter, *, sharding: Sharding | None = None) -> PyTree:
        """The batch at (epoch, step), in the structure of the data.

        Args:
            key: A `jax.random.key` or legacy PRNGKey of threefry.
            epoch: An integer in [0, 2**32), may be traced.
            step: An integer in [0, num_steps), may be traced, and then unchecked.
            sharding: A `jax.sharding.Sharding` over the leading axis, whose devices divide batch_size: the batch is a
                global array laid out by it, and every device makes its own part. Under `jit` your program's shardings
                do the same. With several processes all call this alike, and each reads only its own rows. Without it,
                arrays on a mesh of explicit axes give batches laid out as they are.

        Raises:
            ValueError: If epoch or step is out of range, step is traced and remainder is "keep", or the sharding does
                not divide the batch.
            TypeError: If key is no threefry key, or the arrays are on the host and an argument is traced.
        """
        epoch, step = check_counter("epoch", epoch), check_step(step, self.num_steps, self.remainder)
        spec = self._spec if sharding is None else spec_of(self, sharding)
        key = following(as_key(key), spec.devices, spec.program.mesh)
        rows = read_batch(spec, key, epoch, step) if spec.reads_any else None
        return compute_batch(spec, key, epoch, step, rows)

    def epoch(self, key: Key, epoch: Counter) -> Iterator[PyTree]:
        """The batches of one epoch, in order; arguments and errors as for `batch`.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(5), batch_size=2, shuffle=False)
            >>> [batch.tolist() for batch in loader.epoch(jax.random.key(0), 0)]
            [[0, 1], [2, 3]]
        """
        as_key(key)  # bad arguments are refused here, and not at the first batch
        check_counter("epoch", epoch)
        return (self.batch(key, epoch, step) for step in range(self.num_steps))

    def preview(self, key: Key, *, rows: ArrayLike = 8, epochs: ArrayLike = 3) -> Image.Image:
        """A picture of some examples, and below them what some epochs make of them.

        Whatever is an array of pictures is shown, so that a mask stands below its image, and every view or frame (at
        most 4 of them) below the one before; boxes and points that follow an image are drawn into it. Each range of
        values is found, as by `image_grid`, one for the originals and one for the results; originals of another size
        are fitted into the size of the results.

        Args:
            key: As for `batch`.
            rows: How many examples, spread evenly over those that are visited; or the rows of the data themselves.
            epochs: How many, from epoch 0 on; or their numbers.

        Returns:
            A Pillow image, mode "RGB": a notebook shows it, `.save("preview.png")` writes it.

        Raises:
            ValueError: If the data hold no pictures, or for rows or epochs that are not there. TypeError: For other
                kinds of them, and under `jit`.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Affine, Loader
            >>> loader = Loader(np.zeros((10, 32, 32, 3), np.uint8), batch_size=5, augment=Affine(rotation=15))
            >>> loader.preview(jax.random.key(0), rows=5, epochs=2).size  # magnified twice, with gaps of 2
            (332, 200)
        """
        return draw_preview(self._spec, key, rows, epochs)

    def step_key(self, key: Key, epoch: Counter, step: Counter) -> jax.Array:
        """A key for whatever else that step draws (dropout, mixup ...), apart from all of the loader's own.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(5), batch_size=2)
            >>> loader.step_key(jax.random.key(0), 0, 1).dtype
            key<fry>
        """
        epoch, step = check_counter("epoch", epoch), check_step(step, self.num_steps, self.remainder)
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

    def to_device(self, sharding: jax.Device | Sharding | None = None) -> Loader:
        """The same loader with its arrays on the device (or as `sharding` says), for use under `jit`.

        Args:
            sharding: A `jax.Device`, or a `Sharding`: `NamedSharding(mesh, P())` puts everything on every device,
                `NamedSharding(mesh, P("data"))` a part of the examples on each, whose rows then travel between devices
                at every batch. Each process reads only what its own devices hold.

        Raises:
            ValueError: If a device reports less free memory than that takes, and then nothing is uploaded; see
                `memory`. If sharding does not divide the examples.

        Example:
            >>> import jax, numpy as np
            >>> from jaxiter import Loader
            >>> loader = Loader(np.arange(6), batch_size=2).to_device()
            >>> jax.jit(lambda loader, step: loader.batch(jax.random.key(0), 0, step))(loader, 2).shape
            (2,)
        """
        check_not_forked()
        if isinstance(sharding, jax.Device):
            sharding = SingleDeviceSharding(sharding)
        _, static = self.tree_flatten()
        data, chains, visited = uploaded(self._spec, self._chains, self._visited, sharding)
        return self.tree_unflatten(static, (data, chains, visited, self._weights))

    def memory(self, *, prefetch: int = 2, sharding: Sharding | None = None) -> MemoryEstimate:
        """Bytes that this loader takes of a device: arrays, a batch, its rows, a stream; nothing is allocated.

        Args:
            prefetch, sharding: As for `stream`.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> memory = Loader(np.zeros((100, 8, 8, 3), np.uint8), batch_size=10).memory(prefetch=1)
            >>> memory.upload, memory.batch, memory.rows, memory.streaming
            (19200, 1920, 1920, 9600)
        """
        return estimate_memory(spec_of(self, sharding), check_int("prefetch", prefetch))

    def replace(self, **settings: Unpack[Settings]) -> Loader:
        """The same loader with other settings: batch_size, augment, shuffle, remainder, rows, weights.

        They are checked as when a Loader is made; the data are neither read nor checked again.

        Raises:
            TypeError: For an unknown name. ValueError, TypeError: As when a Loader is made.

        Example:
            >>> import numpy as np
            >>> from jaxiter import Loader
            >>> len(Loader(np.arange(12), batch_size=4).replace(batch_size=3, rows=np.arange(6)))
            2
        """
        unknown = sorted(settings.keys() - Settings.__annotations__.keys())
        if unknown:
            raise TypeError(
                f"replace() got {', '.join(unknown)}; expected some of {', '.join(Settings.__annotations__)}."
            )
        children, static = self.tree_flatten()
        loader = self.tree_unflatten(static, children)
        if "augment" in settings:
            chains, form = chains_of(self.data, settings.pop("augment"))
            loader._set(_chains=chains, _form=form)
        loader._set_options(
            batch_size=settings.get("batch_size", self.batch_size),
            shuffle=settings.get("shuffle", self.shuffle),
            remainder=settings.get("remainder", self.remainder),
        )
        if settings.keys() & {"rows", "weights"}:  # else showings stay, which would be a sort inside a program
            loader._set_visited(settings.get("rows", self.rows), settings.get("weights", self.weights))
        check_epoch_length(loader.size, loader.batch_size, loader.remainder)
        return loader

    @cached_property
    def _spec(self) -> BatchSpec:
        return self._make_spec(None)

    @cached_property
    def _sharded_specs(self) -> dict[Sharding, BatchSpec]:
        return {}

    def _make_spec(self, sharding: Sharding | None) -> BatchSpec:
        options = {name: getattr(self, name) for name in ("batch_size", "shuffle", "remainder")}
        return make_spec(self.data, self._chains, self._visited, num_rows=self._num_rows, **options, sharding=sharding)


def spec_of(loader: Loader, sharding: Sharding | None = None) -> BatchSpec:
    """The loader worked out, for batches laid out by `sharding`.

    Raises:
        ValueError: For what is no sharding over the leading axis of a batch that gives every device as much.
    """
    if sharding is None:
        return loader._spec
    specs = loader._sharded_specs
    if not isinstance(sharding, Sharding) or sharding not in specs:
        check_sharding(sharding, loader.batch_size, loader.remainder, loader._spec.names, loader._spec.leaves)
        specs[sharding] = loader._make_spec(sharding)
    return specs[sharding]
