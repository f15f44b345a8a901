"""Every test runs on eight virtual devices, with strict dtype promotion and warnings as errors.

Two thirds of the tests' time are compilation, so that they compile fast rather than well: without LLVM's
optimizations, and with the older of XLA:CPU's two emitters where jaxlib has both (a quarter off, and a third off what
is left; the passes of XLA before them, fusion among them, are the same). With COMPILE_FULLY=1 in the environment all
is compiled as users compile it; .ci/run has the slow tests of bits so, and the quick ones of the pixels once more.
"""

import ctypes
import gc
import os
from importlib.metadata import version
from pathlib import Path

# Before JAX is imported, which reads these once. Compiled programs are kept between runs; child processes use them too.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import chex
import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


COMPILES_FULLY = os.environ.get("COMPILE_FULLY") == "1"


def pytest_configure(config):
    has_older_emitter = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)  # later ones know no such flag
    if has_older_emitter and not COMPILES_FULLY:  # read when the first device is asked for
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True)
def traces_are_counted_from_zero():
    """`chex.assert_max_traces` tells functions apart by their source alone."""
    chex.clear_trace_counter()


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_test_file(request):
    """Compiled for this file and dropped after it; together they would take several gigabytes.

    A file of tests whose outcome LLVM's optimizations could change says `OPTIMIZED = True`.
    """
    is_optimized = COMPILES_FULLY or getattr(request.node.obj, "OPTIMIZED", False)
    jax.config.update("jax_disable_most_optimizations", not is_optimized)
    yield
    jax.clear_caches()
    gc.collect()  # programs hold on to each other
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # glibc keeps what is free, 1 GB and more in each worker


collect_ignore = ["host/process.py"]  # a program of its own, not a module with doctests
