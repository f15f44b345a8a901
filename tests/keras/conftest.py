"""Keras draws from NumPy's global stream, so every test puts it back; and programs are counted by their traces."""

from contextlib import contextmanager
from unittest.mock import patch

import chex
import numpy as np
import pytest

from jaxiter.keras._transform import KerasTransform


@pytest.fixture(autouse=True)
def numpys_stream_is_put_back():
    kept = np.random.get_state()
    yield
    np.random.set_state(kept)


@contextmanager
def traces_at_most(count):
    """Fails where more programs are traced for batches of Keras."""
    chex.clear_trace_counter()
    with patch.object(KerasTransform, "apply", chex.assert_max_traces(KerasTransform.apply, n=count)):
        yield
