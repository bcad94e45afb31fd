"""What the metrics that compare eras share: pairs of eras in, scores per later era out."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups
from sknumerai._frames import Table
from sknumerai._kernels.correlation import neutral_residual
from sknumerai._rows import id_codes
from sknumerai._sklearn import Interval
from sknumerai._typing import Aggregate, Array, ArrayLike, Eras, Score
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics._per_era import (
    like_predictions,
    read_and_group,
    score_eras,
)

N_PREVIOUS = [Interval(Integral, 1, None, closed="left")]


def score_pairs(
    kernel: Callable[..., Array],
    y_pred: ArrayLike,
    ids: ArrayLike,
    eras: Eras,
    *,
    name: str = "y_pred",
    neutral_to: Table | None = None,
    n_previous: int,
    reduce: Callable[..., Array],
    aggregate: Aggregate,
) -> Score:
    """Score every era against its predecessors, and reduce to one score per era.

    Parameters
    ----------
    kernel : callable
        ``kernel(values, ids, is_later)`` on the rows of two eras; returns shape
        (n_predictions,).
    y_pred, ids, eras, n_previous, aggregate
        As in `churn`.
    name : str
        What error messages call ``y_pred``.
    neutral_to : Table, optional
        Features that the predictions of every era are neutralized to first.
    reduce : callable
        ``reduce(scores, axis=0)`` over the predecessors.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`, without the first era.
    """
    if eras is None:
        raise MissingErasError("eras is None; pass one era per row, to compare one with the next.")
    stocks = _id_codes(ids)
    others = [stocks] if neutral_to is None else [stocks, neutral_to]
    predictions, groups = read_and_group(y_pred, *others, eras=eras, name=name)
    groups = groups.sorted()
    if len(groups) < 2:
        raise ValueError("There is only one era and nothing to compare it to; pass several.")
    if neutral_to is not None:
        residuals = map_eras(neutral_residual, groups, predictions, neutral_to)
        predictions = predictions.with_values(groups.assemble(residuals))
    number = np.empty(predictions.n_rows, dtype=np.intp)
    for place, rows in enumerate(groups.rows):
        number[rows] = place
    before = [range(max(0, i - n_previous), i) for i in range(1, len(groups))]
    pairs = EraGroups(
        [groups.labels[i + 1] for i, earlier in enumerate(before) for _ in earlier],
        [groups.indices([j, i + 1]) for i, earlier in enumerate(before) for j in earlier],
        predictions.n_rows,
    )
    per_pair = score_eras(
        _Later(kernel), pairs, predictions, stocks, Table(number, "eras")
    ).to_numpy()
    parts = np.split(per_pair, np.cumsum([len(earlier) for earlier in before])[:-1])
    per_era = pd.DataFrame(
        [reduce(part, axis=0) for part in parts], index=pd.Index(groups.labels[1:], name="era")
    )
    return like_predictions(per_era, y_pred, predictions, aggregate)


class _Later:
    """Calls a kernel on two eras with a mask of the later one instead of their numbers."""

    def __init__(self, kernel: Callable[..., Array]):
        self.kernel = kernel

    def __call__(self, values: Array, ids: Array, number: Array) -> Array:
        return self.kernel(values, ids, number == number.max())


def _id_codes(ids: ArrayLike) -> Table:
    """A number for every id."""
    return Table(ids, "ids").with_values(id_codes(ids)[:, None])
