"""The function era_eval_metric()."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sknumerai._typing import ArrayLike, Eras, Reducer, ScoreFunction
from sknumerai.boosting._era_score import EraScore
from sknumerai.boosting._evaluation_sets import read_sets
from sknumerai.boosting._library_metrics import EraEvalMetric, make_metric

Library = Literal["lightgbm", "xgboost", "catboost", "scikit-learn"]
LIBRARIES = ("lightgbm", "xgboost", "catboost", "scikit-learn")
OF_TRAINING_ROWS = ("catboost", "scikit-learn")  # these evaluate rows of the training, too, first

OfSets = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]


def era_eval_metric(
    score: str | ScoreFunction,
    *,
    eras: Eras | Sequence[Eras] | Mapping[str, Eras],
    library: Library = "lightgbm",
    aggregate: Reducer = "mean",
    greater_is_better: bool | None = None,
    y_true: OfSets | None = None,
    **metadata: OfSets,
) -> EraEvalMetric:
    """Metric of eras for the curves and the early stopping of boosting.

    The libraries know predictions and targets, and no eras: these are bound beforehand, for every
    evaluation set. Ranks of targets and meta model, and factors of features, are computed once;
    an evaluation of CORR or MMC costs one sort of the predictions of every era.

    Parameters
    ----------
    score : str or callable
        Name of a metric, such as "numerai_corr", "fnc" or "mmc"; a function of
        `sknumerai.metrics`; or a function of your own, which gets what its signature names, as in
        `make_era_scorer`, and costs what it costs: nothing is prepared for it.
    eras : array-like of shape (n_samples,), or list or dict of such
        Era of every row of the evaluation set, in the order of its rows. For several evaluation
        sets a list of labels, or a dict of names and labels.
    library : {"lightgbm", "xgboost", "catboost", "scikit-learn"}, default="lightgbm"
        Whose metric it is to be.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"} or callable, default="mean"
        How the scores of the eras become one; see `numerai_corr`. A callable gets a Series.
    greater_is_better : bool, optional
        For a function of your own. By default yes, and as it is known of the other metrics.
    y_true : array-like of shape (n_samples,), or list or dict of such, optional
        Targets of the evaluation sets. Required where two sets have the same number of rows, or,
        with CatBoost and scikit-learn, a set has as many as the training: the libraries say by
        nothing else which rows they evaluate. Given, all targets that are evaluated must be among
        them, but for those of training rows. Pass them, too, where targets are NaN: LightGBM
        makes 0 of NaN before a metric sees it, and a row without target would count as 0.
    **metadata : array-like or DataFrame, or list or dict of such
        What else the score needs of the same rows, such as ``features`` or ``meta_model``
        (``benchmark`` for "bmc").

    Returns
    -------
    metric : object
        For the argument ``eval_metric`` of

        - LightGBM's `fit`, or the ``feval`` of `lightgbm.train`: returns name, value and whether
          greater is better;
        - the constructor of XGBoost's estimators, or the ``custom_metric`` of `xgboost.train`:
          less is better, so that the score changes its sign and is called "neg_numerai_corr",
          and early stopping needs no ``maximize``;
        - the constructor of CatBoost's estimators;

        and for ``scoring`` of `HistGradientBoostingRegressor`.

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If an argument is unknown, a table is missing, the tables do not fit together or evaluation
        sets cannot be told apart; and, during the training, if rows are evaluated that have no
        eras or cannot be told apart from the training rows, an era may have no target, or
        predictions are not finite.

    Warns
    -----
    UnscoredErasWarning
        If eras are left out because ``y_true`` has no target of them.

    See Also
    --------
    sknumerai.metrics.make_era_scorer : The same for model selection.

    Notes
    -----
    Values are those of the metrics of `sknumerai.metrics` for the targets in the single precision
    that the libraries keep them in, or for ``y_true``. The difference is in the details:

    - A score is NaN while a prediction is constant in an era, as after the first rounds it may
      be. Early stopping cannot compare NaN: such a round counts as the worst possible, infinite
      (1e30 for CatBoost, which cannot write infinity).
    - XGBoost rounds values of custom metrics to six decimals.
    - Weights of the evaluation rows are ignored, as by all scores of the tournament.
    - CatBoost and scikit-learn evaluate rows of the training, too, in an order of their own. These
      have no eras and get 0, and NaN from scikit-learn. Eras of training rows need ``y_true``.
    - Without ``y_true`` a metric remembers the first targets that it evaluates, and refuses others
      of as many rows: make one for each training.
    - LightGBM stops early by all metrics, its own loss included: ``metric="None"`` leaves this one.
    - XGBoost, CatBoost and scikit-learn keep the metric, tables included, as a parameter of the
      model, which is pickled with it: ``model.set_params(eval_metric=None)`` drops it from an
      XGBoost model, and ``save_model`` writes one of CatBoost without it.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.boosting import era_eval_metric
    >>> rng = np.random.default_rng(0)
    >>> eras = np.repeat(["0001", "0002"], 100)
    >>> targets = rng.normal(size=200)
    >>> metric = era_eval_metric("numerai_corr", eras=eras)
    >>> metric(targets, targets + rng.normal(size=200))  # as LightGBM calls it
    ('numerai_corr', 0.6..., True)
    """
    if library not in LIBRARIES:
        raise ValueError(f"library is {library!r}; pass one of {', '.join(LIBRARIES)}.")
    wanted = EraScore(score, aggregate, greater_is_better)
    sets: Any = read_sets(
        wanted,
        eras,
        y_true,
        dict(metadata),
        training_rows=library in OF_TRAINING_ROWS,
        nan_becomes_zero=library == "lightgbm",
    )
    return make_metric(library, wanted, sets)
