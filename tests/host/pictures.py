"""Small pictures, and files and folders of them."""

import functools

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


@functools.cache
def photos():
    return load_sample_images().images  # two of 427 by 640


def photo(height, width, number=0):
    """A part of a photograph, uint8."""
    top, left = 17 * number % 90, 31 * number % 150
    return photos()[number % 2][top : top + height, left : left + width]


def ramp(height, width):
    """Grey that rises along both axes: where a pixel comes from is read off its value."""
    rows, cols = np.linspace(0, 200, height)[:, None], np.linspace(0, 55, width)
    return (rows + cols).round().astype(np.uint8)


def write_folder(root, sizes, suffixes=(".png", ".jpg"), classes=("cat", "dog", "emu")):
    """A folder of pictures for each class, one after the other; returns their (height, width) by file name."""
    for number, (height, width) in enumerate(sizes):
        folder = root / classes[number % len(classes)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(height, width, number)).save(folder / f"{number:03}{suffixes[number % len(suffixes)]}")
    return root
