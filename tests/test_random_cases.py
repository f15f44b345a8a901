"""Random configs, dtypes, shapes, remainders, rows and places hold the laws together."""

import pytest

from .data import first
from .random_cases import check_laws, make_case


@pytest.mark.parametrize("seed", first(1, range(40)))
def test_a_random_loader_holds_the_laws(seed):
    check_laws(make_case(seed))
