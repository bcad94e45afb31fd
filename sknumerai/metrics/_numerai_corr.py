"""The function numerai_corr()."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Unpack, overload

import pandas as pd

from sknumerai._kernels.correlation import POWER, numerai_correlation
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Aggregate, ArrayLike, Columns, Eras, OneColumn, Reducer, Score
from sknumerai.metrics._per_era import (
    AGGREGATE,
    MISSING,
    TOP_BOTTOM,
    Missing,
    ScoreOptions,
    read_targets,
    score_predictions,
)


class _Options(ScoreOptions, total=False):
    target_power: float


@overload
def numerai_corr(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: Reducer = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def numerai_corr(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: None, **options: Unpack[_Options]
) -> pd.Series: ...
@overload
def numerai_corr(
    y_true: ArrayLike, y_pred: Columns, *, aggregate: Aggregate = ..., **options: Unpack[_Options]
) -> Score: ...
@validate_params(
    {
        "top_bottom": TOP_BOTTOM,
        "target_power": [Interval(Real, 0, None, closed="neither")],
        "aggregate": AGGREGATE,
        "missing": MISSING,
    },
    prefer_skip_nested_validation=True,
)
def numerai_corr(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    target_power: float = POWER,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Tournament correlation (CORR) of predictions with the target, per era.

    The predictions' ranks become normal quantiles; these and the centred targets are raised to
    the power 1.5, their signs kept; their Pearson correlation is the era's score [1]_. Note the
    order of the arguments: it is scikit-learn's, the reverse of that in ``numerai-tools``.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Score the lowest and highest ``top_bottom`` predictions of every era only. Ties at the
        cut are decided by the order of the rows.
    target_power : float, default=1.5
        Power of the centred targets. Pass 1 where the targets are returns, as ``numerai-tools``
        does with ``target_pow15=False``.
    missing : {"raise", "skip"}, default="raise"
        What to do with eras of which no row has a target, such as the latest: an error, or leave
        them out, with one warning that counts them. A part of an era's targets beyond a fifth is an
        error in any case.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        How the scores of the eras become one: "std" and "sharpe" with ddof=0; "max_drawdown" of
        the cumulative sum, at least 0; a callable gets a Series over eras; None keeps the eras.

    Returns
    -------
    score : float, Series or DataFrame
        For 1-D predictions a float, or a Series over eras with ``aggregate=None``; for 2-D ones
        a Series over columns, or a DataFrame of eras and columns. NaN, with one warning, in eras
        where a prediction is constant.

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, the tables do not fit together,
        or eras that must be in order have none.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.numerai_corr``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import numerai_corr
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> numerai_corr(tournament.target, tournament.target, eras=tournament.eras) > 0.9
    True
    >>> numerai_corr(
    ...     tournament.target, tournament.meta_model, eras=tournament.eras, aggregate=None
    ... ).index.tolist()
    ['0001', '0002', '0003', '0004']
    """
    kernel = partial(numerai_correlation, top_bottom=top_bottom, target_power=target_power)
    return score_predictions(
        kernel,
        y_pred,
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )
