"""The function tune_files()."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import Array, Normalize, Source, Splitter
from sknumerai._warnings import warn_of_eras, warn_of_widened
from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.metrics._catalogue import PREDICTION
from sknumerai.neutralization._clip_exposure import CLIP_CONSTRAINTS, Bounds, OnInfeasible
from sknumerai.neutralization._exposure_settings import change_predictions
from sknumerai.neutralization._frontier import EraResults, Settings, make_frontier, make_splits
from sknumerai.streaming._scored_eras import ScoredEras, Tables, choose_metrics, score_era

__all__ = ["tune_files"]


@validate_params(
    {
        "proportions": ["array-like"],
        "limits": ["array-like"],
        "scoring": [str],
        "aggregate": [StrOptions({"mean", "sharpe"})],
        **{name: CLIP_CONSTRAINTS[name] for name in ("bounds", "normalize", "tol")},
        "on_infeasible": CLIP_CONSTRAINTS["on_infeasible"],
    },
    prefer_skip_nested_validation=True,
)
def tune_files(
    predictions: Source,
    targets: Source,
    features: Source,
    *,
    proportions: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    limits: Sequence[float] = (0.2, 0.1, 0.05),
    scoring: str = "numerai_corr",
    cv: Splitter | None = None,
    aggregate: Literal["mean", "sharpe"] = "sharpe",
    meta_model: Source | None = None,
    benchmark: Source | None = None,
    bounds: Bounds = "symmetric",
    normalize: Normalize = None,
    tol: float = 1e-9,
    on_infeasible: OnInfeasible = "raise",
    prediction_columns: str | Sequence[str] | None = None,
    target_column: str = "target",
    meta_model_column: str | None = None,
    benchmark_column: str | None = None,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    feature_columns: str | Sequence[str] | None = None,
    era_column: str = "era",
    executor: int | Executor | None = None,
    verbose: bool | int = False,
) -> pd.DataFrame:
    """Score and risk of a file's predictions, neutralized by proportions and clipped at limits.

    The numbers are those of `sknumerai.neutralization.tune_exposure`; memory holds a few eras of
    features, and the other tables.

    Parameters
    ----------
    predictions : str, path-like or sequence of these
        CSV, CSV.gz or parquet with the ids as column "id" or as index: a file, a list of files, a
        folder of parts or a glob. Rows in any order.
    targets : str, path-like or sequence of these
        Parquet with ids, eras and targets, likewise.
    features : str, path-like or sequence of these
        Parquet with ids, eras and features; it may be that of the targets.
    proportions, limits, cv, aggregate, bounds, normalize, tol, on_infeasible
        As in `tune_exposure`.
    scoring : str, default="numerai_corr"
        Name of a metric that scores one era at a time, and of which more is better.
    meta_model, benchmark : str, path-like or sequence of these, default=None
        Where ``scoring`` needs them; as in `score_files`.
    prediction_columns : str, default=None
        The one column of predictions. None means "prediction", else the only numeric column.
    target_column, meta_model_column, benchmark_column
        As in `score_files`.
    feature_set, features_json, feature_columns, era_column
        As in `clip_files`.
    executor : int, Executor or None, default=None
        Who computes, as in `clip_files`.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    table : DataFrame
        As `tune_exposure` returns it.

    Raises
    ------
    InfeasibleExposureError
        If a limit leaves nothing of the predictions in some era.
    ValueError, OSError
        If files cannot be read, or do not fit together.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    Warns
    -----
    UnscoredErasWarning
        If there are eras without targets, or without what ``scoring`` compares predictions to;
        it counts them.
    ConstantPredictionWarning
        If the prediction, or what a setting leaves of it, is constant in an era: its score and
        what follows from it is NaN.

    See Also
    --------
    sknumerai.neutralization.tune_exposure : The same in memory.
    sknumerai.inspection.ExposureFrontierDisplay : Plots the table.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import write_tournament
    >>> from sknumerai.streaming import tune_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=9, n_stocks=50, n_features=9, random_state=0)
    ...     table = tune_files(
    ...         paths.validation_example_preds,
    ...         paths.validation,
    ...         paths.validation,
    ...         proportions=[0.5],
    ...         limits=[0.1],
    ...     )
    >>> table.index.tolist()
    ['none', 'proportion 0.5', 'limit 0.1']
    """
    settings = Settings.read(proportions, limits)
    if cv is not None and not hasattr(cv, "split"):
        raise ValueError(f"cv={cv!r} is no splitter; pass one such as PurgedEraKFold(5).")
    given = {"features": features, "meta_model": meta_model, "benchmark": benchmark}
    there = [name for name, file in given.items() if file is not None]
    choose_metrics([scoring], there, argument="scoring")
    if scoring == "max_exposure":
        raise ValueError(
            "scoring='max_exposure' is the risk, which the table has anyway; name a score such as "
            "'numerai_corr'."
        )
    eras = ScoredEras(
        predictions,
        targets,
        **given,
        prediction_columns=prediction_columns,
        target_column=target_column,
        meta_model_column=meta_model_column,
        benchmark_column=benchmark_column,
        feature_set=feature_set,
        features_json=features_json,
        feature_columns=feature_columns,
        era_column=era_column,
    )
    if len(eras.predicted) > 1:
        names = ", ".join(map(repr, eras.predicted))
        raise ValueError(f"predictions has the columns {names}; name one, prediction_columns=.")
    kernel = partial(
        tune_era,
        scoring=scoring,
        proportions=settings.proportions,
        limits=settings.limits,
        bounds=bounds,
        normalize=normalize,
        tol=tol,
        widen=on_infeasible == "warn",
    )
    labels = eras.rows.labels
    if cv is not None:  # fails before the work
        make_splits(cv, labels, target_column)
    found = eras.compute(kernel, executor=executor, verbose=verbose)
    warn_of_widened({era: of.multiple for era, of in zip(labels, found, strict=True)})
    scored = [i for i, of in enumerate(found) if of.scores is not None]
    unscored = sorted(set(range(len(found))) - set(scored))
    for problem, lacking in (
        ("no row has a target", eras.rows.without_targets),
        (f"too many rows lack what {scoring!r} needs", [labels[i] for i in unscored]),
    ):
        warn_of_eras(f"{problem}: they are not scored.", lacking, UnscoredErasWarning)
    if not scored:
        raise ValueError(f"None of the {len(found)} eras has what {scoring!r} needs.")
    results = EraResults(
        np.array([found[i].scores for i in scored]),
        np.array([found[i].max_exposures for i in scored]),
        np.array([found[i].correlations for i in scored]),
    )
    labels = [labels[i] for i in scored]
    warn_of_eras(
        "the prediction, or what a setting leaves of it, is constant, so that figures are NaN.",
        [labels[i] for i in np.flatnonzero(np.isnan(results.scores).any(axis=1))],
        ConstantPredictionWarning,
    )
    frontier = make_frontier(results, settings, labels, cv, aggregate, target_column)
    frontier.attrs["scoring"] = scoring
    return frontier


class TunedEra(NamedTuple):
    """What settings make of the prediction of one era, each of shape (n_settings,).

    Scores are None where the era lacks a table that they need.
    """

    scores: Array | None
    max_exposures: Array
    correlations: Array
    multiple: float


def tune_era(tables: Tables, features: Array, *, scoring: str, **options: Any) -> TunedEra:
    """Change the prediction of an era and score it; options are those of `change_predictions`."""
    predictions = np.asfortranarray(tables[PREDICTION])
    changed = change_predictions(predictions, features, **options)
    scores = score_era({**tables, PREDICTION: changed.values}, features, metrics=[scoring])
    return TunedEra(
        scores.get(scoring), changed.max_exposures, changed.correlations, changed.multiple
    )
