"""The functions feature_exposure() and max_feature_exposure()."""

from __future__ import annotations

from functools import partial
from typing import Required, Unpack, overload

import pandas as pd

from sknumerai._frames import many_columns, n_dimensions
from sknumerai._kernels.exposure import exposures, max_exposures
from sknumerai._sklearn import validate_params
from sknumerai._typing import Aggregate, ArrayLike, Columns, Eras, OneColumn, Reducer, Score
from sknumerai.metrics._per_era import (
    AGGREGATE,
    TOP_BOTTOM,
    EraOptions,
    read_and_group,
    score_eras,
    score_predictions,
)


@validate_params({"top_bottom": TOP_BOTTOM}, prefer_skip_nested_validation=True)
def feature_exposure(
    y_pred: ArrayLike,
    *,
    features: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
) -> pd.DataFrame:
    """Feature exposures of predictions: their correlation with every feature, per era.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest. Two pandas indexes must
        be equal, or share no label.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Correlate over the lowest and highest ``top_bottom`` predictions of every era only.

    Returns
    -------
    exposures : DataFrame of shape (n_eras, n_features)
        Pearson correlations, in the order of the eras; zero for a feature that is constant in
        the era, NaN, with one warning, where the prediction is. For 2-D predictions the columns
        are a MultiIndex of prediction and feature.

    Raises
    ------
    ValueError
        If values are not finite, or predictions, features and eras do not fit together.

    See Also
    --------
    max_feature_exposure : The largest of them.

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import feature_exposure
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> feature_exposure(
    ...     tournament.meta_model, features=tournament.data, eras=tournament.eras
    ... ).shape
    (4, 10)
    """
    table = many_columns(features, "features")
    predictions, groups = read_and_group(y_pred, table, eras=eras)
    kernel = partial(exposures, top_bottom=top_bottom)
    per_era = score_eras(kernel, groups.sorted(), predictions, table)
    columns = [predictions.labels, table.labels]
    per_era.columns = (
        pd.Index(table.labels)
        if n_dimensions(y_pred) == 1
        else pd.MultiIndex.from_product(columns, names=["prediction", "feature"])
    )
    return per_era


class _Options(EraOptions, total=False):
    features: Required[ArrayLike]


@overload
def max_feature_exposure(
    y_pred: OneColumn, *, aggregate: Reducer = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def max_feature_exposure(
    y_pred: OneColumn, *, aggregate: None, **options: Unpack[_Options]
) -> pd.Series: ...
@overload
def max_feature_exposure(
    y_pred: Columns, *, aggregate: Aggregate = ..., **options: Unpack[_Options]
) -> Score: ...
@validate_params(
    {"top_bottom": TOP_BOTTOM, "aggregate": AGGREGATE}, prefer_skip_nested_validation=True
)
def max_feature_exposure(
    y_pred: ArrayLike,
    *,
    features: ArrayLike,
    eras: Eras | None = None,
    top_bottom: int | None = None,
    aggregate: Aggregate = "mean",
) -> Score:
    """Largest absolute feature exposure of predictions, per era.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest. Two pandas indexes must
        be equal, or share no label.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    top_bottom : int, optional
        Correlate over the lowest and highest ``top_bottom`` predictions of every era only.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.

    Raises
    ------
    ValueError
        If values are not finite, or predictions, features and eras do not fit together.

    See Also
    --------
    feature_exposure : All exposures.

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import max_feature_exposure
    >>> from sknumerai.neutralization import clip_exposure
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> data, eras = tournament.data, tournament.eras
    >>> clipped = clip_exposure(tournament.example_predictions, data, 0.05, eras=eras)
    >>> max_feature_exposure(clipped, features=data, eras=eras)
    0.05
    """
    kernel = partial(max_exposures, top_bottom=top_bottom)
    table = many_columns(features, "features")
    return score_predictions(kernel, y_pred, table, eras=eras, aggregate=aggregate)
