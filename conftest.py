"""What holds for every test and doctest."""

import pytest
import sklearn
from hypothesis import settings

# The same examples on every machine and in every run, and no test fails because it was slow.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _restore_sklearn_config():
    """Leave scikit-learn's global configuration as the test found it."""
    with sklearn.config_context():
        yield
