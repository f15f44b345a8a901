"""What is taken for an array: the one check of data, records, statistics, transforms and rows.

JAX cannot hold everything that has a shape and a dtype, and NumPy converts some of it without a word: a masked array
loses its mask. Packages are recognised by the names of their modules, so that none has to be imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._checks import check_fits, check_not_masked, is_integer
from ._describe import described
from ._list_checks import list_error

_ARRAY = "an array (NumPy, JAX, memmap, or anything with shape, dtype and indexing by an integer array)"
_TABLES = {"pandas", "pyarrow", "polars"}
_TENSORS = {"torch", "tensorflow", "cupy", "mlx"}
_PATH = "Files are not opened: read it first, np.load(path)."
_TEXT = "For text labels use np.unique(labels, return_inverse=True)[1]; jaxiter.keras passes them through."
_REMEDIES = {
    "m": "Make numbers of durations: x / np.timedelta64(1, 's').",
    "M": "Make numbers of times: (x - x.min()) / np.timedelta64(1, 's').",
    "f": "Use x.astype(np.float32).",
    "c": "Use x.astype(np.complex64).",
    "S": f"{_TEXT} Pictures as bytes are decoded by image_files(list_of_bytes).",
    "V": "Give each field by itself: {name: x[name] for name in x.dtype.names}.",
}


def is_sparse(value: object) -> bool:
    """Whether it is a sparse array of SciPy, of the package sparse, or of JAX, whose arrays are pytrees."""
    return callable(getattr(value, "todense", None))


def dense_call(value: object) -> str:
    """The method of a sparse array that makes a dense one: SciPy has both, JAX one of them."""
    return "toarray()" if callable(getattr(value, "toarray", None)) else "todense()"


def is_table(value: object) -> bool:
    """Whether it is a column or a table of pandas, Arrow or Polars, which are no arrays and convert to some."""
    return bool(_packages(value) & _TABLES) and hasattr(value, "__array__")


def without_table(name: str, value: object) -> object:
    """The NumPy array of a pandas, Arrow or Polars column or table; anything else as it is.

    Raises:
        ValueError: For missing values, of which NumPy makes NaN, and floats of integers.
    """
    if not is_table(value):
        return value
    missing = _num_missing(value)
    if missing:
        raise ValueError(
            f"{name} is a {_full_name(value)} with {missing} missing values; expected a number for each example. Fill "
            "them in (fillna, fill_null), or leave these examples out (dropna, drop_nulls)."
        )
    tensor = getattr(value, "to_numpy_ndarray", None)  # Arrow's tensors of more than one number for each row
    return tensor() if callable(tensor) else np.asarray(value)


def check_array(name: str, value: object) -> None:
    """Raises for what is no array that JAX can hold, by name and with a remedy; reads nothing of files.

    Raises:
        TypeError: For another type or dtype.
        ValueError: For a scalar, values that do not fit the 32 bits which JAX makes of them, and JAX arrays that were
            donated or lie in another memory than their device's own.
    """
    shape: Any = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    _check_type(name, value, is_described=shape is not None and dtype is not None)
    _check_dtype(name, value, dtype)
    is_known = isinstance(value, jax.Array) or (isinstance(shape, Sequence) and all(map(is_integer, shape)))
    if not is_known:
        raise TypeError(f"{name} is a {_full_name(value)} of shape {shape!r}; expected {_ARRAY}.")
    if len(shape) == 0:
        raise ValueError(f"{name} is a scalar; expected an array with one entry for each example.")
    if isinstance(value, jax.Array):
        _check_jax_array(name, value)
    # A memmap is checked as it is read: looking through all of it may take longer than training on it.
    elif isinstance(value, np.ndarray) and not isinstance(value, np.memmap):
        check_fits(name, value)


def check_parameter(name: str, value: np.ndarray | jax.Array) -> None:
    """As `check_array`, for an array inside a transform, which may be of any rank."""
    _check_type(name, value, is_described=True)
    _check_dtype(name, value, value.dtype)
    if isinstance(value, jax.Array):
        _check_jax_array(name, value)
    else:
        check_fits(name, value)


def _check_type(name: str, value: object, *, is_described: bool) -> None:
    """Raises for types that are no arrays, whatever their dtype."""
    check_not_masked(name, value)
    if is_sparse(value):
        raise TypeError(
            f"{name} is a sparse {_full_name(value)}, whose rows are no arrays; expected a dense array: "
            f"x.{dense_call(value)}."
        )
    if hasattr(value, "iloc"):
        raise TypeError(
            f"{name} is a pandas {type(value).__name__}, which looks rows up by label and not by place; expected an "
            "array: pass .to_numpy()."
        )
    if is_described and _packages(value) & _TENSORS:
        raise TypeError(
            f"{name} is a {_full_name(value)}; expected {_ARRAY}. Pass "
            "np.asarray(tensor), or jnp.from_dlpack(tensor) of one that lies on a device."
        )
    if is_described and not hasattr(value, "__getitem__"):
        raise TypeError(f"{name} is a {_full_name(value)}, which has no rows to read; expected {_ARRAY}.")
    if not is_described:
        raise list_error(name, value) or TypeError(f"{name} is {described(value)}; {_remedy(value)}")


def _remedy(value: object) -> str:
    if "jaxiter" in _packages(value) and hasattr(value, "batch_size"):
        return "expected an array: of a Loader give its .data, or a part of them."
    if isinstance(value, (str, bytes)):
        is_path = bool({".", "/"} & set(str(value)))
        return f"expected an array of numbers. {_PATH if is_path else _TEXT}"
    if isinstance(value, (bool, int, float, complex)):
        return "expected an array with one entry for each example, for example np.full(size, value)."
    if callable(value) and not hasattr(value, "__len__"):
        return f"expected {_ARRAY}. To change examples by a function pass augment=Map(function)."
    if hasattr(value, "keys"):
        return "expected an array, or arrays in a plain dict: dict(...), or {name: value[name] for name in ...}."
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return (
            f"expected {_ARRAY}: np.asarray(...). Of a list of pictures make from_records(pictures), and where their "
            "sizes differ from_records(pictures, ragged=True)."
        )
    if is_dataclass(value) and not isinstance(value, type) and "jaxiter" not in _packages(value):
        return (
            "JAX does not know it as a container: give a dict, vars(value), or jax.tree_util.register_dataclass first."
        )
    is_indexed = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    if hasattr(value, "__next__") or (hasattr(value, "__iter__") and not is_indexed):
        return (
            "it gives its examples one after the other, and a Loader needs any example at any time. Expected "
            f"{_ARRAY}, or a source with len() and [i] through from_records(source); list(...) makes one of it."
        )
    return (
        f"expected {_ARRAY}{_lacking(value)}. Make one with np.asarray(...), or pass a source that gives one example "
        "at a time, with len() and [i], through from_records(source)."
    )


def _lacking(value: object) -> str:
    """Of what is indexed: what an array or a source of examples has beside that."""
    if not hasattr(value, "__getitem__") or hasattr(value, "__len__"):
        return ""
    missing = [name for name in ("shape", "dtype") if getattr(value, name, None) is None]
    return f"; it has no {missing[0]}" if len(missing) == 1 else "; it has neither shape and dtype nor a length"


def _check_dtype(name: str, value: object, given: object) -> None:
    """Raises for a dtype that JAX has not."""
    dtype: Any = getattr(given, "numpy_dtype", given)
    if isinstance(value, jax.Array) and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(f"{name} holds PRNG keys; expected numbers or bool. Use jax.random.key_data(keys).")
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"{name} is a {_full_name(value)} of dtype {dtype}, which is none of NumPy's; expected {_ARRAY}. Pass "
            "np.asarray(...), with numbers alone."
        ) from None
    is_number = jnp.issubdtype(found, np.number) or found == np.bool_
    is_too_wide = found.kind in "fc" and found.itemsize > (8 if found.kind == "f" else 16)
    if is_number and not is_too_wide and found.kind not in "mM":
        return
    remedy = _object_remedy(value) if found.kind == "O" else _REMEDIES.get(found.kind, _TEXT)
    if found.kind == "V" and not found.names:
        remedy = "View its bytes as numbers: x.view(dtype)."
    raise TypeError(f"{name} has dtype {found}, which JAX cannot hold; expected numbers or bool. {remedy}")


def _object_remedy(value: object) -> str:
    """What to do about an array of Python objects, by its first entries; np.asarray is for what was a table."""
    if not isinstance(value, np.ndarray) or value.size == 0:
        return f"Make numbers of its entries first. {_TEXT}"
    entries = value.reshape(-1)[:1000].tolist()
    if any(isinstance(entry, (str, bytes)) for entry in entries):
        return _TEXT
    is_nested = any(isinstance(entry, np.ndarray) and entry.dtype == object for entry in entries)
    stack = "np.stack([np.stack(row) for row in np.asarray(x)])" if is_nested else "np.stack(list(np.asarray(x)))"
    shapes = list(dict.fromkeys(entry.shape for entry in entries if isinstance(entry, np.ndarray)))
    if len(shapes) == 1 and all(isinstance(entry, np.ndarray) for entry in entries):
        return f"It holds arrays of shape {shapes[0]}: {stack}."
    if shapes:
        named = ", ".join(map(str, shapes[:3])) + (", ..." if len(shapes) > 3 else "")
        return f"It holds arrays of shapes {named}: bring all to one shape, then {stack}."
    kinds = ", ".join(dict.fromkeys(type(entry).__name__ for entry in entries))
    return f"It holds Python objects ({kinds}); if all are numbers use np.asarray(x).astype(np.float32)."


def _check_jax_array(name: str, value: jax.Array) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    if value.is_deleted():
        raise ValueError(f"{name} is a JAX array that was deleted or donated; expected one that holds its values.")
    check_memory(
        name, value.sharding, "jax.device_put(x, device), or np.asarray(x), of which rows are read on the host"
    )
    if jax.dtypes.canonicalize_dtype(value.dtype) != value.dtype:  # made where jax_enable_x64 was on, and now it is off
        for shard in value.addressable_shards:
            check_fits(name, jax.device_get(shard.data))


def check_memory(name: str, sharding: jax.sharding.Sharding, remedy: str) -> None:
    """Raises for memory of the host (`pinned_host`): programs compute on a device's own."""
    kind = sharding.memory_kind
    device: Any = next(iter(sharding.device_set))
    default = device.default_memory().kind
    if kind not in (None, default):
        raise ValueError(
            f"{name} is in the memory {kind!r}; expected {default!r}, the device's own, in which programs compute. Use "
            f"{remedy}."
        )


def _num_missing(table: Any) -> int:
    """Missing values of a pandas, Arrow or Polars column or table; NaN in plain NumPy columns of pandas is a number."""
    count = getattr(table, "null_count", None)
    if count is not None:  # an int of Arrow, a method of Polars
        return int(np.sum(np.asarray(count() if callable(count) else count)))
    is_pandas, columns = "pandas" in _packages(table), getattr(table, "columns", None)
    if columns is not None:
        parts = [column for _, column in table.items()] if is_pandas else columns
        return sum(map(_num_missing, parts))
    is_plain = isinstance(getattr(table, "dtype", None), np.dtype) or not hasattr(table, "isna")
    return 0 if is_plain else int(np.sum(np.asarray(table.isna())))


def _packages(value: object) -> set[str]:
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def _full_name(value: object) -> str:
    return f"{type(value).__module__.partition('.')[0]} {type(value).__name__}".removeprefix("builtins ")
