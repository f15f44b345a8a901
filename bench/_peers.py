"""The libraries beside jaxiter, and how each does the work loads W1 to W4.

Needs `pip install jaxiter[peers]`; a library that is not installed is None here and left out. All take shuffled rows
of the same NumPy array along maps from `random_matrices`, so that gathering and warping is compared.
"""

from __future__ import annotations

import importlib
import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # or torch's waiting threads spin and slow the others down

import jax.numpy as jnp
import numpy as np
from _loads import Load, by_keras
from _timing import Contestant
from scipy import ndimage


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


jax, jx, grain, torch, augmax, cv2 = map(optional, ["jax", "jaxiter", "grain", "torch", "augmax", "cv2"])
tf, keras = optional("tensorflow"), optional("keras.src.legacy.preprocessing.image")

SCALE = np.float32(1 / 255)
THREADS, NUM_DRAWS = 2, 7
SCIPY = "SciPy affine_transform, order 3"
KERAS, NUMPY = "Keras ImageDataGenerator.flow", "NumPy fancy index + astype"
OURS_BELOW, PEERS_BELOW = 1e-4, 0.01  # shares of the range: the largest difference from SciPy, and the mean one
Call, Warp = Callable[[], Any], Callable[[Any, Any], Any]  # a batch or an epoch; rows and their matrices to a batch

if torch:
    torch.set_num_threads(THREADS)
if tf:
    tf.config.set_visible_devices([], "GPU")  # or it would take JAX's memory there


def missing() -> list[str]:
    """Packages that are not installed, so that their rows are left out."""
    found = {"opencv-python-headless": cv2, "grain": grain, "tensorflow": tf, "torch": torch, "keras": keras}
    return [name for name, module in found.items() if module is None]


def peers(load: Load, images: np.ndarray) -> list[Contestant]:
    """Each library that is installed and can do this work load."""
    cases: dict[str, tuple[Any, Callable[[Load, np.ndarray], Call]]] = {
        KERAS: (keras, lambda load, x: by_keras(legacy(**load.keras_arguments), x, load.batch_size)),
        "JAX map_coordinates, jit + vmap": (jax, partial(by_warp, jax_warp)),
        "OpenCV warpAffine, 2 threads": (cv2, partial(by_warp, opencv_warp)),
        "torch grid_sample, 2 threads": (torch, by_torch),
        "Grain with OpenCV inside, 2 threads": (grain and cv2, by_grain),
        f"tf.data, one projective op per {'image' if tf_goes_by_image(load) else 'batch'}": (tf, by_tf),
    }
    if load.ranges is None:
        cases = {
            NUMPY: (np, partial(by_gather, lambda data, rows: data[rows].astype(np.float32))),
            KERAS: cases[KERAS],
            "JAX index + astype, jit": (jax, lambda load, x: by_gather(jax.jit(jax_gather), load, jnp.asarray(x))),
            "torch index + float, 2 threads": (torch, by_torch),
            "Grain, NumPy inside, 2 threads": (grain, by_grain),
            "tf.data, gather + cast": (tf, by_tf),
        }
    whole = load.num_examples // load.batch_size * load.batch_size
    found = []
    for name, (module, make) in cases.items():
        if module:
            # Grain and tf.data work ahead in threads: by whole epochs, or they would do so in another one's turn.
            unit, count = ("epoch", whole) if make in (by_grain, by_tf) else ("batch", load.batch_size)
            found.append(Contestant(name, count, make(load, images), load.check, unit))
    return found


def check_warps(load: Load) -> None:
    """8 images of noise along 8 matrices through the code that is timed: all are what SciPy makes in float64."""
    images, matrices, whole = few(load, 8)
    expected = scipy_warp(images / 255, whole.astype(np.float64), 1)
    warped = np.asarray(jax.jit(jax.vmap(jx.affine_warp))(images * SCALE, whole))
    assert np.abs(warped - expected).max() < OURS_BELOW
    for module, make in ((jax, jax_warp), (cv2, opencv_warp), (torch, torch_warp), (tf, tf_warp)):
        if module:
            difference = np.abs(np.asarray(make(images)(np.arange(8), matrices)) - expected)
            assert difference.mean() < PEERS_BELOW, (make.__name__, load.side, difference.mean())


def cubic(load: Load) -> list[Contestant]:
    """The same 16 float images along the same matrices, by splines of order 3."""
    images, _, matrices = few(load, 16)
    images = images.astype(np.float32)
    warp = partial(jax.jit(jax.vmap(partial(jx.affine_warp, order=3))), jnp.asarray(images), jnp.asarray(matrices))
    expected = scipy_warp(images, matrices, 3)

    def check(found: Any) -> None:
        assert np.abs(np.asarray(found) - expected).max() < OURS_BELOW * 255

    return [
        Contestant(SCIPY, 16, partial(scipy_warp, images, matrices, 3), check),
        Contestant("jaxiter affine_warp, order 3", 16, warp, check),
    ]


def scipy_warp(images: np.ndarray, matrices: np.ndarray, order: int) -> np.ndarray:
    warped = np.empty_like(images)
    for image, matrix, out in zip(images, matrices, warped, strict=True):
        for channel in range(images.shape[-1]):
            target = out[..., channel]
            ndimage.affine_transform(image[..., channel], matrix, order=order, mode="nearest", output=target)
    return warped


def few(load: Load, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, and one matrix for each: 2x3, and 3x3."""
    drawn = np.random.default_rng(1).random((count, NUM_DRAWS), np.float32)
    matrices, whole = random_matrices(drawn, load), np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    whole[:, :2] = matrices
    return load._replace(num_examples=count).images(), matrices, whole


# Which rows, along which maps


def random_matrices(drawn: Any, load: Load, xp: Any = np) -> Any:
    """2x3 maps, output to source in (row, col, 1), of the changes that `Affine` makes, in its order.

    `drawn` is (batch, 7), uniform in [0, 1). With `xp` TensorFlow or torch the same is done there.
    """
    ranges, side, either = load.ranges, load.side, 2 * drawn - 1
    theta, shear = (either[:, at] * math.radians(ranges.get(name, 0)) for at, name in ((0, "rotation"), (3, "shear")))
    rows, cols = (either[:, at] * (ranges["shift"][at - 1] * side) for at in (1, 2))
    zoom_rows, zoom_cols = (1 + either[:, at] * ranges.get("zoom", 0.0) for at in (4, 5))
    flip = 1 - 2 * xp.floor(2 * drawn[:, 6])  # 1 or -1
    cos, sin, lean = xp.cos(theta), xp.sin(theta), xp.tan(shear)
    centre = (side - 1) / 2

    def row(by_row: Any, by_col: Any) -> list[Any]:
        return [by_row, by_col * flip, centre - by_row * (rows + centre) - by_col * (cols + flip * centre)]

    entries = row(cos / zoom_rows, sin / zoom_rows)
    entries += row((lean * cos - sin) / zoom_cols, (lean * sin + cos) / zoom_cols)
    return xp.reshape(xp.stack(entries, -1), (-1, 2, 3))


def in_xy(matrices: Any) -> Any:
    """The same maps in (x, y, 1), as OpenCV and torch want them."""
    return matrices[:, [1, 0]][..., [1, 0, 2]]


def shuffled_rows(load: Load, generator: np.random.Generator) -> Iterator[np.ndarray]:
    num_steps = load.num_examples // load.batch_size
    while True:
        order = generator.permutation(load.num_examples)
        yield from order[: num_steps * load.batch_size].reshape(num_steps, load.batch_size)


def by_warp(make: Callable[[np.ndarray], Warp], load: Load, images: np.ndarray) -> Call:
    warp, generator = make(images), np.random.default_rng(0)
    rows, shape = shuffled_rows(load, generator), (load.batch_size, NUM_DRAWS)
    return lambda: warp(next(rows), random_matrices(generator.random(shape, np.float32), load))


def by_gather(gather: Callable[[Any, Any], Any], load: Load, data: Any) -> Call:
    rows = shuffled_rows(load, np.random.default_rng(0))
    return lambda: gather(data, next(rows))


# Each library


def legacy(**arguments: Any) -> Any:
    return keras.ImageDataGenerator(**arguments)


def jax_gather(data: Any, rows: Any) -> Any:
    return data[rows].astype(jnp.float32)


def jax_warp(images: np.ndarray) -> Warp:
    from jax.scipy.ndimage import map_coordinates

    rows, cols = np.mgrid[: images.shape[1], : images.shape[2]].astype(np.float32)

    def warp_one(image: Any, matrix: Any) -> Any:
        sources = jnp.stack([row[0] * rows + row[1] * cols + row[2] for row in matrix])
        resample = partial(map_coordinates, coordinates=sources, order=1, mode="nearest")
        return jax.vmap(resample, -1, -1)(image * SCALE)

    step = jax.jit(lambda data, rows, matrices: jax.vmap(warp_one)(jax_gather(data, rows), matrices))
    return partial(step, jnp.asarray(images))


def opencv_warp(images: np.ndarray, threads: int = THREADS) -> Warp:
    cv2.setNumThreads(1)  # the threads are those of the pool
    pool, shape = ThreadPoolExecutor(threads), images.shape[1:]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def warp_part(rows: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> None:
        pixels = np.empty(shape, np.float32)
        # Cast and scaled image by image, while it is in the cache: at 224 pixels three times as fast as by batch.
        for row, matrix, target in zip(rows, matrices, out, strict=True):
            pixels[...] = images[row]
            pair = (pixels, target) if shape[2] > 1 else (pixels[..., 0], target[..., 0])
            cv2.warpAffine(pair[0], matrix, shape[1::-1], pair[1], flags, cv2.BORDER_REPLICATE)
            target *= SCALE

    def warp(rows: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *shape), np.float32)
        parts = [np.array_split(part, threads) for part in (rows, in_xy(matrices), out)]
        deque((pool.map if threads > 1 else map)(warp_part, *parts), maxlen=0)
        return out

    return warp


def torch_warp(images: Any) -> Warp:
    planes = torch.as_tensor(images).permute(0, 3, 1, 2).contiguous()  # torch's own layout, made once
    half = (planes.shape[-1] - 1) / 2

    def warp(rows: Any, matrices: Any) -> Any:
        maps = in_xy(torch.as_tensor(matrices))
        last = maps[..., 0] + maps[..., 1] + maps[..., 2] / half - 1  # with align_corners the outermost centres are +-1
        batch = planes[torch.as_tensor(rows)].float() * SCALE.item()
        theta = torch.cat([maps[..., :2], last[..., None]], -1)
        grid = torch.nn.functional.affine_grid(theta, list(batch.shape), align_corners=True)
        warped = torch.nn.functional.grid_sample(batch, grid, "bilinear", "border", align_corners=True)
        return warped.permute(0, 2, 3, 1)

    return warp


def by_torch(load: Load, images: Any, compiled: bool = False) -> Call:
    """Orders and draws are torch's own, on the device of the images."""
    data = torch.as_tensor(images)
    dtype, warp = getattr(torch, load.dtype), load.ranges and torch_warp(data)

    def step(rows: Any) -> Any:
        if warp is None:
            return data[rows].to(dtype)
        drawn = torch.rand(load.batch_size, NUM_DRAWS, device=data.device)
        return warp(rows, random_matrices(drawn, load, torch)).to(dtype)

    def rows() -> Iterator[Any]:
        while True:
            order = torch.randperm(load.num_examples, device=data.device)
            yield from order[: load.num_examples - load.num_examples % load.batch_size].split(load.batch_size)

    if compiled:
        torch.compiler.reset()  # else the eighth shape of one function falls back to eager, without a word
        step = torch.compile(step, fullgraph=True, dynamic=False)
    index = rows()
    return lambda: step(next(index))


def by_grain(load: Load, images: np.ndarray) -> Call:
    warp_rows, epochs = load.ranges and opencv_warp(images, threads=1), itertools.count()

    # An element is a whole batch: image by image Grain's own bookkeeping is most of the time.
    def make(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if warp_rows is None:
            return images[rows].astype(np.float32)
        return warp_rows(rows, random_matrices(generator.random((len(rows), NUM_DRAWS), np.float32), load))

    threads = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)

    def epoch() -> Any:
        order = grain.MapDataset.range(load.num_examples).seed(next(epochs)).shuffle()
        batches = order.batch(load.batch_size, drop_remainder=True).random_map(make).to_iter_dataset(threads)
        return deque(batches, maxlen=1).pop()

    return epoch


def tf_goes_by_image(load: Load) -> bool:
    """Which is faster: one op per batch is 2.5 times so at 32 pixels, one per image 1.5 times at 224."""
    return load.ranges is not None and load.side > 64


def tf_warp(images: np.ndarray) -> Warp:
    data, shape = tf.constant(images), images.shape[1:3]

    def warp(rows: Any, matrices: Any) -> Any:
        entries = tf.gather(tf.reshape(matrices, (-1, 6)), [4, 3, 5, 1, 0, 2], axis=1)  # in (x, y, 1)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(tf.gather(data, rows), tf.float32) * SCALE,
            transforms=tf.pad(entries, [[0, 0], [0, 2]]),
            output_shape=shape,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    return warp


def by_tf(load: Load, images: np.ndarray) -> Call:
    data, warp = tf.constant(images), load.ranges and tf_warp(images)

    def make(rows: Any) -> Any:
        if warp is None:
            return tf.cast(tf.gather(data, rows), tf.float32)
        return warp(rows, random_matrices(tf.random.uniform((tf.size(rows), NUM_DRAWS)), load, tf))

    order = tf.data.Dataset.range(load.num_examples).shuffle(load.num_examples)
    if tf_goes_by_image(load):
        warped = order.map(lambda row: make(row[None])[0], num_parallel_calls=tf.data.AUTOTUNE)
        dataset = warped.batch(load.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    else:
        rows = order.batch(load.batch_size, drop_remainder=True)
        dataset = rows.map(make, num_parallel_calls=THREADS).prefetch(THREADS)
    return lambda: deque(dataset, maxlen=1).pop()
