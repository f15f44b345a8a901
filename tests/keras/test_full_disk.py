"""A disk that is full while pictures are saved; here a limit on the length of a file, which writing meets alike."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxiter.keras import ImageDataGenerator

PROGRAM = """
    import json, os, resource, signal, sys
    import numpy as np
    from jaxiter.keras import ImageDataGenerator, save_img
    folder, length, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3)).astype(np.uint8)
    flow = ImageDataGenerator(rotation_range=10).flow
    it = flow(images, np.arange(6), batch_size=2, seed=0, save_to_dir=folder, save_format=kind)
    next(it)
    before = it.get_state()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))
    for attempt in (lambda: next(it), lambda: save_img(os.path.join(folder, "mine." + kind), images[0])):
        try:
            attempt()
        except OSError as error:
            assert error.errno == 27 and "was not written" in error.__notes__[0], (error, error.__notes__)
        else:
            sys.exit("no error")
    left = sorted(os.listdir(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    it.set_state(before)
    again = next(it)
    print(json.dumps({"left": left, "labels": again[1].tolist(), "sum": float(again[0].sum())}))
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("length", "kind"), [(0, "png"), (3000, "png"), (500, "jpeg"), (500, "bmp"), (500, "tiff")])
def test_no_part_of_a_picture_is_left_and_the_batch_can_be_had_again(tmp_path, length, kind):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), tmp_path, str(length), kind],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3)).astype(np.uint8)
    it = ImageDataGenerator(rotation_range=10).flow(images, np.arange(6), batch_size=2, seed=0)
    next(it)
    expected = next(it)
    assert found["labels"] == expected[1].tolist()
    assert found["sum"] == float(expected[0].sum())
    assert len(found["left"]) == 2  # those of the first batch, whole
    assert all(os.path.getsize(tmp_path / name) > max(length, 500) for name in found["left"])
