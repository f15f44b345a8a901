"""Fusion barriers: they keep XLA from fusing a computation into what reads its result, and doing it again there.

One for each kind of device: what stops XLA:CPU may cost a GPU time, and what stops XLA:GPU does not stop XLA:CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

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


def computed_once(array: jax.Array) -> jax.Array:
    """`array`, off CPU written to memory before anything reads it.

    XLA:GPU takes a chain of arithmetic into the kernel that reads its result, where every thread computes it again:
    the rounds of the order for each value of a picture instead of once for each picture (see bench/RESULTS.md). Whether
    it does changes with the batch size. There `optimization_barrier` stops it. On CPU it would stop nothing, and
    programs stay as they are.
    """
    return _computed_once.bind(array)


# A primitive, as a choice by `platform_dependent` would not leave CPU's programs as they are: under vmap its operands
# are transposed, so that the examples come first.
_computed_once = Primitive("computed_once")
_computed_once.def_impl(lambda array: array)
_computed_once.def_abstract_eval(lambda array: array)
batching.primitive_batchers[_computed_once] = lambda arrays, axes: (computed_once(*arrays), *axes)
ad.deflinear2(_computed_once, lambda cotangent, _: [cotangent])
mlir.register_lowering(_computed_once, mlir.lower_fun(jax.lax.optimization_barrier, multiple_results=False))
mlir.register_lowering(_computed_once, lambda context, array: [array], platform="cpu")
