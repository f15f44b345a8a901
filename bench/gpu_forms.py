"""What would the warp be as a kernel of another form? Compiled for a described card, as in bench/gpu_structure.py.

    python bench/gpu_forms.py [--target h200] [--write]

Each form is one warp of bytes by itself, along fixed-point maps that are given: W2, batch 256, linear, "nearest", with
weights as plain floats. That they give the same pixels is checked on this machine's CPU. Nothing times them.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gpu_structure

BATCH, SIDE, CHANNELS, BITS = 256, 224, 3, 20
LINE = SIDE * CHANNELS


def forms() -> dict[str, Callable[..., Any]]:
    """`form(data, rows, maps)`: uint8[size, side, side, 3], int32[batch], int32[batch, 2, 3] -> 0 to 255."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    def taps(rows: Any, maps: Any) -> tuple[Any, Any, Any]:
        """Where the upper left tap of each pixel begins in the data; weights of the taps below and beside it."""
        down, right = jnp.arange(SIDE, dtype=np.int32)[None, :, None], jnp.arange(SIDE, dtype=np.int32)[None, None]

        def along(axis: int) -> tuple[Any, Any]:
            down_by, right_by, offset = (maps[:, axis, part, None, None] for part in range(3))
            place = jnp.clip(down_by * down + right_by * right + offset, 0, ((SIDE - 1) << BITS) - 1)
            part = ((place & ((1 << BITS) - 1)) + 8) >> (BITS - 16)
            return place >> BITS, part.astype(np.float32) * np.float32(2.0**-16)

        (row, below), (col, beside) = along(0), along(1)
        return (rows[:, None, None] * SIDE + row) * LINE + col * CHANNELS, below, beside

    def picked(values: Any, start: Any, length: int = 1) -> Any:
        dimensions = jax.lax.GatherDimensionNumbers((start.ndim,), (), (0,))
        mode = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
        found = jax.lax.gather(values, start[..., None], dimensions, (length,), mode=mode)
        return found if length > 1 else found[..., 0]

    def blend(above: tuple[Any, Any], under: tuple[Any, Any], below: Any, beside: Any) -> Any:
        lines = [
            left.astype(np.float32) * (1 - beside) + right.astype(np.float32) * beside for left, right in (above, under)
        ]
        return lines[0] * (1 - below) + lines[1] * below

    def by_value(data: Any, rows: Any, maps: Any) -> Any:
        flat, (start, below, beside) = data.reshape(-1), taps(rows, maps)
        lines = [[picked(flat, start + at + right, CHANNELS) for right in (0, CHANNELS)] for at in (0, LINE)]
        return blend(*map(tuple, lines), below[..., None], beside[..., None])

    def by_pixel(data: Any, rows: Any, maps: Any) -> Any:
        flat, (start, below, beside) = data.reshape(-1), taps(rows, maps)

        def channel(place: int) -> Any:
            lines = [[picked(flat, start + at + right + place) for right in (0, CHANNELS)] for at in (0, LINE)]
            return blend(*map(tuple, lines), below, beside)

        return jnp.stack([channel(place) for place in range(CHANNELS)], axis=-1)

    def unaligned(words: Any, start: Any) -> Any:
        """Four bytes from `start` on, as a word."""
        first, shift = start >> 2, ((start & 3) * 8).astype(np.uint32)
        return (picked(words, first) >> shift) | ((picked(words, first + 1) << (np.uint32(31) - shift)) << np.uint32(1))

    def channels_of_words(data: Any, rows: Any, maps: Any) -> list[Any]:
        start, below, beside = taps(rows, maps)
        words = jax.lax.bitcast_convert_type(data.reshape(-1, 4), np.uint32)

        def bytes_of(word: Any) -> list[Any]:
            return [((word >> np.uint32(8 * place)) & np.uint32(255)).astype(np.int32) for place in range(CHANNELS)]

        lines = [
            list(zip(*(bytes_of(unaligned(words, start + at + right)) for right in (0, CHANNELS)), strict=True))
            for at in (0, LINE)
        ]
        return [blend(above, under, below, beside) for above, under in zip(*lines, strict=True)]

    return {
        "four values a thread, bytes (in use)": by_value,
        "a pixel a thread, bytes": by_pixel,
        "a pixel a thread, words": lambda *given: jnp.stack(channels_of_words(*given), axis=-1),
        "three planes, words": lambda *given: tuple(channels_of_words(*given)),
    }


def arguments(size: int, batch: int) -> tuple[Any, Any, Any]:
    """Noise, rows in order, and maps that turn by up to 15 degrees about the centre."""
    import numpy as np

    random = np.random.default_rng(0)
    data = random.integers(0, 256, (size, SIDE, SIDE, CHANNELS), dtype=np.uint8)
    angles, centre = random.uniform(-0.26, 0.26, batch), (SIDE - 1) / 2
    cos, sin = np.cos(angles), np.sin(angles)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    offset = centre - linear @ np.full(2, centre)
    return (
        data,
        np.arange(batch, dtype=np.int32) % size,
        np.round(np.concatenate([linear, offset[..., None]], -1) * 2**BITS).astype(np.int32),
    )


def check_equal() -> None:
    import jax
    import numpy as np

    given = arguments(2, 2)
    found = [
        np.stack(out, -1) if isinstance(out, tuple) else np.asarray(out)
        for out in (jax.jit(f)(*given) for f in forms().values())
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-4)


def structure(target: str, dump: Path) -> str:
    import jax
    import numpy as np
    from _timing import markdown
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    topology = topologies.get_topology_desc(platform="cuda", target_config=target, topology="1x1x1")
    layout = SingleDeviceSharding(topology.devices[0])
    shapes = [((2048, SIDE, SIDE, CHANNELS), np.uint8), ((BATCH,), np.int32), ((BATCH, 2, 3), np.int32)]
    given = [jax.ShapeDtypeStruct(shape, dtype, sharding=layout) for shape, dtype in shapes]
    rows = [["", "picture-sized kernels", "statements a value", "loads of a thread", "temporaries"]]
    for number, (form, function) in enumerate(forms().items()):

        def program(data: Any, rows: Any, maps: Any, function: Any = function) -> Any:
            return function(data, rows, maps)

        name = f"structure_form_{number}"
        program.__name__ = name
        sizes = jax.jit(program).lower(*given).compile().memory_analysis()
        found = gpu_structure.describe(dump, name, BATCH * SIDE * LINE)
        names = {kernel["name"] for kernel in found["pictures"]}
        texts = [path.read_text(errors="replace") for path in dump.glob(f"*.jit_{name}.*ptx")]
        loads = [
            load
            for text in texts
            for entry, body in gpu_structure.entries(text)
            if entry in names
            for load in re.findall(r"ld\.global[.\w]*\.(v\d\.)?(b\d+)", body)
        ]
        counts = ", ".join(f"{loads.count(kind)} x {''.join(kind)}" for kind in sorted(set(loads)))
        cells = [
            str(found["picture_sized"]),
            str(found["statements"]),
            counts,
            f"{sizes.temp_size_in_bytes / 1e6:.1f} MB",
        ]
        rows.append([form, *cells])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--target", default="h200", help="h200 or h100")
    parser.add_argument("--write", action="store_true", help="put the table into bench/RESULTS.md")
    options = parser.parse_args()
    target = (gpu_structure.HERE / f"{options.target}.txtpb").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        gpu_structure.prepare(scratch)
        check_equal()
        table = structure(target, Path(scratch))
    print(table)
    if options.write:
        from _timing import write_section

        write_section("gpu_forms", SECTION.format(jax=version("jax"), table=table))


SECTION = """## Forms of a kernel for the warp

Written by `python bench/gpu_forms.py --write`, jax {jax}, for a described card: one warp of W2, batch 256, by itself,
without order, draws and rescaling. A thread of the first makes four values, of the second and third three, of the last
twelve (planes, four pixels of each).

{table}"""


if __name__ == "__main__":
    main()
