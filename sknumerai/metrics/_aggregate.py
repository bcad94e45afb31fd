"""From the scores of several predictions per era to one number for each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sknumerai._kernels.aggregate import AGGREGATES
from sknumerai._typing import Aggregate

ORDER_INDEPENDENT = ("mean", "std", "sharpe")


def depends_on_order(aggregate: Aggregate) -> bool:
    """Whether the eras must be put in order before aggregating."""
    return aggregate not in ORDER_INDEPENDENT


def aggregate_scores(per_era: pd.DataFrame, aggregate: Aggregate) -> pd.DataFrame | pd.Series:
    """Aggregate the scores of every prediction.

    Parameters
    ----------
    per_era : DataFrame of shape (n_eras, n_predictions)
        In the order of the eras.
    aggregate : str, callable or None
        A callable gets the scores of one prediction as a Series indexed by era. None returns
        ``per_era``. A NaN era makes every named aggregate NaN.

    Returns
    -------
    scores : DataFrame or Series
    """
    if aggregate is None:
        return per_era
    if callable(aggregate):
        values = [aggregate(per_era.iloc[:, j]) for j in range(per_era.shape[1])]
    else:
        function = AGGREGATES[aggregate]
        values = [function(scores) for scores in np.ascontiguousarray(per_era.to_numpy().T)]
    return pd.Series(values, index=per_era.columns)
