"""What a metric of boosting computes: a score of every era, and one number of these."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups
from sknumerai._frames import Table, many_columns, one_column
from sknumerai._kernels.aggregate import AGGREGATES
from sknumerai._typing import Array, Reducer, ScoreFunction
from sknumerai.boosting._prepared import Prepared, prepare
from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.metrics import EraScorer, make_era_scorer
from sknumerai.metrics._catalogue import METRICS, PREDICTION, SMALLER_IS_BETTER, TARGET, Metric
from sknumerai.metrics._per_era import scored_eras

TABLES_OF_COLUMNS = ("features", "neutralizers")  # all others are one column
OFTEN_TAKEN = ("meta_model", "example_predictions")  # by functions, with a default
Evaluation = Callable[[Array], float]


class EraScore:
    """A score of predictions, per era, and its aggregate.

    Parameters
    ----------
    score : str or callable
        Name of a metric, one of the public functions, or a function of its own kind.
    aggregate : str or callable
    greater_is_better : bool or None
        None for what the catalogue says, and for yes of a function that it does not have.

    Attributes
    ----------
    name : str
        Such as "fnc_sharpe".
    greater_is_better : bool
    needed, taken : tuple of str
        The tables of a call, besides targets and predictions.
    """

    def __init__(
        self, score: str | ScoreFunction, aggregate: Reducer, greater_is_better: bool | None
    ):
        self.metric, self.function = _find(score)
        self.aggregate = aggregate
        if not callable(aggregate) and aggregate not in AGGREGATES:
            raise ValueError(
                f"aggregate is {aggregate!r}; pass a function of the scores of all eras or one of "
                f"{', '.join(AGGREGATES)}."
            )
        if not (greater_is_better is None or isinstance(greater_is_better, bool | np.bool_)):
            raise ValueError(
                f"greater_is_better is {greater_is_better!r}; pass True, False or None."
            )
        risk = aggregate in SMALLER_IS_BETTER
        if risk and greater_is_better:
            raise ValueError(
                f"greater_is_better=True with aggregate={aggregate!r} would select the round of "
                "the largest risk; leave it out."
            )
        if self.metric is not None:
            name, smaller = self.metric.name, self.metric.smaller_is_better
            self.needed = self.taken = tuple(
                table for table in self.metric.tables if table not in (TARGET, PREDICTION)
            )
        else:
            name, smaller = getattr(score, "__name__", type(score).__name__), False
            self.needed, self.taken = _arguments(self.function)
        natural = not (smaller or risk)
        self.greater_is_better = natural if greater_is_better is None else bool(greater_is_better)
        suffix = aggregate if isinstance(aggregate, str) else _name(aggregate)
        self.name = name if suffix == "mean" else f"{name}_{suffix}"

    def read(self, tables: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check the tables of one evaluation set, and read those of a metric."""
        for name in tables:
            if name not in self.taken:
                takes = ", ".join(self.taken) or "none besides eras and y_true"
                raise ValueError(f"{self.name!r} takes no table {name!r}; it takes {takes}.")
        missing = [name for name in self.needed if tables.get(name) is None]
        if missing:
            raise ValueError(
                f"{self.name!r} needs {missing[0]}; pass {missing[0]}=..., of the rows of {where}."
            )
        if self.metric is None:
            return dict(tables)
        return {
            name: (many_columns if name in TABLES_OF_COLUMNS else one_column)(table, name)
            for name, table in tables.items()
        }

    def bind(
        self, groups: EraGroups, eras: Any, targets: Array, tables: Mapping[str, Any]
    ) -> Evaluation:
        """The score as a function of predictions alone, everything else prepared.

        Eras without a target are left out, with a warning.

        Parameters
        ----------
        groups : EraGroups
        eras : array-like of shape (n_samples,)
            As they were given.
        targets : ndarray of shape (n_samples,)
        tables : dict
            As `read` returned them.
        """
        if self.metric is None:
            return _Called(self, eras, targets, tables)
        groups = scored_eras(groups, one_column(targets, TARGET, allow_nan=True), [])
        if callable(self.aggregate) or self.aggregate == "max_drawdown":
            groups = groups.sorted()
        return _OfEras(self.per_era(groups, targets, tables), self.aggregate, groups.labels)

    def per_era(
        self, groups: EraGroups, targets: Array, tables: Mapping[str, Table]
    ) -> Callable[[Array], Array]:
        """Scores of all eras, in the order of the groups, as a function of the predictions."""
        assert self.metric is not None
        assert self.metric.kernel is not None
        given = {TARGET: one_column(targets, TARGET, allow_nan=True), **tables}
        names = [name for name in self.metric.tables if name != PREDICTION]
        make = partial(_prepare, self.metric, names)
        prepared = map_eras(make, groups, *(given[name] for name in names))
        return partial(_score_eras, prepared, groups)


class _OfEras:
    """The aggregate of the scores of prepared eras."""

    def __init__(self, per_era: Callable[[Array], Array], aggregate: Reducer, labels: list[Any]):
        self.per_era, self.aggregate, self.labels = per_era, aggregate, labels

    def __call__(self, predictions: Array) -> float:
        scores = self.per_era(predictions)
        if callable(self.aggregate):
            return float(self.aggregate(pd.Series(scores, pd.Index(self.labels, name="era"))))
        return AGGREGATES[self.aggregate](scores)


class _Called:
    """The aggregate of the scores that a function of the caller's returns."""

    def __init__(self, score: EraScore, eras: Any, targets: Array, tables: Mapping[str, Any]):
        # a scorer's value is greater where it is better, but this is to be the value itself
        self.sign = -1.0 if score.aggregate in SMALLER_IS_BETTER else 1.0
        self.scorer = make_era_scorer(
            score.function, aggregate=score.aggregate, greater_is_better=self.sign > 0.0
        )
        self.eras, self.targets, self.tables = eras, targets, dict(tables)
        # a constant prediction is one after each of the first rounds
        self.ignored: list[type[Warning]] = [ConstantPredictionWarning]

    def __call__(self, predictions: Array) -> float:
        predicted = _Predicted(predictions)
        with warnings.catch_warnings():
            for category in self.ignored:
                warnings.simplefilter("ignore", category)
            value = self.scorer(predicted, predictions, self.targets, eras=self.eras, **self.tables)
        self.ignored = [ConstantPredictionWarning, UnscoredErasWarning]  # once is enough
        return self.sign * value


class _Predicted:
    """An estimator whose predictions are known."""

    def __init__(self, predictions: Array):
        self.predictions = predictions

    def fit(self, X: Any, y: Any) -> _Predicted:
        return self

    def predict(self, X: Any) -> Array:
        return self.predictions


def _prepare(metric: Metric, names: list[str], *blocks: Array) -> Prepared:
    assert metric.kernel is not None
    given = dict(zip(names, blocks, strict=True)) | {PREDICTION: None}
    tables: dict[str, Any] = {name: given[name] for name in metric.tables}
    return prepare(metric.kernel, tables, **metric.options)


def _score_eras(prepared: list[Prepared], groups: EraGroups, predictions: Array) -> Array:
    """Scores of all eras; not by `map_eras`, whose set-up would cost as much as the scores."""
    return np.array(
        [score(predictions[rows]) for score, rows in zip(prepared, groups.rows, strict=True)]
    )


def _find(score: Any) -> tuple[Metric | None, Callable[..., Any]]:
    """A metric that has a kernel, or None and the function itself."""
    if isinstance(score, EraScorer):
        raise ValueError(
            f"score is the scorer {score!r}, which predicts on its own; pass the name of its "
            "metric, or its function, and the aggregate."
        )
    known = {name: metric for name, metric in METRICS.items() if metric.kernel is not None}
    if isinstance(score, str):
        if score not in known:
            close = get_close_matches(score, known, n=3)
            hint = f"did you mean {', '.join(map(repr, close))}?" if close else ""
            hint = hint or f"known are {', '.join(known)}."
            raise ValueError(
                f"score is {score!r}, which is no metric of one era's predictions; {hint} An "
                "aggregate is an argument of its own."
            )
        return known[score], known[score].function
    if not callable(score):
        raise ValueError(f"score is {score!r}; pass the name of a metric or a function.")
    for metric in known.values():
        if metric.function is score and not metric.options:
            return metric, score
    return None, score


def _arguments(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tables that a function needs, and those that it takes."""
    handed = (TARGET, PREDICTION, "eras", "aggregate")
    variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    parameters = [
        parameter
        for parameter in signature(function).parameters.values()
        if parameter.name not in handed and parameter.kind not in variable
    ]
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    names = [parameter.name for parameter in parameters]
    if "features" in names and "features" not in needed:
        needed.append("features")
    return tuple(needed), tuple(name for name in names if name in needed or name in OFTEN_TAKEN)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
