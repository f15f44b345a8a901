"""Folders of pictures, and two iterators over them compared in all that a script can see."""

import contextlib
import io
import os
import re
import warnings

import numpy as np
from PIL import Image

# Modes and sizes take turns, so that neighbours differ.
_MODES = ("RGB", "L", "RGBA", "P")
_SIZES = ((9, 7), (5, 6), (6, 12), (14, 5))
_FORMS = {".jpg": "jpeg", ".jpeg": "jpeg", ".bmp": "bmp", ".ppm": "ppm", ".tif": "tiff", ".tiff": "tiff", ".gif": "gif"}
ABSENT = "no such attribute"
NAMES = (
    *("filenames", "filepaths", "samples", "n", "num_classes", "class_indices", "classes", "labels", "sample_weight"),
    *("image_shape", "target_size", "color_mode", "class_mode", "subset", "split", "interpolation", "data_format"),
    *("batch_size", "directory", "save_to_dir", "keep_aspect_ratio", "dtype", "batch_index", "total_batches_seen"),
)


def plant(folder, names):
    """Writes a picture of its own for each name; a name that ends in "/" is an empty folder. Returns the folder."""
    for i, name in enumerate(names):
        path = os.path.join(folder, name)
        os.makedirs(path if name.endswith("/") else os.path.dirname(path), exist_ok=True)
        if not name.endswith("/"):
            form = _FORMS.get(os.path.splitext(name)[1].lower(), "png")
            img = draw(i)
            (img if form in ("png", "tiff") or img.mode == "L" else img.convert("RGB")).save(path, form)
    return folder


def draw(i):
    """Picture number i."""
    noise = np.random.RandomState(i).randint(0, 256, (*_SIZES[i % 4][::-1], 4)).astype(np.uint8)
    img, mode = Image.fromarray(noise), _MODES[i % 4]
    return img if mode == "RGBA" else img.convert("RGB").convert(mode)


class Seen:
    """What a call of one of the two libraries showed: print, warnings, and an iterator or an error."""

    def __init__(self, make):
        out = io.StringIO()
        self.it = self.error = None
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(out):
            warnings.simplefilter("always")
            try:
                self.it = make()
            except Exception as error:
                self.error = error.with_traceback(None)  # whose frames hold what Keras left open
        self.print = out.getvalue()
        self.warned = [(warning.category, str(warning.message)) for warning in caught]

    def attributes(self):
        return {name: getattr(self.it, name, ABSENT) for name in NAMES}

    def batches(self):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Your .PyDataset")
            return [self.it[i] for i in range(len(self.it))]


def check_equal(found, expected, where=""):
    """The same types, dtypes, shapes and bits, through tuples and lists."""
    if hasattr(expected, "to_numpy"):  # text of pandas, for which we give objects
        expected = np.asarray(expected, object)
    if isinstance(expected, (list, tuple)):
        assert type(found) is type(expected), where
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            check_equal(one, other, f"{where}[{i}]")
    elif isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray, where
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        assert np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f"), where
    else:
        assert type(found) is type(expected), where
        assert found == expected, where


def check_same_walk(ours, keras, added=()):
    """An iterator of each: what they print, are, and give, batch by batch.

    Args:
        added: Attributes that ours has and Keras' has not.
    """
    for seen in (ours, keras):
        if seen.error is not None:
            raise seen.error
    assert ours.print == keras.print
    found, expected = ours.attributes(), keras.attributes()
    for name in NAMES:
        if name not in added:
            check_equal(found[name], expected[name], name)
    check_equal(ours.batches(), keras.batches(), "batches")


def check_same_error(ours, keras, error, words):
    """Both raise `error`, or a class of it; ours in these words."""
    assert keras.error is not None
    assert ours.error is not None, "nothing was raised"
    assert isinstance(keras.error, error), repr(keras.error)
    assert isinstance(ours.error, error), repr(ours.error)
    assert re.search(words, str(ours.error)), str(ours.error)
