"""`Ragged`: what it accepts, and its pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxiter import Ragged
from jaxiter._ragged import BLOCK

from .data import assert_trees_equal
from .ragged_data import SIZES, pictures_of, ragged

PIXELS = np.zeros((10, 3), np.uint8)


@pytest.mark.parametrize("place", [np.asarray, jnp.asarray])
def test_pictures_come_back_as_they_were(place):
    pictures = pictures_of()
    data = ragged(pictures, gap=2)
    data = Ragged(place(data.pixels), data.starts, data.shapes)
    assert len(data) == len(SIZES)
    assert data.shape == (len(SIZES), None, None, 3)
    assert data.dtype == np.uint8
    assert_trees_equal(list(data), pictures)
    assert_trees_equal(data[np.array([3, 0])], [pictures[3], pictures[0]])
    assert_trees_equal(data[2:4], pictures[2:4])
    assert_trees_equal(data[-1], pictures[-1])


def test_a_picture_is_no_copy():
    data = ragged(pictures_of())
    assert data[0].base is not None
    assert np.shares_memory(data[0], data.pixels)


def test_a_loop_ends_and_other_rows_are_refused():
    data = ragged(pictures_of())
    with pytest.raises(IndexError, match="row is 12; expected a row of 12 pictures"):
        data[12]
    with pytest.raises(TypeError, match=r"row is 0\.5"):
        data[0.5]
    for rows in (np.arange(12) > 5, np.array([0.5, 1.5]), [True, False]):
        with pytest.raises(TypeError, match=r"rows is .*; expected integers.*flatnonzero"):
            data[rows]
    assert data[[]] == []
    assert len(data[np.uint8([3, 3])]) == 2


def test_starts_beyond_what_an_int32_counts():
    starts = np.array([0, BLOCK - 1, 3 * 2**31 + 5])
    pixels = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (2**33, 1), (0, 0))  # takes one byte
    data = Ragged(pixels, starts, [(1, 1)] * 3)
    assert data.starts.tolist() == starts.tolist()
    assert data.places.dtype == np.int32


def test_it_is_a_pytree_of_its_arrays():
    data = ragged(pictures_of())
    leaves, structure = jax.tree.flatten(data)
    assert len(leaves) == 4
    assert jax.tree.unflatten(structure, leaves)[1].shape == (7, 50, 3)
    assert structure == jax.tree.structure(ragged(pictures_of()[::-1]))  # the largest sides are the same
    jax.tree.unflatten(structure, [None] * 4)  # and holds whatever it is given
    on_device = jax.device_put(data)
    assert_trees_equal(list(on_device), pictures_of())


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (([[1, 2]], [0], [(1, 1)]), TypeError, "pixels is a list"),
        ((np.zeros((4, 4, 3)), [0], [(1, 1)]), ValueError, r"pixels has shape \(4, 4, 3\); expected \(total pixels"),
        ((PIXELS, [0.0], [(1, 1)]), TypeError, "starts is a list of 1, the first of which is 0.0; expected integers"),
        ((PIXELS, [[0]], [(1, 1)]), ValueError, r"starts has shape \(1, 1\); expected \(n,\)"),
        ((PIXELS, [], np.zeros((0, 2), int)), TypeError, "starts is a list; expected integers"),
        ((PIXELS, np.zeros(0, int), np.zeros((0, 2), int)), ValueError, "starts is empty"),
        ((PIXELS, [0], [(1, 1), (1, 1)]), ValueError, r"shapes has shape \(2, 2\); expected \(1, 2\)"),
        ((PIXELS, [0, 1], [1, 1]), ValueError, r"shapes has shape \(2,\); expected \(2, 2\)"),
        ((PIXELS, [0, 1], [(1, 1), (0, 5)]), ValueError, r"shapes\[1\] is 0 by 5; expected sides of 1 to 32,767"),
        ((PIXELS, [0], [(1, 32768)]), ValueError, r"shapes\[0\] is 1 by 32768"),
        ((PIXELS, [0, 5], [(1, 1), (2, 3)]), ValueError, "picture 1 takes pixels 5 to 11; expected them within the 10"),
        ((PIXELS, [-1], [(1, 1)]), ValueError, "picture 0 takes pixels -1 to 0"),
        ((PIXELS, [0], [(1, 1)], [(1, 1, 1)]), ValueError, "source_shapes has shape"),
        ((PIXELS, [0], [(1, 1)], [(0, -5)]), ValueError, r"source_shapes\[0\] is 0 by -5; expected sides of 1 to"),
        ((PIXELS, [0], [(1, 1)], [(2**40, 4)]), ValueError, r"source_shapes\[0\] is 1099511627776 by 4"),
        ((PIXELS.astype(object), [0], [(1, 1)]), TypeError, "pixels has dtype object"),
    ],
)
def test_what_is_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        Ragged(*arguments)


def test_in_words():
    total = sum(height * width for height, width in SIZES)
    said = f"Ragged(12 pictures of up to 60 by 50, uint8, 3 channels, {total:,} pixels)"
    assert repr(ragged(pictures_of())) == said
