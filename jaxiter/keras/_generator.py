"""Keras' ImageDataGenerator over JAX."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._describe import shown
from .._host_rows import Source
from .._warn import warn
from ._draw import RandomTransform, draw
from ._file_flows import FileFlows
from ._forked import takes_jax_arrays
from ._functions import apply_affine_transform, apply_channel_shift, brighten, flip_axis, is_identity
from ._images import check_data_format
from ._numpy_iterator import NumpyArrayIterator
from ._parameters import check_parameters
from ._repr import generator_repr
from ._seed import Seed
from ._settings import brightness_axis
from ._statistics import check_function, fit, standardized

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class ImageDataGenerator(FileFlows):
    """Batches of images that are changed at random, as `tf.keras.preprocessing.image` makes them.

    Every argument becomes an attribute and may be changed later; another range or mean compiles nothing new.
    The order of the steps: one affine map, channel shift, flips, brightness, then `standardize`.

    Args:
        featurewise_center, featurewise_std_normalization: Subtract the mean and divide by the standard deviation of
            each channel, which `fit` finds.
        samplewise_center, samplewise_std_normalization: The same with the image's own mean and deviation.
        zca_whitening, zca_epsilon: Whiten with the matrix that `fit` finds.
        rotation_range, shear_range: Degrees to either side.
        width_shift_range, height_shift_range: A float below 1 is a fraction of the size to either side, from 1 on
            pixels; an integer k is -(k - 1) ... k - 1 whole pixels; a sequence holds the values to choose from, with a
            random sign. As in Keras, width_shift_range moves up and down, and height_shift_range sideways.
        brightness_range: (low, high) for a factor that acts in 8 bits, as Pillow does.
        zoom_range: r means [1 - r, 1 + r], or (low, high); factors below 1 make the picture larger.
        channel_shift_range: The number added to all channels, to either side.
        fill_mode, cval: What lies outside the image, see `jaxiter.affine_warp`.
        horizontal_flip, vertical_flip: Mirror one half of the images.
        rescale: A factor, applied in `standardize`.
        preprocessing_function: Takes and returns one image, on the host, after the random change. All of
            `standardize` then runs image by image: for 32 x 32 x 3 that is some 12 microseconds each beside the
            function's own, where the rest of the batch takes 13.
        data_format: "channels_last", the default, or "channels_first".
        validation_split: The share of "validation" when `flow` is asked for a subset.
        interpolation_order: 0 for the nearest pixel, 1 for linear interpolation, 3 for cubic; 2, 4 and 5 exist too.
        dtype: Of the batches; float32 by default.

    Raises:
        ValueError, TypeError: For a zoom_range, brightness_range, data_format, validation_split or
            preprocessing_function of the wrong kind.

    Example:
        >>> generator = ImageDataGenerator(rotation_range=15, horizontal_flip=True, rescale=1 / 255)
        >>> images, labels = np.zeros((10, 8, 8, 3), np.uint8), np.arange(10)
        >>> x, y = next(generator.flow(images, labels, batch_size=4, seed=0))
        >>> x.shape, y.shape
        ((4, 8, 8, 3), (4,))
    """

    @takes_jax_arrays
    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: ArrayLike = 0.0,
        height_shift_range: ArrayLike = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Any], Any] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: DTypeLike | None = None,
    ):
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.shear_range = shear_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.dtype = "float32" if dtype is None else dtype
        self.interpolation_order = interpolation_order
        self.data_format = "channels_last" if data_format is None else data_format
        check_data_format(self.data_format)
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        self._validation_split = _checked_share(validation_split)
        check_function(preprocessing_function)
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None
        self.zoom_range = _zoom_pair(zoom_range)
        self._override_flags()
        self.brightness_range = _brightness_pair(brightness_range)

    def __repr__(self) -> str:
        return generator_repr(self, ImageDataGenerator)

    @takes_jax_arrays
    def flow(
        self,
        x: ArrayLike | Source | Sequence[ArrayLike | Source],
        y: ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        seed: Seed = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
        *,
        output: str = "numpy",
        rng: str | None = None,
    ) -> NumpyArrayIterator:
        """An endless iterator over batches of an array, see `NumpyArrayIterator`.

        With rng="keras" and an integer seed the batches are those of Keras.

        Example:
            >>> generator = ImageDataGenerator(validation_split=0.2)
            >>> len(generator.flow(np.zeros((10, 8, 8, 3)), batch_size=4, subset="training"))
            2
            >>> it = generator.flow(np.zeros((5, 8, 8, 3)), np.arange(5), seed=0, rng="keras")
            >>> next(it)[1].tolist(), np.random.RandomState(0).permutation(5).tolist()
            ([2, 0, 1, 3, 4], [2, 0, 1, 3, 4])
        """
        return NumpyArrayIterator(
            x,
            y,
            self,
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            subset=subset,
            ignore_class_split=ignore_class_split,
            dtype=self.dtype,
            output=output,
            rng=rng,
        )

    @takes_jax_arrays
    def fit(self, x: ArrayLike, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find `mean`, `std` and `zca_whitening_matrix`, those that the flags ask for. Returns None.

        Args:
            x: Images of rank 4, not changed. `rescale` is applied, samplewise steps and preprocessing_function are
                not. Sums are taken in float64, where Keras' float32 is off by some thousandths for a large array. Up
                to 32 MB the whitening matrix is Keras' to the last bit; more is read in blocks, in float64. A pixel
                that is NaN makes the figures of its channel NaN, with which no batch is made.
            augment: Take the statistics of images that are changed at random.
            rounds: How many times over all images, with augment.
            seed: Of a NumPy stream, for Keras' own draws.

        Raises:
            ValueError: For another rank, or images that are too large for whitening, and with augment for rounds below
                1. TypeError for rounds that are no integer, and a seed that NumPy does not take.

        Example:
            >>> generator = ImageDataGenerator(featurewise_center=True)
            >>> generator.fit(np.full((2, 4, 4, 1), 7, np.uint8))
            >>> generator.mean.tolist()
            [[[7.0]]]
        """
        fit(self, x, augment, rounds, seed)

    # Any: x itself where nothing is on, what preprocessing_function returns, else an array; scripts override it.
    @takes_jax_arrays
    def standardize(self, x: Any) -> Any:
        """`x` after preprocessing_function, rescale, and the centring, scaling and whitening that are on.

        Args:
            x: One image, or a batch, which samplewise steps take as one. A float array is changed in place.

        Example:
            >>> ImageDataGenerator(rescale=0.5).standardize(np.array([[[3.0]]])).item()
            1.5
        """
        return standardized(self, x)

    @takes_jax_arrays
    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> RandomTransform:
        """Parameters for `apply_transform`, drawn within the ranges.

        Args:
            img_shape: Of one image; shifts are in its pixels.
            seed: Keras' own values for this seed; None: fresh ones. NumPy's global stream is left alone. While a
                batch of rng="keras" is made, a seed moves its stream, as in Keras.

        Example:
            >>> params = ImageDataGenerator(rotation_range=10).get_random_transform((8, 8, 3), seed=1)
            >>> round(params["theta"], 4), params["zx"]
            (-1.6596, 1)
        """
        return draw(self, img_shape, seed)

    @takes_jax_arrays
    def apply_transform(self, x: np.ndarray, transform_parameters: RandomTransform) -> np.ndarray:
        """The image changed by the parameters; a missing one means no change.

        Args:
            x: One image.
            transform_parameters: theta, tx, ty, shear, zx, zy as for `apply_affine_transform`; flip_horizontal,
                flip_vertical; channel_shift_intensity and brightness, where None means none.

        Raises:
            TypeError: If a parameter is None, a string, or otherwise no number. ValueError: If one is NaN or infinite.

        Example:
            >>> x = np.array([[[1.0], [2.0]]])
            >>> ImageDataGenerator().apply_transform(x, {"flip_horizontal": True}).ravel().tolist()
            [2.0, 1.0]
        """
        check_parameters(transform_parameters)
        get = transform_parameters.get
        row_axis, col_axis, channel_axis = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        affine = (get("theta", 0), get("tx", 0), get("ty", 0), get("shear", 0), get("zx", 1), get("zy", 1))
        axes = (row_axis, col_axis, channel_axis)
        x = apply_affine_transform(x, *affine, *axes, self.fill_mode, self.cval, self.interpolation_order)
        if get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, transform_parameters["channel_shift_intensity"], channel_axis)
        if get("flip_horizontal", False):
            x = flip_axis(x, col_axis)
        if get("flip_vertical", False):
            x = flip_axis(x, row_axis)
        if get("brightness") is not None:
            x = brighten(
                np.asarray(x),
                transform_parameters["brightness"],
                scale=False,
                channel_axis=brightness_axis(self, x.shape),
                resampled=not is_identity(*affine),
            )
        return x

    @takes_jax_arrays
    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """The image changed at random: `apply_transform` of `get_random_transform`.

        Example:
            >>> ImageDataGenerator(rotation_range=10).random_transform(np.zeros((8, 8, 3))).shape
            (8, 8, 3)
        """
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def _overridden(self) -> set[str]:
        """The methods that are not those above: of a subclass or mixin, of the object itself, or patched on the class.

        With axes of one's own apply_transform is another too: batches are made for those of the data formats.
        """
        own = set()
        for name, original in _ORIGINAL.items():
            found = getattr(self, name)
            if getattr(found, "__func__", None) is not original or found.__self__ is not self:
                own.add(name)
        if (self.row_axis, self.col_axis, self.channel_axis) not in ((1, 2, 3), (2, 3, 1)):
            own.add("apply_transform")
        return own

    def _override_flags(self) -> None:
        """Flags that need another one set it, and warn if it was not given."""
        given_center, given_std = self.featurewise_center, self.featurewise_std_normalization
        if self.zca_whitening:
            if not given_center:
                self.featurewise_center = True
                _warn_override("zca_whitening", "featurewise_center", True)
            if given_std:
                self.featurewise_std_normalization = False
                _warn_override("zca_whitening", "featurewise_std_normalization", False)
        if given_std and not given_center:
            self.featurewise_center = True
            _warn_override("featurewise_std_normalization", "featurewise_center", True)
        if self.samplewise_std_normalization and not self.samplewise_center:
            self.samplewise_center = True
            _warn_override("samplewise_std_normalization", "samplewise_center", True)


# As they are written here: the class' attributes may be set anew at any time.
_ORIGINAL = {
    name: vars(ImageDataGenerator)[name]
    for name in ("random_transform", "get_random_transform", "apply_transform", "standardize")
}


def _brightness_pair(brightness_range: Any) -> Any:
    is_pair = isinstance(brightness_range, (tuple, list)) and len(brightness_range) == 2
    if brightness_range is not None and not is_pair:
        raise ValueError(f"brightness_range is {brightness_range!r}; expected a tuple or list of two factors.")
    return brightness_range


def _zoom_pair(zoom_range: Any) -> list[Any]:
    if isinstance(zoom_range, (float, int)):
        return [1 - zoom_range, 1 + zoom_range]
    is_sized = isinstance(zoom_range, Sequence) or np.ndim(zoom_range) > 0
    if is_sized and len(zoom_range) == 2 and all(isinstance(factor, (float, int)) for factor in zoom_range):
        return [zoom_range[0], zoom_range[1]]
    error = ValueError if is_sized else TypeError
    raise error(f"zoom_range is {zoom_range!r}; expected a float, or a tuple or list of two floats.")


def _checked_share(validation_split: Any) -> Any:
    try:
        is_share = not validation_split or 0 < validation_split < 1
    except (TypeError, ValueError):  # text; an array of several numbers
        found = shown(validation_split)
        raise TypeError(f"validation_split is {found}; expected 0 or a share strictly between 0 and 1.") from None
    if not is_share:
        raise ValueError(f"validation_split is {validation_split}; expected 0 or a share strictly between 0 and 1.")
    return validation_split


def _warn_override(flag: str, other: str, value: bool) -> None:
    warn(f"`{flag}` overrides `{other}`, which is now {value}.")
