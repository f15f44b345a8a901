"""Arguments and arrays that are taken, warned of or refused as Keras' own module does."""

import numpy as np
import pytest

from .test_differential import Dice, check_nested, check_same, of_both

CONSTRUCTOR = {
    "zoom_range": [0, 2, -0.5, True, np.float64(0.3), np.float32(0.2), None, "ab", (1,), (0.5, 1.5), (1, 2, 3)],
    "brightness_range": [None, (0.5, 1.5), [1, 2], np.array([0.5, 1.5]), 0.5, (1,), (1, 2, 3), "ab"],
    "data_format": [None, "channels_last", "channels_first", "Channels_last", 3, ""],
    "validation_split": [0, None, 0.3, 0.999, 1, 1.0, -0.1, 2, True, False, np.float32(0.5)],
    "fill_mode": ["unheard of", None],
    "interpolation_order": [7, None],
    "rescale": ["a", 0],
    "zca_whitening": [True, 1],
    "featurewise_center": [True, 0],
} | {name: [True] for name in ("featurewise_std_normalization", "samplewise_center", "samplewise_std_normalization")}


@pytest.mark.parametrize("seed", range(60))
def test_any_arguments_are_kept_changed_warned_of_or_refused_as_keras_does(seed):
    dice = Dice(seed)
    names = [name for name in CONSTRUCTOR if dice.chance(0.25)]
    arguments = {name: dice.one_of(*CONSTRUCTOR[name]) for name in names}
    (found, warned), (expected, warnings_of_keras) = of_both(lambda module: module.ImageDataGenerator(**arguments))
    assert warned == warnings_of_keras
    if isinstance(expected, Exception):
        assert type(found) is type(expected), (found, expected)
        assert any(name in str(found) for name in names) or type(expected) is TypeError
        return
    for name, value in vars(expected).items():
        assert getattr(found, name) is value or getattr(found, name) == value


IMAGES = Dice(0).images((6, 5, 6, 3), "float64")
ROWS = np.arange(6)
SOURCES = {
    "an array": (IMAGES, ROWS),
    "bytes": (IMAGES.astype(np.uint8), list("abcdef")),
    "one other": ((IMAGES, ROWS), None),
    "others in a list": ([IMAGES, [ROWS, IMAGES.astype(bool)]], ROWS % 2),
    "others in a tuple": ((IMAGES, (ROWS, ROWS)), None),
    "none other": ((IMAGES, []), ROWS),
    "others that are too short": ((IMAGES, [ROWS, ROWS[:2]]), ROWS),
    "a list of pictures": ([IMAGES[0], IMAGES[1]], None),
    "a tuple of one": ((IMAGES,), None),
    "labels that are too short": (IMAGES, ROWS[:3]),
    "labels of two dimensions, two channels": (IMAGES[..., :2], np.eye(6)),
    "one picture": (IMAGES[0], None),
    "no pictures": (IMAGES[:0], ROWS[:0]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_any_arrays_are_taken_or_refused_as_keras_does(source):
    x, y = SOURCES[source]
    more = [{}, {"dtype": "float64"}, {"dtype": "unheard of"}, {"sample_weight": ROWS}, {"sample_weight": ROWS[:2]}]
    more += [{"subset": "training", "ignore_class_split": True}, {"subset": "validation"}, {"subset": "test"}]
    more += [{"data_format": "channels_first"}, {"batch_size": 4, "sample_weight": ROWS + 0.5}]
    for arguments in more:

        def batches(module, arguments=arguments):
            generator = module.ImageDataGenerator(validation_split=0.5)
            it = module.NumpyArrayIterator(x, y, generator, **{"batch_size": 2} | arguments)
            return it, [next(it), next(it), it[-2]]

        (found, warned), (expected, warnings_of_keras) = of_both(batches)
        assert warned == warnings_of_keras
        if isinstance(expected, Exception):
            assert type(found) is type(expected), (arguments, found, expected)
            continue
        check_same(np.asarray(found[0].x), expected[0].x)
        for ours, theirs in zip(found[1], expected[1], strict=True):
            check_nested(ours, theirs)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 2**32}, {"seed": "a"}, {"augment": True, "rounds": -1}])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[0], None])
def test_fit_refuses_what_keras_refuses(arguments, images):
    (found, _), (expected, _) = of_both(lambda module: module.ImageDataGenerator().fit(images, **arguments))
    assert isinstance(expected, Exception)
    assert type(found) is type(expected)
