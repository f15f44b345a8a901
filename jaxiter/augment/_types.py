"""Types of what the functions take that work in NumPy and in JAX."""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np

Values: TypeAlias = jax.Array | np.ndarray  # of the namespace `xp` that stands beside it: jax.numpy, or numpy
Side: TypeAlias = int | jax.Array  # pixels along one axis; an array where it is traced
