"""What would a GPU run? XLA compiles for a card that is only described, on a machine that has none.

    python bench/gpu_structure.py [--programs W2:256:batch W4l:32:scan ...] [--target h200] [--json] [--write]

Nothing runs, and nothing here says how fast it is. It says how many kernels a batch is made of, and how much a thread
of the large ones does. JAX's CUDA plugin of jaxlib's release is fetched by pip (180 MB, once, into .gpu_structure/).
No driver is needed. `--write` puts the table into bench/RESULTS.md.

- **kernels**: whatever the card is asked to do by itself, copies too; of a scan only what it does in every step.
- **picture-sized**: a kernel with at least a thread for 20 values of the batch. Others make order, draws, matrices.
- **statements**: of the PTX of all picture-sized kernels, times threads, for each value of the batch.
- **loads of a thread**: of each picture-sized kernel, by width: "4 x 32" are four loads of 32 bits.
- **hashing**: picture-sized kernels of 16 or more exclusive ors in a thread. Resampling needs next to none, a round of
  the order two, a draw many: the order or the draws are made anew for every pixel.
- **temporaries**: memory beside arguments and results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _loads import Load

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".gpu_structure"
HASHING = 16  # exclusive ors of one thread
VALUES_A_THREAD = 20
CARDS = 4  # of the mesh of a sharded batch; `batch_size` is that of all
PROGRAMS = [
    f"{size}:batch" for size in ("W2:256", "W2:32", "W1:1024", "W1:128", "W3:128", "W4s:128", "W4l:256", "W4l:32")
]
PROGRAMS += [f"{size}:{way}" for way in ("scan", "sharded") for size in ("W2:256", "W1:128", "W4l:256")]
PROGRAMS += [
    "W2:256:stream",
    "W1:128:stream",
    "W4l:256:stream",
    "W1:128:ahead",
    "W1:128:host",
    "W2:256:host",
    "W3c:32:batch",
]
BORDERS = ("constant", "reflect", "mirror", "wrap", "grid-wrap")
# Of W2 and W1: what a program may be otherwise. "many" has more values than an int32 counts, and is counted by pixels.
KINDS = ("grey", "rgba", "bfloat16", "uint8", "order0", "many", *BORDERS)
PROGRAMS += ["W1:8192:batch", *(f"W2/{kind}:256:batch" for kind in KINDS)]


# The compiler: JAX's CUDA plugin, without CUDA


def plugin() -> Path:
    """A folder with the plugin of jaxlib's release, downloaded and unpacked once."""
    release = version("jaxlib")
    folder = CACHE / f"{release}-py{sys.version_info.major}{sys.version_info.minor}"
    if folder.exists():
        return folder
    CACHE.mkdir(exist_ok=True)
    print(f"fetching JAX's CUDA plugin {release} (180 MB, once)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        wheels, unpacked = Path(scratch) / "wheels", Path(scratch) / "unpacked"
        for cuda in ("12", "13"):  # the first that exists for this release
            names = [f"jax-cuda{cuda}-{part}=={release}" for part in ("pjrt", "plugin")]
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), *names]
            found = subprocess.run(command, capture_output=True, text=True)
            if found.returncode == 0:
                break
        else:
            raise SystemExit(
                f"gpu_structure needs the wheels {' and '.join(names)} (or those of CUDA 12), which pip did not get:\n"
                f"{found.stderr[-2000:]}\nRun it where pip reaches a package index, or unpack them into {folder}."
            )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        try:
            unpacked.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(unpacked)
    return folder


def prepare(dump: str) -> None:
    """Before JAX is imported, which reads its flags and finds its plugins once."""
    sys.path[:0] = [str(HERE.parent), str(plugin())]
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # a program from the cache leaves no PTX
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Since jax 0.12 the PTX is among the emitters' dumps.
        "XLA_FLAGS": f"--xla_dump_to={dump} --xla_dump_hlo_module_re=.*structure_.* --xla_dump_emitter_re=.*",
    }


# Programs: each takes images, key data, epoch and step


def loads() -> dict[str, Load]:
    """Those of bench/_loads.py, at sizes that suit a GPU."""
    from _loads import W1, W2, W3, W4L, W4S, Load

    from jaxiter import Affine, Brightness, Cast, Chain, ChannelShift, Normalize, Rescale

    class Coloured(Load):
        """W3 with steps whose draws act on every pixel."""

        @property
        def augment(self) -> Chain:
            means = Normalize((125.0, 120.0, 110.0), (60.0, 61.0, 62.0))
            return Chain(*super().augment.transforms[:1], Brightness((0.8, 1.2)), ChannelShift(20.0), means)

    class Kind(Load):
        """A load with other channels, another result or another border, as its name says."""

        @property
        def augment(self) -> Chain:
            kind = self.name.partition("/")[2]
            sampling = {"fill_mode": kind} if kind in BORDERS else {"order": 0} if kind == "order0" else {}
            scale = () if kind == "uint8" else (Rescale(1 / 255),)
            cast = (Cast(kind),) if kind in ("bfloat16", "uint8") else ()
            return Chain(Affine(**self.ranges or {}, **sampling), *scale, *cast)

    coloured = Coloured(*W3)._replace(name="W3c")
    kinds = [Kind(*load)._replace(name=f"{load.name}/{kind}") for load in (W1, W2) for kind in KINDS]
    known = (W1, W2, W3, W4S, W4L, coloured, *kinds)
    return {load.name: load._replace(num_examples=2048 if load.side > 100 else 10_000) for load in known}


def ways(load: Load, mesh: Any) -> dict[str, Callable[..., Any]]:
    """The programs of one load, by name."""
    import jax.numpy as jnp
    import numpy as np
    from _loads import add_sum
    from jax.sharding import NamedSharding, PartitionSpec

    from jaxiter import scan_epoch
    from jaxiter.loader import _program
    from jaxiter.loader.internal import spec_of

    def batch(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        return load.loader(images).batch(key, epoch, step)

    def scan(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        return scan_epoch(add_sum, jnp.float32(0), load.loader(images), key, epoch)

    def ahead(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        """What a stream starts for every 64 steps."""
        spec = spec_of(load.loader(images))
        counters = _program.stack_counters(epoch, step, spec.size)
        return _program.prepare_steps(spec.program, 64, spec.arrays, spec.chain_leaves, None, key, counters)

    def stream(images: Any, key: Any, epoch: Any, step: Any, drawn: Any) -> Any:
        """What a stream starts for every step, with the memory of the batch before."""
        spec = spec_of(load.loader(images))
        donated = jnp.zeros((load.batch_size, *images.shape[1:]), load.dtype)
        return _program.prepared_batch(spec.program, spec.arrays, spec.chain_leaves, drawn, step, donated)

    def host(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        """A batch whose rows the host has read: the first ones here."""
        spec = spec_of(load.loader(np.broadcast_to(np.uint8(0), images.shape)))
        rows = jnp.arange(load.batch_size, dtype=np.int32)
        return _program.host_batch(spec.program, [images[: load.batch_size]], spec.chain_leaves, key, epoch, rows, None)

    def sharded(images: Any, key: Any, epoch: Any, step: Any) -> Any:
        """A stream's batch over several cards, the data on each of them."""
        spec = spec_of(load.loader(images))
        own, layout = spec.program, NamedSharding(mesh, PartitionSpec("cards"))
        program = _program.Program(
            own.data, own.chains, own.index, own.reads, own.sources, layout, layout.mesh.abstract_mesh, own.whole
        )
        counters = _program.stack_counters(epoch, step, spec.size)
        return _program.resident_batch(program, spec.arrays, spec.chain_leaves, None, key, counters)

    return {"batch": batch, "scan": scan, "ahead": ahead, "stream": stream, "host": host, "sharded": sharded}


WAYS = ("batch", "scan", "ahead", "stream", "host", "sharded")


def compiled(load: Load, way: str, target: str, dump: Path) -> dict[str, Any]:
    """The figures of one program."""
    import jax
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

    count = CARDS if way == "sharded" else 1
    topology = topologies.get_topology_desc(platform="cuda", target_config=target, topology=f"1x1x{count}")
    mesh = Mesh(np.array(topology.devices), ("cards",))
    layout = NamedSharding(mesh, PartitionSpec()) if count > 1 else SingleDeviceSharding(topology.devices[0])
    functions = ways(load, mesh)

    def program(images: Any, key_data: Any, *others: Any) -> Any:
        return functions[way](images, jax.random.wrap_key_data(key_data), *others)

    name = re.sub(r"\W", "_", f"structure_{load.name}_{load.batch_size}_{way}")
    load = load._replace(num_examples=2**31 // load.side**2 // 3 + 1) if load.name.endswith("/many") else load
    channels = {"grey": 1, "rgba": 4}.get(load.name.partition("/")[2], 3)
    program.__name__ = name
    shapes = [
        ((load.num_examples, load.side, load.side, channels), np.uint8),
        ((2,), np.uint32),
        ((), np.uint32),
        ((), np.uint32),
    ]
    arguments = [jax.ShapeDtypeStruct(shape, dtype, sharding=layout) for shape, dtype in shapes]
    if way == "stream":
        drawn = jax.eval_shape(functions["ahead"], arguments[0], jax.random.key(0), *arguments[2:])
        arguments.append(jax.tree.map(lambda part: part.update(sharding=layout), drawn))
    sizes = jax.jit(program).lower(*arguments).compile().memory_analysis()
    values = load.batch_size // count * load.side**2 * channels
    about = {"load": load.name, "batch": load.batch_size, "way": way, "temporaries": sizes.temp_size_in_bytes}
    return about | describe(dump, name, values)


# Reading what XLA left behind


def describe(dump: Path, name: str, values: int) -> dict[str, Any]:
    """Kernels of one program and what their threads do; `values` of the batch on one card."""
    (order,) = dump.glob(f"*.jit_{name}.thunk_sequence.txt")
    texts = [path.read_text(errors="replace") for path in dump.glob(f"*.jit_{name}.*ptx")]
    ptx = dict(entry for text in texts for entry in entries(text))
    steps = re.findall(r"^\s*\d+: (k\w+)(.*)", one_step(order.read_text()), re.M)
    starts = [re.search(r"\] (\w+) grid: \[([\d, ]+)\] threads: \[([\d, ]+)\]", rest) for _, rest in steps]
    pictures = []
    for start in filter(None, starts):
        threads = math.prod(int(side) for sides in start.groups()[1:] for side in sides.split(","))
        if threads * VALUES_A_THREAD >= values:
            statements, xors = read_ptx(ptx[start[1]])
            loads = loads_of(ptx[start[1]])
            pictures.append(
                {"name": start[1], "statements": statements * threads / values, "xor": xors, "loads": loads}
            )
    alone = sum(bool(start) or "Copy" in kind or "Mem" in kind for (kind, _), start in zip(steps, starts, strict=True))
    return {
        "kernels": alone,
        "picture_sized": len(pictures),
        "hashing": sum(kernel["xor"] >= HASHING for kernel in pictures),
        "statements": round(sum(kernel["statements"] for kernel in pictures), 1),
        "pictures": pictures,
    }


def one_step(order: str) -> str:
    """The part of a program that is done again for every batch: the body of its loop, where it has one."""
    _, _, body = order.partition("\n  body:\n")
    return "".join(itertools.takewhile(lambda line: line.startswith("   "), body.splitlines(keepends=True))) or order


def entries(text: str) -> list[tuple[str, str]]:
    """Name and PTX of each kernel."""
    found = list(re.finditer(r"\.entry\s+([\w$]+)", text))
    ends = [*(entry.start() for entry in found), len(text)][1:]
    return [(entry[1], text[entry.start() : end]) for entry, end in zip(found, ends, strict=False)]


def read_ptx(text: str) -> tuple[int, int]:
    """Statements of a thread, without declarations and labels, and the exclusive ors among them."""
    body = re.sub(r"//[^\n]*", "", text[text.index("{") + 1 :])
    body = re.sub(r"^[ \t]*[{}][ \t]*$", ";", body, flags=re.M)  # of a block; others hold the parts of a vector
    parts = (re.sub(r"^(?:[$%\w]+:\s*)+", "", part.strip()) for part in body.strip().removesuffix("}").split(";"))
    statements = [part for part in parts if part and not part.startswith(".")]
    return len(statements), sum(bool(re.match(r"(@!?%\w+\s+)?xor\.b32", part)) for part in statements)


def loads_of(text: str) -> str:
    """The loads of a thread from the card's memory, by width in bits."""
    vectors = re.findall(r"\bld\.global[\w.]*?(?:\.v(\d))?\.[a-z](\d+)\s", text)
    widths = Counter(int(count or 1) * int(bits) for count, bits in vectors)
    return ", ".join(f"{count} x {width}" for width, count in sorted(widths.items()))


def table(found: list[dict[str, Any]], before: list[dict[str, Any]]) -> str:
    """Markdown; with the figures of another version where `before` has them."""
    from _timing import markdown

    rows = [
        [
            "load, batch",
            "way",
            "kernels",
            "picture-sized",
            "hashing",
            "statements a value",
            "loads of a thread",
            "temporaries",
        ]
    ]
    rows[0] += ["before: hashing", "before: statements a value"] if before else []
    others = {(one["load"], one["batch"], one["way"]): one for one in before}
    for one in found:
        counts = [str(one[name]) for name in ("kernels", "picture_sized", "hashing", "statements")]
        counts.append("; ".join(picture["loads"] for picture in one["pictures"]))
        cells = [f"{one['load']}, {one['batch']:,}", one["way"], *counts, f"{one['temporaries'] / 1e6:.2f} MB"]
        other = others.get((one["load"], one["batch"], one["way"]), {})
        rows.append(cells + [str(other.get(name, "-")) for name in ("hashing", "statements") if before])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--programs", nargs="+", default=PROGRAMS, help=f"load[/kind]:batch size:way, of {', '.join(WAYS)}"
    )
    parser.add_argument("--target", default="h200", help="h200, h100 or a file like bench/h200.txtpb")
    parser.add_argument("--dump", help="keep XLA's dumps in this folder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--before", type=Path, help="what --json printed for another version, to stand beside it")
    parser.add_argument("--write", action="store_true", help="put the table into bench/RESULTS.md")
    arguments = parser.parse_args()
    path = Path(arguments.target)
    target = (path if path.is_file() else HERE / f"{arguments.target}.txtpb").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(arguments.dump or scratch).resolve()
        prepare(str(dump))
        known, found = loads(), []
        for program in arguments.programs:
            print(program, file=sys.stderr, flush=True)
            name, size, way = program.split(":")
            found.append(compiled(known[name]._replace(batch_size=int(size)), way, target, dump))
    before = json.loads(arguments.before.read_text()) if arguments.before else []
    print(json.dumps(found) if arguments.json else table(found, before))
    if arguments.write:
        write(found, before, target)


def write(found: list[dict[str, Any]], before: list[dict[str, Any]], target: str) -> None:
    from _timing import write_section

    card = re.findall(r'device_description_str: "(.*)"', target)[0]
    write_section("gpu_structure", SECTION.format(card=card, jax=version("jax"), table=table(found, before)))


SECTION = """## What a GPU would run

Written by `python bench/gpu_structure.py --write`, jax {jax}, for a described {card}: nothing ran on a card, and
nothing here is a time. The script says what the figures are. "host" is a batch whose rows the host has read, "sharded"
one over four cards, by card.

{table}"""


if __name__ == "__main__":
    main()
