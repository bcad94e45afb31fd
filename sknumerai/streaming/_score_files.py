"""The function score_files()."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._eras import name_era
from sknumerai._typing import Array, Source
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.metrics._catalogue import METRICS, PREDICTION, TARGET
from sknumerai.streaming._execution import EraTask, compute
from sknumerai.streaming._feature_source import FeatureChoice, FeatureSource, Matched
from sknumerai.streaming._ids import Ids
from sknumerai.streaming._row_source import Reading, RowSource
from sknumerai.streaming._scored_rows import (
    ScoredRows,
    bring_together,
    read_reference,
    read_targets,
)
from sknumerai.streaming._whole_table import Predictions

__all__ = ["score_files"]


def score_files(
    predictions: Source,
    targets: Source,
    *,
    features: Source | None = None,
    meta_model: Source | None = None,
    benchmark: Source | None = None,
    metrics: Sequence[str] | None = None,
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
    """Score the predictions of a file era by era, with all metrics that the files given allow.

    The numbers are those of `sknumerai.metrics.era_table`; memory holds a few eras of features,
    and the other tables.

    Parameters
    ----------
    predictions : str, path-like or sequence of these
        CSV, CSV.gz or parquet with the ids as column "id" or as index: a file, a list of files, a
        folder of parts or a glob. Rows in any order.
    targets : str, path-like or sequence of these
        Parquet with ids, eras and targets, likewise; its features are not read.
    features : str, path-like or sequence of these, default=None
        Parquet with ids, eras and features, for FNC and exposures; it may be that of the targets.
    meta_model, benchmark : str, path-like or sequence of these, default=None
        CSV, CSV.gz or parquet, for MMC and BMC. Eras that they lack have none; other rows are
        ignored.
    metrics : sequence of str, default=None
        Names of metrics, as in `era_table`, that score one era at a time. None means all default
        ones whose tables are given.
    prediction_columns : str or sequence of str, default=None
        None means "prediction" if there is one, else all numeric columns but the eras.
    target_column : str, default="target"
        NaN where there is no target. Eras without any are left out.
    meta_model_column, benchmark_column : str, default=None
        None means "prediction", else the only numeric column.
    feature_set, features_json, feature_columns, era_column
        As in `clip_files`.
    executor : int, Executor or None, default=None
        Who computes, as in `clip_files`. Without features it is this process.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    table : DataFrame of shape (n_eras, n_metrics) or (n_eras, n_predictions * n_metrics)
        As `era_table`: eras in their order; columns are metrics, or predictions and metrics where
        the file has several predictions. NaN in eras that the meta model or benchmark lacks. Its
        ``attrs`` have "n_rows", "n_features", and the labels of the eras "without_targets", which
        are not in the table, "without_meta_model" and "without_benchmark".

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or do not fit together.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    Warns
    -----
    UnscoredErasWarning
        If there are eras without targets; it counts them.
    ConstantPredictionWarning
        If a prediction, what it is compared to or what neutralization leaves of it is constant in
        an era: the score is NaN there.

    See Also
    --------
    sknumerai.metrics.era_table : The same in memory.
    sknumerai.metrics.score_summary : Statistics of the table.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import write_tournament
    >>> from sknumerai.streaming import score_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=9, n_stocks=50, n_features=9, random_state=0)
    ...     table = score_files(
    ...         paths.validation_example_preds, paths.validation, features=paths.validation
    ...     )
    >>> table.columns.tolist()
    ['numerai_corr', 'fnc', 'max_exposure']
    """
    choice = FeatureChoice(feature_set, features_json, feature_columns)
    for argument, value, needs, given_too in (
        ("feature_set", feature_set, "features", features),
        ("features_json", features_json, "features", features),
        ("feature_columns", feature_columns, "features", features),
        ("meta_model_column", meta_model_column, "meta_model", meta_model),
        ("benchmark_column", benchmark_column, "benchmark", benchmark),
    ):
        if value is not None and given_too is None:
            raise ValueError(f"{argument}= is of use with {needs}= only; pass that, too.")
    given = {"features": features, "meta_model": meta_model, "benchmark": benchmark}
    names = _choose_metrics(metrics, [name for name, file in given.items() if file is not None])
    source = (
        None if features is None else FeatureSource(features, choice, era_column, eras="always")
    )
    own = Predictions(predictions, prediction_columns, era_column)
    references = {
        name: read_reference(file, name, column, era_column)
        for name, file, column in (
            ("meta_model", meta_model, meta_model_column),
            ("benchmark", benchmark, benchmark_column),
        )
        if file is not None
    }
    goal = RowSource(targets, "targets", era_column, eras="optional")
    rows, ids = bring_together(own, *read_targets(goal, target_column, era_column), references)
    predicted = own.names
    if source is not None and features == targets:
        source.ids = goal.ids  # which need not be read twice, nor kept
    del own, goal, references
    order, task = _task(rows, ids, source)
    del ids
    kernel = partial(score_era, metrics=names)
    scores: list[dict[str, Array]] = [{}] * len(order)
    with closing(compute(kernel, task, executor=executor, verbose=verbose)) as stream:
        for i, result in zip(order, stream, strict=True):
            scores[i] = result
    warn_of_eras(
        "no row has a target: they are not scored.", rows.without_targets, UnscoredErasWarning
    )
    table = _tabulate(scores, rows.labels, predicted, names)
    table.attrs = {
        "n_rows": len(rows.targets),
        "n_features": 0 if source is None else len(source.names),
        "without_targets": rows.without_targets,
        "without_meta_model": rows.without("meta_model") if meta_model is not None else [],
        "without_benchmark": rows.without("benchmark") if benchmark is not None else [],
    }
    return table


def score_era(
    tables: Mapping[str, Array | None], features: Array | None = None, *, metrics: Sequence[str]
) -> dict[str, Array]:
    """Metrics of one era whose tables are there, each of shape (n_predictions,)."""
    given = {name: table for name, table in tables.items() if table is not None}
    if features is not None:
        given["features"] = features
    chosen = (METRICS[name] for name in metrics)
    return {metric.name: metric.score_era(given) for metric in chosen if metric.needs_only(given)}


def _choose_metrics(metrics: Sequence[str] | None, given: list[str]) -> list[str]:
    """Names of metrics that score one era, and whose tables are given."""
    known = {
        name: metric
        for name, metric in METRICS.items()
        if metric.kernel is not None
        and metric.needs_only([TARGET, "features", "meta_model", "benchmark"])
    }
    if metrics is None:
        return [
            name
            for name, metric in known.items()
            if metric.default and metric.needs_only([TARGET, *given])
        ]
    if isinstance(metrics, str) or not len(metrics):
        raise ValueError(f"metrics={metrics!r} must be a list of at least one name.")
    for name in metrics:
        if name not in known:
            raise ValueError(f"metrics= names {name!r}; known are {', '.join(known)}.")
        missing = set(known[name].tables) - {TARGET, PREDICTION, *given}
        if missing:
            raise ValueError(f"The metric {name!r} needs {min(missing)}=; pass that, too.")
    return list(dict.fromkeys(metrics))


def _task(rows: ScoredRows, ids: Ids, source: FeatureSource | None) -> tuple[list[int], EraTask]:
    """Positions of the eras, and their tables, in the order of the features if there are any."""
    order = list(range(len(rows.labels)))
    row_sets: Sequence[Any] = rows.rows
    readings: list[Reading] = []
    if source is not None:
        matched = source.match(ids, rows.predicted)
        order, row_sets = _era_of_each(matched, rows, source), matched.predictions
        readings = [source.features(matched)]

    def arguments(i: int) -> tuple[dict[str, Array | None]]:
        own = row_sets[i]
        tables: dict[str, Array | None] = {
            TARGET: rows.targets[own],
            PREDICTION: rows.predictions[own],
        }
        for name, values in rows.references.items():
            block = values[own]
            tables[name] = None if np.isnan(block).any() else block
        return (tables,)

    return order, EraTask([rows.labels[i] for i in order], arguments, readings)


def _era_of_each(matched: Matched, rows: ScoredRows, source: FeatureSource) -> list[int]:
    """Positions, among the eras scored, of the eras of the features."""
    sizes = [era.stop - era.start for era in rows.rows]
    positions = np.repeat(np.arange(len(sizes)), sizes)
    order = []
    for label, predicted in zip(matched.labels, matched.predictions, strict=True):
        own = positions[predicted]
        if (own != own[0]).any() or len(own) != sizes[own[0]]:
            raise ValueError(
                f"{source.label} and {rows.source} disagree on the eras: the {len(own)} rows of "
                f"{name_era(label)} of the features are not those of one era of the targets; pass "
                "files of the same data."
            )
        order.append(int(own[0]))
    return order


def _tabulate(
    scores: list[dict[str, Array]], labels: list[Any], predictions: list[str], metrics: list[str]
) -> pd.DataFrame:
    """The scores as `era_table` has them; a warning where one is NaN that could be computed."""
    warn_of_eras(
        "a prediction, what it is compared to or what neutralization leaves of it is constant, so "
        "that the score is NaN there.",
        [
            label
            for label, era in zip(labels, scores, strict=True)
            if any(np.isnan(values).any() for values in era.values())
        ],
        ConstantPredictionWarning,
    )
    nothing = np.full(len(predictions), np.nan)
    values = np.array([[era.get(name, nothing) for name in metrics] for era in scores])
    index = pd.Index(labels, name="era")
    if len(predictions) == 1:
        return pd.DataFrame(values[:, :, 0], index, metrics)
    columns = pd.MultiIndex.from_product([predictions, metrics], names=["prediction", "metric"])
    return pd.DataFrame(values.transpose(0, 2, 1).reshape(len(labels), -1), index, columns)
