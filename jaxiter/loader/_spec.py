"""What a Loader is worked out into once: all that reading rows and running the program need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jax.sharding import Sharding

from .._keys import Counter
from ..augment import Chain
from ._data import PyTree, Source, is_resident, leaf_name
from ._program import IndexSpec, Program
from ._records import Column
from ._sharding import Share, devices_of, following, lies_on, mesh_of, sharding_of_data, share_of


@dataclass(frozen=True, eq=False)
class BatchSpec:
    """A Loader, flattened, and how its batches are laid out."""

    leaves: tuple[Source, ...]  # of the data
    names: tuple[str, ...]  # "data['image']", one for each leaf
    chains: tuple[Chain | None, ...]  # one for each leaf
    chain_leaves: tuple[jax.Array, ...]  # the arrays inside the chains
    rows: np.ndarray | jax.Array | None  # int32 rows of the data to visit, or None for all of them
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

    def program_at(self, step: Counter) -> Program:
        """The program of one step, traced or not; with remainder="keep" it is never traced."""
        is_last = self.remainder == "keep" and int(step) == self.num_steps - 1
        return self.last_program if is_last else self.program


def make_spec(
    data: PyTree,
    chains: tuple[Chain | None, ...],
    rows: np.ndarray | jax.Array | None,
    *,
    batch_size: int,
    shuffle: bool,
    remainder: str,
    sharding: Sharding | None = None,
) -> BatchSpec:
    paths, structure = jax.tree.flatten_with_path(data)
    leaves = tuple(leaf for _, leaf in paths)
    devices = devices_of(leaves, sharding)
    chains = jax.tree.map(partial(following, devices=devices), chains)
    rows = following(rows, devices)
    chain_leaves, chain_structure = jax.tree.flatten(chains)
    size = (leaves[0] if rows is None else rows).shape[0]
    full, rest = divmod(size, batch_size)
    reads = tuple(not is_resident(leaf) or not (sharding is None or lies_on(leaf, sharding)) for leaf in leaves)
    layout = sharding_of_data(leaves, batch_size) if sharding is None else sharding

    def program(length: int) -> Program:
        return Program(
            structure, chain_structure, IndexSpec(batch_size, length, shuffle), reads, layout, mesh_of(leaves, layout)
        )

    return BatchSpec(
        leaves=leaves,
        names=tuple(leaf_name(path) for path, _ in paths),
        chains=chains,
        chain_leaves=tuple(chain_leaves),
        rows=rows,
        size=size,
        num_steps=full + (1 if rest and remainder != "drop" else 0),
        batch_size=batch_size,
        shuffle=shuffle,
        remainder=remainder,
        sharding=sharding,
        share=None if sharding is None else share_of(sharding, batch_size),
        reads=reads,
        reads_any=any(reads),
        columns=tuple(leaf for leaf in leaves if isinstance(leaf, Column)),
        devices=devices,
        program=program(batch_size),
        last_program=program(rest if rest and remainder == "keep" else batch_size),
    )
