"""Every test runs on eight virtual devices, with strict dtype promotion and warnings as errors."""

import os

# Before JAX is imported: the number of devices is read once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def key():
    return jax.random.key(0)


collect_ignore = ["host/process.py"]  # a program of its own, not a module with doctests
