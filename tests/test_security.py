"""What SECURITY.md says of the code and a program can check."""

import ast
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxiter
from jaxiter import check_files, image_files, image_folder, open_packed, pack
from jaxiter.host import _packed_file

from .host.noise_folder import write_folder

PACKAGE = Path(jaxiter.__file__).parent
NETWORK = {"socket", "ssl", "urllib", "http", "ftplib", "smtplib", "requests", "asyncio", "xmlrpc", "webbrowser"}
OTHER_PROGRAMS = {"subprocess", "pty", "multiprocessing"}


def facts_of(path):
    """Modules that a file imports, and the functions that it calls, as `eval` or `np.load`."""
    modules, calls = set(), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):
            calls.append((ast.unparse(node.func), {word.arg for word in node.keywords}))
    return modules, calls


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_has_a_network_another_program_or_code_from_data(path):
    modules, calls = facts_of(path)
    assert not modules & (NETWORK | OTHER_PROGRAMS)
    for name, words in calls:
        assert name not in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv")
        assert not (name.startswith(("pickle.", "marshal.", "shelve.")) and name != "pickle.dumps")
        if name in ("np.load", "numpy.load"):
            assert "allow_pickle" not in words


def test_no_file_changes_the_limits_of_pillow():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                assert getattr(target, "attr", None) not in ("MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES"), path


def test_a_decompression_bomb_is_refused_by_the_limit_of_pillow(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("L", (300, 200)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 200 // 2 - 1)
    ((row, _, error),) = check_files(image_files([path]), progress=False)
    assert row == 0
    assert "more pixels than Pillow takes for safe" in error.reason


def test_a_file_of_python_objects_is_refused(tmp_path):
    write_folder(tmp_path / "photos")
    file = tmp_path / "photos.npy"
    pack(image_folder(tmp_path / "photos", size=4), file, progress=False)
    np.save(file, np.array([print, open], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        open_packed(file)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's, as it works out a length
def test_packed_files_with_forged_checksums_raise_or_hold_other_pictures(tmp_path):
    """No process dies of them, and no picture lies outside the file."""
    write_folder(tmp_path / "photos")
    pack(image_folder(tmp_path / "photos"), tmp_path / "whole.jx", progress=False)
    whole, forged = (tmp_path / "whole.jx").read_bytes(), tmp_path / "forged.jx"
    fields_size, header_size = _packed_file._FIELDS.size, _packed_file._HEADER.size
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        data, fields = bytearray(whole), list(_packed_file._FIELDS.unpack(whole[:fields_size]))
        tables_at = fields[7]
        if rng.random() < 0.5:
            which = int(rng.integers(2, 10))
            fields[which] = int(rng.choice([0, 1, 2, 3, fields[which] + 1, fields[which] * 2, 2**31 - 1, 2**32 - 1]))
        else:
            data[int(rng.integers(tables_at, len(data)))] = int(rng.integers(256))
        fields[10] = _packed_file._checksum(bytes(data[fields[7] :]))
        packed = _packed_file._FIELDS.pack(
            *(value % 2**32 if 1 <= place <= 4 else value for place, value in enumerate(fields))
        )
        data[:header_size] = _packed_file._HEADER.pack(packed, _packed_file._checksum(packed))
        forged.write_bytes(data)
        try:
            images = open_packed(forged).images
            assert all(picture.size <= len(whole) for picture in images)
            outcomes.add("opened")
        except (ValueError, TypeError, KeyError, OverflowError, OSError, struct.error, json.JSONDecodeError) as error:
            outcomes.add(type(error).__name__)
    assert {"opened", "ValueError"} <= outcomes
