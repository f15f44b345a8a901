"""Pictures as arrays and as Pillow images, and written to files."""

from __future__ import annotations

import os
import pathlib
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from PIL import Image

from .._warn import warn
from ..host.internal import save_whole
from ._brightness import check_channels
from ._forked import takes_jax_arrays

DATA_FORMATS = ("channels_last", "channels_first")


def check_data_format(data_format: Any) -> None:
    if data_format not in DATA_FORMATS:
        raise ValueError(f"data_format is {data_format!r}; expected 'channels_last' or 'channels_first'.")


@takes_jax_arrays
def array_to_img(
    x: ArrayLike, data_format: str | None = None, scale: bool = True, dtype: DTypeLike | None = None
) -> Image.Image:
    """An array as a Pillow image.

    Args:
        x: (height, width, channels), or as data_format says; 1, 3 or 4 channels. It is not changed.
        data_format: "channels_last", the default, or "channels_first".
        scale: Stretch the values to 0 ... 255. False: they are cut off to whole numbers.
        dtype: What is computed in; float32 by default.

    Returns:
        An image of mode L (I if a number is above 255), RGB or RGBA.

    Raises:
        ValueError: For another rank, data_format or number of channels.

    Example:
        >>> array_to_img(np.zeros((4, 6, 3))).size
        (6, 4)
    """
    data_format = "channels_last" if data_format is None else data_format
    check_data_format(data_format)
    values = np.asarray(x, dtype=np.float32 if dtype is None else dtype)
    if values.ndim != 3:
        raise ValueError(f"x has shape {values.shape}; expected an array of rank 3, one image.")
    if data_format == "channels_first":
        values = values.transpose(1, 2, 0)
    check_channels(values.shape[2])
    if scale:
        values = values - np.min(values)
        top = np.max(values)
        values = (values / top if top != 0 else values) * 255
    if values.shape[2] > 1:
        return Image.fromarray(values.astype("uint8"))
    wide = np.max(values) > 255
    return Image.fromarray(values[:, :, 0].astype("int32" if wide else "uint8"))


@takes_jax_arrays
def img_to_array(
    img: Image.Image | ArrayLike, data_format: str | None = None, dtype: DTypeLike | None = None
) -> np.ndarray:
    """A Pillow image, or an array of rank 2 or 3, as an array of rank 3.

    Args:
        img: The picture; an array is (height, width) or (height, width, channels).
        data_format: Where the channels go: "channels_last", the default, or "channels_first".
        dtype: float32 by default.

    Raises:
        ValueError: For another rank or data_format.

    Example:
        >>> img_to_array(Image.new("L", (6, 4)), data_format="channels_first").shape
        (1, 4, 6)
    """
    data_format = "channels_last" if data_format is None else data_format
    check_data_format(data_format)
    x = np.asarray(img, dtype=np.float32 if dtype is None else dtype)
    if x.ndim not in (2, 3):
        raise ValueError(f"Unsupported image shape: {x.shape}; expected (height, width) or (height, width, channels).")
    if x.ndim == 2:
        x = x[:, :, None]
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


@takes_jax_arrays
def save_img(
    path: str | bytes | os.PathLike[str] | IO[bytes],
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture file. Returns None.

    Args:
        path: A path, or an open file; then file_format says what to write.
        x, data_format, scale: As for `array_to_img`.
        file_format: For example "png"; by default what the end of the path says.
        **kwargs: Passed on to Pillow.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save_img(file, np.zeros((4, 6, 1)), file_format="png")
        >>> Image.open(file).size
        (6, 4)
    """
    if file_format is None and isinstance(path, (str, pathlib.Path)):
        file_format = pathlib.Path(path).suffix[1:].lower()
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format and file_format.lower() == "jpeg":
        warn("x is RGBA and JPEG has no alpha channel; it is written as RGB.")
        img = img.convert("RGB")
    save_whole(img, path, format=file_format or None, **kwargs)
