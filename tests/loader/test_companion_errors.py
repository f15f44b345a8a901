"""What cannot follow an image, and leaves that would share only a part of their geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import (
    Affine,
    Blur,
    Boxes,
    CenterCrop,
    Chain,
    Loader,
    Map,
    Mask,
    OneOf,
    Points,
    RandomCrop,
    Resize,
    Sometimes,
)

from ..data import pictures

KEY = jax.random.key(5)


def small():
    return {
        "image": pictures(8, (12, 15, 3))[0],
        "mask": np.zeros((8, 12, 15), np.uint8),
        "boxes": np.zeros((8, 6, 4), np.float32),
        "points": np.zeros((8, 3, 2), np.float32),
    }


def loader_of(augment, **leaves):
    data = small() | leaves
    return Loader({name: data[name] for name in augment}, batch_size=2, augment=augment)


SHIFT = Affine(shift=0.3, fill_mode="constant", cval=-1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: loader_of({"image": None, "mask": Mask("picture")}),
            r"data\['mask'\] has Mask\('picture'\), .*one of 'image'",
        ),
        (lambda: loader_of({"image": None, "mask": Mask(0)}), r"Mask\(0\), and no leaf"),
        (lambda: loader_of({"mask": Mask("mask")}), "expected a leaf to follow, and there is none"),
        (
            lambda: loader_of({"image": SHIFT, "mask": Mask("image"), "boxes": Boxes("mask")}),
            r"\['boxes'\] follows data\['mask'\], which follows",
        ),
        (lambda: loader_of({"image": Map(jnp.flipud), "mask": Mask("image")}), "the geometry of Map is not known"),
        (
            lambda: loader_of({"image": Sometimes(0.5, Map(jnp.flipud)), "mask": Mask("image")}),
            "the geometry of Map is not",
        ),
        (lambda: loader_of({"boxes": None, "mask": Mask("boxes")}), r"shape \(8, 6, 4\); expected images, of rank 4"),
        (lambda: loader_of({"image": None, "points": Boxes("image")}), r"\(3, 2\) and Boxes; expected \(..., 4\)"),
        (lambda: loader_of({"image": None, "boxes": Points("image")}), r"\(6, 4\) and Points; expected \(..., 2\)"),
        (lambda: loader_of({"image": None, "boxes": Boxes("image")}, boxes=np.zeros(8)), r"shape \(\) and Boxes"),
        (
            lambda: loader_of({"image": None, "boxes": Boxes("image")}, boxes=np.ones((8, 4), bool)),
            "dtype bool and Boxes",
        ),
        (
            lambda: loader_of({"image": None, "mask": Mask("image")}, mask=np.zeros((8, 6, 6))),
            r"\(6, 6\) .*expected \(12, 15\)",
        ),
        (
            lambda: loader_of({"image": None, "mask": Mask("image", cval=300)}),
            r"cval is 300, and data\['mask'\] .* cannot hold it",
        ),
        (
            lambda: loader_of({"image": SHIFT, "mask": Mask("image")}).batch(KEY, 0, 0),
            r"image's cval is -1.5, and data\['mask'\] .* cannot hold it.*Mask\('image', cval=0\)",
        ),
        (lambda: Boxes("image", format="yxyx"), "format is 'yxyx'; expected one of 'xyxy', 'xywh', 'cxcywh'"),
        (lambda: Points("image", format="yx"), "format is 'yx'"),
        (lambda: Boxes("image", min_visible=1.5), "min_visible is 1.5"),
        (lambda: Boxes("image", min_visible=float("nan")), "min_visible is nan"),
        (lambda: Mask("image", cval=float("inf")), "cval is inf"),
        (lambda: Mask(2.5), "of is 2.5; expected the key"),
        (lambda: Sometimes(0.5, Mask("image")), 'Sometimes holds Mask, which stands outermost: augment={"image"'),
        (lambda: Chain(Affine(), Boxes("image")), "holds Boxes, which stands outermost"),
        (
            lambda: Mask("image").apply((), np.zeros((4, 4, 1))),
            r"Mask\('image'\) follows another leaf of a Loader's data",
        ),
    ],
)
def test_what_cannot_follow_is_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


TURN, ZOOM = Affine(rotation=10), Affine(zoom=0.2)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (Chain(ZOOM, TURN), TURN),
        (Chain(Sometimes(0.5, ZOOM), TURN), TURN),
        (Chain(OneOf(ZOOM, Blur(1)), TURN), TURN),
        (Sometimes(0.5, TURN), TURN),
        (Sometimes(0.5, TURN), Sometimes(0.6, TURN)),
        (OneOf(TURN, ZOOM), OneOf(ZOOM, TURN)),
    ],
)
def test_leaves_that_would_share_a_part_of_their_geometry_are_refused(image, mask):
    """By both of their names; and with a name of its own for the draws they are taken."""
    data = {"image": small()["image"], "mask": small()["mask"][..., None]}
    with pytest.raises(ValueError, match=r"data\['image'\] and data\['mask'\] have an equal Affine.*Mask\("):
        Loader(data, batch_size=2, augment={"image": image, "mask": mask})
    Loader(data, batch_size=2, augment={"image": image, "mask": Affine(rotation=10, draws="other")})
    Loader(data, batch_size=2, augment={"image": image, "mask": image})


def test_shares_of_the_sides_are_warned_of_where_pixels_are_meant():
    shares = np.random.default_rng(0).uniform(0, 1, (4, 3, 4)).astype(np.float32)
    shares = np.concatenate([shares[..., :2] / 2, 0.5 + shares[..., 2:] / 2], axis=-1)
    data = {"image": np.zeros((4, 8, 8, 3), np.uint8), "boxes": shares}
    with pytest.warns(UserWarning, match=r"data\['boxes'\] holds numbers .*Boxes takes pixels.*\(width, height, width"):
        Loader(data, batch_size=2, augment={"image": Affine(rotation=10), "boxes": Boxes("image")})
    data["boxes"] = np.concatenate([shares * 8, -np.ones((4, 1, 4), np.float32)], axis=1)  # warnings are errors
    Loader(data, batch_size=2, augment={"image": Affine(rotation=10), "boxes": Boxes("image")})


def test_a_mask_follows_no_choice_of_maps_whose_borders_differ():
    """Of one map each it may, with a label of its own for what lies outside; then both show as much of it."""
    crops = OneOf(Chain(CenterCrop(8), RandomCrop(10, padding=4)), Resize(10))
    with pytest.raises(ValueError, match=r"data\['mask'\] follows a OneOf whose choices are no maps of one border"):
        loader_of({"image": crops, "mask": Mask("image", cval=0)})
    padded = OneOf(Resize(10), RandomCrop(10, padding=4))
    with pytest.raises(ValueError, match="no maps of one border"):
        loader_of({"image": padded, "mask": Mask("image")})
    leaves = {"image": np.ones((8, 12, 15, 1), np.float32), "mask": np.ones((8, 12, 15), np.uint8)}
    batch = loader_of({"image": padded, "mask": Mask("image", cval=0)}, **leaves).batch(KEY, 0, 0)
    np.testing.assert_array_equal(batch["image"][..., 0] == 0, batch["mask"] == 0)


def test_a_cval_that_a_mask_cannot_hold_is_refused_when_the_loader_is_made():
    with pytest.raises(ValueError, match=r"the image's cval is -1.5, and data\['mask'\] of dtype uint8 cannot hold it"):
        loader_of({"image": SHIFT, "mask": Mask("image")})
    with pytest.raises(ValueError, match=r"cval is -1, and data\['mask'\] of dtype uint8 cannot hold it"):
        loader_of({"image": Affine(rotation=10), "mask": Mask("image", cval=-1)})
