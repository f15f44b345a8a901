"""Run every Python block of the pages that are named: also those marked `py`, which the tests leave out.

    python bench/pages.py docs/from-loaders.md

These need torch, torchvision and TensorFlow, so the tests cannot run them. Blocks of one page share their names, and
a folder of their own.
"""

import importlib
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def run(page: Path) -> int:
    """Runs the page's blocks in their order, and returns how many there are."""
    text = page.read_text()
    names: dict = {"__name__": "page"}
    blocks = list(re.finditer(r"^```(?:python|py)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for block in blocks:
        first_line = text[: block.start(1)].count("\n")
        exec(compile("\n" * first_line + block[1], str(page), "exec"), names)  # errors name the page's lines
    return len(blocks)


_held: list[object] = []  # torch forgets a library that nobody holds


def import_torchvision() -> None:
    """Beside a torch for CPU, PyPI's torchvision cannot load its operators, and fails as it describes two of them.

    Its transforms need none, so that names suffice.
    """
    try:
        import torch

        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError:
        _held.append(library := torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main() -> None:
    import_torchvision()
    warnings.simplefilter("ignore")
    for page in [Path(name).absolute() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            print(f"{page.name}: {run(page)} blocks ran")
            os.chdir(page.parent)


if __name__ == "__main__":
    main()
