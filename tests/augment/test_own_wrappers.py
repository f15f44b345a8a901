"""Wrappers and objects that users write: what follows them, what they say of themselves, and their evaluation."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    CenterCrop,
    Chain,
    Frames,
    Loader,
    Mask,
    OneOf,
    RandomCrop,
    Rescale,
    Sometimes,
    Transform,
    Views,
    about_centre,
    deterministic,
    explain,
    flip_matrix,
    shift_matrix,
)

SHAPE = (5, 6, 2)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.uint8)
KEY = jax.random.key(0)
DOWN = Affine(shift=((0.4, 0.4), 0), whole_pixels=True)


class Flip:
    """An object that only has the two methods."""

    def sample(self, key, image_shape):
        return jax.random.bernoulli(key)

    def apply(self, params, image):
        return jnp.where(params, image[:, ::-1], image)


class FlipWithMatrix(Flip):
    def matrix(self, params, image_shape):
        return jnp.where(params, about_centre(flip_matrix(True, False), *image_shape[:2]), jnp.eye(3, dtype=np.float32))


class WithoutMatrix(Flip):
    def matrix(self, params, image_shape):
        return None


class Dark(Flip):
    moves_pixels, keeps_shape = False, True

    def apply(self, params, image):
        return jnp.where(params, image // 2, image)


class FlippedDark(Dark):
    def apply(self, params, image):
        return image[:, ::-1]


class CroppedDark(Dark):
    def apply(self, params, image):
        return image[:2]


class DarkByInit(Flip):
    def __init__(self):
        self.moves_pixels = False

    def apply(self, params, image):
        return image // 2


class Crop(Flip):
    """A RandomCrop of one's own: (3, width), from the first, second or third row on."""

    def sample(self, key, image_shape):
        return (jax.random.bits(key) % np.uint32(image_shape[0] - 2)).astype(np.int32)

    def apply(self, params, image):
        return jax.lax.dynamic_slice_in_dim(image, params, 3)

    def matrix(self, params, image_shape):
        return shift_matrix(-params.astype(np.float32), 0)


class Forwarding:
    """Answers whatever it is asked for by what it holds, and does something else."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(vars(self)["inner"], name)

    def apply(self, params, image):
        return self.inner.apply(params, image)[:2]


@dataclass(frozen=True, eq=False)
class TwoViews(Transform):
    inner: Transform

    def sample(self, key, image_shape):
        return tuple(self.inner.sample(key, image_shape) for key in jax.random.split(key))

    def apply(self, params, image):
        return jnp.stack([self.inner.apply(drawn, image) for drawn in params])

    def without_randomness(self):
        return TwoViews(deterministic(self.inner))


@dataclass(frozen=True, eq=False)
class Perhaps(Transform):
    """A Sometimes of one's own."""

    inner: Transform

    def sample(self, key, image_shape):
        mine, inner = jax.random.split(key)
        return jax.random.bernoulli(mine), self.inner.sample(inner, image_shape)

    def apply(self, params, image):
        return jnp.where(params[0], self.inner.apply(params[1], image), image)

    def matrix(self, params, image_shape):
        found = self.inner.matrix(params[1], image_shape)
        return None if found is None else jnp.where(params[0], found, jnp.eye(3, dtype=np.float32))

    def without_randomness(self):
        return None


AROUND = {
    "by itself": lambda step: step,
    "Chain": lambda step: Chain(DOWN, step, Rescale(1.0)),
    "Sometimes": lambda step: Sometimes(0.5, step),
    "OneOf": lambda step: OneOf(step, step),
    "Views": lambda step: Views(step, 2),
}


UNKNOWN = [
    Flip(),
    WithoutMatrix(),
    FlippedDark(),
    CroppedDark(),
    Forwarding(DOWN),
    Forwarding(Rescale(1.0)),
    Forwarding(FlipWithMatrix()),
    Perhaps(Chain(Flip())),
    TwoViews(DOWN),
]


@pytest.mark.parametrize(
    ("around", "step"),
    [
        pytest.param(around, step, marks=[] if n % len(AROUND) == m else [pytest.mark.slow])
        for m, around in enumerate(AROUND)
        for n, step in enumerate(UNKNOWN)
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_nothing_follows_a_step_whose_geometry_is_not_known_and_the_loader_says_whose(around, step):
    data, augment = {"image": IMAGES, "mask": IMAGES}, {"image": AROUND[around](step), "mask": Mask("image")}
    with pytest.raises(ValueError, match=rf"geometry of {type(step).__name__} is not known.*moves_pixels = False"):
        Loader(data, batch_size=2, augment=augment)


def test_a_mask_of_frames_is_refused_as_that_of_an_image():
    clips = np.stack([IMAGES] * 2, axis=1)
    with pytest.raises(ValueError, match="geometry of WithoutMatrix is not known"):
        Loader((clips, clips), batch_size=2, augment=(Frames(WithoutMatrix()), Mask(0)))


FOLLOWED = {
    "matrix": (FlipWithMatrix(), 1),
    "matrix in Sometimes": (Sometimes(0.5, FlipWithMatrix()), 1),
    "matrix in OneOf": (OneOf(FlipWithMatrix(), Affine(vertical_flip=True, draws="another")), 1),
    "matrix in Views": (Views(Chain(FlipWithMatrix(), DOWN), 2), 1),
    "own Sometimes": (Perhaps(FlipWithMatrix()), 1),
    "own RandomCrop": (Chain(Crop(), Affine(vertical_flip=1.0)), 1),
    "stays": (Chain(Dark(), DOWN), 2),
    "stays, said by the object": (DarkByInit(), 2),
}


def test_a_mask_follows_a_step_that_knows_its_geometry():
    """All cases in one program. Pixels are their own mask, to a factor of the steps that darken."""
    data = {name: {"image": IMAGES, "mask": IMAGES} for name in FOLLOWED}
    augment = {name: {"image": step, "mask": Mask("image")} for name, (step, _) in FOLLOWED.items()}
    loader = Loader(data, batch_size=4, augment=augment)
    batch = loader.batch(KEY, 1, 0)
    for name, (_, factor) in FOLLOWED.items():
        image, mask = (np.asarray(batch[name][leaf]) for leaf in ("image", "mask"))
        kept = (image == mask) if factor == 1 else (image == mask) | (image == mask // factor)
        assert image.shape == mask.shape, name
        assert kept.all(), name
    stored = IMAGES[np.asarray(loader.index(KEY, 1, 0))]
    assert not np.array_equal(batch["matrix"]["mask"], stored)
    np.testing.assert_array_equal(batch["stays, said by the object"]["mask"], stored)


def test_a_step_that_says_its_pixels_stay_keeps_the_size():
    class Liar(Flip):
        moves_pixels = False

        def apply(self, params, image):
            return image[:2]

    with pytest.raises(ValueError, match=r"Liar says moves_pixels = False and makes \(2, 6, 2\).*Define matrix"):
        Loader((IMAGES, IMAGES), batch_size=2, augment=(Liar(), Mask(0)))


def test_what_a_class_says_of_its_shape_does_not_hold_for_the_apply_of_a_subclass():
    chain = Chain(CroppedDark(), DOWN)
    assert not chain.keeps_shape
    _, affine = chain.sample(KEY, SHAPE)
    assert affine.shift.tolist() == [1.0, 0.0]  # of two rows, not of five
    assert Chain(Dark(), DOWN).keeps_shape


def test_choices_of_other_shapes_are_refused_by_the_names_of_their_classes():
    with pytest.raises(ValueError, match=r"OneOf of Crop and Affine makes \(3, 6, 2\) or \(5, 6, 2\)"):
        Chain(OneOf(Crop(), Affine())).sample_and_apply(KEY, IMAGES[0])


WRAPPERS = [
    (TwoViews(Chain(Affine(horizontal_flip=True), RandomCrop(3))), (2, 3, 3, 2)),
    (Perhaps(Affine(vertical_flip=1.0)), SHAPE),
    (Chain(Crop(), RandomCrop((3, 4))), (3, 4, 2)),
]


@pytest.mark.slow
def test_wrappers_are_explained_and_have_the_shape_that_the_batch_has():
    steps, shapes = zip(*WRAPPERS, strict=True)
    loader = Loader((*[IMAGES] * 3, np.arange(4)), batch_size=4, augment=(*steps, None))
    *batch, labels = loader.batch(KEY, 1, 0)
    shown = explain(loader, KEY, 1, 2)
    for place, (step, shape, images) in enumerate(zip(steps, shapes, batch, strict=True)):
        assert images.shape == (4, *shape)
        np.testing.assert_array_equal(shown.after[place], images[np.flatnonzero(labels == 2)[0]])
        np.testing.assert_array_equal(step.apply(shown.params[place], IMAGES[2]), shown.after[place])
        assert (shown.matrix[place] is None) == isinstance(step, TwoViews)


def test_evaluation_of_wrappers():
    views = deterministic(TwoViews(Chain(Affine(rotation=20), RandomCrop(3))))
    expected = np.asarray(CenterCrop(3).apply((), IMAGES[0]), np.float32)
    first, second = (Chain(views).sample_and_apply(key, IMAGES[0]) for key in jax.random.split(KEY))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.stack([expected, expected]))
    np.testing.assert_array_equal(Chain(deterministic(Perhaps(DOWN))).sample_and_apply(KEY, IMAGES[0]), IMAGES[0])
    with pytest.raises(TypeError, match=r"Forwarding is random.*self.inner, a Affine.*without_randomness"):
        deterministic(Forwarding(Affine(rotation=20)))
