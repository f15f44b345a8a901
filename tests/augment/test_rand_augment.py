"""RandAugment and TrivialAugment: each operation by Pillow and SciPy, torchvision's strengths, and several in turn."""

from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

from jaxiter import (
    RandAugment,
    TrivialAugment,
)
from jaxiter.augment._operations import NUMBER, OPERATIONS, Drawn

from ..data import WEIGHTS, photo

KEY = jax.random.key(3)
SHAPE = (23, 31, 3)
PHOTO = photo(*SHAPE[:2])
GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
NUM_OPS, TOGETHER = 3, 20
APPLIED = jax.jit(jax.vmap(RandAugment(NUM_OPS, 0).apply))


def drawn_of(*operations):
    """Params of pairs of a name and a strength; the identity follows."""
    names, strengths = zip(*operations, *[("Identity", 0)] * (NUM_OPS - len(operations)), strict=True)
    return Drawn(np.array([NUMBER[name] for name in names], np.int32), np.array(strengths, np.float32))


def applied(drawn, images):
    """To each picture what was drawn for it, or to one picture everything; always by one program."""
    images = np.broadcast_to(images, (len(drawn), *np.shape(images)[-3:]))
    places = np.arange(TOGETHER) % len(drawn)
    params = jax.tree.map(lambda *leaves: np.stack(leaves)[places], *drawn)
    return np.asarray(APPLIED(params, images[places].astype(np.uint8)))[: len(drawn)]


# Every operation by itself.


def source_of(name, strength):
    """torchvision's maps of (column, row) about the centre, output to source, as its documents give them."""
    matrix, moved = np.eye(2), np.zeros(2)
    if name == "ShearX":
        matrix[0, 1] = strength
    elif name == "ShearY":
        matrix[1, 0] = strength
    elif name == "TranslateX":
        moved[0] = -strength
    elif name == "TranslateY":
        moved[1] = -strength
    elif name == "Rotate":
        cosine, sine = np.cos(strength), np.sin(strength)
        matrix = np.array([[cosine, -sine], [sine, cosine]])
    return matrix, moved


def by_scipy(operations, image):
    """The maps one after the other as one, and which pixels are not read from the border, where rounding decides."""
    total, offset = np.eye(2), np.zeros(2)
    for name, strength in operations:
        matrix, moved = source_of(name, strength)
        total, offset = total @ matrix, total @ moved + offset
    matrix, offset = total[::-1, ::-1], offset[::-1]
    last = np.array(image.shape[:2]) - 1
    offset = last / 2 - matrix @ last / 2 + offset
    warped = partial(ndimage.affine_transform, matrix=matrix, offset=offset, order=1)
    places = np.indices(image.shape[:2]).transpose(1, 2, 0) @ matrix.T + offset
    is_clear = (np.minimum(abs(places), abs(places - last)) > 1e-4).all(-1)
    return np.stack([warped(image[..., k].astype(np.float64)) for k in range(image.shape[-1])], axis=-1), is_clear


MAPS = {
    "ShearX": (0.293, -0.977),
    "ShearY": (0.2031, -0.711),
    "TranslateX": (5, -9),
    "TranslateY": (3, -10),
    "Rotate": (np.pi / 6, -2.2),
}


def test_geometry_is_torchvisions_about_the_centre():
    """SciPy's value, rounded."""
    cases = [(name, strength) for name, strengths in MAPS.items() for strength in strengths]
    for case, found in zip(cases, applied([drawn_of(case) for case in cases], PHOTO), strict=True):
        exact, is_clear = by_scipy([case], PHOTO)
        assert np.mean(is_clear) > 0.85
        assert np.array_equal(found, np.round(found))
        assert np.abs(found - exact)[is_clear].max() < 0.5 + WEIGHTS, case


def test_a_positive_rotation_is_counter_clockwise_and_a_positive_shift_to_the_right_and_down():
    image = np.zeros((23, 23, 3))
    image[11, 18] = 255
    cases = [("Rotate", np.pi / 2), ("TranslateX", 4), ("TranslateY", 4), ("ShearX", 1.0), ("ShearY", 1.0)]
    places = [(4, 11), (11, 22), (15, 18), (11, 18), (4, 18)]
    images = np.zeros((len(cases), *SHAPE))
    images[:, :, 4:27] = image
    found = applied([drawn_of(case) for case in cases], images)
    for picture, (row, col) in zip(found, places, strict=True):
        assert np.argwhere(picture[..., 0] == 255).tolist() == [[row, col + 4]]


GREY = np.array([0.299, 0.587, 0.114])


def in_numbers(name, strength, image):
    """Of a colour the value before it is rounded, in float64."""
    image = image.astype(np.float64)
    if name == "Brightness":
        return image * strength
    if name == "Color":
        grey = (image @ GREY)[..., None] if image.shape[-1] == 3 else image
        return grey + strength * (image - grey)
    if name == "Contrast":
        grey = (image @ GREY).mean() if image.shape[-1] == 3 else image.mean()
        return grey + strength * (image - grey)
    if name == "Sharpness":
        kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]])[..., None] / 13
        smooth = image.copy()
        smooth[1:-1, 1:-1] = ndimage.correlate(image, kernel)[1:-1, 1:-1]
        return smooth + strength * (image - smooth)
    if name == "Posterize":
        return image - image % 2 ** (8 - strength)
    if name == "Solarize":
        return np.where(image >= strength, 255 - image, image)
    if name == "AutoContrast":
        low, high = (bound(image, axis=(0, 1)) for bound in (np.min, np.max))
        return np.where(high > low, (image - low) * 255 // np.maximum(high - low, 1), image)
    return by_pillow(name, strength, image.astype(np.uint8))


PILLOW = {
    "Brightness": lambda image, strength: ImageEnhance.Brightness(image).enhance(strength),
    "Color": lambda image, strength: ImageEnhance.Color(image).enhance(strength),
    "Contrast": lambda image, strength: ImageEnhance.Contrast(image).enhance(strength),
    "Sharpness": lambda image, strength: ImageEnhance.Sharpness(image).enhance(strength),
    "Posterize": ImageOps.posterize,
    "Solarize": ImageOps.solarize,
    "AutoContrast": lambda image, strength: ImageOps.autocontrast(image),
    "Equalize": lambda image, strength: ImageOps.equalize(image),
}


def by_pillow(name, strength, image):
    pillow = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
    return np.asarray(PILLOW[name](pillow, strength), np.float64).reshape(image.shape)


# Grey levels between a byte and Pillow's, which cuts blends off where we round, and rounds the picture that it blends
# with: a mean, a smooth picture, a grey.
COLORS = {
    "Brightness": ((0.1, 0.55, 1.9), 1),
    "Color": ((0.01, 0.55, 1.9), 2),
    "Contrast": ((0.01, 0.55, 1.9), 1),
    "Sharpness": ((0.1, 0.55, 1.9), 1),
    "Posterize": ((2, 5, 8), 0),
    "Solarize": ((0, 100.3, 255), 0),
    "AutoContrast": ((0,), 1),
    "Equalize": ((0,), 0),
}


def color_cases():
    return [(name, strength) for name, (strengths, _) in COLORS.items() for strength in strengths]


@pytest.mark.parametrize("channels", [3, 1])
def test_colours_are_rounded_from_what_pillow_defines(channels):
    """To half a byte, and 0.03 of one where `Color` blends in 4,096 steps."""
    dark = (PHOTO // 3 + 40)[..., :channels]
    drawn = [drawn_of(case) for case in color_cases()]
    for image in (PHOTO[..., :channels], dark):
        results = applied(drawn, image)
        assert results.dtype == np.float32
        for (name, strength), found in zip(color_cases(), results, strict=True):
            exact = np.clip(in_numbers(name, strength, image), 0, 255)
            assert np.abs(found - exact).max() <= (0.54 if name == "Color" else 0.501), (name, strength)
            assert np.abs(found - by_pillow(name, strength, image)).max() <= COLORS[name][1], (name, strength)
            assert np.array_equal(found, np.round(found))


def test_larger_pictures_are_equalized_by_the_histogram_of_a_grid():
    step = jax.jit(RandAugment(1, 0).apply)
    params = jax.tree.map(lambda leaf: leaf[:1], drawn_of(("Equalize", 0)))
    image = photo(64, 130)
    found = np.asarray(step(params, image))
    for channel in range(3):
        values = image[..., channel]
        seen = np.bincount(values[:, ::3].ravel(), minlength=256)
        assert seen.sum() <= 64 * 64
        below = np.cumsum(seen) - seen
        size = (seen.sum() - seen[seen.nonzero()[0].max()]) // 255
        assert np.array_equal(found[..., channel], np.minimum((size // 2 + below) // size, 255)[values])


# Strengths.


def by_torchvision(name, bin, shape, is_wide):
    """The magnitude of a bin of 31, from the tables of torchvision's RandAugment and TrivialAugmentWide."""
    height, width = shape
    largest = {
        "ShearX": 0.99 if is_wide else 0.3,
        "ShearY": 0.99 if is_wide else 0.3,
        "TranslateX": 32 if is_wide else 150 * width / 331,
        "TranslateY": 32 if is_wide else 150 * height / 331,
        "Rotate": 135 if is_wide else 30,
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.99 if is_wide else 0.9),
    }
    if name in largest:
        return largest[name] * bin / 30
    return {"Posterize": 8 - round(bin * (6 if is_wide else 4) / 30), "Solarize": 255 - 255 * bin / 30}.get(name, 0)


def strength_of(name, magnitude, sign):
    """What is done with a magnitude: an angle in radians, whole pixels, a factor."""
    if name in ("Posterize", "Solarize", "Identity", "AutoContrast", "Equalize"):
        return magnitude
    if name.startswith("Translate"):
        return int(sign * magnitude)
    if name == "Rotate":
        return np.deg2rad(sign * magnitude)
    return sign * magnitude if name.startswith("Shear") else 1 + sign * magnitude


@pytest.fixture(scope="module", params=[False, True], ids=["RandAugment", "TrivialAugment"])
def drawn_strengths(request):
    """By operation and bin, the strengths that were drawn of many; 331 is a side whose shifts are whole pixels."""
    shape, keys = (331, 224, 3), jax.random.split(KEY, 20_000)
    if request.param:
        params = jax.jit(jax.vmap(partial(TrivialAugment().sample, image_shape=shape)))(keys)
        return request.param, shape, {None: jax.tree.map(np.asarray, params)}
    steps = {bin: RandAugment(1, bin) for bin in range(31)}
    return (
        False,
        shape,
        {bin: jax.vmap(partial(step.sample, image_shape=shape))(keys[:200]) for bin, step in steps.items()},
    )


def test_strengths_are_torchvisions_for_every_bin_and_both_signs(drawn_strengths):
    is_wide, shape, drawn = drawn_strengths
    for bin, params in drawn.items():
        operation, strength = np.asarray(params.operation)[:, 0], np.asarray(params.strength)[:, 0]
        for number, name in enumerate(OPERATIONS):
            bins = range(31) if bin is None else [bin]
            expected = {
                np.float32(strength_of(name, by_torchvision(name, each, shape[:2], is_wide), sign))
                for each in bins
                for sign in (1, -1)
            }
            found = np.unique(strength[operation == number])
            assert len(found) >= 0.8 * len(expected)
            np.testing.assert_allclose(found, sorted(expected), rtol=3e-7, atol=3e-7)


def test_operations_signs_and_bins_are_uniform_and_independent():
    keys = jax.random.split(jax.random.key(11), 40_000)
    sample = jax.jit(lambda step, keys: jax.vmap(partial(step.sample, image_shape=SHAPE))(keys), static_argnums=0)
    wide, several = (jax.tree.map(np.asarray, sample(step, keys)) for step in (TrivialAugment(), RandAugment(2, 30)))

    def is_likely(counts):
        return stats.chisquare(counts.ravel()).pvalue > 1e-3

    pairs = np.zeros((14, 14))
    np.add.at(pairs, tuple(several.operation.T), 1)
    assert is_likely(pairs)  # either place, and the two together
    assert is_likely(np.bincount(wide.operation[:, 0], minlength=14))
    # Of two rotations all four pairs of signs; of a shear and a shift too.
    for pair in (("Rotate", "Rotate"), ("ShearX", "TranslateY")):
        is_pair = (several.operation == [NUMBER[name] for name in pair]).all(1)
        signs = several.strength[is_pair] > 0
        assert is_likely(np.bincount(signs @ np.array([1, 2]), minlength=4))
    # Signs and bins together: 31 strengths on either side, of which those of bin 0 are one.
    sheared = wide.strength[wide.operation == NUMBER["ShearX"]]
    each = np.bincount(np.round(sheared / 0.99 * 30).astype(int) + 30, minlength=61)
    assert stats.chisquare(each, np.where(np.arange(61) == 30, 2, 1) * each.sum() / 62).pvalue > 1e-3


# Several operations.


def a_color(random):
    return color_cases()[random.integers(len(color_cases()))]


def a_map(random):
    name = GEOMETRY[random.integers(len(GEOMETRY))]
    return name, MAPS[name][random.integers(2)]


def test_geometry_of_several_operations_is_one_map_in_drawn_order():
    """Rounded once: SciPy resamples once too. A chain of two resamplings differs by far more than a rounding."""
    random = np.random.default_rng(0)
    cases = [[a_map(random), a_color(random), a_map(random)] for _ in range(TOGETHER)]
    without_colors = [drawn_of(case[0], ("Identity", 0), case[2]) for case in cases]
    for case, drawn, found in zip(cases, without_colors, applied(without_colors, PHOTO), strict=True):
        exact, is_clear = by_scipy([case[0], case[2]], PHOTO)
        assert np.abs(found - exact)[is_clear].max() < 0.5 + WEIGHTS, case
        matrix = RandAugment(NUM_OPS, 0).matrix(drawn, SHAPE)
        by_names = np.eye(2)
        for step in (case[0], case[2]):
            by_names = by_names @ source_of(*step)[0]
        np.testing.assert_allclose(matrix[:2, :2], by_names[::-1, ::-1], atol=1e-6)


def test_geometry_comes_first_colours_follow_in_drawn_order_and_sharpness_is_last():
    """Each of the drawn alone, applied to the result of the one before it in that order, to the bit."""
    random = np.random.default_rng(1)
    cases = [[a_color(random), a_map(random), a_color(random)] for _ in range(TOGETHER - 4)]
    # Two sharpnesses, of which the later counts, and colours that do not commute.
    cases += [[("Sharpness", 0.1), ("Posterize", 3), ("Sharpness", 1.9)]]
    cases += [[("Sharpness", 1.9), ("Solarize", 100), ("Brightness", 1.5)]]
    cases += [[("Brightness", 1.9), ("Solarize", 100), ("Equalize", 0)]]
    cases += [[("Solarize", 100), ("Brightness", 1.9), ("AutoContrast", 0)]]
    together = applied([drawn_of(*case) for case in cases], PHOTO)

    def in_order(case):
        colors = [one for one in case if one[0] not in (*GEOMETRY, "Sharpness")]
        sharpness = [one for one in case if one[0] == "Sharpness"][-1:]
        ordered = [one for one in case if one[0] in GEOMETRY] + colors + sharpness
        return ordered + [("Identity", 0)] * (NUM_OPS - len(ordered))

    found = np.stack([PHOTO] * TOGETHER)
    for place in range(NUM_OPS):
        found = applied([drawn_of(in_order(case)[place]) for case in cases], found)
    assert np.array_equal(together, found)
    assert len({in_order(case)[0] == case[0] for case in cases}) == 2


def test_at_magnitude_0_only_what_looks_at_the_picture_changes_it():
    shape = (20, 20, 3)
    keys, image, step = jax.random.split(KEY, 300), photo(*shape[:2]) // 2 + 30, RandAugment(1, 0)
    params, found = jax.jit(jax.vmap(lambda key: (drawn := step.sample(key, shape), step.apply(drawn, image))))(keys)
    operation = np.asarray(params.operation)[:, 0]
    is_same = (np.asarray(found) == image).all((1, 2, 3))
    assert set(operation) == set(range(14))
    assert np.array_equal(is_same, ~np.isin(operation, [NUMBER["AutoContrast"], NUMBER["Equalize"]]))


def test_drawn_identities_give_the_picture_to_the_bit():
    for found in applied([drawn_of(), drawn_of(("Rotate", 0), ("Color", 1), ("Posterize", 8))], PHOTO):
        assert np.array_equal(found, PHOTO)
    noise = np.random.default_rng(0).integers(0, 256, SHAPE)
    assert np.array_equal(applied([drawn_of(("Contrast", 1), ("Sharpness", 1), ("Solarize", 255.5))], noise)[0], noise)
