"""Random configs, dtypes, shapes, remainders, rows and places hold the laws together."""

import pytest

from .data import first
from .random_cases import check_laws, make_case

OPTIMIZED = True  # roundings are compared; see conftest.py


@pytest.mark.parametrize("seed", first(1, range(40), slow=11))
def test_a_random_loader_holds_the_laws(seed):
    check_laws(make_case(seed))
