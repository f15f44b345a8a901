"""What people use instead of jaxiter, on the same work loads: OpenCV, torch, Grain, tf.data, dm-pix, augmax, JAX alone.

Needs `pip install jaxiter[peers]`. A peer whose package is not there is left out, and `missing` names the package.
All take shuffled rows of the same NumPy array and, augmax excepted, maps from `random_matrices`, so that what is
compared is gathering and warping. Grain and tf.data work ahead in threads of their own: they run by whole epochs, or
what they made ahead would be made in another contestant's turn.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _contestants import WorkLoad, check_batch
from _timing import Contestant
from jax.scipy.ndimage import map_coordinates
from scipy import ndimage

from jaxiter import affine_warp

Warp = Callable[[np.ndarray, np.ndarray], Any]  # rows of the data, their matrices -> a batch in [0, 1]
Gather = Callable[[np.ndarray], Any]
Make = Callable[[np.ndarray, WorkLoad, str], Callable[[], Any]]

PACKAGES = {  # module: what to install
    "augmax": "augmax",
    "cv2": "opencv-python-headless",
    "dm_pix": "dm-pix",
    "grain": "grain",
    "tensorflow": "tensorflow",
    "torch": "torch",
}
ROTATION, SHIFT, SHEAR, ZOOM = np.pi / 12, 0.1, np.pi / 18, 0.1  # as in _contestants.AUGMENT, angles in radians
NUM_DRAWS = 7
SCALE = np.float32(1 / 255)
THREADS = 2
OURS, OURS_BELOW = "jaxiter affine_warp", 1e-4  # the largest difference from SciPy, in shares of the range
PEERS_BELOW = 0.01  # the mean difference: half a pixel off is 0.15 on noise, weights of 5 bits are 0.003


def missing() -> list[str]:
    """Packages that are not installed, so that their peers do not take part."""
    return [package for module, package in PACKAGES.items() if find_spec(module) is None]


def rivals(load: WorkLoad, kind: str) -> list[Contestant]:
    """Everybody who can do it: `kind` is "affine" (W1, W2), "shift" (flip and shift, W3) or "gather" (W4)."""
    images, size = load.images(), load.batch_size
    top = 255.0 if kind == "gather" else 1.0
    check = partial(check_batch, shape=(size, load.side, load.side, 3), dtype=np.float32, top=top)
    absent, contestants = missing(), []
    for name, module, make in {"affine": affine(load), "shift": warping(load), "gather": GATHERING}[kind]:
        if PACKAGES.get(module) not in absent:
            by_epoch = make in (by_grain, by_tf)
            unit, count = ("epoch", load.num_examples // size * size) if by_epoch else ("batch", size)
            contestants.append(Contestant(name, unit, count, make(images, load, kind), check))
    return contestants


def affine(load: WorkLoad) -> list[tuple[str, str, Make]]:
    # Neither shear, zoom nor random shifts are there, and what lies outside of an image is black.
    return [*warping(load), ("augmax, rotation + flip only, jit + vmap", "augmax", by_augmax)]


def warping(load: WorkLoad) -> list[tuple[str, str, Make]]:
    unit = "image" if tf_goes_by_image(load.side) else "batch"
    return [
        *((name, module, partial(by_warp, warp)) for name, module, warp in WARPS),
        ("Grain with OpenCV inside, 2 threads", "grain", by_grain),
        (f"tf.data, one projective op per {unit}", "tensorflow", by_tf),
    ]


def agreement(side: int) -> list[list[str]]:
    """The same 8 images of noise along the same 8 matrices through everybody, beside SciPy in float64: a table.

    Differences are shares of the range. What is run is the code that is timed.
    """
    images = WorkLoad("", 8, side, 8).images()
    matrices = random_matrices(np.random.default_rng(1).random((8, NUM_DRAWS), np.float32), side, "affine")
    reference = by_scipy(images / 255, matrices)
    found = {OURS: by_affine_warp(images, matrices), "SciPy float32": by_scipy(images * SCALE, matrices)}
    absent = missing()
    for name, module, warp in [*WARPS, ("tf.raw_ops.ImageProjectiveTransformV3", "tensorflow", tf_warp)]:
        if PACKAGES.get(module) not in absent:
            found[name] = np.asarray(warp(images)(np.arange(8), matrices))
    rows = [["shares of the range", "largest difference", "mean difference"]]
    for name, values in found.items():
        difference = np.abs(values - reference)
        largest, mean = difference.max(), difference.mean()
        assert mean < PEERS_BELOW, (name, side, mean)
        assert name != OURS or largest < OURS_BELOW, (name, side, largest)
        rows.append([name, f"{largest:.1e}", f"{mean:.1e}"])
    return rows


# Which rows, along which maps


def random_matrices(drawn: Any, side: int, kind: str, xp: Any = np) -> Any:
    """2x3 maps, output to source in (row, col, 1), of the picture changes that `jaxiter.Affine` makes, in its order.

    `drawn` is (batch, 7), uniform in [0, 1). With `xp` TensorFlow the same is done in its graph.
    """
    either = 2 * drawn - 1
    on = float(kind == "affine")
    theta, shear = either[:, 0] * (on * ROTATION), either[:, 3] * (on * SHEAR)
    rows, cols = either[:, 1] * (SHIFT * side), either[:, 2] * (SHIFT * side)
    zoom_rows, zoom_cols = 1 + either[:, 4] * (on * ZOOM), 1 + either[:, 5] * (on * ZOOM)
    flip = 1 - 2 * xp.floor(2 * drawn[:, 6])  # 1 or -1
    cos, sin, lean = xp.cos(theta), xp.sin(theta), xp.tan(shear)
    centre = (side - 1) / 2

    def row(by_row: Any, by_col: Any) -> list[Any]:
        return [by_row, by_col * flip, centre - by_row * (rows + centre) - by_col * (cols + flip * centre)]

    entries = row(cos / zoom_rows, sin / zoom_rows) + row(
        (lean * cos - sin) / zoom_cols, (lean * sin + cos) / zoom_cols
    )
    return xp.reshape(xp.stack(entries, axis=-1), (-1, 2, 3))


def in_xy(matrices: np.ndarray) -> np.ndarray:
    """The same maps in (x, y, 1), as OpenCV and torch want them."""
    return matrices[:, ::-1][..., [1, 0, 2]]


def shuffled_rows(load: WorkLoad, generator: np.random.Generator) -> Iterator[np.ndarray]:
    num_steps = load.num_examples // load.batch_size
    while True:
        order = generator.permutation(load.num_examples)
        yield from order[: num_steps * load.batch_size].reshape(num_steps, load.batch_size)


# Warps: one function of (rows, matrices) each, made from the data


def opencv(images: np.ndarray, threads: int = 1) -> Warp:
    import cv2

    cv2.setNumThreads(1)  # the threads are those of the pool
    pool, shape = ThreadPoolExecutor(threads), images.shape[1:]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def warp_part(rows: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> None:
        pixels = np.empty(shape, np.float32)
        # Cast and scaled image by image, while it is in the cache: at 224 pixels three times as fast as by batch.
        for row, matrix, target in zip(rows, matrices, out, strict=True):
            pixels[...] = images[row]
            cv2.warpAffine(pixels, matrix, shape[1::-1], target, flags, cv2.BORDER_REPLICATE)
            target *= SCALE

    def warp(rows: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *shape), np.float32)
        whole = rows, in_xy(matrices), out
        if threads == 1:
            warp_part(*whole)
        else:
            list(pool.map(warp_part, *(np.array_split(part, threads) for part in whole)))
        return out

    return warp


def torch_grid_sample(images: np.ndarray) -> Warp:
    torch = import_torch()
    affine_grid, grid_sample = torch.nn.functional.affine_grid, torch.nn.functional.grid_sample
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()  # the faster layout for it, made once
    half = (images.shape[1] - 1) / 2

    def warp(rows: np.ndarray, matrices: np.ndarray) -> Any:
        theta = in_xy(matrices).copy()
        theta[..., 2] = theta[..., 0] + theta[..., 1] + theta[..., 2] / half - 1
        batch = planes[torch.from_numpy(rows)].float().mul_(SCALE.item())
        # With align_corners -1 and 1 are the centres of the outermost pixels.
        grid = affine_grid(torch.from_numpy(theta), list(batch.shape), align_corners=True)
        warped = grid_sample(batch, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return warped.permute(0, 2, 3, 1)

    return warp


def import_torch() -> Any:
    # Its waiting threads would spin, which a busy neighbour on two cores turned into 15 times slower, now and then.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(THREADS)
    return torch


def jax_map_coordinates(images: np.ndarray) -> Warp:
    return by_channel(images, partial(map_coordinates, order=1, mode="nearest"))


def dm_pix_interpolate(images: np.ndarray) -> Warp:
    """Not `dm_pix.affine_transform`, which interpolates between channels too: a ninth of the speed, the same values."""
    from dm_pix import flat_nd_linear_interpolate

    return by_channel(images, flat_nd_linear_interpolate)


def by_channel(images: np.ndarray, resample: Callable[[Any, Any], Any]) -> Warp:
    rows, cols = np.mgrid[: images.shape[1], : images.shape[2]].astype(np.float32)

    def warp_one(image: Any, matrix: Any) -> Any:
        sources = jnp.stack([row[0] * rows + row[1] * cols + row[2] for row in matrix])
        return jax.vmap(lambda channel: resample(channel, sources), -1, -1)(image.astype(jnp.float32) * SCALE)

    step = jax.jit(lambda data, rows, matrices: jax.vmap(warp_one)(data[rows], matrices))
    return partial(step, jnp.asarray(images))


def tf_warp(images: np.ndarray) -> Callable[[Any, Any], Any]:
    gather, shape = tf_gather(images), images.shape[1:3]
    import tensorflow as tf

    def warp(rows: Any, matrices: Any) -> Any:
        entries = tf.gather(tf.reshape(matrices, (-1, 6)), [4, 3, 5, 1, 0, 2], axis=1)  # in (x, y, 1)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=gather(rows) * SCALE,
            transforms=tf.pad(entries, [[0, 0], [0, 2]]),
            output_shape=shape,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    return warp


WARPS: list[tuple[str, str, Callable[[np.ndarray], Warp]]] = [
    ("JAX map_coordinates, jit + vmap", "jax", jax_map_coordinates),
    ("OpenCV warpAffine, 1 thread", "cv2", opencv),
    ("OpenCV warpAffine, 2 threads", "cv2", partial(opencv, threads=THREADS)),
    ("torch grid_sample, 2 threads", "torch", torch_grid_sample),
    ("dm-pix flat_nd_linear_interpolate, jit + vmap", "dm_pix", dm_pix_interpolate),
]


def by_affine_warp(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    whole = np.zeros((len(matrices), 3, 3), np.float32)
    whole[:, :2], whole[:, 2, 2] = matrices, 1
    return np.asarray(jax.jit(jax.vmap(affine_warp))(images * SCALE, whole))


def by_scipy(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    warped = np.empty_like(images)
    for (number, channel), _ in np.ndenumerate(np.empty((len(images), 3))):
        matrix, out = matrices[number].astype(np.float64), warped[number, ..., channel]
        ndimage.affine_transform(
            images[number, ..., channel], matrix[:, :2], matrix[:, 2], order=1, mode="nearest", output=out
        )
    return warped


# Gathers


def jax_gather(images: np.ndarray) -> Gather:
    return partial(jax.jit(lambda data, rows: data[rows].astype(jnp.float32)), jnp.asarray(images))


def torch_gather(images: np.ndarray) -> Gather:
    torch = import_torch()
    data = torch.from_numpy(images)
    return lambda rows: data[torch.from_numpy(rows)].float()


def tf_gather(images: np.ndarray) -> Callable[[Any], Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # or it would take JAX's memory there
    data = tf.constant(images)
    return lambda rows: tf.cast(tf.gather(data, rows), tf.float32)


# Contestants: (data, work load, kind) -> a call without arguments


def by_warp(make: Callable[[np.ndarray], Warp], images: np.ndarray, load: WorkLoad, kind: str) -> Callable[[], Any]:
    warp, generator = make(images), np.random.default_rng(0)
    rows, shape = shuffled_rows(load, generator), (load.batch_size, NUM_DRAWS)
    return lambda: warp(next(rows), random_matrices(generator.random(shape, np.float32), load.side, kind))


def by_gather(make: Callable[[np.ndarray], Gather], images: np.ndarray, load: WorkLoad, _: str) -> Callable[[], Any]:
    gather, rows = make(images), shuffled_rows(load, np.random.default_rng(0))
    return lambda: gather(next(rows))


def by_augmax(images: np.ndarray, load: WorkLoad, _: str) -> Callable[[], Any]:
    import augmax

    # The cast first: integers would be rounded by the warp. The other two become one resampling.
    augment = augmax.Chain(augmax.ByteToFloat(), augmax.HorizontalFlip(), augmax.Rotate((-15, 15)))

    @jax.jit
    def step(data: Any, rows: Any, number: Any) -> Any:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), load.batch_size)
        return jax.vmap(augment)(keys, data[rows])

    resident, rows = jnp.asarray(images), shuffled_rows(load, np.random.default_rng(0))
    numbers = itertools.count()
    return lambda: step(resident, next(rows), next(numbers))


def by_grain(images: np.ndarray, load: WorkLoad, kind: str) -> Callable[[], Any]:
    import grain

    warp_rows, epochs = opencv(images) if kind != "gather" else None, itertools.count()

    # An element is a whole batch: image by image Grain's own bookkeeping is most of the time.
    def gather(rows: np.ndarray) -> np.ndarray:
        return images[rows].astype(np.float32)

    def warp(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.random((len(rows), NUM_DRAWS), np.float32)
        return warp_rows(rows, random_matrices(drawn, load.side, kind))

    threads = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)

    def epoch() -> Any:
        order = grain.MapDataset.range(load.num_examples).seed(next(epochs)).shuffle()
        rows = order.batch(load.batch_size, drop_remainder=True)
        made = rows.map(gather) if kind == "gather" else rows.random_map(warp)
        return last(made.to_iter_dataset(threads))

    return epoch


def tf_goes_by_image(side: int) -> bool:
    """Which is faster: one op per batch is 2.5 times so at 32 pixels, one per image 1.5 times at 224."""
    return side > 64


def by_tf(images: np.ndarray, load: WorkLoad, kind: str) -> Callable[[], Any]:
    make = tf_gather(images) if kind == "gather" else tf_warp(images)
    import tensorflow as tf

    def warp(rows: Any) -> Any:
        drawn = tf.random.uniform((tf.size(rows), NUM_DRAWS))
        return make(rows, random_matrices(drawn, load.side, kind, tf))

    order = tf.data.Dataset.range(load.num_examples).shuffle(load.num_examples)
    if kind != "gather" and tf_goes_by_image(load.side):
        warped = order.map(lambda row: warp(row[None])[0], num_parallel_calls=tf.data.AUTOTUNE)
        dataset = warped.batch(load.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    else:
        rows = order.batch(load.batch_size, drop_remainder=True)
        dataset = rows.map(make if kind == "gather" else warp, num_parallel_calls=THREADS).prefetch(THREADS)
    return lambda: last(dataset)


def last(batches: Iterable[Any]) -> Any:
    """Runs through all of them."""
    return deque(batches, maxlen=1).pop()


GATHERING: list[tuple[str, str, Make]] = [
    ("JAX index + astype, jit", "jax", partial(by_gather, jax_gather)),
    ("torch index + float, 2 threads", "torch", partial(by_gather, torch_gather)),
    ("Grain, NumPy inside, 2 threads", "grain", by_grain),
    ("tf.data, gather + cast", "tensorflow", by_tf),
]
