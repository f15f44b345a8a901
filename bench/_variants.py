"""Settings other than the default: borders, spline orders, and the steps of Keras' generator on top of the warp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _contestants import AUGMENT, KERAS_ARGUMENTS, SHIFT, WorkLoad, by_batch, by_keras, check_batch
from _timing import Contestant
from keras.src.legacy.preprocessing.image import ImageDataGenerator as LegacyGenerator
from scipy import ndimage

from jaxiter import Chain, Loader, affine_warp
from jaxiter.keras import ImageDataGenerator

FILL_MODES = ("nearest", "constant", "reflect", "wrap")
DEFAULT, DEFAULT_SHIFT = "nearest, order 1", "nearest, shift 0.1"
SCIPY_ORDERS = (1, 3, 5)
WARP, ALL = "the warp alone", "with channel shift, brightness and samplewise"
REPLAY, KERAS_ALL = 'with rng="keras"', f"Keras, {ALL}"

# What each step is added to: rotation, shifts, shear, zoom and flip.
GEOMETRY = {name: value for name, value in KERAS_ARGUMENTS.items() if name != "rescale"}
CHANNEL_SHIFT = {"channel_shift_range": 20.0}
BRIGHTNESS = {"brightness_range": (0.5, 1.5)}
SAMPLEWISE = {"samplewise_center": True, "samplewise_std_normalization": True}
STEPS = {
    WARP: {},
    "with rescale": {"rescale": 1 / 255},
    "with channel shift": CHANNEL_SHIFT,
    "with brightness": BRIGHTNESS,
    "with channel shift and brightness": CHANNEL_SHIFT | BRIGHTNESS,
    "with samplewise": SAMPLEWISE,
    ALL: CHANNEL_SHIFT | BRIGHTNESS | SAMPLEWISE,
}


class OwnParameters(ImageDataGenerator):
    def get_random_transform(self, img_shape: Any, seed: Any = None) -> Any:
        return super().get_random_transform(img_shape, seed)


class OwnTransform(ImageDataGenerator):
    def apply_transform(self, x: Any, transform_parameters: Any) -> Any:
        return super().apply_transform(x, transform_parameters)


class OwnStandardize(ImageDataGenerator):
    def standardize(self, x: Any) -> Any:
        return super().standardize(x)


# What a user writes in Python.
OVERRIDDEN = {
    "with a preprocessing_function": (ImageDataGenerator, {"preprocessing_function": lambda x: np.sqrt(np.abs(x))}),
    "with standardize overridden": (OwnStandardize, {}),
    "with get_random_transform overridden": (OwnParameters, {}),
    "with apply_transform overridden": (OwnTransform, {}),
}


def sampled(load: WorkLoad) -> list[Contestant]:
    """`Loader.batch` with each border at order 1, and each order with the default border."""
    resident, size = jnp.asarray(load.images()), load.batch_size
    affine, rescale = AUGMENT.transforms

    def batches(fill_mode: str, order: int) -> Callable[[], Any]:
        augment = Chain(replace(affine, fill_mode=fill_mode, order=order), rescale)
        return by_batch(Loader(resident, batch_size=size, augment=augment))

    check = partial(check_batch, shape=(size, load.side, load.side, 3), dtype=np.float32)
    settings = [*((fill_mode, 1) for fill_mode in FILL_MODES), *(("nearest", order) for order in (0, 2, 3, 4, 5))]
    return [
        Contestant(
            f"{fill_mode}, order {order}",
            "batch",
            size,
            batches(fill_mode, order),
            # Splines overshoot, and outside of "constant" is black.
            check_any if order > 1 or fill_mode == "constant" else partial(check, top=1.0),
        )
        for fill_mode, order in settings
    ]


def shifts(load: WorkLoad) -> list[Contestant]:
    """Flips and shifts alone with each border, and shifts too far for rows to be lengthened; donated."""
    resident, size = jnp.asarray(load.images()), load.batch_size
    affine, rescale = SHIFT.transforms
    settings = {f"{fill_mode}, shift 0.1": {"fill_mode": fill_mode} for fill_mode in FILL_MODES}
    settings |= {"nearest, whole pixels": {"whole_pixels": True}, "nearest, shift 0.6": {"shift": 0.6}}
    contestants = []
    for name, changes in settings.items():
        loader = Loader(resident, batch_size=size, augment=Chain(replace(affine, **changes), rescale))
        contestants.append(Contestant(name, "batch", size, by_batch(loader, donate=True), check_any))
    return contestants


def against_scipy(load: WorkLoad) -> list[Contestant]:
    """The same float images along the same matrices: SciPy channel by channel, and `affine_warp` under `vmap`."""
    count = 16
    images = load.images()[:count].astype(np.float32)
    angles = np.linspace(-0.2, 0.2, count)
    matrices = np.zeros((count, 3, 3), np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1.05 * np.cos(angles)
    matrices[:, 0, 1], matrices[:, 1, 0] = -np.sin(angles), np.sin(angles)
    matrices[:, :2, 2], matrices[:, 2, 2] = 0.03 * load.side, 1
    on_device = jnp.asarray(images), jnp.asarray(matrices)

    def by_scipy(order: int) -> np.ndarray:
        warped = np.empty_like(images)
        for image, matrix, out in zip(images, matrices, warped, strict=True):
            for channel in range(3):
                ndimage.affine_transform(
                    image[..., channel], matrix, order=order, mode="nearest", output=out[..., channel]
                )
        return warped

    def check(found: Any, order: int) -> None:
        assert np.abs(np.asarray(found) - by_scipy(order)).max() < 1e-4 * 255

    contestants = []
    for order in SCIPY_ORDERS:
        warp = jax.jit(jax.vmap(partial(affine_warp, order=order)))
        scipy_name, our_name = scipy_names(order)
        agree = partial(check, order=order)
        contestants += [
            Contestant(scipy_name, "batch", count, partial(by_scipy, order), agree),
            Contestant(our_name, "batch", count, partial(warp, *on_device), agree),
        ]
    return contestants


def scipy_names(order: int) -> tuple[str, str]:
    return f"SciPy affine_transform, order {order}", f"jaxiter affine_warp, order {order}"


def with_steps(load: WorkLoad) -> list[Contestant]:
    """`jaxiter.keras` with one step more or less."""
    images, size = load.images(), load.batch_size
    whole = images[: len(images) - len(images) % size]

    def flow(**arguments: Any) -> Callable[[], Any]:
        return by_keras(ImageDataGenerator(**GEOMETRY | arguments), images, size)

    contestants = [Contestant(name, "batch", size, flow(**step), check_any) for name, step in STEPS.items()]
    for name, (cls, arguments) in OVERRIDDEN.items():
        call = by_keras(cls(**GEOMETRY | arguments), images, size)
        contestants.append(Contestant(name, "batch", size, call, check_any))
    replayed = ImageDataGenerator(**GEOMETRY).flow(whole, batch_size=size, seed=0, rng="keras")
    theirs = by_keras(LegacyGenerator(**GEOMETRY | STEPS[ALL]), images, size)
    return [
        *contestants,
        Contestant(REPLAY, "batch", size, lambda: next(replayed), check_any),
        Contestant(KERAS_ALL, "batch", size, theirs, check_any),
    ]


def check_any(batch: Any) -> None:
    values = np.asarray(batch)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.std() > 0.1, values.std()
