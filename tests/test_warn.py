"""Warnings point at the line of the caller, however deep in the package they arise."""

import inspect
import warnings

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator, load_img, save_img

PAIRS = np.zeros((4, 3, 3, 2), np.float32)
PICTURES = np.zeros((4, 3, 3, 3), np.float32)
UNFITTED = ImageDataGenerator(featurewise_center=True)


class Preset(ImageDataGenerator):
    def standardize(self, x):
        return super().standardize(x)


def of_a_subclass():
    generator = Preset(featurewise_center=True)
    return next(generator.flow(PICTURES))


def grey(folder):
    save_img(folder / "a.png", PICTURES[0])
    return load_img(folder / "a.png", grayscale=True)


CALLS = {
    "construction": lambda folder: ImageDataGenerator(samplewise_std_normalization=True),
    "flow": lambda folder: UNFITTED.flow(PAIRS),
    "iterator": lambda folder: NumpyArrayIterator(PAIRS, None, UNFITTED),
    "next": lambda folder: next(UNFITTED.flow(PICTURES)),
    "batch": lambda folder: UNFITTED.flow(PICTURES)[0],
    "standardize": lambda folder: UNFITTED.standardize(PICTURES[0].copy()),
    "fit": lambda folder: UNFITTED.__class__().fit(PAIRS),
    "save_img": lambda folder: save_img(folder / "a.jpg", np.zeros((3, 3, 4))),
    "load_img": lambda folder: grey(folder),
    "subclass": lambda folder: of_a_subclass(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_warning_points_at_the_file_of_the_caller(call, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CALLS[call](tmp_path)
    assert caught
    assert {(warning.category, warning.filename) for warning in caught} == {(UserWarning, __file__)}


def test_a_warning_points_at_the_line_of_the_caller():
    line = inspect.currentframe().f_lineno + 2
    with pytest.warns(UserWarning, match="2 channels") as caught:
        UNFITTED.flow(PAIRS)
    assert [warning.lineno for warning in caught] == [line]


def test_a_script_is_warned_at_each_of_its_lines_and_not_only_at_the_first():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        UNFITTED.standardize(PICTURES[0].copy())
        UNFITTED.standardize(PICTURES[0].copy())
    assert len(caught) == 2
