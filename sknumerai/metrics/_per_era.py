"""What all metrics share: tables in, scores per era in the order of the eras, aggregates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd

from sknumerai._era_loop import EraData, map_eras, naming_era
from sknumerai._eras import EraGroups, group_tables
from sknumerai._frames import Table, n_dimensions, numeric_table, one_column, read_predictions
from sknumerai._kernels.aggregate import AGGREGATES
from sknumerai._kernels.correlation import MAX_MISSING_TARGETS
from sknumerai._sklearn import Interval, StrOptions
from sknumerai._typing import Aggregate, Array, ArrayLike, Eras, Score
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.metrics._aggregate import aggregate_scores, depends_on_order

Missing = Literal["raise", "skip"]
MISSING: list[Any] = [StrOptions({"raise", "skip"})]
AGGREGATE: list[Any] = [StrOptions(set(AGGREGATES)), callable, None]
TOP_BOTTOM: list[Any] = [Interval(Integral, 1, None, closed="left"), None]


class EraOptions(TypedDict, total=False):
    """Arguments of most metrics that do not decide the type of the result."""

    eras: Eras | None
    top_bottom: int | None


class ScoreOptions(EraOptions, total=False):
    """The same of scores, which can leave out eras."""

    missing: Missing


def read_and_group(
    y_pred: ArrayLike, *others: Table, eras: Eras | None, name: str = "y_pred"
) -> tuple[Table, EraGroups]:
    """The predictions as floats, and the eras of their rows, which are those of the others."""
    predictions = numeric_table(y_pred, name)
    groups = group_tables(eras, predictions, *others)
    return read_predictions(predictions, groups), groups


def read_targets(y_true: ArrayLike) -> Table:
    """One column of targets, NaN where there is none."""
    return one_column(y_true, "y_true", allow_nan=True)


def score_eras(kernel: Callable[..., Array], groups: EraGroups, *data: EraData) -> pd.DataFrame:
    """Scores of every era and prediction.

    Parameters
    ----------
    kernel : callable
        Gets one block per table and returns shape (n_predictions,) or (n_predictions, k).
    groups : EraGroups
        In the order that the scores are to have.
    *data : Table
        The kernel's arguments.

    Returns
    -------
    per_era : DataFrame of shape (n_eras, n_predictions * k)
        NaN, with one warning, in eras where there is nothing to correlate with.
    """
    scores = np.array(map_eras(kernel, groups, *data), dtype=np.float64)
    scores = scores.reshape(len(groups), -1)
    warn_of_eras(
        "a prediction, what it is compared to or what neutralization leaves of it is constant, so "
        "that the score is NaN there.",
        [label for label, row in zip(groups.labels, scores, strict=True) if np.isnan(row).any()],
        ConstantPredictionWarning,
    )
    return pd.DataFrame(scores, index=pd.Index(groups.labels, name="era"))


def like_predictions(
    per_era: pd.DataFrame, y_pred: ArrayLike, predictions: Table, aggregate: Aggregate
) -> Score:
    """Aggregated scores in the shape that the predictions had.

    1-D predictions give a float, or a Series over eras; 2-D ones a Series over columns, or a
    DataFrame of eras and columns.
    """
    per_era.columns = pd.Index(predictions.labels)
    scores = aggregate_scores(per_era, aggregate)
    if n_dimensions(y_pred) > 1:
        return scores
    if isinstance(scores, pd.DataFrame):
        return scores.iloc[:, 0]
    score: Any = scores.iloc[0]
    number: float = score.item() if isinstance(score, np.generic) else score
    return number


def score_predictions(
    kernel: Callable[..., Array],
    y_pred: ArrayLike,
    *others: Table,
    targets: Table | None = None,
    eras: Eras | None,
    aggregate: Aggregate,
    missing: Missing = "raise",
) -> Score:
    """What most metrics do: read the tables, score every era, aggregate.

    Parameters
    ----------
    kernel : callable
        ``kernel(predictions, *others)``, or ``kernel(targets, predictions, *others)`` where
        there are targets; returns shape (n_predictions,).
    y_pred : array-like, Series or DataFrame
    *others : Table
        Further arguments of the kernel, of the same rows. Rows in which one that allows NaN has
        it are left out.
    targets : Table, optional
        See `read_targets`.
    eras, aggregate, missing
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
    """
    first = [] if targets is None else [targets]
    predictions, groups = read_and_group(y_pred, *first, *others, eras=eras)
    if missing == "skip":
        groups = scored_eras(groups, targets, [table for table in others if table.allow_nan])
        partly = [len(first) + 1 + i for i, table in enumerate(others) if table.allow_nan]
        kernel = partial(_of_known_rows, kernel=kernel, partly=partly)
    if depends_on_order(aggregate):
        groups = groups.sorted()
    per_era = score_eras(kernel, groups, *first, predictions, *others)
    return like_predictions(per_era, y_pred, predictions, aggregate)


def scored_eras(groups: EraGroups, targets: Table | None, references: list[Table]) -> EraGroups:
    """The eras that have a target, and enough of every reference; a warning counts the others."""
    lacking: dict[str, list[int]] = {}
    for i, (label, rows) in enumerate(zip(groups.labels, groups.rows, strict=True)):
        with naming_era(label):
            if targets is not None and np.isnan(targets.rows(rows)).all():
                lacking.setdefault("no row has a target", []).append(i)
                continue
            for table in references:
                if np.isnan(table.rows(rows)).mean() > MAX_MISSING_TARGETS:
                    share = f"more than {MAX_MISSING_TARGETS:.0%} of the rows have no {table.name}"
                    lacking.setdefault(share, []).append(i)
                    break
    for problem, positions in lacking.items():
        labels = [groups.labels[i] for i in positions]
        warn_of_eras(f"{problem}: they are not scored.", labels, UnscoredErasWarning)
    left_out = {i for positions in lacking.values() for i in positions}
    if len(left_out) == len(groups):
        raise ValueError(
            f"None of the {len(groups)} eras can be scored: in all of them {next(iter(lacking))}; "
            "pass other targets, or eras that are resolved."
        )
    return groups.take(i for i in range(len(groups)) if i not in left_out)


def _of_known_rows(*blocks: Array, kernel: Callable[..., Array], partly: Sequence[int]) -> Array:
    """What a kernel makes of the rows that have all of some blocks."""
    known = ~np.any([np.isnan(blocks[i][:, 0]) for i in partly], axis=0)
    if np.ndim(known) and not known.all():
        blocks = tuple(block[known] for block in blocks)
    return kernel(*blocks)
