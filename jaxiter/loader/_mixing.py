"""Batches whose examples are mixed with one another, labels with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_flag, check_int, check_not_forked, check_not_masked, is_array
from .._describe import described
from .._keys import Key, as_key, fold_in, tag, uniforms
from .._transfers import transfers
from ..augment.internal import arithmetic_dtype
from ..sampler.internal import shuffle_positions

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Integer, Num, Real

_PARTNERS, _SHARES, _PLACES = (tag(f"mix {name}") for name in ("partners", "shares", "places"))


@transfers
def mixup(
    key: Key,
    images: Num[Array | np.ndarray, "batch ..."],
    labels: Integer[Array | np.ndarray, " batch"] | Real[Array | np.ndarray, "batch classes"],
    alpha: float = 1.0,
    *,
    num_classes: int | None = None,
    per_example: bool = True,
) -> tuple[Float[Array, "batch ..."], Float[Array, "batch classes"]]:
    """Every example mixed with another one of the batch: `share * own + (1 - share) * other`, the labels alike.

    A pure function of arrays, for `jit` as for eager use; the key is that of the step, of `loader.step_key`,
    `stream(with_key=True)` or `scan_epoch(with_key=True)`. Partners are a keyed permutation of the batch, so that every
    example counts as much as before; one may be its own partner. Shares are drawn from Beta(alpha, alpha).

    Args:
        key: A key of threefry.
        images: (batch, ...), real numbers of any rank; they need not be images.
        labels: Class numbers, (batch,), with num_classes; or rows, (batch, classes), such as one-hot or soft labels.
        alpha: Above 0. 1 draws any share alike, small ones are near 0 or 1.
        num_classes: How many classes there are, for class numbers.
        per_example: A share for each example. False: one for the batch, as in the paper.

    Returns:
        images, float32 (float64 stays), and labels, float32 (batch, classes).

    Raises:
        TypeError, ValueError: For an alpha that is not above 0, labels of another length or rank, class numbers without
            num_classes or beyond it, and a key of another kind.

    Source:
        Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images, labels = jnp.zeros((4, 8, 8, 3)), jnp.array([0, 1, 2, 0])
        >>> mixed, soft = mixup(jax.random.key(0), images, labels, 0.2, num_classes=3)
        >>> mixed.shape, soft.shape, soft.sum(axis=1).tolist()
        ((4, 8, 8, 3), (4, 3), [1.0, 1.0, 1.0, 1.0])
    """
    images, weights = _checked("mixup", images, labels, alpha, num_classes)
    return _mixup(as_key(key), images, weights, jnp.float32(alpha), check_flag("per_example", per_example))


@transfers
def cutmix(
    key: Key,
    images: Num[Array | np.ndarray, "batch height width channels"],
    labels: Integer[Array | np.ndarray, " batch"] | Real[Array | np.ndarray, "batch classes"],
    alpha: float = 1.0,
    *,
    num_classes: int | None = None,
    per_example: bool = True,
) -> tuple[Num[Array, "batch height width channels"], Float[Array, "batch classes"]]:
    """A rectangle of every image replaced by that of another one of the batch; labels weigh the area really replaced.

    Arguments and errors as for `mixup`. A share of the area is drawn from Beta(alpha, alpha); the rectangle has the
    proportions of the image, its centre lies anywhere in it, and what lies beyond the image is cut off.

    Args:
        images: (batch, height, width, channels), of any dtype.

    Returns:
        images of their own dtype, and labels, float32 (batch, classes).

    Source:
        Yun, Han, Oh, Chun, Choe and Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features", ICCV 2019.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.stack([jnp.zeros((8, 8, 1), jnp.uint8), jnp.ones((8, 8, 1), jnp.uint8)])
        >>> mixed, soft = cutmix(jax.random.key(0), images, jnp.array([0, 1]), num_classes=2)
        >>> bool((mixed.mean(axis=(1, 2, 3)) == soft[:, 1]).all())
        True
    """
    images, weights = _checked("cutmix", images, labels, alpha, num_classes)
    if images.ndim != 4:
        raise ValueError(
            f"images has shape {images.shape}; expected (batch, height, width, channels), as cutmix pastes rectangles. "
            "For other arrays use mixup."
        )
    return _cutmix(as_key(key), images, weights, jnp.float32(alpha), check_flag("per_example", per_example))


@partial(jax.jit, static_argnums=4)
def _mixup(
    key: jax.Array, images: jax.Array, labels: jax.Array, alpha: jax.Array, per_example: bool
) -> tuple[jax.Array, jax.Array]:
    batch = images.shape[0]
    partner, share = _partners(key, batch), _shares(key, batch, alpha, per_example)
    images = images.astype(arithmetic_dtype(images.dtype))
    own = share.astype(images.dtype).reshape(-1, *[1] * (images.ndim - 1))
    other = images.at[partner].get(mode="promise_in_bounds")
    return other + (images - other) * own, _mixed_labels(labels, partner, share)


@partial(jax.jit, static_argnums=4)
def _cutmix(
    key: jax.Array, images: jax.Array, labels: jax.Array, alpha: jax.Array, per_example: bool
) -> tuple[jax.Array, jax.Array]:
    batch, height, width, _ = images.shape
    partner, share = _partners(key, batch), _shares(key, batch, alpha, per_example)
    places = uniforms(fold_in(key, np.uint32(_PLACES)), 2 * batch).reshape(2, batch)
    places = places if per_example else jnp.broadcast_to(places[:, :1], places.shape)
    side = jnp.sqrt(np.float32(1) - share)

    def span(place: jax.Array, length: int) -> tuple[jax.Array, jax.Array]:
        """First and last but one, in whole pixels."""
        centre, half = jnp.floor(place * length), jnp.floor(side * length) / 2
        first, last = (jnp.clip(jnp.floor(edge), 0, length).astype(np.int32) for edge in (centre - half, centre + half))
        return first, last

    (top, bottom), (left, right) = span(places[0], height), span(places[1], width)
    rows, cols = jnp.arange(height, dtype=np.int32)[None], jnp.arange(width, dtype=np.int32)[None]
    in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    in_cols = (cols >= left[:, None]) & (cols < right[:, None])
    pasted = (in_rows[:, :, None] & in_cols[:, None])[..., None]
    other = images.at[partner].get(mode="promise_in_bounds")
    area = ((bottom - top) * (right - left)).astype(np.float32)
    return jnp.where(pasted, other, images), _mixed_labels(labels, partner, 1 - area / np.float32(height * width))


def _partners(key: jax.Array, batch: int) -> jax.Array:
    own = fold_in(key, np.uint32(_PARTNERS))
    return shuffle_positions(own, np.uint32(0), jnp.arange(batch, dtype=np.uint32), np.uint32(batch))


def _shares(key: jax.Array, batch: int, alpha: jax.Array, per_example: bool) -> jax.Array:
    """Of Beta(alpha, alpha): the share of one of two gamma variables in their sum."""
    count = batch if per_example else 1
    drawn = uniforms(fold_in(key, np.uint32(_SHARES)), count * 2 * (2 * _ATTEMPTS + 1))
    first, second = _log_gamma(drawn.reshape(2, count, -1) + np.float32(2**-25), alpha)
    return jnp.broadcast_to(jax.nn.sigmoid(first - second), (batch,))


# Each is taken in 95 of 100 cases or more, so that all fail once in 60 million; then it is the most likely value.
_ATTEMPTS = 6


def _log_gamma(drawn: jax.Array, alpha: jax.Array) -> jax.Array:
    """The logarithm of a gamma variable of shape `alpha` for each block of uniform numbers in (0, 1).

    Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", TOMS 2000: of shape alpha + 1, times the
    power 1 / alpha of a uniform one. In logarithms, since for small alpha that power is below all floats.
    """
    normal, limit = jax.scipy.special.ndtri(drawn[..., :_ATTEMPTS]), jnp.log(drawn[..., _ATTEMPTS:-1])
    scale = alpha + np.float32(2 / 3)
    cube = (1 + normal / jnp.sqrt(9 * scale)) ** 3
    log_cube = jnp.log(jnp.maximum(cube, np.float32(1e-30)))
    is_taken = (cube > 0) & (limit < normal**2 / 2 + scale * (1 - cube + log_cube))
    first = jnp.argmax(is_taken, axis=-1, keepdims=True)
    chosen = jnp.where(is_taken.any(-1), jnp.take_along_axis(log_cube, first, -1)[..., 0], 0)
    return jnp.log(scale) + chosen + jnp.log(drawn[..., -1]) / alpha


def _mixed_labels(labels: jax.Array, partner: jax.Array, share: jax.Array) -> jax.Array:
    other, own = labels.at[partner].get(mode="promise_in_bounds"), share[:, None]
    return labels * own + other * (np.float32(1) - own)


def _checked(
    name: str, images: object, labels: object, alpha: object, num_classes: int | None
) -> tuple[jax.Array, Float[Array, "batch classes"]]:
    """The images, and the labels as float32 rows."""
    check_not_forked()
    for argument, value in (("images", images), ("labels", labels)):
        check_not_masked(argument, value)
        if not is_array(value):
            raise TypeError(f"{argument} is {described(value)}; expected an array, of NumPy or JAX.")
    _check_alpha(alpha)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    if images.ndim < 2 or jnp.issubdtype(images.dtype, np.complexfloating):
        raise ValueError(
            f"images is {images.dtype}{list(images.shape)}; expected real numbers, (batch, ...), a batch and no single "
            "example."
        )
    if images.shape[0] == 0:
        raise ValueError(f"images has shape {images.shape}; expected at least one example.")
    if labels.ndim not in (1, 2) or labels.shape[0] != images.shape[0]:
        raise ValueError(
            f"labels has shape {labels.shape}; expected ({images.shape[0]},), class numbers, or ({images.shape[0]}, "
            "classes), as there are as many images."
        )
    if num_classes is not None:
        num_classes = check_int("num_classes", num_classes, 1)
    return images, _rows_of_labels(name, labels, num_classes)


def _rows_of_labels(name: str, labels: jax.Array, num_classes: int | None) -> jax.Array:
    if labels.ndim == 2:
        if labels.shape[1] == 1 and jnp.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"labels has shape {labels.shape}, one column of integers; expected class numbers, which are labels[:, "
                "0], with num_classes, or a column for each class."
            )
        if num_classes not in (None, labels.shape[1]):
            raise ValueError(f"num_classes is {num_classes}, and labels has {labels.shape[1]} columns; leave it out.")
        return labels.astype(np.float32)
    if not jnp.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels is {labels.dtype}{list(labels.shape)}; expected class numbers, integers, or rows.")
    if num_classes is None:
        raise ValueError(
            f"labels has shape {labels.shape}, class numbers, which do not say how many classes there are: pass "
            f"num_classes, {name}(key, images, labels, num_classes=10), or labels as rows."
        )
    if not isinstance(labels, jax.core.Tracer):
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= num_classes:
            raise ValueError(
                f"labels run from {least} to {most}; expected class numbers in [0, {num_classes}), of num_classes."
            )
    if labels.dtype.itemsize < 4:  # which may not count to num_classes
        labels = labels.astype(np.int32)
    return (labels[:, None] == jnp.arange(num_classes, dtype=labels.dtype)[None]).astype(np.float32)


def _check_alpha(alpha: object) -> None:
    if isinstance(alpha, jax.core.Tracer):
        return
    value: Any = alpha
    if np.size(value) != 1:
        raise ValueError(f"alpha is {described(alpha)}; expected one number above 0.")
    value = value.item() if is_array(alpha) or isinstance(alpha, np.generic) else value
    check_finite("alpha", value)
    if isinstance(value, tuple) or value <= 0:
        raise ValueError(f"alpha is {alpha!r}; expected a number above 0; 1 draws any share alike.")
