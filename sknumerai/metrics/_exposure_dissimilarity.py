"""The function exposure_dissimilarity()."""

from __future__ import annotations

from sknumerai._frames import many_columns, one_column
from sknumerai._kernels.exposure import dissimilarities
from sknumerai._sklearn import validate_params
from sknumerai._typing import Aggregate, ArrayLike, Eras, Score
from sknumerai.metrics._per_era import AGGREGATE, score_predictions


@validate_params({"aggregate": AGGREGATE}, prefer_skip_nested_validation=True)
def exposure_dissimilarity(
    y_pred: ArrayLike,
    *,
    example_predictions: ArrayLike,
    features: ArrayLike,
    eras: Eras | None = None,
    aggregate: Aggregate = "mean",
) -> Score:
    """How unlike the feature exposures of predictions are to the example's, per era.

    With U the feature exposures of a prediction and E those of the example predictions:
    1 - U·E / E·E. It is 0 for the example predictions themselves, 1 for a prediction without
    exposure, or with an orthogonal one, and 2 for the example's opposite [1]_.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    example_predictions : array-like of shape (n_samples,)
        Example predictions of the same rows; finite.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, in eras where a prediction or the example is constant.

    Raises
    ------
    ValueError
        If values are not finite, or the tables do not fit together.

    References
    ----------
    .. [1] "True Contribution details", https://forum.numer.ai/t/true-contribution-details/5128

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import exposure_dissimilarity
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> example = tournament.example_predictions
    >>> values = exposure_dissimilarity(
    ...     tournament.frame[["example_predictions", "meta_model"]],
    ...     example_predictions=example,
    ...     features=tournament.data,
    ...     eras=tournament.eras,
    ... )
    >>> abs(values.round(6)).eq(0.0).tolist()
    [True, False]
    """
    return score_predictions(
        dissimilarities,
        y_pred,
        one_column(example_predictions, "example_predictions"),
        many_columns(features, "features"),
        eras=eras,
        aggregate=aggregate,
    )
