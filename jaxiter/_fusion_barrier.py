"""Fusion barrier: keeps XLA:CPU from fusing the computation of a batch into what reads the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


def fusion_barrier(function: Callable[[], T]) -> T:
    """`function()`, on CPU inside a conditional that is always true.

    XLA:CPU fuses the warp into its consumers and computes it again in each, ten times slower or worse (see
    bench/RESULTS.md). `optimization_barrier` does not stop it. A conditional does, as long as the compiler cannot fold
    its predicate; the barrier hides that. On other devices a conditional may cost a host synchronisation.
    """

    compiled = jax.jit(function)  # traced once for its three uses

    def behind_conditional() -> T:
        always = jax.lax.optimization_barrier(np.int32(0)) == 0
        shapes = jax.eval_shape(compiled)
        return jax.lax.cond(always, compiled, lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))

    return jax.lax.platform_dependent(cpu=behind_conditional, default=compiled)
