"""Forms of the compiled batch on CPU: the one in use, and those that it was chosen from.

    python bench/forms.py [--rounds N] [--seconds S] [--write]

prints images a second of each, and its share of the speed of the form in use, from interleaved rounds. What is fastest
changes with XLA's emitters: run it with every new jaxlib. `--write` puts the table of this release into
bench/RESULTS.md. Nothing here is part of the package: each form replaces a function of it while its program is traced.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _loads import KEY, W1, W2, Load
from _timing import Contestant, interleave, machine, markdown, versions, write_section

from jaxiter._fusion_barrier import fusion_barrier
from jaxiter.augment._warp import _affine_warp, _interpolate
from jaxiter.augment._warp._coordinates import WEIGHT_BITS
from jaxiter.loader import _program

IN_USE = "in use"


# Forms: what is replaced, and by what


def from_all_data(*operands: Any, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
    """What other platforms run: pixels looked up in the whole data, unrolled rounds, no barriers."""
    return default(*operands)


def around_rows_alone(function: Callable[[], Any]) -> Any:
    """A batch that nothing else in its program reads needs no barrier; one that is read is made several times then."""
    return fusion_barrier(function) if isinstance(function, partial) else function()


def lerps(dtype: Any, order: int) -> Any:
    """Bytes mixed as floats are, `a + (b - a) * f`, which uses a tap twice; in units of the weights."""

    def lerp(values: Any, weights: Any) -> Any:
        first, second = values
        return first * np.float32(2**WEIGHT_BITS) + (second - first) * weights[1]

    return lerp if order == 1 else _interpolate._weighted_sum


def plain_sum(values: Any, weights: Any) -> Any:
    """One use for each tap, without the step that keeps a compiler from choosing what it rounds."""
    first, second = (value * weight for value, weight in zip(values, weights, strict=True))
    return add(first, second)


def value_by_value(image: Any, stored: Any) -> Any:
    """One gather for each channel, instead of one for all channels of a pixel."""
    _, width, channels = image.shape
    flat = image.reshape(-1)

    def read(row: Any, col: Any, down: int, right: int) -> Any:
        start = row * np.int32(width * channels) + col * np.int32(channels)
        start = start + np.int32((down * width + right) * channels)
        return jnp.concatenate([_interpolate.slices_at(flat, start + np.int32(c), 1) for c in range(channels)], -1)

    return read


def by_words(image: Any, stored: Any) -> Any:
    """Three bytes from two words of 32 bits, shifted together."""
    _, width, channels = image.shape
    words = jax.lax.bitcast_convert_type(image.reshape(-1, 4), np.uint32)
    last = np.int32(words.shape[0] - 1)

    def read(row: Any, col: Any, down: int, right: int) -> Any:
        start = row * np.int32(width * channels) + col * np.int32(channels)
        start = start + np.int32((down * width + right) * channels)
        word, shift = start >> 2, ((start & 3) * 8).astype(np.uint32)
        low = _interpolate.slices_at(words, word, 1)[..., 0]
        high = _interpolate.slices_at(words, jnp.minimum(word + 1, last), 1)[..., 0]
        both = (low >> shift) | ((high << (np.uint32(31) - shift)) << np.uint32(1))
        parts = [((both >> np.uint32(8 * c)) & np.uint32(255)).astype(np.uint8) for c in range(channels)]
        return jnp.stack(parts, axis=-1)

    return read


FORMS: dict[str, list[tuple[Any, str, Any]]] = {
    IN_USE: [],
    "the same again": [],  # how far two rows lie apart that should not
    "pixels from the whole data, no barriers": [(jax.lax, "platform_dependent", from_all_data)],
    "rows of small images copied first": [(_program, "_COPIED", -1)],
    "rows of large images not copied first": [(_program, "_COPIED", 2**40)],
    "no barrier around the batch": [(_program, "fusion_barrier", around_rows_alone)],
    "lerps": [(_affine_warp, "blending", lerps)],
    "plain sums": [(_interpolate, "_sum_of_bytes", plain_sum)],
    "a gather for each channel": [(_interpolate, "reader", value_by_value)],
    "words of 32 bits": [(_interpolate, "reader", by_words)],
}


@contextmanager
def replaced(parts: list[tuple[Any, str, Any]]) -> Iterator[None]:
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    jax.clear_caches()  # or what was traced before would be used again
    try:
        for owner, name, value in parts:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def contestant(load: Load, form: str, images: Any) -> Contestant:
    loader, steps = load.loader(images), count()

    def batch(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        return load.loader(images).batch(key, epoch, step)

    with replaced(FORMS[form]):
        program = jax.jit(batch).lower(images, KEY, np.uint32(0), np.uint32(0)).compile()

    def call() -> Any:
        epoch, step = divmod(next(steps), loader.num_steps)
        return program(images, KEY, np.uint32(epoch), np.uint32(step))

    return Contestant(form, load.batch_size, call, load.check)


def shares(load: Load, rounds: int, seconds: float) -> list[str]:
    """Images a second of the form in use, then of each other form its share."""
    images = jnp.asarray(load.images())
    contestants = [contestant(load, form, images) for form in FORMS]
    expected = np.asarray(contestants[0].call())
    for one in contestants[1:]:  # the same pictures: a form that is wrong is no form
        np.testing.assert_allclose(np.asarray(one.call()), expected, atol=1e-4)
    interleave(contestants, rounds, seconds)
    first = contestants[0]
    ratios = [np.divide(first.wall, one.wall) for one in contestants[1:]]
    spans = [f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})" for ratio in ratios]
    return [f"{first.images_per_second:,.0f}", *spans]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    loads = (W1, W2)
    columns = [shares(load, arguments.rounds, arguments.seconds) for load in loads]
    names = [f"{IN_USE}, images/s", *list(FORMS)[1:]]
    table = markdown([["", *(load.name for load in loads)], *map(list, zip(names, *columns, strict=True))])
    print(table)
    if arguments.write:
        release = versions(("jax", "jaxlib"))["jaxlib"]
        about = {"release": release, "machine": machine(), "table": table, "python": platform.python_version()}
        section = SECTION.format(**about, rounds=arguments.rounds, seconds=arguments.seconds)
        write_section(f"forms {release}", section)


SECTION = """## Forms of the warp, jaxlib {release}

Written by `python bench/forms.py --write`, {rounds} rounds of about {seconds} s for each form, in turns; {machine}.
Below the first line: the share of the speed of the form in use, more than 1 is faster (median and range over the
rounds). Python {python}. What is copied first is the same program as in use for W2, and what is not for W1.

{table}"""


if __name__ == "__main__":
    main()
