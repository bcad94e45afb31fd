"""The function corr_with()."""

from __future__ import annotations

from functools import partial

from sknumerai._frames import one_column
from sknumerai._kernels.correlation import CorrelationMethod, correlation_with
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import Aggregate, ArrayLike, Eras, Score
from sknumerai.metrics._per_era import AGGREGATE, MISSING, Missing, score_predictions


@validate_params(
    {
        "method": [StrOptions({"numerai", "pearson", "spearman"})],
        "aggregate": AGGREGATE,
        "missing": MISSING,
    },
    prefer_skip_nested_validation=True,
)
def corr_with(
    y_pred: ArrayLike,
    other: ArrayLike,
    *,
    eras: Eras | None = None,
    method: CorrelationMethod = "numerai",
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """Correlation of predictions with another prediction, per era; CWMM with the meta model.

    Numerai's correlation with the meta model (CWMM) is the Pearson correlation of the
    predictions' normal quantiles, raised to the power 1.5, with the meta model as published,
    neither gaussianized nor raised [1]_. It is not symmetric, and a prediction's own is below 1.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    other : array-like of shape (n_samples,)
        Meta model, example predictions or any other prediction of the same rows; finite.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    method : {"numerai", "pearson", "spearman"}, default="numerai"
        "numerai" as above, which depends on the scale of ``other``: pass ranks in (0, 1), which
        Numerai's meta model consists of. "pearson": of the values as they are. "spearman": of
        the ranks of both, ties sharing their average.
    missing : {"raise", "skip"}, default="raise"
        "skip" leaves out, with one warning that counts them, eras of which more
        than a fifth of the rows have nothing to compare to; other such rows are left out of their
        era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, in eras where one of the two is constant.

    Raises
    ------
    ValueError
        If values are not finite, or the tables do not fit together.

    Notes
    -----
    ``numerai-tools`` has no function for CWMM; the definition is Numerai's code as quoted in
    [1]_. "pearson" and "spearman" are its ``pearson_correlation`` and ``spearman_correlation``.

    References
    ----------
    .. [1] "CWMM lower than Numerai computation",
       https://forum.numer.ai/t/cwmm-lower-than-numerai-computation/7297

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import corr_with
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> predictions = tournament.frame[["example_predictions", "meta_model"]]
    >>> values = corr_with(
    ...     predictions, tournament.meta_model, eras=tournament.eras, method="spearman"
    ... )
    >>> bool(0 < values["example_predictions"] < values["meta_model"])
    True
    """
    return score_predictions(
        partial(correlation_with, method=method),
        y_pred,
        one_column(other, "other", allow_nan=missing == "skip"),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )
