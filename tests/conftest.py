"""Every test runs on eight virtual devices, with strict dtype promotion and warnings as errors."""

import os
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

    The quick suite compiles without LLVM's optimizations, which takes a quarter of its time off; XLA's own passes,
    fusion among them, stay on. A file of tests whose outcome LLVM could change says `OPTIMIZED = True`. Everything else
    that is selected by a marker, as in .ci/run, is compiled as users compile it.
    """
    is_quick = "not slow" in request.config.getoption("markexpr")
    jax.config.update("jax_disable_most_optimizations", is_quick and not getattr(request.node.obj, "OPTIMIZED", False))
    yield
    jax.clear_caches()


collect_ignore = ["host/process.py"]  # a program of its own, not a module with doctests
