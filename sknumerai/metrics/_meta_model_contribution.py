"""The functions meta_model_contribution() and neutral_contribution()."""

from __future__ import annotations

from functools import partial
from typing import Required, Unpack, overload

import pandas as pd

from sknumerai._frames import many_columns, one_column
from sknumerai._kernels import contribution as kernels
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
    meta_model: Required[ArrayLike]


@overload
def meta_model_contribution(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: Reducer = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def meta_model_contribution(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: None, **options: Unpack[_Options]
) -> pd.Series: ...
@overload
def meta_model_contribution(
    y_true: ArrayLike, y_pred: Columns, *, aggregate: Aggregate = ..., **options: Unpack[_Options]
) -> Score: ...
@validate_params(
    {"top_bottom": TOP_BOTTOM, "aggregate": AGGREGATE, "missing": MISSING},
    prefer_skip_nested_validation=True,
)
def meta_model_contribution(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    meta_model: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Meta model contribution (MMC) of predictions, per era; BMC with a benchmark.

    Predictions and meta model become normal quantiles, and what the meta model explains of a
    prediction is projected out; the covariance of the rest with the target is the score: how
    the meta model's covariance with the target grows with a little of the prediction [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    meta_model : array-like of shape (n_samples,)
        Meta model of the same rows, or a benchmark; finite.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Score the lowest and highest ``top_bottom`` residuals of every era only.
    missing : {"raise", "skip"}, default="raise"
        "skip" leaves out, with one warning that counts them, eras of which no row has a target, and
        eras of which more than a fifth of the rows have no meta model; other rows without it are
        left out of their era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, in eras where a prediction or the meta model is constant
        (``numerai-tools`` gives a constant prediction 0).

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, or the tables do not fit together.

    See Also
    --------
    neutral_contribution : The same after neutralization, the score of Numerai Signals.

    Notes
    -----
    A covariance has the scale of the target. As in ``numerai-tools``, the targets of an era that
    all lie in [0, 1] are multiplied by 4 first.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.correlation_contribution``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import meta_model_contribution
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> target, eras, meta_model = tournament.target, tournament.eras, tournament.meta_model
    >>> nonlinear = tournament.nonlinear_part
    >>> meta_model_contribution(target, nonlinear, meta_model=meta_model, eras=eras) > 0
    True
    """
    return score_predictions(
        partial(kernels.correlation_contribution, top_bottom=top_bottom),
        y_pred,
        one_column(meta_model, "meta_model", allow_nan=missing == "skip"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )


@validate_params(
    {"top_bottom": TOP_BOTTOM, "aggregate": AGGREGATE, "missing": MISSING},
    prefer_skip_nested_validation=True,
)
def neutral_contribution(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    meta_model: ArrayLike,
    features: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Contribution of neutralized predictions to the neutralized meta model, per era.

    `meta_model_contribution` with one more step: the normal quantiles of predictions and meta
    model are neutralized to the features before the meta model is projected out [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    meta_model : array-like of shape (n_samples,)
        Meta model of the same rows, or a benchmark; finite.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Score the lowest and highest ``top_bottom`` residuals of every era only.
    missing : {"raise", "skip"}, default="raise"
        "skip" leaves out, with one warning that counts them, eras of which no row has a target, and
        eras of which more than a fifth of the rows have no meta model; other rows without it are
        left out of their era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        Zero where the features explain all of a prediction; NaN, with one warning, where a
        prediction is constant or the features explain all of the meta model.

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, or the tables do not fit together.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.neutral_contribution``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import neutral_contribution
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> neutral_contribution(
    ...     tournament.target,
    ...     tournament.nonlinear_part,
    ...     meta_model=tournament.meta_model,
    ...     features=tournament.data,
    ...     eras=tournament.eras,
    ... ) > 0
    True
    """
    return score_predictions(
        partial(kernels.neutral_contribution, top_bottom=top_bottom),
        y_pred,
        one_column(meta_model, "meta_model", allow_nan=missing == "skip"),
        many_columns(features, "features"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )
