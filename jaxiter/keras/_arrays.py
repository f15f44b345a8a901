"""What is passed as images, labels and weights: taken as arrays, or refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._array_checks import dense_call, is_sparse
from .._ragged import is_ragged
from .._warn import warn
from ._brightness import CHANNELS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_TARGETS = 'For more than one target see "More than one target" in docs/from-keras.md.'


def as_array(images: Any, name: str = "x") -> Any:
    """NumPy arrays, and what is read like one from a file, as they are; anything else as a NumPy array."""
    _check_dense(name, images)
    if is_ragged(images):
        raise ValueError(
            f"{name} holds pictures of different sizes, and Keras' images have one; expected an array, or a source "
            "with size=(height, width). Files are read at one size by flow_from_directory and flow_from_dataframe; a "
            "jaxiter.Loader takes different sizes."
        )
    # Tensors of other libraries, with a dtype of their own, need not take an array of rows as an index.
    is_file = isinstance(getattr(images, "dtype", None), np.dtype) and not isinstance(images, (np.ndarray, jax.Array))
    is_file = is_file and all(hasattr(images, name) for name in ("shape", "__getitem__"))
    if is_file or type(images) in (np.ndarray, np.memmap):
        return images
    return _regular(name, images, f"Images of different sizes do not fit into one array. {_one_size(images)}")


def images_of(x: Any, name: str = "x") -> Any:
    """`as_array`, of what has rows; a dict, a name or a generator has none.

    Raises:
        ValueError: With what to pass instead.
    """
    images = as_array(x, name)
    if len(images.shape):
        return images
    remedy = ""
    if isinstance(x, dict):
        remedy = " Pass the array of images in it, for example x['image']."
    elif isinstance(x, (str, bytes)) or hasattr(x, "__fspath__"):
        remedy = " For a folder of pictures call flow_from_directory."
    elif hasattr(x, "__iter__"):
        remedy = " Collect the images first: np.stack(list(x))."
    raise ValueError(f"{name} is {short(x)}; expected an array of images, of rank 4.{remedy}")


def images_and_others(x: Any) -> tuple[Any, list[np.ndarray]]:
    """The images of `x`, and the arrays that are cut into batches with them.

    Raises:
        ValueError, IndexError: As Keras, for what is not images and others of the same length.
    """
    if not isinstance(x, (tuple, list)):
        return images_of(x), []
    if len(x) < 2:
        raise IndexError(
            f"x is a {type(x).__name__} of length {len(x)}; expected an array of images, or (images, others)."
            + (" Pass x[0], or (x[0], [])." if x else "")
        )
    images = images_of(x[0], "x[0]")
    others = [_regular("x[1]", other) for other in (x[1] if isinstance(x[1], list) else [x[1]])]
    for other in others:
        if other.ndim == 0 or len(other) != images.shape[0]:
            raise ValueError(
                f"All of the arrays in `x` should have the same length. Got len(x[0]) = {images.shape[0]} and another "
                + (f"array of length {len(other)}." if other.ndim else f"that is no array, {short(x[1])}.")
                + list_hint(x, images)
            )
    return images, others


def labels(y: ArrayLike | None, x: Any, images: Any) -> np.ndarray | None:
    """`y` as an array, with a label for each image.

    Raises:
        TypeError: If it has no rows. ValueError: For another length, or rows that differ in theirs.
    """
    if y is None:
        return None
    several: bool = isinstance(y, dict)
    if isinstance(y, (list, tuple)):
        several = any(isinstance(item, (list, tuple)) or np.ndim(item) > 0 for item in y) and len(y) != images.shape[0]
    hint = f" {_TARGETS}" if several else ""
    array = _regular("y", y, hint.strip() or "Make them equally long, or pass an array of objects, one for each image.")
    if array.ndim == 0:
        raise TypeError(
            f"y is {short(y)}; expected an array with one label for each of {images.shape[0]} images.{hint}"
        )
    _check_length("y` (labels)", images, array, list_hint(x, images) or hint)
    return array


def weights(sample_weight: ArrayLike | None, x: Any, images: Any) -> np.ndarray | None:
    """`sample_weight` as an array, with a weight for each image; errors as for `labels`."""
    if sample_weight is None:
        return None
    array = _regular("sample_weight", sample_weight)
    if array.ndim == 0:
        raise TypeError(
            f"sample_weight is {short(sample_weight)}; expected an array with one weight for each of {images.shape[0]} "
            "images. For weights of classes pass np.array([weights[label] for label in y])."
        )
    check_real("sample_weight", array.dtype)
    _check_length("sample_weight`", images, array, list_hint(x, images))
    return array


def list_hint(x: Any, images: Any) -> str:
    """For an error about `x`, if it may have been meant as a list of images."""
    if not isinstance(x, (list, tuple)) or (len(x) == 2 and len(images.shape) != 3):
        return ""
    remedy = _one_size(x) if len(_sizes(x)) > 1 else "For a list of images pass np.stack(x)."
    return f" A list is taken as (images, others). {remedy}"


def check_images(where: str, x: Any, shape: tuple[int, ...], data_format: str, dtype: Any) -> None:
    """Raises ValueError unless it is the shape of images of real numbers; warns of an odd number of channels.

    Args:
        where: What takes them, for the error.
        x: What was passed.
    """
    last = data_format == "channels_last"
    if len(shape) != 4:
        layout = "(images, height, width, channels)" if last else "(images, channels, height, width)"
        raise ValueError(
            f"x has shape {shape}; images for {where} should have rank 4, {layout}. {_remedy(x, shape, last, dtype)}"
        )
    check_real("x", dtype)
    axis = 3 if last else 1
    if shape[axis] not in CHANNELS:
        warn(
            f'data_format is "{data_format}", so axis {axis} of x should hold 1, 3 or 4 channels; x has shape {shape} '
            f"({shape[axis]} channels)."
        )


def check_real(name: str, dtype: Any) -> None:
    """Raises ValueError for images or weights of text, times, complex numbers or fields."""
    kind, fields = getattr(dtype, "kind", "f"), getattr(dtype, "names", None)
    if kind not in "cSUmM" and getattr(dtype, "type", None) is not np.void:
        return
    remedy = f" Pass one of its fields: {name}[{fields[0]!r}]." if fields else ""
    if kind == "c":
        remedy = f" Pass {name}.real, or np.abs({name}), or the two parts as channels."
    raise ValueError(f"{name} has dtype {dtype}; expected real numbers.{remedy}")


def short(value: Any) -> str:
    """What was passed, for an error: a number or a name as it is, of anything else its kind."""
    if (value is None or isinstance(value, (bool, int, float, str))) and len(repr(value)) < 80:
        return repr(value)
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return f"a{'n' * (name[0] in 'aeion')} {name}" + ("" if shape is None else f" of shape {tuple(shape)}")


def _remedy(x: Any, shape: tuple[int, ...], last: bool, dtype: Any) -> str:
    if isinstance(x, (list, tuple)) and len(shape) == 3:
        return list_hint(x, np.empty(shape)).strip()
    if getattr(dtype, "kind", "f") in "SU":
        return "Names of files are no images: pass flow_from_dataframe a table, {'filename': names, 'class': labels}."
    if getattr(dtype, "kind", "f") == "O":
        return _one_size(x) if len(_sizes(x)) > 1 else "Stack its pictures: np.stack(list(x))."
    if len(shape) < 3:
        return "Reshape flattened images first."
    if len(shape) == 3:
        return f"For grey images pass {'x[..., None]' if last else 'x[:, None]'}, for a single picture x[None]."
    return "For the slices of volumes, or the pictures of films, pass x.reshape(-1, *x.shape[-3:])."


def _check_length(name: str, images: Any, values: np.ndarray, hint: str) -> None:
    if images.shape[0] != len(values):
        raise ValueError(
            f"`x` (images tensor) and `{name} should have the same length. "
            f"Got shapes {tuple(images.shape)} and {values.shape}.{hint}"
        )


def _sizes(pictures: Any) -> list[tuple[int, ...]]:
    """The shapes in a list of pictures, each once; none if something else is in it."""
    sizes: dict[tuple[int, ...], None] = {}
    for picture in pictures if isinstance(pictures, (list, tuple)) or np.ndim(pictures) == 1 else ():
        size = getattr(picture, "size", None)  # (width, height) of Pillow's
        shape = getattr(picture, "shape", size[::-1] if isinstance(size, tuple) else None)
        if shape is None or len(shape) not in (2, 3):
            return []
        sizes[tuple(shape)] = None
    return list(sizes)


def _one_size(pictures: Any) -> str:
    sizes = _sizes(pictures)
    few = ", ".join(map(str, sizes[:3])) + (", ..." if len(sizes) > 3 else "")
    met = f"They have {len(sizes)} shapes: {few}. " if sizes else ""
    return met + (
        "Resize them to one and pass np.stack(images), or go picture by picture, as docs/from-keras.md shows in "
        '"Sizes that come once".'
    )


def _check_dense(name: str, values: Any) -> None:
    if is_sparse(values):
        dense = f"{name}.{dense_call(values)}"
        raise TypeError(f"{name} is {short(values)}, which is sparse; expected a dense array: pass {dense}.")


def _regular(name: str, values: Any, remedy: str = "Make them equally long.") -> np.ndarray:
    _check_dense(name, values)
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is {short(values)} whose items differ in length, so no array. {remedy}") from error
