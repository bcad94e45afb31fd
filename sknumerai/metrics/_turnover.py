"""The function turnover()."""

from __future__ import annotations

import numpy as np

from sknumerai._sklearn import validate_params
from sknumerai._typing import Aggregate, ArrayLike, Eras, Score
from sknumerai.metrics._pairs import N_PREVIOUS, score_pairs
from sknumerai.metrics._per_era import AGGREGATE
from sknumerai.metrics._stability import turnover_between


@validate_params(
    {"n_previous": N_PREVIOUS, "aggregate": AGGREGATE}, prefer_skip_nested_validation=True
)
def turnover(
    weights: ArrayLike,
    *,
    ids: ArrayLike,
    eras: Eras,
    n_previous: int = 1,
    aggregate: Aggregate = "mean",
) -> Score:
    """Turnover of portfolio weights from one era to the next.

    Half the sum of the absolute changes of weights [1]_. With several preceding eras, the
    largest turnover. Meant for weights (see `neutralized_weights`), not for ranks.

    Parameters
    ----------
    weights : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite weights.
    ids : array-like of shape (n_samples,)
        Stock of every row, under a name that stays the same from era to era, such as a ticker:
        the ids of Numerai's main tournament change every era and cannot be used.
    eras : array-like of shape (n_samples,)
        Era of every row.
    n_previous : int, default=1
        Number of preceding eras that an era is compared to; Numerai uses 5 for live submissions
        and 1 in diagnostics.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`, without the first era, which has no predecessor. (Numerai counts a
        turnover of 1 for a first submission; see `churn`.)

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If there is only one era, values are not finite, ids are missing or repeated in an era, or
        two eras that are compared share less than 80 % of their ids.

    Notes
    -----
    Stocks that only one of the two eras holds count for nothing: the documentation of
    ``numerai-tools`` takes their other weight as zero, its code, followed here, does not.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.signals.turnover``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.metrics import turnover
    >>> turnover([0.5, -0.5, -0.5, 0.5], ids=list("abab"), eras=[1, 1, 2, 2])
    1.0
    """
    return score_pairs(
        turnover_between,
        weights,
        ids,
        eras,
        name="weights",
        n_previous=n_previous,
        reduce=np.max,
        aggregate=aggregate,
    )
