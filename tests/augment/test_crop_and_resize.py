"""Crops and resizes: Pillow's pixels, torchvision's distribution, one resampling with what stands beside them."""

import re

import jax
import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import stats

from jaxiter import (
    Affine,
    CenterCrop,
    Chain,
    RandomCrop,
    RandomResizedCrop,
    Rescale,
    Resize,
    affine_warp,
    deterministic,
)

from ..data import in_turn, photo

KEY = jax.random.key(3)
PHOTO = photo(160, 200)
IMAGES = np.stack([PHOTO, PHOTO[::-1], PHOTO[:, ::-1], 255 - PHOTO, PHOTO // 2])
PADS = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "grid-wrap": "wrap"}


def pillow(picture, size):
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR), np.float32)


def together_and_apart(chain, image):
    """What the chain makes, what its steps make one after the other, in one program; and the parameters."""

    @jax.jit
    def both(params, image):
        return chain.apply(params, image), in_turn(chain, params, image)

    params = jax.jit(lambda: chain.sample(KEY, image.shape))()
    return *map(np.asarray, both(params, image)), params


def applied(transform, image):
    return np.asarray(jax.jit(lambda image: transform.apply(transform.sample(KEY, image.shape), image))(image))


# Resize


@pytest.mark.parametrize("size", [(40, 50), (67, 83), (200, 60), (300, 400), 3])
def test_a_resize_is_pillows_up_to_its_rounding_after_each_axis(size):
    """4x, 2.4x, up one way and down the other, up, and down to a few pixels."""
    found = applied(Resize(size), PHOTO)
    difference = np.abs(found - pillow(PHOTO, found.shape[:2]))
    assert found.dtype == np.float32
    assert difference.max() < 1.01
    assert difference.mean() < 0.35


def test_without_antialias_two_pixels_are_mixed_along_each_axis():
    found = applied(Resize((40, 50), antialias=False), PHOTO)
    matrix = np.array([[4, 0, 1.5], [0, 4, 1.5], [0, 0, 1]], np.float32)
    np.testing.assert_allclose(found, affine_warp(PHOTO.astype(np.float32), matrix, size=(40, 50)), atol=1e-3)


@pytest.mark.parametrize("size", [(40, 100), (80, 40)])
def test_pad_is_pillows_and_crop_takes_the_largest_central_window(size):
    padded = applied(Resize(size, mode="pad", cval=9), PHOTO)
    expected = ImageOps.pad(Image.fromarray(PHOTO), size[::-1], Image.Resampling.BILINEAR, color=(9, 9, 9))
    assert np.abs(padded - np.asarray(expected, np.float32)).max() < 1.01
    height, width = (80, 200) if size[0] < size[1] else (160, 80)
    top, left = (160 - height) // 2, (200 - width) // 2
    window = PHOTO[top : top + height, left : left + width]
    found = applied(Resize(size, mode="crop"), PHOTO)
    assert np.abs(found - pillow(np.ascontiguousarray(window), size)).max() < 1.01


def test_a_resize_of_order_0_keeps_the_dtype_and_takes_the_nearest_pixel():
    found = applied(Resize((40, 50), order=0, antialias=False), PHOTO)
    assert found.dtype == np.uint8
    nearest = Image.fromarray(PHOTO).resize((50, 40), Image.Resampling.NEAREST)
    assert np.array_equal(found, nearest)


# RandomResizedCrop


def drawn_windows(crop, shape, count):
    keys = jax.random.split(jax.random.key(7), count)
    return [np.asarray(part) for part in jax.jit(jax.vmap(lambda key: crop.sample(key, shape)))(keys)]


def torchvisions_windows(shape, scale, ratio, count):
    """Its documented procedure, by NumPy's own numbers."""
    random, (height, width) = np.random.default_rng(0), shape[:2]
    found = []
    for _ in range(count):
        for _ in range(10):
            area = height * width * random.uniform(*scale)
            share = np.exp(random.uniform(*np.log(ratio)))
            w, h = round(np.sqrt(area * share)), round(np.sqrt(area / share))
            if 0 < w <= width and 0 < h <= height:
                found.append((random.integers(height - h + 1), random.integers(width - w + 1), h, w))
                break
        else:
            h, w = height, width
            if width / height < ratio[0]:
                h = round(width / ratio[0])
            elif width / height > ratio[1]:
                w = round(height * ratio[1])
            found.append(((height - h) // 2, (width - w) // 2, h, w))
    return np.array(found).T


@pytest.mark.parametrize("shape", [(64, 64, 3), (40, 150, 3), (90, 30, 1)])
def test_windows_are_distributed_as_torchvisions(shape):
    """Areas, ratios, places and how often none of ten attempts fits, which in the narrow pictures is often."""
    crop, count = RandomResizedCrop(8), 6000
    (top, left, height, width), others = (
        drawn_windows(crop, shape, count),
        torchvisions_windows(shape, (0.08, 1), (3 / 4, 4 / 3), count),
    )
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= shape[0]).all()
    assert (left + width <= shape[1]).all()
    mine = np.array([top, left, height, width])
    for a, b in zip([*mine, mine[2] * mine[3]], [*others, others[2] * others[3]], strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-4
    none_fits = (min(shape[0], round(shape[1] * 4 / 3)), min(shape[1], round(shape[0] * 4 / 3)))
    share = [np.mean((part[2] == none_fits[0]) & (part[3] == none_fits[1])) for part in (mine, others)]
    assert abs(share[0] - share[1]) < 4 * np.sqrt(2 * share[1] / count) + 1e-3


def test_where_no_attempt_fits_the_largest_central_window_of_the_ratio_is_taken():
    top, left, height, width = drawn_windows(RandomResizedCrop(8, scale=(0.9, 1)), (20, 200, 1), 50)
    assert {tuple(map(int, window)) for window in zip(top, left, height, width, strict=True)} == {(0, 86, 20, 27)}


def test_pixels_are_pillows_of_the_window_and_nothing_beyond_it():
    crop = RandomResizedCrop((48, 56))
    chain = Chain(crop, Affine(horizontal_flip=0.5))
    keys = jax.random.split(KEY, 5)
    params = jax.vmap(lambda key: chain.sample(key, PHOTO.shape))(keys)
    found = np.asarray(jax.jit(jax.vmap(chain.apply))(params, IMAGES))
    flips = np.asarray(params[1].horizontal_flip)
    assert 0 < flips.sum() < 5
    for image, result, flip, window in zip(
        IMAGES, found, flips, zip(*map(np.asarray, params[0]), strict=True), strict=True
    ):
        top, left, height, width = window
        expected = pillow(np.ascontiguousarray(image[top : top + height, left : left + width]), (48, 56))
        assert np.abs(result - (expected[:, ::-1] if flip else expected)).max() < 1.01


# Crops


@pytest.mark.parametrize("fill_mode", PADS)
def test_a_random_crop_is_a_slice_of_the_padded_picture(fill_mode):
    crop = RandomCrop((150, 170), padding=(6, 9), fill_mode=fill_mode, cval=3)
    keys = jax.random.split(KEY, 5)
    params = jax.vmap(lambda key: crop.sample(key, PHOTO.shape))(keys)
    found = np.asarray(jax.jit(jax.vmap(crop.apply))(params, IMAGES))
    assert found.dtype == np.uint8
    fill = {"constant_values": 3} if fill_mode == "constant" else {}
    for image, result, top, left in zip(IMAGES, found, *map(np.asarray, params), strict=True):
        padded = np.pad(image, ((6, 6), (9, 9), (0, 0)), PADS[fill_mode], **fill)
        assert np.array_equal(result, padded[top + 6 :, left + 9 :][:150, :170])


def test_every_place_of_a_crop_comes_equally_often():
    top, left = drawn_windows(RandomCrop(30, padding=2), (32, 33, 1), 7000)
    counts = np.histogram2d(top, left, bins=[np.arange(-2, 6), np.arange(-2, 7)])[0]
    assert counts.min() > 0
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_a_central_crop_halves_what_is_left_and_rounds_to_even():
    image = np.arange(7 * 9, dtype=np.int32).reshape(7, 9, 1)
    tall, wide = jax.jit(lambda image: [CenterCrop(size).apply((), image) for size in ((4, 3), (2, 8))])(image)
    assert np.array_equal(tall, image[2:6, 3:6])  # 1.5 becomes 2
    assert np.array_equal(wide, image[2:4, 0:8])  # 2.5 and 0.5 become 2 and 0


# Beside each other


def test_geometry_next_to_geometry_is_one_resampling():
    """Four taps of a picture are read, and no more, whatever stands in the chain."""
    chain = Chain(
        CenterCrop(150),
        Affine(rotation=20, size=120),
        RandomResizedCrop(64, antialias=False),
        Affine(horizontal_flip=True),
        CenterCrop(60),
        Rescale(1 / 255),
    )

    @jax.jit
    @jax.vmap
    def moved(key, image):
        params = chain.sample(key, image.shape)
        return chain.apply(params, image), chain.matrix(params, image.shape)

    program = moved.lower(jax.random.split(KEY, 2), IMAGES[:2]).compile()
    assert len(re.findall(r"= u8\S* gather\(", program.as_text())) == 4
    for image, found, matrix in zip(IMAGES, *program(jax.random.split(KEY, 2), IMAGES[:2]), strict=False):
        expected = affine_warp(image.astype(np.float32), matrix, size=(60, 60)) / 255
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_crop_after_a_resize_reads_beyond_its_edge_and_one_before_it_does_not():
    resized = pillow(PHOTO, (80, 100))
    found = applied(Chain(Resize((80, 100)), CenterCrop((60, 60))), PHOTO)
    assert np.abs(found - resized[10:70, 20:80]).max() < 1.01
    cropped = pillow(np.ascontiguousarray(PHOTO[20:140, 30:170]), (60, 70))
    found = applied(Chain(CenterCrop((120, 140)), Resize((60, 70))), PHOTO)
    assert np.abs(found - cropped).max() < 1.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "is_one"),
    [
        ((RandomResizedCrop(32, antialias=False), Affine(rotation=20)), True),
        ((RandomResizedCrop(32, antialias=False), Affine(rotation=20, fill_mode="reflect")), False),
        ((RandomResizedCrop(32), Affine(rotation=20)), False),
        ((RandomResizedCrop(32), Affine(shift=0.1, whole_pixels=True, fill_mode="reflect")), False),
        (
            (RandomResizedCrop(32, fill_mode="reflect"), Affine(shift=0.1, whole_pixels=True, fill_mode="reflect")),
            False,
        ),
        ((RandomResizedCrop(32), Affine(shift=0.1, whole_pixels=True)), True),
    ],
)
def test_what_cannot_be_one_resampling_is_done_in_turn(steps, is_one):
    """Other borders, a turn beside an antialiased crop, and borders that read more of the picture than a window."""
    together, apart, _ = together_and_apart(Chain(*steps), PHOTO)
    assert np.array_equal(together, apart) != is_one
    assert np.abs(together - apart)[8:24, 8:24].mean() < 15  # the same picture


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_window_of_less_than_a_pixel_is_that_pixel(dtype):
    """Which an enlargement before it, or a ratio far from the picture's, may leave."""
    found = applied(Resize((24, 12), mode="crop"), np.full((1, 40, 1), 7, dtype))
    np.testing.assert_allclose(found, np.full((24, 12, 1), 7), rtol=1e-6)
    found = applied(Chain(Resize(64), CenterCrop(4), Resize(16)), np.full((8, 8, 1), 7, dtype))
    np.testing.assert_allclose(found, np.full((16, 16, 1), 7), rtol=1e-6)


def test_padding_after_a_crop_is_not_what_the_crop_cut_off():
    chain = Chain(CenterCrop(16), RandomCrop(24, padding=4), Affine(horizontal_flip=1.0))
    together, apart, _ = together_and_apart(chain, PHOTO)
    assert np.array_equal(together, apart)
    assert (together == 0).mean() >= 1 - (16 / 24) ** 2


@pytest.mark.parametrize("size", [(5, 6), (9, 4)])
def test_a_canvas_of_another_size_keeps_scale_and_centre(size):
    affine = Affine(rotation=20, zoom=0.2, size=size, fill_mode="constant", cval=5)
    image = np.arange(35, dtype=np.float32).reshape(7, 5, 1)
    whole = Affine(size=size, whole_pixels=True, fill_mode="constant", cval=99)

    @jax.jit
    def moved(image):
        params = affine.sample(KEY, image.shape)
        selected = whole.apply(whole.sample(KEY, image.shape), image.astype(np.uint8))
        return affine.matrix(params, image.shape), affine.apply(params, image), selected

    matrix, found, selected = map(np.asarray, moved(image))
    centre = matrix @ [(size[0] - 1) / 2, (size[1] - 1) / 2, 1]
    np.testing.assert_allclose(centre, [3, 2, 1], atol=1e-5)
    expected = affine_warp(image, matrix, size=size, fill_mode="constant", cval=5)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    (top, left), padded = ((own - new) // 2 for own, new in zip((7, 5), size, strict=True)), np.full((17, 15, 1), 99)
    padded[5:12, 5:10] = image
    assert selected.dtype == np.uint8
    assert np.array_equal(selected, padded[5 + top :, 5 + left :][: size[0], : size[1]])


def test_pixels_are_the_same_bits_in_batches_of_every_size():
    chain = Chain(RandomResizedCrop(40), Affine(horizontal_flip=True))
    made, keys = jax.jit(jax.vmap(chain.sample_and_apply)), jax.random.split(KEY, 5)
    assert np.array_equal(made(keys[:1], IMAGES[:1]), made(keys, IMAGES)[:1])


def test_evaluation_takes_the_middle():
    chain = Chain(RandomResizedCrop(40), RandomCrop(32, padding=4), RandomCrop(30), Affine(horizontal_flip=True))
    resize, padded, central, _ = deterministic(chain).transforms
    assert (resize, central) == (Resize((40, 40), mode="crop"), CenterCrop(30))
    image = PHOTO[:36, :36]
    assert np.array_equal(jax.jit(lambda image: padded.apply((), image))(image), image[2:34, 2:34])


def test_draws_are_pinned():
    crop, resized = RandomCrop(20, padding=2), RandomResizedCrop(8)
    drawn = jax.jit(lambda key: [step.sample(key, (40, 50, 3)) for step in (crop, resized)])(KEY)
    assert [[int(part) for part in params] for params in drawn] == PINNED


PINNED = [[9, 16], [4, 11, 33, 35]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CenterCrop(300).apply((), PHOTO), "larger than an image of 160 by 200. Use Resize"),
        (lambda: RandomCrop(180, padding=8).sample(KEY, PHOTO.shape), "176 by 216 with its padding"),
        (lambda: RandomCrop((0, 4)), r"size\[0\] is 0"),
        (lambda: RandomCrop("4"), "size is '4'; expected"),
        (lambda: RandomCrop(4, padding=(1, 2, 3)), "padding is a tuple of 3"),
        (lambda: RandomCrop(4, padding=-1), "padding is -1"),
        (lambda: RandomCrop(4, fill_mode="edge"), "fill_mode is 'edge'"),
        (lambda: RandomCrop(100, padding=70, cval=300).apply((0, 0), PHOTO), "uint8 cannot hold"),
        (lambda: Resize(4, mode="fit"), "mode is 'fit'; expected one of 'squash', 'crop', 'pad'"),
        (lambda: Resize(4, order=3), "antialias is True and order is 3"),
        (lambda: Resize(4, antialias="no"), "antialias is 'no'"),
        (lambda: RandomResizedCrop(4, scale=(0.5, 0.1)), "scale is"),
        (lambda: RandomResizedCrop(4, scale=0.5), "scale is 0.5; expected a pair"),
        (lambda: RandomResizedCrop(4, ratio=(0, 1)), "ratio is"),
        (lambda: RandomResizedCrop(4, ratio=(float("nan"), 1)), "ratio is"),
        (lambda: Affine(size=(3, 0)), r"size\[1\] is 0"),
    ],
)
def test_bad_sizes_and_ranges_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
