"""A wall that keeps a consumer in the same program from pulling the batch into itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def fusion_barrier(function: Callable[[], Any]) -> Any:
    """`function()`, on CPU behind a conditional that is always true.

    XLA:CPU fuses the warp into whatever reads the batch and computes it again there, ten times slower or worse (see
    bench/RESULTS.md). `optimization_barrier` does not stop it and a conditional does, as long as the compiler cannot
    fold its predicate; the barrier hides that. Elsewhere a conditional may cost a host synchronisation.
    """

    function = jax.jit(function)  # traced once for the three places where it stands

    def behind_conditional() -> Any:
        always = jax.lax.optimization_barrier(np.int32(0)) == 0
        shapes = jax.eval_shape(function)
        return jax.lax.cond(always, function, lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))

    return jax.lax.platform_dependent(cpu=behind_conditional, default=function)
