"""What a transform is: a frozen config with two functions, `sample` (draws) and `apply` (does not)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._array_checks import check_parameter
from .._checks import check_not_forked, check_not_masked, is_array
from .._keys import tag
from .._transfers import transfers

if TYPE_CHECKING:
    from jax.typing import ArrayLike, DTypeLike
    from jaxtyping import Array, Float, Num

Params = Any  # arrays drawn for one example, in a NamedTuple; () for a step that draws nothing
PixelMap: TypeAlias = "Callable[[Params, tuple[int, ...]], Float[Array, '3 3'] | None]"


class Transform:
    """The base class of all transforms: one step, of which `sample` draws and `apply` does not.

    Subclass it as a frozen dataclass and write `apply`, and `sample` if the step is random:

        @dataclass(frozen=True, eq=False)
        class Speckles(Transform):
            scale: float

            def sample(self, key, image_shape):
                return self.scale * jax.random.normal(key, image_shape)

            def apply(self, params, image):
                return image + params

    `sample` and `apply` are traced by JAX: random numbers of NumPy or Python in them would be drawn once and stay the
    same for ever, and are refused.

    A step may also define `matrix(params, image_shape)`, its map from output to source in (row, col, 1), so that
    `Chain.matrix` and `explain` know it, and `Mask`, `Boxes` and `Points` follow; without it the matrix is None, and
    what would follow is refused. A step that never moves a pixel sets `moves_pixels = False` instead. A step that
    changes the shape may say so by `out_shape(image_shape)`, and one that never does by `keeps_shape = True`; either
    saves a trace of `apply`. All of these hold for the `apply` of their class: a subclass with another one says them
    anew. A step that takes leaves of any rank, and not images alone, sets `takes_any_rank = True`.

    In evaluation a random step is left out (see `deterministic`), unless it defines `without_randomness()`, which
    returns the step that takes its place, or None. A step that holds other transforms has to define it:

        def without_randomness(self):
            return dataclasses.replace(self, inner=deterministic(self.inner))

    Arrays among the fields, and transforms, are leaves: they are copied when the transform is made, and under
    `jit` they are traced, so that another value compiles nothing new. Everything else is static and compared by
    value, type included; lists become tuples.

    Two transforms of one leaf never share draws. `draws` names the draws of this step: steps of the same name
    draw alike wherever they stand, and inserting a step elsewhere does not move them.
    """

    kind: ClassVar[str] = ""  # pinned for the built-in transforms, else module and qualified name
    takes_any_rank: ClassVar[bool] = False  # True: it takes leaves of any rank, not images alone
    keeps_shape: ClassVar[bool] = False  # True: the result has the shape of the image, whatever is drawn
    moves_pixels: ClassVar[bool] = True  # False: every pixel stays in its place, whatever is drawn
    keeps_dtype: ClassVar[bool] = False  # True: it selects, or knows its dtype alone, and returns that
    keeps_scale: ClassVar[bool] = False  # True: what it makes of bytes are numbers on the scale of bytes still
    is_outermost: ClassVar[bool] = False  # True: it is what a leaf of a loader gets, and no step of a chain
    outermost_form: ClassVar[str] = ""  # how it is written then, for errors
    draws: str | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = f"{cls.__module__}.{cls.__qualname__}"
        # What a parent class promised does not hold for another `apply`.
        for name in ("keeps_shape", "keeps_dtype", "keeps_scale"):
            if not speaks_for(cls, name, "apply"):
                setattr(cls, name, False)
        if not speaks_for(cls, "moves_pixels", "apply"):
            cls.moves_pixels = True
        jax.tree_util.register_pytree_with_keys(cls, cls._flatten_with_keys, cls._unflatten, cls._flatten)

    def __post_init__(self) -> None:
        """Turn lists into tuples and copy arrays; a subclass that checks its fields calls this first."""
        for name, value in vars(self).items():
            object.__setattr__(self, name, frozen_value(value))
            for leaf in (value,) if type(value) not in (list, tuple) else value:
                if is_array(leaf):
                    check_parameter(f"{type(self).__qualname__}.{name}", leaf)
        if not isinstance(self.draws, (str, type(None))):
            raise TypeError(f"draws is {self.draws!r}; expected a name, a str, or None.")

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse changes to a transform in use, whose fields are part of compiled programs."""
        if "_kept_structure" in vars(self):
            raise AttributeError(
                f"this {type(self).__qualname__} is in use and cannot be changed; make another one with the {name} you "
                "want."
            )
        object.__setattr__(self, name, value)

    def sample(self, key: jax.Array, image_shape: tuple[int, ...]) -> Params:
        """The random numbers of one example, drawn from `key` alone; () if the step has none."""
        return ()

    def apply(self, params: Params, image: Num[Array, "height width channels"]) -> Num[Array, ...]:
        """The image after this step; draws nothing."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define apply(params, image).")

    def without_randomness(self) -> Transform | None:
        """This step for evaluation, see `deterministic`; None if nothing of it is left.

        A class of your own that does not define it is left out where it is random.
        """
        return None if self.is_random else self

    @property
    def is_random(self) -> bool:
        return type(self).sample is not Transform.sample

    # How a chain runs a step: as parts, which join those of the steps beside it, and with draws of its own beside those
    # of the steps that it holds.

    @property
    def parts(self) -> tuple[Transform, ...]:
        """What a chain runs for it, one after the other."""
        return (self,)

    def params_of_parts(self, params: Params) -> tuple[Params, ...]:
        """For each of `parts` its params."""
        return (params,)

    @property
    def held(self) -> tuple[Transform, ...]:
        """Steps that draw as if they stood in the chain beside it."""
        return ()

    @property
    def draws_itself(self) -> bool:
        """Whether it takes a key, beside the steps that it holds."""
        return self.is_random

    def sample_own(self, key: jax.Array, image_shape: tuple[int, ...]) -> Params:
        """The draws of a step that holds others, without theirs."""
        raise NotImplementedError

    @property
    def holds_in_turn(self) -> bool:
        """Whether each held step is given what the one before it returns, and not all the same image."""
        return True

    @property
    def name_in_errors(self) -> str:
        return type(self).__qualname__

    @property
    def is_of_this_library(self) -> bool:
        return type(self).__module__.partition(".")[0] == __name__.partition(".")[0]

    def with_held(self, own: Params, held: tuple[Params, ...]) -> Params:
        """The params of a step from its own draws, () if it has none, and those of the steps that it holds."""
        raise NotImplementedError

    @property
    def _pixel_map(self) -> PixelMap | None:
        """The method `matrix`, or that of the identity if no pixel moves; None where the geometry is not known."""
        return own_matrix(self) if self.moves_pixels else _identity

    def _with(self, **fields: object) -> Self:
        """A copy with other fields, of a class with an `__init__` of its own, too."""
        made = object.__new__(type(self))
        for name, value in (vars(self) | fields).items():
            if name != "_kept_structure":
                object.__setattr__(made, name, value)
        made.__post_init__()
        return made

    def draws_tag(self, occurrence: int) -> int:
        """The 32 bits that set this step's draws apart; `occurrence` counts its kind within the chain of a leaf."""
        return tag(f"kind/{self.kind}/{occurrence}" if self.draws is None else f"stream/{self.draws}")

    # Which fields are leaves is decided once and cached, so that unflattening accepts any value as a leaf, and so that
    # a transform that goes through jit again is recognised by identity.

    @property
    def _structure(self) -> _Structure:
        structure = self.__dict__.get("_kept_structure")
        if structure is None:
            leaf_names = tuple(name for name, value in vars(self).items() if _is_leaf(value))
            static = {name: value for name, value in vars(self).items() if name not in leaf_names}
            structure = _Structure(leaf_names, tuple(static), tuple(static.values()))
            object.__setattr__(self, "_kept_structure", structure)
        return structure

    def _flatten(self) -> tuple[tuple[object, ...], _Structure]:
        structure = self._structure
        return tuple(map(vars(self).__getitem__, structure.leaf_names)), structure

    def _flatten_with_keys(self) -> tuple[tuple[tuple[jax.tree_util.GetAttrKey, object], ...], _Structure]:
        leaves, structure = self._flatten()
        names = structure.leaf_names
        return tuple(
            (jax.tree_util.GetAttrKey(name), leaf) for name, leaf in zip(names, leaves, strict=True)
        ), structure

    @classmethod
    def _unflatten(cls, structure: _Structure, leaves: Iterable[object]) -> Self:
        transform = object.__new__(cls)
        fields = dict(zip(structure.static_names, structure.static_values, strict=True))
        fields |= dict(zip(structure.leaf_names, leaves, strict=True))
        for name, value in (fields | {"_kept_structure": structure}).items():
            object.__setattr__(transform, name, value)
        return transform

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if hash(self) != hash(other) or not operator.eq(jax.tree.structure(self), jax.tree.structure(other)):
            return False
        leaves = zip(jax.tree.leaves(self), jax.tree.leaves(other), strict=True)
        return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in leaves)

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))


def speaks_for(cls: type, name: str, method: str) -> bool:
    """Whether what a class says by `name` holds for its `method`: no class further down overrides the method alone."""
    for owner in cls.__mro__:
        if name in vars(owner):
            return True
        if method in vars(owner):
            return False
    return True


def own_matrix(step: object) -> PixelMap | None:
    """The method `matrix` of a step, if it is that of its `apply`; `Whiten` has a field of that name."""
    matrix = getattr(step, "matrix", None)
    if not callable(matrix):
        return None
    is_own = "matrix" in getattr(step, "__dict__", {}) or speaks_for(type(step), "matrix", "apply")
    return matrix if is_own else None


def declared_shape(step: object, image_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What a step says of the shape of its result, by `out_shape`; None if it does not, or not for its `apply`."""
    own = getattr(step, "out_shape", None)
    if not callable(own) or not speaks_for(type(step), "out_shape", "apply"):
        return None
    shape = own(image_shape)
    if not isinstance(shape, (tuple, list)) or not all(isinstance(side, (int, np.integer)) for side in shape):
        name = type(step).__qualname__
        raise TypeError(f"{name}.out_shape returned {shape!r}; expected a shape, a tuple of integers.")
    return tuple(map(int, shape))


def _identity(params: Params, image_shape: tuple[int, ...]) -> Float[Array, "3 3"]:
    return jnp.eye(3, dtype=np.float32)


class _Structure:
    """The static part of a transform; equal only if the types of its values are equal too.

    True, 1 and 1.0 are equal in Python, and differ in meaning.
    """

    def __init__(self, leaf_names: tuple[str, ...], static_names: tuple[str, ...], static_values: tuple[object, ...]):
        self.leaf_names, self.static_names, self.static_values = leaf_names, static_names, static_values
        self.checked: set[Hashable] = set()  # kept here as all copies that `jit` makes share it, see `_frozen_draws`
        self._compared = leaf_names, static_names, static_values, _types(static_values)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Structure) and self._compared == other._compared)

    def __hash__(self) -> int:
        return hash(self._compared)


def _types(value: object) -> object:
    return tuple(_types(item) for item in value) if type(value) is tuple else type(value)


def _is_leaf(value: object) -> bool:
    def is_inner(node: object) -> bool:
        return isinstance(node, Transform)

    return any(is_array(leaf) or is_inner(leaf) for leaf in jax.tree.leaves(value, is_leaf=is_inner))


def frozen_value(value: Any) -> Any:
    """A field as it is kept: sequences as tuples, NumPy scalars as Python numbers, arrays as read-only copies.

    Dicts and sets are copied too: as parts of a program's static argument they may not change.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
        return value
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
        check_not_forked()
        return jnp.array(value)  # the caller may donate the original
    if type(value) in (list, tuple):
        return tuple(frozen_value(item) for item in value)
    if type(value) is dict:
        return {name: frozen_value(item) for name, item in value.items()}
    return set(value) if type(value) is set else value


# The dtype rules, see docs/conventions.md.


def arithmetic_dtype(dtype: DTypeLike) -> np.dtype:
    """What arithmetic on an image of `dtype` is done in: float64 for float64, else float32."""
    return np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)


def result_dtype(dtype: DTypeLike) -> np.dtype:
    """What arithmetic on an image of `dtype` returns: its own float dtype, or float32 for integers and bool."""
    return jnp.dtype(dtype) if jnp.issubdtype(dtype, np.floating) else np.dtype(np.float32)


@transfers
def in_arithmetic(
    image: ArrayLike, function: Callable[..., jax.Array], *parameters: ArrayLike | Sequence[float]
) -> jax.Array:
    """`function(image, *parameters)` by the dtype rules; parameters are brought to the image's arithmetic and rank."""
    check_not_forked()
    check_not_masked("image", image)
    image = jnp.asarray(image)
    dtype = arithmetic_dtype(image.dtype)

    def brought(parameter: ArrayLike | Sequence[float]) -> jax.Array:
        array = jnp.asarray(parameter).astype(dtype)
        is_vector = 0 < array.ndim < image.ndim  # which jax_numpy_rank_promotion may refuse
        return jnp.expand_dims(array, tuple(range(image.ndim - array.ndim))) if is_vector else array

    result = function(image.astype(dtype), *map(brought, parameters))
    return result.astype(result_dtype(image.dtype))
