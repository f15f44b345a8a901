"""How a Loader prints."""

import jax
import numpy as np
import pytest

import jaxiter
from jaxiter import Affine, Chain, Loader, Map, Normalize, RandomResizedCrop, Rescale

IMAGES = np.zeros((10, 8, 8, 3), np.uint8)


class Untouchable:
    """Data that may not be read for a text."""

    shape, dtype = (10, 8, 8, 3), np.dtype(np.uint8)

    def __getitem__(self, rows):
        raise AssertionError("the data were read")


def test_what_is_short_is_one_line_and_what_is_long_a_line_for_each_part():
    assert repr(Loader(Untouchable(), batch_size=2)) == (
        "Loader(data: uint8[10, 8, 8, 3], batch_size=2, shuffle=True, remainder='drop', augment=None)"
    )
    augment = {"image": Chain(Affine(rotation=10), Rescale(0.5)), "mask": Affine(rotation=10, order=0), "label": None}
    data = {"image": Untouchable(), "mask": IMAGES, "label": np.arange(10)}
    assert repr(Loader(data, batch_size=2, augment=augment, rows=[1, 2, 4])).splitlines() == [
        "Loader(",
        "    data['image']: uint8[10, 8, 8, 3],",
        "    data['label']: int64[10],",
        "    data['mask']: uint8[10, 8, 8, 3],",
        "    rows=3, batch_size=2, shuffle=True, remainder='drop',",
        "    augment={",
        "        'image': Chain(",
        "            Affine(rotation=(-10.0, 10.0)),",
        "            Rescale(factor=0.5),",
        "        ),",
        "        'label': None,",
        "        'mask': Affine(rotation=(-10.0, 10.0), order=0),",
        "    },",
        ")",
    ]


@pytest.mark.parametrize(
    "step",
    [
        Affine(zoom=0.1, fill_mode="wrap", draws="a"),
        RandomResizedCrop((3, 4), antialias=False),
        Affine(shift=0.1, whole_pixels=True, zoom=(1, 1)),
        Rescale(2),
        Affine(horizontal_flip=True),
    ],
    ids=repr,
)
def test_a_step_without_its_defaults_makes_the_same_step(step):
    text = repr(Loader(IMAGES, batch_size=1, augment=Chain(step)))
    text = text[text.index("augment=") + len("augment=") : text.rindex(")")].rstrip().rstrip(",")
    assert eval(text, vars(jaxiter)) == Chain(step)


def test_it_prints_with_arrays_in_transforms_functions_tracers_and_what_pytrees_hold(key):
    loader = Loader(IMAGES, batch_size=1, augment=Chain(Normalize(np.float32([1, 2, 3]), 2.0), Map(np.square)))
    assert "Normalize(mean=array([1., 2., 3.], dtype=float32), std=2.0)" in repr(loader)
    texts = []
    jax.jit(lambda loader: texts.append(repr(loader)))(loader)
    assert "data: uint8[10, 8, 8, 3]" in texts[0]
    assert "data: <object" in repr(jax.tree.unflatten(jax.tree.structure(loader), [object()] * 2))
