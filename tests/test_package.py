"""What importing the package does, and the habits of its public names."""

import inspect
import subprocess
import sys

import pytest

import jaxiter

PUBLIC = sorted(
    name for name in vars(jaxiter) if not name.startswith("_") and not inspect.ismodule(vars(jaxiter)[name])
)
IMPORT = """
import random, sys, warnings
import numpy as np
warnings.simplefilter("error")
before = np.random.get_state()[1].tolist(), random.getstate()
import jaxiter, jaxiter.keras
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "a backend was started"
assert (np.random.get_state()[1].tolist(), random.getstate()) == before, "random state was touched"
extras = {"flax", "optax", "sklearn", "keras", "scipy", "tensorflow", "torch", "grain", "orbax", "chex", "jaxtyping"}
imported = extras & {name.split(".")[0] for name in set(sys.modules) - before_modules}
assert not imported, imported
"""


def test_importing_starts_no_backend_prints_nothing_and_imports_no_extra():
    # JAX itself may import SciPy where that is installed; what counts is what jaxiter adds.
    program = "import sys, jax, jax.numpy, jax.extend.random\nbefore_modules = set(sys.modules)\n" + IMPORT
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    thing = getattr(jaxiter, name)
    assert thing.__doc__, name
    if inspect.isfunction(thing):
        assert ">>>" in thing.__doc__ or name in (
            "flip_matrix",
            "shear_matrix",
            "shift_matrix",
            "zoom_matrix",
            "about_centre",
        )


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(jaxiter, name))])
def test_a_key_comes_first_or_right_after_what_is_acted_on(name):
    parameters = list(inspect.signature(getattr(jaxiter, name)).parameters)
    if "key" in parameters:
        acted_on = {"loader", "step_fn", "carry"}
        assert set(parameters[: parameters.index("key")]) <= acted_on
    for before, after in [("key", "epoch"), ("epoch", "step")]:
        if before in parameters and after in parameters:
            assert parameters.index(after) == parameters.index(before) + 1
