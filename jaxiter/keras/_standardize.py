"""Bringing an image, or a batch taken as one, to the scale a network wants: on the host and in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._config import fitted_statistic


def standardized(generator: Any, x: Any) -> Any:
    """What `ImageDataGenerator.standardize` gives back."""
    if generator.preprocessing_function:
        x = generator.preprocessing_function(x)
    mean, std, whitening = (fitted_statistic(generator, name) for name in ("mean", "std", "zca_whitening_matrix"))
    center, scale = generator.samplewise_center, generator.samplewise_std_normalization
    if not (generator.rescale or center or scale) and mean is None and std is None and whitening is None:
        return x
    x = _writable_floats(x, generator.dtype)
    if generator.rescale:
        x *= generator.rescale
    if center:
        x -= np.mean(x, keepdims=True)
    if scale:
        x /= np.std(x, keepdims=True) + 1e-6
    if mean is not None:
        x -= mean
    if std is not None:
        x /= std + 1e-6
    if whitening is not None:
        x = (x.reshape(-1, np.prod(x.shape[-3:])) @ whitening).reshape(x.shape)
    return x


def _writable_floats(x: Any, dtype: Any) -> np.ndarray:
    """`x` itself if it can be changed in place, else a copy; integers, on which Keras fails, as floats."""
    if not isinstance(x, np.ndarray):
        x = np.array(x)
    if x.dtype.kind != "f":
        return x.astype(dtype if np.dtype(dtype).kind == "f" else np.float32)
    return x if x.flags.writeable else x.copy()
