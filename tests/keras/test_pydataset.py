"""Once Keras 3 is there, an iterator is one of its data sets, and nothing else about it changes."""

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator, Iterator, NumpyArrayIterator
from jaxiter.keras._pydataset import MaybeDataset

IMAGES, LABELS = np.zeros((6, 4, 4, 1), np.uint8), np.arange(6, dtype=np.int32)


class Places(Iterator):
    """A batch is the places of its examples."""

    def _get_batches_of_transformed_samples(self, index_array):
        return np.array(index_array, np.float32)[:, None]


class Renamed(Places):
    """Passes on by position, and has things to do before."""

    def __init__(self, number, *others):
        self.number = number
        super().__init__(number, *others)


class WithSlots(Places):
    __slots__ = ("place",)


class Announced(Places):
    names = ()

    def __init_subclass__(cls, *, name):
        Announced.names += (name,)


class Pickled(Places):
    def __getstate__(self):
        return {"n": self.n, "workers": self.workers}


SUBCLASSES = [Places, Renamed, WithSlots, Announced, Pickled]


class Calling(NumpyArrayIterator):
    def _get_batches_of_transformed_samples(self, index_array):
        return super(self.__class__, self)._get_batches_of_transformed_samples(index_array)


def without_keras(monkeypatch, make, module=None):
    Iterator.__bases__ = (MaybeDataset,)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "keras", module)
        return make()


@pytest.mark.parametrize("cls", SUBCLASSES)
def test_an_iterator_is_a_dataset_and_still_of_its_class(cls):
    it = cls(5, 2, False, None)
    assert isinstance(it, keras.utils.PyDataset)
    assert type(it) is it.__class__ is cls
    assert len(it) == it.num_batches == 3
    assert [it[i].tolist() for i in range(3)] == [[[0], [1]], [[2], [3]], [[4]]]
    assert iter(it) is it
    assert Announced.names == ()


def test_flow_and_subclasses_of_the_array_iterator_are_datasets_too():
    generator = ImageDataGenerator()
    for it in (
        generator.flow(IMAGES, LABELS),
        NumpyArrayIterator(IMAGES, 0 * LABELS, generator),
    ):
        assert isinstance(it, keras.utils.PyDataset)
        assert type(it) is NumpyArrayIterator
    it = Calling(IMAGES, LABELS, generator)
    assert isinstance(it, keras.utils.PyDataset)
    assert next(it)[1].tolist() == LABELS.tolist()


def test_what_both_classes_define_is_ours():
    mine = {name for cls in (Iterator, NumpyArrayIterator) for name in vars(cls)}
    theirs = {name for name in vars(keras.utils.PyDataset) if not name.startswith("__")} | {"__iter__", "__getitem__"}
    it = NumpyArrayIterator(IMAGES, None, ImageDataGenerator())
    assert isinstance(it, keras.utils.PyDataset)
    for name in mine & theirs:
        owner = NumpyArrayIterator if name in vars(NumpyArrayIterator) else Iterator
        assert inspect.getattr_static(type(it), name) is vars(owner)[name], name
    assert {
        "workers",
        "use_multiprocessing",
        "max_queue_size",
        "on_epoch_end",
        "__iter__",
        "__getitem__",
    } <= mine & theirs


def test_a_class_that_is_a_dataset_already_stays_as_it_is():
    class Both(Places, keras.utils.PyDataset):
        pass

    assert type(Both(5, 2, False, None)) is Both


def test_a_class_with_the_two_in_the_other_order_from_before_goes_on_working(monkeypatch):
    def make():
        class Both(keras.utils.PyDataset, Places):
            def __init__(self):
                Places.__init__(self, 5, 2, False, None)

            __getitem__ = Places.__getitem__

        return Both

    both = without_keras(monkeypatch, make)()
    assert isinstance(both, keras.utils.PyDataset)
    assert both[1].tolist() == [[2], [3]]
    with pytest.raises(TypeError, match=r"class Both\(PyDataset, Places\).* Write the iterator first"):
        Places(5, 2, False, None).as_keras()
    del both
    gc.collect()  # the class too
    assert isinstance(Places(5, 2, False, None), keras.utils.PyDataset)


def test_what_keras_asks_for_is_kept_and_may_be_set():
    it = Places(5, 2, False, None, workers=3, use_multiprocessing=True, max_queue_size=4)
    assert (it.workers, it.use_multiprocessing, it.max_queue_size) == (3, True, 4)
    it.workers = 2
    assert it.workers == 2


def test_a_copy_and_a_pickle_are_datasets_where_keras_is(monkeypatch):
    it = Pickled(5, 2, False, None, workers=3)
    kept = pickle.dumps(it)
    for load in (lambda: copy.copy(it), lambda: pickle.loads(kept)):
        Iterator.__bases__ = (MaybeDataset,)
        other = load()
        assert type(other) is Pickled
        assert isinstance(other, keras.utils.PyDataset)
        assert (len(other.__dict__), other.n, other.workers) == (2, 5, 3)
    assert not isinstance(without_keras(monkeypatch, lambda: pickle.loads(kept)), keras.utils.PyDataset)


STUBS = {
    "absent": None,
    "in the midst of its import": types.ModuleType("keras"),
    "Keras 2": types.SimpleNamespace(utils=types.SimpleNamespace(Sequence=object)),
    "a stub": types.SimpleNamespace(utils=types.SimpleNamespace(PyDataset=lambda: None)),
}


@pytest.mark.parametrize("stub", STUBS)
def test_without_keras_3_an_iterator_is_nothing_else_and_says_what_to_do(stub, monkeypatch):
    def make():
        it = Places(5, 2, False, None)
        with pytest.raises(RuntimeError, match=r"import keras first .*, then call as_keras\(\)"):
            it.as_keras()
        return it

    assert not isinstance(without_keras(monkeypatch, make, STUBS[stub]), keras.utils.PyDataset)


@pytest.mark.parametrize("cls", SUBCLASSES)
def test_an_iterator_from_before_becomes_a_dataset_in_its_place(cls, monkeypatch):
    it = without_keras(monkeypatch, lambda: cls(9, 2, True, 3))
    it.workers = 4
    next(it)
    order = it.index_array
    with pytest.raises(ValueError, match="Unrecognized data type"):
        keras.Sequential([keras.layers.Dense(1)]).predict(it, verbose=0)
    dataset = it.as_keras()
    assert dataset is it
    assert isinstance(dataset, keras.utils.PyDataset)
    assert (dataset.batch_index, dataset.total_batches_seen, dataset.workers) == (1, 1, 4)
    assert dataset.index_array is order
    assert type(dataset) is cls


PROGRAM = """
import os, sys, warnings
import numpy as np
from jaxiter.keras import ImageDataGenerator, NumpyArrayIterator
class Mine(NumpyArrayIterator):
    pass
x, y = np.zeros((6, 4, 4, 1), np.uint8), np.arange(6, dtype=np.int32)
it = Mine(x, y, ImageDataGenerator(rotation_range=9), batch_size=2, shuffle=True, seed=0)
next(it)
assert "keras" not in sys.modules and type(it) is Mine
import keras
warnings.simplefilter("error")
def model():
    made = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(6, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return made

try:
    model().fit(it, verbose=0)
except ValueError as error:
    assert "Unrecognized data type" in str(error)
else:
    raise AssertionError("fit took what is no dataset")
later = Mine(x, y, ImageDataGenerator(), batch_size=2)
assert isinstance(later, keras.utils.PyDataset) and type(later) is Mine
model().fit(it.as_keras(), validation_data=later, verbose=0)

warnings.simplefilter("ignore")  # of JAX, that a fork may hang
for dataset in (it, later):
    dataset.use_multiprocessing = True
    try:
        model().fit(dataset, verbose=0)
    except RuntimeError as error:
        assert "Leave use_multiprocessing=False" in str(error)
    else:
        raise AssertionError("a fork made a batch")
"""


@pytest.mark.slow
def test_keras_may_come_later_is_never_imported_by_us_and_may_not_fork():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
