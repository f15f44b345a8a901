"""What a Loader is worked out into once: all that reading rows and running the program need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import jax
import numpy as np
from jax.sharding import Sharding

from .._array_checks import check_array
from .._keys import Counter
from .._ragged import is_ragged
from ..augment.internal import Companion
from ._columns import Column
from ._data import PyTree, Source, array_of, is_resident, leaf_name, leaves_with_path, structure_of
from ._examples import LeafSteps
from ._program import IndexSpec, Program
from ._sharding import (
    Share,
    check_together,
    devices_of,
    following,
    is_traced,
    is_whole,
    lies_on,
    mesh_of,
    sharding_of_data,
    share_of,
)
from ._visited import VisitedRows


@dataclass(frozen=True, eq=False)
class BatchSpec:
    """A Loader, flattened, and how its batches are laid out."""

    leaves: tuple[Source, ...]  # of the data
    names: tuple[str, ...]  # "data['image']", one for each leaf
    distinct: tuple[int, ...]  # the index of each distinct leaf
    chains: tuple[LeafSteps | None, ...]  # one for each leaf
    chain_leaves: tuple[jax.Array, ...]  # the arrays inside the chains
    visited: VisitedRows | None  # the rows of the data to visit, or None for all of them once
    size: int
    num_steps: int
    batch_size: int
    shuffle: bool
    remainder: str
    sharding: Sharding | None  # what the caller asked for
    share: Share | None  # the part of each batch that this process makes, with a sharding
    reads: tuple[bool, ...]  # whether rows of a leaf are read before the program runs; else the program gathers them
    reads_any: bool
    columns: tuple[Column, ...]  # the leaves that are columns of records
    devices: set[jax.Device] | None  # which other arguments follow, wherever they were put
    program: Program
    last_program: Program  # of the last batch, shorter with remainder="keep"

    @property
    def arrays(self) -> list[Source]:
        """The leaves, each array once."""
        return [self.leaves[place] for place in self.distinct]

    @cached_property
    def has_ragged_masks(self) -> bool:
        """Whether a leaf of pictures of different sizes follows another one."""
        return any(
            isinstance(chain, Companion) and is_ragged(leaf)
            for chain, leaf in zip(self.chains, self.leaves, strict=True)
        )

    @cached_property
    def _unchecked(self) -> dict[str, Source]:
        """Leaves of 64 bits on the device, whose values may not fit the 32 bits that a program makes of them."""
        named = zip(self.names, self.leaves, strict=True)
        return {name: leaf for name, leaf in named if is_resident(leaf) and leaf.dtype.itemsize > 4}

    @cached_property
    def _lie_together(self) -> bool:
        """True; raises where no program can take all leaves, which without a sharding are not moved."""
        if self.sharding is None:
            check_together(self.names, map(array_of, self.leaves))
        return True

    def check_arrays(self) -> None:
        """Raises for arrays on different devices, which no batch can be made of where they are.

        And for values beyond 32 bits where the loader was made with jax_enable_x64 and is used without.
        """
        _ = self._lie_together
        if self._unchecked and jax.dtypes.canonicalize_dtype(np.int64) == np.int32:
            for name, leaf in self._unchecked.items():
                check_array(name, leaf)
            self._unchecked.clear()

    @property
    def is_off_cpu(self) -> bool:
        """Whether a whole batch is made on one device that is no CPU."""
        if self.reads_any or self.program.sharding is not None:
            return False
        arrays = map(array_of, self.arrays)
        devices = {device for leaf in arrays if isinstance(leaf, jax.Array) for device in leaf.devices()}
        return len(devices) == 1 and devices.pop().platform != "cpu"

    @cached_property
    def visited_on_device(self) -> VisitedRows | None:
        """The visited rows for programs over data on the device: uploaded once and not with every batch."""
        spans_devices = self.sharding is not None or (self.devices is not None and len(self.devices) > 1)
        if self.visited is None or spans_devices or any(map(is_traced, jax.tree.leaves(self.visited))):
            return self.visited
        with jax.ensure_compile_time_eval():  # inside a program that is traced just now they would be a part of it
            return jax.tree.map(jax.device_put, self.visited)

    def program_at(self, step: Counter) -> Program:
        """The program of one step, traced or not; with remainder="keep" it is never traced."""
        is_last = self.remainder == "keep" and int(step) == self.num_steps - 1
        return self.last_program if is_last else self.program


def make_spec(
    data: PyTree,
    chains: tuple[LeafSteps | None, ...],
    visited: VisitedRows | None,
    *,
    num_rows: int | None,
    batch_size: int,
    shuffle: bool,
    remainder: str,
    sharding: Sharding | None = None,
) -> BatchSpec:
    paths, structure = leaves_with_path(data), structure_of(data)
    leaves = tuple(leaf for _, leaf in paths)
    arrays = list(map(array_of, leaves))
    devices = devices_of(arrays, sharding)
    layout = sharding_of_data(arrays, batch_size) if sharding is None else sharding
    mesh = mesh_of(arrays, layout)
    chains, visited = jax.tree.map(partial(following, devices=devices, mesh=mesh), (chains, visited))
    chain_leaves, chain_structure = jax.tree.flatten(chains)
    size = leaves[0].shape[0] if num_rows is None else num_rows
    full, rest = divmod(size, batch_size)
    reads = tuple(not is_resident(leaf) or not (sharding is None or lies_on(leaf, sharding)) for leaf in arrays)

    first_of = {id(leaf): place for place, leaf in reversed(list(enumerate(leaves)))}
    distinct = tuple(sorted(first_of.values()))
    sources = tuple(distinct.index(first_of[id(leaf)]) for leaf in leaves)
    whole = tuple(layout is None if is_read else is_whole(leaf) for leaf, is_read in zip(arrays, reads, strict=True))

    def program(length: int) -> Program:
        batch = IndexSpec(batch_size, length, shuffle)
        return Program(structure, chain_structure, batch, reads, sources, layout, mesh, whole)

    return BatchSpec(
        leaves=leaves,
        names=tuple(leaf_name(path) for path, _ in paths),
        distinct=distinct,
        chains=chains,
        chain_leaves=tuple(chain_leaves),
        visited=visited,
        size=size,
        num_steps=full + (1 if rest and remainder != "drop" else 0),
        batch_size=batch_size,
        shuffle=shuffle,
        remainder=remainder,
        sharding=sharding,
        share=None if sharding is None else share_of(sharding, batch_size),
        reads=reads,
        reads_any=any(reads),
        columns=tuple(leaf for place in distinct if isinstance(leaf := leaves[place], Column)),
        devices=devices,
        program=program(batch_size),
        last_program=program(rest if rest and remainder == "keep" else batch_size),
    )
