"""`it.x`: an array in the dtype of the batches, whose rows cost rows, and whose edits act or raise."""

import copy
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, Iterator, NumpyArrayIterator

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
FLOATS = IMAGES.astype(np.float32)


class Stored:
    """As of a file: it takes slices and rising, unique rows."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
        return self.values[rows]


def flow(x, **arguments):
    return ImageDataGenerator(validation_split=0.3).flow(x, shuffle=False, batch_size=4, **arguments)


SOURCES = {
    "bytes": lambda path: IMAGES,
    "float64": lambda path: IMAGES.astype(np.float64),
    "big-endian": lambda path: IMAGES.astype(">f4"),
    "list": lambda path: (IMAGES.tolist(), []),
    "file": lambda path: Stored(IMAGES),
    "file of floats": lambda path: Stored(FLOATS),
}
INDICES = {
    "a row": 2,
    "the last": -1,
    "a row of NumPy's": np.int64(3),
    "rows": np.array([5, 0, 5]),
    "a list": [1, -1],
    "no rows": np.array([], int),
    "a slice": slice(1, 7, 2),
    "backwards": slice(None, None, -1),
    "a mask": np.arange(len(IMAGES)) < 2,
    "a pixel": (1, 2, 3, 0),
    "a channel": (slice(0, 3), ..., 1),
    "rows and columns": ([0, 1], slice(None), [1, 2]),
    "all": ...,
    "one axis more": None,
    "nothing": (),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_index_and_method_gives_what_an_array_of_the_batches_dtype_gives(source, tmp_path):
    whole = SOURCES[source](tmp_path)
    for subset in (None, "training", "validation"):
        x = flow(whole, subset=subset).x
        expected = {None: FLOATS, "training": FLOATS[2:], "validation": FLOATS[:2]}[subset]
        assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == (
            expected.shape,
            4,
            expected.size,
            np.float32,
            len(expected),
        )
        for name, index in INDICES.items():
            if subset == "validation" or (name == "a mask" and subset):
                continue
            found, right = x[index], expected[index]
            assert type(found) is type(right), name
            assert found.dtype == right.dtype
            np.testing.assert_array_equal(found, right)
        for found, right in (
            (np.asarray(x), expected),
            (np.array(x, np.float64), expected.astype(np.float64)),
            (x / 255, expected / 255),
            (1 - x, 1 - expected),
            (x > 3, expected > 3),
            (np.sqrt(x), np.sqrt(expected)),
            (x.mean(axis=0), expected.mean(axis=0)),
            (np.max(x), expected.max()),
            (x.reshape(-1), expected.reshape(-1)),
            (x.T, expected.T),
            (np.stack(list(x)), expected),
            (np.concatenate([x, x]), np.concatenate([expected, expected])),
            (copy.copy(x)[1], expected[1]),
        ):
            assert found.dtype == right.dtype
            np.testing.assert_array_equal(found, right)
    if source == "bytes":
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)), expected)


def _in_place(x):
    x *= 0


def _through_a_row(x):
    x[1][:] = 0


EDITS = {
    "an item": lambda x: x.__setitem__(1, 0),
    "all": lambda x: x.__setitem__(..., 0),
    "by a mask": lambda x: x.__setitem__(np.asarray(x) >= 0, 0),
    "in place": _in_place,
    "a row in place": lambda x: x[1].__imul__(0),
    "through a row": _through_a_row,
    "through a slice": lambda x: x[1:3].fill(0),
    "fill": lambda x: x.fill(0),
    "copyto": lambda x: np.copyto(x, 0),
    "copyto a row": lambda x: np.copyto(x[0], 0),
    "out": lambda x: np.multiply(x, 0, out=x),
    "at": lambda x: np.subtract.at(x, 1, x[1]),
    "put": lambda x: np.put(x, [0, 1], 0),
    "putmask": lambda x: np.putmask(x, np.asarray(x) > 0, 0),
    "place": lambda x: np.place(x, np.asarray(x) > 0, [0]),
    "through asarray": lambda x: np.asarray(x).fill(0),
    "through flat": lambda x: x.flat.__setitem__(slice(None), 0),
    "through reshape": lambda x: x.reshape(-1).fill(0),
    "through the transposed": lambda x: x.T.fill(0),
    "sorted": lambda x: x.sort(axis=0),
    "shuffled": lambda x: np.random.default_rng(0).shuffle(x),
    "resized": lambda x: x.resize((1, 4, 5, 3)),
}
# Of an array itself these raise as well, or leave it as it is.
NOT_OF_AN_ARRAY = {"resized", "shuffled", "sorted"}


@pytest.mark.filterwarnings("ignore:you are shuffling")
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_acts_on_the_batches_or_raises(edit):
    for x in (IMAGES.copy(), Stored(FLOATS.copy()), [IMAGES.tolist(), []]):
        it = flow(x)
        with pytest.raises((TypeError, ValueError)):
            EDITS[edit](it.x)
        np.testing.assert_array_equal(next(it), FLOATS[:4])
    if edit not in NOT_OF_AN_ARRAY:
        it = flow(FLOATS.copy())
        EDITS[edit](it.x)
        np.testing.assert_array_equal(next(it), it.x[:4])
        assert not np.array_equal(it.x, FLOATS)
        frozen = FLOATS.copy()
        frozen.flags.writeable = False
        with pytest.raises((TypeError, ValueError)):
            EDITS[edit](flow(frozen).x)


def test_the_error_says_how_to_edit_and_so_it_goes():
    it = flow(IMAGES)
    with pytest.raises(TypeError, match=r"reads uint8 images as float32.*it\.x = np\.array\(it\.x\)"):
        it.x[0] = 0.5
    with pytest.raises(TypeError, match="cannot be edited in place"):
        it.x.shape = (9, -1)
    it.x = np.array(it.x)
    it.x[0] = 0.5
    assert next(it)[0].max() == 0.5
    assert IMAGES[0].max() > 1


def test_x_is_the_array_itself_if_its_dtype_fits(tmp_path):
    mapped = np.memmap(tmp_path / "images", np.float32, "w+", shape=FLOATS.shape)
    for array in (FLOATS, mapped):
        assert flow(array).x is array
        assert np.shares_memory(flow(array, subset="training").x, array)


def test_a_row_of_a_large_array_takes_the_memory_of_a_row():
    images = np.zeros((40, 64, 64, 3), np.uint8)
    it = flow(images)
    tracemalloc.start()
    for index in (3, slice(2, 4), np.array([7, 8]), -1):
        it.x[index]
    assert (it.x.shape, len(it.x)) == (images.shape, 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * images[0].size * 5 < images.size


class Own(NumpyArrayIterator):
    """With an __init__ of its own, as recipes for crops, files and pairs have it."""

    def __init__(self, x, **more):
        self.x = x
        vars(self).update(more)
        Iterator.__init__(self, 2, 2, False, None)

    def _get_batches_of_transformed_samples(self, index_array):
        return self.x


@pytest.mark.parametrize("more", [{}, {"dtype": "float32"}])
@pytest.mark.parametrize(
    "x",
    [[IMAGES[0], IMAGES[1, :2]], (IMAGES, LABELS := [1, 2]), {"a": IMAGES}, ["a.png"], np.array(["a.png"]), IMAGES, 5],
)
def test_what_a_subclass_keeps_in_x_comes_back_as_it_was_set(x, more):
    it = Own(x, **more)
    assert next(it) is it.x is x


def test_a_subclass_that_sets_keras_attributes_itself_makes_the_same_batches():
    class Kept(NumpyArrayIterator):
        def __init__(self, x, generator):
            self.x, self.y, self.x_misc, self.sample_weight = x, None, [], None
            self.image_data_generator, self.dtype, self.data_format = generator, "float32", "channels_last"
            self.save_to_dir, self.save_prefix, self.save_format = None, "", "png"
            Iterator.__init__(self, len(x), 4, False, 0)

    generator = ImageDataGenerator(horizontal_flip=True)
    for x in (IMAGES, list(IMAGES), FLOATS):
        np.testing.assert_array_equal(
            next(Kept(x, generator)), next(NumpyArrayIterator(IMAGES, None, generator, 4, seed=0))
        )


WITHOUT_BATCHES = {
    "a dict": {"a": 1},
    "a list": ["a.png"] * 9,
    "5": 5,
    "an ndarray of shape (9, 4, 5)": IMAGES[..., 0],
}


@pytest.mark.parametrize("words", WITHOUT_BATCHES)
def test_what_no_batch_can_be_made_of_is_refused_when_one_is_asked_for(words):
    it = flow(IMAGES)
    it.x = WITHOUT_BATCHES[words]
    with pytest.raises(ValueError, match=rf"x was set to {re.escape(words)};.*rank 4"):
        next(it)
