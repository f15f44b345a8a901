"""Several looks at one example, one draw for many frames, and leaves that are no images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    AutoContrast,
    Blur,
    Brightness,
    Chain,
    Clip,
    Frames,
    Gamma,
    Grayscale,
    Invert,
    Loader,
    Map,
    Noise,
    Normalize,
    OneOf,
    RandomCrop,
    Rescale,
    Sometimes,
    Transform,
    Views,
    deterministic,
    explain,
    scan_epoch,
    stream,
)

from ..data import assert_trees_equal, pictures

KEY = jax.random.key(2)
IMAGES, LABELS = pictures(12, (6, 7, 3))
CLIPS = np.random.default_rng(1).integers(0, 256, (6, 4, 6, 7, 3)).astype(np.uint8)
AUGMENT = Chain(Affine(shift=0.3, horizontal_flip=True), Sometimes(0.5, Invert()), Brightness(0.3))
VALUES = Brightness((0.0, 1.0))


def images_of(augment, data=IMAGES, batch_size=4, epoch=0, step=0, **options):
    return np.asarray(
        Loader(data, batch_size=batch_size, augment=augment, shuffle=False, **options).batch(KEY, epoch, step)
    )


# Views


def test_view_v_of_showing_s_is_showing_s_n_plus_v_of_the_example_without_views():
    """So the first view of the first showing is the picture without them."""
    views = images_of(Views(AUGMENT, 3), rows=[5, 2, 5, 5])
    assert views.shape == (4, 3, 6, 7, 3)
    shown = images_of(AUGMENT, batch_size=12, rows=[5] * 9 + [2] * 3)
    assert np.array_equal(views[[0, 2, 3]].reshape(9, 6, 7, 3), shown[:9])
    assert np.array_equal(views[1], shown[9:])
    assert np.array_equal(images_of(AUGMENT)[2], shown[9])
    assert len({view.tobytes() for view in shown}) == 12


def test_with_weights_it_is_the_same():
    weights = [1.0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]  # three showings of row 0, and nine of row 2
    views = images_of(Views(VALUES, 2), batch_size=12, weights=weights)
    shown = images_of(VALUES, batch_size=24, rows=[0] * 6 + [2] * 18)
    assert np.array_equal(views.reshape(24, 6, 7, 3), shown)


def test_views_are_independent_of_one_another_and_of_other_rows_and_epochs():
    ones = np.ones((60, 1, 1, 1), np.float32)
    loader = Loader(ones, batch_size=60, augment=Views(VALUES, 8), shuffle=False)
    drawn = np.concatenate([np.asarray(loader.batch(KEY, epoch, 0)).reshape(60, 8) for epoch in range(40)])
    assert np.abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 5 / np.sqrt(len(drawn))
    flat = drawn.ravel()
    assert len(np.unique(flat)) > len(flat) - 60  # of 2**24 numbers
    assert np.abs(np.sort(flat) - np.linspace(0, 1, len(flat))).max() < 2 / np.sqrt(len(flat))


@pytest.mark.slow
def test_they_are_the_same_whatever_way_a_batch_is_made():
    loader = Loader((IMAGES, LABELS), batch_size=4, augment=(Views(AUGMENT, 2), None))
    resident, expected = loader.to_device(), loader.batch(KEY, 1, 2)
    assert expected[0].shape == (4, 2, 6, 7, 3)
    assert_trees_equal(resident.batch(KEY, 1, 2), expected)
    _, scanned = scan_epoch(lambda carry, batch: (carry, batch), 0, resident, KEY, 1)
    assert_trees_equal(jax.tree.map(lambda leaf: leaf[2], scanned), expected)
    with stream(loader, KEY, start=(1, 2)) as batches:
        assert_trees_equal(next(batches), expected)
    row = int(expected[1][1])
    explained = explain(loader, KEY, 1, row)
    np.testing.assert_allclose(explained.after[0], expected[0][1], atol=1e-4)
    assert explained.matrix[0].shape == (2, 3, 3)
    matrix, params = explained.matrix[0], explained.params[0]
    of_view = [AUGMENT.matrix(jax.tree.map(lambda leaf, view=view: leaf[view], params), (6, 7, 3)) for view in (0, 1)]
    np.testing.assert_allclose(matrix, of_view, atol=1e-6)
    assert not np.array_equal(matrix[0], matrix[1])


def test_without_a_loader_view_0_is_the_transform_alone():
    views = Views(Affine(rotation=30, horizontal_flip=True), 3)
    params = views.sample(KEY, (6, 7, 3))
    alone = views.transform.sample(KEY, (6, 7, 3))
    assert_trees_equal(jax.tree.map(lambda leaf: leaf[0], params), alone)
    images, matrices = jax.jit(lambda drawn: (views.apply(drawn, IMAGES[0]), views.matrix(drawn, (6, 7, 3))))(params)
    assert images.shape == (3, 6, 7, 3)
    of_one = jax.jit(lambda drawn: (views.transform.apply(drawn, IMAGES[0]), views.transform.matrix(drawn, (6, 7, 3))))
    image, matrix = of_one(alone)
    np.testing.assert_allclose(images[0], image, atol=1e-3)
    np.testing.assert_allclose(matrices[0], matrix, atol=1e-6)
    assert Views(Map(jnp.flipud), 2).matrix((), (6, 7, 3)) is None


def test_in_evaluation_the_shape_stays():
    for augment in (Views(AUGMENT, 2), Chain(Views(AUGMENT, 2))):
        images = images_of(deterministic(augment))
        assert np.array_equal(images, np.broadcast_to(IMAGES[:4, None], images.shape))
        assert images.shape == (4, 2, 6, 7, 3)
    assert deterministic(Views(Frames(AUGMENT), 2)) == Views(Frames(deterministic(AUGMENT)), 2)


# Frames

STEPS = {
    "maps, colours and a choice": AUGMENT,
    "crops": Chain(RandomCrop((5, 6)), OneOf(Blur(1), Grayscale(1.0))),
    "what looks at each frame by itself": Chain(Gamma(0.5), AutoContrast(), Noise((9, 9))),
}


def test_every_frame_is_what_it_would_be_as_an_image():
    def of_all(data, around):
        augment = [around(step) for step in STEPS.values()]
        return Loader([data] * len(augment), batch_size=len(data), augment=augment, shuffle=False).batch(KEY, 0, 0)

    clips = of_all(CLIPS[:3], Frames)
    for frame in (0, 3):
        for name, moved, alone in zip(STEPS, clips, of_all(CLIPS[:3, frame], lambda step: step), strict=True):
            assert moved.shape[:2] == (3, 4)
            assert moved.dtype == alone.dtype
            np.testing.assert_allclose(moved[:, frame], alone, rtol=1e-6, atol=1e-4, err_msg=name)


class OneMore(Transform):
    """A user's step, of which a loader knows nothing before it is traced."""

    def sample(self, key, image_shape):
        assert len(image_shape) == 3
        return jax.random.uniform(key, (), np.float32)

    def apply(self, params, image):
        return jnp.pad(image.astype(np.float32) + params, ((0, 1), (0, 0), (0, 0)))


@pytest.mark.slow
def test_frames_of_a_users_step_and_views_of_frames():
    augment = Chain(Affine(shift=0.3, whole_pixels=True), OneMore())
    views = images_of(Views(Frames(augment), 2), CLIPS)
    assert views.shape == (4, 2, 4, 7, 7, 3)
    for frame in range(4):
        assert np.array_equal(views[:, :, frame], images_of(Views(augment, 2), CLIPS[:, frame]))
    explained = explain(Loader(CLIPS, batch_size=2, augment=Views(Frames(augment.transforms[0]), 2)), KEY, 0, 1)
    assert explained.matrix.shape == (2, 3, 3)
    assert explained.after.shape == (2, 4, 6, 7, 3)
    for view in (0, 1):
        moved = augment.transforms[0].apply(
            jax.tree.map(lambda leaf, view=view: leaf[view], explained.params), CLIPS[1, 2]
        )
        assert np.array_equal(explained.after[view, 2], moved)


def test_without_a_loader_frames_take_one_draw():
    frames = Frames(Affine(rotation=30))
    params = frames.sample(KEY, CLIPS[0].shape)
    assert_trees_equal(params, frames.transform.sample(KEY, CLIPS[0, 0].shape))
    found = frames.apply(params, CLIPS[0])
    np.testing.assert_allclose(found[2], frames.transform.apply(params, CLIPS[0, 2]), atol=1e-3)
    np.testing.assert_array_equal(
        frames.matrix(params, CLIPS[0].shape), frames.transform.matrix(params, CLIPS[0, 0].shape)
    )


# Leaves of other ranks

LEAVES = {
    "scalar": np.arange(8, dtype=np.float32),
    "rows": np.random.default_rng(0).normal(0, 1, (8, 5)).astype(np.float32),
    "table": np.random.default_rng(1).normal(0, 1, (8, 4, 3)).astype(np.float32),
    "bytes": np.random.default_rng(2).integers(0, 256, (8, 9)).astype(np.uint8),
    "clips": np.ones((8, 2, 2, 2, 2), np.float32),
}


def test_steps_without_geometry_act_on_leaves_of_any_rank():
    mean = np.arange(5, dtype=np.float32)
    augment = {
        "scalar": Chain(Rescale(2.0), Clip(3, 9)),
        "rows": Normalize(mean, 2.0),
        "table": Chain(VALUES, Rescale(3.0)),
        "bytes": Chain(Invert(), Rescale(0.5)),
        "clips": Views(VALUES, 2),
    }
    batch = Loader(LEAVES, batch_size=8, augment=augment, shuffle=False).batch(KEY, 0, 0)
    np.testing.assert_allclose(batch["scalar"], np.clip(LEAVES["scalar"] * 2, 3, 9))
    np.testing.assert_allclose(batch["rows"], (LEAVES["rows"] - mean) / 2, rtol=1e-6)
    np.testing.assert_allclose(batch["bytes"], (255.0 - LEAVES["bytes"]) / 2)
    factors = np.asarray(batch["clips"])[:, :, 0, 0, 0, 0]
    assert np.array_equal(batch["clips"], np.broadcast_to(factors[..., None, None, None, None], (8, 2, 2, 2, 2, 2)))
    np.testing.assert_allclose(batch["table"], LEAVES["table"] * (3 * factors[:, :1, None]), rtol=1e-6)
    assert len(np.unique(factors)) == 16


# Errors


def loader_of(data, augment):
    return Loader(data, batch_size=2, augment=augment)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Chain(Views(Affine(), 2), Affine()), r"holds Views, which stands outermost: Views\(Chain\(...\), n\)"),
        (lambda: Chain(Affine(), Frames(Affine())), "holds Frames, which stands outermost"),
        (lambda: Views(Views(Affine(), 2), 2), "Views got Views; expected a transform of one image"),
        (lambda: Views(Chain(Frames(Views(Affine(), 2))), 2), "Frames got Views; expected a transform of one image"),
        (lambda: Frames(Frames(Affine())), r"Frames got Frames.*Write Frames\(Chain\(...\)\), or Views"),
        (lambda: Sometimes(0.5, Views(Affine(), 2)), "Sometimes holds Views, which stands outermost"),
        (lambda: OneOf(Frames(Affine()), Affine()), "OneOf holds Frames, which stands outermost"),
        (lambda: Views(Affine(), 0), "n is 0; expected at least 1 view"),
        (lambda: Views(Affine(), True), "n is True; expected an integer"),
        (lambda: Views(Affine(), 2.0), "n is 2.0; expected an integer"),
        (lambda: Views(jnp.flipud, 2), r"no transform; .*Map\(function\)"),
        (lambda: loader_of(CLIPS, Affine()), r"rank 5; expected rank 4.*write Frames\(transform\)"),
        (lambda: loader_of((CLIPS, CLIPS), (Affine(), None)), r"rank 4.*write Frames\(transform\)"),
        (lambda: loader_of(CLIPS, Views(Affine(), 2)), r"rank 5; expected rank 4.*write Frames\(transform\)"),
        (lambda: loader_of(IMAGES, Frames(Affine())), "no leaf of rank 5"),
        (lambda: loader_of((IMAGES, LABELS), (Frames(Affine()), None)), "expected rank 5"),
        (lambda: loader_of(LABELS, Frames(Rescale(2.0))), r"shape \(12,\) and Frames; expected \(size, frames, ...\)"),
        (lambda: loader_of(LEAVES["rows"], Affine()), "expected rank 4|no leaf of rank 4"),
    ],
)
def test_what_stands_in_a_wrong_place_is_refused_with_what_to_write(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
