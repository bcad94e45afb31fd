"""Kernels: how much predictions or weights change from one era to another."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.correlation import pearson, top_and_bottom
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._typing import Array

MIN_SHARED = 0.8  # share of each era's ids, as in numerai-tools


def churn_between(
    values: Array, ids: Array, is_later: Array, *, top_bottom: int | None = None
) -> Array:
    """Churn of predictions from an earlier era to a later one.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Predictions of both eras.
    ids : ndarray of shape (n, 1)
        A number for each stock.
    is_later : ndarray of shape (n, 1), bool
        Which rows are of the later era.
    top_bottom : int, optional
        Compare the sets of the lowest and highest ``top_bottom`` stocks instead of all ranks.

    Returns
    -------
    churn : ndarray of shape (m,)
        1 - Spearman correlation over the shared ids, in [0, 2], NaN where a prediction is
        constant; with ``top_bottom``, the share of stocks that left the two sets.

    References
    ----------
    numerai-tools, ``numerai_tools.signals.churn``.
    """
    if top_bottom is None:
        earlier, later = shared_rows(ids, is_later)
        return 1.0 - pearson(
            normalize_columns(values[earlier], "rank"), normalize_columns(values[later], "rank")
        )
    kept = np.zeros(values.shape[1])
    members = []
    for rows in (~is_later[:, 0], is_later[:, 0]):
        _check_unique(ids[rows, 0])
        members.append(ids[rows, 0][top_and_bottom(values[rows], top_bottom)])
    for j in range(values.shape[1]):
        for end in (slice(None, top_bottom), slice(top_bottom, None)):
            kept[j] += len(np.intersect1d(members[0][end, j], members[1][end, j]))
    churn = 1.0 - kept / (2 * top_bottom)
    for rows in (~is_later[:, 0], is_later[:, 0]):
        churn[np.ptp(values[rows], axis=0) == 0.0] = np.nan
    return churn


def turnover_between(values: Array, ids: Array, is_later: Array) -> Array:
    """Half the sum of absolute changes of weights over the shared ids, shape (m,).

    Parameters as in `churn_between`.

    References
    ----------
    numerai-tools, ``numerai_tools.signals.turnover``.
    """
    earlier, later = shared_rows(ids, is_later)
    change: Array = np.abs(values[later] - values[earlier]).sum(axis=0, dtype=np.float64) / 2.0
    return change


def shared_rows(ids: Array, is_later: Array) -> tuple[Array, Array]:
    """Rows of the earlier and of the later era that hold the shared ids, in the same order.

    Raises
    ------
    ValueError
        If an id occurs twice in an era, or less than 80 % of an era's ids are shared.
    """
    before, after = (np.flatnonzero(is_later[:, 0] == later) for later in (False, True))
    for rows in (before, after):
        _check_unique(ids[rows, 0])
    _, left, right = np.intersect1d(
        ids[before, 0], ids[after, 0], assume_unique=True, return_indices=True
    )
    larger = max(len(before), len(after))
    if len(left) < MIN_SHARED * larger:
        raise ValueError(
            f"{len(left)} ids are shared with the era it is compared to, of {len(before)} there "
            f"and {len(after)} here, and at least {MIN_SHARED:.0%} must be; pass ids that stay "
            "the same from era to era, such as tickers."
        )
    return before[left], after[right]


def _check_unique(ids: Array) -> None:
    surplus = len(ids) - len(np.unique(ids))
    if surplus:
        raise ValueError(
            f"{surplus} of {len(ids)} ids occur more than once in one era; pass one row per id "
            "and era."
        )
