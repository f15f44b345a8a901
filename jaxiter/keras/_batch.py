"""Rows of an array after the generator's methods: compiled where they are Keras' own, image by image where not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._checks import check_finite, is_forked
from .._describe import described
from .._transfers import transfers
from ..augment import Chain
from ..loader.internal import augment_rows
from ._draw import TRANSFORMS, BatchContext, RowKeys, as_row, batch_context, draw_each, row_contexts
from ._parameters import check_parameters, is_one_number_each
from ._settings import APPLIED, DRAWN_FROM, GeneratorLike, Seen, Watch, brightness_axis, checked_sampling, is_fitted
from ._transform import KerasParams, KerasTransform, wide_arithmetic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Array, Num
    from numpy.typing import DTypeLike

    from .._keys import Key

Batch = Any  # np.ndarray or jax.Array; what lies beyond as many images as there are rows is to be cut off


class TransformCache:
    """The transform of a generator, made anew only when one of its attributes has changed."""

    def __init__(self) -> None:
        self._watch = Watch(*DRAWN_FROM, *APPLIED)
        self._kept: tuple[Seen, tuple[Any, ...], KerasTransform] | None = None

    def transform(
        self, generator: GeneratorLike, image_shape: tuple[int, ...], dtype: np.dtype, *, standardize: bool
    ) -> KerasTransform:
        # Read and written as a whole, since threads share an iterator.
        seen, kept, purpose = self._watch.look(generator), self._kept, (generator, image_shape, dtype, standardize)
        if kept is not None and kept[1] == purpose and seen.is_same(kept[0]):
            return kept[2]
        transform = KerasTransform.of(generator, image_shape, dtype, standardize=standardize)
        self._kept = (seen, purpose, transform) if is_fitted(generator) else None  # unfitted, every batch warns
        return transform


def transformed(
    generator: GeneratorLike,
    images: np.ndarray,
    dtype: DTypeLike,
    source: RowKeys | np.random.RandomState,
    length: int,
    cache: TransformCache,
    owner: object = None,
) -> Batch:
    """A batch of images of `dtype`.

    Args:
        generator: Its methods are honoured if they are overridden; each image then goes through them on the host.
        images: The rows as they are stored.
        source: Decides the draws; a NumPy stream is drawn from by one image after the other.
        length: The number of images to compile for; a shorter batch is filled up.
        owner: The iterator whose batch it is.
    """
    dtype, shape = np.dtype(dtype), images.shape[1:]
    if len(images) == 0:
        return np.zeros(images.shape, dtype)
    own = generator._overridden() if hasattr(generator, "_overridden") else _METHODS
    by_hand = "standardize" in own or bool(generator.preprocessing_function)
    replays = isinstance(source, np.random.RandomState)

    def contexts(first_call: int = 0) -> list[BatchContext]:
        if isinstance(source, np.random.RandomState):
            return [BatchContext(owner, state=source)] * len(images)
        return row_contexts(owner, source, first_call)

    # With a stream of Keras' the parameters of an image depend on what the function for the one before it drew.
    if "apply_transform" in own or (by_hand and (replays or "get_random_transform" in own)):
        return _image_by_image(generator, images.astype(dtype), contexts())
    if "get_random_transform" in own:
        return _with_own_parameters(generator, images, dtype, contexts(), length)
    transform = cache.transform(generator, shape, dtype, standardize=not by_hand)
    if isinstance(source, np.random.RandomState):
        return apply_each(transform, images, draw_each(source, generator, shape, len(images)), length)
    if transform.changes_nothing:
        batch: Any = images.astype(dtype)
    elif length == 1 or is_forked():
        # Pictures that come one by one often have a size each, for which a program would be compiled; in a forked
        # process JAX would wait for ever.
        batch = random_on_host(transform, source, _inputs(dtype, images, len(images)))
    else:
        with wide_arithmetic(transform.widest):
            rows = _filled_up(np.stack([source.rows, source.showings], axis=-1).astype(np.uint32), length)
            inputs = _inputs(dtype, images, length)
            batch = random_batch(transform, source.key, np.uint32(source.epoch), rows, inputs)
    return _standardized(generator, to_numpy(batch, len(images)), contexts(first_call=1)) if by_hand else batch


_METHODS = ("apply_transform", "standardize", "get_random_transform")  # of an object that is no ImageDataGenerator


@transfers
@jax.jit
def random_batch(
    transform: KerasTransform, key: Key, epoch: jax.Array, rows: jax.Array, images: jax.Array
) -> Num[Array, "batch ..."]:
    """The images after a random transform each; what an image draws follows from (row, showing), its pair in `rows`."""
    return augment_rows((Chain(transform),), key, epoch, rows[:, 0], (images,), rows[:, 1])[0]


@transfers
@jax.jit
def given_batch(transform: KerasTransform, params: KerasParams, images: jax.Array) -> Num[Array, "batch ..."]:
    """The images after the given transforms."""
    return jax.vmap(transform.apply)(params, images)


def random_on_host(transform: KerasTransform, source: RowKeys, images: np.ndarray) -> np.ndarray:
    """`random_batch` in NumPy: the same draws, and the same pixels but for their last bits."""
    params = (transform.sample_on_host(block, images.shape[1:]) for block in source.blocks(0))
    return _each_on_host(transform, params, images)


def given_on_host(transform: KerasTransform, transforms: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`given_batch` in NumPy, of one of `TRANSFORMS` for each image."""
    drawn = {name: transforms[name] for name in TRANSFORMS.names or ()}
    params = map(KerasParams._make, zip(*transform.params(np, drawn, images.shape[1:]), strict=True))
    return _each_on_host(transform, params, images)


def _each_on_host(transform: KerasTransform, params: Iterable[KerasParams], images: np.ndarray) -> np.ndarray:
    pictures = [transform.apply_on_host(*pair) for pair in zip(params, images, strict=True)]
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def apply_each(transform: KerasTransform, images: np.ndarray, transforms: np.ndarray, length: int) -> Batch:
    """The images after one given transform each, as Keras' `apply_transform` and, if asked, `standardize` make them.

    Args:
        transform: Of the generator; the transforms need not keep to its ranges.
        transforms: One of `TRANSFORMS` for each image.
        length: As for `transformed`.
    """
    if transform.changes_nothing:
        return images.astype(transform.dtype)
    transform = replace(transform, given=True, bounds=None, shift_kinds=None, ranges=None)
    if length == 1 or is_forked():
        return given_on_host(transform, transforms, _inputs(transform.dtype, images, len(images)))
    drawn = {name: _filled_up(transforms[name], length) for name in TRANSFORMS.names or ()}
    with wide_arithmetic(transform.widest):
        params = transform.params(np, drawn, images.shape[1:])
        check_finite("matrix", params.matrix)
        return given_batch(transform, params, _inputs(transform.dtype, images, length))


def _image_by_image(generator: GeneratorLike, images: np.ndarray, contexts: list[BatchContext]) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with batch_context(contexts[position]):
            params = generator.get_random_transform(image.shape)
            _put(batch, position, generator, generator.standardize(generator.apply_transform(image, params)))
    return batch


def _with_own_parameters(
    generator: GeneratorLike, images: np.ndarray, dtype: np.dtype, contexts: list[BatchContext], length: int
) -> Batch:
    """Parameters from the generator's method, image by image; the pictures from the program.

    If the method changes what the program is made from, or a parameter is an array, the images from there on are made
    one by one.
    """
    shape, watch, rows = images.shape[1:], Watch(*APPLIED), []
    first, settings = None, SimpleNamespace()
    for position in range(len(images)):
        with batch_context(contexts[position]):
            params = generator.get_random_transform(shape)
        check_parameters(params)
        seen = watch.look(generator, into=False)
        if not is_one_number_each(params):
            break
        if first is None:
            first = seen
            settings = SimpleNamespace(**{name: getattr(generator, name) for name in (*DRAWN_FROM, *APPLIED)})
        elif not seen.is_same(first):
            break
        rows.append(as_row(params))
    transforms, made, batch = np.array(rows, TRANSFORMS), len(rows), np.empty(images.shape, dtype)
    if made:
        transform = _for_given(settings, shape, dtype, transforms)
        if made == len(images):
            return apply_each(transform, images, transforms, length)
        batch[:made] = apply_each(transform, images[:made], transforms, made)
    for position in range(made, len(images)):
        with batch_context(contexts[position]):
            if position > made:
                params = generator.get_random_transform(shape)
            image = generator.apply_transform(images[position].astype(dtype), params)
            _put(batch, position, generator, generator.standardize(image))
    return batch


def _for_given(
    settings: GeneratorLike, shape: tuple[int, ...], dtype: np.dtype, transforms: np.ndarray
) -> KerasTransform:
    """The transform of a generator for parameters outside of its ranges, with the steps that these need."""
    transform = KerasTransform.of(settings, shape, dtype, standardize=True)
    moved = any(np.any(transforms[name]) for name in ("theta", "tx", "ty", "shear"))
    if (moved or np.any(transforms["zx"] != 1) or np.any(transforms["zy"] != 1)) and not transform.affine:
        fill_mode, cval, order = checked_sampling(settings.fill_mode, settings.cval, settings.interpolation_order)
        sampling: dict[str, Any] = {
            "fill_mode": fill_mode,
            "cval": np.asarray(cval, transform.arithmetic),
            "order": order,
        }
        transform = replace(transform, affine=True, **sampling)
    brightened = not np.all(np.isnan(transforms["brightness"]))
    return replace(
        transform,
        flips=transform.flips or bool(np.any(transforms["flip_horizontal"]) or np.any(transforms["flip_vertical"])),
        channel_shift=transform.channel_shift or bool(np.any(transforms["channel_shift_intensity"])),
        brightness_axis=brightness_axis(settings, shape) if brightened else None,
    )


def _standardized(generator: GeneratorLike, images: np.ndarray, contexts: list[BatchContext]) -> np.ndarray:
    batch = np.zeros_like(images)
    for position, image in enumerate(images):
        with batch_context(contexts[position]):
            _put(batch, position, generator, generator.standardize(image))
    return batch


def _put(batch: np.ndarray, position: int, generator: GeneratorLike, image: Any) -> None:
    """Writes what the user's methods made of an image, which may broadcast to its shape, as in Keras."""
    cause: Exception | None = None
    try:
        if image is not None and not np.iscomplexobj(image):  # of which NumPy would make NaN, or real numbers
            batch[position] = image
            return
    except (ValueError, TypeError) as error:
        cause = error
    name = "preprocessing_function" if getattr(generator, "preprocessing_function", None) else "standardize"
    raise ValueError(
        f"{name} returned {described(image)} for an image of shape {batch.shape[1:]}; expected real numbers of that "
        "shape. To change the size of pictures resize them before flow, or in a subclass' own "
        "_get_batches_of_transformed_samples."
    ) from cause


def _inputs(dtype: np.dtype, images: np.ndarray, length: int) -> np.ndarray:
    """The images for the program: filled up, and cast unless the cast is exact on the device."""
    images = images.astype(images.dtype.newbyteorder("="), copy=False)
    exact = np.can_cast(images.dtype, dtype) and images.dtype.kind in "buif" and images.dtype.itemsize <= 4
    # Integers are resampled in their own dtype, which decides how they are rounded.
    if not exact or (dtype.kind in "iu" and images.dtype != dtype):
        images = images.astype(dtype)
    return images if len(images) == length else _filled_up(images, length)


def _filled_up(values: np.ndarray, length: int) -> np.ndarray:
    """With zeros after the last, for the program of a whole batch."""
    missing = length - len(values)
    return values if missing <= 0 else np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])


def to_numpy(batch: Batch, count: int) -> np.ndarray:
    """The first `count` images of a batch that nothing else refers to, writable; on CPU in the batch's own memory."""
    if not isinstance(batch, jax.Array):
        return batch[:count]
    # A copy costs as much as a tenth of the augmentation, in fresh pages even more.
    is_plain = np.dtype(batch.dtype).kind in "biuf" and batch.size and batch.is_fully_addressable
    if is_plain and len(batch.devices()) == 1 and next(iter(batch.devices())).platform == "cpu":
        return np.asarray(_Memory(batch))[:count]
    return np.array(jax.device_get(batch)[:count])


class _Memory:
    """What NumPy reads to lay an array over memory; the array keeps this object alive, and it the memory."""

    def __init__(self, array: jax.Array):
        array.block_until_ready()
        self.array = array
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "typestr": np.dtype(array.dtype).str,
            "data": (array.unsafe_buffer_pointer(), False),
        }
