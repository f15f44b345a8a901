"""What takes the place of a step in evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from ._cast import round_to
from ._duck_typed import DuckTyped, as_transform, user_object
from ._frozen_draws import checked_apply, checked_sample
from ._held import held_by
from ._run import Steps
from ._transform import Params, PixelMap, Transform, speaks_for

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float


def for_evaluation(step: Transform) -> Transform | None:
    """The step without its draws; None if nothing of it is left.

    Raises:
        TypeError: For a random class of a user's that holds other transforms and does not say what is left of it.
    """
    found = step.without_randomness()
    if found is step or type(found) is type(step) or _says_so_itself(step):
        if found is None and not step.is_of_this_library:
            return LeftOut(step, on_request=True)
        return None if found is None else as_transform(found)
    inner = next(held_by(user_object(step)), None)
    if inner is not None:
        where, transform = inner
        is_class = isinstance(transform, type)
        held = f"a class of them, {transform.__qualname__}" if is_class else f"a {type(transform).__qualname__}"
        name = step.name_in_errors
        raise TypeError(
            f"{name} is random, as it defines sample, and holds another transform, {where}, {held}: what is left of it "
            f"in evaluation is not known. Define without_randomness(self) in {name}: it returns the step that takes "
            "its place, for example one that holds deterministic(...) of what this one holds, or None to leave it out."
        )
    return LeftOut(step)


def _says_so_itself(step: Transform) -> bool:
    """Whether `without_randomness` of its class was written for its `sample` and `apply`, or by a user."""
    if isinstance(step, DuckTyped):
        return step.says_what_is_left
    owner = next(cls for cls in type(step).__mro__ if "without_randomness" in vars(cls))
    is_users = owner.__module__.partition(".")[0] != __name__.partition(".")[0]
    return is_users or all(speaks_for(type(step), "without_randomness", name) for name in ("sample", "apply"))


@dataclass(frozen=True, eq=False)
class LeftOut(Transform):
    """In the place of a user's random step: every pixel stays, in the dtype that the step returns.

    A step whose `sample` makes no use of its key is not random, and acts.

    Args:
        on_request: Its class says that nothing is left of it; then it may change the shape and never acts.

    Raises (apply):
        ValueError: If the step changes the shape, so that evaluation would see another one than training.
    """

    step: Transform
    on_request: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "takes_any_rank", self.step.takes_any_rank)
        object.__setattr__(self, "keeps_shape", self.step.keeps_shape)
        object.__setattr__(self, "keeps_scale", self.step.keeps_scale)

    def apply(self, params: Params, image: ArrayLike) -> jax.Array:
        image = jnp.asarray(image)
        if self._acts(image.shape):
            return checked_apply(self.step, checked_sample(self.step, _a_key(), image.shape), image)

        def in_training() -> jax.Array:  # where what takes bytes may stand behind steps that made floats of them
            params = self.step.sample(_a_key(), image.shape)
            return Steps((self.step,)).run(image, params=(params,), on_bytes=True).image

        result = jax.eval_shape(in_training)
        if result.shape != image.shape and not self.on_request:
            name = self.step.name_in_errors
            remedy = (
                "Write the transform for evaluation yourself, for example Resize(size)."
                if self.step.is_of_this_library
                else f"Define without_randomness(self) in {name}: it returns the step that takes its place, or None to "
                "leave it out."
            )
            raise ValueError(
                f"{name} is random and makes {result.shape} of an image of shape {image.shape}, so that evaluation "
                f"without it would see another shape than training. {remedy}"
            )
        return round_to(result.dtype, image)

    def _acts(self, image_shape: tuple[int, ...]) -> bool:
        return not self.on_request and not _uses_its_key(self.step, image_shape)

    @property
    def _pixel_map(self) -> PixelMap:
        def pixel_map(params: Params, image_shape: tuple[int, ...]) -> Float[Array, "3 3"] | None:
            if not self._acts(image_shape):
                return jnp.eye(3, dtype=jnp.float32)
            own = self.step._pixel_map
            return None if own is None else own(self.step.sample(_a_key(), image_shape), image_shape)

        return pixel_map


def _uses_its_key(step: Transform, image_shape: tuple[int, ...]) -> bool:
    program = jax.make_jaxpr(lambda key: step.sample(key, image_shape))(jax.eval_shape(_a_key)).jaxpr
    (key,) = program.invars
    read = [operand for equation in program.eqns for operand in equation.invars] + program.outvars
    return any(operand is key for operand in read if not isinstance(operand, Literal))


def _a_key() -> jax.Array:
    return jax.random.key(0, impl="threefry2x32")
