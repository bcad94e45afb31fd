import numpy as np
import pytest

from sknumerai.contribution._gradient_cache import GRADIENTS
from sknumerai.datasets import make_market
from tests.contribution._scored_market import N_ERAS, N_STOCKS, USERS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def market():
    """A market small enough to score candidates on it in every test."""
    return make_market(N_STOCKS, 3, USERS, n_eras=N_ERAS, n_features=4, n_sectors=3, random_state=0)


@pytest.fixture(autouse=True)
def _empty_cache():
    """No test finds the gradients of another one."""
    GRADIENTS.clear()
    yield
    GRADIENTS.clear()
