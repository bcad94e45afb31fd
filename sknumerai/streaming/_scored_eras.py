"""Eras that can be scored, in files: their tables, and metrics of one era."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from sknumerai._eras import name_era
from sknumerai._typing import Array, Source
from sknumerai.metrics._catalogue import METRICS, PREDICTION, TARGET, Metric
from sknumerai.streaming._execution import EraTask, compute
from sknumerai.streaming._feature_source import FeatureChoice, FeatureSource, Matched
from sknumerai.streaming._ids import Ids
from sknumerai.streaming._row_source import Reading, RowSource
from sknumerai.streaming._scored_rows import (
    ScoredRows,
    bring_together,
    lacks_too_many,
    read_reference,
    read_targets,
)
from sknumerai.streaming._whole_table import Predictions

Tables = Mapping[str, Array | None]
REFERENCES = ("meta_model", "benchmark")
Result = TypeVar("Result")


class ScoredEras:
    """Predictions, targets and what else a metric needs, brought together era by era.

    The parameters are those of `score_files`.

    Attributes
    ----------
    rows : ScoredRows
    predicted : list of str
        Names of the predictions.
    n_features : int
    """

    def __init__(
        self,
        predictions: Source,
        targets: Source,
        *,
        features: Source | None,
        meta_model: Source | None,
        benchmark: Source | None,
        prediction_columns: str | Sequence[str] | None,
        target_column: str,
        meta_model_column: str | None,
        benchmark_column: str | None,
        feature_set: str | None,
        features_json: str | PathLike[str] | None,
        feature_columns: str | Sequence[str] | None,
        era_column: str,
    ):
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
        self.rows, ids = bring_together(
            own, *read_targets(goal, target_column, era_column), references
        )
        self.predicted = own.names
        self.n_features = 0 if source is None else len(source.names)
        if source is not None and features == targets:
            source.ids = goal.ids  # which need not be read twice, nor kept
        del own, goal, references
        self._order, self._task = _task(self.rows, ids, source)

    def compute(
        self,
        kernel: Callable[..., Result],
        *,
        executor: int | Executor | None,
        verbose: bool | int,
    ) -> list[Result]:
        """What a kernel of an era's tables and features returns, era after era.

        Parameters
        ----------
        kernel : callable
            ``kernel(tables)`` or ``kernel(tables, features)``; tables are None where an era lacks
            them.
        executor, verbose
            As in `score_files`.
        """
        results: list[Any] = [None] * len(self._order)
        stream = compute(kernel, self._task, executor=executor, verbose=verbose)
        with closing(stream):
            for i, result in zip(self._order, stream, strict=True):
                results[i] = result
        return results


def score_era(
    tables: Tables, features: Array | None = None, *, metrics: Sequence[str]
) -> dict[str, Array]:
    """Metrics of one era whose tables are there, each of shape (n_predictions,)."""
    given = {name: table for name, table in tables.items() if table is not None}
    if features is not None:
        given["features"] = features
    chosen = (METRICS[name] for name in metrics)
    return {metric.name: _score(metric, given) for metric in chosen if metric.needs_only(given)}


def _score(metric: Metric, given: Mapping[str, Array]) -> Array:
    """A metric of the rows that have what it compares predictions to."""
    references = [given[name] for name in REFERENCES if name in metric.tables]
    known = ~np.isnan(np.hstack(references)).any(axis=1) if references else np.True_
    if not known.all():
        given = {name: table[known] for name, table in given.items()}
    return metric.score_era(given)


def choose_metrics(
    metrics: Sequence[str] | None, given: list[str], *, argument: str = "metrics"
) -> list[str]:
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
            raise ValueError(f"{argument}= names {name!r}; known are {', '.join(known)}.")
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
            tables[name] = None if lacks_too_many(block) else block
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
