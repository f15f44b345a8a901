"""The everyday chains in torchvision's v2 transforms, Kornia and albumentations, each image with draws of its own.

What is not installed, or does not load, is None and its rows say so. torchvision and albumentations go image by image,
as they draw once for all that they are given; Kornia takes the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from _peers import THREADS, cv2, optional, torch
from _torch_libraries import kornia, v2

A = optional("albumentations")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
JITTER = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue
HOLE = 8  # rows and columns of a Cutout
Call = Callable[[], Any]


class Chain(NamedTuple):
    """One of the chains: that of ImageNet, or that of CIFAR."""

    size: int  # of the result
    batch_size: int
    is_cifar: bool = False
    antialias: bool = False
    contrast: bool = True

    @property
    def jitter(self) -> tuple[float, float, float, float]:
        brightness, contrast, saturation, hue = JITTER
        return brightness, contrast if self.contrast else 0, saturation, hue


def rows_of(chain: Chain, count: int) -> Iterator[np.ndarray]:
    """Shuffled rows of batch after batch."""
    random = np.random.default_rng(0)
    while True:
        yield from random.permutation(count)[: count - count % chain.batch_size].reshape(-1, chain.batch_size)


def by_torchvision(chain: Chain, images: np.ndarray) -> Call:
    """Bytes until the colours are done, which is the faster of its two ways."""
    normalize = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    if chain.is_cifar:
        hole = v2.RandomErasing(1.0, scale=((HOLE / chain.size) ** 2,) * 2, ratio=(1, 1))
        steps = [v2.RandomCrop(chain.size, padding=4), v2.RandomHorizontalFlip(), hole, *normalize]
    else:
        crop = v2.RandomResizedCrop(chain.size, antialias=chain.antialias)
        steps = [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(*chain.jitter), *normalize, v2.RandomErasing()]
    one = v2.Compose(steps)
    # Channels last in memory, which its resizing of bytes is fastest with.
    stored, rows = torch.as_tensor(images).permute(0, 3, 1, 2), rows_of(chain, len(images))
    return lambda: torch.stack([one(stored[row]) for row in next(rows)])


def by_kornia(chain: Chain, images: np.ndarray) -> Call:
    normalize = kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD))
    side = chain.size
    if chain.is_cifar:
        hole = kornia.RandomErasing(scale=((HOLE / side) ** 2,) * 2, ratio=(1.0, 1.0), p=1.0)
        steps = [kornia.RandomCrop((side, side), padding=4), kornia.RandomHorizontalFlip(), hole, normalize]
    else:
        crop = kornia.RandomResizedCrop((side, side), cropping_mode="resample", align_corners=False)
        jitter = kornia.ColorJitter(*chain.jitter, p=1.0)
        steps = [crop, kornia.RandomHorizontalFlip(), jitter, normalize, kornia.RandomErasing()]
    every, rows = torch.nn.Sequential(*steps), rows_of(chain, len(images))
    stored = torch.as_tensor(images).permute(0, 3, 1, 2).contiguous()
    return lambda: every(stored[torch.as_tensor(next(rows))].float() / 255)


def by_albumentations(chain: Chain, images: np.ndarray) -> Call:
    """With OpenCV's means over areas as what comes nearest to antialias."""
    side, normalize = chain.size, A.Normalize(MEAN, STD)
    if chain.is_cifar:
        hole = A.CoarseDropout((1, 1), (HOLE, HOLE), (HOLE, HOLE), p=1.0)
        steps = [A.Pad(4), A.RandomCrop(side, side), A.HorizontalFlip(), hole, normalize]
    else:
        area = "image" if chain.antialias else None
        crop = A.RandomResizedCrop((side, side), area_for_downscale=area)
        # A pair stands where a number would not do: 0 for contrast is what is to be off.
        ranges = [(max(0.0, 1 - r), 1 + r) for r in chain.jitter[:3]]
        jitter = A.ColorJitter(*ranges, hue=(-chain.jitter[3], chain.jitter[3]), p=1.0)
        steps = [crop, A.HorizontalFlip(), jitter, normalize, A.Erasing()]
    one, rows = A.Compose(steps, seed=0), rows_of(chain, len(images))
    return lambda: np.stack([one(image=images[row])["image"] for row in next(rows)])


def peers(chain: Chain) -> dict[str, tuple[Callable[[Chain, np.ndarray], Call] | None, str]]:
    """For each library how it makes batches, or None and why it does not."""
    absent = "not installed"
    by_kornia_or_not = by_kornia if kornia and not chain.antialias else None
    return {
        "torchvision v2": (by_torchvision if v2 else None, absent),
        "Kornia": (by_kornia_or_not, "has no antialiased crop" if kornia else absent),
        "albumentations": (by_albumentations if A and cv2 else None, absent),
    }


def set_threads() -> None:
    """As many for OpenCV as for torch."""
    if cv2:
        cv2.setNumThreads(THREADS)
