"""The functions feature_neutral_corr() and neutral_corr()."""

from __future__ import annotations

from functools import partial
from typing import Required, Unpack, overload

import pandas as pd

from sknumerai._frames import many_columns
from sknumerai._kernels.correlation import feature_neutral_correlation, neutral_correlation
from sknumerai._sklearn import validate_params
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
    features: Required[ArrayLike]


@overload
def feature_neutral_corr(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: Reducer = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def feature_neutral_corr(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: None, **options: Unpack[_Options]
) -> pd.Series: ...
@overload
def feature_neutral_corr(
    y_true: ArrayLike, y_pred: Columns, *, aggregate: Aggregate = ..., **options: Unpack[_Options]
) -> Score: ...
@validate_params(
    {"top_bottom": TOP_BOTTOM, "aggregate": AGGREGATE, "missing": MISSING},
    prefer_skip_nested_validation=True,
)
def feature_neutral_corr(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    features: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Feature-neutral correlation (FNC) of predictions with the target, per era.

    The predictions' normal quantiles are neutralized to the features; `numerai_corr` of what is
    left is the score [1]_. FNCv3 is the score with the features of the set "fncv3_features",
    FNC TB200 that with ``top_bottom=200``. The features are factorized once per era for all
    predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Score the lowest and highest ``top_bottom`` neutralized predictions of every era only.
    missing : {"raise", "skip"}, default="raise"
        What to do with eras of which no row has a target, such as the latest: an error, or leave
        them out, with one warning that counts them. A part of an era's targets beyond a fifth is an
        error in any case.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, also in eras where the features explain all of a prediction:
        ``numerai-tools`` scores rounding noise there.

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, or the tables do not fit together.

    See Also
    --------
    neutral_corr : The score of Numerai Signals.

    Notes
    -----
    As in ``numerai-tools``, predictions are neutralized on all rows of the era, those without a
    target included, and ranked again on those with a target.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.feature_neutral_corr``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import feature_neutral_corr, numerai_corr
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> data, target, eras = tournament.data, tournament.target, tournament.eras
    >>> by_features = data @ range(10)
    >>> prediction = 20 * tournament.nonlinear_part + by_features
    >>> fnc = feature_neutral_corr(target, prediction, features=data, eras=eras)
    >>> fnc > numerai_corr(target, prediction, eras=eras)
    True
    """
    return score_predictions(
        partial(feature_neutral_correlation, top_bottom=top_bottom),
        y_pred,
        many_columns(features, "features"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )


@validate_params(
    {"top_bottom": TOP_BOTTOM, "aggregate": AGGREGATE, "missing": MISSING},
    prefer_skip_nested_validation=True,
)
def neutral_corr(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    features: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Pearson correlation of neutralized predictions with the target, per era.

    The predictions' normal quantiles are neutralized to the features; what is left is neither
    ranked again nor raised to a power, unlike in `feature_neutral_corr` [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Score the lowest and highest ``top_bottom`` neutralized predictions of every era only.
    missing : {"raise", "skip"}, default="raise"
        What to do with eras of which no row has a target, such as the latest: an error, or leave
        them out, with one warning that counts them. A part of an era's targets beyond a fifth is an
        error in any case.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, also in eras where the features explain all of a prediction.

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, or the tables do not fit together.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.neutral_correlation``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import neutral_corr
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> neutral_corr(
    ...     tournament.target,
    ...     tournament.nonlinear_part,
    ...     features=tournament.data,
    ...     eras=tournament.eras,
    ... ) > 0
    True
    """
    return score_predictions(
        partial(neutral_correlation, top_bottom=top_bottom),
        y_pred,
        many_columns(features, "features"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )
