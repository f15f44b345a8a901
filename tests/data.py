"""Small data sets and loaders that many tests share, and the choice of cases from a product."""

from collections import Counter
from contextlib import contextmanager
from itertools import combinations, product

import chex
import jax
import numpy as np
import pytest

from jaxiter import Affine, Brightness, Chain, Loader

AUGMENT = Chain(Affine(rotation=20, shift=0.2, zoom=0.2, horizontal_flip=True), Brightness(0.2))

# Grey levels by which a byte differs where its coordinate moves by one unit of its weights along both axes.
WEIGHTS = 2 * 255 * 2.0**-16


def pictures(size=23, shape=(6, 5, 3), seed=0):
    """uint8 images, and labels that name the row."""
    images = np.random.default_rng(seed).integers(0, 256, (size, *shape), np.uint8)
    return images, np.arange(size, dtype=np.int32)


def photo(height, width, seed=0):
    """A uint8 picture with shades, edges and noise."""
    random, rows, cols = np.random.default_rng(seed), np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = np.sin(rows / 23 + cols * np.array([1, 2, 3]) / 31) * 90 + 120
    discs = np.where((rows - height / 3) ** 2 + (cols - width / 2) ** 2 < (width / 5) ** 2, 70, 0)
    return np.clip(waves + discs + random.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)


def in_turn(chain, params, image):
    """What the steps of a chain give one after the other, each by itself."""
    for step, drawn in zip(chain.transforms, params, strict=True):
        image = step.apply(drawn, image)
    return image


def loader(size=23, batch_size=4, **options):
    return Loader(pictures(size), batch_size=batch_size, **{"augment": AUGMENT, **options})


def by_label(batches):
    """Every image seen, by its label."""
    seen = {}
    for images, labels in batches:
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
            seen.setdefault(int(label), image)
    return seen


def assert_trees_equal(a, b):
    """Bit-equal, of the same structure and dtypes; `b` may hold NumPy's arrays for JAX's."""
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b), strict=True)


def assert_trees_close(a, b, tolerance=1e-6):
    """Pixels to within `tolerance` of their range; whole numbers exactly."""
    chex.assert_trees_all_equal_dtypes(a, b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        is_float = np.issubdtype(x.dtype, np.floating)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1.0, float(np.abs(x).max())) if is_float else 0)


@contextmanager
def compilations():
    """A list of the programs that are compiled inside, those that are read from the cache on disk among them."""
    names = []

    def note(event, seconds, **options):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(options.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def covering(sizes, strength=2):
    """Few tuples of indices that hold every pair (of another strength: every value) of any axes, chosen greedily.

    Of equally good cases the one with more new combinations of one value more, and then with the values used least.
    """

    def parts(case, strength):
        return {(*axes, *(case[axis] for axis in axes)) for axes in combinations(range(len(sizes)), strength)}

    def gain(case):
        needed, finer, values = cases[case]
        return len(needed & missing), len(finer - seen), -sum(used[value] for value in values)

    strengths = (strength, strength + 1, 1)
    cases = {case: [parts(case, width) for width in strengths] for case in product(*map(range, sizes))}
    missing = set().union(*(needed for needed, _, _ in cases.values()))
    seen, used, chosen = set(), Counter(), []
    while missing:
        chosen.append(max(cases, key=gain))
        needed, finer, values = cases[chosen[-1]]
        missing -= needed
        seen |= finer
        used.update(values)
    return chosen


def pairwise(strength=2, **axes):
    """Arguments for `parametrize`: every pair of values in the quick suite, every three of them in the slow one.

    The combinations that are left are in the exhaustive suite.
    """
    values = [list(axis) for axis in axes.values()]
    sizes = [len(axis) for axis in values]
    quick, slow = (set(covering(sizes, min(width, len(sizes)))) for width in (strength, strength + 1))

    def param(case):
        chosen = [axis[index] for axis, index in zip(values, case, strict=True)]
        names = [getattr(value, "__name__", str(value)) for value in chosen]
        mark = pytest.mark.slow if case in slow else pytest.mark.exhaustive
        return pytest.param(*chosen, id="-".join(names), marks=[] if case in quick else [mark])

    return list(axes), [param(case) for case in product(*(range(len(axis)) for axis in values))]


def each_once(**axes):
    """As `pairwise`, but the quick suite has every value, the slow one every pair.

    The first are as many cases as the longest axis has values.
    """
    return pairwise(strength=1, **axes)


def first(count, values, slow=None):
    """For `parametrize`: the first `count` values in the quick suite, the others in the slow one.

    Of more than `slow` others those after it are in the exhaustive suite.
    """
    params = [pytest.param(value) for value in values]
    end = len(params) if slow is None else count + slow
    later = [pytest.param(*p.values, marks=pytest.mark.slow) for p in params[count:end]]
    return params[:count] + later + [pytest.param(*p.values, marks=pytest.mark.exhaustive) for p in params[end:]]


def one_suite_later(params):
    """The same cases: those of the quick suite in the slow one, all others in the exhaustive one."""
    return [
        pytest.param(*p.values, id=p.id, marks=pytest.mark.exhaustive if p.marks else pytest.mark.slow) for p in params
    ]
