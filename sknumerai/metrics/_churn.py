"""The functions churn(), neutral_churn() and neutral_churn_penalty()."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import overload

import numpy as np
from scipy.special import expit

from sknumerai._frames import many_columns
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Aggregate, Array, ArrayLike, Column, Eras, FloatArray, Score
from sknumerai.metrics._pairs import N_PREVIOUS, score_pairs
from sknumerai.metrics._per_era import AGGREGATE, TOP_BOTTOM
from sknumerai.metrics._stability import churn_between


@validate_params(
    {"top_bottom": TOP_BOTTOM, "n_previous": N_PREVIOUS, "aggregate": AGGREGATE},
    prefer_skip_nested_validation=True,
)
def churn(
    y_pred: ArrayLike,
    *,
    ids: ArrayLike,
    eras: Eras,
    top_bottom: int | None = None,
    n_previous: int = 1,
    aggregate: Aggregate = "mean",
) -> Score:
    """Churn of predictions: how much their order changes from one era to the next.

    1 - Spearman correlation over the stocks that both eras hold: 0 for the same order, 1 for an
    unrelated one, 2 for the opposite [1]_. With several preceding eras, the largest churn.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    ids : array-like of shape (n_samples,)
        Stock of every row, under a name that stays the same from era to era, such as a ticker:
        the ids of Numerai's main tournament change every era and cannot be used.
    eras : array-like of shape (n_samples,)
        Era of every row.
    top_bottom : int, optional
        Score the share of stocks that are no longer among the lowest and highest ``top_bottom``
        predictions instead. Stocks need not be in both eras.
    n_previous : int, default=1
        Number of preceding eras that an era is compared to; Numerai uses 5 for live submissions
        and 1 in diagnostics.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`, without the first era, which has no predecessor. (Numerai counts a
        churn of 1 for a first submission [2]_. That is a rule, no measurement, and would move
        means and drawdowns.) NaN, with one warning, in eras where a prediction, or its
        predecessor, is constant.

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If there is only one era, values are not finite, ids are missing or repeated in an era, or
        two eras that are compared share less than 80 % of their ids.

    See Also
    --------
    turnover : The change of portfolio weights.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.signals.churn``,
       https://github.com/numerai/numerai-tools
    .. [2] ``numerai_tools.signals.calculate_max_churn_and_turnover``

    Examples
    --------
    >>> from sknumerai.metrics import churn
    >>> churn([1, 2, 3, 1, 2, 3, 3, 2, 1], ids=list("abcabcabc"), eras=[1] * 3 + [2] * 3 + [3] * 3)
    1.0
    >>> churn([1, 2, 3, 3, 1, 2], ids=list("abccab"), eras=[1, 1, 1, 2, 2, 2])
    0.0
    """
    return score_pairs(
        partial(churn_between, top_bottom=top_bottom),
        y_pred,
        ids,
        eras,
        n_previous=n_previous,
        reduce=np.max,
        aggregate=aggregate,
    )


@validate_params(
    {"n_previous": N_PREVIOUS, "aggregate": AGGREGATE}, prefer_skip_nested_validation=True
)
def neutral_churn(
    y_pred: ArrayLike,
    *,
    features: ArrayLike,
    ids: ArrayLike,
    eras: Eras,
    n_previous: int = 1,
    aggregate: Aggregate = "mean",
) -> Score:
    """Churn of what the features do not explain of predictions.

    The normal quantiles of each era's predictions are neutralized to that era's features, and
    the `churn` of the residuals is the score. With several preceding eras, the mean [1]_.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
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
        neutral churn of 1 for a first submission [2]_. That is a rule, no measurement, and would
        move means and drawdowns.) NaN, with one warning, in eras where the features explain all
        of a prediction, or of its predecessor.

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If there is only one era, values are not finite, ids are missing or repeated in an era, or
        two eras that are compared share less than 80 % of their ids.

    See Also
    --------
    neutral_churn_penalty : What of a payout is left.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.signals.neutral_churn``,
       https://github.com/numerai/numerai-tools
    .. [2] ``numerai_tools.signals.calculate_mean_neutral_churn``

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.metrics import neutral_churn
    >>> rng = np.random.default_rng(0)
    >>> features, signal = rng.normal(size=(100, 3)), np.tile(rng.normal(size=50), 2)
    >>> eras, ids = np.repeat([1, 2], 50), np.tile(np.arange(50), 2)
    >>> neutral_churn(signal, features=features, ids=ids, eras=eras) < 0.2
    True
    """
    return score_pairs(
        churn_between,
        y_pred,
        ids,
        eras,
        neutral_to=many_columns(features, "features"),
        n_previous=n_previous,
        reduce=np.mean,
        aggregate=aggregate,
    )


@overload
def neutral_churn_penalty(
    neutral_churn: float, threshold: float = ..., scaling_factor: float = ...
) -> float: ...
@overload
def neutral_churn_penalty(
    neutral_churn: Array | Column | Sequence[float],
    threshold: float = ...,
    scaling_factor: float = ...,
) -> FloatArray: ...
@validate_params(
    {
        "neutral_churn": [Interval(Real, 0, 2, closed="both"), "array-like"],
        "threshold": [Interval(Real, 0, 2, closed="both")],
        "scaling_factor": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def neutral_churn_penalty(
    neutral_churn: float | ArrayLike, threshold: float = 0.1, scaling_factor: float = 10.0
) -> float | FloatArray:
    """Share of a positive payout that is left after the penalty on neutral churn.

    min(1, 2 / (1 + exp(scaling_factor · (neutral_churn - threshold)))). Burns are not changed
    [1]_.

    Parameters
    ----------
    neutral_churn : float or array-like
        In [0, 2]; see `neutral_churn`.
    threshold : float, default=0.1
        Churn up to which all of the payout is kept.
    scaling_factor : float, default=10.0
        How fast the payout falls beyond.

    Returns
    -------
    share : float or ndarray
        In (0, 1].

    Raises
    ------
    ValueError
        If a value is NaN or out of its range.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.signals.neutral_churn_penalty``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.metrics import neutral_churn_penalty
    >>> neutral_churn_penalty([0.05, 0.1, 0.2]).round(3).tolist()
    [1.0, 1.0, 0.538]
    """
    values = np.asarray(neutral_churn, dtype=np.float64)
    if not ((values >= 0.0) & (values <= 2.0)).all():
        raise ValueError("neutral_churn must lie in [0, 2] and not be NaN; pass churns.")
    shares = np.minimum(1.0, 2.0 * expit(-scaling_factor * (values - threshold)))
    return float(shares) if values.ndim == 0 else shares
