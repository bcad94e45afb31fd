"""What all metrics share: tables in, scores per era in the order of the eras, aggregates out."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions

from sknumerai._eras import (
    EraGroups,
    HasRows,
    Rows,
    era_order,
    group_eras,
    map_eras,
    warn_of_eras,
)
from sknumerai._frames import Table, check_same_rows, read_predictions
from sknumerai._typing import Array, ArrayLike
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics._aggregate import AGGREGATES, ORDER_MATTERS_NOT, Aggregate, aggregate_scores

AGGREGATE: list[Any] = [StrOptions(set(AGGREGATES)), callable, None]
TOP_BOTTOM: list[Any] = [Interval(Integral, 1, None, closed="left"), None]


class Targets:
    """One column of targets, which unlike a `Table` may hold NaN."""

    def __init__(self, table: Table):
        frame = table.frame
        values = frame.to_numpy() if isinstance(frame, nw.DataFrame) else frame
        if values.shape[1] != 1:
            raise ValueError(
                f"{table.name} must hold one target; found {values.shape[1]} columns, score one "
                "at a time."
            )
        try:
            self.values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{table.name} must hold numbers; found dtype {values.dtype}. Convert it."
            ) from None
        if np.isinf(self.values).any():
            raise ValueError(
                f"{table.name} contains {int(np.isinf(self.values).sum())} infinite of "
                f"{len(values)} targets, first at row {int(np.argmax(np.isinf(self.values)))}; "
                "make them NaN if they are missing."
            )

    def rows(self, rows: Rows) -> Array:
        """The targets of one era, shape (n_era, 1)."""
        return self.values[rows]


def prediction_table(y_pred: ArrayLike, *others: Table, name: str = "y_pred") -> Table:
    """The predictions as a table whose rows are those of the others."""
    whole = Table(y_pred, name)
    for other in others:
        check_same_rows(whole, other)
    return whole.subset(whole.columns)


def score_eras(
    kernel: Callable[..., Array],
    groups: EraGroups,
    predictions: Table,
    *tables: HasRows,
    in_order: bool = True,
) -> pd.DataFrame:
    """Scores of every era and prediction.

    Parameters
    ----------
    kernel : callable
        Gets one block per table and returns shape (n_predictions,) or (n_predictions, k).
    groups : EraGroups
    predictions : Table
        For the names.
    *tables : Table
        The kernel's arguments.
    in_order : bool
        Whether eras must come in chronological order; else in order of appearance if they
        have no other.

    Returns
    -------
    per_era : DataFrame of shape (n_eras, n_predictions * k)
        NaN, with one warning, in eras where there is nothing to correlate with.
    """
    scores = np.array(map_eras(kernel, groups, *tables), dtype=np.float64)
    labels: list[Any] = groups.labels
    if in_order:
        order = era_order(groups)
        scores, labels = scores[order], [labels[i] for i in order]
    scores = scores.reshape(len(labels), -1)
    warn_of_eras(
        "a prediction, what it is compared to or what neutralization leaves of it is constant, so "
        "that the score is NaN there.",
        [label for label, row in zip(labels, scores, strict=True) if np.isnan(row).any()],
        ConstantPredictionWarning,
    )
    return pd.DataFrame(scores, index=pd.Index(labels, name="era"))


def prediction_names(predictions: Table) -> Sequence[Any]:
    """Names of the prediction columns, or their positions."""
    return predictions.names or range(predictions.n_columns)


def like_predictions(
    per_era: pd.DataFrame, y_pred: ArrayLike, predictions: Table, aggregate: Aggregate
) -> Any:
    """Aggregated scores in the shape that the predictions had.

    1-D predictions give a float, or a Series over eras; 2-D ones a Series over columns, or a
    DataFrame of eras and columns.
    """
    per_era.columns = pd.Index(prediction_names(predictions))
    scores = aggregate_scores(per_era, aggregate)
    if np.ndim(y_pred) > 1:
        return scores
    if isinstance(scores, pd.DataFrame):
        return scores.iloc[:, 0]
    score: Any = scores.iloc[0]
    return score.item() if isinstance(score, np.generic) else score


def one_column(name: str, data: ArrayLike) -> Table:
    """A table of one numeric column, such as a meta model.

    Raises
    ------
    ValueError
        If there are more columns, or the column is not numeric.
    """
    table = Table(data, name)
    if table.n_columns != 1:
        raise ValueError(
            f"{name} must hold one column; found {table.n_columns}, pass one at a time."
        )
    return table.subset(table.columns)


def many_columns(name: str, data: ArrayLike) -> Table:
    """A table of numeric columns, such as features.

    Raises
    ------
    ValueError
        If there is no column, or one is not numeric.
    """
    table = Table(data, name)
    if not table.n_columns:
        raise ValueError(f"{name} has no columns; pass at least one.")
    return table.subset(table.columns)


def score_predictions(
    kernel: Callable[..., Array],
    y_pred: ArrayLike,
    *others: Table,
    y_true: ArrayLike | None = None,
    eras: ArrayLike | None,
    aggregate: Aggregate,
) -> Any:
    """What most metrics do: read the tables, score every era, aggregate.

    Parameters
    ----------
    kernel : callable
        ``kernel(predictions, *others)``, or ``kernel(targets, predictions, *others)`` where
        there are targets; returns shape (n_predictions,).
    y_pred : array-like, Series or DataFrame
    *others : Table
        Further arguments of the kernel, of the same rows.
    y_true : array-like, optional
        Targets.
    eras, aggregate
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
    """
    targets = None if y_true is None else Table(y_true, "y_true")
    predictions = prediction_table(y_pred, *(() if targets is None else (targets,)), *others)
    groups = group_eras(eras, predictions.n_rows)
    values = Table(read_predictions(predictions, groups), "y_pred")
    first = [] if targets is None else [Targets(targets)]
    per_era = score_eras(
        kernel,
        groups,
        predictions,
        *first,
        values,
        *others,
        in_order=needs_order(aggregate),
    )
    return like_predictions(per_era, y_pred, predictions, aggregate)


def needs_order(aggregate: Aggregate) -> bool:
    """Whether the eras must be put in order before aggregating."""
    return aggregate not in ORDER_MATTERS_NOT
