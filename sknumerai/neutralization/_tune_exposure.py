"""The function tune_exposure()."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups, group_tables
from sknumerai._frames import like_input, many_columns, one_column, read_predictions
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import ArrayLike, Eras, Normalize, ScoreFunction, Splitter
from sknumerai._warnings import callers_level, warn_of_eras, warn_of_widened
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import era_table
from sknumerai.neutralization._clip_exposure import CLIP_CONSTRAINTS, Bounds, OnInfeasible
from sknumerai.neutralization._exposure_settings import change_predictions
from sknumerai.neutralization._frontier import EraResults, Settings, make_frontier, make_splits


@validate_params(
    {
        "proportions": ["array-like"],
        "limits": ["array-like"],
        "scoring": [str, callable],
        "aggregate": [StrOptions({"mean", "sharpe"})],
        **{name: CLIP_CONSTRAINTS[name] for name in ("bounds", "normalize", "tol")},
        "on_infeasible": CLIP_CONSTRAINTS["on_infeasible"],
    },
    prefer_skip_nested_validation=True,
)
def tune_exposure(
    predictions: ArrayLike,
    y: ArrayLike,
    *,
    features: ArrayLike,
    eras: Eras,
    proportions: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    limits: Sequence[float] = (0.2, 0.1, 0.05),
    scoring: str | ScoreFunction = "numerai_corr",
    cv: Splitter | None = None,
    aggregate: Literal["mean", "sharpe"] = "sharpe",
    meta_model: ArrayLike | None = None,
    benchmark: ArrayLike | None = None,
    example_predictions: ArrayLike | None = None,
    bounds: Bounds = "symmetric",
    normalize: Normalize = None,
    tol: float = 1e-9,
    on_infeasible: OnInfeasible = "raise",
    n_jobs: int | None = None,
    verbose: bool | int = False,
) -> pd.DataFrame:
    """Score and risk of predictions that are neutralized by proportions and clipped at limits.

    For predictions that exist already, best those of eras that no model was trained on. One
    factorization of an era's features serves all proportions, and each limit starts from the
    solution at the one before, so that the table costs little more than one neutralization and
    one clipping.

    Parameters
    ----------
    predictions : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, 1)
        Finite numbers.
    y : array-like of shape (n_samples,)
        Targets; as `sknumerai.metrics.era_table` takes them.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest.
    eras : array-like of shape (n_samples,)
        Era of every row. Required, and in an order that is known.
    proportions : sequence of float, default=(0, 0.25, 0.5, 0.75, 1)
        Shares of the linear part to remove, in [0, 1]; see `neutralize`. The unchanged
        predictions are always compared, as 0 or as "none".
    limits : sequence of float, default=(0.2, 0.1, 0.05)
        Largest absolute exposures, in [0, 1]; see `clip_exposure`.
    scoring : str or callable, default="numerai_corr"
        A name or function that `sknumerai.metrics.era_table` knows, of which more is better.
    cv : splitter, optional
        An era splitter such as `sknumerai.model_selection.PurgedEraKFold`, which gets one row
        per era. On each training part the setting of the best score is chosen, and scored on the
        test part. Without, all figures are of the eras that a choice would be made on, and the
        best of them promises too much.
    aggregate : {"mean", "sharpe"}, default="sharpe"
        What is best, with ``cv``. The mean alone often speaks against any change.
    meta_model, benchmark, example_predictions : array-like of shape (n_samples,), optional
        Where ``scoring`` needs them.
    bounds : {"symmetric", "shrink"}, default="symmetric"
        As in `clip_exposure`.
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before all else, as in `neutralize`; "none" is the normalized prediction, too.
    tol, on_infeasible
        As in `clip_exposure`.
    n_jobs : int, optional
        Eras computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show progress bars.

    Returns
    -------
    table : DataFrame
        One row per setting: "none", "proportion 0.25" and the like, "limit 0.2" and the like.
        Columns, over the eras that are scored:

        - proportion, limit: the setting as numbers; NaN where it has none.
        - mean, std, sharpe: of the scores (ddof=0).
        - mean_exposure, worst_exposure: mean and largest, over eras, of an era's largest
          absolute exposure.
        - correlation: mean Pearson correlation with the unchanged prediction.

        With ``cv``, over the eras that are tested, there is the last row "selected", the test
        parts under what was chosen for each (an era counts once for each split that tests it),
        and the column n_selected, the number of splits that chose the setting.

        ``table.attrs`` has "scoring", a name, "n_eras", their number, and "splits", one dict per
        split, of which ``pandas.DataFrame(table.attrs["splits"])`` makes a table: n_train_eras,
        n_test_eras, first_test_era, last_test_era, selected, train_score, test_score and
        none_test_score, the last three aggregated.

    Raises
    ------
    MissingErasError
        If there are no eras.
    InfeasibleExposureError
        If a limit leaves nothing of the predictions in some era.
    ValueError
        If a proportion or a limit is outside [0, 1], values are not finite, the tables do not
        fit together, or as scores and splitters raise.

    Warns
    -----
    ConstantPredictionWarning
        If the prediction, or what a setting leaves of it, is constant in an era: its score and
        what follows from it is NaN.

    See Also
    --------
    sknumerai.inspection.ExposureFrontierDisplay : Plots the table.
    FeatureNeutralizer, ExposureClipper : Apply a setting.

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.model_selection import PurgedEraKFold
    >>> from sknumerai.neutralization import tune_exposure
    >>> tournament = make_tournament(
    ...     n_eras=60, n_stocks=300, n_features=20, linear_risk=0.08, random_state=2
    ... )
    >>> table = tune_exposure(
    ...     tournament.example_predictions,
    ...     tournament.target,
    ...     features=tournament.data,
    ...     eras=tournament.eras,
    ...     proportions=[0.5, 1.0],
    ...     limits=[0.1],
    ...     cv=PurgedEraKFold(4),
    ... )
    >>> table[["sharpe", "mean_exposure", "n_selected"]].round(2)
                    sharpe  mean_exposure  n_selected
    setting
    none              0.50           0.29           1
    proportion 0.5    0.47           0.17           1
    proportion 1.0    0.42           0.00           0
    limit 0.1         0.49           0.10           2
    selected          0.38           0.16           4

    Here a choice by other eras does worse than any fixed setting but one.
    """
    if eras is None:
        raise MissingErasError("eras is None; pass one era per row, since scores are of eras.")
    if scoring == "max_exposure":
        raise ValueError(
            "scoring='max_exposure' is the risk, which the table has anyway; name a score such as "
            "'numerai_corr'."
        )
    if cv is not None and not hasattr(cv, "split"):
        raise ValueError(f"cv={cv!r} is no splitter; pass one such as PurgedEraKFold(5).")
    settings = Settings.read(proportions, limits)
    table, chosen = one_column(predictions, "predictions"), many_columns(features, "features")
    targets = one_column(y, "y", allow_nan=True)
    groups = group_tables(eras, table, chosen, targets).sorted()
    values = read_predictions(table, groups)
    score = partial(
        _score,
        groups=groups,
        y=y,
        eras=eras,
        features=features,
        scoring=scoring,
        meta_model=meta_model,
        benchmark=benchmark,
        example_predictions=example_predictions,
        n_jobs=n_jobs,
    )
    container = predictions if table.names is not None else table.frame  # of two dimensions
    # fails, and warns, before the work
    first = score(like_input(values.whole(), container, [settings.names[0]]))
    target_name = None if targets.names is None else targets.names[0]
    if cv is not None:
        make_splits(cv, list(first.index), target_name)
    kernel = partial(
        change_predictions,
        proportions=settings.proportions,
        limits=settings.limits,
        bounds=bounds,
        normalize=normalize,
        tol=tol,
        widen=on_infeasible == "warn",
    )
    changed = map_eras(kernel, groups, values, chosen, n_jobs=n_jobs, verbose=verbose)
    warn_of_widened({era: of.multiple for era, of in zip(groups.labels, changed, strict=True)})
    correlations = np.array([of.correlations for of in changed])
    unwarned = first.iloc[:, 0].reindex(groups.labels).notna().to_numpy()
    warn_of_eras(
        "a setting leaves nothing of the prediction, so that its figures are NaN.",
        [groups.labels[i] for i in np.flatnonzero(np.isnan(correlations).any(axis=1) & unwarned)],
        ConstantPredictionWarning,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = score(
            like_input(groups.assemble(of.values for of in changed), container, settings.names)
        )
    scored = pd.Index(groups.labels).get_indexer(scores.index)
    results = EraResults(
        scores.to_numpy(),
        np.array([of.max_exposures for of in changed])[scored],
        correlations[scored],
    )
    frontier = make_frontier(results, settings, list(scores.index), cv, aggregate, target_name)
    frontier.attrs["scoring"] = scores.columns[0][-1]
    return frontier


def _score(
    y_pred: Any, *, groups: EraGroups, y: ArrayLike, scoring: str | ScoreFunction, **options: Any
) -> pd.DataFrame:
    """Scores of eras and settings; warnings point at the caller of this package."""
    metrics: Any = [scoring]
    if not isinstance(scoring, str):
        metrics = {getattr(scoring, "__name__", "score"): scoring}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = era_table(y, y_pred, metrics=metrics, **options)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=callers_level())
    unique = scores.index.is_unique and scores.index.isin(groups.labels).all()
    if not unique or scores.shape[1] != y_pred.shape[1]:
        raise ValueError(
            f"scoring={scoring!r} gives {len(scores)} rows and {scores.shape[1]} columns for "
            f"{len(groups)} eras and {y_pred.shape[1]} predictions; return a DataFrame of those, "
            "indexed by era."
        )
    return scores
