"""Small folders of pictures for the tests of files."""

import numpy as np
from PIL import Image

SIZES = [(20, 30), (41, 23), (64, 48), (16, 16), (37, 90), (50, 50), (33, 47)]
CLASSES = ["cat", "cat", "dog", "dog", "dog", "emu", "emu"]


def write_folder(folder, sizes=SIZES, classes=CLASSES, suffix="png", seed=0):
    """Noise of the given sizes, one folder for each class; the paths, in the order of the rows."""
    rng = np.random.default_rng(seed)
    paths = []
    for number, (size, name) in enumerate(zip(sizes, classes, strict=True)):
        path = folder / name / f"{number:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
        paths.append(str(path))
    return paths
