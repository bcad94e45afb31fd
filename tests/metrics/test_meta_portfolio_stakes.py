"""Stakes of meta_portfolio_contribution: by name in any order, and what is no stake."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics import meta_portfolio_contribution
from tests.metrics._tournament import make_table

TABLE = make_table(n_eras=2)
NAMES = TABLE.predictions.columns.tolist()
STAKES = dict(zip(NAMES, [3.0, 1.0, 2.0], strict=True))


def contribution(stakes):
    return meta_portfolio_contribution(
        TABLE.target,
        TABLE.predictions,
        stakes=stakes,
        neutralizers=TABLE.neutralizers,
        sample_weights=TABLE.weights,
        eras=TABLE.eras,
    )


EXPECTED = contribution(list(STAKES.values()))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_names_in_any_order(order, kind):
    stakes = {NAMES[i]: STAKES[NAMES[i]] for i in order}
    pd.testing.assert_series_equal(contribution(kind(stakes)), EXPECTED)


@pytest.mark.parametrize("scale", [0.05 / 6, 1.0, 1e6])
def test_only_shares_matter(scale):
    stakes = scale * np.array(list(STAKES.values()))
    pd.testing.assert_series_equal(contribution(stakes), EXPECTED)


@pytest.mark.parametrize(
    ("stakes", "message"),
    [
        ([3.0, -1.0, 2.0], "stakes must be finite, not negative, and not all zero; 1 of 3"),
        ([3.0, np.nan, 2.0], "1 of 3 are NaN or negative"),
        ([3.0, np.inf, 2.0], "stakes must be finite"),
        ([0.0, 0.0, 0.0], "not all zero"),
        ([1.0, 2.0], r"stakes has shape \(2,\) for 3 predictions"),
        ({**STAKES, "stranger": 1.0}, "stakes names 4 predictions and y_pred has 3"),
        ({"model_0": 1.0, "model_1": 1.0, "model_9": 1.0}, "stakes names 3 predictions"),
    ],
)
def test_what_is_no_stake(stakes, message):
    with pytest.raises(ValueError, match=message):
        contribution(stakes)
