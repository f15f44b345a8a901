"""How does the speed of `Loader.batch` move with the batch, the image side, the channels and the number of examples?

Resident arrays of uint8 noise and the augmentation of W1 throughout. The points of one curve take turns in the same
rounds, so that a busy neighbour slows all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from _contestants import AUGMENT, KEY, by_batch, check_batch, check_rows, places
from _timing import Contestant, interleave, markdown, table
from matplotlib.figure import Figure  # by itself it draws with Agg, and needs no screen

from jaxiter import Loader

DATA_PIXELS = 10_240_000  # in every data set of the curves over shapes: 10,000 images of 32 x 32
BATCH_PIXELS = 2**20  # in their batches: between W1 (131,072) and W2 (1,605,632), and four images of 512 x 512
W1_BATCH = "batch 128"
BATCH_SIZES = (1, 4, 16, 64, 128, 256, 1024, 4096)
SIDES = (28, 32, 64, 96, 128, 224, 384, 512)
ODD = (97, 61)
CHANNELS = (1, 3, 4, 6)
SMALL_SIZES, LARGE_SIZES = (10**3, 10**4, 10**5, 10**6), (10**3, 10**4, 10**5)
BLUE, ORANGE, GREY = "tab:blue", "tab:orange", "tab:gray"


class Shape(NamedTuple):
    height: int
    width: int
    channels: int = 3

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def batch_of(self, pixels: int) -> int:
        return max(4, round(pixels / self.pixels))


class Point(NamedTuple):
    """One place of a curve, and what was measured there."""

    shape: Shape
    size: int
    batch_size: int
    contestant: Contestant

    @property
    def seconds(self) -> np.ndarray:
        """For one image: median, least and most of the rounds."""
        wall = self.contestant.wall
        return np.array([self.contestant.median, min(wall), max(wall)]) / self.batch_size


class Curves(NamedTuple):
    batches: list[Point]
    donated: list[Point]
    sides: list[Point]
    odd: list[Point]
    channels: list[Point]
    small: list[Point]
    large: list[Point]
    orders: list[Point]


def curves(rounds: int, seconds: float, picture: Path) -> str:
    """Measures all curves, draws them into `picture`, and returns their tables as Markdown."""
    found = Curves(
        *_over_batches(rounds, seconds),
        *_over_shapes(rounds, seconds),
        *_over_sizes(rounds, seconds),
    )
    _draw(found, picture)
    return _report(found, picture.name)


# What is measured


def _over_batches(rounds: int, seconds: float) -> tuple[list[Point], list[Point]]:
    """Into fresh memory, and into that of the batch before, in the same rounds."""
    plain, donated = (
        [_point(Shape(32, 32), 10_000, size, donate=donate) for size in BATCH_SIZES] for donate in (False, True)
    )
    _raced([*plain, *donated], rounds, seconds)
    return plain, donated


def _over_shapes(rounds: int, seconds: float) -> tuple[list[Point], list[Point], list[Point]]:
    """Sides, the shape that is no square, and channels; the first two in the same rounds."""
    sides = [_point_of_pixels(Shape(*shape)) for shape in (*((side, side) for side in SIDES), ODD)]
    _raced(sides, rounds, seconds)
    channels = [_point_of_pixels(Shape(side, side, number)) for side in (32, 224) for number in CHANNELS]
    return sides[:-1], sides[-1:], _raced(channels, rounds, seconds)


def _over_sizes(rounds: int, seconds: float) -> tuple[list[Point], list[Point], list[Point]]:
    """Small images, large ones, and the order alone, in the same rounds."""
    small = [_point(Shape(8, 8), size, 128) for size in SMALL_SIZES]
    large = [_point(Shape(32, 32), size, 128) for size in LARGE_SIZES]
    orders = [_order_point(size, 128) for size in SMALL_SIZES]
    _raced([*small, *large, *orders], rounds, seconds)
    return small, large, orders


def _raced(points: list[Point], rounds: int, seconds: float) -> list[Point]:
    interleave([point.contestant for point in points], rounds, seconds)
    return points


def _point_of_pixels(shape: Shape) -> Point:
    return _point(shape, DATA_PIXELS // shape.pixels, shape.batch_of(BATCH_PIXELS))


def _point(shape: Shape, size: int, batch_size: int, *, donate: bool = False) -> Point:
    images = np.random.default_rng(0).integers(0, 256, (size, *shape), dtype=np.uint8)
    loader = Loader(images, batch_size=batch_size, augment=AUGMENT).to_device()
    check = partial(check_batch, shape=(batch_size, *shape), dtype=np.float32, top=1.0)
    name = f"batch {batch_size:,}, donate" if donate else f"batch {batch_size:,}"
    contestant = Contestant(name, "batch", batch_size, by_batch(loader, donate=donate), check)
    return Point(shape, size, batch_size, contestant)


def _order_point(size: int, batch_size: int) -> Point:
    """`Loader.index` alone: which rows, and no images."""
    loader = Loader(np.zeros(size, np.uint8), batch_size=batch_size).to_device()
    place = places(loader)

    def call() -> Any:
        return loader.index(KEY, *next(place))

    contestant = Contestant(f"order of {size:,}", "batch", batch_size, call, partial(check_rows, size=size))
    return Point(Shape(1, 1, 1), size, batch_size, contestant)


# What is written


def _report(found: Curves, picture: str) -> str:
    pixels = f"data sets of about {DATA_PIXELS:,} pixels, batches of about {BATCH_PIXELS:,}"
    fewest, most = (f"{number:,}" for number in (SMALL_SIZES[0], SMALL_SIZES[-1]))
    sections = [
        f"![Images a second against batch and side, microseconds per image against the number of examples]({picture})",
        f"### Batch size: 10,000 x 32x32x3\n\n{table(_contestants(found.batches, found.donated), W1_BATCH)}",
        f"### Image side: {pixels}\n\n{_shape_table([*found.sides, *found.odd])}",
        f"### Channels: {pixels}\n\n{_shape_table(found.channels)}",
        "A first call of a hundredth of a second found its program compiled by a point of the same shapes before it.",
        f"### Number of examples: batch 128, shuffled, microseconds per image (range)\n\n{_size_table(found)}",
        f"Flat would be 1: an image of 8x8x3 takes {_growth(found.small):.2f} times as long among {most} examples as "
        f"among {fewest}, and the order, whose rounds are 4 log2(examples) + 16, {_growth(found.orders):.2f} times.",
    ]
    return "\n\n".join(sections)


def _contestants(*curves: list[Point]) -> list[Contestant]:
    return [point.contestant for points in curves for point in points]


def _shape_table(points: Sequence[Point]) -> str:
    rows = []
    for point in points:
        median, least, most = point.seconds
        pixels = point.shape.pixels
        rows.append(
            [
                str(point.shape),
                f"{point.batch_size:,} of {point.size:,}",
                f"{1 / median:,.0f}",
                f"{1 / most:,.0f} to {1 / least:,.0f}",
                f"{pixels / median / 1e6:,.1f}",
                f"{pixels * point.shape.channels / median / 1e6:,.1f}",
                f"{point.contestant.first_call:.2f} s",
            ]
        )
    heads = ["image", "batch", "images/s", "range", "million pixels/s", "million values/s", "first call"]
    return markdown([heads, *rows])


def _size_table(found: Curves) -> str:
    columns = [{point.size: point for point in points} for points in (found.small, found.large, found.orders)]
    rows = [
        [f"{size:,}", *(_microseconds(column[size]) if size in column else "-" for column in columns)]
        for size in SMALL_SIZES
    ]
    everyone = (found.small, found.large, found.orders)
    growth = ["most examples over fewest", *(f"{_growth(points):.2f}" for points in everyone)]
    spread = ["slowest over fastest", *(f"{_spread(points):.2f}" for points in everyone)]
    return markdown([["examples", "8x8x3", "32x32x3", "the order alone"], *rows, growth, spread])


def _microseconds(point: Point) -> str:
    median, least, most = point.seconds * 1e6
    return f"{median:.3g} ({least:.3g} to {most:.3g})"


def _growth(points: Sequence[Point]) -> float:
    return points[-1].seconds[0] / points[0].seconds[0]


def _spread(points: Sequence[Point]) -> float:
    medians = [point.seconds[0] for point in points]
    return max(medians) / min(medians)


# What is drawn


def _draw(found: Curves, picture: Path) -> None:
    style = {"font.size": 11, "axes.titlesize": 12, "axes.grid": True, "grid.alpha": 0.3}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(13, 4.6), layout="constrained")
        batches, sides, sizes = figure.subplots(1, 3)
        _draw_batches(batches, found)
        _draw_sides(sides, found.sides)
        _draw_sizes(sizes, found)
        figure.suptitle("jaxiter Loader.batch on CPU: rotation, shift, shear, zoom, flip, rescale (bars: all rounds)")
        figure.savefig(picture, format="png", dpi=120)


def _draw_batches(axes: Any, found: Curves) -> None:
    lines = [
        (found.batches, BLUE, "o-", "memory as it comes"),
        (found.donated, ORANGE, "s--", "donate=the batch before"),
    ]
    for points, colour, style, label in lines:
        rates = np.array([1 / point.seconds for point in points]) / 1e3
        _line(axes, BATCH_SIZES, rates, colour, style, label)
    _set_axes(axes, BATCH_SIZES, "images in a batch", "thousand images/s", "Batch size, images of 32x32x3")
    axes.legend(loc="upper left")


def _draw_sides(axes: Any, points: Sequence[Point]) -> None:
    """Two scales: images/s fall with the square of the side, and pixels/s show what is left of that."""
    x = [point.shape.height for point in points]
    rates = np.array([1 / point.seconds for point in points])
    pixels = np.array([[point.shape.pixels] for point in points])
    right = axes.twinx()
    right.grid(False)
    handles = [
        _line(axes, x, rates, BLUE, "o-", "images/s (left scale)"),
        _line(right, x, rates * pixels / 1e6, ORANGE, "s--", "pixels/s (right scale)"),
    ]
    _set_axes(axes, x[1:], "image side, pixels", "images/s", "Image side, batches of a million pixels")  # 28 is at 32
    axes.set(yscale="log", ylim=(10, None))
    axes.yaxis.label.set_color(BLUE)
    right.set_ylim(0, 1.3 * right.get_ylim()[1])
    right.set_ylabel("million pixels/s", color=ORANGE)
    axes.legend(handles=handles, loc="lower left")


def _draw_sizes(axes: Any, found: Curves) -> None:
    lines = [
        (found.large, BLUE, "o-", "32x32x3"),
        (found.small, ORANGE, "s--", "8x8x3"),
        (found.orders, GREY, "^:", "the order alone, no images"),
    ]
    for points, colour, style, label in lines:
        seconds = np.array([point.seconds for point in points])
        _line(axes, [point.size for point in points], seconds * 1e6, colour, style, label)
    _set_axes(axes, SMALL_SIZES, "examples in the data set", "microseconds per image", "Number of examples, batch 128")
    axes.set_ylim(top=1.45 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right")


def _line(axes: Any, x: Sequence[int], y: np.ndarray, colour: str, style: str, label: str) -> Any:
    """A line through the medians, with bars from the least to the most; columns of y as in `Point.seconds`."""
    ends = np.sort(y[:, 1:], axis=1)
    bars = np.abs([y[:, 0] - ends[:, 0], ends[:, 1] - y[:, 0]])
    return axes.errorbar(x, y[:, 0], bars, fmt=style, color=colour, label=label, capsize=3)


def _set_axes(axes: Any, x: Sequence[int], x_label: str, y_label: str, title: str) -> None:
    axes.set(xlabel=x_label, ylabel=y_label, title=title, xscale="log")
    axes.set_ylim(bottom=0)
    axes.set_xticks(x, [f"{number:,}" for number in x], rotation=45)
    axes.minorticks_off()
