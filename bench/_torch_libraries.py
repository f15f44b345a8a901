"""Kornia and torchvision's v2 transforms, each doing a work load in its own way: its draws, its fused map.

A library that is not installed, or does not load, is None. Kornia draws for each image. torchvision draws once for
all that it is given, so that a row of its own is one map for a whole batch, and less work than the others do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _loads import Load
from _peers import SCALE, optional, torch

_OPERATORS = torch and torch.library.Library("torchvision", "FRAGMENT")  # which lives as long as the names below


def _torchvision() -> Any:
    """`torchvision.transforms.v2`.

    The wheel on PyPI is made for torch with CUDA. Beside a torch for the CPU its compiled part, which no transform
    needs, does not load, and then two names have to be there before it is imported.
    """
    if not torch:
        return None
    if torch.version.cuda is None:
        for name in ("nms", "qnms"):
            _OPERATORS.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return optional("torchvision.transforms.v2")


kornia, v2 = torch and optional("kornia.augmentation"), _torchvision()


def rows_of(load: Load, device: Any) -> Iterator[Any]:
    """Shuffled rows of batch after batch, on the device."""
    while True:
        order = torch.randperm(load.num_examples, device=device)
        yield from order[: load.num_examples - load.num_examples % load.batch_size].split(load.batch_size)


def by_kornia(load: Load, images: Any, compiled: bool = True) -> Callable[[], Any]:
    """`RandomAffine` and `RandomHorizontalFlip`, which interpolates the second time only where it flips."""
    assert load.ranges is not None
    ranges = load.ranges
    affine = kornia.RandomAffine(
        degrees=float(ranges.get("rotation", 0)),
        translate=ranges["shift"],
        scale=(1 - ranges.get("zoom", 0), 1 + ranges.get("zoom", 0)),
        shear=float(ranges.get("shear", 0)),
        padding_mode="border",
        align_corners=True,
        p=1.0,
    )
    return _augmented(load, images, [affine, kornia.RandomHorizontalFlip(p=0.5)], compiled)


def by_torchvision(load: Load, images: Any, compiled: bool = False) -> Callable[[], Any]:
    """`RandomAffine` and `RandomHorizontalFlip` with one draw for a batch; what lies outside is black."""
    assert load.ranges is not None
    ranges = load.ranges
    affine = v2.RandomAffine(
        degrees=ranges.get("rotation", 0),
        translate=ranges["shift"],
        scale=(1 - ranges.get("zoom", 0), 1 + ranges.get("zoom", 0)),
        shear=ranges.get("shear", 0),
        interpolation=v2.InterpolationMode.BILINEAR,
    )
    return _augmented(load, images, [affine, v2.RandomHorizontalFlip(0.5)], compiled)


def _augmented(load: Load, images: Any, steps: list[Any], compiled: bool) -> Callable[[], Any]:
    planes = torch.as_tensor(images).permute(0, 3, 1, 2).contiguous()
    dtype, rows = getattr(torch, load.dtype), rows_of(load, planes.device)

    def step(rows: Any) -> Any:
        batch = planes[rows].float() * SCALE.item()
        for one in steps:
            batch = one(batch)
        return batch.permute(0, 2, 3, 1).to(dtype)

    if compiled:
        torch.compiler.reset()
        step = torch.compile(step, dynamic=False)  # Kornia draws in Python, between its graphs
    return lambda: step(next(rows))


def check_form(load: Load, batch: Any) -> None:
    """Of a batch whose borders are black, and whose rounding is another library's."""
    assert str(batch.dtype) == f"torch.{load.dtype}", batch.dtype
    values = np.asarray(batch.float().cpu())
    assert values.shape == (load.batch_size, load.side, load.side, 3), values.shape
    assert -1e-3 < values.min() < 0.1 < 0.9 < values.max() < 1 + 1e-3, (values.min(), values.max())
    assert 0.3 < values.mean() < 0.55, values.mean()
