"""From scores per era to one number."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

from sknumerai._typing import Array

Aggregate = Literal["mean", "std", "sharpe", "max_drawdown"] | Callable[[pd.Series], Any] | None


def mean(scores: Array) -> float:
    """Mean over eras."""
    return float(np.mean(scores))


def std(scores: Array) -> float:
    """Standard deviation over eras (ddof=0)."""
    return float(np.std(scores))


def sharpe(scores: Array) -> float:
    """Mean over standard deviation (ddof=0); NaN where all scores are the same."""
    deviation = np.std(scores)
    if np.ptp(scores) == 0.0:
        return float("nan")
    return float(np.mean(scores) / deviation)


def max_drawdown(scores: Array) -> float:
    """Deepest fall of the cumulative sum below its peak so far, which starts at 0; >= 0."""
    wealth = np.concatenate([[0.0], np.cumsum(scores)])
    return float(np.max(np.maximum.accumulate(wealth) - wealth))


AGGREGATES: dict[str, Callable[[Array], float]] = {
    "mean": mean,
    "std": std,
    "sharpe": sharpe,
    "max_drawdown": max_drawdown,
}
ORDER_MATTERS_NOT = ("mean", "std", "sharpe")


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
        values = [function(per_era.iloc[:, j].to_numpy()) for j in range(per_era.shape[1])]
    return pd.Series(values, index=per_era.columns)
