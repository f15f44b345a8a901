"""Values of pictures of different sizes, each against Pillow or SciPy on the picture by itself."""

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxiter import (
    Affine,
    CenterCrop,
    Chain,
    Frames,
    Loader,
    OneOf,
    Ragged,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Sometimes,
    explain,
)
from jaxiter.loader.internal import read_batch, spec_of

from ..data import photo
from ..ragged_data import SIZES, pictures_of, ragged

PICTURES = [photo(height, width, seed) for seed, (height, width) in enumerate(SIZES)]
FILL_MODES = ("nearest", "constant", "reflect", "mirror", "wrap", "grid-wrap")
KINDS = [f"{fill_mode} {order}" for fill_mode in FILL_MODES for order in (0, 1)]


def in_one_batch(augment, pictures=PICTURES, key=None):
    """Each of several transforms of all pictures: one program."""
    data, key = dict.fromkeys(augment, ragged(pictures)), jax.random.key(0) if key is None else key
    loader = Loader(data, batch_size=len(pictures), augment=augment, shuffle=False)
    return loader, jax.device_get(loader.batch(key, 0, 0))


def averaged(lines, first, length, count):
    """A triangle over the lines of a window, as wide as the lines that one of the result stands for."""
    found = []
    for place in range(count):
        centre = first - 0.5 + length * (place + 0.5) / count
        offsets = np.abs(np.arange(len(lines)) - centre) / max(length / count, 1)
        inside = (np.arange(len(lines)) >= first - 0.5) & (np.arange(len(lines)) <= first + length - 0.5)
        weights = np.where(inside, np.maximum(1 - offsets, 0), 0)
        found.append(np.tensordot(weights / weights.sum(), lines, 1))
    return np.stack(found)


def resized(picture, windows, size):
    rows = averaged(picture.astype(np.float64), *windows[0], size[0])
    return averaged(rows.swapaxes(0, 1), *windows[1], size[1]).swapaxes(0, 1)


def test_resize_is_pillows():
    _, found = in_one_batch({"squash": Resize((7, 9)), "crop": Resize((7, 9), mode="crop")})
    for picture, (height, width), squashed, cropped in zip(
        PICTURES, SIZES, found["squash"], found["crop"], strict=True
    ):
        expected = np.asarray(Image.fromarray(picture).resize((9, 7), Image.Resampling.BILINEAR), np.float32)
        assert np.abs(squashed - expected).max() < 1.5  # Pillow rounds after each axis
        scale = min(height / 7, width / 9)
        windows = [((side - count * scale) / 2, count * scale) for side, count in ((height, 7), (width, 9))]
        if min(length for _, length in windows) >= 1:  # of a narrower one the pixel about its centre is taken
            np.testing.assert_allclose(cropped, resized(picture, windows, (7, 9)), rtol=0, atol=0.01)


def test_padding_stands_on_both_sides():
    _, found = in_one_batch({"pad": Resize((7, 9), mode="pad", cval=3)})
    for picture, (height, width), padded in zip(PICTURES, SIZES, found["pad"], strict=True):
        scale = max(height / 7, width / 9)
        rows, cols = (int(np.clip(np.round(side / scale), 1, count)) for side, count in ((height, 7), (width, 9)))
        top, left = round((7 - rows) / 2), round((9 - cols) / 2)
        expected = np.full((7, 9, 3), 3.0)
        expected[top : top + rows, left : left + cols] = resized(picture, [(0, height), (0, width)], (rows, cols))
        np.testing.assert_allclose(padded, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "kinds", [["reflect 1", "wrap 0", "constant 1"], pytest.param(KINDS, marks=pytest.mark.slow, id="all")]
)
def test_affine_is_scipys(kinds):
    shared = {"rotation": 30, "zoom": 0.3, "shift": 0.3, "size": (11, 8), "cval": 7}
    named = {kind: kind.split() for kind in kinds}
    augment = {kind: Affine(**shared, fill_mode=mode, order=int(order)) for kind, (mode, order) in named.items()}
    loader, found = in_one_batch(augment)
    for row, picture in enumerate(PICTURES):
        matrices = explain(loader, jax.random.key(0), 0, row).matrix
        for name, own in found.items():
            fill_mode, order = name.split()
            matrix = np.asarray(matrices[name], np.float64)
            expected = np.stack(
                [
                    ndimage.affine_transform(
                        *(picture[..., channel].astype(np.float64), matrix[:2, :2], matrix[:2, 2]),
                        output_shape=(11, 8),
                        order=int(order),
                        mode=fill_mode,
                        cval=7,
                    )
                    for channel in range(3)
                ],
                axis=-1,
            )
            # A place that lies within 1e-4 of an edge between two pixels, or of the border, may fall to either side.
            places = np.einsum("ij,jhw->ihw", matrix[:2], _grid(11, 8))
            is_near = (np.abs((places + 0.5) % 1 - 0.5 if order == "1" else places % 1 - 0.5) < 1e-3).any(0)
            differs = np.abs(own[row] - expected).max(-1) > 0.05
            assert not (differs & ~is_near).any(), (name, row)
            assert own.dtype == (np.uint8 if order == "0" else np.float32)


def _grid(height, width):
    rows, cols = np.mgrid[:height, :width].astype(np.float64)
    return np.stack([rows, cols, np.ones_like(rows)])


def test_windows_are_drawn_as_of_arrays(key):
    crop, keys = RandomResizedCrop(8), jax.random.split(key, len(SIZES))
    found = jax.vmap(lambda key, size: crop.sample(key, (size[0], size[1], 3)))(keys, np.array(SIZES, np.int32))
    for row, (height, width) in enumerate(SIZES):
        expected = crop.sample(keys[row], (height, width, 3))
        assert [int(part[row]) for part in found] == list(map(int, expected)), (height, width)


def test_crops_are_pillows(key):
    augment = {"smooth": RandomResizedCrop((7, 9)), "sharp": RandomResizedCrop((7, 9), antialias=False, draws="other")}
    loader, found = in_one_batch(augment, key=key)
    for row, picture in enumerate(PICTURES):
        params = explain(loader, key, 0, row).params["smooth"]
        top, left, height, width = map(int, params)
        window = Image.fromarray(picture[top : top + height, left : left + width])
        expected = np.asarray(window.resize((9, 7), Image.Resampling.BILINEAR), np.float32)
        assert np.abs(found["smooth"][row] - expected).max() < 1.5
        assert found["sharp"][row].min() >= picture.min()
        assert found["sharp"][row].max() <= picture.max()


def test_choices_of_one_size_are_taken(key):
    flips = Sometimes(0.5, Affine(horizontal_flip=True, vertical_flip=True))
    augment = {
        "one of": OneOf(Resize(6), Chain(Affine(horizontal_flip=1.0), Resize(6))),
        "sometimes": Chain(flips, Resize(6)),
        "plain": Resize(6),
    }
    _, found = in_one_batch(augment, key=key)
    for row in range(len(PICTURES)):
        plain = found["plain"][row]
        assert any(np.array_equal(found["one of"][row], other) for other in (plain, plain[:, ::-1]))
        turned = [plain[::down, ::right] for down in (1, -1) for right in (1, -1)]
        assert any(np.abs(found["sometimes"][row] - other).max() < 1e-3 for other in turned)


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (None, "data.* holds pictures of different sizes; expected a transform that fixes the size"),
        (Affine(rotation=10), "and Affine keeps their sizes; expected a transform that fixes the size"),
        (Chain(Affine(), Resize(4)), None),
        (Chain(Affine(rotation=10), Affine(size=(4, 4))), None),
        (RandomCrop(4), r'RandomCrop takes no picture .* expected Resize\(\(4, 4\), mode="crop"\) in its place'),
        (CenterCrop(4), r'CenterCrop takes no picture .* expected Resize\(\(4, 4\), mode="crop"\) in its place'),
        (Chain(Resize(8), RandomCrop(4)), None),
        (Sometimes(0.5, RandomResizedCrop(4)), "where it does not act they keep their own"),
        (OneOf(Resize(4, antialias=False), Affine(rotation=5)), "OneOf has choices that make different sizes of them"),
        (OneOf(Resize(4), RandomCrop(4)), "RandomCrop takes no picture"),
        (Affine(size=(4, 4), order=3), "order is 3, which filters a whole picture first"),
        (Frames(Resize(4)), "expected rank 5"),
    ],
)
def test_what_fixes_no_size_is_refused(transform, said):
    data = ragged(pictures_of())
    if said is None:
        assert Loader(data, batch_size=4, augment=transform).memory().batch == 4 * 4 * 4 * 3 * 4
        return
    with pytest.raises(ValueError, match=said):
        Loader((data,), batch_size=4, augment=(transform,))


def test_what_lies_beside_a_picture_shows_nowhere(key):
    """Not a number in its neighbours, and in memory that nobody wrote."""
    plain = [np.full(size, 0.5, np.float32) for size in ((40, 300, 1), (3, 3, 1), (2, 7, 1), (30, 1, 1))]
    broken = [np.full_like(plain[0], np.nan), *plain[1:], np.full((3, 3, 1), np.inf, np.float32)]
    augment = {"squash": Resize(8), "crop": RandomResizedCrop(8), "affine": Affine(size=(8, 8), rotation=20)}
    data = dict.fromkeys(augment, ragged(broken))
    loader = Loader(data, batch_size=3, augment=augment, rows=[1, 2, 3], shuffle=False)
    for one in (loader, loader.to_device()):
        found = jax.device_get(one.batch(key, 0, 0))
        for images in found.values():
            np.testing.assert_allclose(images, 0.5, rtol=1e-6)
    # The end of a buffer of a batch.
    staged = read_batch(spec_of(loader), key, 0, 0).leaves[0]
    used = sum(picture.size for picture in plain[1:])
    poisoned = Ragged.tree_unflatten(staged.extent, (staged.pixels.copy(), *staged.tree_flatten()[0][1:]))
    poisoned.pixels[used:] = np.nan
    again = Loader(dict.fromkeys(augment, jax.device_put(poisoned)), batch_size=3, augment=augment, shuffle=False)
    for images in again.batch(key, 0, 0).values():
        np.testing.assert_allclose(images, 0.5, rtol=1e-6)


def test_what_lies_beyond_a_window_shows_nowhere():
    image = np.full((20, 20, 1), 0.5, np.float32)
    image[:, :5] = image[:, 15:] = np.nan
    params = RandomResizedCrop(4).sample(jax.random.key(0), image.shape)._replace(top=2, left=5, height=15, width=10)
    np.testing.assert_allclose(RandomResizedCrop(4).apply(params, image), 0.5, rtol=1e-6)
