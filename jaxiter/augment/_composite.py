"""Steps that run as several parts, each of which joins what stands beside the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax

from ._run import Steps
from ._transform import Params, Transform

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float

    from .._keys import Key


class Composite(Transform):
    """A step whose `parts` say what it does; by itself it runs as in a chain of it alone."""

    def sample(self, key: Key, image_shape: tuple[int, ...]) -> Params:
        return Steps((self,)).sample(key, image_shape)[0]

    def apply(self, params: Params, image: ArrayLike) -> jax.Array:
        return Steps((self,)).run(image, params=(params,)).image

    def matrix(self, params: Params, image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
        """The map of all parts, output to source in (row, col, 1); None where that of one is not known."""
        return Steps((self,)).matrix((params,), image_shape)
