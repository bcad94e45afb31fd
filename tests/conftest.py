from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import polars as pl
import polars.testing
import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

DATAFRAME_MODULES = {
    "pandas": SimpleNamespace(
        name="pandas",
        module=pd,
        DataFrame=pd.DataFrame,
        Series=lambda values, name=None: pd.Series(values, name=name),
        assert_frame_equal=pd.testing.assert_frame_equal,
        assert_series_equal=pd.testing.assert_series_equal,
    ),
    "polars": SimpleNamespace(
        name="polars",
        module=pl,
        DataFrame=pl.DataFrame,
        Series=lambda values, name=None: pl.Series(name, values),
        assert_frame_equal=pl.testing.assert_frame_equal,
        assert_series_equal=pl.testing.assert_series_equal,
    ),
}


@pytest.fixture(params=sorted(DATAFRAME_MODULES))
def df_module(request):
    """Run the test once with pandas and once with polars.

    ``df_module.DataFrame({"a": [1, 2]})`` and ``df_module.Series([1, 2], name="a")`` take the same
    arguments in both; ``name``, ``module``, ``assert_frame_equal`` and ``assert_series_equal``
    are there too.
    """
    return DATAFRAME_MODULES[request.param]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data, which is not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not on this machine")
    return SHARED_DATA
