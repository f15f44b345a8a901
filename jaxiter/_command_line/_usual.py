"""The augmentations that `preview` offers by a name, as transforms and as the lines that make them."""

from __future__ import annotations

from typing import NamedTuple

from ..augment import (
    Affine,
    Chain,
    Clip,
    ColorJitter,
    RandAugment,
    RandomResizedCrop,
    Resize,
    Transform,
    TrivialAugment,
)

NAMES = ("usual", "rand", "trivial", "none")
_DRAWN = {"rand": ("jx.RandAugment()", RandAugment), "trivial": ("jx.TrivialAugment()", TrivialAugment)}


class Augmentation(NamedTuple):
    """A transform, and how it is written."""

    transform: Transform
    text: str  # where `jx` is jaxiter


def augmentation(name: str, size: tuple[int, int], channels: int, most: int, *, is_mask: bool) -> Augmentation:
    """One of `NAMES` for some pictures.

    Args:
        size: (height, width) of the results.
        channels: Of the pictures.
        most: The largest number that a pixel holds.
        is_mask: Whether the numbers are labels, of which none may be mixed.

    Raises:
        ValueError: If it does not take such pictures.
    """
    antialias, order = not is_mask, 0 if is_mask else 1
    nearest = ", antialias=False, order=0" if is_mask else ""
    if name == "none":
        resize = Resize(size, mode="crop", antialias=antialias, order=order)
        return Augmentation(resize, f'jx.Resize({size}, mode="crop"{nearest})')
    steps: list[Transform] = [RandomResizedCrop(size, antialias=antialias, order=order), Affine(horizontal_flip=True)]
    texts = [f"jx.RandomResizedCrop({size}{nearest})", "jx.Affine(horizontal_flip=True)"]
    if name in _DRAWN:
        if is_mask or channels not in (1, 3) or most != 255:
            raise ValueError(
                f"--augment {name} changes the colours of pictures of 8 bits with 1 or 3 channels, and these are "
                "others; expected --augment usual or none."
            )
        text, kind = _DRAWN[name]
        steps.append(kind())
        texts.append(text)
    elif not is_mask and channels in (1, 3):  # not opacity
        jitter = (0.4, 0.4, 0.4, 0.1) if channels == 3 else (0.4, 0.4)
        steps += [ColorJitter(*jitter), Clip(0, most)]
        texts += [f"jx.ColorJitter{jitter}", f"jx.Clip(0, {most})"]
    return Augmentation(Chain(*steps), f"jx.Chain({', '.join(texts)})")
