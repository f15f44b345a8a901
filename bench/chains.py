"""What do everyday chains cost over the resampling in them, and beside torchvision v2, Kornia and albumentations?

    python bench/chains.py [--rounds N] [--write]

For the rows beside jaxiter:

    pip install torch==2.13.0 kornia albumentations albucore==0.0.24 && pip install --no-deps torchvision==0.28.0

A library that does not load is a row that says so. Everything is CPU time, over all threads, of batches from data
that are on the device, one after the other in each round. `--write` puts the tables into bench/RESULTS.md. About three
minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from _chain_peers import HOLE, MEAN, STD, Chain, peers, set_threads
from _loads import AFFINE, W1, W2, Load, by_batch
from _timing import Contestant, interleave, machine, markdown, versions, write_section

import jaxiter as jx

SECONDS = 0.25  # of each contestant in a round
ROUNDS = 11
PACKAGES = ("jax", "jaxlib", "numpy", "torch", "torchvision", "kornia", "albumentations", "opencv-python-headless")
CROP, OURS = "jaxiter, the crop alone", "jaxiter"


class Table(NamedTuple):
    """Contestants, whose CPU time is told as a multiple of the first one's and, of some, of `OURS`."""

    title: str
    contestants: Sequence[Contestant]
    absent: dict[str, str]  # libraries without a row, and why

    def __str__(self) -> str:
        first, *_ = self.contestants
        ours = next((one for one in self.contestants if one.name == OURS), None)
        heads = ["CPU time of an image", "us", "range", f"x {first.name}", *(["x jaxiter's chain"] if ours else [])]
        rows = [heads]
        for one in self.contestants:
            times = [cpu / one.images_per_call * 1e6 for cpu in one.cpu]
            row = [one.name, f"{statistics.median(times):,.3g}", f"{min(times):,.3g} to {max(times):,.3g}"]
            rows.append([*row, ratio(one, first), *([ratio(one, ours)] if ours else [])])
        rows += [[name, why, *["-"] * (len(heads) - 2)] for name, why in self.absent.items()]
        return f"### {self.title}\n\n{markdown(rows)}"


def ratio(one: Contestant, other: Contestant) -> str:
    """Of CPU times for an image: the median over the rounds, with its range."""
    scale = other.images_per_call / one.images_per_call
    found = [scale * own / reference for own, reference in zip(one.cpu, other.cpu, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


# ImageNet and CIFAR


def imagenet(chain: Chain) -> Table:
    images = noise(256, 256)
    crop = jx.RandomResizedCrop(chain.size, antialias=chain.antialias)
    steps = [jx.ColorJitter(*chain.jitter), normalize(), jx.Erase()]
    own = {CROP: crop, OURS: jx.Chain(crop, jx.Affine(horizontal_flip=True), *steps)}
    without = "" if chain.contrast else ", without contrast"
    return against(chain, f"ImageNet, antialias={chain.antialias}{without}", own, images)


def cifar() -> Table:
    chain = Chain(32, 128, is_cifar=True)
    crop = jx.RandomCrop(32, padding=4)
    steps = [jx.Affine(horizontal_flip=True), jx.Cutout(HOLE), normalize()]
    own = {CROP: crop, OURS: jx.Chain(crop, *steps)}
    return against(chain, "CIFAR", own, noise(4096, 32))


def normalize() -> jx.Normalize:
    return jx.Normalize(np.float32(MEAN) * 255, np.float32(STD) * 255)


def against(chain: Chain, title: str, own: dict[str, jx.Transform], images: np.ndarray) -> Table:
    found, absent = [], {}
    for name, augment in own.items():
        loader = jx.Loader(images, batch_size=chain.batch_size, augment=augment).to_device()
        check = partial(check_shape if name == CROP else check_normalized, chain)
        found.append(Contestant(name, chain.batch_size, by_batch(loader), check))
    for name, (make, why) in peers(chain).items():
        if make:
            found.append(Contestant(name, chain.batch_size, make(chain, images), partial(check_normalized, chain)))
        else:
            absent[name] = why
    return Table(title, found, absent)


def check_shape(chain: Chain, batch: Any) -> None:
    shapes = (chain.batch_size, chain.size, chain.size, 3), (chain.batch_size, 3, chain.size, chain.size)
    assert tuple(batch.shape) in shapes, batch.shape


def check_normalized(chain: Chain, batch: Any) -> None:
    """Of noise with a mean of half the range: what a chain leaves of it is about normal."""
    check_shape(chain, batch)
    assert str(batch.dtype).removeprefix("torch.") == "float32", batch.dtype
    values = np.asarray(batch)
    assert abs(values.mean()) < 0.5, values.mean()
    assert 0.7 < values.std() < 1.6, values.std()


def noise(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


# Operations that are drawn, and what moves with an image


@dataclass(frozen=True, eq=False)
class FirstParts(jx.RandAugment):
    """The first parts of a RandAugment: its map, then its colours, then sharpness."""

    num_parts: int = 1

    @property
    def parts(self) -> tuple[Any, ...]:
        return super().parts[: self.num_parts]

    def params_of_parts(self, params: Any) -> tuple[Any, ...]:
        return super().params_of_parts(params)[: self.num_parts]


def drawn_operations(load: Load) -> Table:
    augments = {
        "Affine": jx.Affine(**AFFINE),
        "RandAugment(2, 9)": jx.RandAugment(2, 9),
        "- its map alone": FirstParts(2, 9, num_parts=1),
        "- map and colours": FirstParts(2, 9, num_parts=3),
        "TrivialAugment()": jx.TrivialAugment(),
    }
    images, found = load.images(), []
    for name, augment in augments.items():
        loader = jx.Loader(images, batch_size=load.batch_size, augment=augment).to_device()
        found.append(Contestant(name, load.batch_size, by_batch(loader), partial(check_bytes, load)))
    return Table(f"RandAugment and TrivialAugment, {load.name}", found, {})


def check_bytes(load: Load, batch: Any) -> None:
    assert batch.shape == (load.batch_size, load.side, load.side, 3), batch.shape
    assert batch.dtype in (np.float32, np.uint8), batch.dtype
    assert batch.min() >= 0
    assert 200 < batch.max() <= 255, batch.max()


def companions() -> Table:
    """Four boxes and four points for each image, and a mask of its size."""
    count, side = W1.num_examples, W1.side
    image, random = W1.images(), np.random.default_rng(1)
    corners = random.uniform(0, side / 2, (count, 4, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + np.float32(side / 4)], axis=-1)
    mask = random.integers(0, 5, (count, side, side), dtype=np.uint8)
    extra: dict[str, tuple[np.ndarray, Callable[[str], Any]]] = {
        "boxes": (boxes, partial(jx.Boxes, clip=True, min_visible=0.3)),
        "points": (corners, jx.Points),
        "mask": (mask, jx.Mask),
    }
    found = []
    for names in ((), ("boxes",), ("points",), ("boxes", "points"), ("mask",)):
        data = {"image": image} | {name: extra[name][0] for name in names}
        augment = {"image": jx.Affine(**AFFINE)} | {name: extra[name][1]("image") for name in names}
        loader = jx.Loader(data, batch_size=W1.batch_size, augment=augment).to_device()
        title = ", ".join(["Affine", *names])
        found.append(Contestant(title, W1.batch_size, by_batch(loader), partial(check_leaves, names)))
    return Table("Boxes, points and masks beside an image, W1", found, {})


def check_leaves(names: Sequence[str], batch: Any) -> None:
    assert set(batch) == {"image", *names}, set(batch)
    for leaf in jax.tree.leaves(batch):
        assert np.isfinite(leaf).all()
        assert leaf.max() > leaf.min()


def tables() -> list[Callable[[], Table]]:
    kinds = itertools.product((False, True), (True, False))
    chains = [Chain(224, 32, antialias=smooth, contrast=contrast) for smooth, contrast in kinds]
    loads = [partial(drawn_operations, load) for load in (W1, W2)]
    return [*(partial(imagenet, chain) for chain in chains), cifar, *loads, companions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    arguments = parser.parse_args()
    set_threads()
    sections = []
    for make in tables():
        made = make()
        interleave(made.contestants, arguments.rounds, SECONDS)
        sections.append(str(made))
        print(f"\n{made}", flush=True)
    if arguments.write:
        write_section("chains", report(sections, arguments.rounds))


def report(sections: Sequence[str], rounds: int) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
    body = "\n\n".join(sections)
    return f"""## Everyday chains

Written by `python bench/chains.py --write`, {rounds} rounds of about {SECONDS} s for each row, in turns. {machine()};
{packages}. CPU time of all threads; ratios are those within a round, as median and range. Data are uniform noise,
ImageNet's of 256 x 256 x 3 bytes in batches of 32, CIFAR's of 32 x 32 x 3 in batches of 128. Every image has draws of
its own in all libraries.

ImageNet: `RandomResizedCrop(224)`, a flip, `ColorJitter(0.4, 0.4, 0.4, 0.1)`, `Normalize`, `Erase`. CIFAR:
`RandomCrop(32, padding=4)`, a flip, `Cutout({HOLE})`, `Normalize`. torchvision and Kornia draw the order of the colours
too. torchvision and albumentations round to bytes after each step; with antialias albumentations takes means over areas
where the crop shrinks.

{body}"""


if __name__ == "__main__":
    main()
