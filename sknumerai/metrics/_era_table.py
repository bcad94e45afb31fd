"""The function era_table()."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from tqdm.auto import tqdm

from sknumerai._eras import group_eras
from sknumerai._frames import n_dimensions
from sknumerai._kernels.correlation import MAX_MISSING_TARGETS
from sknumerai._rows import check_same_labels
from sknumerai._typing import ArrayLike, Eras, ScoreFunction
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import MissingErasError, UnscoredErasWarning
from sknumerai.metrics._catalogue import METRICS, PREDICTION, TARGET
from sknumerai.metrics._per_era import read_targets

Function = Callable[..., Any]
REFERENCES = ("meta_model", "benchmark")  # which eras may lack
TABLES = (TARGET, "features", "meta_model", "benchmark", "example_predictions")


def era_table(
    y_true: ArrayLike | None,
    y_pred: ArrayLike,
    *,
    eras: Eras,
    metrics: Sequence[str | ScoreFunction] | Mapping[str, str | ScoreFunction] | None = None,
    features: ArrayLike | None = None,
    meta_model: ArrayLike | None = None,
    benchmark: ArrayLike | None = None,
    example_predictions: ArrayLike | None = None,
    n_jobs: int | None = None,
    verbose: bool | int = False,
) -> pd.DataFrame:
    """Table of several scores of predictions, per era.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or None
        Targets. Up to a fifth of an era's targets may be NaN. Eras in which no row has one, such
        as the latest, are left out of the table. None leaves out the scores that need targets.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    eras : array-like of shape (n_samples,) or scalar
        Era of every row.
    metrics : list or dict, optional
        Names of scores, or score functions, or a dict of both by the name of the column. None
        takes all names whose tables are given:

        - "numerai_corr": `numerai_corr`.
        - "fnc": `feature_neutral_corr`; needs ``features``.
        - "mmc", "bmc": `meta_model_contribution`; need ``meta_model`` and ``benchmark``.
        - "cwmm": `corr_with` the ``meta_model``.
        - "max_exposure": `max_feature_exposure`; needs ``features``.
        - "exposure_dissimilarity": `exposure_dissimilarity`; needs ``features`` and
          ``example_predictions``.

        By name only: "numerai_corr_tb200" and "fnc_tb200", those of the 200 lowest and highest
        predictions; "neutral_corr" and "neutral_contribution"; "payout", the `payout_score` by
        the newest rules.

        A function gets those of ``y_true``, ``y_pred``, ``eras``, ``features``, ``meta_model``,
        ``benchmark`` and ``example_predictions`` that its signature names, and
        ``aggregate=None`` if it names that; it returns scores per era, as the metrics of this
        package do.
    features : array-like or DataFrame of shape (n_samples, n_features), optional
        Features of the same rows, in their own dtype; int8 is fastest.
    meta_model, benchmark, example_predictions : array-like of shape (n_samples,), optional
        Other predictions of the same rows.
    n_jobs : int, optional
        Eras computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show a progress bar over the metrics.

    Returns
    -------
    table : DataFrame of shape (n_eras, n_metrics)
        In the order of the eras. For 2-D predictions the columns are a MultiIndex of prediction
        and metric. Scores are NaN in eras that the meta model or benchmark lacks, for all rows or
        more than a fifth of them. ``attrs`` have the labels of eras "without_targets", which are
        not in the table, "without_meta_model" and "without_benchmark".

    Warns
    -----
    UnscoredErasWarning
        If there are such eras; it counts them.

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If a metric is unknown or lacks a table, or as the metrics raise.

    See Also
    --------
    score_summary : Statistics of the table.

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import era_table
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> table = era_table(
    ...     tournament.target,
    ...     tournament.example_predictions,
    ...     eras=tournament.eras,
    ...     features=tournament.data,
    ...     meta_model=tournament.meta_model,
    ... )
    >>> table.columns.tolist()
    ['numerai_corr', 'fnc', 'mmc', 'cwmm', 'max_exposure']
    """
    if eras is None:
        raise MissingErasError("eras is None; pass one era per row (or a scalar for one era).")
    given = {
        TARGET: y_true,
        "features": features,
        "meta_model": meta_model,
        "benchmark": benchmark,
        "example_predictions": example_predictions,
    }
    tables = {name: table for name, table in given.items() if table is not None}
    functions = _functions(metrics, set(tables))
    check_same_labels(y_pred=y_pred, eras=eras, **tables)
    several = n_dimensions(y_pred) > 1
    progress = tqdm(functions.items(), unit="metric", disable=not verbose)
    with warnings.catch_warnings(record=True) as caught, parallel_config(n_jobs=n_jobs):
        warnings.simplefilter("always")
        tables[PREDICTION] = y_pred
        scores = {name: function(tables, eras=eras) for name, function in progress}
    without = [] if y_true is None else _eras_without_targets(y_true, eras)
    longest = max(scores, key=lambda name: len(scores[name]))
    index = scores[longest].index
    index = index[~index.isin(without)]
    table = _tabulate({name: score.reindex(index) for name, score in scores.items()}, several)
    table.attrs["without_targets"] = without
    for reference in REFERENCES:
        lacking = [
            [era for era in index if era not in score.index]
            for name, score in scores.items()
            if name in METRICS and reference in METRICS[name].tables
        ]
        table.attrs[f"without_{reference}"] = max(lacking, key=len, default=[])
    named = all(name in METRICS for name in scores)
    _warn_once([w for w in caught if not (named and w.category is UnscoredErasWarning)])
    if named:  # what each of the metrics said, once for all
        warn_of_unscored(table.attrs)
    return table


def warn_of_unscored(found: Mapping[Any, Any]) -> None:
    """Count the eras that are not scored, by the attributes of a table of scores."""
    warn_of_eras(
        "no row has a target: the table lacks them.", found["without_targets"], UnscoredErasWarning
    )
    for reference in REFERENCES:
        problem = (
            f"more than {MAX_MISSING_TARGETS:.0%} of the rows have no {reference}: what needs it "
            "is not scored."
        )
        warn_of_eras(problem, found[f"without_{reference}"], UnscoredErasWarning)


def _tabulate(scores: dict[str, Any], several: bool) -> pd.DataFrame:
    """Metrics as columns, or predictions and metrics."""
    if not several:
        return pd.DataFrame(scores)
    names = ["prediction", "metric"]
    table: pd.DataFrame = pd.concat(scores, axis=1, names=names[::-1]).swaplevel(axis=1)
    columns = next(iter(scores.values())).columns
    return table[pd.MultiIndex.from_product([columns, scores], names=names)]


def _eras_without_targets(y_true: ArrayLike, eras: Eras) -> list[Any]:
    """Labels of the eras in which no row has a target."""
    targets = read_targets(y_true)
    groups = group_eras(eras, targets.n_rows)
    return [
        label
        for label, rows in zip(groups.labels, groups.rows, strict=True)
        if np.isnan(targets.rows(rows)).all()
    ]


def _functions(metrics: Any, given: set[str]) -> dict[str, Function]:
    """The metrics by the names of their columns, as functions of all tables and the eras."""
    if metrics is None:
        metrics = [
            name for name, metric in METRICS.items() if metric.default and metric.needs_only(given)
        ]
        if not metrics:
            raise ValueError("No score can be computed of y_pred alone; pass y_true or features.")
    if not isinstance(metrics, Mapping):
        if isinstance(metrics, str):
            raise ValueError(f"metrics must be a list or a dict; pass [{metrics!r}].")
        metrics = _by_name(list(metrics))
    if not metrics:
        raise ValueError("metrics is empty; name at least one.")
    return {
        str(column): _named(metric, given) if isinstance(metric, str) else _custom(metric)
        for column, metric in metrics.items()
    }


def _by_name(metrics: list[Any]) -> dict[str, Any]:
    """Metrics of a list by their names, which must differ."""
    named: dict[str, Any] = {}
    for metric in metrics:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", None)
        if name is None:
            raise ValueError(f"The metric {metric!r} has no name; pass a dict of names to metrics.")
        if name in named:
            raise ValueError(f"metrics names {name!r} twice; pass a dict of names to metrics.")
        named[name] = metric
    return named


def _named(name: str, given: set[str]) -> Function:
    known = [name for name, metric in METRICS.items() if metric.needs_only(TABLES)]
    if name not in known:
        raise ValueError(f"metrics names {name!r}; known are {', '.join(known)}.")
    metric = METRICS[name]
    missing = [table for table in metric.tables if table not in {PREDICTION, *given}]
    if missing:
        raise ValueError(f"The metric {name!r} needs {missing[0]}; pass {missing[0]}=...")
    options: dict[str, Any] = (
        {"missing": "skip"} if "missing" in signature(metric.function).parameters else {}
    )
    return partial(metric.score, aggregate=None, **options)


def _custom(function: Function) -> Function:
    names = signature(function).parameters
    if "eras" not in names:
        raise ValueError(
            f"The metric {getattr(function, '__name__', function)!r} has no argument eras; pass a "
            "function of y_true, y_pred and eras that returns scores per era."
        )
    options = {"aggregate": None} if "aggregate" in names else {}

    def score(tables: Mapping[str, Any], *, eras: Eras) -> Any:
        given = {name: table for name, table in tables.items() if name in names}
        return function(**given, eras=eras, **options)

    return score


def _warn_once(caught: Sequence[warnings.WarningMessage]) -> None:
    """Issue every warning once, though several metrics meet the same constant prediction."""
    for _, warning in {(str(w.message), w.category): w for w in caught}.items():
        warnings.warn(warning.message, warning.category, stacklevel=3)
