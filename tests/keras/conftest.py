"""Keras draws from NumPy's global stream; every test puts it back."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def numpys_stream_is_put_back():
    kept = np.random.get_state()
    yield
    np.random.set_state(kept)
